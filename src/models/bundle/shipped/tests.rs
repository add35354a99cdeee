use std::collections::BTreeMap;

use super::*;
use crate::models::bundle::{FileEntry, Hub};
use crate::types::{Bytes, ModelId};

fn entries(bundle: &Bundle) -> BTreeMap<&str, (&FileEntry, Option<&Hub>)> {
    let models = bundle.models.values();
    let files = models.flat_map(|model| model.entries().map(|(_, file)| (file, model.hub.as_ref())));
    files.map(|(file, hub)| (file.path.as_str(), (file, hub))).collect()
}

#[test]
fn each_describes_all_models_and_pins_every_file_at_every_place() {
    for (shipped, bytes) in SHIPPED.iter().zip([13_937_276_913, 30_935_839_889, 36_906_122_598]) {
        let bundle = shipped.bundle(Path::new("x")).unwrap();
        assert_eq!(bundle.name, shipped.name);
        assert_eq!(bundle.models.keys().copied().collect::<Vec<_>>(), ModelId::ALL);
        let entries = entries(&bundle);
        assert!(entries.values().all(|(file, _)| file.sha256.is_some() && !file.gated));
        let total: Bytes = entries.values().map(|(file, _)| file.bytes.unwrap()).sum();
        assert_eq!(total, Bytes::new(bytes), "{}", shipped.name);
        for (path, (file, hub)) in entries {
            let places = file.places(hub);
            let is_pinned =
                |hub: &Hub| hub.revision.len() == 40 && hub.revision.chars().all(|c| c.is_ascii_hexdigit());
            assert!(!places.is_empty() && places.iter().all(|(hub, _)| is_pinned(hub)), "{path}");
            assert!(!file.is_converted(), "{path} is published as a pickle");
        }
    }
}

#[test]
fn the_small_files_are_those_that_the_description_names() {
    for shipped in &SHIPPED {
        let bundle = shipped.bundle(Path::new("x")).unwrap();
        let entries = entries(&bundle);
        for (path, content) in shipped.small {
            let file = entries[path].0;
            let size = Bytes::new(content.len() as u64);
            assert_eq!(
                (file.sha256, file.bytes),
                (Some(Sha256::of(content)), Some(size)),
                "{}: {path}",
                shipped.name
            );
            assert_eq!(Shipped::content(Sha256::of(content)), Some(content));
        }
    }
    assert_eq!(Shipped::content(Sha256::of(b"nobody's")), None);
}

#[test]
fn the_card_names_every_repository_and_each_models_licence_is_told() {
    for shipped in &SHIPPED {
        let bundle = shipped.bundle(Path::new("x")).unwrap();
        for (path, (file, hub)) in entries(&bundle) {
            let (hub, _) = file.places(hub)[0];
            assert!(shipped.card.contains(&hub.repo), "{}: {path} is from {}", shipped.name, hub.repo);
        }
        let untagged = shipped.card.matches("none tagged on the hub").count();
        assert!(untagged == 2 && shipped.card.contains("none declared by whoever distributes them"));
        for (model, entry) in &bundle.models {
            assert!(entry.card.licence.is_some() && entry.card.url.is_some(), "{model}");
        }
    }
}
