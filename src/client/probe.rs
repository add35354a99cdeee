//! A probe as a kubelet asks it: without a token, without patience.

use std::time::Duration;

use super::error::cause;

/// For a node on the same machine to be reached and to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reasons are shorter; of more, the beginning is enough.
const LONGEST: usize = 16 << 10;

/// What a probe answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The status, 200 where all is well.
    pub status: u16,
    /// `ok`, or why not, a reason a line.
    pub said: String,
}

/// Asks `url`, plain HTTP, past every proxy and following nobody elsewhere; an error is a sentence.
pub async fn probe(url: &str) -> Result<Probed, String> {
    let failed = |error: reqwest::Error| format!("{url} does not answer: {}", cause(&error.without_url()));
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(failed)?;
    let mut answer = client.get(url).header("accept", "text/plain").send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    let mut said = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        said.extend_from_slice(&piece);
        if said.len() > LONGEST {
            said.truncate(LONGEST);
            break;
        }
    }
    Ok(Probed { status, said: String::from_utf8_lossy(&said).trim_end().to_owned() })
}
