//! Sentences as people write them, and the words that are spoken of each, with a bar where a sentence ends.

use super::normalise::normalise;
use super::{Accent, sentences};

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let spoken = sentences::split(&normalise(text, Accent::American)).join(" | ");
        assert_eq!(spoken, *expected, "{text}");
    }
}

#[test]
fn sentences_end_where_people_end_them() {
    check(&[
        ("The U.S. Government said so.", "The U.S. Government said so."),
        (
            "The U.S. is big. He moved to the U.S. He liked it.",
            "The U.S. is big. | He moved to the U.S. | He liked it.",
        ),
        (
            "The U.N. Secretary met the U.K. Prime Minister.",
            "The U.N. Secretary met the U.K. Prime Minister.",
        ),
        ("See you at 5 p.m. Monday or at 9 a.m. Tuesday.", "See you at 5 p.m. Monday or at 9 a.m. Tuesday."),
        (
            "We met at 5 p.m. Then we left. It closes at 5 p.m.",
            "We met at 5 p.m. | Then we left. | It closes at 5 p.m.",
        ),
        (
            "It starts at 8 p.m. ET and ends at 10 p.m. Pacific time.",
            "It starts at 8 p.m. ET and ends at 10 p.m. Pacific time.",
        ),
        ("At 5 a.m. Tom left.", "At 5 a.m. | Tom left."),
        (
            "On Jan. 5 it snowed, and on Sept. 12 it rained.",
            "On January 5th it snowed, and on September 12th it rained.",
        ),
        ("Apple Inc. CEO Tim Cook spoke.", "Apple Incorporated CEO Tim Cook spoke."),
        (
            "Alphabet Inc. is big. He works at Alphabet Inc. She does not.",
            "Alphabet Incorporated is big. | He works at Alphabet Incorporated. | She does not.",
        ),
        (
            "Ford Motor Co. Chairman Bill Ford and Foo Ltd. Director Jane Roe met.",
            "Ford Motor Company Chairman Bill Ford and Foo Limited Director Jane Roe met.",
        ),
        ("J.R.R. Tolkien and C.S. Lewis were friends.", "J.R.R. Tolkien and C.S. Lewis were friends."),
        (
            "J. K. Rowling, George W. Bush and Susan B. Anthony came.",
            "J. K. Rowling, George W. Bush and Susan B. Anthony came.",
        ),
        ("Bach's Op. 12 No. 3 is in C# minor.", "Bach's opus 12 number 3 is in C sharp minor."),
        (
            "St. Patrick's Day, St. Louis and St. Mary's.",
            "Saint Patrick's Day, Saint Louis and Saint Mary's.",
        ),
        ("In St. Louis we visited St. Paul.", "In Saint Louis we visited Saint Paul."),
        (
            "He lives on Elm St. She lives on Oak Ave. in N.Y.C.",
            "He lives on Elm Street. | She lives on Oak Avenue in N.Y.C.",
        ),
        (
            "Dr. Jane Smith, Prof. Lee, Gen. Patton and Sen. Warren spoke.",
            "Dr. Jane Smith, Professor Lee, General Patton and Senator Warren spoke.",
        ),
        (
            "Mr. T. and Mrs. B. Jones met Lt. Col. Brown.",
            "Mr. T. and Mrs. B. Jones met Lieutenant Colonel Brown.",
        ),
        (
            "Martin Luther King Jr. Day is in January. Robert Downey Jr. He acted.",
            "Martin Luther King Junior Day is in January. | Robert Downey Junior. | He acted.",
        ),
        (
            "She has a Ph.D. Her brother has an M.D. from Yale.",
            "She has a Ph.D. | Her brother has an M.D. from Yale.",
        ),
        (
            "I got plan B. We went home. Vitamin C. It helps.",
            "I got plan B. | We went home. | Vitamin C. | It helps.",
        ),
        ("He said no. Then he left. No. 5 is alive.", "He said no. | Then he left. | Number 5 is alive."),
        (
            "Washington, D.C. is nice. He lives in Washington, D.C. He likes it.",
            "Washington, D.C. is nice. | He lives in Washington, D.C. | He likes it.",
        ),
        (
            "Some animals, e.g. Dogs, bark; others, i.e. Cats, do not.",
            "Some animals, e.g. Dogs, bark; others, i.e. Cats, do not.",
        ),
        (
            "Smith vs. Jones was long. See Fig. 3, Vol. 2, pp. 12-15 and Sec. 4.",
            "Smith versus Jones was long. | See figure 3, volume 2, pages 12 to 15 and section 4.",
        ),
        (
            "Include docker, etc. Whether it runs is open.",
            "Include docker, et cetera. | Whether it runs is open.",
        ),
        (
            "He bought 2 lbs. of apples, 16 oz. of milk, etc.",
            "He bought 2 pounds of apples, 16 ounces of milk, et cetera.",
        ),
        ("Prep time: 10 min. Cook time: 45 min.", "Prep time: 10 minutes. | Cook time: 45 minutes."),
        ("Hello,world.How are you?", "Hello, world. | How are you?"),
        ("It ended.Then it began.", "It ended. | Then it began."),
    ]);
}

