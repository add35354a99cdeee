//! `weights info`: what a bundle holds and what it would take in memory.

use clap::Args;
use serde_json::{Value, json};

use super::Chosen;
use crate::cli::{Context, Failed, Style};
use crate::exit::Exit;
use crate::models::bundle::{Bundle, ModelEntry, Precision};
use crate::models::registry;
use crate::types::{Bytes, ModelId};

/// Arguments of `weights info`.
#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    chosen: Chosen,
    /// What each part would take in its precision, beside the budget
    #[arg(long)]
    plan: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// One network: its weights' role, how many there are, and what they will take as the bundle says.
struct Part {
    role: &'static str,
    parameters: u64,
    precision: Precision,
    size: Bytes,
}

impl Info {
    /// Looks and answers. Only the description and the configurations are needed; weights may still be missing.
    pub fn run(self, context: &mut Context<'_>) -> Result<Exit, Failed> {
        let (bundle, models) = self.chosen.open()?;
        let mut answers = Vec::new();
        if !self.json {
            let name = context.console.paint(Style::Strong, &bundle.name);
            let summary = bundle.summary.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            writeln!(context.console.out(), "{name}{summary}")?;
        }
        for model in models {
            let entry = bundle.model(model)?;
            let parts = parts(&bundle, model, entry);
            if self.json {
                answers.push(as_json(&bundle, model, entry, &parts));
            } else {
                self.print(&bundle, model, entry, &parts, context)?;
            }
        }
        if self.json {
            let v = bundle.verification;
            let verification = json!({"clip_b": v.clip_b, "clip_l": v.clip_l, "weight_b": v.weight_b,
                                      "weight_l": v.weight_l, "outlier": v.outlier});
            context
                .console
                .json(&json!({"name": bundle.name, "summary": bundle.summary, "folder": bundle.folder,
                                         "verification": verification, "models": answers}))?;
        }
        Ok(Exit::Success)
    }

    fn print(
        &self,
        bundle: &Bundle,
        model: ModelId,
        entry: &ModelEntry,
        parts: &Result<Vec<Part>, String>,
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
            let size = size.map_or_else(|_| "missing".to_owned(), |size| size.to_string());
            writeln!(context.console.out(), "  {role:28}  {size:>9}  {}", file.path)?;
        }
        let parts = match parts {
            Ok(parts) => parts,
            Err(why) => {
                writeln!(context.console.out(), "  sizes are not known: {why}")?;
                return Ok(());
            }
        };
        let parameters: u64 = parts.iter().map(|part| part.parameters).sum();
        let sizes: Vec<String> = Precision::of(model)
            .iter()
            .map(|precision| format!("{precision} {}", precision.size(parameters)))
            .collect();
        writeln!(context.console.out(), "  {} parameters: {}", millions(parameters), sizes.join(", "))?;
        if self.plan {
            for Part { role, parameters, precision, size } in parts {
                let parameters = millions(*parameters);
                writeln!(
                    context.console.out(),
                    "  plan  {role:28}  {parameters:>10}  {precision:10}  {size:>9}"
                )?;
            }
            let total: Bytes = parts.iter().map(|part| part.size).sum();
            let fits = total <= entry.budget;
            let (style, verdict) =
                if fits { (Style::Good, "within its budget") } else { (Style::Doubtful, "above its budget") };
            let verdict = context.console.paint(style, verdict);
            writeln!(
                context.console.out(),
                "  plan  {:28}  {:10}  {:10}  {total:>9}  {verdict}",
                "weights",
                "",
                ""
            )?;
        }
        Ok(())
    }
}

/// The networks of a model; an error as text where its configurations are not there or not readable.
fn parts(bundle: &Bundle, model: ModelId, entry: &ModelEntry) -> Result<Vec<Part>, String> {
    let networks = registry::networks(bundle, model).map_err(|error| error.chain())?;
    let part = |network: &registry::Network| {
        let parameters = network.specs.iter().map(|spec| spec.shape.elem_count() as u64).sum();
        let precision = entry.precision_of(network.role);
        Part { role: network.role, parameters, precision, size: precision.size(parameters) }
    };
    Ok(networks.iter().map(part).collect())
}

fn millions(count: u64) -> String {
    format!("{:.2} M", count as f64 / 1e6)
}

fn as_json(bundle: &Bundle, model: ModelId, entry: &ModelEntry, parts: &Result<Vec<Part>, String>) -> Value {
    let files: Vec<Value> = entry
        .entries()
        .map(|(role, file)| {
            let size = std::fs::metadata(bundle.folder.join(&file.path)).ok().map(|found| found.len());
            json!({"role": role, "path": file.path, "sha256": file.sha256.to_string(), "bytes": size})
        })
        .collect();
    let mut value = json!({
        "model": model, "precision": entry.precision, "budget": entry.budget, "files": files,
        "licence": entry.card.licence, "authors": entry.card.authors, "url": entry.card.url,
    });
    match parts {
        Ok(parts) => {
            let parameters: u64 = parts.iter().map(|part| part.parameters).sum();
            value["parameters"] = json!(parameters);
            let sizes =
                Precision::of(model).iter().map(|p| (p.to_string(), json!(p.size(parameters)))).collect();
            value["bytes_by_precision"] = Value::Object(sizes);
            let plan = parts.iter().map(|part| {
                json!({"role": part.role, "parameters": part.parameters, "precision": part.precision,
                       "bytes": part.size})
            });
            value["plan"] = plan.collect();
        }
        Err(why) => value["error"] = json!(why),
    }
    value
}
