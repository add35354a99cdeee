use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::api::access::scopes::{Kind, Scopes};
use crate::clock::unix_time;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn read_only() -> Scopes {
    "read".parse().unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_minted_token_is_let_in_until_it_expires_or_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    assert!(file.read().unwrap().is_empty());
    let short = file.mint(read_only(), Some("grafana"), Some(DAY), NOW).unwrap();
    let long = file.mint(Scopes::ALL, None, None, NOW).unwrap();
    assert_eq!(mode(file.path()), 0o600);

    let store = TokenStore::open(file.clone(), None).unwrap();
    assert_eq!(store.count(NOW), 2);
    let who = store.check(short.token.reveal(), NOW).unwrap();
    assert_eq!((who.id, who.kind, who.scopes), (short.record.id, Kind::Token, read_only()));
    assert_eq!(store.check(short.token.reveal(), NOW + DAY), Err(Refused::Expired));
    assert_eq!(store.count(NOW + DAY), 1);
    assert!(store.check(long.token.reveal(), NOW + 10_000 * DAY).is_ok());

    file.revoke(long.record.id).unwrap();
    assert!(store.reload_if_changed().unwrap());
    assert!(!store.reload_if_changed().unwrap());
    assert_eq!(store.check(long.token.reveal(), NOW), Err(Refused::Unknown));
    assert!(store.still(long.record.id, NOW).is_none());
    assert!(store.still(short.record.id, NOW).is_some());
    let again = file.revoke(long.record.id).unwrap_err().to_string();
    assert!(again.contains(&short.record.id.to_string()), "{again}");
    assert!(matches!(file.mint(Scopes::default(), None, None, NOW), Err(TokenError::NoScope)));
}

#[test]
fn a_token_counts_as_soon_as_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    let store = TokenStore::open(file.clone(), None).unwrap();
    let first = file.mint(read_only(), None, None, NOW).unwrap();
    assert_eq!(store.check(first.token.reveal(), NOW).unwrap().id, first.record.id);
    // The id alone opens nothing, known or not.
    let second = file.mint(Scopes::ALL, None, None, NOW).unwrap();
    let forged = format!("{PREFIX}{}_{}", second.record.id, "0".repeat(43));
    assert_eq!(store.check(&forged, NOW), Err(Refused::Unknown));
    fs::write(file.path(), "{").unwrap();
    let third = format!("{PREFIX}0123456789ab_{}", "0".repeat(43));
    assert_eq!(store.check(&third, NOW), Err(Refused::Unknown));
    assert!(store.check(first.token.reveal(), NOW).is_ok(), "a damaged file shuts nobody out");
}

#[test]
fn only_the_whole_token_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    let token = file.mint(Scopes::ALL, None, None, NOW).unwrap().token;
    let other = file.mint(Scopes::ALL, None, None, NOW).unwrap().token;
    let store = TokenStore::open(file, None).unwrap();
    let text = token.reveal();
    let (_, secret) = text[PREFIX.len()..].split_once('_').unwrap();
    let last = if text.ends_with('A') { 'B' } else { 'A' };
    for wrong in [
        String::new(),
        secret.to_owned(),
        text[..text.len() - 1].to_owned(),
        format!("{text}A"),
        format!("{}{last}", &text[..text.len() - 1]),
        format!("{PREFIX}{}_{secret}", other.id()),
        text.replacen("vxn", "VXN", 1),
        format!(" {text}"),
    ] {
        assert_eq!(store.check(&wrong, NOW), Err(Refused::Unknown), "{wrong}");
    }
    assert!(store.check(text, NOW).is_ok());
}

#[test]
fn the_file_and_debug_hold_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    let minted = file.mint(Scopes::ALL, None, None, NOW).unwrap();
    let secret = minted.token.reveal().rsplit_once(&format!("{}_", minted.record.id)).unwrap().1;
    let local = LocalToken::create(folder.path()).unwrap();
    let store = TokenStore::open(file.clone(), Some(local.token())).unwrap();
    let known = fs::read_to_string(file.path()).unwrap();
    assert!(!known.contains(secret) && known.contains(&minted.record.id.to_string()));
    let hash = serde_json::to_string(&minted.record.sha256).unwrap();
    let shown = format!("{minted:?} {store:?} {file:?} {local:?}");
    assert!(!shown.contains(secret) && !shown.contains(hash.trim_matches('"')), "{shown}");
    assert!(!shown.contains(local.token().reveal()), "{shown}");
}

