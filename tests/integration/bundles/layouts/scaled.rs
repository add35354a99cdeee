//! Float8 in files that promise scales.

use safetensors::tensor::Dtype;
use vortex_node::types::ModelId;

use super::{Stored, T5, TRANSFORMER, bundle_with, in_float8, is_usable, of_floats, verified, write};

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
