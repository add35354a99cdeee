use super::*;

/// Parameters that the networks of a size ask for, in millions, from its configurations alone.
fn millions(model: ModelId, profile: Profile) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let planned = profiles::plan(model, profile);
    let entry = ModelEntry {
        precision: planned.precision,
        parts: BTreeMap::new(),
        budget: planned.budget,
        card: Card::default(),
        hub: None,
        files: BTreeMap::new(),
    };
    let mut bundle = Bundle {
        folder: folder.path().to_owned(),
        name: "x".into(),
        summary: None,
        verification: Verification::default(),
        image: Image::default(),
        models: BTreeMap::from([(model, entry)]),
        lock: None,
    };
    for file in &planned.files {
        if let Content::Text(text) = &file.content {
            plain(&folder.path().join(&file.path), text).unwrap();
        }
        put(&mut bundle, model, file, Sha256::of(b""));
    }
    let networks = catalog::networks(&bundle, model).unwrap();
    networks.iter().map(|network| network.parameters() as f64 / 1e6).sum()
}

#[test]
fn the_full_size_is_the_published_one() {
    // As the publishers count, less what is never asked for: Kokoro without its pooler, Flux without its encoder.
    for (model, published, tolerance) in [
        (ModelId::ClipB, 151.3, 0.2),
        (ModelId::ClipL, 427.6, 0.4),
        (ModelId::Kokoro, 81.2, 0.1),
        (ModelId::LivePortrait, 130.6, 1.5),
        (ModelId::Flux, 11_891.0 + 4_762.0 + 123.0 + 49.5, 20.0),
    ] {
        let found = millions(model, Profile::Full);
        assert!((found - published).abs() < tolerance, "{model}: {found} M, published {published} M");
    }
}

#[test]
fn the_tiny_size_is_tiny() {
    for model in ModelId::ALL {
        let found = millions(model, Profile::Tiny);
        assert!(found > 0.005 && found < 3.0, "{model}: {found} M");
    }
}

#[test]
fn a_bundle_that_is_there_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE_NAME), "mine").unwrap();
    let error = write(folder.path(), &[ModelId::Kokoro], Profile::Tiny, 0, |_| {}).unwrap_err();
    assert!(error.to_string().contains("bundle.toml is there already"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
