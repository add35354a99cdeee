//! The Flux model as a node runs it: whole jobs, cancelled jobs, bad jobs, damaged files, and what it holds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use vortex_node::contract::{CancelFlag, ErrorClass, Model, Observe, Paint, Progress, Run, Unit};
use vortex_node::models::flux::config::{ClipConfig, T5Config, read_json};
use vortex_node::models::flux::files::FluxFiles;
use vortex_node::models::flux::model::FluxModel;
use vortex_node::models::flux::plan::{Options, T5Place};
use vortex_node::models::flux::precision::Precision;
use vortex_node::models::flux::tensors;
use vortex_node::models::noise::Noise;
use vortex_node::models::weights::spec::TensorSpec;
use vortex_node::types::Resolution;

use crate::support::{fixture_sets, fixtures_root};

mod damage;
mod memory;

/// A folder with a whole model: the fixtures' transformer, autoencoder and tokenizers, and text encoders of random
/// weights that know as many tokens as those tokenizers have.
struct Whole {
    folder: tempfile::TempDir,
}

impl Whole {
    /// `None` where there are no fixtures, which has then been said.
    fn new() -> Option<Self> {
        let set = fixture_sets("Flux", |folder| folder.join("flux1-schnell.safetensors").exists())
            .into_iter()
            .next()?;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "flux1-schnell.safetensors",
            "ae.safetensors",
            "transformer/config.json",
            "vae/config.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            "text_encoder_2/config.json",
        ] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::copy(set.join(name), at(name)).unwrap();
        }
        for name in ["tokenizer", "tokenizer_2"] {
            std::fs::create_dir_all(at(name)).unwrap();
            for file in ["tokenizer.json", "tokenizer_config.json"] {
                std::fs::copy(
                    fixtures_root().join("tokenizers/tokenizers").join(name).join(file),
                    at(name).join(file),
                )
                .or_else(|_| {
                    std::fs::copy(
                        fixtures_root().join("tokenizers").join(name).join(file),
                        at(name).join(file),
                    )
                })
                .unwrap();
            }
        }
        let clip =
            enlarge(&at("text_encoder/config.json"), &[("vocab_size", 700), ("max_position_embeddings", 77)]);
        let clip = tensors::clip(&ClipConfig::from_json(&clip).unwrap()).unwrap();
        save(&clip, 1, &at("text_encoder/model.safetensors"));
        let t5 = enlarge(&at("text_encoder_2/config.json"), &[("vocab_size", 300)]);
        save(
            &tensors::t5(&T5Config::from_json(&t5).unwrap()).unwrap(),
            2,
            &at("text_encoder_2/model.safetensors"),
        );
        Some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self) -> FluxFiles {
        FluxFiles::find(self.folder.path()).unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    fn load(&self) -> FluxModel {
        FluxModel::load(&self.files(), &options(), &Device::Cpu, &Run::unobserved())
            .unwrap_or_else(|error| panic!("{}", error.chain()))
    }
}

fn enlarge(config: &Path, fields: &[(&str, u32)]) -> serde_json::Value {
    let mut value = read_json(config).unwrap();
    fields.iter().for_each(|(field, size)| value[field] = (*size).into());
    std::fs::write(config, value.to_string()).unwrap();
    value
}

/// Random weights for `specs`, initialised as the networks ask, in bf16.
fn save(specs: &[TensorSpec], seed: u64, path: &Path) {
    let mut noise = Noise::new(seed, 0);
    let tensor = |spec: &TensorSpec| {
        let count = spec.shape.elem_count();
        let values = match spec.init {
            Init::Const(value) => vec![value as f32; count],
            Init::Randn { mean, stdev } => {
                noise.normals(count).iter().map(|v| (mean + stdev * f64::from(*v)) as f32).collect()
            }
            other => panic!("{}: {other:?}", spec.name),
        };
        let tensor = Tensor::from_vec(values, spec.shape.clone(), &Device::Cpu).unwrap();
        tensor.to_dtype(DType::BF16).unwrap()
    };
    let mut tensor = tensor;
    let all: HashMap<String, Tensor> = specs.iter().map(|spec| (spec.name.clone(), tensor(spec))).collect();
    candle_core::safetensors::save(&all, path).unwrap();
}

