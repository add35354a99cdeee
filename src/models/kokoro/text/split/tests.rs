use super::*;

/// Words as they are written, spoken as they are written; marks are words of their own.
fn utterance(text: &str) -> Utterance {
    let mut words = Vec::new();
    for word in text.split(' ') {
        let said = word.trim_end_matches(['.', ',', ';']);
        let mark = &word[said.len()..];
        let one = |text: &str, space| Word { text: text.to_owned(), phonemes: text.to_owned(), space };
        words.push(one(said, mark.is_empty()));
        if !mark.is_empty() {
            words.push(one(mark, true));
        }
    }
    Utterance { words }
}

fn halves(text: &str) -> [String; 2] {
    in_two(&utterance(text)).unwrap().map(|half| half.symbols())
}

fn parts(text: &str, limit: usize) -> Vec<String> {
    at_context(utterance(text), limit).iter().map(Utterance::symbols).collect()
}

#[test]
fn halves_meet_at_a_clause_before_a_phrase_and_at_a_phrase_before_a_gap() {
    assert_eq!(
        halves("they walked along the shore because nobody had told them of it"),
        ["they walked along the shore", "because nobody had told them of it"]
    );
    assert_eq!(
        halves("the whole grey fleet came back from the long dark night"),
        ["the whole grey fleet came back", "from the long dark night"]
    );
    assert_eq!(halves("one two three four"), ["one two", "three four"]);
    // A comma is better than both.
    assert_eq!(
        halves("they walked along the shore, tired and cold because nobody had told them"),
        ["they walked along the shore,", "tired and cold because nobody had told them"]
    );
}

#[test]
fn a_border_far_from_the_middle_is_not_worth_it() {
    assert_eq!(halves("it, there wherever everyone ever went"), ["it, there wherever", "everyone ever went"]);
}

#[test]
fn the_context_is_filled_up_to_the_best_border() {
    let text = "they walked along the shore because nobody had told them of the boat";
    assert_eq!(parts(text, 40), ["they walked along the shore", "because nobody had told them of the boat"]);
    // The first quarter is too short to stand alone, mark or not.
    assert_eq!(
        parts("so, everybody went home when it rained", 30),
        ["so, everybody went home", "when it rained"]
    );
}

#[test]
fn the_symbols_of_words_are_places_in_those_of_the_whole() {
    let one =
        |phonemes: &str, space| Word { text: phonemes.to_owned(), phonemes: phonemes.to_owned(), space };
    let words =
        vec![one("", true), one("hi", true), one("", true), one("jO", false), one(".", true), one("", false)];
    let utterance = Utterance { words };
    let (symbols, places) = utterance.symbols_of_words();
    assert_eq!(symbols.iter().collect::<String>(), "hi jO.");
    let said: Vec<String> = places.iter().map(|place| symbols[place.clone()].iter().collect()).collect();
    assert_eq!(said, ["", "hi", "", "jO", ".", ""]);
}
