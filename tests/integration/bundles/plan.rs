//! What a plan says a bundle will hold, against what it holds once it is loaded, and against the bytes in its files: small
//! bundles of the layouts that ship.

use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device};
use vortex_node::contract::{Model, Run};
use vortex_node::models::bundle::shipped::SHIPPED;
use vortex_node::models::bundle::{Bundle, Precision};
use vortex_node::models::catalog::{self, load};
use vortex_node::models::flux::files::{Configs, FluxFiles};
use vortex_node::models::flux::load as flux;
use vortex_node::models::flux::model::FluxModel;
use vortex_node::models::flux::plan::{Options, Part, T5Place, is_modulation};
use vortex_node::types::ModelId;

use super::standins::StandIn;

fn bundle(name: &str) -> (tempfile::TempDir, Bundle) {
    let folder = tempfile::tempdir().unwrap();
    StandIn::of(name).write(folder.path());
    let bundle = Bundle::open(folder.path()).unwrap();
    (folder, bundle)
}

fn bytes(parts: &[Part], name: &str) -> u64 {
    parts.iter().find(|part| part.name == name).unwrap().bytes.get()
}

fn assert_close(what: &str, planned: u64, measured: u64) {
    let off = planned.abs_diff(measured) as f64;
    // Tables of NF4's levels, and what a loader joins or pads.
    assert!(off <= 0.02 * measured as f64 + 4096.0, "{what}: {planned} planned, {measured} measured");
}

#[test]
fn each_shipped_layout_holds_what_was_planned_in_whatever_precision_it_is_asked_for() {
    for shipped in &SHIPPED {
        let (_folder, bundle) = bundle(shipped.name);
        let own = load::flux_options(bundle.model(ModelId::Flux).unwrap());
        let nested = Precision::Nf4Nested.into();
        for options in [
            own.clone(),
            // As the profiles have it.
            Options { precision: nested, modulation_in_host: true, ..own.clone() },
            Options { precision: Precision::Bf16.into(), t5: T5Place::Resident(nested), ..own.clone() },
            Options { t5: T5Place::Resident(Precision::Bf16.into()), modulation_in_host: false, ..own },
        ] {
            let files = FluxFiles::of_bundle(&bundle).unwrap();
            let planned = flux::plan(&files, &options, &Device::Cpu).unwrap();
            let model = FluxModel::load(&files, &options, &Device::Cpu, &Run::unobserved());
            let model = model.unwrap_or_else(|error| panic!("{}: {}", shipped.name, error.chain()));
            for (planned, measured) in planned.iter().zip(model.parts()) {
                assert_eq!((planned.name, planned.place), (measured.name, measured.place));
                let what = format!("{} with {options:?}: {}", shipped.name, planned.name);
                assert_close(&what, planned.bytes.get(), measured.bytes.get());
            }
        }
    }
}

/// What the matrices in a GGUF file take as they are stored, and its other tensors in f32: of those that `is` true for.
fn stored(file: &Path, is: impl Fn(&str) -> bool) -> u64 {
    let mut reader = std::fs::File::open(file).unwrap();
    let content = Content::read(&mut reader).unwrap();
    let of = content.tensor_infos.iter().filter(|(name, _)| is(name)).map(|(_, info)| {
        let count = info.shape.elem_count();
        let is_matrix = info.shape.rank() == 2;
        let (size, block) = (info.ggml_dtype.type_size(), info.ggml_dtype.block_size());
        if is_matrix { count / block * size } else { count * DType::F32.size_in_bytes() }
    });
    of.sum::<usize>() as u64
}

#[test]
fn a_gguf_part_counts_as_its_file_has_it() {
    let (folder, bundle) = bundle("schnell-12gb");
    let files = FluxFiles::of_bundle(&bundle).unwrap();
    let transformer = folder.path().join("flux/flux1-schnell-Q4_K_S.gguf");
    let t5 = folder.path().join("flux/text_encoder_2/t5-v1_1-xxl-encoder-Q5_K_M.gguf");
    let blocks = stored(&transformer, |name| !is_modulation(name));
    let modulation = stored(&transformer, is_modulation);
    let layers = stored(&t5, |name| name.contains("blk.") && !name.contains("attn_rel_b"));
    let table = stored(&t5, |name| name == "token_embd.weight");
    let entry = bundle.model(ModelId::Flux).unwrap();
    for precision in [Precision::Q4K, Precision::Nf4Nested, Precision::Bf16] {
        let options = Options { precision: precision.into(), ..load::flux_options(entry) };
        let planned = flux::plan(&files, &options, &Device::Cpu).unwrap();
        assert_eq!(bytes(&planned, "transformer blocks"), blocks, "{precision}");
        assert_eq!(bytes(&planned, "modulation layers"), modulation, "{precision}");
        let model = FluxModel::load(&files, &options, &Device::Cpu, &Run::unobserved()).unwrap();
        assert_eq!(bytes(model.parts(), "transformer blocks"), blocks, "{precision}");
        assert_eq!(bytes(model.parts(), "T5 in its file"), bytes(&planned, "T5 in its file"));
        assert_eq!(bytes(&planned, "T5 in its file"), layers + table, "{precision}");
    }
    // `weights info` plans for a card, where what is no matrix takes two bytes instead of four.
    let told = catalog::plan(&bundle, ModelId::Flux).unwrap();
    let told = told.iter().find(|part| part.name == "transformer blocks").unwrap().bytes.get();
    assert!(told < blocks && told > blocks / 20 * 19, "{told} of {blocks}");
}

#[test]
fn every_other_model_holds_what_its_plan_says() {
    let (_folder, bundle) = bundle("schnell-12gb");
    let run = Run::unobserved();
    let planned = |model| -> u64 {
        let parts = catalog::plan(&bundle, model).unwrap();
        parts.iter().filter(|part| part.counts).map(|part| part.bytes.get()).sum()
    };
    let kokoro = load::kokoro(&bundle, &Device::Cpu, &run).unwrap();
    assert_close("kokoro", planned(ModelId::Kokoro), kokoro.resident().get());
    // Rows that do not divide into blocks stay f32 on a card, for which is planned, and f16 on a processor: L's patches,
    // 96 rows of 3 · 14 · 14.
    for (model, narrower) in [(ModelId::ClipB, 0), (ModelId::ClipL, 96 * 588 * 2)] {
        let clip = load::clip(&bundle, model, &Device::Cpu, &run).unwrap();
        assert_close(model.name(), planned(model), clip.resident().get() + narrower);
    }
}

#[test]
fn published_configurations_beside_the_descriptions_are_the_ones_that_the_networks_were_made_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bundles");
    for shipped in &SHIPPED {
        let bundle = Bundle::open(&root.join(shipped.name)).unwrap();
        let configs = Configs::read(&FluxFiles::of_bundle(&bundle).unwrap(), None, None).unwrap();
        let (published, mut found) = (Configs::schnell(), configs);
        // CLIP's marks the end of a text by a number that older checkpoints have; the tokens are the same.
        found.clip = published.clip.clone();
        assert_eq!(found, published, "{}", shipped.name);
    }
}