fn options() -> Options {
    Options { precision: Precision::Stored, ..Options::default() }
}

fn job(prompt: &str, seed: u64, steps: u32) -> Paint {
    Paint { prompt: prompt.to_owned(), seed, resolution: Resolution::new(64, 48).unwrap(), steps }
}

fn paint(model: &mut FluxModel, job: Paint) -> Vec<u8> {
    model.run(job, &Run::unobserved()).unwrap_or_else(|error| panic!("{}", error.chain())).image.into_data()
}

/// Notes every step and cancels at a chosen one.
#[derive(Default)]
struct Watcher {
    seen: Mutex<Vec<Progress>>,
    cancel: CancelFlag,
    at: Option<usize>,
}

impl Observe for Watcher {
    fn step(&self, progress: Progress) {
        let mut seen = self.seen.lock().unwrap();
        seen.push(progress);
        if self.at == Some(seen.len()) {
            self.cancel.cancel();
        }
    }
}

fn watched(at: Option<usize>) -> (Run, Arc<Watcher>) {
    let watcher = Arc::new(Watcher { at, ..Watcher::default() });
    (Run::new(watcher.cancel.clone(), watcher.clone()), watcher)
}

#[test]
fn the_same_seed_and_prompt_paint_the_same_bytes_and_others_do_not() {
    let Some(whole) = Whole::new() else { return };
    let mut model = whole.load();
    let first = paint(&mut model, job("a funny guy", 7, 4));
    assert_eq!(first.len(), 64 * 48 * 3);
    assert!(first == paint(&mut model, job("a funny guy", 7, 4)), "again, from remembered embeddings");
    assert!(model.trim().get() > 0, "embeddings were remembered");
    assert!(first == paint(&mut model, job("a funny guy", 7, 4)), "again, read anew");
    assert!(first == paint(&mut whole.load(), job("a funny guy", 7, 4)), "again, loaded anew");
    assert!(first != paint(&mut model, job("a funny guy", 8, 4)), "another seed");
    assert!(first != paint(&mut model, job("a little monster", 7, 4)), "another prompt");
    assert!(first != paint(&mut model, job("a funny guy", 7, 3)), "other steps");
}

#[test]
fn a_job_cancelled_at_any_step_leaves_no_trace() {
    let Some(whole) = Whole::new() else { return };
    let mut model = whole.load();
    let expected = paint(&mut model, job("a ginger girl", 3, 2));
    let resident = model.resident();
    model.trim();
    let (run, watcher) = watched(None);
    model.run(job("a ginger girl", 3, 2), &run).unwrap();
    let steps = watcher.seen.lock().unwrap().clone();
    let denoising: Vec<(u32, u32)> =
        steps.iter().filter(|step| step.unit == Unit::Steps).map(|step| (step.done, step.total)).collect();
    assert_eq!(denoising, [(1, 2), (2, 2)], "a step of its own for every denoising step");
    let parts: Vec<&Progress> = steps.iter().filter(|step| step.unit == Unit::Parts).collect();
    assert!(parts.windows(2).all(|pair| pair[0].done < pair[1].done && pair[1].done <= pair[1].total));
    assert_eq!(parts.last().unwrap().done, parts.last().unwrap().total, "every part is accounted for");
    for at in 1..=steps.len() {
        model.trim();
        let (run, _) = watched(Some(at));
        let error = model.run(job("a ginger girl", 3, 2), &run).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Cancelled, "at {at}: {}", error.chain());
        assert!(
            paint(&mut model, job("a ginger girl", 3, 2)) == expected,
            "the job after one cancelled at {at}"
        );
        assert_eq!(model.resident(), resident);
    }
}

