//! What people really write, and the words that are to be heard of it.

use super::normalise::normalise;
use super::{Accent, Phonemiser, check_speakable};

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(normalise(text, Accent::American), *expected, "{text}");
    }
}

#[test]
fn letters_of_any_style_are_letters() {
    check(&[
        ("The ﬁne print, Ｈｅｌｌｏ and 𝗛𝗲𝗹𝗹𝗼.", "The fine print, Hello and Hello."),
        ("A cafe\u{301} with my re\u{301}sume\u{301} in Zu\u{308}rich.", "A café with my résumé in Zürich."),
        ("Dvořák, Erdoğan and Nguyễn of Łódź.", "Dvorak, Erdoğan and Nguyen of Lodz."),
        ("Itʼs here, don＇t go. L´homme, Hawaiʻi, it`s", "It's here, don't go. L'homme, Hawaii, it's"),
        ("«Bonjour», she said. ‹Tag› „hi“", "“Bonjour”, she said. ‘Tag’ “hi“"),
        ("Acme™ 20º 25℃ №5 1️⃣", "Acme 20 degrees 25 degrees Celsius number 5 1"),
    ]);
}

#[test]
fn feet_and_inches_are_a_length() {
    check(&[
        ("He is 6'2\" tall.", "He is 6 feet 2 inches tall."),
        (
            "She's 5'10\", he's 5' 11\" or 6’2”.",
            "She's 5 feet 10 inches, he's 5 feet 11 inches or 6 feet 2 inches.",
        ),
        ("5′4″ and 5'10½\" and 6'", "5 feet 4 inches and 5 feet 10 and a half inches and 6 feet"),
        ("a 12\" ruler, a 27\" or 15.6\" screen", "a 12 inch ruler, a 27 inches or 15.6 inches screen"),
        ("8\"x10\", 4' x 6', 5'-6'", "8 inches by 10 inches, 4 feet by 6 feet, 5 feet to 6 feet"),
        ("6ft2, 5ft 10in", "6 feet 2 inches, 5 feet 10 inches"),
        ("6 ft 2 in tall, 5 ft. 10 in.", "6 feet 2 inches tall, 5 feet 10 inches."),
        ("40°26'46\"N", "40 degrees 26 minutes 46 seconds north"),
        // A mark alone may end a quotation.
        ("\"I am 12\" he said. 'I am 6' she said.", "\"I am 12\" he said. 'I am 6' she said."),
        ("She said \"he is 6'2\"\".", "She said \"he is 6 feet 2 inches\"."),
    ]);
}

#[test]
fn the_dots_of_addresses_and_versions_are_heard() {
    check(&[
        ("Mail me at john.doe@example.com.", "Mail me at john dot doe at example dot com."),
        ("a_b-c+d@mail.example.org!", "a underscore b dash c plus d at mail dot example dot org!"),
        (
            "Version 2.0.1 and v1.5 at 192.168.1.1.",
            "Version 2 point 0 point 1 and version 1 point 5 at 192 dot 168 dot 1 dot 1.",
        ),
        ("10.0.0.1:8080, 10.0.0.0/8", "10 dot 0 dot 0 dot 1 port 8 0 8 0, 10 dot 0 dot 0 dot 0 slash 8"),
        (
            "v2.0.0-beta.1, version 1.10, iOS 17.4.1",
            "version 2 point 0 point 0 beta 1, version 1 point 10, iOS 17 point 4 point 1",
        ),
        (
            "see example.com/path, docs.example.co.uk",
            "see example dot com slash path, docs dot example dot co dot UK",
        ),
        ("config.json and Node.js", "config dot json and Node dot JS"),
        ("It is over.Next one, 3.14", "It is over. Next one, 3.14"),
    ]);
}

#[test]
fn telephone_numbers_are_said_figure_by_figure() {
    check(&[
        (
            "Call (555) 123-4567 or +1 800 555 0199.",
            "Call 5 5 5, 1 2 3, 4 5 6 7 or plus 1, 8 0 0, 5 5 5, 0 1 9 9.",
        ),
        ("(555)123-4567, 555.123.4567", "5 5 5, 1 2 3, 4 5 6 7, 5 5 5, 1 2 3, 4 5 6 7"),
        ("+44 20 7946 0958 (or 555-0199)", "plus 4 4, 2 0, 7 9 4 6, 0 9 5 8 (or 5 5 5, 0 1 9 9)"),
        ("+1 (555) 123-4567; 020 7946 0958", "plus 1, 5 5 5, 1 2 3, 4 5 6 7; 0 2 0, 7 9 4 6, 0 9 5 8"),
        (
            "1 (800) 555-0199, tel:+1-800-555-0199.",
            "1, 8 0 0, 5 5 5, 0 1 9 9, plus 1, 8 0 0, 5 5 5, 0 1 9 9.",
        ),
        ("1-800-FLOWERS", "1, 8 0 0, flowers"),
        ("(2019) 300 of 1 200", "(2019) 300 of 1 200"),
    ]);
}

