use super::*;

#[test]
fn figures_are_read_as_people_read_them() {
    let cases = [
        ("at 3:45 p.m.", "at 3 45 p.m."),
        ("10:05, 9:00 and 7:30pm.", "10 oh 5, 9 o'clock and 7 30 p.m."),
        ("$12.50, $1 and $1,250.75", "12 dollars and 50 cents, 1 dollar and 1,250 dollars and 75 cents"),
        ("$0.05 £3 £2.01", "5 cents 3 pounds 2 pounds and 1 penny"),
        ("$1.5 million, €20bn", "1.5 million dollars, 20 billion euros"),
        ("$1984", "1,984 dollars"),
        ("the 1980s, ’90s and 1900s", "the 19 eighties, nineties and 19 hundreds"),
        ("10-20, 1914–1918", "10 to 20, 1914 to 1918"),
        ("Call 1-800-555-0199.", "Call 1, 8 0 0, 5 5 5, 0 1 9 9."),
        (
            "50% (5kg) 20°C 1km 2GB 5x",
            "50 percent (5 kilograms) 20 degrees Celsius 1 kilometer 2 gigabytes 5 times",
        ),
        ("-5 and #1", "minus 5 and number 1"),
        ("1/2, 3/4, 3/2 and 9/11", "one half, 3 quarters, 3 halves and 9/11"),
        ("12345678901234567890", "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0"),
        ("1999 3rd 3.14 1,000", "1999 3rd 3.14 1,000"),
    ];
    for (text, expected) in cases {
        assert_eq!(normalise(text, Accent::American), expected);
    }
}

#[test]
fn letters_are_read_as_people_read_them() {
    let cases = [
        ("on St. James St. today", "on Saint James Street today"),
        (
            "He lives on Elm St. She left. Acme Inc., etc. and so on",
            "He lives on Elm Street. She left. Acme Incorporated, et cetera and so on",
        ),
        ("Henry VIII, World War II, Part IV, MIX", "Henry the 8th, World War 2, Part 4, MIX"),
        ("this & that @ home", "this and that at home"),
        ("https://example.com/a-b", "example dot com slash a dash b"),
        ("café Ångström", "café Angstrom"),
        ("a\u{200b}b\u{ad}c\td\r\n\ne", "abc d\ne"),
        ("well - maybe", "well — maybe"),
    ];
    for (text, expected) in cases {
        assert_eq!(normalise(text, Accent::American), expected);
    }
}

proptest::proptest! {
    #[test]
    fn any_text_can_be_read(text in "\\PC{0,40}", figures in "[-+#$€£0-9.,:/%°A-Zkm ]{0,24}") {
        normalise(&text, Accent::American);
        normalise(&figures, Accent::British);
    }
}
