//! Money: signs before or behind the amount, codes, scales, ranges.

use super::amounts::{Amount, amount, cardinal};
use super::attributive::is_attributive;
use super::{Place, Reading, bare, units};

/// The words of a currency: one, many, and its hundredths where they are named.
#[derive(Clone, Copy)]
struct Currency {
    one: &'static str,
    many: &'static str,
    parts: Option<(&'static str, &'static str)>,
}

const fn in_cents(one: &'static str, many: &'static str) -> Currency {
    Currency { one, many, parts: Some(("cent", "cents")) }
}

const fn whole(one: &'static str, many: &'static str) -> Currency {
    Currency { one, many, parts: None }
}

/// The currency of a sign.
fn of_sign(sign: &str) -> Option<Currency> {
    Some(match sign {
        "$" => in_cents("dollar", "dollars"),
        "US$" => in_cents("US dollar", "US dollars"),
        "A$" | "AU$" => in_cents("Australian dollar", "Australian dollars"),
        "C$" | "CA$" => in_cents("Canadian dollar", "Canadian dollars"),
        "NZ$" => in_cents("New Zealand dollar", "New Zealand dollars"),
        "HK$" => whole("Hong Kong dollar", "Hong Kong dollars"),
        "S$" => in_cents("Singapore dollar", "Singapore dollars"),
        "MX$" | "Mex$" => whole("Mexican peso", "Mexican pesos"),
        "Rs" => Currency { one: "rupee", many: "rupees", parts: Some(("paisa", "paise")) },
        "Fr" => whole("franc", "francs"),
        "€" => in_cents("euro", "euros"),
        "£" => Currency { one: "pound", many: "pounds", parts: Some(("penny", "pence")) },
        "¥" => whole("yen", "yen"),
        "₹" => Currency { one: "rupee", many: "rupees", parts: Some(("paisa", "paise")) },
        "₩" => whole("won", "won"),
        "₽" => whole("ruble", "rubles"),
        "₺" => whole("lira", "lira"),
        "₴" => whole("hryvnia", "hryvnia"),
        "₫" => whole("dong", "dong"),
        "₿" => whole("bitcoin", "bitcoins"),
        "₪" => whole("shekel", "shekels"),
        "₱" => whole("peso", "pesos"),
        "zl" => whole("zloty", "zloty"),
        "kr" => whole("krone", "kroner"),
        "R$" => whole("real", "reals"),
        "¢" => whole("cent", "cents"),
        _ => return None,
    })
}

/// The currency of a code that stands apart: `20 EUR`.
fn of_code(code: &str) -> Option<Currency> {
    Some(match code {
        "USD" => whole("US dollar", "US dollars"),
        "EUR" => in_cents("euro", "euros"),
        "GBP" => Currency { one: "pound", many: "pounds", parts: Some(("penny", "pence")) },
        "JPY" => whole("yen", "yen"),
        "CHF" => whole("Swiss franc", "Swiss francs"),
        "INR" => whole("rupee", "rupees"),
        "CAD" => whole("Canadian dollar", "Canadian dollars"),
        "AUD" => whole("Australian dollar", "Australian dollars"),
        "CNY" | "RMB" => whole("yuan", "yuan"),
        "BTC" => whole("bitcoin", "bitcoins"),
        "NZD" => whole("New Zealand dollar", "New Zealand dollars"),
        "HKD" => whole("Hong Kong dollar", "Hong Kong dollars"),
        "SGD" => whole("Singapore dollar", "Singapore dollars"),
        "MXN" => whole("Mexican peso", "Mexican pesos"),
        "SEK" => whole("Swedish krona", "Swedish kronor"),
        "NOK" => whole("Norwegian krone", "Norwegian kroner"),
        "DKK" => whole("Danish krone", "Danish kroner"),
        "PLN" => whole("zloty", "zloty"),
        "KRW" => whole("won", "won"),
        "RUB" => whole("ruble", "rubles"),
        "BRL" => whole("real", "reals"),
        "ZAR" => whole("rand", "rand"),
        "THB" => whole("baht", "baht"),
        "AED" => whole("dirham", "dirhams"),
        "ETH" => whole("ether", "ether"),
        _ => return None,
    })
}

