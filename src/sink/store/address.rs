//! Where a store is: a folder, or a bucket with a prefix. Pure.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::Url;

/// The address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket {
        /// Its name.
        bucket: String,
        /// What all keys begin with, without slashes at either end; may be empty.
        prefix: String,
    },
}

/// A text that is no address of a store. Shows nothing of one that may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("artifact store {shown:?}: {wrong}; accepted: an absolute path, file:///PATH, or s3://BUCKET/PREFIX")]
pub struct AddressError {
    /// What was written, as far as it may be shown.
    pub shown: String,
    /// What is wrong with it.
    pub wrong: &'static str,
}

impl FromStr for StoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            let path = Path::new(text);
            let wrong = |wrong| AddressError { shown: text.to_owned(), wrong };
            return if path.is_absolute() {
                Ok(Self::Folder(path.to_owned()))
            } else {
                Err(wrong("is not an absolute path"))
            };
        };
        let shown = format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host));
        let shown = shown.split(['?', '#']).next().unwrap_or_default().to_owned();
        let wrong = |wrong| AddressError { shown: shown.clone(), wrong };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(wrong("holds credentials, which belong into the environment or a file"));
        }
        if text.contains(['?', '#']) {
            return Err(wrong("holds a query or a fragment"));
        }
        match scheme {
            "file" => {
                let url = Url::parse(text).map_err(|_| wrong("is not an address"))?;
                let path = url.to_file_path().map_err(|()| wrong("names another machine"))?;
                Ok(Self::Folder(path))
            }
            "s3" => {
                let prefix = rest.strip_prefix(authority).unwrap_or_default().trim_matches('/');
                if !is_bucket(authority) {
                    return Err(wrong(
                        "has no bucket of 3 to 63 lower-case letters, digits, dots and dashes",
                    ));
                }
                let part_is_bad = |part: &str| part.is_empty() || part == "." || part == "..";
                if !prefix.is_empty() && prefix.split('/').any(part_is_bad) {
                    return Err(wrong("has empty or relative parts in its prefix"));
                }
                if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.=+".contains(&byte)) {
                    return Err(wrong(
                        "has other characters than letters, digits and / - _ . = + in its prefix",
                    ));
                }
                Ok(Self::Bucket { bucket: authority.to_owned(), prefix: prefix.to_owned() })
            }
            _ => Err(wrong("has a scheme that is not known")),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => match Url::from_directory_path(path) {
                Ok(url) => f.write_str(url.as_str().trim_end_matches('/')),
                Err(()) => write!(f, "{}", path.display()),
            },
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// As S3 names buckets; other stores allow no more.
fn is_bucket(name: &str) -> bool {
    let ends_well =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(byte))
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_buckets_read_back() {
        for (text, written) in [
            ("/srv/out", "file:///srv/out"),
            ("file:///srv/my%20out/", "file:///srv/my%20out"),
            ("s3://my-bucket", "s3://my-bucket"),
            ("s3://my.bucket/", "s3://my.bucket"),
            ("s3://my-bucket/a/b=c/", "s3://my-bucket/a/b=c"),
        ] {
            let address: StoreAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse::<StoreAddress>().unwrap().to_string(), written);
        }
        assert_eq!("file:///srv/my%20out".parse(), Ok(StoreAddress::Folder("/srv/my out".into())));
    }

    #[test]
    fn others_are_refused_without_their_secrets() {
        for bad in [
            "",
            "out",
            "./out",
            "s3://",
            "s3:///x",
            "s3://ab",
            "s3://UPPER/x",
            "s3://-bucket",
            "s3://a..b",
            "s3://bucket/a//b",
            "s3://bucket/../x",
            "s3://bucket/a b",
            "s3://bucket/ä",
            "s3://key:hunter2@bucket/x",
            "s3://bucket/x?secret=hunter2",
            "s3://bucket/x#hunter2",
            "gs://bucket/x",
            "https://bucket.s3.amazonaws.com/",
            "file://host/x",
            "file:///x?hunter2",
            "s3:/bucket",
        ] {
            let error = bad.parse::<StoreAddress>().expect_err(bad).to_string();
            assert!(error.contains("s3://BUCKET/PREFIX") && !error.contains("hunter2"), "{error}");
        }
    }
}
