//! Float8 in files, bare and with scales, and files that promise scales and have none.

use std::collections::HashMap;

use candle_core::DType;
use half::f16;
use safetensors::tensor::Dtype;
use vortex_node::types::ModelId;

use super::{
    Stored, T5, TRANSFORMER, Tensors, assert_equal, bundle_with, is_usable, of_floats, read, renamed, seen,
    verified, wide, write,
};

/// The scale of a tensor of that name and shape, with the name that it is stored under.
pub(super) type Scaling<'a> = &'a dyn Fn(&str, &[usize]) -> Option<(String, Stored)>;

/// Matrices in float8 with a scale (or none) beside them, and the same in f32.
pub(super) fn in_float8(file: &str, dtype: Dtype, scale: Scaling<'_>) -> [Tensors; 2] {
    let (mut eight, mut plain) = (Tensors::new(), Tensors::new());
    for (name, it) in read(file) {
        let &[rows, cols] = it.shape.as_slice() else {
            eight.insert(name.clone(), it.clone());
            plain.insert(name, it);
            continue;
        };
        let tensor = wide(&it);
        let (bytes, mut values) = if dtype == Dtype::F8_E5M2 {
            // The upper byte of an IEEE half.
            let halves = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let bytes: Vec<u8> = halves.iter().map(|v| (f16::from_f32(*v).to_bits() >> 8) as u8).collect();
            let values = bytes.iter().map(|byte| f16::from_bits(u16::from(*byte) << 8).to_f32()).collect();
            (bytes, values)
        } else {
            let eight = tensor.to_dtype(DType::F8E4M3).unwrap();
            let values = eight.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let saved = tempfile::NamedTempFile::new().unwrap();
            candle_core::safetensors::save(&HashMap::from([("x", eight)]), saved.path()).unwrap();
            let saved = std::fs::read(saved.path()).unwrap();
            (saved[saved.len() - rows * cols..].to_vec(), values)
        };
        if let Some((beside, scale)) = scale(&name, &it.shape) {
            let by = wide(&scale).flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (place, value) in values.iter_mut().enumerate() {
                let at = if by.len() == 1 { 0 } else { place / cols };
                *value *= by.get(at).copied().unwrap_or(1.0);
            }
            eight.insert(beside, scale);
        }
        plain.insert(name.clone(), of_floats(&it.shape, &values));
        eight.insert(name, Stored { dtype, shape: it.shape.clone(), bytes });
    }
    [eight, plain]
}

#[test]
fn float8_with_and_without_scales_has_the_values_it_stands_for() {
    let folder = tempfile::tempdir().unwrap();
    let none = |_: &str, _: &[usize]| None;
    let layer = |name: &str| name.strip_suffix(".weight").unwrap_or(name).to_owned();
    let one =
        |name: &str, _: &[usize]| Some((format!("{}.scale_weight", layer(name)), of_floats(&[], &[0.37])));
    let each_row = |name: &str, shape: &[usize]| {
        let scales: Vec<f32> = (0..shape[0]).map(|row| 0.5 + row as f32 / 256.0).collect();
        Some((format!("{}.weight_scale", layer(name)), of_floats(&[shape[0], 1], &scales)))
    };
    let forms: [(&str, Dtype, Scaling<'_>); 5] = [
        ("e4m3", Dtype::F8_E4M3, &none),
        ("e5m2", Dtype::F8_E5M2, &none),
        ("e4m3, one scale", Dtype::F8_E4M3, &one),
        ("e5m2, one scale", Dtype::F8_E5M2, &one),
        ("e4m3, a scale a row", Dtype::F8_E4M3, &each_row),
    ];
    for (what, dtype, scale) in forms {
        for (role, file) in [("transformer", TRANSFORMER), ("text_encoder_2", T5)] {
            let [eight, plain] = in_float8(file, dtype, scale);
            let (a, b) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
            write(&a, &renamed(&eight, |name| format!("model.diffusion_model.{name}")));
            write(&b, &plain);
            let [a, b] = [&a, &b].map(|file| bundle_with(ModelId::Flux, &[(role, file)]));
            assert!(is_usable(what, &a, ModelId::Flux), "{what}");
            let (a, b) = (seen(&a, ModelId::Flux, role), seen(&b, ModelId::Flux, role));
            assert_equal(&format!("{role} in {what}"), &a, &b, 0.0);
        }
    }
    // A scale that is nobody's.
    let odd =
        |name: &str, _: &[usize]| Some((format!("{}.scale_weight", layer(name)), of_floats(&[3], &[1.0; 3])));
    let [eight, _] = in_float8(TRANSFORMER, Dtype::F8_E4M3, &odd);
    let file = folder.path().join("odd.safetensors");
    write(&file, &eight);
    assert!(!is_usable(
        "three scales",
        &bundle_with(ModelId::Flux, &[("transformer", &file)]),
        ModelId::Flux
    ));
}

#[test]
fn float8_that_is_marked_as_scaled_and_lacks_its_scales_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("marked.safetensors");
    let mark = Stored { dtype: Dtype::F8_E4M3, shape: vec![2], bytes: vec![0; 2] };
    let one = |name: &str, _: &[usize]| {
        let layer = name.strip_suffix(".weight").unwrap_or(name);
        Some((format!("{layer}.scale_weight"), of_floats(&[], &[0.37])))
    };
    for (role, plain) in [("transformer", TRANSFORMER), ("text_encoder_2", T5)] {
        let [mut eight, _] = in_float8(plain, Dtype::F8_E4M3, &one);
        eight.insert("scaled_fp8".to_owned(), mark.clone());
        write(&file, &eight);
        let bundle = bundle_with(ModelId::Flux, &[(role, &file)]);
        assert!(is_usable("marked, with its scales", &bundle, ModelId::Flux), "{role}");
        let mut layers = eight.keys().filter_map(|name| name.strip_suffix(".scale_weight"));
        let layer = layers.rfind(|name| !name.contains("shared") && !name.contains("bias")).unwrap();
        let scale = format!("{layer}.scale_weight");
        eight.remove(&scale).unwrap();
        write(&file, &eight);
        assert!(!is_usable("marked, without one", &bundle, ModelId::Flux), "{role}");
        let told = verified(&bundle, ModelId::Flux).join("\n");
        assert!(
            told.contains(&format!("expected its scale {scale:?}")) && told.contains("F8_E4M3"),
            "{told}"
        );
    }
}
