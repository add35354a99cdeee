//! Everyday sentences in phonemes, and what any text at all may not do.

use std::sync::OnceLock;

use super::normalise::normalise;
use super::{Accent, Phonemiser, sentences};

fn phonemiser(accent: Accent) -> &'static Phonemiser {
    static AMERICAN: OnceLock<Phonemiser> = OnceLock::new();
    static BRITISH: OnceLock<Phonemiser> = OnceLock::new();
    match accent {
        Accent::American => AMERICAN.get_or_init(|| Phonemiser::new(accent)),
        Accent::British => BRITISH.get_or_init(|| Phonemiser::new(accent)),
    }
}

/// What is spoken, sentences parted by a bar, without the stress; and what the warnings say.
fn said(text: &str, accent: Accent) -> (String, Vec<String>) {
    let script = phonemiser(accent).script(text).unwrap();
    let symbols: Vec<String> = script.utterances.iter().map(super::Utterance::symbols).collect();
    let warnings = script.warnings.iter().map(|warning| warning.message.clone()).collect();
    (symbols.join(" | ").replace(['ˈ', 'ˌ'], ""), warnings)
}

fn check(cases: &[(&str, &str)], accent: Accent) {
    for (text, expected) in cases {
        assert_eq!(said(text, accent), ((*expected).to_owned(), Vec::new()), "{text}");
    }
}