/// An amount of money in words, with the tokens behind it that belong to it: its scale, its currency.
pub(super) fn read(place: &Place<'_>) -> Option<Reading> {
    let mut reading = found(place)?;
    // "a 5 dollar bill": singular before what it pays for.
    let (last, after) = (place.ahead(reading.takes), place.ahead(reading.takes + 1));
    if bare(last).2.is_empty() && is_attributive(place, after) && !reading.words.contains(" and ") {
        const UNITS: [&str; 7] = [" dollars", " euros", " pounds", " cents", " rupees", " francs", " pesos"];
        if UNITS.iter().any(|unit| reading.words.ends_with(unit)) {
            reading.words.pop();
        }
    }
    Some(reading)
}

fn found(place: &Place<'_>) -> Option<Reading> {
    let (core, next) = (place.core, bare(place.ahead(1)).1);
    let joins = place.tail.is_empty() && bare(place.ahead(1)).0.is_empty();
    // `€ 5`, `Rs. 500`
    if of_sign(core).is_some()
        && (joins || (place.tail == "." && core == "Rs"))
        && next.starts_with(|c: char| c.is_ascii_digit())
        && let Some(words) = token(&format!("{core}{next}"))
    {
        return Some(Reading { takes: 1, ..Reading::words(words) });
    }
    if let Some((currency, figures)) = parted(core) {
        // "$1 billion-plus"
        let (scale, more) = next.split_once('-').unwrap_or((next, ""));
        if joins && matches!(scale, "thousand" | "million" | "billion" | "trillion" | "hundred") {
            let number = range_or(figures)?;
            let words = format!("{number} {scale} {} {}", currency.many, more.replace('-', " "));
            return Some(Reading { takes: 1, ..Reading::words(words.trim_end().to_owned()) });
        }
        // "$5 CAD" names the currency twice.
        if let (Some(named), Some(number), true) = (of_code(next), amount(figures), joins) {
            return Some(Reading { takes: 1, ..Reading::words(said(&number, named)) });
        }
        return token(core).map(Reading::words);
    }
    if core.contains('/')
        && let Some(words) = token(core)
    {
        return Some(Reading::words(words));
    }
    // `EUR 20`
    if let (Some(currency), Some(number), true) = (of_code(core), amount(next), joins) {
        return Some(Reading { takes: 1, ..Reading::words(said(&number, currency)) });
    }
    // `20 EUR`, `20 €`, `20 million €`
    let number = before_sign(core)?;
    if !joins {
        return None;
    }
    if let Some(currency) = of_code(next).or_else(|| of_sign(next)) {
        let is_abbreviated = matches!(next, "Rs" | "Fr") && !place.ahead(1).ends_with('.');
        return (!is_abbreviated).then(|| Reading { takes: 1, ..Reading::words(said(&number, currency)) });
    }
    let scale = matches!(next, "thousand" | "million" | "billion" | "trillion");
    let behind = bare(place.ahead(2)).1;
    let currency = of_sign(behind).or_else(|| of_code(behind)).filter(|_| scale)?;
    Some(Reading { takes: 2, ..Reading::words(format!("{} {next} {}", number.figures, currency.many)) })
}

/// A token of money in words, such as `$12.50`, `20€`, `€1.5bn`, `$10-$20`, `$5/month`.
pub(super) fn token(core: &str) -> Option<String> {
    // `20€/month`
    if let Some((price, rate)) =
        core.split_once('/').filter(|_| core.starts_with(|c: char| c.is_ascii_digit()))
    {
        return Some(format!("{} {}", token(price)?, per(rate)?));
    }
    // "£1.50p" says the same twice.
    let core = match core.strip_suffix('p') {
        Some(pounds) if pounds.starts_with('£') && pounds.contains('.') => pounds,
        _ => core,
    };
    let (currency, rest) = parted(core)?;
    if core.starts_with(rest)
        && let Some(number) = before_sign(rest)
    {
        return Some(said(&number, currency));
    }
    // `$1.5-million`, before what it costs.
    if let Some((figures, scale @ ("thousand" | "million" | "billion" | "trillion"))) = rest.split_once('-') {
        return Some(format!("{} {scale} {}", amount(figures)?.figures, currency.one));
    }
    if let Some((price, rate)) = rest.split_once('/') {
        return Some(format!("{} {}", one(price, currency)?, per(rate)?));
    }
    if let Some(open) = rest.strip_suffix('+') {
        return Some(format!("{} plus", one(open, currency)?));
    }
    one(rest, currency)
}

