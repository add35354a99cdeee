use std::collections::HashMap;

use candle_core::Tensor;

use super::*;

fn write(folder: &Path, name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
    let file = folder.join(format!("{name}.safetensors"));
    let tensors: HashMap<&str, Tensor> = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&tensors, &file).unwrap();
    file
}

/// Rows 0, 1, 2 of a voice whose values are `base + row`.
fn pack(base: f32, shape: &[usize]) -> Tensor {
    let values = (0..6).map(|i| base + (i / 2) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn two() -> (tempfile::TempDir, Voices) {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        write(folder.path(), "af_sarah", &[("voice", pack(0.0, &[3, 1, 2]))]),
        write(folder.path(), "am_adam", &[("x", pack(10.0, &[3, 2]))]),
    ];
    let voices = Voices::read(&files, 2).unwrap();
    (folder, voices)
}

#[test]
fn the_row_follows_the_number_of_symbols_and_the_last_serves_longer_texts() {
    let (_folder, voices) = two();
    let style = |symbols| voices.style(&"af_sarah".parse().unwrap(), symbols).unwrap();
    assert_eq!([1, 2, 3, 4, 500].map(|symbols| style(symbols)[0]), [0.0, 1.0, 2.0, 2.0, 2.0]);
}

#[test]
fn a_blend_is_the_weighted_sum_of_its_voices() {
    let (_folder, voices) = two();
    let blend: VoiceBlend = "af_sarah(1)+am_adam(3)".parse().unwrap();
    assert_eq!(voices.style(&blend, 2).unwrap(), [8.5, 8.5]);
}

#[test]
fn an_unknown_voice_is_refused_with_the_nearest() {
    let (_folder, voices) = two();
    let error = voices.check(&"af_sarah(0.5)+am_adan(0.5)".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("\"am_adan\"; did you mean \"am_adam\"? (voices: af_sarah, am_adam)"), "{error}");
}

#[test]
fn malformed_packs_are_refused_with_file_and_shape() {
    let folder = tempfile::tempdir().unwrap();
    let nan = Tensor::from_vec(vec![0.0, f32::NAN], (1, 1, 2), &Device::Cpu).unwrap();
    let cases = [
        (
            vec![("voice", pack(0.0, &[2, 1, 3]))],
            "holds a tensor [2, 1, 3]; expected one tensor [rows, 1, 2]",
        ),
        (vec![("voice", pack(0.0, &[6]))], "holds a tensor [6]"),
        (vec![("a", pack(0.0, &[3, 2])), ("b", pack(0.0, &[3, 2]))], "holds 2 tensors"),
        (vec![("voice", nan)], "NaN"),
        (vec![("voice", pack(0.0, &[3, 2]).to_dtype(DType::U8).unwrap())], "U8"),
    ];
    for (number, (tensors, part)) in cases.iter().enumerate() {
        let file = write(folder.path(), &format!("v{number}"), tensors);
        let error = Voices::read(&[file], 2).unwrap_err().chain();
        assert!(error.contains(part) && error.contains(&format!("v{number}")), "{error}");
    }
    let file = folder.path().join("torn.safetensors");
    std::fs::write(&file, b"\x10\0\0\0").unwrap();
    assert!(Voices::read(&[file], 2).unwrap_err().chain().contains("torn"));
    assert!(Voices::read(&[folder.path().join("none.safetensors")], 2).is_err());
    assert!(Voices::read(&[], 2).unwrap_err().chain().contains("no voice pack"));
}
