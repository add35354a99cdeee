use super::*;

fn stripped(text: &str) -> String {
    let unmarked = strip(text);
    restore(&unmarked.text, &unmarked.marks).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn markdown_keeps_its_words() {
    for (text, expected) in [
        ("**bold** stuff, see [our site](https://example.com/x) now.", "bold stuff, see our site now."),
        ("*it* _is_ __so__ ***very*** ~~bad~~ `good`", "it is so very bad good"),
        ("[a **b**](http://x/(y)) ![pic](p.png) [ref][1] note[^2]", "a b pic ref note"),
        ("# Title\n## Next ##\n> quoted\n- one\n* two\n1. three", "Title Next quoted one two 1. three"),
        ("---\n***\n```rust\ncode\n```", "code"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "a, b 1, 2"),
        ("snake_case 2*3 5 * 4 \\*no\\*", "snake_case 2*3 5 * 4 *no*"),
        ("R&amp;D &lt;b&gt; it&#39;s &#x41;", "R&D <b> it's A"),
        // Misaki's own marks.
        ("[hello](/həˈlO/) [a](+1) [5](#x#)", "[hello](/həˈlO/) [a](+1) [5](#x#)"),
        ("[docs](/guide/start/) [about us](/about/)", "docs about us"),
        ("(see [1]) [sic] x[0]", "(see [1]) [sic] x[0]"),
    ] {
        assert_eq!(stripped(text), expected);
    }
}

#[test]
fn a_wish_for_a_pause_is_heard_and_not_read() {
    for (text, expected) in [
        ("Hello. [pause:0.5s] Nice.", "Hello. Nice."),
        ("Wait [pause] what", "Wait… what"),
        ("a <break time=\"1s\"/> b", "a… b"),
        ("a, (pause) b", "a, b"),
        (
            "a {pause 500ms} b [2s pause] c [long pause] d <#0.5#> e [[slnc 500]] f [silence 1 second] g",
            "a… b… c… d… e… f… g",
        ),
        ("<speak>Hi <emphasis level=\"strong\">you</emphasis>.<br/>Bye</speak>", "Hi you. Bye"),
        ("take a (break) or [wait] <- x < y", "take a (break) or [wait] <- x < y"),
        ("<https://a.b> <x@y.z> <!-- no -->", "https://a.b x@y.z"),
    ] {
        assert_eq!(stripped(text), expected);
    }
}
