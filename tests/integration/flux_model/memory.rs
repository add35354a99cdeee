//! The plan against what a load really takes.

use candle_core::{DType, Device, Shape, Tensor};
use vortex_node::contract::{Model, Run};
use vortex_node::models::flux::load;
use vortex_node::models::flux::model::FluxModel;
use vortex_node::models::flux::plan::{Options, Place, T5Place, total};
use vortex_node::models::flux::precision::Precision;

use super::{Whole, job, options, paint};

#[test]
fn every_part_is_measured_as_it_was_planned() {
    let Some(whole) = Whole::new() else { return };
    let stored = T5Place::Resident(Precision::Stored);
    for options in [
        options(),
        Options { precision: Precision::Nf4 { nested: false }, ..options() },
        Options { precision: Precision::Nf4 { nested: true }, t5: stored, ..options() },
        Options { precision: Precision::F32, t5: T5Place::Resident(Precision::F16), ..options() },
        Options { precision: Precision::F16, modulation_in_host: false, ..options() },
        Options {
            precision: "q8_0".parse().unwrap(),
            t5: T5Place::Resident("q4_0".parse().unwrap()),
            ..options()
        },
    ] {
        let planned = load::plan(&whole.files(), &options, &Device::Cpu).unwrap();
        let model = FluxModel::load(&whole.files(), &options, &Device::Cpu, &Run::unobserved()).unwrap();
        for (planned, measured) in planned.iter().zip(model.parts()) {
            assert_eq!((planned.name, planned.place), (measured.name, measured.place));
            let (planned_bytes, bytes) = (planned.bytes.as_f64(), measured.bytes.as_f64());
            let off = (planned_bytes - bytes).abs();
            assert!(off <= 0.05 * bytes, "{}: {planned_bytes} planned, {bytes} measured", planned.name);
        }
        let held = total(model.parts(), Place::Device).saturating_add(total(model.parts(), Place::Host));
        assert_eq!(model.resident(), held);
    }
}

/// This process's own memory: `RssAnon`, where the system tells it.
fn own_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
}

#[test]
fn jobs_give_back_what_they_took() {
    let Some(whole) = Whole::new() else { return };
    let mut model = whole.load();
    let before = (model.resident(), model.workspace(&job("head", 1, 1)));
    for seed in 0..20 {
        paint(&mut model, job(&format!("head {seed}"), seed, 1));
    }
    // Eight prompts are remembered, 40 tokens of 32 numbers each and a pooled one; not twenty.
    let given = model.trim().get();
    assert_eq!(given, 8 * 4 * (40 * 32 + 32));
    assert_eq!((model.resident(), model.workspace(&job("head", 1, 1))), before);
    let Some(early) = own_memory() else { return };
    for seed in 0..60 {
        paint(&mut model, job("head", seed, 1));
    }
    let grown = own_memory().unwrap().saturating_sub(early);
    // One job's tensors are 10 MB: sixty kept ones would show, allocators' habits and other tests' threads do not.
    assert!(grown < 250_000_000, "{grown} bytes more after sixty jobs");
}

/// Zeros for every name asked for.
struct Zeros;

impl candle_nn::var_builder::SimpleBackend for Zeros {
    fn get(
        &self,
        shape: Shape,
        _: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        Tensor::zeros(shape, dtype, device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

#[test]
fn synthetic_weights_of_a_larger_transformer_take_what_was_planned() {
    use candle_nn::VarBuilder;
    use vortex_node::models::flux::config::TransformerConfig;
    use vortex_node::models::flux::files::Configs;
    use vortex_node::models::flux::plan::{Stored, plan};
    use vortex_node::models::flux::source::Source;
    use vortex_node::models::flux::transformer::{Layout, Transformer};

    let config = TransformerConfig {
        width: 512,
        mlp: 2048,
        heads: 4,
        doubles: 2,
        singles: 3,
        ..TransformerConfig::schnell()
    };
    let configs = Configs { transformer: config.clone(), ..Configs::schnell() };
    for name in ["bf16", "f32", "nf4", "nf4-nested", "q4_0", "q8_0", "q4_k", "q6_k"] {
        let precision: Precision = name.parse().unwrap();
        let options = Options { precision, ..Options::default() };
        let parts = plan(&configs, &options, &Stored::published(), DType::F32).unwrap();
        let builder = VarBuilder::from_backend(Box::new(Zeros), DType::F32, Device::Cpu);
        let source = Source::dense(builder, None).kept(precision, DType::F32);
        let made = Transformer::new(&config, &source, Layout::BlackForestLabs, &Device::Cpu).unwrap();
        assert_eq!(parts[0].bytes.get(), made.size() as u64, "{name}: blocks");
        assert_eq!(parts[1].bytes.get(), made.modulators().size() as u64, "{name}: modulation");
    }
}
