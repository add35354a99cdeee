//! `weights info`: what a bundle holds and what it would take in memory.

use clap::Args;
use serde_json::{Value, json};

use super::Chosen;
use crate::cli::{Context, Failed, Style};
use crate::exit::Exit;
use crate::models::bundle::{Bundle, ModelEntry, Precision};
use crate::models::catalog::{self, Part};
use crate::types::{Bytes, ModelId, with_path};

/// Arguments of `weights info`.
#[derive(Debug, Args)]
pub(super) struct Info {
    #[command(flatten)]
    chosen: Chosen,
    /// What each part would take in its precision, beside the budget
    #[arg(long)]
    plan: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What the configurations tell of a model: how many weights, and what they will take as the bundle says.
struct Sizes {
    parameters: u64,
    plan: Vec<Part>,
}

impl Info {
    /// Looks and answers. Only the description and the configurations are needed; weights may still be missing.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let (bundle, models) = self.chosen.open()?;
        let mut answers = Vec::new();
        if !self.json {
            let name = context.console.paint(Style::Strong, &bundle.name);
            let summary = bundle.summary.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            writeln!(context.console.out(), "{name}{summary}")?;
        }
        for model in models {
            let entry = bundle.model(model)?;
            let sizes = sizes(&bundle, model);
            if self.json {
                answers.push(as_json(&bundle, model, entry, &sizes));
            } else {
                self.print(&bundle, model, entry, &sizes, context)?;
            }
        }
        if self.json {
            let v = bundle.verification;
            let verification = json!({"clip_b": v.clip_b, "clip_l": v.clip_l, "weight_b": v.weight_b,
                                      "weight_l": v.weight_l, "outlier": v.outlier});
            let answer = json!({"name": bundle.name, "summary": bundle.summary, "verification": verification,
                                "models": answers});
            context.console.json(&with_path(answer, "folder", &bundle.folder))?;
        }
        Ok(Exit::Success)
    }

    fn print(
        &self,
        bundle: &Bundle,
        model: ModelId,
        entry: &ModelEntry,
        sizes: &Result<Sizes, String>,
        context: &mut Context<'_>,
    ) -> Result<(), Failed> {
        let title = context.console.paint(Style::Strong, model);
        let licence = entry.card.licence.as_deref().unwrap_or("no licence named");
        writeln!(
            context.console.out(),
            "\n{title}: {}, budget {}, {licence}",
            entry.precision,
            entry.budget
        )?;
        for (role, file) in entry.entries() {
            let size = std::fs::metadata(bundle.folder.join(&file.path)).map(|found| Bytes::new(found.len()));
            let published = file.bytes.filter(|_| size.is_err());
            let published = published.map(|bytes| format!(" ({bytes} at the hub)")).unwrap_or_default();
            let size = size.map_or_else(|_| "missing".to_owned(), |size| size.to_string());
            writeln!(context.console.out(), "  {role:28}  {size:>9}  {}{published}", file.path)?;
        }
        let sizes = match sizes {
            Ok(sizes) => sizes,
            Err(why) => {
                writeln!(context.console.out(), "  sizes are not known: {why}")?;
                return Ok(());
            }
        };
        let each: Vec<String> = Precision::of(model)
            .iter()
            .map(|precision| format!("{precision} {}", precision.size(sizes.parameters)))
            .collect();
        let millions = sizes.parameters as f64 / 1e6;
        writeln!(context.console.out(), "  {millions:.2} M parameters: {}", each.join(", "))?;
        if self.plan {
            for Part { name, place, bytes, .. } in &sizes.plan {
                writeln!(context.console.out(), "  plan  {name:28}  {place:8}  {bytes:>9}")?;
            }
            let total = counted(&sizes.plan);
            let fits = total <= entry.budget;
            let (style, verdict) =
                if fits { (Style::Good, "within its budget") } else { (Style::Doubtful, "above its budget") };
            let (verdict, budget) = (context.console.paint(style, verdict), entry.budget);
            let out = context.console.out();
            writeln!(out, "  plan  {:28}  {:8}  {total:>9}  {verdict} of {budget}", "together", "device")?;
        }
        Ok(())
    }
}

/// An error as text where a model's configurations are not there or not readable.
fn sizes(bundle: &Bundle, model: ModelId) -> Result<Sizes, String> {
    let told = catalog::networks(bundle, model).and_then(|networks| {
        let parameters = networks.iter().map(catalog::Network::parameters).sum();
        Ok(Sizes { parameters, plan: catalog::plan(bundle, model)? })
    });
    told.map_err(|error| error.chain())
}

fn counted(plan: &[Part]) -> Bytes {
    plan.iter().filter(|part| part.counts).map(|part| part.bytes).sum()
}

fn as_json(bundle: &Bundle, model: ModelId, entry: &ModelEntry, sizes: &Result<Sizes, String>) -> Value {
    let files: Vec<Value> = entry
        .entries()
        .map(|(role, file)| {
            let size = std::fs::metadata(bundle.folder.join(&file.path)).ok().map(|found| found.len());
            json!({"role": role, "path": file.path, "sha256": bundle.hash_of(file), "bytes": size,
                   "published_bytes": file.bytes})
        })
        .collect();
    let mut value = json!({
        "model": model, "precision": entry.precision, "budget": entry.budget, "files": files,
        "licence": entry.card.licence, "authors": entry.card.authors, "url": entry.card.url,
    });
    match sizes {
        Ok(Sizes { parameters, plan }) => {
            value["parameters"] = json!(parameters);
            let each =
                Precision::of(model).iter().map(|p| (p.to_string(), json!(p.size(*parameters)))).collect();
            value["bytes_by_precision"] = Value::Object(each);
            let parts =
                plan.iter().map(|part| json!({"name": part.name, "place": part.place, "bytes": part.bytes}));
            value["plan"] = parts.collect();
            value["planned"] = json!(counted(plan));
        }
        Err(why) => value["error"] = json!(why),
    }
    value
}