/// The phonemes are those of Misaki 0.9.4 itself, with spaCy's small model and espeak-ng for unknown words.
#[test]
fn plain_english_is_said_as_misaki_says_it() {
    check(
        &[
            (
                "Good morning, and welcome to the six o'clock news.",
                "ɡʊd mɔɹnɪŋ, ænd wɛlkəm tə ðə sɪks əklɑk nuz.",
            ),
            (
                "The storm caused $2.5 billion in damage across three states.",
                "ðə stɔɹm kɔzd tu pYnt fIv bɪljən dɑləɹz ɪn dæmɪʤ əkɹɔs θɹi stAts.",
            ),
            (
                "Turnout was 61%, up from 55% in 2019.",
                "tɜɹnWt wʌz sɪksti wʌn pəɹsɛnt, ʌp fɹʌm fɪfti fIv pəɹsɛnt ɪn twɛnti nIntin.",
            ),
            ("Season with salt & pepper to taste.", "sizᵊn wɪð sɔlt ænd pɛpəɹ tə tAst."),
            ("Cut the chicken into 1-inch cubes.", "kʌt ðə ʧɪkən ɪntu wʌn ɪnʧ kjubz."),
            (
                "Let the dough rise for 2 hours, then knead it again.",
                "lɛt ðə dO ɹIz fɔɹ tu Wəɹz, ðɛn nid ɪt əɡɛn.",
            ),
            ("It was the team's 1st win in 12 games.", "ɪt wʌz ðə timz fɜɹst wɪn ɪn twɛlv ɡAmz."),
            ("Messi scored twice in the 89th minute.", "mɛsi skɔɹd twIs ɪn ði ATi nInθ mɪnət."),
            (
                "The hotel is at 221B Baker Street, next to the museum.",
                "ðə hOtɛl ɪz æt tu hʌndɹəd twɛnti wʌn bi bAkəɹ stɹit, nɛkst tə ðə mjuziəm.",
            ),
            (
                "Merge onto the M25 and stay in the left lane.",
                "mɜɹʤ ɑntu ði ɛm twɛnti fIv ænd stA ɪn ðə lɛft lAn.",
            ),
            (
                "Today I'm going to show you how to reset your password in three easy steps.",
                "tədA Im ɡOɪŋ tə ʃO ju hW tə ɹisɛt jʊɹ pæswɜɹd ɪn θɹi izi stɛps.",
            ),
            ("Step 2: Tap \"Privacy & Security\".", "stɛp tu: tæp “pɹIvəsi ænd səkjʊɹəTi”."),
            ("You're watching Channel 4 News.", "jʊɹ wɑʧɪŋ ʧænᵊl fɔɹ nuz."),
            ("Wow, that's amazing — I can't believe it!", "wW, ðæts əmAzɪŋ — I kænt bəliv ɪt!"),
            (
                "Our story begins in 1892, in a small village in the Alps.",
                "Wəɹ stɔɹi bəɡɪnz ɪn Atin nIndi tu, ɪn ɐ smɔl vɪlɪʤ ɪn ði ælps.",
            ),
            ("\"Where are you going?\" asked the wolf.", "“wɛɹ ɑɹ ju ɡOɪŋ?” æskt ðə wʊlf."),
            ("\"To my grandmother's house,\" she replied.", "“tə mI ɡɹændmʌðəɹz hWs,” ʃi ɹᵻplId."),
            ("I live in a small town, but I love live music.", "I lɪv ɪn ɐ smɔl tWn, bʌt I lʌv lIv mjuzɪk."),
            (
                "The wind was blowing so hard that we had to wind up the windows.",
                "ðə wɪnd wʌz blOɪŋ sO hɑɹd ðæt wi hæd tə wInd ʌp ðə wɪndOz.",
            ),
            ("She couldn't bear to see the bear in the cage.", "ʃi kʊdᵊnt bɛɹ tə si ðə bɛɹ ɪn ðə kAʤ."),
            ("They refused to let the refuse pile up.", "ðA ɹəfjuzd tə lɛt ðə ɹɛfjus pIl ʌp."),
            ("The bandage was wound around the wound.", "ðə bændɪʤ wʌz wWnd əɹWnd ðə wund."),
            ("Can you present the present to the guest?", "kæn ju pɹizɛnt ðə pɹɛzᵊnt tə ðə ɡɛst?"),
            ("He wanted to record a new record.", "hi wɑntᵻd tə ɹəkɔɹd ɐ nu ɹɛkəɹd."),
            ("The invalid had an invalid ticket.", "ði ɪnvəlɪd hæd ɐn ɪnvælɪd tɪkət."),
            (
                "We need to conduct the survey; his conduct was poor.",
                "wi nid tə kəndʌkt ðə sɜɹvA; hɪz kɑndʌkt wʌz pʊɹ.",
            ),
            ("I object to that object being here.", "I əbʤɛkt tə ðæt ɑbʤəkt biɪŋ hɪɹ."),
            ("Close the door; you're standing too close.", "klOz ðə dɔɹ; jʊɹ stændɪŋ tu klOs."),
            ("There was a row about which row to sit in.", "ðɛɹ wʌz ɐ ɹO əbWt wɪʧ ɹO tə sɪt ɪn."),
            (
                "He shed a tear when he saw the tear in the painting.",
                "hi ʃɛd ɐ tɪɹ wɛn hi sɔ ðə tɪɹ ɪn ðə pAntɪŋ.",
            ),
            ("Use it or lose it; there's no use crying.", "juz ɪt ɔɹ luz ɪt; ðɛɹz nO jus kɹIɪŋ."),
            (
                "The GDP grew by 0.4% in Q2, according to the ONS.",
                "ðə ʤidipi ɡɹu bI zɪɹO pYnt fɔɹ pəɹsɛnt ɪn kju tu, əkɔɹdɪŋ tə ði Oɛnɛs.",
            ),
            (
                "COVID-19 cases rose for the third week in a row.",
                "kOvɪd nIntin kAsᵻz ɹOz fɔɹ ðə θɜɹd wik ɪn ɐ ɹO.",
            ),
            ("He works for the FBI, not the CIA.", "hi wɜɹks fɔɹ ði ɛfbiI, nɑt ðə siIA."),
            (
                "My Wi-Fi isn't working, so I can't join the Zoom call.",
                "mI wIfI ɪzᵊnt wɜɹkɪŋ, sO I kænt ʤYn ðə zum kɔl.",
            ),
            (
                "Python 3.12 was released in October 2023.",
                "pIθɑn θɹi pYnt wʌn tu wʌz ɹəlist ɪn ɑktObəɹ twɛnti twɛnti θɹi.",
            ),
            ("The 19th century saw rapid industrial growth.", "ðə nIntinθ sɛnʧəɹi sɔ ɹæpəd ɪndʌstɹiəl ɡɹOθ."),
            (
                "In the 1960s, fewer than 10% of homes had a TV.",
                "ɪn ðə nIntin sɪkstiz, fjuəɹ ðən tɛn pəɹsɛnt ʌv hOmz hæd ɐ tivi.",
            ),
            ("The '80s were great for pop music.", "ði ATiz wɜɹ ɡɹAt fɔɹ pɑp mjuzɪk."),
            ("The Battle of Hastings was fought in 1066.", "ðə bæTᵊl ʌv hAstɪŋz wʌz fɔt ɪn tɛn sɪksti sɪks."),
            ("About 1,500 people attended the event.", "əbWt wʌn θWzᵊnd fIv hʌndɹəd pipᵊl ətɛndᵻd ði əvɛnt."),
            (
                "The population of India is over 1.4 billion.",
                "ðə pɑpjəlAʃən ʌv ɪndiə ɪz Ovəɹ wʌn pYnt fɔɹ bɪljən.",
            ),
            (
                "It costs £12.99 a month, or £120 a year.",
                "ɪt kɔsts twɛlv pWndz ænd nIndi nIn pɛns ɐ mʌnθ, ɔɹ wʌn hʌndɹəd twɛnti pWndz ɐ jɪɹ.",
            ),
            (
                "Tickets are $25 for adults and $12.50 for kids under 12.",
                "tɪkəts ɑɹ twɛnti fIv dɑləɹz fɔɹ ədʌlts ænd twɛlv dɑləɹz ænd fɪfti sɛnts fɔɹ kɪdz ʌndəɹ twɛlv.",
            ),
            ("The house sold for $1.2 million.", "ðə hWs sOld fɔɹ wʌn pYnt tu mɪljᵊn dɑləɹz."),
            ("Two-thirds of the members voted yes.", "tuθɜɹdz ʌv ðə mɛmbəɹz vOTᵻd jɛs."),
            ("The children's toys were all over the floor.", "ðə ʧɪldɹᵊnz tYz wɜɹ ɔl Ovəɹ ðə flɔɹ."),
            (
                "The Joneses' car is parked in front of my parents' house.",
                "ðə ʤOnzᵻz kɑɹ ɪz pɑɹkt ɪn fɹʌnt ʌv mI pɛɹᵊnts hWs.",
            ),
            ("James's brother is the boss's friend.", "ʤAmzᵻz bɹʌðəɹ ɪz ðə bɔsᵻz fɹɛnd."),
            ("We're gonna be late, 'cause the bus ain't coming.", "wɪɹ ɡʌnə bi lAt, kʌz ðə bʌs Ant kʌmɪŋ."),
            ("Rock 'n' roll will never die.", "ɹɑk ən ɹOl wɪl nɛvəɹ dI."),
            ("Who'd have thought it'd rain?", "hud hæv θɔt ɪTəd ɹAn?"),
            ("You've got to be kidding me.", "juv ɡɑt tə bi kɪdɪŋ mi."),
            ("A well-known, state-of-the-art, user-friendly app.", "ɐ wɛlnOn, stAtʌvðiɑɹt, juzəɹfɹɛndli æp."),
            (
                "The ex-president's half-brother is a well-to-do lawyer.",
                "ði ɛkspɹɛzədɛnts hæfbɹʌðəɹ ɪz ɐ wɛltədu lYəɹ.",
            ),
            ("It's a once-in-a-lifetime opportunity.", "ɪts ɐ wʌnsɪnɐlIftIm ɑpəɹtunəTi."),
            ("My mother-in-law makes the best apple pie.", "mI mʌðəɹənlɔ mAks ðə bɛst æpᵊl pI."),
            ("The 3-year-old twins are adorable.", "ðə θɹi jɪɹ Old twɪnz ɑɹ ədɔɹəbᵊl."),
            (
                "There are three options: (a) stay, (b) leave, or (c) wait.",
                "ðɛɹ ɑɹ θɹi ɑpʃənz: (A) stA, (bi) liv, ɔɹ (si) wAt.",
            ),
            ("To be, or not to be: that is the question.", "tə bi, ɔɹ nɑt tə bi: ðæt ɪz ðə kwɛsʧᵊn."),
            ("The quick brown fox jumps over the lazy dog.", "ðə kwɪk bɹWn fɑks ʤʌmps Ovəɹ ðə lAzi dɔɡ."),
            ("She sells sea shells by the sea shore.", "ʃi sɛlz si ʃɛlz bI ðə si ʃɔɹ."),
            (
                "The thirty-three thieves thought that they thrilled the throne throughout Thursday.",
                "ðə θɜɹTiθɹi θivz θɔt ðæt ðA θɹɪld ðə θɹOn θɹuWt θɜɹzdA.",
            ),
            ("50% off everything, today only!", "fɪfti pəɹsɛnt ɔf ɛvəɹiθɪŋ, tədA Onli!"),
            (
                "Admission is free for children under 5 and seniors over 65.",
                "ədmɪʃən ɪz fɹi fɔɹ ʧɪldɹᵊn ʌndəɹ fIv ænd sinjəɹz Ovəɹ sɪksti fIv.",
            ),
            ("That'll be $18.75.", "ðætəl bi Atin dɑləɹz ænd sɛvənti fIv sɛnts."),
            ("The pH of pure water is 7.", "ðə piAʧ ʌv pjʊɹ wɔTəɹ ɪz sɛvən."),
            ("pi is approximately 3.14159.", "pI ɪz əpɹɑksəmətli θɹi pYnt wʌn fɔɹ wʌn fIv nIn."),
            (
                "If x = 5 and y = 3, then x + y = 8.",
                "ɪf ɛks ikwᵊlz fIv ænd wI ikwᵊlz θɹi, ðɛn ɛks plʌs wI ikwᵊlz At.",
            ),
            ("It's 9 o'clock on a Saturday.", "ɪts nIn əklɑk ɔn ɐ sæTəɹdA."),
            (
                "The S&P 500 rose 1.2%, and the FTSE 100 fell.",
                "ði ɛs ænd pi fIv hʌndɹəd ɹOz wʌn pYnt tu pəɹsɛnt, ænd ðə fʊtsi wʌn hʌndɹəd fɛl.",
            ),
            ("We met in '99.", "wi mɛt ɪn nIndi nIn."),
            ("The 7th of May, 2021.", "ðə sɛvənθ ʌv mA, twɛnti twɛnti wʌn."),
            ("There is a 1 in 1,000,000 chance.", "ðɛɹ ɪz ɐ wʌn ɪn wʌn mɪljᵊn ʧæns."),
        ],
        Accent::American,
    );
}

