use super::*;

fn of(options: &Options) -> Vec<Part> {
    plan(&Configs::schnell(), options, &Stored::published(), DType::BF16).unwrap()
}

fn bytes(parts: &[Part], name: &str) -> f64 {
    parts.iter().find(|part| part.name == name).unwrap().bytes.as_f64()
}

#[test]
fn the_worked_card_comes_out_as_worked() {
    let plain = of(&Options::default());
    let blocks = bytes(&plain, "transformer blocks");
    let modulation = bytes(&plain, "modulation layers");
    assert!((blocks + modulation - 6.69e9).abs() < 0.02e9, "everything in NF4: {}", blocks + modulation);
    assert!((blocks - 4.86e9).abs() < 0.03e9, "without modulations: {blocks}");
    let nested = of(&Options { precision: Precision::Nf4 { nested: true }, ..Options::default() });
    let blocks = bytes(&nested, "transformer blocks");
    assert!((blocks - 4.46e9).abs() < 0.03e9, "nested, without modulations: {blocks}");
    let rest = bytes(&plain, "autoencoder") + bytes(&plain, "CLIP text encoder");
    assert!((0.3e9..0.45e9).contains(&rest), "autoencoder and CLIP: {rest}");
    let t5 = Options { t5: T5Place::Resident(Precision::Nf4 { nested: true }), ..Options::default() };
    let t5 = bytes(&of(&t5), "T5 on the device");
    assert!((t5 - 2.4e9).abs() < 0.1e9, "T5 in nested NF4: {t5}");
}

#[test]
fn flux_fits_under_six_gigabytes_with_its_workspace() {
    let options = Options::default();
    let resident = total(&of(&options), Place::Device);
    let workspace = workspace(&Configs::schnell(), &options, DType::BF16, (512, 512));
    let sum = resident.saturating_add(workspace);
    assert!(sum < Bytes::gb(7), "{resident} and {workspace}");
    assert!(resident < Bytes::gb(6), "{resident}");
}

#[test]
fn a_streamed_t5_is_in_its_file_and_nowhere_else() {
    let streamed = of(&Options::default());
    assert!(bytes(&streamed, "T5 on the device") < 1e6);
    assert!(bytes(&streamed, "T5 in its file") > 9.4e9);
    let resident = of(&Options { t5: T5Place::Resident(Precision::Bf16), ..Options::default() });
    assert!(bytes(&resident, "T5 on the device") > 9.2e9);
}

#[test]
fn modulations_count_where_they_are_put() {
    let device = Options { modulation_in_host: false, ..Options::default() };
    let (host, device) = (of(&Options::default()), of(&device));
    let moved = bytes(&host, "modulation layers") as u64;
    assert_eq!(total(&device, Place::Device).get() - total(&host, Place::Device).get(), moved);
    assert_eq!(total(&host, Place::Host).get(), moved);
}

#[test]
fn both_layouts_plan_the_same_transformer() {
    let diffusers = Stored { layout: Layout::Diffusers, ..Stored::published() };
    let bf16 = Options { precision: Precision::Bf16, ..Options::default() };
    let one = plan(&Configs::schnell(), &bf16, &Stored::published(), DType::BF16).unwrap();
    assert_eq!(one, plan(&Configs::schnell(), &bf16, &diffusers, DType::BF16).unwrap());
}

#[test]
fn larger_pictures_need_more_workspace() {
    let of = |side| workspace(&Configs::schnell(), &Options::default(), DType::BF16, (side, side));
    assert!(of(1024) > of(512) && of(512) >= of(256));
}