#[test]
fn a_damaged_file_stops_a_start_and_changes_nothing_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    let minted = file.mint(Scopes::ALL, None, None, NOW).unwrap();
    let store = TokenStore::open(file.clone(), None).unwrap();
    let good = fs::read_to_string(file.path()).unwrap();
    let twice = good.replacen("\"tokens\": [", &format!("\"tokens\": [{},", record_of(&good)), 1);
    for (damaged, problem) in [
        (&good[..good.len() / 2], "EOF"),
        ("", "EOF"),
        (&good.replace("\"version\": 1", "\"version\": 9"), "version is 9"),
        (&good.replace("\"created\"", "\"crated\""), "crated"),
        (&good.replace("read", "root"), "\"root\" is not a scope"),
        (&twice, "two tokens have the id"),
    ] {
        fs::write(file.path(), damaged).unwrap();
        let error = TokenStore::open(file.clone(), None).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("tokens.json"), "{error}");
        assert!(store.reload().is_err());
        assert!(file.mint(Scopes::ALL, None, None, NOW).is_err(), "{damaged}");
        assert!(store.check(minted.token.reveal(), NOW).is_ok());
    }
    // To remove it is to revoke everything.
    fs::remove_file(file.path()).unwrap();
    assert!(store.reload_if_changed().unwrap());
    assert_eq!(store.check(minted.token.reveal(), NOW), Err(Refused::Unknown));
}

fn record_of(file: &str) -> String {
    serde_json::from_str::<serde_json::Value>(file).unwrap()["tokens"][0].to_string()
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    file.mint(Scopes::ALL, None, None, NOW).unwrap();
    for open in [0o620, 0o602, 0o666] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(open)).unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("others may change it") && error.contains("chmod 600"), "{error}");
    }
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(file.read().unwrap().len(), 1);
}

#[test]
fn commands_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..8 {
                    file.mint(read_only(), None, None, NOW).unwrap();
                }
            });
        }
    });
    assert_eq!(file.read().unwrap().len(), 32);
}

#[test]
fn the_local_token_is_its_owners_alone_and_new_at_each_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LOCAL_TOKEN);
    assert!(read_local_token(folder.path()).unwrap().is_none());
    let first = LocalToken::create(folder.path()).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(read_local_token(folder.path()).unwrap().unwrap().reveal(), first.token().reveal());
    let second = LocalToken::create(folder.path()).unwrap();
    let store = TokenStore::open(TokenFile::within(folder.path()), Some(second.token())).unwrap();
    assert_eq!(store.check(second.token().reveal(), NOW).unwrap().scopes, Scopes::ALL);
    assert_eq!(store.check(first.token().reveal(), NOW), Err(Refused::Unknown));
    assert_eq!(store.count(NOW), 0);

    // The first one ends late: the second one's file stays.
    drop(first);
    assert!(path.exists());
    for open in [0o640, 0o604, 0o610] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let error = read_local_token(folder.path()).unwrap_err().to_string();
        assert!(error.contains("others than its owner"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    drop(second);
    assert!(!path.exists());
}

#[test]
fn a_local_token_that_somebody_else_put_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LOCAL_TOKEN);
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "x").unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert!(matches!(read_local_token(folder.path()), Err(TokenError::Io { .. })));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "not a token\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let error = read_local_token(folder.path()).unwrap_err().to_string();
    assert!(error.contains("does not hold a token") && !error.contains("not a token\n"), "{error}");
    // Another owner can only be had by the system's own user.
    if fs::metadata(&path).unwrap().uid() == 0 && std::os::unix::fs::chown(&path, Some(12_345), None).is_ok()
    {
        let error = read_local_token(folder.path()).unwrap_err().to_string();
        assert!(error.contains("belongs to user 12345"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_node_follows_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::within(folder.path());
    let store = Arc::new(TokenStore::open(file.clone(), None).unwrap());
    let watching = tokio::spawn(Arc::clone(&store).watch());
    let minted = file.mint(Scopes::ALL, None, None, unix_time()).unwrap();
    for there in [true, false] {
        // Paused: the clock jumps to the next look as soon as nothing else is to be done.
        let mut looks = 0;
        while store.check(minted.token.reveal(), unix_time()).is_ok() != there {
            tokio::time::advance(WATCH_EVERY).await;
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            looks += 1;
            assert!(looks < 1_000, "the file is not followed");
        }
        if there {
            file.revoke(minted.record.id).unwrap();
        }
    }
    watching.abort();
}