#[test]
fn words_of_mixed_kind_are_heard_whole() {
    check(&[
        ("A 24-hour shop for a 50-year-old man.", "A 24 hour shop for a 50 year old man."),
        (
            "The 10-12-year-old children, a 5-a-side team and a 2-for-1 offer.",
            "The 10 to 12 year old children, a 5 a side team and a 2 for 1 offer.",
        ),
        (
            "The 1st-class ticket of the 21st-century, a 3rd-party app.",
            "The 1st class ticket of the 21st century, a 3rd party app.",
        ),
        ("The year 2024's best COVID-19 news.", "The year 2024's best COVID-19 news."),
        (
            "Write to john.doe@gmail.com for $9/month.",
            "Write to john dot doe at gmail dot com for 9 dollars per month.",
        ),
        ("\"No\"—and left.", "\"No\" — and left."),
        ("\"Hello\"—he said—\"there.\"", "\"Hello\" — he said — \"there.\""),
        (
            "It was late—very late. Wait--what? Wait -- what?",
            "It was late—very late. | Wait—what? | Wait — what?",
        ),
        ("A [really] good {idea}.", "A (really) good (idea)."),
        ("left;the rest", "left; the rest"),
        (
            "C-3PO, R2-D2, WD-40, 7-Eleven, Blink-182, GPT-4 and x86-64",
            "C-3PO, R2-D2, WD-40, 7 Eleven, Blink-182, GPT-4 and x86-64",
        ),
        (
            "He paid $5-plus in a $1 billion-plus deal.",
            "He paid 5 dollars plus in a 1 billion dollars plus deal.",
        ),
        ("My 401(k), his 501(c)(3) and 802.11ac.", "My 4 oh 1 K, his 5 oh 1 C 3 and 8 oh 2 point 11 AC."),
        (
            "Read #ThrowbackThursday, #1 and @jane_doe.",
            "Read hashtag Throwback Thursday, number 1 and at jane underscore doe.",
        ),
        ("snake_case, C++, C#, R&D and .NET", "snake case, C plus plus, C sharp, R&D and dot net"),
        ("Take the M25, the A1 and I-95 to Hwy. 101.", "Take the M25, the A1 and I-95 to highway 101."),
        (
            "Flight 328, Boeing 747, Route 66 and Room 101.",
            "Flight 3 28, Boeing 7 47, Route 66 and Room 1 oh 1.",
        ),
        ("A V8 engine, a V6, v2 and v1.9.", "A V8 engine, a V6, version 2 and version 1 point 9."),
        ("The 747-400 and ten 747s.", "The 7 47 400 and ten 747's."),
        ("Sooo good! Nooooo! Yesss, loooong.", "Sooo good! | Nooooo! | Yesss, loooong."),
    ]);
}

