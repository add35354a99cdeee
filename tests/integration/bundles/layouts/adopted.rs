//! Folders as people have them, adopted: the bundle around them verifies, loads within its budget, and its networks see
//! the plain layout's tensors, bit for bit.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use candle_core::{DType, Device};
use safetensors::tensor::Dtype;
use tempfile::TempDir;
use vortex_node::contract::{Model, Run};
use vortex_node::models::adopt::{self, Adopted, Request, Way};
use vortex_node::models::bundle::verify::Standing;
use vortex_node::models::bundle::{Bundle, verify};
use vortex_node::models::catalog::load;
use vortex_node::types::{Bytes, ModelId};

use super::scaled::{Scaling, in_float8};
use super::written::{self, bare_pickle, diffusers_transformer, gguf, npz, open_clip, pickle};
use super::{
    CLIP, PLAIN, STITCHING, T5, TRANSFORMER, Tensors, VAE, assert_equal, is_usable, llama, prefixed, read,
    renamed, seen, wide, write,
};

const SPEECH: &str = "kokoro/kokoro-v1_0.safetensors";
const CLIP_B: &str = "clip-b/model.safetensors";
const CLIP_L: &str = "clip-l/model.safetensors";
const PORTRAIT: [&str; 5] =
    ["appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator", STITCHING];

/// A file of the plain layout where people have it.
fn copy(plain: &str, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(PLAIN.1.folder.join(plain), to).unwrap();
}

