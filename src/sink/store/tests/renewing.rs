//! Content that lies in a store for long begins its age anew with the next slot that needs it.

use std::fs::File;
use std::time::SystemTime;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

fn make_old(path: &Path, age: Duration) -> SystemTime {
    let then = clock::wall() - age;
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    modified(path)
}

#[tokio::test]
async fn the_same_content_of_a_later_slot_is_as_young_as_that_slot() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // One in parts and one whole.
    let store = in_folder(&out);
    let parcel = parcel(folder.path(), 1, &[10, 2 * PART + 1]);
    for file in &parcel.files {
        let bytes = std::fs::read(parcel.folder.join(&file.name)).unwrap();
        let address = store.put_content(&parcel.folder, file).await.unwrap();
        let path = reqwest::Url::parse(&address).unwrap().to_file_path().unwrap();

        let young = make_old(&path, DAY - Duration::from_secs(600));
        assert_eq!(store.put_content(&parcel.folder, file).await.unwrap(), address);
        assert_eq!(modified(&path), young, "sent again within a day");

        let old = make_old(&path, DAY + Duration::from_secs(600));
        assert_eq!(store.put_content(&parcel.folder, file).await.unwrap(), address);
        assert!(modified(&path) > old + DAY, "{:?}", modified(&path));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);

        // Age is no reason to replace other content, nor to send what is damaged here.
        std::fs::write(&path, vec![0xee; bytes.len()]).unwrap();
        let old = make_old(&path, 10 * DAY);
        let put = store.put_content(&parcel.folder, file).await;
        assert!(matches!(put, Err(PutError::Conflict { .. })), "{put:?}");
        std::fs::write(&path, &bytes).unwrap();
        make_old(&path, 10 * DAY);
        std::fs::write(parcel.folder.join(&file.name), vec![0xee; bytes.len()]).unwrap();
        let put = store.put_content(&parcel.folder, file).await;
        assert!(matches!(put, Err(PutError::Damaged { .. })), "{put:?}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert!(modified(&path) < old + DAY);
        // No unfinished file is left beside it.
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_store_that_fails_while_old_content_is_renewed_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing::default();
    let store = impatient(Store::over(Arc::new(failing.clone()), PART));
    let parcel = parcel(folder.path(), 1, &[3 * PART]);
    let file = &parcel.files[0];
    store.put_content(&parcel.folder, file).await.unwrap();
    failing.parts_left(Some(1));
    let error = store.put_content(&parcel.folder, file).await.unwrap_err();
    assert!(error.is_of_the_store() && !error.is_final(), "{error}");
    assert_eq!(failing.aborted(), 1);
    let whole = std::fs::read(parcel.folder.join(&file.name)).unwrap();
    assert_eq!(read(&failing, &content_key(file)).await.unwrap(), whole);
    failing.parts_left(None);
    store.put_content(&parcel.folder, file).await.unwrap();
    assert_eq!(failing.count("complete"), 2);
}
