//! What is taken out of everything that goes into an archive: secrets that are known, credentials in addresses, and
//! whatever stands behind a name like `token` or `password`.
//!
//! Decides by text alone and reads nothing; the archive passes every file through it, so that no part can forget to.

use serde_json::Value;

/// Stands where something was taken out.
const TAKEN_OUT: &str = "[taken out]";
/// Shorter texts are no secrets, and stand in other words: what is taken out everywhere must be unlikely elsewhere.
const SHORTEST: usize = 6;
/// Of a file with secrets in it, every longer word is one; its field names are shorter.
const SHORTEST_WORD: usize = 12;
/// Parts of names behind which secrets stand, in lower case and without `_` and `-`.
const TELLING: [&str; 12] = [
    "secret",
    "token",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "authorization",
    "apikey",
    "privatekey",
    "cookie",
    "signedheaders",
    "xamzsignature",
];
/// Values of such names that tell how something is set up.
const HARMLESS: [&str; 6] = ["", "null", "none", "off", "true", "false"];

/// Whether a value under this name is a secret.
pub(super) fn is_telling(name: &str) -> bool {
    let name: String =
        name.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase).collect();
    // Names of files, numbers and times are no secrets.
    let is_about = ["file", "count", "counts", "tokens", "until", "at", "expires", "seconds", "id", "age"];
    name.contains("accesskey")
        || TELLING.iter().any(|part| name.contains(part)) && !is_about.iter().any(|end| name.ends_with(end))
}

/// Takes secrets out of texts.
#[derive(Clone, Default)]
pub(super) struct Scrub {
    /// The longest first, so that none leaves its rest behind.
    secrets: Vec<String>,
}

impl Scrub {
    /// A secret, wherever it stands.
    pub(super) fn know(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() >= SHORTEST && !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.to_owned());
            self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// A text of secrets: a file of them, or the value of a variable. All of it, and every word in it.
    pub(super) fn know_all_of(&mut self, text: &str) {
        if !text.trim().contains('\n') {
            self.know(text);
        }
        let is_end =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | ':' | '{' | '}' | '[' | ']');
        for word in text.split(is_end) {
            // `name=value`, as in lists of headers; a value's own `=` stand at its end.
            let value = word.split_once('=').map(|(_, value)| value).filter(|value| value.len() > 2);
            for word in [Some(word), value, word.split_once('_').map(|(_, rest)| rest)].into_iter().flatten()
            {
                if word.chars().count() >= SHORTEST_WORD {
                    self.know(word);
                }
            }
        }
    }

    /// `text` without secrets.
    pub(super) fn text(&self, text: &str) -> String {
        self.named(&addresses(&self.literally(text)))
    }

    /// The same of every text in `value`, and of what stands under telling names.
    pub(super) fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => {
                let clean = |(name, value): (String, Value)| {
                    let value = if is_telling(&name) { hide(value) } else { self.json(value) };
                    (self.text(&name), value)
                };
                fields.into_iter().map(clean).collect()
            }
            value => value,
        }
    }

    fn literally(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), TAKEN_OUT);
            }
        }
        text
    }

    /// Values behind a telling name, as `name = value`, `name: value` or `"name": "value"`.
    fn named(&self, text: &str) -> String {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_word) {
            let (before, word) = rest.split_at(begin);
            let (word, after) = word.split_at(word.find(|c| !is_word(c)).unwrap_or(word.len()));
            out.push_str(before);
            out.push_str(word);
            rest = after;
            if let Some(begin) = is_telling(word).then(|| value_in(after)).flatten() {
                let (between, value) = after.split_at(begin);
                let (value, after) = value.split_at(length_of(value));
                out.push_str(between);
                out.push_str(hidden(value));
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }
}

/// The same value with every text in it taken out.
fn hide(value: Value) -> Value {
    match value {
        Value::String(text) => hidden(&text).into(),
        Value::Array(items) => items.into_iter().map(hide).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, hide(value))).collect(),
        value => value,
    }
}

/// What stands in place of a value behind a telling name.
fn hidden(value: &str) -> &str {
    let plain = value.trim_matches(['"', '\'']).to_ascii_lowercase();
    if HARMLESS.contains(&plain.as_str()) { value } else { TAKEN_OUT }
}

/// Where in `rest`, behind a name, its value begins; none where it has none.
fn value_in(rest: &str) -> Option<usize> {
    let sign = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start_matches([' ', '\t']);
    // `token::file` is a name in a program, not a value.
    let value = sign.strip_prefix(['=', ':']).filter(|value| !value.starts_with(':'))?;
    let value = value.trim_start_matches([' ', '\t']);
    (!value.is_empty() && !value.starts_with(['\n', '\r', '{', '['])).then(|| rest.len() - value.len())
}

/// How much of `text` is the value that it begins with: quoted, or one word, with what kind of authorization it is before it.
fn length_of(text: &str) -> usize {
    if let Some(quote @ ('"' | '\'')) = text.chars().next() {
        return text[1..].find(quote).map_or(text.len(), |end| end + 2);
    }
    let word = |text: &str| {
        text.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | ')' | '"' | '\''))
            .unwrap_or(text.len())
    };
    let first = word(text);
    if !matches!(text[..first].to_ascii_lowercase().as_str(), "bearer" | "basic") {
        return first;
    }
    let after = text[first..].trim_start_matches(' ');
    text.len() - after.len() + word(after)
}