fn place(folder: &TempDir, path: &str) -> std::path::PathBuf {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

/// Adopts `folder` and checks what came of it, for one model.
fn adopted(what: &str, folder: &TempDir, model: ModelId) -> (TempDir, Bundle, Adopted) {
    let into = TempDir::new().unwrap();
    let from = [folder.path().to_owned()];
    let request = Request { from: &from, into: into.path(), models: &[model], replace: false };
    let adopted = adopt::adopt(&request, |_| {}).unwrap();
    assert!(adopted.bundle.is_some(), "{what}: {:#?}\n{:#?}", adopted.left_out, adopted.unused);
    let bundle = Bundle::open(into.path()).unwrap();
    for file in verify::files(&bundle, &[model], |_| {}) {
        assert!(matches!(file.standing, Standing::Sound), "{what}: {}", file.path.display());
    }
    assert!(is_usable(what, &bundle, model), "{what}");
    let (resident, budget) = (resident(&bundle, model), bundle.models[&model].budget);
    assert!(resident <= budget, "{what}: {resident} of {budget}");
    (into, bundle, adopted)
}

fn resident(bundle: &Bundle, model: ModelId) -> Bytes {
    let (run, device) = (Run::unobserved(), Device::Cpu);
    match model {
        ModelId::Flux => {
            let options = load::flux_options(bundle.model(model).unwrap());
            load::flux(bundle, &options, &device, &run).unwrap().resident()
        }
        ModelId::LivePortrait => {
            load::liveportrait(bundle, NonZeroU32::MIN, &device, &run).unwrap().resident()
        }
        ModelId::Kokoro => load::kokoro(bundle, &device, &run).unwrap().resident(),
        ModelId::ClipB | ModelId::ClipL => load::clip(bundle, model, &device, &run).unwrap().resident(),
    }
}

fn same(what: &str, bundle: &Bundle, model: ModelId, roles: &[&str]) {
    for role in roles {
        assert_equal(
            &format!("{what}: {role}"),
            &seen(bundle, model, role),
            &seen(&PLAIN.1, model, role),
            0.0,
        );
    }
}

/// The tiny networks are of no published size, so their configurations lie beside them.
fn flux_configs(folder: &TempDir) {
    copy("flux/config.json", &place(folder, "models/unet/config.json"));
    copy("flux/text_encoder/config.json", &place(folder, "models/clip/clip.json"));
    copy("flux/tokenizer/tokenizer.json", &place(folder, "comfy/sd1_tokenizer/tokenizer.json"));
    copy("flux/tokenizer_2/tokenizer.json", &place(folder, "comfy/t5_tokenizer/tokenizer.json"));
}

const FLUX: [&str; 4] = ["transformer", "vae", "text_encoder", "text_encoder_2"];

#[test]
fn flux_is_adopted_out_of_single_files_of_any_name() {
    let folder = TempDir::new().unwrap();
    flux_configs(&folder);
    write(&place(&folder, "models/unet/a.safetensors"), &read(TRANSFORMER));
    write(&place(&folder, "models/vae/b.sft"), &read(VAE));
    write(&place(&folder, "models/clip/c.safetensors"), &read(CLIP));
    write(&place(&folder, "models/clip/d.safetensors"), &read(T5));
    let (into, bundle, adopted) = adopted("single files", &folder, ModelId::Flux);
    same("single files", &bundle, ModelId::Flux, &FLUX);
    // Nothing was copied; the sizes of T5 were in no file.
    for file in &adopted.files {
        let is_link = into.path().join(&file.path).symlink_metadata().unwrap().is_symlink();
        assert_eq!(is_link, file.way == Way::Linked, "{file:?}");
    }
    let supplied: Vec<&str> =
        adopted.files.iter().filter(|file| file.way == Way::Supplied).map(|file| file.role).collect();
    assert_eq!(supplied, ["text_encoder_2_config"]);
    assert!(adopted.unused.is_empty() && adopted.choices.is_empty(), "{:#?}", adopted.unused);
}

#[test]
fn flux_is_adopted_out_of_one_checkpoint_with_everything() {
    let folder = TempDir::new().unwrap();
    flux_configs(&folder);
    let whole: Tensors = [
        prefixed(TRANSFORMER, "model.diffusion_model."),
        prefixed(VAE, "vae."),
        prefixed(CLIP, "text_encoders.clip_l.transformer."),
        prefixed(T5, "text_encoders.t5xxl.transformer."),
    ]
    .into_iter()
    .flatten()
    .collect();
    write(&place(&folder, "models/checkpoints/all.safetensors"), &whole);
    let (into, bundle, _) = adopted("all in one", &folder, ModelId::Flux);
    same("all in one", &bundle, ModelId::Flux, &FLUX);
    let files = &bundle.models[&ModelId::Flux].files;
    assert!(FLUX.iter().all(|role| files[*role][0].path == files["vae"][0].path), "one link for all");
    assert!(into.path().join(&files["vae"][0].path).symlink_metadata().unwrap().is_symlink());
}

#[test]
fn flux_is_adopted_out_of_gguf_with_comfyuis_and_llama_cpps_names() {
    let folder = TempDir::new().unwrap();
    flux_configs(&folder);
    gguf(&place(&folder, "models/unet/flux1-schnell-F32.gguf"), &read(TRANSFORMER), str::to_owned);
    // A name that says nothing of what it is.
    gguf(&place(&folder, "models/clip/t5.bin"), &read(T5), llama);
    write(&place(&folder, "models/vae/ae.safetensors"), &read(VAE));
    write(&place(&folder, "models/clip/clip_l.safetensors"), &read(CLIP));
    let (_into, bundle, _) = adopted("GGUF", &folder, ModelId::Flux);
    same("GGUF", &bundle, ModelId::Flux, &FLUX);
    assert_eq!(bundle.models[&ModelId::Flux].precision.name(), "f32");
    assert!(bundle.models[&ModelId::Flux].files["text_encoder_2"][0].path.ends_with("/t5.gguf"));
}

#[test]
fn flux_is_adopted_out_of_diffusers_folders_and_shards() {
    let folder = TempDir::new().unwrap();
    let theirs = diffusers_transformer(&read(TRANSFORMER));
    let half = theirs.len() / 2;
    for number in [1, 2] {
        let (skipped, taken) = if number == 1 { (0, half) } else { (half, theirs.len()) };
        let part = theirs.iter().skip(skipped).take(taken);
        let part: Tensors = part.map(|(name, it)| (name.clone(), it.clone())).collect();
        let name = format!("flux/transformer/diffusion_pytorch_model-0000{number}-of-00002.safetensors");
        write(&place(&folder, &name), &part);
    }
    let config = r#"{"in_channels": 64, "joint_attention_dim": 64, "pooled_projection_dim": 64,
        "num_attention_heads": 2, "attention_head_dim": 32, "axes_dims_rope": [8, 12, 12], "num_layers": 2,
        "num_single_layers": 2, "guidance_embeds": false}"#;
    fs::write(place(&folder, "flux/transformer/config.json"), config).unwrap();
    let autoencoder = fs::read_to_string(PLAIN.1.folder.join("flux/config.json")).unwrap();
    fs::write(place(&folder, "flux/vae/config.json"), autoencoder).unwrap();
    copy(VAE, &place(&folder, "flux/vae/diffusion_pytorch_model.safetensors"));
    for path in ["text_encoder/model.safetensors", "text_encoder/config.json", "tokenizer/tokenizer.json"] {
        copy(&format!("flux/{path}"), &place(&folder, &format!("flux/{path}")));
    }
    for path in
        ["text_encoder_2/model.safetensors", "text_encoder_2/config.json", "tokenizer_2/tokenizer.json"]
    {
        copy(&format!("flux/{path}"), &place(&folder, &format!("flux/{path}")));
    }
    copy("flux/scheduler/scheduler_config.json", &place(&folder, "flux/scheduler/scheduler_config.json"));
    let (_into, bundle, _) = adopted("diffusers", &folder, ModelId::Flux);
    same("diffusers", &bundle, ModelId::Flux, &FLUX[1..]);
    let found = seen(&bundle, ModelId::Flux, "transformer");
    let expected = theirs.iter().map(|(name, it)| (name.clone(), wide(it))).collect();
    assert_equal("diffusers: transformer", &found, &expected, 0.0);
    let files = &bundle.models[&ModelId::Flux].files;
    assert_eq!((files["transformer"].len(), files["scheduler"].len()), (2, 1));
}

