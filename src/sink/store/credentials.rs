//! Who we are to a bucket: from the environment, or from a file in the form that the AWS tools share.
//!
//! Never from the settings themselves, which are shown and copied about. Owns nothing; shows no secret.

use std::fmt;
use std::fs;
use std::path::Path;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::OpenError;

/// Variables of the environment that say who we are and where; all others of `AWS_` are left alone, so that the settings
/// alone say which store it is and how it is spoken to.
const VARIABLES: [(&str, AmazonS3ConfigKey); 12] = [
    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
    ("AWS_DEFAULT_REGION", AmazonS3ConfigKey::DefaultRegion),
    ("AWS_REGION", AmazonS3ConfigKey::Region),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

/// Takes what the environment says of us.
pub(super) fn from_environment(
    builder: AmazonS3Builder,
    variable: &dyn Fn(&str) -> Option<String>,
) -> AmazonS3Builder {
    VARIABLES.into_iter().fold(builder, |builder, (name, key)| match variable(name) {
        Some(value) if !value.is_empty() => builder.with_config(key, value),
        _ => builder,
    })
}

/// Keys of one profile.
#[derive(Clone, PartialEq, Eq)]
struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Takes the keys of `profile` from a file as `~/.aws/credentials` is. Blocks.
pub(super) fn from_file(
    builder: AmazonS3Builder,
    path: &Path,
    profile: &str,
) -> Result<AmazonS3Builder, OpenError> {
    let wrong = |wrong: String| OpenError::Credentials { path: path.to_owned(), wrong };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let keys = parse(&text, profile).map_err(wrong)?;
    let builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
    Ok(match keys.token {
        Some(token) => builder.with_token(token),
        None => builder,
    })
}

/// Sections in brackets, `key = value` below them, comments behind `#` or `;` at a line's start.
fn parse(text: &str, profile: &str) -> Result<Keys, String> {
    let (mut section, mut profiles) = (None, Vec::new());
    let (mut id, mut secret, mut token) = (None, None, None);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name.trim());
            profiles.push(name.trim());
            continue;
        }
        // The line itself may be a secret, so only its number is told.
        let (key, value) =
            line.split_once('=').ok_or_else(|| format!("line {} is not KEY = VALUE", number + 1))?;
        if section != Some(profile) {
            continue;
        }
        match key.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => id = Some(value.trim()),
            "aws_secret_access_key" => secret = Some(value.trim()),
            "aws_session_token" => token = Some(value.trim()),
            _ => {}
        }
    }
    let filled = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
    match (filled(id), filled(secret)) {
        (Some(id), Some(secret)) => Ok(Keys { id, secret, token: filled(token) }),
        _ if !profiles.contains(&profile) => {
            Err(format!("has no profile [{profile}]; it has: {}", profiles.join(", ")))
        }
        _ => Err(format!("profile [{profile}] lacks aws_access_key_id or aws_secret_access_key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[default]\naws_access_key_id = A1\naws_secret_access_key=s/+=e\n\n[other]\n; x\naws_access_key_id=A2\n AWS_SECRET_ACCESS_KEY = t \naws_session_token = u\nregion = x\n[empty]\n";

    #[test]
    fn profiles_are_read_as_the_aws_tools_do() {
        let keys = parse(FILE, "default").unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str(), keys.token), ("A1", "s/+=e", None));
        let keys = parse(FILE, "other").unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str(), keys.token.as_deref()), ("A2", "t", Some("u")));
        assert_eq!(parse(FILE, "mine").unwrap_err(), "has no profile [mine]; it has: default, other, empty");
        assert!(parse(FILE, "empty").unwrap_err().contains("lacks aws_access_key_id"));
        assert_eq!(parse("[default]\nhunter2", "default").unwrap_err(), "line 2 is not KEY = VALUE");
        assert!(!format!("{:?}", parse(FILE, "default").unwrap()).contains("A1"));
    }

    #[test]
    fn the_environment_says_who_we_are_and_not_where_things_go() {
        let variable = |name: &str| {
            let known = [
                ("AWS_ACCESS_KEY_ID", "A1"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
                ("AWS_ENDPOINT_URL", "http://evil/"),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_REGION", ""),
            ];
            known.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
        };
        let builder = from_environment(AmazonS3Builder::new(), &variable);
        assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).as_deref(), Some("A1"));
        assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::SecretAccessKey).as_deref(), Some("s"));
        assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::Endpoint), None);
        assert_eq!(builder.get_config_value(&AmazonS3ConfigKey::Region), None);
    }
}