#[test]
fn what_misaki_loses_or_misreads_is_heard() {
    check(
        &[
            ("\"No\"—and left.", "“nO” — ænd lɛft."),
            ("The U.S. Government moved at 5 p.m. Monday.", "ðə juɛs ɡʌvəɹnmənt muvd æt fIv piɛm mʌndA."),
            ("It closes at 5 p.m.", "ɪt klOzᵻz æt fIv piɛm."),
            (
                "Apple Inc. CEO Tim Cook met J.R.R. Tolkien.",
                "æpᵊl ɪnkɔɹpəɹATᵻd siiO tɪm kʊk mɛt ʤAɑɹɑɹ tOlkin.",
            ),
            ("Bach's Op. 12 is in St. Louis.", "bɑks Opəs twɛlv ɪz ɪn sAnt lui."),
            (
                "My résumé is a cliché, said my fiancée at the café.",
                "mI ɹɛzəmA ɪz ɐ kliʃA, sɛd mI fiɑnsA æt ðə kæfA.",
            ),
            (
                "Crème brûlée, a rosé and pâté for André, José and Zoë.",
                "kɹɛm bɹulA, ɐ ɹOzA ænd pɑtA fɔɹ ɑndɹA, hOzA ænd zOi.",
            ),
            (
                "The M25 is closed; watch it in 1080p on a 4K TV.",
                "ði ɛm twɛnti fIv ɪz klOzd; wɑʧ ɪt ɪn tɛn ATi pi ɔn ɐ fɔɹ kA tivi.",
            ),
            (
                "A 24-hour, 50-year-old shop costs $9/month.",
                "ɐ twɛnti fɔɹ Wəɹ, fɪfti jɪɹ Old ʃɑp kɔsts nIn dɑləɹz pɜɹ mʌnθ.",
            ),
            ("COVID-19 and 2024's best O'Brien.", "kOvɪd nIntin ænd twɛnti twɛnti fɔɹz bɛst ObɹIən."),
            ("Mail john.doe@gmail.com.", "mAl ʤɑn dɑt dO æt ʤimAl dɑt kɑm."),
            ("You shouldn't've; y'all'd better go.", "ju ʃʊdᵊntəv; jɔld bɛTəɹ ɡO."),
            ("Three PhDs mind their Ps and Qs.", "θɹi piAʧdiz mInd ðɛɹ piz ænd kjuz."),
            ("Sooo good! Nooooo! Shh!", "sO ɡʊd! | nO! | ʃː!"),
            ("1st-class and 21st-century", "fɜɹst klæs ænd twɛnti fɜɹst sɛnʧəɹi"),
            ("A $5 bill for a 100 m race.", "ɐ fIv dɑləɹ bɪl fɔɹ ɐ wʌn hʌndɹəd miTəɹ ɹAs."),
            (
                "The A320, flight UA328 and an F-150",
                "ðə A θɹi twɛnti, flIt ju A θɹi twɛnti At ænd ɐn ɛf wʌn fɪfti",
            ),
            (
                "Add 1 1/2 cups, ½ tsp. salt and 12.5 kg flour.",
                "æd wʌn ænd ɐ hæf kʌps, wʌn hæf tispun sɔlt ænd twɛlv pYnt fIv kɪləɡɹæmz flWəɹ.",
            ),
            (
                "2+2=4, √16, 3 × 4 and 50/50",
                "tu plʌs tu ikwᵊlz fɔɹ, ðə skwɛɹ ɹut ʌv sɪkstin, θɹi tImz fɔɹ ænd fɪfti fɪfti",
            ),
            (
                "On Dec. 3rd, 12/25/2023 and Jan. 5",
                "ɔn disɛmbəɹ θɜɹd, disɛmbəɹ twɛnti fɪfθ, twɛnti twɛnti θɹi ænd ʤænjəwɛɹi fɪfθ",
            ),
            ("It costs 5€, version 2.0.1.", "ɪt kɔsts fIv jʊɹOz, vɜɹʒən tu pYnt zɪɹO pYnt wʌn."),
            ("World War I, Henry VIII and a V8", "wɜɹld wɔɹ wʌn, hɛnɹi ði Aθ ænd ɐ vi At"),
            ("The [really] good one left;the rest stayed.", "ðə (ɹiᵊli) ɡʊd wʌn lɛft; ðə ɹɛst stAd."),
            ("Blink-182 and GPT-4", "blɪŋk wʌn hʌndɹəd ATi tu ænd ʤi pi ti fɔɹ"),
        ],
        Accent::American,
    );
    check(
        &[
            (
                "It cost £3.50 at 7.30pm on the M25.",
                "ɪt kɒst θɹiː pWndz and fɪfti pɛns at sɛvᵊn θɜːti piːɛm ɒn ðə ɛm twɛnti fIv.",
            ),
            ("My résumé, O'Brien and a 5 km run", "mI ɹɛzəmA, QbɹIən and ɐ fIv kɪləmiːtə ɹʌn"),
        ],
        Accent::British,
    );
}

