//! One file from the hub to its final place, by way of a conversion where it is published as a pickle.

use std::path::Path;

use super::Outcome;
use super::bars::FileBar;
use super::plan::Looked;
use crate::contract::Run;
use crate::hub::{HubClient, Notice};
use crate::models::bundle::Sha256;
use crate::models::weights::pickle;
use crate::types::Bytes;

impl Looked {
    /// Fetches it, and converts it where it has to be.
    pub(super) async fn transfer(
        &self,
        client: &HubClient,
        bar: &FileBar<'_>,
        watch: &dyn Fn(Notice<'_>),
    ) -> Result<Outcome, String> {
        let pickled = self.item.pickle().map(|(_, pickled)| pickled);
        let (mut size, mut resumed) = (self.total(), self.total());
        if let Some(known) = &self.known {
            let seen = |notice: Notice<'_>| match notice {
                Notice::Reached(bytes) => bar.reached(bytes),
                other => watch(other),
            };
            let came = client.fetch(&self.download, Some(known.clone()), &seen).await;
            let came = came.map_err(|error| error.to_string())?;
            (size, resumed) = (came.size, came.resumed);
        }
        if let Some(pickled) = pickled {
            let (path, expected) = (self.item.path.clone(), self.item.sha256);
            let work = tokio::task::spawn_blocking(move || convert(&pickled, &path, expected));
            size = work.await.map_err(|error| format!("the converting thread ended: {error}"))??;
        }
        Ok(Outcome::Fetched { size, resumed })
    }
}

/// Makes `path` of `pickled`, which is removed once that is done.
fn convert(pickled: &Path, path: &Path, expected: Sha256) -> Result<Bytes, String> {
    let part = path.with_added_extension("part");
    let written = pickle::convert(pickled, &part, &Run::unobserved()).map_err(|error| error.chain())?.written;
    let failed = |error: std::io::Error| format!("{}: {error}", part.display());
    if written.sha256 != expected {
        std::fs::remove_file(&part).map_err(failed)?;
        return Err(format!(
            "what the conversion gave is not what the bundle describes: expected sha256 {expected}, found {}",
            written.sha256
        ));
    }
    std::fs::rename(&part, path).map_err(failed)?;
    std::fs::remove_file(pickled)
        .map_err(|error| format!("{} cannot be removed: {error}", pickled.display()))?;
    Ok(written.size)
}
