//! The artifact store of a network, as a command is told where it is.

use clap::Args;

use crate::app::service::uploads::store_settings;
use crate::cli::{Context, Failed};
use crate::sink::store::{Store, StoreSettings};

/// Of commands that read or sweep the store.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network")]
pub(in crate::cli) struct StoreFlags {
    /// The network's artifact store: file:///FOLDER or s3://BUCKET/PREFIX [default: the setting store.url]
    #[arg(long, value_name = "URL")]
    pub(in crate::cli) store: Option<String>,
}

impl StoreFlags {
    /// The store, opened.
    pub(in crate::cli) fn open(&self, context: &Context<'_>) -> Result<Store, Failed> {
        let settings = context.config.as_ref().map(|loaded| &loaded.settings.store);
        let url = self.store.as_deref().or(settings.and_then(|settings| settings.url.as_deref()));
        let url = url.ok_or_else(|| {
            Failed::bad_input(
                "no artifact store is named; accepted: --store file:///FOLDER or s3://BUCKET/PREFIX, or the setting \
                 store.url",
            )
        })?;
        let wrong = |error: &dyn std::fmt::Display| Failed::bad_input(format!("{error}"));
        let wanted = match settings {
            Some(settings) => store_settings(settings, url).map_err(|error| wrong(&error))?,
            None => StoreSettings::at(url.parse().map_err(|error| wrong(&error))?),
        };
        Store::open(&wanted).map_err(|error| wrong(&error))
    }
}
