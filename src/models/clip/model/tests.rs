//! A tiny CLIP with random weights: what it answers, keeps, refuses and notices.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;

use super::*;
use crate::contract::{CancelFlag, ErrorClass, Observe};
use crate::models::clip::tensors;
use crate::models::noise::Noise;
use crate::types::Resolution;

const CONFIG: &str = r#"{
    "projection_dim": 24,
    "text_config": {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
        "max_position_embeddings": 16, "vocab_size": 643, "eos_token_id": 642},
    "vision_config": {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2,
        "image_size": 32, "patch_size": 8}
}"#;

/// A folder with a whole CLIP; `change` may spoil its tensors.
fn bundle(change: impl Fn(&str, Vec<f32>) -> Vec<f32>) -> (tempfile::TempDir, ClipFiles) {
    let folder = tempfile::tempdir().unwrap();
    let config = ClipConfig::from_json(CONFIG).unwrap();
    let weights: HashMap<String, Tensor> = tensors(&config)
        .unwrap()
        .into_iter()
        .enumerate()
        .map(|(stream, spec)| {
            let mut values = Noise::new(1, stream as u64).normals(spec.shape.elem_count());
            values.iter_mut().for_each(|value| *value *= 0.2);
            let values = change(&spec.name, values);
            (spec.name, Tensor::from_vec(values, spec.shape, &Device::Cpu).unwrap())
        })
        .collect();
    let path = |name: &str| folder.path().join(name);
    candle_core::safetensors::save(&weights, path("model.safetensors")).unwrap();
    std::fs::write(path("config.json"), CONFIG).unwrap();
    std::fs::write(path("preprocessor_config.json"), r#"{"crop_size": 32, "size": 32}"#).unwrap();
    let tokenizer =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers/tokenizer/tokenizer.json");
    let files = ClipFiles {
        model: vec![path("model.safetensors")],
        config: path("config.json"),
        preprocessor: path("preprocessor_config.json"),
        tokenizer: vec![tokenizer],
    };
    (folder, files)
}

fn model(precision: Precision) -> ClipModel {
    let (_folder, files) = bundle(|_, values| values);
    ClipModel::load(&files, precision, &Device::Cpu, &Run::unobserved()).unwrap()
}

fn picture(width: u32, height: u32, seed: u64) -> RgbImage {
    let data = Noise::new(seed, 0).normals((3 * width * height) as usize);
    let data = data.iter().map(|value| (128.0 + 60.0 * value) as u8).collect();
    RgbImage::new(Resolution::new(width, height).unwrap(), data).unwrap()
}

fn job(pictures: u64, texts: &[&str]) -> Score {
    Score {
        keyframes: (0..pictures).map(|seed| picture(50, 40, seed)).collect(),
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
    }
}

#[test]
fn the_same_job_twice_gives_the_same_bytes() {
    let job = job(5, &["a green alien", "a red hat", "a green alien"]);
    let bytes = |scores: &Scores| serde_json::to_vec(scores).unwrap();
    for precision in [Precision::F32, Precision::F16, Precision::Q8_0] {
        let mut model = model(precision);
        let first = model.run(job.clone(), &Run::unobserved()).unwrap();
        // From the cache, and once more without it.
        let second = model.run(job.clone(), &Run::unobserved()).unwrap();
        assert!(model.trim() > Bytes::ZERO);
        let third = model.run(job.clone(), &Run::unobserved()).unwrap();
        assert_eq!(bytes(&first), bytes(&second), "{precision:?}");
        assert_eq!(bytes(&first), bytes(&third), "{precision:?}");
        assert_eq!((first.cosines.len(), first.cosines[0].len()), (5, 3));
        assert_eq!(first.text_embeddings[0], first.text_embeddings[2]);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    for precision in [Precision::F32, Precision::F16, Precision::Q8_0] {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let job = job(5, &["a green alien", "a red hat"]);
            let scores = pool.install(|| model(precision).run(job, &Run::unobserved()).unwrap());
            serde_json::to_vec(&scores).unwrap()
        };
        let one = on(1);
        assert!(on(2) == one && on(4) == one, "{precision:?}");
    }
}

#[test]
fn an_embedding_does_not_depend_on_its_batch() {
    let mut model = model(Precision::F32);
    let all = model
        .run(job(11, &["a hat", "a very long text about one big green eye"]), &Run::unobserved())
        .unwrap();
    model.trim();
    let one = model.run(job(1, &["a hat"]), &Run::unobserved()).unwrap();
    assert_eq!(all.image_embeddings[0], one.image_embeddings[0]);
    assert_eq!(all.text_embeddings[0], one.text_embeddings[0]);
}

#[test]
fn lower_precisions_are_smaller_and_nearly_agree() {
    let job = job(2, &["a green alien"]);
    let mut exact = model(Precision::F32);
    let scores = exact.run(job.clone(), &Run::unobserved()).unwrap();
    for (precision, least) in [(Precision::F16, 0.9999), (Precision::Q8_0, 0.99)] {
        let mut model = model(precision);
        assert!(model.resident() < exact.resident(), "{precision:?}");
        let ours = model.run(job.clone(), &Run::unobserved()).unwrap();
        let pairs = ours.image_embeddings.iter().zip(&scores.image_embeddings);
        for (ours, exact) in pairs.chain(ours.text_embeddings.iter().zip(&scores.text_embeddings)) {
            assert!(ours.cosine(exact) > least, "{precision:?}: {}", ours.cosine(exact));
            assert!(ours != exact, "{precision:?} is f32");
        }
    }
}

#[test]
fn jobs_without_an_answer_are_refused_with_what_would_have_one() {
    let mut model = model(Precision::F32);
    let mixed = Score { keyframes: [picture(50, 40, 0), picture(40, 50, 1)].into(), ..job(1, &["a"]) };
    for (job, expected) in [
        (job(0, &["a hat"]), "no keyframes"),
        (job(1, &[]), "no texts"),
        (job(1, &["a hat", "  "]), "text 1 is \"  \""),
        (mixed, "keyframe 1 is 40x50, expected 50x40"),
    ] {
        let error = model.run(job, &Run::unobserved()).unwrap_err();
        assert!(error.chain().contains(expected), "{}", error.chain());
        assert_eq!(error.class(), ErrorClass::Own);
    }
}

#[test]
fn a_long_text_is_cut_and_said_so_every_time() {
    let mut model = model(Precision::F32);
    let long = "a green alien with one big eye and a red hat on a blue background and more";
    for _ in 0..2 {
        let scores = model.run(job(1, &["a hat", long]), &Run::unobserved()).unwrap();
        assert_eq!(scores.warnings.len(), 1);
        assert_eq!(scores.warnings[0].code, "text_truncated");
        assert!(scores.warnings[0].message.contains("first 16"), "{}", scores.warnings[0].message);
    }
}

#[test]
fn the_cache_is_bounded_and_saves_work() {
    let mut model = model(Precision::F32);
    let texts: Vec<String> = (0..CACHED_TEXTS + 20).map(|i| format!("hat {i}")).collect();
    for texts in texts.chunks(30) {
        let job = Score { texts: texts.to_vec().into(), ..job(1, &[]) };
        assert_eq!(model.run(job, &Run::unobserved()).unwrap().text_embeddings.len(), texts.len());
    }
    assert_eq!(model.cache.len(), CACHED_TEXTS);
    let steps = Arc::new(Steps::default());
    let run = Run::new(CancelFlag::new(), steps.clone());
    model.run(job(1, &[texts[CACHED_TEXTS].as_str()]), &run).unwrap();
    assert_eq!(steps.0.lock().unwrap().len(), 2, "a cached text needs no step of its own");
}

#[derive(Default)]
struct Steps(Mutex<Vec<Progress>>);

impl Observe for Steps {
    fn step(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }
}

#[test]
fn a_cancelled_run_stops_at_its_next_batch() {
    let mut model = model(Precision::F32);
    let cancel = CancelFlag::new();
    cancel.cancel();
    let run = Run::new(cancel, Arc::new(Steps::default()));
    assert_eq!(model.run(job(1, &["a hat"]), &run).unwrap_err().class(), ErrorClass::Cancelled);
    assert_eq!(model.canary(&run).unwrap_err().class(), ErrorClass::Cancelled);
    assert!(model.run(job(1, &["a hat"]), &Run::unobserved()).is_ok());
}

#[test]
fn the_canary_notices_weights_that_changed() {
    let mut model = model(Precision::F32);
    model.canary(&Run::unobserved()).unwrap();
    let (_folder, files) = bundle(|name, mut values| {
        if name == "vision_model.encoder.layers.1.mlp.fc2.weight" {
            values.iter_mut().step_by(7).for_each(|value| *value = 1.0);
        }
        values
    });
    let other = ClipModel::load(&files, Precision::F32, &Device::Cpu, &Run::unobserved()).unwrap();
    model.network = other.network;
    let error = model.canary(&Run::unobserved()).unwrap_err();
    assert!(error.chain().contains("embedding 0 has cosine"), "{}", error.chain());
}

#[test]
fn spoilt_weights_are_refused_by_name() {
    let load = |change: &dyn Fn(&str, Vec<f32>) -> Vec<f32>| {
        let (_folder, files) = bundle(change);
        ClipModel::load(&files, Precision::F32, &Device::Cpu, &Run::unobserved()).unwrap_err().chain()
    };
    let name = "text_model.encoder.layers.0.self_attn.k_proj.weight";
    let error = load(&|tensor, mut values| {
        if tensor == name {
            values[3] = f32::NAN;
        }
        values
    });
    assert!(error.contains(name) && error.contains("NaN"), "{error}");
    let error = load(&|_, values| vec![0.0; values.len()]);
    assert!(error.contains("no direction"), "{error}");
    let error = load(&|tensor, values| {
        // The class token then sees nothing of the picture.
        if tensor.starts_with("vision_model.encoder") && tensor.contains("out_proj") {
            vec![0.0; values.len()]
        } else {
            values
        }
    });
    assert!(error.contains("inverse"), "{error}");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let refused = |change: &dyn Fn(&mut ClipFiles, &Path)| {
        let (folder, mut files) = bundle(|_, values| values);
        change(&mut files, folder.path());
        ClipModel::load(&files, Precision::F32, &Device::Cpu, &Run::unobserved()).unwrap_err().chain()
    };
    let write = |folder: &Path, name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let error = refused(&|_, folder| write(folder, "preprocessor_config.json", "{}"));
    assert!(error.contains("crop_size is 224x224, expected 32x32"), "{error}");
    let error = refused(&|_, folder| write(folder, "config.json", &CONFIG.replace("643", "600")));
    assert!(error.contains("has 643 tokens, expected at most the 600"), "{error}");
    let error = refused(&|_, folder| write(folder, "config.json", &CONFIG.replace("642", "641000")));
    assert!(error.contains("eos_token_id is 641000"), "{error}");
    let error = refused(&|_, folder| {
        write(folder, "config.json", &CONFIG.replace("\"hidden_size\": 64", "\"hidden_size\": 128"))
    });
    assert!(error.contains("expected shape [128]") && error.contains("found [64]"), "{error}");
    let error = refused(&|_, folder| write(folder, "config.json", "{"));
    assert!(error.contains("config.json"), "{error}");
    let error = refused(&|files, folder| files.tokenizer = vec![folder.join("none.json")]);
    assert!(error.contains("none.json"), "{error}");
    let error = refused(&|files, folder| files.model = vec![folder.join("config.json")]);
    assert!(error.contains("config.json"), "{error}");
}

#[test]
fn the_workspace_grows_with_the_job() {
    let model = model(Precision::F32);
    let small = model.workspace(&job(1, &["a"]));
    let large = model.workspace(&job(8, &["a"]));
    assert!(Bytes::ZERO < small && small < large);
    assert_eq!(large, model.workspace(&job(40, &["a"])), "batches are bounded");
}
