//! Files that are not as they should be: each is named, and nothing is painted with it.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file;
use candle_core::{DType, Device, Tensor};
use vortex_node::contract::{ErrorClass, Model, Run};
use vortex_node::models::flux::files::FluxFiles;
use vortex_node::models::flux::gguf::GgufFile;
use vortex_node::models::flux::model::FluxModel;

use super::{Whole, options, watched};

fn refusal(whole: &Whole) -> String {
    let files = match FluxFiles::find(whole.folder.path()) {
        Ok(files) => files,
        Err(error) => return error.chain(),
    };
    match FluxModel::load(&files, &options(), &Device::Cpu, &Run::unobserved()) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.chain(),
    }
}

fn change(path: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let mut tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, path).unwrap();
}

#[test]
fn a_missing_or_misshapen_tensor_is_named_with_its_file() {
    let Some(whole) = Whole::new() else { return };
    let file = whole.path("flux1-schnell.safetensors");
    let original = std::fs::read(&file).unwrap();
    change(&file, |tensors| drop(tensors.remove("single_blocks.1.linear2.weight")));
    let told = refusal(&whole);
    assert!(
        told.contains("single_blocks.1.linear2.weight") && told.contains("flux1-schnell.safetensors"),
        "{told}"
    );

    std::fs::write(&file, &original).unwrap();
    let wrong = Tensor::zeros((3, 5), DType::BF16, &Device::Cpu).unwrap();
    change(&file, |tensors| drop(tensors.insert("img_in.weight".to_owned(), wrong)));
    let told = refusal(&whole);
    assert!(told.contains("img_in.weight") && told.contains("[3, 5]"), "{told}");

    std::fs::write(&file, &original[..original.len() / 2]).unwrap();
    assert!(refusal(&whole).contains("flux1-schnell.safetensors"));

    std::fs::remove_file(&file).unwrap();
    assert!(refusal(&whole).contains("holds no transformer"));
}

#[test]
fn values_that_are_not_finite_are_found_at_the_load() {
    let Some(whole) = Whole::new() else { return };
    change(&whole.path("ae.safetensors"), |tensors| {
        let bad = (tensors["decoder.conv_out.bias"].clone() / 0.0).unwrap();
        tensors.insert("decoder.conv_out.bias".to_owned(), bad);
    });
    let told = refusal(&whole);
    assert!(told.contains("decoder.conv_out.bias") && told.contains("ae.safetensors"), "{told}");
}

#[test]
fn networks_that_do_not_fit_together_are_refused() {
    let Some(whole) = Whole::new() else { return };
    let config = whole.path("text_encoder_2/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"d_model\":32", "\"d_model\":48")).unwrap();
    assert!(
        refusal(&whole).contains("T5's width is 48, the transformer's context 32"),
        "{}",
        refusal(&whole)
    );
    std::fs::write(&config, "{").unwrap();
    assert!(refusal(&whole).contains("text_encoder_2/config.json is not JSON"), "{}", refusal(&whole));
}

#[test]
fn the_canary_notices_dead_weights() {
    let Some(whole) = Whole::new() else { return };
    let mut model = whole.load();
    model.canary(&Run::unobserved()).unwrap();
    model.canary(&Run::unobserved()).unwrap();
    // An output layer of zeros passes every check of the load.
    change(&whole.path("ae.safetensors"), |tensors| {
        for name in ["decoder.conv_out.weight", "decoder.conv_out.bias"] {
            let zeros = tensors[name].zeros_like().unwrap();
            tensors.insert(name.to_owned(), zeros);
        }
    });
    let error = whole.load().canary(&Run::unobserved()).unwrap_err();
    assert!(error.chain().contains("blank"), "{}", error.chain());
    // T5 is streamed, so its values are not looked at when it is loaded.
    let Some(whole) = Whole::new() else { return };
    change(&whole.path("text_encoder_2/model.safetensors"), |tensors| {
        let name = "encoder.block.1.layer.0.SelfAttention.v.weight";
        let bad = (tensors[name].clone() / 0.0).unwrap();
        tensors.insert(name.to_owned(), bad);
    });
    let error = whole.load().canary(&Run::unobserved()).unwrap_err();
    assert!(error.chain().contains("not finite"), "{}", error.chain());
}

#[test]
fn the_canary_notices_weights_that_changed_since_the_load() {
    let Some(whole) = Whole::new() else { return };
    let mut model = whole.load();
    model.canary(&Run::unobserved()).unwrap();
    // A streamed layer is read from its file each time, so the file can stand for memory that went bad.
    let file = whole.path("text_encoder_2/model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().step_by(2).for_each(|byte| *byte ^= 0x55);
    let mut open = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::io::Write::write_all(&mut open, &bytes).unwrap();
    let error = model.canary(&Run::unobserved()).unwrap_err();
    assert!(error.chain().contains("not the one after loading"), "{}", error.chain());
}

#[test]
fn a_cancelled_load_ends_at_the_next_tensor() {
    let Some(whole) = Whole::new() else { return };
    let (run, watcher) = watched(Some(5));
    let Err(error) = FluxModel::load(&whole.files(), &options(), &Device::Cpu, &run) else {
        panic!("it was loaded")
    };
    assert_eq!(error.class(), ErrorClass::Cancelled, "{}", error.chain());
    assert_eq!(watcher.seen.lock().unwrap().len(), 5);
}

#[test]
fn no_damage_to_a_gguf_header_is_more_than_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.gguf");
    let tensor = Tensor::ones((4, 64), DType::F32, &Device::Cpu).unwrap();
    let packed =
        candle_core::quantized::QTensor::quantize(&tensor, candle_core::quantized::GgmlDType::Q4_0).unwrap();
    let alignment = gguf_file::Value::U32(32);
    let metadata = [("general.alignment", &alignment)];
    gguf_file::write(&mut std::fs::File::create(&path).unwrap(), &metadata, &[("w", &packed)]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert!(GgufFile::open(&path).unwrap().has("w"));
    // What comes after the tensor's 144 bytes only fills up the last 32.
    let end_of_data = whole.len() - whole.len() % 32 - 32 + 144 % 32;
    let mut refused = 0;
    for place in 0..whole.len() - 144 - 32 {
        for value in [0x00, 0x01, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[place] = value;
            std::fs::write(&path, &damaged).unwrap();
            refused += usize::from(GgufFile::open(&path).is_err());
        }
    }
    for end in 0..end_of_data {
        std::fs::write(&path, &whole[..end]).unwrap();
        assert!(GgufFile::open(&path).is_err(), "cut to {end} of {} bytes", whole.len());
    }
    // Most bytes of so small a header are lengths and counts; those of names do no harm.
    assert!(refused > whole.len() / 2, "{refused} damages were noticed");
}