#[test]
fn numbers_and_dates_are_read_in_their_sentence() {
    check(&[
        ("On Dec. 3rd and Dec. 25.", "On December 3rd and December 25th."),
        ("January 5, May 4 and March 3-5.", "January 5th, May 4th and March 3rd to 5th."),
        (
            "5 January 2024, 1st Jan 2024 and Sunday, 1 January 2023.",
            "the 5th of January 2024, the 1st of January 2024 and Sunday, the 1st of January 2023.",
        ),
        ("In March 5 people came.", "In March 5 people came."),
        ("Version 2.0.1 costs 12.5% more.", "Version 2 point 0 point 1 costs 12.5 percent more."),
        (
            "Add 1 1/2 cups, 2½ cups, 1 1/4 tsp. salt and ½ cup.",
            "Add 1 and a half cups, 2 and a half cups, 1 and a quarter teaspoons salt and one half cup.",
        ),
        (
            "A 3/4-inch pipe, 2/3 of it and 5⅛ miles.",
            "A 3 quarter inch pipe, 2 thirds of it and 5 and an eighth miles.",
        ),
        (
            "3 × 4 = 12, 2+2=4, 5-3=2, 10 - 3 = 7 and 6/2=3.",
            "3 times 4 equals 12, 2 plus 2 equals 4, 5 minus 3 equals 2, 10 minus 3 equals 7 and 6 divided by 2 equals 3.",
        ),
        (
            "√16, 2^8=256, 10⁶, x=5 and 5 ± 2",
            "the square root of 16, 2 to the power of 8 equals 256, 10 to the power of 6, x equals 5 and 5 plus or minus 2",
        ),
        (
            "He scored 10 - 20 points, 15% - 20% of all.",
            "He scored 10 to 20 points, 15 percent to 20 percent of all.",
        ),
        ("50/50, 24/7, 9/11 and 50-50", "50/50, 24/7, 9/11 and 50 50"),
        (
            "12/25/2023, 2024-01-15, 2024-05 and 2023-24",
            "December 25th, 2023, January 15th, 2024, May 2024 and 2023 to 24",
        ),
        (
            "On Mon., Jan. 5; Mon-Fri, Sat/Sun; every Thurs. we play.",
            "On Monday, January 5th; Monday to Friday, Saturday, Sunday; every Thursday we play.",
        ),
        ("Open 9 a.m.–5 p.m. or 9am-5pm.", "Open 9 a.m. to 5 p.m. or 9 a.m. to 5 p.m."),
        ("At 7.30pm, 7.05 a.m., 15h30 and 6:00 o'clock.", "At 7 30 p.m., 7 oh 5 a.m., 15 30 and 6 o'clock."),
        (
            "It took 2h 30m, 2h30m or 5m 30s.",
            "It took 2 hours 30 minutes, 2 hours 30 minutes or 5 minutes 30 seconds.",
        ),
        (
            "Aug. 3 – Sept. 5, mid-Oct., in Feb. we meet.",
            "August 3rd to September 5th, mid October, in February we meet.",
        ),
        (
            "007, 0042 and PIN 4821; call 911 or dial 999.",
            "0 0 7, 0 0 4 2 and PIN 4 8 2 1; call 9 1 1 or dial 9 9 9.",
        ),
        (
            "The card 4111 1111 1111 1111 and 1'000'000 francs",
            "The card 4 1 1 1, 1 1 1 1, 1 1 1 1, 1 1 1 1 and 1,000,000 francs",
        ),
        (
            "Henry VIII, World War I, World War II, WWII and Super Bowl LVIII",
            "Henry the 8th, World War 1, World War 2, World War 2 and Super Bowl 58",
        ),
        (
            "King Charles III, Elizabeth II, Chapter V, the XIX century",
            "King Charles the 3rd, Elizabeth the 2nd, Chapter 5, the 19th century",
        ),
        (
            "Part I is good. The part I played was small. Malcolm X.",
            "Part 1 is good. | The part I played was small. | Malcolm X.",
        ),
    ]);
}

#[test]
fn units_stand_in_the_number_that_their_noun_wants() {
    check(&[
        (
            "2 tsp salt, 3 lbs beef, 12.5 kg flour and 1 pt cream",
            "2 teaspoons salt, 3 pounds beef, 12.5 kilograms flour and 1 pint cream",
        ),
        (
            "1 c. sugar, 2 pts. milk, 8 fl oz, 10 sq. ft. and 5 cu ft",
            "1 cup sugar, 2 pints milk, 8 fluid ounces, 10 square feet and 5 cubic feet",
        ),
        (
            "A 100 m race, a 5 km run, a 12 oz can, an 8\" pizza and a 6' man.",
            "A 100 meter race, a 5 kilometer run, a 12 ounce can, an 8 inch pizza and a 6 foot man.",
        ),
        (
            "A 20% discount, a $5 bill, the $1.5 million house, a £10 note.",
            "A 20 percent discount, a 5 dollar bill, the 1.5 million dollar house, a 10 pound note.",
        ),
        (
            "They paid a $5 and left; the 5 km he ran; a $20 of his.",
            "They paid a 5 dollars and left; the 5 kilometers he ran; a 20 dollars of his.",
        ),
        (
            "100 m2, 5 km², 9.8 m/s^2, 9.8 m/s² and 3 m3",
            "100 square meters, 5 square kilometers, 9.8 meters per second squared, 9.8 meters per second squared and 3 cubic meters",
        ),
        (
            "5 mg/kg, 60 beats/min, 3x/week, 5 L/100km and 8 hrs/day",
            "5 milligrams per kilogram, 60 beats per minute, 3 times per week, 5 liters per 100 kilometers and 8 hours per day",
        ),
        (
            "$5/lb, $10/hr, €0.30/kWh, 10¢/min and £5.99/mo.",
            "5 dollars per pound, 10 dollars per hour, 30 cents per kilowatt hour, 10 cents per minute and 5 pounds and 99 pence per month.",
        ),
        (
            "Set it to 350F; a 180C oven; 20° C; -5°C",
            "Set it to 350 degrees Fahrenheit; a 180 degree Celsius oven; 20 degrees Celsius; minus 5 degrees Celsius",
        ),
        ("His blood pressure was 120/80.", "His blood pressure was 120 over 80."),
        ("1080p, 720p, 480p, 1080p60 and 1080i", "10 80 P, 7 20 P, 4 80 P, 10 80 P 60 and 10 80 I"),
        (
            "A 4K TV, an 8K screen, a 5K run, 10K followers, 20k people, 4k video",
            "A 4 K TV, an 8 K screen, a 5 K run, 10 thousand followers, 20 thousand people, 4 K video",
        ),
        ("5m people, 5M views and 5 m long", "5 million people, 5 million views and 5 meters long"),
        (
            "1920x1080, 10 x 12 x 8 cm, 16:9 and 8.5 x 11 in",
            "1920 by 1080, 10 by 12 by 8 centimeters, 16 to 9 and 8.5 by 11 inches",
        ),
        (
            "A 12MP camera with 16GB of RAM, 300 dpi and 450 hp.",
            "A 12 megapixel camera with 16 gigabytes of RAM, 300 dots per inch and 450 horsepower.",
        ),
        (
            "6 ft 2 in, 5'11, 5 ft. 10 in. and a 10-in. pan",
            "6 feet 2 inches, 5 feet 11 inches, 5 feet 10 inches and a 10 inch pan",
        ),
    ]);
}

