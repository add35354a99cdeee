use proptest::prelude::*;

use super::*;

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn clip(more: &str) -> String {
    let file = |path: &str| format!("{{ path = \"clip-b/{path}\", sha256 = \"{HASH}\" }}");
    format!(
        "name = \"demo\"\n[models.clip_b]\nprecision = \"q8_0\"\nbudget = \"300MB\"\n{more}\n[models.clip_b.files]\n\
         config = {}\nmodel = {}\ntokenizer = {}\npreprocessor = {}\n",
        file("config.json"),
        file("model.safetensors"),
        file("tokenizer.json"),
        file("preprocessor_config.json"),
    )
}

fn parse(text: &str) -> Result<Bundle, BundleError> {
    read::parse(text, Path::new("b/bundle.toml"), Path::new("b"))
}

fn problems(text: &str) -> Vec<String> {
    match parse(text).unwrap_err() {
        BundleError::Wrong { problems, .. } => problems.iter().map(Problem::to_string).collect(),
        other => vec![other.to_string()],
    }
}

#[test]
fn a_bundle_tells_where_its_files_are_and_what_they_become() {
    let bundle = parse(&clip("licence = \"MIT\"\n[models.clip_b.parts]\nmodel = \"f16\"\n")).unwrap();
    let entry = bundle.model(ModelId::ClipB).unwrap();
    assert_eq!((entry.precision, entry.precision_of("model")), (Precision::Q8_0, Precision::F16));
    assert_eq!((entry.budget, entry.card.licence.as_deref()), (Bytes::mb(300), Some("MIT")));
    assert_eq!(bundle.path(ModelId::ClipB, "config").unwrap(), Path::new("b/clip-b/config.json"));
    assert_eq!(bundle.verification, Verification::default());
    let missing = bundle.path(ModelId::ClipB, "tokenizer_config").unwrap_err().to_string();
    assert!(missing.contains("models.clip_b.files.tokenizer_config"), "{missing}");
    assert!(
        bundle.model(ModelId::Flux).unwrap_err().to_string().contains("has no model flux; it has: clip_b")
    );
}

#[test]
fn an_index_stands_for_its_shards() {
    let shards = ["m.safetensors.index.json", "m-1.safetensors", "m-2.safetensors"]
        .map(|path| format!("{{ path = \"{path}\", sha256 = \"{HASH}\" }}"));
    let text = clip("").replace(
        &format!("model = {{ path = \"clip-b/model.safetensors\", sha256 = \"{HASH}\" }}"),
        &format!("model = [{}]", shards.join(", ")),
    );
    let bundle = parse(&text).unwrap();
    assert_eq!(bundle.paths(ModelId::ClipB, "model").len(), 3);
    assert_eq!(bundle.weight_files(ModelId::ClipB, "model"), [Path::new("b/m.safetensors.index.json")]);
}

