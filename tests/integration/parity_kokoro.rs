//! Kokoro against hexgrad's own implementation, stage by stage as the fixtures' README says, in both forms of the
//! operators.

use candle_core::{DType, Device};
use vortex_node::models::kernels::Kernels;
use vortex_node::models::kokoro::source::NoiseOf;
use vortex_node::models::parity::Sheet;
use vortex_node::models::parity::kokoro::Case;
use vortex_node::models::parity::recorded::Recorded;
use vortex_node::models::parity::sets::{Kind, Set};

use crate::support::{assert_parity, max_abs, max_difference, sets_of};

#[test]
fn parity_of_every_stage_from_ids_to_sound() {
    // Forty outputs of each form.
    assert_parity(Kind::Kokoro, 60);
}

#[test]
fn parity_both_forms_of_the_operators_agree() {
    for Set { folder, .. } in sets_of(Kind::Kokoro) {
        let sheet = Sheet::new(Recorded::read(&folder).unwrap());
        let io = &sheet.recorded;
        let (noise, f0) = (io.floats("in.noise").unwrap(), io.floats("out.F0").unwrap());
        let [cpu, portable] = [Kernels::Fused, Kernels::Stock(DType::F32)].map(|kernels| {
            let Case { net, ids, style, timing, .. } =
                Case::open(&folder, kernels, &Device::Cpu, &sheet).unwrap();
            let generator = net.decoder().generator();
            let har = generator.harmonics(&f0, 0..f0.len(), NoiseOf::Given(&noise), &Device::Cpu).unwrap();
            let text = net.align(&net.text_encoder().forward(&ids).unwrap(), &timing.frames).unwrap();
            let (f0, energy) = (io.output("F0").unwrap(), io.output("N").unwrap());
            let features = net.decoder().features(&text, f0, energy, &style.timbre).unwrap();
            generator.features(&features, &style.timbre, &har).unwrap()
        });
        assert!(max_difference(&cpu, &portable) <= 2e-5 * max_abs(&cpu));
    }
}