#[test]
fn each_truncation_is_warned_of_separately() {
    let Some(whole) = Whole::new() else { return };
    let mut model = whole.load();
    let mut codes = |prompt: &str| -> Vec<String> {
        let painted = model.run(job(prompt, 1, 1), &Run::unobserved()).unwrap();
        painted.warnings.iter().map(|warning| warning.code.to_string()).collect()
    };
    assert_eq!(codes("funny"), [] as [&str; 0]);
    // The fixtures' T5 tokenizer has 40 tokens, CLIP's 77.
    assert_eq!(codes(&"funny ".repeat(50)), ["t5_prompt_truncated"]);
    assert_eq!(codes(&"funny ".repeat(200)), ["clip_prompt_truncated", "t5_prompt_truncated"]);
    assert_eq!(codes(&"funny ".repeat(200)).len(), 2, "remembered embeddings remember their warnings");
}

#[test]
fn jobs_that_cannot_be_painted_are_refused_and_harm_nothing() {
    let Some(whole) = Whole::new() else { return };
    let mut model = whole.load();
    let expected = paint(&mut model, job("head", 1, 1));
    let size =
        |width, height| Paint { resolution: Resolution::new(width, height).unwrap(), ..job("head", 1, 1) };
    for (bad, told) in [
        (job("head", 1, 0), "0 denoising steps; expected 1 to"),
        (size(60, 48), "a picture of 60x48; expected sides divisible by 16"),
        (size(64, 1), "such as 64x16"),
        (job(&"x".repeat(1 << 20), 1, 1), "the prompt has 1048576 bytes; at most 65536 are read"),
    ] {
        let error = model.run(bad, &Run::unobserved()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Own);
        assert!(error.chain().contains(told), "{}", error.chain());
    }
    assert!(paint(&mut model, job("head", 1, 1)) == expected);
    // Empty prompts, and such that no tokenizer was trained on, are prompts.
    for odd in ["", "\0\u{feff}\u{202e}", "🦀🦀🦀", "<|endoftext|></s><pad>"] {
        assert_eq!(paint(&mut model, job(odd, 1, 1)).len(), expected.len());
    }
}

#[test]
fn a_bundle_is_a_model_too() {
    use vortex_node::models::bundle::Bundle;
    let Some(whole) = Whole::new() else { return };
    let mut text = String::from("name = \"test\"\n");
    text.push_str("[models.flux]\nprecision = \"nf4\"\nbudget = \"6.0GB\"\n[models.flux.files]\n");
    for (role, path) in [
        ("transformer", "flux1-schnell.safetensors"),
        ("transformer_config", "transformer/config.json"),
        ("vae", "ae.safetensors"),
        ("vae_config", "vae/config.json"),
        ("text_encoder", "text_encoder/model.safetensors"),
        ("text_encoder_config", "text_encoder/config.json"),
        ("text_encoder_2", "text_encoder_2/model.safetensors"),
        ("text_encoder_2_config", "text_encoder_2/config.json"),
        ("scheduler", "scheduler/scheduler_config.json"),
        ("tokenizer", "tokenizer/tokenizer.json"),
        ("tokenizer_2", "tokenizer_2/tokenizer.json"),
    ] {
        let hash = "0".repeat(64);
        let file = format!("{{ path = \"{path}\", sha256 = \"{hash}\" }}");
        let several = path.ends_with(".safetensors");
        text.push_str(&if several { format!("{role} = [{file}]\n") } else { format!("{role} = {file}\n") });
    }
    std::fs::write(whole.path("bundle.toml"), text).unwrap();
    let bundle = Bundle::open(whole.folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let files = FluxFiles::of_bundle(&bundle).unwrap();
    assert_eq!(files, whole.files());
    let precision = Precision::from(bundle.model(vortex_node::types::ModelId::Flux).unwrap().precision);
    assert_eq!(precision, Precision::Nf4 { nested: false });
}

#[test]
fn t5_gives_the_same_picture_streamed_and_resident() {
    let Some(whole) = Whole::new() else { return };
    let streamed = paint(&mut whole.load(), job("head", 5, 2));
    let resident =
        Options { t5: T5Place::Resident(Precision::Stored), modulation_in_host: false, ..options() };
    let mut model = FluxModel::load(&whole.files(), &resident, &Device::Cpu, &Run::unobserved()).unwrap();
    assert!(paint(&mut model, job("head", 5, 2)) == streamed);
}