#[test]
fn every_problem_is_told_at_once_with_key_value_and_what_is_accepted() {
    let text = clip("colour = 1\n")
        .replace("q8_0", "nf4")
        .replace("300MB", "300")
        .replace("name =", "[verification]\nclip_b = 3.0\nweight_b = 0.5\n[x]\nname =")
        .replace("clip-b/model.safetensors", "../model.safetensors")
        .replace("tokenizer =", "tokeniser =");
    let found = problems(&text);
    for expected in [
        "name: found nothing",
        "verification.clip_b: found 3.0, expected a number from 0 to 2.5",
        "verification.weight_b + weight_l: found 1.1, expected shares that add up to 1",
        "x: found an unknown key, expected one of name",
        "models.clip_b.precision: found \"nf4\", expected a precision that clip_b can run in: q8_0, f16, f32",
        "models.clip_b.budget: found \"300\", expected an amount of memory",
        "models.clip_b.colour: found an unknown key",
        "models.clip_b.files.model.path: found \"../model.safetensors\", expected a relative path",
        "models.clip_b.files.tokenizer: found nothing, expected one file",
        "models.clip_b.files.tokeniser: found an unknown key, expected one of config, model, tokenizer",
        "(did you mean \"tokenizer\"?)",
    ] {
        assert!(found.iter().any(|problem| problem.contains(expected)), "{expected}\n{found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
}

/// A description whose tokenizer says this, too.
fn file(more: &str) -> String {
    clip("").replace("tokenizer = {", &format!("tokenizer = {{ {more}, "))
}

#[test]
fn what_is_missing_or_of_the_wrong_kind_is_refused() {
    for (text, expected) in [
        ("", "name: found nothing"),
        ("name = \"\"", "name: found \"\", expected a text that is not empty"),
        ("name = \"x\"", "models: found nothing, expected at least one of flux, liveportrait"),
        ("name = \"x\"\n[models.clip]", "models.clip: found an unknown key"),
        ("name = \"x\"\nmodels = 3", "models: found 3, expected a table"),
        ("name = \"x\"\n[models.kokoro]", "models.kokoro.precision: found nothing"),
        ("name = [", "not TOML"),
        (&clip("hub = { repo = \"noslash\" }"), "hub.repo: found \"noslash\", expected a repository"),
        (&clip("hub = { repo = \"../x\" }"), "hub.repo: found \"../x\""),
        (&file("hub = { repo = \"a\" }"), "files.tokenizer.hub.repo: found \"a\", expected a repository"),
        (&file("also = { repo = \"a/b\" }"), "files.tokenizer.also: found {"),
        (&file("also = [\"a/b\"]"), "files.tokenizer.also[0]: found \"a/b\", expected a list of mirrors"),
        (&file("also = [{ revision = \"v1\" }]"), "files.tokenizer.also[0].repo: found nothing"),
        (
            &file("also = [{ repo = \"a/b\", path = \"../x\" }]"),
            "files.tokenizer.also[0].path: found \"../x\"",
        ),
        (
            &file("also = [{ repo = \"a/b\", pat = \"x\" }]"),
            "files.tokenizer.also[0].pat: found an unknown key",
        ),
        (
            &clip("parts = { config = \"f16\" }"),
            "parts.config: found \"f16\", expected a role of weights: model",
        ),
        (&clip("").replace(HASH, "abc"), "sha256: found \"abc\", expected 64 hexadecimal digits"),
        (&clip("").replace("300MB", "0B"), "budget: found \"0B\""),
        (
            &file("bytes = 0"),
            "files.tokenizer.bytes: found 0, expected how many bytes the published file has",
        ),
        (&file("bytes = \"3 GB\""), "files.tokenizer.bytes: found \"3 GB\""),
        (&file("gated = \"yes\""), "files.tokenizer.gated: found \"yes\", expected true or false"),
        (
            &clip("").replacen(&format!(", sha256 = \"{HASH}\""), "", 1),
            "models.clip_b.files.config.sha256 of \"clip-b/config.json\": found nothing, expected 64 hexadecimal digits",
        ),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{expected}\n{found:#?}");
    }
}

#[test]
fn what_the_image_model_was_made_for_is_told() {
    let limited = format!(
        "[image]\nresolution = \"256x192\"\n[vocabulary]\nfile = \"words.json\"\nsha256 = \"{HASH}\"\n\
         about = \"robots\"\nprompts = [\"a robot\", \"two robots\"]\n"
    );
    let text = clip("") + &limited;
    let bundle = parse(&text).unwrap();
    assert_eq!(bundle.image.resolution, Resolution::new(256, 192));
    let vocabulary = bundle.image.vocabulary.clone().unwrap();
    assert_eq!((vocabulary.path.as_str(), vocabulary.about.as_deref()), ("words.json", Some("robots")));
    assert_eq!(vocabulary.prompts, ["a robot", "two robots"]);
    assert_eq!(parse(&bundle.to_toml()).unwrap(), bundle);
    assert_eq!(parse(&clip("")).unwrap().image, Image::default());
    for (wrong, expected) in [
        (text.replace("256x192", "250x192"), "image.resolution: found \"250x192\", expected WIDTHxHEIGHT"),
        (text.replace("\"256x192\"", "256"), "image.resolution: found 256"),
        (
            text.replace("words.json", "../words.json"),
            "vocabulary.file: found \"../words.json\", expected a relative",
        ),
        (text.replace("file = \"words.json\"", ""), "vocabulary.file: found nothing, expected a JSON file"),
        (
            text.replace("\"two robots\"", "2"),
            "vocabulary.prompts: found [\"a robot\", 2], expected a list of texts",
        ),
        (text.replace("about", "abuot"), "vocabulary.abuot: found an unknown key"),
    ] {
        let found = problems(&wrong);
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}\n{found:#?}");
    }
}

#[test]
fn one_file_has_one_hash() {
    let other = HASH.replace('e', "f");
    let text = clip("").replacen(HASH, &other, 1).replace("clip-b/model.safetensors", "clip-b/config.json");
    assert!(
        problems(&text)[0].contains("the hash that models.clip_b.files.config gives it"),
        "{:?}",
        problems(&text)
    );
}

#[test]
fn a_file_that_has_a_hub_may_leave_its_hash_to_the_lock() {
    let text = clip("hub = { repo = \"a/b\" }")
        .replace(&format!(", sha256 = \"{HASH}\""), ", bytes = 12, gated = true");
    let bundle = parse(&text).unwrap();
    let config = &bundle.models[&ModelId::ClipB].files["config"][0];
    assert_eq!((config.sha256, config.bytes, config.gated), (None, Some(Bytes::new(12)), true));
    assert_eq!(bundle.hash_of(config), None);
    assert_eq!(parse(&bundle.to_toml()).unwrap(), bundle);
}

#[test]
fn a_pickle_under_a_safetensors_name_is_converted_and_nothing_else_is() {
    for (path, remote, is) in [
        ("a/k.safetensors", "k.pth", true),
        ("a/k.safetensors", "x/k.BIN", true),
        ("a/k.safetensors", "other.safetensors", false),
        ("a/k.pth", "k.pth", false),
    ] {
        let remote = Some(Remote { path: remote.to_owned(), sha256: None });
        let file = FileEntry { remote, ..FileEntry::local(path, Sha256::of(b"")) };
        assert_eq!(file.is_converted(), is, "{path}");
    }
    assert!(!FileEntry::local("a/k.safetensors", Sha256::of(b"")).is_converted());
}

#[test]
fn a_file_is_at_its_own_hub_before_its_models_and_then_at_its_mirrors() {
    let hub = |repo: &str| Hub { repo: repo.to_owned(), revision: "main".to_owned() };
    let mirror = |repo: &str, path: Option<&str>| Mirror { hub: hub(repo), path: path.map(str::to_owned) };
    let mut file = FileEntry::local("flux/ae.safetensors", Sha256::of(b""));
    assert_eq!(file.places(None), []);
    file.also = vec![mirror("m/1", None), mirror("m/2", Some("vae/ae.safetensors"))];
    let places = |file: &FileEntry| -> Vec<String> {
        let model = hub("a/model");
        file.places(Some(&model)).iter().map(|(hub, path)| format!("{}/{path}", hub.repo)).collect()
    };
    let rest = ["m/1/ae.safetensors", "m/2/vae/ae.safetensors"];
    assert_eq!(places(&file), [&["a/model/ae.safetensors"][..], &rest].concat());
    file.hub = Some(hub("a/own"));
    assert_eq!(places(&file), [&["a/own/ae.safetensors"][..], &rest].concat());
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    for path in ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "C:\\\\x", "a\\\\b", ""] {
        let text = clip("").replace("clip-b/model.safetensors", path);
        assert!(problems(&text)[0].contains("files.model.path"), "{path}: {:?}", problems(&text));
    }
}

#[test]
fn what_is_written_reads_back() {
    let text = clip("url = \"https://example.org\"\nhub = { repo = \"a/b\", revision = \"v1\" }\n").replace(
        "tokenizer = {",
        &format!("tokenizer_config = [{{ path = \"t\", sha256 = \"{HASH}\", remote = \"r\", remote_sha256 = \"{HASH}\" }}]\ntokenizer = {{"),
    );
    let mirrors = "tokenizer = { hub = { repo = \"c/d\" }, also = [{ repo = \"e/f\", revision = \"v2\" }, \
                   { repo = \"g/h\", path = \"x/y.json\" }], ";
    let text = text.replace("tokenizer = {", mirrors);
    let bundle = parse(&text).unwrap();
    let tokenizer = &bundle.models[&ModelId::ClipB].files["tokenizer"][0];
    assert_eq!(tokenizer.hub, Some(Hub { repo: "c/d".to_owned(), revision: "main".to_owned() }));
    let place = |repo: &str, revision: &str| Hub { repo: repo.to_owned(), revision: revision.to_owned() };
    assert_eq!(
        tokenizer.also,
        [
            Mirror { hub: place("e/f", "v2"), path: None },
            Mirror { hub: place("g/h", "main"), path: Some("x/y.json".to_owned()) },
        ]
    );
    assert_eq!(parse(&bundle.to_toml()).unwrap(), bundle);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(place in any::<prop::sample::Index>(), cut in 0usize..12, new in "[\\PC\n]{0,6}") {
        let text = clip("parts = { model = \"f16\" }\nhub = { repo = \"a/b\" }");
        let place = place.index(text.len());
        let end = (place + cut).min(text.len());
        let _ = parse(&format!("{}{new}{}", &text[..place], &text[end..]));
    }

    #[test]
    fn hashes_read_back(digest in any::<[u8; 32]>()) {
        let hash = Sha256::from_digest(digest);
        prop_assert_eq!(hash.to_string().parse::<Sha256>().unwrap(), hash);
    }
}