/// Addresses without names, passwords, queries and, on the web, paths: a webhook's path may be its secret.
fn addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let scheme =
            before[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '.' | '-')).next();
        out.push_str(before);
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\' | '|');
        let end = after.find(is_end).unwrap_or(after.len());
        let (address, later) = after.split_at(end);
        out.push_str(&address_of(scheme.unwrap_or_default(), address));
        rest = later;
    }
    out.push_str(rest);
    out
}

fn address_of(scheme: &str, address: &str) -> String {
    // A password may hold anything: up to the last sign it could end at, all goes.
    let address = address.rsplit_once('@').map_or(address, |(_, place)| place);
    let (place, query) = match address.find(['?', '#']) {
        Some(at) => (&address[..at], "?…"),
        None => (address, ""),
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https" | "ws" | "wss") {
        return format!("{place}{query}");
    }
    match place.find('/') {
        Some(at) if at + 1 < place.len() || !query.is_empty() => {
            // What ends a sentence or a list belongs to it, not to the address.
            let end = address.len() - address.trim_end_matches([',', '.', ';', ':', ')', ']', '}']).len();
            format!("{}/…{}", &place[..at], &address[address.len() - end..])
        }
        _ => format!("{place}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_secrets_go_wherever_they_stand() {
        let mut scrub = Scrub::default();
        scrub.know("hunter2-hunter2");
        scrub.know("hunter2-hunter2-longer");
        scrub.know("short");
        assert_eq!(scrub.text("a hunter2-hunter2-longer b"), "a [taken out] b");
        assert_eq!(scrub.text("xhunter2-hunter2y short"), "x[taken out]y short");
        let told = scrub.json(json!({ "a": ["hunter2-hunter2"], "hunter2-hunter2": { "b": 1 } }));
        assert_eq!(told, json!({ "a": ["[taken out]"], "[taken out]": { "b": 1 } }));
    }

    #[test]
    fn files_of_secrets_are_known_by_every_long_word() {
        let mut scrub = Scrub::default();
        scrub.know_all_of("{\"current\": \"whsec_QUJDREVGR0hJSktM=\",\n \"previous\": [{\"secret\": \"whsec_bm90aGluZyBlbHNl\", \"until\": 9}]}");
        scrub.know_all_of("authorization=Bearer 0123456789abcdef,x-tenant=tenant-of-mine\n");
        for gone in [
            "whsec_QUJDREVGR0hJSktM=",
            "QUJDREVGR0hJSktM=",
            "bm90aGluZyBlbHNl",
            "0123456789abcdef",
            "tenant-of-mine",
        ] {
            assert_eq!(scrub.text(&format!("<{gone}>")), "<[taken out]>", "{gone}");
        }
        assert_eq!(scrub.text("current previous secret until"), "current previous secret until");
    }

    #[test]
    fn addresses_keep_their_host_and_nothing_that_may_be_a_secret() {
        let scrub = Scrub::default();
        for (address, left) in [
            ("https://user:pass@host.example/hook?token=abc", "https://host.example/…"),
            ("https://user:p/a?s@s@host.example:8443", "https://host.example:8443"),
            ("http://127.0.0.1:9100", "http://127.0.0.1:9100"),
            ("http://127.0.0.1:9100/", "http://127.0.0.1:9100/"),
            ("https://hooks.example.com/services/T0/B0/abcdef", "https://hooks.example.com/…"),
            ("s3://key:word@bucket/prefix?x=y", "s3://bucket/prefix?…"),
            ("file:///srv/results", "file:///srv/results"),
            ("see https://a.example/b/c, and more", "see https://a.example/…, and more"),
            ("\"https://u:p@a.example\" no node", "\"https://a.example\" no node"),
            ("https://a.example?key=1", "https://a.example?…"),
        ] {
            assert_eq!(scrub.text(address), left, "{address}");
        }
    }

    #[test]
    fn what_stands_behind_a_telling_name_goes() {
        let scrub = Scrub::default();
        for (text, left) in [
            ("store.secret_key = \"a b\" [file x]", "store.secret_key = [taken out] [file x]"),
            ("AWS_SECRET_ACCESS_KEY=abc def", "AWS_SECRET_ACCESS_KEY=[taken out] def"),
            ("authorization: Bearer abc.def, x", "authorization: [taken out], x"),
            ("{\"api_key\": \"abc\", \"b\": 1}", "{\"api_key\": [taken out], \"b\": 1}"),
            ("password: off", "password: off"),
            ("token file: /run/token", "token file: /run/token"),
            ("vortex_node::access_token::x", "vortex_node::access_token::x"),
            ("tokens=12 key=memory.soft_limit", "tokens=12 key=memory.soft_limit"),
            ("the token is refused: it is unknown", "the token is refused: it is unknown"),
        ] {
            assert_eq!(scrub.text(text), left, "{text}");
        }
        let told = scrub
            .json(json!({ "token": "abc", "token_file": "/x", "tokens": 3, "key": "a.b", "password": null }));
        assert_eq!(
            told,
            json!({ "token": "[taken out]", "token_file": "/x", "tokens": 3, "key": "a.b", "password": null })
        );
    }
}
