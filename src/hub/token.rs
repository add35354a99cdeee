//! The token for a hub: where it is looked for, in the order of the hub's own tools.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::error::HubError;

/// A secret that says who asks. It is shown to nobody.
#[derive(Clone)]
pub(crate) struct Token {
    secret: String,
    /// Where it was found, for people: a variable or a file.
    from: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(from {})", self.from)
    }
}

/// Longer is a file that was taken for a token's; today's have 37 characters.
const LONGEST: usize = 4_096;

impl Token {
    /// Looks where the hub's own tools look; `variable` reads the environment. None where there is no token.
    pub(crate) fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, HubError> {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_off = filled("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|value| {
            ["1", "on", "yes", "true"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
        });
        if is_off {
            return Ok(None);
        }
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            let Some(value) = filled(name) else { continue };
            let text = value.into_string().map_err(|_| malformed(name))?;
            if let Some(token) = Self::parse(&text, name)? {
                return Ok(Some(token));
            }
        }
        let below = |name: &str, rest: &str| filled(name).map(|folder| PathBuf::from(folder).join(rest));
        let file = below("HF_TOKEN_PATH", "")
            // Joining nothing leaves a separator at the end.
            .map(|path| path.components().collect())
            .or_else(|| below("HF_HOME", "token"))
            .or_else(|| below("XDG_CACHE_HOME", "huggingface/token"))
            .or_else(|| below("HOME", ".cache/huggingface/token"));
        file.map_or(Ok(None), |file| Self::read(&file))
    }

    fn read(file: &Path) -> Result<Option<Self>, HubError> {
        match std::fs::read(file) {
            Ok(bytes) => {
                let place = file.display().to_string();
                let text = String::from_utf8(bytes).map_err(|_| malformed(&place))?;
                Self::parse(&text, &place)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => {
                Err(HubError::Wrong(format!("the hub's token in {} cannot be read: {error}", file.display())))
            }
        }
    }

    fn parse(text: &str, from: &str) -> Result<Option<Self>, HubError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed(from));
        }
        Ok(Some(Self { secret: text.to_owned(), from: from.to_owned() }))
    }

    /// For the one header that it belongs into.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Where it was found.
    pub(super) fn from(&self) -> &str {
        &self.from
    }
}

fn malformed(from: &str) -> HubError {
    HubError::Wrong(format!("{from} holds no token for the hub; accepted: one word, such as hf_AbC…"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Option<Token>, HubError> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Token::find(|name| variables.get(name).map(OsString::from))
    }

    fn found(variables: &[(&str, &str)]) -> Option<String> {
        find(variables).unwrap().map(|token| token.secret().to_owned())
    }

    #[test]
    fn the_variable_goes_before_the_file_and_one_file_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let named = at("named", "hf_named\n");
        at("home/token", "hf_home\n");
        at("xdg/huggingface/token", " hf_xdg ");
        at("user/.cache/huggingface/token", "hf_user");
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (home, xdg, user) = (path("home"), path("xdg"), path("user"));
        let mut all = vec![
            ("HF_TOKEN", "hf_variable"),
            ("HUGGING_FACE_HUB_TOKEN", "hf_old"),
            ("HF_TOKEN_PATH", &named),
            ("HF_HOME", &home),
            ("XDG_CACHE_HOME", &xdg),
            ("HOME", &user),
        ];
        for expected in ["hf_variable", "hf_old", "hf_named", "hf_home", "hf_xdg", "hf_user"] {
            assert_eq!(found(&all).as_deref(), Some(expected));
            all.remove(0);
        }
        assert_eq!(found(&all), None);
    }

    #[test]
    fn nothing_is_no_token_and_the_tools_switch_turns_it_off() {
        assert_eq!(found(&[("HF_TOKEN", ""), ("HF_HOME", "/nonexistent")]), None);
        assert_eq!(found(&[("HF_TOKEN", " \n")]), None);
        for yes in ["1", "true", "ON", "Yes"] {
            assert_eq!(found(&[("HF_TOKEN", "hf_x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", yes)]), None);
        }
        let kept = found(&[("HF_TOKEN", "hf_x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")]);
        assert_eq!(kept.as_deref(), Some("hf_x"));
    }

    #[test]
    fn what_fits_into_no_header_is_refused_and_not_shown() {
        for text in ["two words", "hf_\u{fc}ber", "a\nb", "a\u{1b}[2J"] {
            let error = find(&[("HF_TOKEN", text)]).unwrap_err();
            assert!(matches!(error, HubError::Wrong(_)));
            let told = error.to_string();
            assert_eq!(told, "HF_TOKEN holds no token for the hub; accepted: one word, such as hf_AbC…");
        }
        let token = find(&[("HF_TOKEN", "hf_secret")]).unwrap().unwrap();
        assert_eq!(format!("{token:?}"), "Token(from HF_TOKEN)");
    }

    #[test]
    fn a_token_file_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = find(&[("HF_TOKEN_PATH", folder.path().to_str().unwrap())]).unwrap_err().to_string();
        assert!(told.starts_with("the hub's token in ") && told.contains("cannot be read"), "{told}");
    }
}
