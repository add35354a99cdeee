use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex as StdMutex;

use super::*;
use crate::contract::{CancelFlag, ErrorClass, Observe};

fn cpu() -> Options {
    Options::new(DType::F32, &Device::Cpu)
}

/// A file `m.safetensors` in a folder that lives as long as the test.
fn stored(tensors: &[(&str, Tensor)]) -> (tempfile::TempDir, Arc<Weights>) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("m.safetensors");
    let tensors: HashMap<String, Tensor> =
        tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let weights = Arc::new(Weights::open([path]).unwrap());
    (folder, weights)
}

fn values(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

fn said(weights: &Arc<Weights>, build: impl FnOnce(VarBuilder<'static>) -> Result<Tensor, Candle>) -> String {
    load(weights, &cpu(), &Run::unobserved(), build).unwrap_err().chain()
}

#[test]
fn a_network_gets_its_tensors_converted_and_what_it_left_is_told() {
    let half = values(&[1.5, -2.0]).to_dtype(DType::F16).unwrap();
    let ids = Tensor::new(&[0i64, 1, 2], &Device::Cpu).unwrap();
    let (_folder, weights) = stored(&[("a.weight", half), ("b", values(&[3.0])), ("a.position_ids", ids)]);
    let build = |vb: VarBuilder<'static>| vb.pp("a").get(2, "weight");
    let (tensor, loaded) = load(&weights, &cpu(), &Run::unobserved(), build).unwrap();
    assert_eq!(tensor.to_vec1::<f32>().unwrap(), [1.5, -2.0]);
    assert_eq!(loaded, Loaded { tensors: 1, bytes: Bytes::new(8), unused: vec!["b".to_owned()] });
}

#[test]
fn errors_name_file_tensor_expected_and_found() {
    let ids = Tensor::new(&[0i64], &Device::Cpu).unwrap();
    let (_folder, weights) = stored(&[("a.weight", values(&[1.0, 2.0])), ("ids", ids)]);
    let missing = said(&weights, |vb| vb.pp("a").get((2, 2), "weights"));
    assert!(
        missing.contains("m.safetensors: tensor \"a.weights\" is missing: expected shape [2, 2]"),
        "{missing}"
    );
    assert!(missing.contains("the most similar name there is \"a.weight\""), "{missing}");
    let shape = said(&weights, |vb| vb.pp("a").get((2, 2), "weight"));
    assert!(
        shape.contains("m.safetensors: tensor \"a.weight\": expected shape [2, 2], found [2]"),
        "{shape}"
    );
    let dtype = said(&weights, |vb| vb.get(1, "ids"));
    assert!(dtype.contains("tensor \"ids\": expected F32, F16, BF16 or F64, found I64"), "{dtype}");
    let dtype =
        said(&weights, |vb| vb.pp("a").get_with_hints_dtype(2, "weight", Init::Const(0.), DType::I64));
    assert!(dtype.contains("tensor \"a.weight\": expected I64, found F32"), "{dtype}");
}

#[test]
fn an_error_says_so_even_where_the_network_wraps_it() {
    let (_folder, weights) = stored(&[("a", values(&[1.0]))]);
    let text = said(&weights, |vb| vb.get(3, "a").map_err(|error| error.context("in layer 7")));
    assert!(text.contains("expected shape [3], found [1]"), "{text}");
}

#[test]
fn a_name_tried_and_forgone_is_not_blamed_for_a_later_failure() {
    let (_folder, weights) = stored(&[("a", values(&[1.0]))]);
    let text = said(&weights, |vb| {
        assert!(vb.get(1, "b").is_err());
        candle_core::bail!("the scale must not be zero")
    });
    assert!(text.contains("m.safetensors: the scale must not be zero"), "{text}");
}

#[test]
fn a_weight_that_is_not_finite_names_its_tensor_and_place_unless_not_looked_for() {
    let (_folder, weights) = stored(&[("a", values(&[1.0, f32::NAN, f32::INFINITY]))]);
    let text = said(&weights, |vb| vb.get(3, "a"));
    assert!(
        text.contains("m.safetensors: tensor \"a\": value 1 of 3 is NaN, expected finite numbers"),
        "{text}"
    );
    let unchecked = Options { finite: false, ..cpu() };
    assert!(load(&weights, &unchecked, &Run::unobserved(), |vb| vb.get(3, "a")).is_ok());
    let (_folder, weights) = stored(&[("a", values(&[1.0, 70_000.0]))]);
    let half = Options::new(DType::F16, &Device::Cpu);
    let error = load(&weights, &half, &Run::unobserved(), |vb| vb.get(2, "a")).unwrap_err().chain();
    assert!(error.contains("value 1 of 2 is 70000") && error.contains("the largest f16"), "{error}");
}

#[derive(Default)]
struct Seen(StdMutex<Vec<Progress>>, CancelFlag);

impl Observe for Seen {
    fn step(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
        if progress.done == 2 {
            self.1.cancel();
        }
    }
}

#[test]
fn every_tensor_is_a_step_and_a_cancelled_load_stops_at_the_next() {
    let (_folder, weights) = stored(&[
        ("a", values(&[1.0])),
        ("b", values(&[1.0])),
        ("c", values(&[1.0])),
        ("x.position_ids", values(&[1.0])),
    ]);
    let cancel = CancelFlag::new();
    let seen = Arc::new(Seen(StdMutex::default(), cancel.clone()));
    let run = Run::new(cancel, seen.clone());
    let build = |vb: VarBuilder<'static>| ["a", "b", "c"].map(|name| vb.get(1, name)).into_iter().collect();
    let error = load::<Vec<Tensor>>(&weights, &cpu(), &run, build).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Cancelled);
    let steps = seen.0.lock().unwrap().clone();
    assert_eq!(steps[..2], [Progress::new(Unit::Parts, 1, 3), Progress::new(Unit::Parts, 2, 3)]);
}