#[test]
fn money_is_read_on_either_side() {
    check(&[
        (
            "5€, 5 €, €5, € 5, 5,50€, £1.50p and Rs. 500",
            "5 euros, 5 euros, 5 euros, 5 euros, 5 euros and 50 cents, 1 pound and 50 pence and 500 rupees",
        ),
        (
            "NZ$5, HK$5, 100 SEK, 50 CHF and USD 30",
            "5 New Zealand dollars, 5 Hong Kong dollars, 100 Swedish kronor, 50 Swiss francs and 30 US dollars",
        ),
        (
            "$1.2-1.5 billion, $5M-$10M, $10–$20, $.99 and $1.01",
            "1.2 to 1.5 billion dollars, 5 million to 10 million dollars, 10 to 20 dollars, 99 cents and 1 dollar and 1 cent",
        ),
        (
            "He paid $5. She paid $10! (It cost $5.)",
            "He paid 5 dollars. | She paid 10 dollars! | (It cost 5 dollars.)",
        ),
    ]);
}

#[test]
fn places_and_paths_are_said_in_words() {
    check(&[
        ("123 Main St., Springfield, IL 62704", "123 Main Street, Springfield, Illinois, 6 2 7 0 4"),
        ("350 5th Ave, New York, NY 10118", "350 5th Avenue, New York, New York, 1 0 1 1 8"),
        (
            "1600 Pennsylvania Ave NW, Washington, DC 20500",
            "1600 Pennsylvania Avenue Northwest, Washington, D.C., 2 0 5 0 0",
        ),
        (
            "W. 34th St. and N. 3rd St. meet 42nd St. here.",
            "West 34th Street and North 3rd Street meet 42nd Street here.",
        ),
        (
            "Mulholland Dr. is long, says Dr. Dre; 4 Oak Dr., Austin, TX.",
            "Mulholland Drive is long, says Dr. Dre; 4 Oak Drive, Austin, Texas.",
        ),
        (
            "He is from St. Paul, Minn., and she from Tampa, Fla.",
            "He is from Saint Paul, Minnesota, and she from Tampa, Florida.",
        ),
        (
            "Apt. 4B, Ste. 100, Bldg. 7, Rm. 101, P.O. Box 12",
            "apartment 4B, suite 100, building 7, room 101, P.O. Box 12",
        ),
        (
            "http://localhost:8080/ and https://github.com/user/repo",
            "localhost port 8 0 8 0 and github dot com slash user slash repo",
        ),
        (
            "/usr/local/bin and C:\\Users\\me",
            "slash usr slash local slash bin and C colon backslash Users backslash me",
        ),
        ("photo.JPG, README.md and main.rs", "photo dot JPG, README dot MD and main dot RS"),
    ]);
}

#[test]
fn words_that_are_told_by_their_accents_keep_them() {
    check(&[
        (
            "My résumé is a cliché, said my fiancée at the café.",
            "My résumé is a cliché, said my fiancée at the café.",
        ),
        ("The façade of the Champs-Élysées", "The façade of the Champs-Élysées"),
        (
            "Crème brûlée, a rosé and pâté for André, José and Zoë.",
            "Crème brûlée, a rosé and pâté for André, José and Zoe.",
        ),
    ]);
}
