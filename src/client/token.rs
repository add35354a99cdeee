//! A bearer token on its way to a node. Never printed, whatever it stands in.

use std::fmt;

/// Longer than any token of ours, so that a wrong file is not sent to a server.
const LONGEST: usize = 512;

/// A token; shows nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// From a text as it stands in a file or a variable, without white space around it; none where it cannot be a token.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits =
            !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// What goes into the `Authorization` header.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_shows_nothing() {
        let token = Token::read(" vn_abc123\n").unwrap();
        assert_eq!(token.secret(), "vn_abc123");
        assert_eq!(format!("{token:?}"), "Token(…)");
        for text in ["", " \n", "two words", "x\ny", "gr\u{fc}n", "a\u{1b}[31m", &"x".repeat(LONGEST + 1)] {
            assert_eq!(Token::read(text), None, "{text:?}");
        }
    }
}
