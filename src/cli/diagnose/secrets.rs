//! The secrets of this machine's node, so that they can be taken out of everything: each is read for that alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::machine::beginning_of;
use super::scrub::{Scrub, is_telling};
use super::step::within;
use crate::api::access::tokens::LOCAL_TOKEN;
use crate::app::service::outbox::secret_file;
use crate::cli::remote::RemoteFlags;
use crate::config::Settings;

/// A disk that does not answer within this does not answer.
const DISK: Duration = Duration::from_secs(5);
/// Files of secrets are far smaller.
const LARGEST: u64 = 256 << 10;

/// Everything that must not stand in the archive: by files and by variables.
pub(super) fn known(
    environment: &BTreeMap<String, String>,
    settings: Option<&Settings>,
    remote: &RemoteFlags,
) -> Scrub {
    let mut scrub = Scrub::default();
    let mut files: Vec<PathBuf> = [&remote.token_file, &remote.key].into_iter().flatten().cloned().collect();
    if let Some(settings) = settings {
        let data = &settings.data_dir;
        files.extend([data.join(LOCAL_TOKEN), secret_file(data), settings.key_file()]);
        files.extend(settings.http.tls_key.clone());
    }
    let read = within(DISK, move || -> Vec<String> {
        files.iter().filter_map(|path| beginning_of(path, LARGEST).ok()).collect()
    });
    // What cannot be read here is read by no other part either.
    read.unwrap_or_default().iter().for_each(|text| scrub.know_all_of(text));
    let secret = |name: &str| is_telling(name) || name.to_ascii_uppercase().ends_with("HEADERS");
    environment.iter().filter(|(name, _)| secret(name)).for_each(|(_, value)| scrub.know_all_of(value));
    scrub
}
