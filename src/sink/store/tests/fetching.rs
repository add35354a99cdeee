//! Objects on their way back: whole at the name that was asked for, or not there at all.

use super::*;

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_an_upload_answered_with_is_fetched_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let parcel = parcel(folder.path(), 1, &[0, 1, PART, 3 * PART + 7]);
    let memory = Store::over(Arc::new(Failing::default()), PART);
    let in_folder = in_folder(&folder.path().join("a store"));
    for store in [memory, in_folder] {
        let result = parcel.result.clone().unwrap();
        let mut stored = Vec::new();
        for file in &parcel.files {
            stored.push((store.put_content(&parcel.folder, file).await.unwrap(), file));
            stored.push((store.put_work(work(1, 1, 1), &parcel.folder, file).await.unwrap(), file));
        }
        stored.push((store.put_result(parcel.slot, &parcel.folder, &result).await.unwrap(), &result));
        for (address, file) in stored {
            let to = out.path().join("file");
            store.get_to(&address, file.sha256, file.bytes, &to).await.unwrap();
            assert_eq!(
                std::fs::read(&to).unwrap(),
                std::fs::read(parcel.folder.join(&file.name)).unwrap(),
                "{address}"
            );
        }
        assert_eq!(names(out.path()), ["file"]);
    }
}

#[tokio::test]
async fn what_is_gone_damaged_or_not_to_be_had_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let failing = Failing::default();
    let store = Store::over(Arc::new(failing.clone()), PART);
    let parcel = parcel(folder.path(), 1, &[3 * PART]);
    let file = &parcel.files[0];
    let address = store.put_work(work(1, 1, 1), &parcel.folder, file).await.unwrap();
    let to = out.path().join("file");
    std::fs::write(&to, "before").unwrap();
    let as_it_was = || {
        assert_eq!(names(out.path()), ["file"]);
        assert_eq!(std::fs::read(&to).unwrap(), b"before");
    };

    let longer = store.get_to(&address, file.sha256, file.bytes + 1, &to).await.unwrap_err();
    assert!(longer.to_string().contains("3000 bytes instead of 3001"), "{longer}");
    as_it_was();
    let other = store.get_to(&address, Sha256::of(b"other"), file.bytes, &to).await.unwrap_err();
    let text = other.to_string();
    assert!(text.contains(&address) && text.contains(&file.sha256.to_string()), "{text}");
    as_it_was();
    let elsewhere = store.work_address(work(2, 1, 1), &file.sha256);
    let missing = store.get_to(&elsewhere, file.sha256, file.bytes, &to).await.unwrap_err();
    assert!(matches!(&missing, GetError::Missing { address } if *address == elsewhere), "{missing}");
    as_it_was();

    // Somebody shortens it after the look: the pieces that come are not the file.
    let (memory, key) = (failing.memory.clone(), store.work_key(work(1, 1, 1), &file.sha256));
    let (at, whole) = (key.clone(), read(&failing, &key).await.unwrap());
    failing.after_head(move || {
        futures_now(async move { memory.put(&at, PutPayload::from(vec![7; PART])).await.unwrap() });
    });
    store.get_to(&address, file.sha256, file.bytes, &to).await.unwrap_err();
    as_it_was();
    failing.memory.put(&key, PutPayload::from(whole)).await.unwrap();

    failing.switch(true);
    let down = store.get_to(&address, file.sha256, file.bytes, &to).await.unwrap_err();
    assert!(matches!(&down, GetError::Store { said, .. } if said.contains("connection refused")), "{down}");
    as_it_was();
    failing.switch(false);
    let nowhere = out.path().join("none/file");
    let unwritten = store.get_to(&address, file.sha256, file.bytes, &nowhere).await.unwrap_err();
    assert!(matches!(&unwritten, GetError::Local { path, .. } if *path == nowhere), "{unwritten}");
    store.get_to(&address, file.sha256, file.bytes, &to).await.unwrap();
}

#[tokio::test]
async fn addresses_that_lead_out_of_the_store_are_refused_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), b"secret").unwrap();
    let failing = Failing::default();
    let bucket = Store::over(Arc::new(failing.clone()), PART);
    let local = in_folder(&folder.path().join("out"));
    let to = folder.path().join("to");
    let base = folder.path().display();
    for (store, bad) in [
        (&bucket, "s3://test/p".to_owned()),
        (&bucket, "s3://test/p/".to_owned()),
        (&bucket, "s3://test/p/../secret".to_owned()),
        (&bucket, "s3://test/p/a/./b".to_owned()),
        (&bucket, "s3://test/p//b".to_owned()),
        (&bucket, "s3://test/p/%2e%2e/secret".to_owned()),
        (&bucket, "s3://test/p2/x".to_owned()),
        (&bucket, "s3://another/p/x".to_owned()),
        (&bucket, "https://test/p/x".to_owned()),
        (&bucket, "work/x".to_owned()),
        (&bucket, String::new()),
        (&local, format!("file://{base}/out/../secret")),
        (&local, format!("file://{base}/out/%2E%2E/secret")),
        (&local, format!("file://{base}/secret")),
        (&local, format!("{base}/out/x")),
        (&local, "/etc/passwd".to_owned()),
        (&local, "file:///etc/passwd".to_owned()),
    ] {
        let error = store.get_to(&bad, Sha256::of(b"secret"), 6, &to).await.unwrap_err();
        assert!(matches!(error, GetError::Address { .. }), "{bad}: {error}");
        assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        assert!(error.to_string().contains(&format!("accepted: {store}/KEY")), "{error}");
    }
    assert_eq!(failing.log(), []);
    assert!(!to.exists());
}