#[test]
fn a_comma_parts_thousands_or_decimals() {
    check(&[
        (
            "It is 1,5 m, ±3%, and 10 / 2 > 3.",
            "It is 1.5 meters, plus or minus 3 percent, and 10 divided by 2 is greater than 3.",
        ),
        ("E=mc², x² and an α-helix", "E=mc squared, x squared and an alpha helix"),
        ("2,75 or 0,5 or 1,500 or 1,500,000", "2.75 or 0.5 or 1,500 or 1,500,000"),
        ("1.500,75 or 1,00,000 or 1.234.567", "1,500.75 or 100,000 or 1,234,567"),
        ("10 000 km and 1\u{202f}250\u{202f}000 people", "10,000 kilometers and 1,250,000 people"),
        (
            "5 ± 2, +/-3, 2 × 3 = 6, <5, 2^10",
            "5 plus or minus 2, plus or minus 3, 2 times 3 equals 6, less than 5, 2 to the power of 10",
        ),
    ]);
}

#[test]
fn units_are_read_behind_a_space_and_in_ranges() {
    check(&[
        (
            "It weighs 5 kg or 10 lb, 5 km away, 60 fps, 3 GHz, 5 ft.",
            "It weighs 5 kilograms or 10 pounds, 5 kilometers away, 60 frames per second, 3 gigahertz, 5 feet.",
        ),
        (
            "8 oz of milk, 16 fl oz, 3 tbsp, 10 sq ft",
            "8 ounces of milk, 16 fluid ounces, 3 tablespoons, 10 square feet",
        ),
        (
            "1 km. She ran 1 lb of it, 5 m² at 90 km/h",
            "1 kilometer. She ran 1 pound of it, 5 square meters at 90 kilometers per hour",
        ),
        ("We drove in 5 in the morning, 3 in. of snow", "We drove in 5 in the morning, 3 inches of snow"),
        (
            "Bake at 40–60°C or 40-60°C; it costs $10-$20.",
            "Bake at 40 to 60 degrees Celsius or 40 to 60 degrees Celsius; it costs 10 to 20 dollars.",
        ),
        (
            "5-10 kg, 10–20%, 40 – 60 °F, 9am-5pm",
            "5 to 10 kilograms, 10 to 20 percent, 40 to 60 degrees Fahrenheit, 9 a.m. to 5 p.m.",
        ),
        (
            "She is a 5-year-old girl and he is a 10-12-year-old boy.",
            "She is a 5 year old girl and he is a 10 to 12 year old boy.",
        ),
        ("5- to 10-year-olds, 18-to-24-year-olds", "5 to 10 year olds, 18 to 24 year olds"),
        ("a 5-kg bag, a 24-hour day, 2-in-1", "a 5 kilogram bag, a 24 hour day, 2 in 1"),
        ("1920x1080, 16:9, 5 x 3", "1920 by 1080, 16 to 9, 5 by 3"),
    ]);
}

#[test]
fn money_is_read_with_its_sign_before_or_behind() {
    check(&[
        ("It costs 20€ or ₹500.", "It costs 20 euros or 500 rupees."),
        ("20 €, 20,50 €, 1.500 €, 1.500,00 €", "20 euros, 20 euros and 50 cents, 1,500 euros, 1,500 euros"),
        ("a $1.5-million home", "a 1.5 million dollar home"),
        ("20€/month, 20 zł, 5 000 €", "20 euros per month, 20 zloty, 5,000 euros"),
        (
            "99¢, US$5, $-5, 20 EUR, USD 30",
            "99 cents, 5 US dollars, minus 5 dollars, 20 euros, 30 US dollars",
        ),
        ("$10–$20 million, €5–10, £1-2k", "10 to 20 million dollars, 5 to 10 euros, 1 to 2 thousand pounds"),
        (
            "$10/hr, £5.99/lb, ₹1,00,000",
            "10 dollars per hour, 5 pounds and 99 pence per pound, 100,000 rupees",
        ),
    ]);
}

#[test]
fn dates_and_times_are_said_as_such() {
    check(&[
        (
            "On 2024-01-15 and 01/15/2024 and 15.01.2024.",
            "On January 15th, 2024 and January 15th, 2024 and January 15th, 2024.",
        ),
        (
            "3/4/2024, 25/12/24, 2024-01-15T14:30:00Z",
            "March 4th, 2024, December 25th, 2024, January 15th, 2024 at 14 30",
        ),
        (
            "Today is Jan. 5 and Feb. 3rd; see you Dec. 24.",
            "Today is January 5th and February 3rd; see you December 24th.",
        ),
        (
            "5 Jan 2024, Sept. 11, Nov. 5–7, in Aug. we left",
            "the 5th of January 2024, September 11th, November 5th to 7th, in August we left",
        ),
        (
            "Oct. 31–Nov. 2, Jan.-Mar. 2024, 15-Jan-2024",
            "October 31st to November 2nd, January to March 2024, January 15th, 2024",
        ),
        ("Mon., Feb. 3. I met Jan. She left.", "Monday, February 3rd. I met Jan. She left."),
        ("It happened at 14:30:15.", "It happened at 14 30 and 15 seconds."),
        ("9:00-17:00, 5 am, 5 PM", "9 o'clock to 17 o'clock, 5 a.m., 5 p.m."),
        ("9:00 am, 10:00-11:00 am, 1:02:03.5", "9 a.m., 10 to 11 a.m., 1 oh 2 and 3 seconds"),
        (
            "the 1800s, '90s, mid-1990s, class of '24",
            "the 18 hundreds, nineties, mid 19 nineties, class of 24",
        ),
    ]);
    assert_eq!(normalise("3/4/2024", Accent::British), "the 3rd of April, 2024");
}

