//! What a node answers, as it stands, for whoever keeps it: once, whatever the status, up to so many bytes.

use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};

use super::answer::content_type;
use super::error::{ClientError, cause};
use super::request::{Again, Asked, Client};

/// An answer that nobody has judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Its status.
    pub status: u16,
    /// What kind of content it says it has.
    pub kind: String,
    /// The content, or its beginning; what is no UTF-8 in it is replaced.
    pub said: String,
    /// Whether there was more.
    pub cut: bool,
}

impl Client {
    /// Asks once for what is under `parts` of a path, and takes at most `most` bytes of the answer.
    pub async fn look(
        &self,
        parts: &[&str],
        query: &[(&str, &str)],
        most: usize,
    ) -> Result<Looked, ClientError> {
        let headers =
            HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json, text/plain"))]);
        let asked = Asked {
            method: Method::GET,
            url: self.url(parts, query),
            headers,
            body: None,
            again: Again::Never,
        };
        let mut response = self.send(&asked).await?;
        let (status, kind) = (response.status().as_u16(), content_type(response.headers()).to_owned());
        let broken = |error: reqwest::Error| ClientError::Broken {
            url: self.address().to_owned(),
            why: cause(&error.without_url()),
        };
        let (mut said, mut cut) = (Vec::new(), false);
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            said.extend_from_slice(&piece);
            if said.len() > most {
                said.truncate(most);
                cut = true;
                break;
            }
        }
        Ok(Looked { status, kind, said: String::from_utf8_lossy(&said).into_owned(), cut })
    }
}