/// Text of any kind: any characters, and what the readings look for, thrown together.
fn anything() -> impl proptest::strategy::Strategy<Value = String> {
    const PIECES: &str = "(U\\.S\\.|p\\.m\\.|St\\.|No\\.|Inc\\.|[$€£#@~√±]|[0-9]{1,4}|kg|km/h|mg/L|m2|1/2|½|×|=|\\^|-|—|:|/|'s|é|[A-Z][a-z]{0,5}|[a-z]{1,6}|[.,;!?()\\[\\]\"'“”]| ){0,24}";
    proptest::prop_oneof!["\\PC{0,60}", PIECES, "[ -~]{0,60}", "[a-zé0-9'’.-]{0,40}"]
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_within_bounds(text in anything()) {
        for accent in [Accent::American, Accent::British] {
            let words = normalise(&text, accent);
            // No reading is longer than what a few characters stand for: "√5", "2^2", "5psi".
            let most = 64 + 24 * text.chars().count();
            proptest::prop_assert!(words.chars().count() <= most, "{words}");
            let sentences = sentences::split(&words);
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            proptest::prop_assert_eq!(letters(&sentences.concat()), letters(&words));
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]
    #[test]
    fn any_text_is_spoken_or_refused_in_words(text in anything()) {
        // One of its own: what it could not look up is told by whoever asks next.
        static OWN: OnceLock<Phonemiser> = OnceLock::new();
        match OWN.get_or_init(|| Phonemiser::new(Accent::American)).script(&text) {
            Ok(script) => {
                let symbols: usize = script.utterances.iter().map(|part| part.symbols().chars().count()).sum();
                proptest::prop_assert!(symbols <= 128 + 120 * text.chars().count());
            }
            // A panic inside the dictionaries would be told as one here.
            Err(error) => proptest::prop_assert!(!error.to_string().contains("no pronunciation"), "{error}"),
        }
    }
}
