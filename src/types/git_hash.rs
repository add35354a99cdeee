//! A SHA-1 as git names commits and files by it, and how it is written and read.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sha256::bytes_of_digits;

/// A commit or the content of a file, as git names it: 40 hexadecimal digits. It tells versions apart; against people
/// who mean harm, who can make two files of one SHA-1, only a SHA-256 helps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitHash([u8; 20]);

impl GitHash {
    /// Of a file of `size` bytes, which `content` gives.
    pub fn of_blob(size: u64, mut content: impl Read) -> io::Result<Self> {
        // Large enough that the hash, not the calls, is what takes time.
        const PIECE: usize = 1 << 18;
        let (mut hash, mut piece) = (sha1_smol::Sha1::new(), vec![0; PIECE]);
        hash.update(format!("blob {size}\0").as_bytes());
        loop {
            match content.read(&mut piece) {
                Ok(0) => return Ok(Self(hash.digest().bytes())),
                Ok(count) => hash.update(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl fmt::Display for GitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitHash({self})")
    }
}

impl FromStr for GitHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bytes_of_digits(text).map(Self).ok_or("40 hexadecimal digits, as git prints them")
    }
}

impl Serialize for GitHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GitHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|wanted| serde::de::Error::custom(format_args!("{text:?} is not {wanted}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_hash_that_git_gives_it() {
        // `printf '' | git hash-object --stdin`, and of "hello\n".
        for (content, expected) in [
            ("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            ("hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        ] {
            let hash = GitHash::of_blob(content.len() as u64, content.as_bytes()).unwrap();
            assert_eq!(hash.to_string(), expected);
        }
    }

    #[test]
    fn forty_digits_are_read_and_nothing_else() {
        let digits = "CE013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(digits.parse::<GitHash>().unwrap().to_string(), digits.to_lowercase());
        for wrong in ["", "main", &digits[1..], &format!("{digits}0"), &digits.replace('6', "g")] {
            assert!(wrong.parse::<GitHash>().is_err(), "{wrong}");
        }
    }
}
