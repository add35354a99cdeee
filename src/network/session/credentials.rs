//! Who a session is: what is read from the files that settings name, and what a server is answered that asks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::{Auth, AuthError};

use crate::network::error::NetworkError;

/// Who we are.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody in particular, or whoever the client certificate says.
    #[default]
    None,
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A file with a JWT and the seed of its NKey, as `nsc` writes it.
    File(PathBuf),
    /// A file with the seed of an NKey.
    Seed(PathBuf),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Seed(path) => write!(f, "Seed({path:?})"),
        }
    }
}

/// Answers a server that asks who we are, as long as the session has not connected.
pub(super) enum Signer {
    None,
    Password { user: String, password: String },
    Key { pair: Box<nkeys::KeyPair>, jwt: Option<String> },
}

impl Signer {
    pub(super) fn of(credentials: &Credentials) -> Result<Self, NetworkError> {
        Ok(match credentials {
            Credentials::None => Self::None,
            Credentials::Password { user, password } => {
                Self::Password { user: user.clone(), password: password.clone() }
            }
            Credentials::File(path) => {
                let text = read(path)?;
                let wrong = |wrong: &str| NetworkError::File { path: path.clone(), wrong: wrong.to_owned() };
                let jwt = block(&text, "NATS USER JWT").ok_or_else(|| {
                    wrong("has no block BEGIN NATS USER JWT; accepted: a .creds file as nsc writes it")
                })?;
                let seed = block(&text, "USER NKEY SEED")
                    .ok_or_else(|| wrong("has no block BEGIN USER NKEY SEED"))?;
                Self::Key { pair: Box::new(pair(path, &seed)?), jwt: Some(jwt) }
            }
            Credentials::Seed(path) => {
                Self::Key { pair: Box::new(pair(path, read(path)?.trim())?), jwt: None }
            }
        })
    }

    pub(super) fn answer(&self, nonce: &[u8], used: &AtomicBool) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        match self {
            Self::None => {}
            Self::Password { user, password } => {
                (auth.username, auth.password) = (Some(user.clone()), Some(password.clone()));
            }
            Self::Key { pair, jwt } => {
                let signature = pair.sign(nonce).map_err(|error| AuthError::new(error.to_string()))?;
                auth.signature = Some(signature);
                match jwt {
                    Some(jwt) => auth.jwt = Some(jwt.clone()),
                    None => auth.nkey = Some(pair.public_key()),
                }
            }
        }
        used.store(true, Ordering::Release);
        Ok(auth)
    }
}

fn read(path: &Path) -> Result<String, NetworkError> {
    std::fs::read_to_string(path)
        .map_err(|error| NetworkError::File { path: path.to_owned(), wrong: error.to_string() })
}

/// The seed is a secret: no error shows it.
fn pair(path: &Path, seed: &str) -> Result<nkeys::KeyPair, NetworkError> {
    nkeys::KeyPair::from_seed(seed).map_err(|_| NetworkError::File {
        path: path.to_owned(),
        wrong: "holds no NKey seed; accepted: 58 letters and digits that begin with SU".to_owned(),
    })
}

/// What stands between the lines `BEGIN name` and `END name`.
fn block(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !line.contains(&format!("BEGIN {name}"))).skip(1);
    let found = lines.find(|line| !line.trim().is_empty())?;
    (!found.contains("END ")).then(|| found.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user's file as `nsc` writes it.
    fn written(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n"
        )
    }

    fn signer(text: &str, of: fn(PathBuf) -> Credentials) -> Result<Signer, NetworkError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user");
        std::fs::write(&path, text).unwrap();
        Signer::of(&of(path))
    }

    /// What a server is answered that asks with `nonce`; once the session has connected, none is.
    fn answered(signer: &Signer, nonce: &[u8]) -> Auth {
        let used = AtomicBool::new(false);
        let auth = signer.answer(nonce, &used).unwrap();
        assert!(used.into_inner());
        auth
    }

    #[test]
    fn a_file_of_nsc_says_the_jwt_and_signs_with_its_key() {
        let pair = nkeys::KeyPair::new_user();
        let text = written("eyJ0.payload.signature", &pair.seed().unwrap());
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let auth = answered(&signer(&text, Credentials::File).unwrap(), b"nonce");
            assert_eq!((auth.jwt.as_deref(), auth.nkey.as_deref()), (Some("eyJ0.payload.signature"), None));
            pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        }
    }

    #[test]
    fn a_file_with_a_seed_says_its_public_key() {
        let pair = nkeys::KeyPair::new_user();
        let text = format!("{}\n", pair.seed().unwrap());
        let auth = answered(&signer(&text, Credentials::Seed).unwrap(), b"nonce");
        assert_eq!((auth.jwt, auth.nkey), (None, Some(pair.public_key())));
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
    }

    #[test]
    fn files_with_something_else_are_refused_and_their_secrets_not_shown() {
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        let broken = seed.to_lowercase();
        for (text, of, part) in [
            (written("jwt", &broken), Credentials::File as fn(PathBuf) -> Credentials, "NKEY seed"),
            (written("jwt", ""), Credentials::File, "BEGIN USER NKEY SEED"),
            (written("", &seed), Credentials::File, "BEGIN NATS USER JWT"),
            (seed.clone(), Credentials::File, "BEGIN NATS USER JWT"),
            (broken.clone(), Credentials::Seed, "NKEY seed"),
            (written("jwt", &seed), Credentials::Seed, "NKEY seed"),
        ] {
            let said = signer(&text, of).err().unwrap().to_string();
            assert!(said.to_lowercase().contains(&part.to_lowercase()), "{said}");
            assert!(!said.contains(&seed) && !said.contains(&broken), "{said}");
        }
        let missing = Signer::of(&Credentials::File("/nowhere/user.creds".into())).err().unwrap();
        assert!(missing.to_string().contains("/nowhere/user.creds") && missing.is_final(), "{missing}");
    }
}
