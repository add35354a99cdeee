//! What a token may do, and whom a request comes from.
//!
//! Plain data: a set of scopes by name, and [`Who`], which the guard puts into each request's extensions. Knows nothing
//! of files, cookies or headers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::secret::{NoRandomness, random};
use crate::api::scope::Scope;
use crate::types::UnknownName;

/// Names of scopes, as commands, token files and challenges write them.
const NAMES: [&str; 3] = ["submit", "read", "operate"];

/// A set of scopes. None implies another: a token that may operate reads only if it may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<&'static str>")]
pub struct Scopes {
    /// Hand slots in and cancel them.
    pub submit: bool,
    /// Whatever only reads.
    pub read: bool,
    /// Drain, reload, acknowledge, send webhooks again.
    pub operate: bool,
}

impl Scopes {
    /// Every scope.
    pub const ALL: Self = Self { submit: true, read: true, operate: true };

    /// Whether these let a request through that needs `scope`.
    pub const fn allow(self, scope: Scope) -> bool {
        match scope {
            Scope::Public => true,
            Scope::Read => self.read,
            Scope::Submit => self.submit,
            Scope::Operate => self.operate,
        }
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        !self.submit && !self.read && !self.operate
    }

    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        let has = [self.submit, self.read, self.operate];
        NAMES.into_iter().zip(has).filter_map(|(name, has)| has.then_some(name)).collect()
    }

    fn add(&mut self, name: &str) -> Result<(), UnknownName> {
        match name {
            "submit" => self.submit = true,
            "read" => self.read = true,
            "operate" => self.operate = true,
            _ => return Err(UnknownName::new("a scope", name, &NAMES)),
        }
        Ok(())
    }
}

/// The name of a scope that a token can have; empty for what needs none.
pub(crate) const fn name_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Public => "",
        Scope::Read => "read",
        Scope::Submit => "submit",
        Scope::Operate => "operate",
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

impl FromStr for Scopes {
    type Err = UnknownName;

    /// Names with commas between them; at least one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scopes = Self::default();
        text.split(',').try_for_each(|name| scopes.add(name.trim()))?;
        Ok(scopes)
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = UnknownName;

    fn try_from(names: Vec<String>) -> Result<Self, Self::Error> {
        let mut scopes = Self::default();
        names.iter().try_for_each(|name| scopes.add(name))?;
        Ok(scopes)
    }
}

impl From<Scopes> for Vec<&'static str> {
    fn from(scopes: Scopes) -> Self {
        scopes.names()
    }
}

/// The public part of a token or session: 48 random bits as 12 hexadecimal digits. It may be shown and logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(u64);

impl TokenId {
    /// A new one.
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        let [a, b, c, d, e, f] = random::<6>()?;
        Ok(Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f])))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a token's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a token's id: accepted are 12 hexadecimal digits, as `token list` shows them")]
pub struct NotAnId(String);

impl FromStr for TokenId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is wrong may be a whole token, given by mistake: at most as much of it is repeated as an id has.
        let wrong = || NotAnId(text.chars().take(12).collect());
        let fits = text.len() == 12
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if fits { u64::from_str_radix(text, 16).map(Self).map_err(|_| wrong()) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for TokenId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By a token of the node's token file.
    Token,
    /// By the local token: somebody who can read this user's files on this machine.
    Local,
    /// By a one-time login: somebody who saw the node's terminal.
    Login,
}

/// Whom a request comes from. In the extensions of every request that got past the guard with a token or cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The token, or the session of a one-time login: limits are counted by it.
    pub id: TokenId,
    /// How they proved it.
    pub kind: Kind,
    /// What they may do.
    pub scopes: Scopes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_by_name_and_none_implies_another() {
        let scopes: Scopes = "submit, operate".parse().unwrap();
        assert_eq!(scopes.to_string(), "submit,operate");
        assert!(scopes.allow(Scope::Submit) && scopes.allow(Scope::Operate) && scopes.allow(Scope::Public));
        assert!(!scopes.allow(Scope::Read));
        assert!("submit,".parse::<Scopes>().is_err() && "".parse::<Scopes>().is_err());
        let wrong = "opperate".parse::<Scopes>().unwrap_err().to_string();
        assert!(
            wrong.contains("did you mean \"operate\"") && wrong.contains("submit, read, operate"),
            "{wrong}"
        );
        assert_eq!(serde_json::to_string(&Scopes::ALL).unwrap(), r#"["submit","read","operate"]"#);
        assert!(serde_json::from_str::<Scopes>(r#"["root"]"#).is_err());
    }

    #[test]
    fn an_id_reads_back_and_an_error_repeats_no_whole_token() {
        let id = TokenId::new().unwrap();
        assert_eq!(id.to_string().parse::<TokenId>().unwrap(), id);
        let token = format!("vxn_{id}_0123456789012345678901234567890123456789012");
        let wrong = token.parse::<TokenId>().unwrap_err().to_string();
        assert!(!wrong.contains("0123456789"), "{wrong}");
        assert!("00000000000G".parse::<TokenId>().is_err() && "+0000000000a".parse::<TokenId>().is_err());
    }
}
