//! `weights list`: the bundles that ship with the program.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::cli::{Context, Failed, Style};
use crate::exit::Exit;
use crate::models::bundle::Bundle;
use crate::models::bundle::shipped::SHIPPED;
use crate::types::Bytes;

/// Arguments of `weights list`.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Tells name, size, purpose, and each model's licence.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let mut answers = Vec::new();
        for shipped in &SHIPPED {
            let bundle = shipped.bundle(Path::new(shipped.name))?;
            let (files, bytes) = published(&bundle);
            let summary = bundle.summary.clone().unwrap_or_default();
            if self.json {
                let licences: BTreeMap<&str, Option<&str>> = bundle
                    .models
                    .iter()
                    .map(|(model, entry)| (model.name(), entry.card.licence.as_deref()))
                    .collect();
                answers
                    .push(json!({ "name": shipped.name, "summary": summary, "files": files, "bytes": bytes,
                                     "licences": licences }));
                continue;
            }
            let name = context.console.paint(Style::Strong, format!("{:14}", shipped.name));
            writeln!(context.console.out(), "{name}  {bytes:>9}  {summary}")?;
        }
        if self.json {
            context.console.json(&json!({ "bundles": answers }))?;
        } else {
            writeln!(context.console.out(), "to fetch one: vortex-node weights pull NAME --into DIR")?;
        }
        Ok(Exit::Success)
    }
}

/// How many files a bundle has, and how many bytes in all; what two models share counts once.
fn published(bundle: &Bundle) -> (usize, Bytes) {
    let entries = bundle.models.values().flat_map(|entry| entry.entries());
    let each: BTreeMap<&str, Bytes> =
        entries.map(|(_, file)| (file.path.as_str(), file.bytes.unwrap_or_default())).collect();
    (each.len(), each.values().copied().sum())
}