#[test]
fn fractions_add_to_the_number_before_them() {
    check(&[
        (
            "Use ½ cup, 2½ hours, 1 1/2 miles, 24/7.",
            "Use one half cup, 2 and a half hours, 1 and a half miles, 24/7.",
        ),
        (
            "¾, ⅓, 2⅔ cups, 1-1/2 inches, 7/8",
            "3 quarters, one third, 2 and 2 thirds cups, 1 and a half inches, 7 eighths",
        ),
        ("1½-inch pipe, 1 1/2 lb, 10/10", "1 and a half inch pipe, 1 and a half pounds, 10 out of 10"),
    ]);
}

/// Everything that is said, without the stress.
fn said(phonemiser: &Phonemiser, text: &str) -> (String, Vec<String>) {
    let script = phonemiser.script(text).unwrap();
    let symbols: Vec<String> = script.utterances.iter().map(super::Utterance::symbols).collect();
    let warnings = script.warnings.iter().map(|warning| warning.message.clone()).collect();
    (symbols.join(" ").replace(['ˈ', 'ˌ'], ""), warnings)
}

#[test]
fn what_no_dictionary_has_is_put_together_from_its_parts() {
    let phonemiser = Phonemiser::new(Accent::American);
    for (text, expected) in [
        // Names, and words without their g.
        ("O'Brien and O'Connor and O’Neill met D'Angelo.", "ObɹIən ænd Okɑnəɹ ænd Onil mɛt dænʤəlO."),
        ("O’Shea’s friend McGregor", "OʃAz fɹɛnd məɡɹɛɡəɹ"),
        ("He kept movin' and dancin'.", "hi kɛpt muvɪn ænd dænsɪn."),
        ("talkin' and runnin' with 'em", "tɔkɪn ænd ɹʌnɪn wɪð əm"),
        ("We flew on a Pan Am Constellation.", "wi flu ɔn ɐ pæn æm kɑnstəlAʃən."),
        // Groups of several.
        ("GPT-3.5", "ʤi pi ti θɹi pYnt fIv"),
        ("24/7 and 9/11", "twɛnti fɔɹ sɛvən ænd nIn əlɛvᵊn"),
        ("2024's best COVID-19 x86-64", "twɛnti twɛnti fɔɹz bɛst kOvɪd nIntin ɛks ATi sɪks sɪksti fɔɹ"),
        ("snake_case and R&D", "snAk kAs ænd ɑɹ ænd di"),
        // What is written is read, what is no word is not.
        ("Include docker, etc. Whether its GPU.", "ɪnklud dɑkəɹ, ɛt sɛtəɹə. wɛðəɹ ɪts ʤipiju."),
        ("Hello. [pause:0.5s] Nice to meet you.", "həlO. nIs tə mit ju."),
        ("**bold** stuff, see [our site](https://example.com/x) now.", "bOld stʌf, si Wəɹ sIt nW."),
        ("Dvořák, Erdoğan and Nguyễn.", "dvɔɹʒæk, ɛɹdəwɑn ænd wɪn."),
    ] {
        assert_eq!(said(&phonemiser, text), (expected.to_owned(), Vec::new()), "{text}");
    }
    let (symbols, warnings) = said(&phonemiser, "great😊 abc日本");
    assert!(symbols.starts_with("ɡɹAt"), "{symbols}");
    assert!(warnings.iter().any(|warning| warning.ends_with("spoken: 😊 abc日本")), "{warnings:?}");
}

#[test]
fn what_cannot_be_spoken_is_known_without_the_dictionaries() {
    let phonemiser = Phonemiser::new(Accent::American);
    for text in [
        "😊",
        "😊 👍🏽",
        "日本語",
        "…!?",
        "[pause:1s]",
        "<break time=\"1s\"/>",
        "---",
        "\u{200b}",
        "Привет",
        "* * *",
    ] {
        assert!(check_speakable(text).is_err() && phonemiser.script(text).is_err(), "{text}");
    }
    for text in ["½", "&", "Ｈ", "😊 ok", "𝗛𝗶", "5", "é", "**a**", "π"] {
        assert!(check_speakable(text).is_ok() && phonemiser.script(text).is_ok(), "{text}");
    }
}