#[test]
fn float8_is_adopted_with_and_without_scales() {
    let one = |name: &str, _: &[usize]| {
        let layer = name.strip_suffix(".weight").unwrap_or(name);
        Some((format!("{layer}.scale_weight"), super::of_floats(&[], &[0.37])))
    };
    let none = |_: &str, _: &[usize]| None;
    let forms: [(&str, Scaling<'_>); 2] = [("bare", &none), ("scaled", &one)];
    for (what, scale) in forms {
        let folder = TempDir::new().unwrap();
        flux_configs(&folder);
        let mut whole = Tensors::new();
        let mut plain = Vec::new();
        for (file, prefix) in
            [(TRANSFORMER, "model.diffusion_model."), (T5, "text_encoders.t5xxl.transformer.")]
        {
            let [eight, as_floats] = in_float8(file, Dtype::F8_E4M3, scale);
            whole.extend(renamed(&eight, |name| format!("{prefix}{name}")));
            plain.push(as_floats);
        }
        whole.extend(prefixed(VAE, "vae."));
        whole.extend(prefixed(CLIP, "text_encoders.clip_l.transformer."));
        write(&place(&folder, "models/checkpoints/flux1-schnell-fp8.safetensors"), &whole);
        let (_into, bundle, _) = adopted(what, &folder, ModelId::Flux);
        for (role, plain) in ["transformer", "text_encoder_2"].into_iter().zip(plain) {
            let expected = plain.iter().map(|(name, it)| (name.clone(), wide(it))).collect();
            assert_equal(what, &seen(&bundle, ModelId::Flux, role), &expected, 0.0);
        }
    }
}

#[test]
fn clip_is_adopted_out_of_checkpoints_of_pytorch_and_in_open_clips_names() {
    let folder = TempDir::new().unwrap();
    pickle(&place(&folder, "b/pytorch_model.bin"), &read(CLIP_B));
    for file in ["config.json", "tokenizer.json", "preprocessor_config.json"] {
        copy(&format!("clip-b/{file}"), &place(&folder, &format!("b/{file}")));
    }
    let (_into, bundle, adopted_b) = adopted("pytorch_model.bin", &folder, ModelId::ClipB);
    same("pytorch_model.bin", &bundle, ModelId::ClipB, &["model"]);
    let model = adopted_b.files.iter().find(|file| file.role == "model").unwrap();
    assert_eq!(model.way, Way::Converted);

    for (what, is_pickle) in [("a pickle", true), ("safetensors", false)] {
        let folder = TempDir::new().unwrap();
        let theirs = open_clip(&read(CLIP_L));
        if is_pickle {
            pickle(&place(&folder, "l/open_clip_pytorch_model.bin"), &theirs);
        } else {
            write(&place(&folder, "l/open_clip_model.safetensors"), &theirs);
        }
        copy("clip-l/tokenizer.json", &place(&folder, "l/tokenizer.json"));
        copy("clip-l/config.json", &place(&folder, "l/config.json"));
        let (_into, bundle, adopted) = adopted(what, &folder, ModelId::ClipL);
        same(what, &bundle, ModelId::ClipL, &["model"]);
        let supplied: Vec<_> = adopted.files.iter().filter(|file| file.way == Way::Supplied).collect();
        assert!(supplied.iter().all(|file| file.role == "preprocessor"), "{supplied:?}");
    }
}

#[test]
fn liveportrait_is_adopted_out_of_either_programs_files() {
    let plain = |role: &str| format!("liveportrait/{role}.safetensors");
    let (theirs, pickled) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (place_of, role) in PORTRAIT.into_iter().enumerate() {
        let named = renamed(&read(&plain(role)), |name| name.replace(".module.", "_module."));
        write(&place(&theirs, &format!("liveportrait/{role}.safetensors")), &named);
        // Names are nothing to go by.
        pickle(&place(&pickled, &format!("weights/{place_of}.pth")), &read(&plain(role)));
    }
    for (what, folder) in [("safetensors", &theirs), ("checkpoints", &pickled)] {
        copy("liveportrait/models.json", &place(folder, "src/config/models.json"));
        let (_into, bundle, _) = adopted(what, folder, ModelId::LivePortrait);
        same(what, &bundle, ModelId::LivePortrait, &PORTRAIT);
    }
}

#[test]
fn kokoro_is_adopted_with_voices_of_every_form() {
    let shape = [510, 1, 32];
    let voice = |seed: usize| written::numbers(&shape, seed);
    for (what, is_pickle) in [("a checkpoint", true), ("safetensors", false)] {
        let folder = TempDir::new().unwrap();
        let weights = renamed(&read(SPEECH), |name| name.replace(".module.", "."));
        if is_pickle {
            pickle(&place(&folder, "kokoro/kokoro-v1_0.pth"), &read(SPEECH));
        } else {
            write(&place(&folder, "kokoro/kokoro-v1_0.safetensors"), &weights);
        }
        copy("kokoro/config.json", &place(&folder, "kokoro/config.json"));
        bare_pickle(&place(&folder, "kokoro/voices/a_pickle.pt"), &voice(1));
        fs::write(place(&folder, "kokoro/voices/b_raw.bin"), voice(2).bytes).unwrap();
        npz(&place(&folder, "kokoro/voices-v1.0.bin"), &[("c_one", &voice(3)), ("d_two", &voice(4))]);
        npz(&place(&folder, "kokoro/more.npz"), &[("e_three", &voice(5))]);
        let own = Tensors::from([("voice".to_owned(), voice(6))]);
        write(&place(&folder, "kokoro/voices/f_own.safetensors"), &own);
        let (into, bundle, adopted) = adopted(what, &folder, ModelId::Kokoro);
        same(what, &bundle, ModelId::Kokoro, &["weights"]);
        let expected = ["a_pickle", "b_raw", "c_one", "d_two", "e_three", "f_own"];
        let files = &bundle.models[&ModelId::Kokoro].files["voices"];
        assert_eq!(files.len(), expected.len(), "{files:?} {:#?}", adopted.unused);
        for (place, (name, file)) in expected.into_iter().zip(files).enumerate() {
            let path = into.path().join(&file.path);
            assert_eq!(path.file_stem().unwrap(), name);
            let weights = vortex_node::models::weights::Weights::open([&path]).unwrap();
            let names: Vec<&str> = weights.names().collect();
            let found = weights.find(names[0]).unwrap();
            assert_eq!((found.shape, found.bytes), (&shape[..], &voice(place + 1).bytes[..]), "{name}");
            found.to_tensor(DType::F32, &Device::Cpu).unwrap();
        }
    }
}