/// `per month`, of what stands behind the stroke of a price: a unit or any word.
fn per(rate: &str) -> Option<String> {
    let is_word = rate.len() > 1 && rate.chars().all(char::is_alphabetic);
    units::per(rate).or_else(|| is_word.then(|| format!("per {rate}")))
}

/// The amount before a sign: as it is written where the sign comes last, a point parts thousands and no thousandths.
fn before_sign(figures: &str) -> Option<Amount> {
    let is_grouped =
        figures.split_once('.').is_some_and(|(_, behind)| behind.len() == 3) && !figures.starts_with('0');
    if is_grouped { amount(&figures.replace('.', ",")) } else { amount(figures) }
}

/// The currency of a token, before or behind its figures, and the figures.
fn parted(core: &str) -> Option<(Currency, &str)> {
    let start = core.find(|c: char| c.is_ascii_digit() || c == '.' || c == '-' || c == '−')?;
    if start > 0 {
        return Some((of_sign(&core[..start])?, &core[start..]));
    }
    let end = core.rfind(|c: char| c.is_ascii_alphanumeric() || c == '.')?;
    let (figures, sign) = core.split_at(end + 1);
    Some((of_sign(sign)?, figures))
}

/// One amount or a range of them, without the currency.
fn range_or(text: &str) -> Option<String> {
    match text.split_once(['-', '–', '—']) {
        Some(("", rest)) => Some(format!("minus {}", amount(rest)?.figures)),
        Some((from, to)) => {
            let to = to.trim_start_matches(|c: char| !c.is_ascii_digit());
            Some(format!("{} to {}", amount(from)?.figures, amount(to)?.figures))
        }
        None => Some(amount(text)?.figures),
    }
}

fn one(text: &str, currency: Currency) -> Option<String> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(format!("minus {}", one(rest, currency)?));
    }
    if text.contains(['-', '–', '—']) {
        let (figures, scale) = scaled(text);
        let (from, to) = figures.split_once(['-', '–', '—'])?;
        let from = scaled(from.trim_end_matches(|c: char| of_sign(c.encode_utf8(&mut [0; 4])).is_some()));
        let to = to.trim_start_matches(|c: char| of_sign(c.encode_utf8(&mut [0; 4])).is_some());
        let number = |figures: &str, scale: Option<&str>| {
            let figures = amount(figures)?.figures;
            Some(scale.map_or_else(|| figures.clone(), |scale| format!("{figures} {scale}")))
        };
        return Some(format!("{} to {} {}", number(from.0, from.1)?, number(to, scale)?, currency.many));
    }
    match scaled(text) {
        (figures, Some(scale)) => Some(format!("{} {scale} {}", amount(figures)?.figures, currency.many)),
        (figures, None) if figures == text => Some(said(&amount(figures)?, currency)),
        _ => None,
    }
}

/// The figures of `1.5bn` and the word of their scale; other letters stay with the figures.
fn scaled(text: &str) -> (&str, Option<&'static str>) {
    let figures = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[figures.len()..] {
        "k" | "K" => "thousand",
        "m" | "M" | "mn" | "mm" | "MM" => "million",
        "b" | "B" | "bn" => "billion",
        "tn" | "T" => "trillion",
        _ => return (text, None),
    };
    (figures, Some(scale))
}

fn said(number: &Amount, currency: Currency) -> String {
    let figures = if number.whole.is_empty() { "0" } else { &number.whole };
    let unit = if figures == "1" { currency.one } else { currency.many };
    let count = match number.figures.split_once('.') {
        Some((whole, _)) if !whole.is_empty() => whole.to_owned(),
        _ => number.figures.clone(),
    };
    let count = if count.contains(',') { count } else { cardinal(figures) };
    match (number.decimals.as_deref(), currency.parts) {
        (None, _) => format!("{count} {unit}"),
        (Some("00"), _) => format!("{count} {unit}"),
        (Some(cents), Some((part, parts))) if cents.len() == 2 => {
            let cents = cents.trim_start_matches('0');
            let small = format!("{cents} {}", if cents == "1" { part } else { parts });
            if figures.trim_start_matches('0').is_empty() {
                small
            } else {
                format!("{count} {unit} and {small}")
            }
        }
        (Some(_), _) => format!("{} {}", number.figures, currency.many),
    }
}
