use super::*;
use crate::api::access::tokens::LocalToken;

/// The data folder of a node that runs, what finds it, and its token.
struct Home {
    folder: tempfile::TempDir,
    wanted: Wanted,
    _token: LocalToken,
    text: String,
}

fn at_home() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving { url: "http://127.0.0.1:9321".to_owned(), pid: std::process::id() };
    serving.write(folder.path()).unwrap();
    let token = LocalToken::create(folder.path()).unwrap();
    let text = token.token().reveal().to_owned();
    let wanted = Wanted { data_dir: Some(folder.path().to_owned()), ..Wanted::default() };
    Home { folder, wanted, _token: token, text }
}

fn token_of(wanted: &Wanted) -> Option<String> {
    Access::find(wanted).unwrap().token.map(|token| token.secret().to_owned())
}

#[test]
fn a_node_on_this_machine_is_found_with_nothing_configured() {
    let Home { folder, wanted, _token, text } = at_home();
    let access = Access::find(&wanted).unwrap();
    assert_eq!(access.base.as_str(), "http://127.0.0.1:9321/");
    assert_eq!(token_of(&wanted), Some(text));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join("local.token");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Access::find(&wanted).unwrap_err().to_string().contains("others"), "others can read it");
    }
    let nowhere = Access::find(&Wanted::default()).unwrap();
    assert_eq!((nowhere.base.as_str(), nowhere.token), ("http://127.0.0.1:9100/", None));
    assert!(nowhere.advice.contains("vortex-node serve"));
}

#[test]
fn a_flag_goes_over_a_variable_and_both_over_what_a_node_says() {
    let Home { folder, mut wanted, _token, .. } = at_home();
    wanted.url_variable = Some("https://variable.example/prefix/".to_owned());
    wanted.token_variable = Some(Secret::new("vn_variable".to_owned()));
    let access = Access::find(&wanted).unwrap();
    assert_eq!(access.base.as_str(), "https://variable.example/prefix");
    assert_eq!(token_of(&wanted).as_deref(), Some("vn_variable"));
    wanted.url = Some("https://flag.example".to_owned());
    let file = folder.path().join("token");
    fs::write(&file, "vn_file\n").unwrap();
    wanted.token_file = Some(file);
    assert_eq!(Access::find(&wanted).unwrap().base.as_str(), "https://flag.example/");
    assert_eq!(token_of(&wanted).as_deref(), Some("vn_file"));
    assert!(!format!("{wanted:?}").contains("vn_variable"));
}

#[test]
fn the_local_token_goes_to_the_local_node_alone() {
    let Home { folder, mut wanted, _token, text } = at_home();
    let local = Some(text.as_str());
    for (url, token) in [
        ("http://127.0.0.1:9321", local),
        ("http://127.0.0.1:9321/", local),
        ("http://127.0.0.1:9322", None),
        ("https://127.0.0.1:9321", None),
        ("https://node.example", None),
    ] {
        wanted.url = Some(url.to_owned());
        assert_eq!(token_of(&wanted).as_deref(), token, "{url}");
    }
    // After a crash, somebody else may listen at the same port.
    wanted.url = None;
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    Serving { url: "http://127.0.0.1:9321".to_owned(), pid }.write(folder.path()).unwrap();
    if Path::new("/proc/self").exists() {
        let access = Access::find(&wanted).unwrap();
        assert_eq!((access.base.port(), access.token), (Some(9100), None));
        assert!(access.advice.contains(&format!("process {pid}")), "{}", access.advice);
    }
}

#[test]
fn no_token_leaves_the_machine_unencrypted() {
    let mut wanted = Wanted {
        url: Some("http://node.example:9100".to_owned()),
        token_variable: Some(Secret::new("vn_secret".to_owned())),
        ..Wanted::default()
    };
    let told = Access::find(&wanted).unwrap_err().to_string();
    assert!(told.contains("unencrypted") && told.contains("https") && !told.contains("vn_secret"), "{told}");
    for url in ["http://localhost:1", "http://127.8.0.1:1", "http://[::1]:1", "https://node.example"] {
        wanted.url = Some(url.to_owned());
        assert!(Access::find(&wanted).is_ok(), "{url}");
    }
    wanted.token_variable = None;
    wanted.url = Some("http://node.example:9100".to_owned());
    assert!(Access::find(&wanted).is_ok());
}

#[test]
fn what_is_no_address_is_refused_with_what_is_one() {
    for url in ["node", "ftp://x", "http://", "unix:/x", "http://a:b@x", "http://x/?a=1", "http://x/#a", ""] {
        let error = Access::find(&Wanted { url: Some(url.to_owned()), ..Wanted::default() }).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().starts_with("--url"), "{url}: {error}");
    }
}

#[test]
fn files_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty");
    fs::write(&file, "").unwrap();
    let certificates = |cacert: bool, cert: bool, key: bool| Certificates {
        cacert: cacert.then(|| file.clone()),
        cert: cert.then(|| file.clone()),
        key: key.then(|| file.clone()),
    };
    for (certificates, named) in [
        (certificates(true, false, false), "--cacert"),
        (certificates(false, true, false), "--cert"),
        (certificates(false, false, true), "--key"),
    ] {
        let error = Access::find(&Wanted { certificates, ..Wanted::default() }).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().starts_with(named), "{error}");
    }
    let token = Wanted { token_file: Some(file), ..Wanted::default() };
    assert!(Access::find(&token).unwrap_err().to_string().contains("holds no token"));
}
