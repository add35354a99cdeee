//! What nodes of a network put into a store: artifacts at addresses of their rendering, stages.

use super::*;

#[tokio::test]
async fn each_rendering_has_its_own_address_and_sends_what_is_there_no_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing::default();
    let store = Store::over(Arc::new(failing.clone()), PART);
    let parcel = parcel(folder.path(), 1, &[0, 10, 3 * PART + 7]);
    let renderings = [work(1, 1, 1), work(1, 1, 2), work(1, 2, 1), work(2, 1, 1)];
    for _ in 0..2 {
        for (file, rendering) in parcel.files.iter().flat_map(|file| renderings.map(|it| (file, it))) {
            let address = store.put_work(rendering, &parcel.folder, file).await.unwrap();
            assert_eq!(address, store.work_address(rendering, &file.sha256));
            let below = format!("p/work/{rendering}/{}", file.sha256);
            assert_eq!(address, format!("s3://test/{below}"));
            let bytes = std::fs::read(parcel.folder.join(&file.name)).unwrap();
            assert_eq!(read(&failing, &Key::from(below)).await.unwrap(), bytes);
        }
        assert_eq!((failing.count("put"), failing.count("complete")), (2 * 4, 4));
    }
}

#[tokio::test]
async fn no_replica_writes_over_anything() {
    let folder = tempfile::tempdir().unwrap();
    let parcel = parcel(folder.path(), 1, &[10, 2 * PART]);
    for file in &parcel.files {
        let failing = Failing::default();
        // Age renews nothing here.
        let store = impatient(Store::over(Arc::new(failing.clone()), PART));
        let key = store.work_key(work(1, 1, 1), &file.sha256);
        failing.memory.put(&key, PutPayload::from(vec![0xee; file.bytes as usize])).await.unwrap();
        let put = store.put_work(work(1, 1, 1), &parcel.folder, file).await;
        assert!(matches!(put, Err(PutError::Conflict { .. })), "{put:?}");
        assert_eq!(read(&failing, &key).await.unwrap(), vec![0xee; file.bytes as usize]);
        store.put_work(work(1, 1, 2), &parcel.folder, file).await.unwrap();
        store.put_work(work(1, 1, 2), &parcel.folder, file).await.unwrap();
        assert_eq!(failing.count("put") + failing.count("complete"), 1);
    }
}

#[tokio::test]
async fn a_stage_stays_the_first_writer_s_and_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Store::over(Arc::new(Failing::default()), PART);
    for store in [memory, in_folder(folder.path())] {
        let first = work(1, 1, 1);
        for (at, size) in [0, 1, PART, 3 * PART + 7].into_iter().enumerate() {
            let name = format!("stage-{at}_a.bin");
            let bytes: Vec<u8> = (0..size).map(|it| (it * 31) as u8).collect();
            assert_eq!(store.get_stage(first, &name).await.unwrap(), None);
            assert_eq!(store.put_stage(first, &name, bytes.clone()).await.unwrap(), Kept::Given);
            assert_eq!(store.put_stage(first, &name, bytes.clone()).await.unwrap(), Kept::Given);
            let longer = [&bytes[..], b"x"].concat();
            assert_eq!(store.put_stage(first, &name, longer).await.unwrap(), Kept::Other);
            if let Some(at) = size.checked_sub(1) {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert_eq!(store.put_stage(first, &name, other).await.unwrap(), Kept::Other);
            }
            assert_eq!(store.get_stage(first, &name).await.unwrap(), Some(bytes));
            assert_eq!(store.get_stage(work(1, 1, 2), &name).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn stages_of_other_names_or_sizes_are_refused_before_anything_is_asked() {
    let failing = Failing::default();
    let store = Store::over(Arc::new(failing.clone()), PART);
    let long = "x".repeat(101);
    for name in ["", ".", "..", ".x", "a/b", "../x", "A", "ä", "a b", "a%2fb", "a#1", &long] {
        let put = store.put_stage(work(1, 1, 1), name, Vec::new()).await.unwrap_err();
        assert!(put.to_string().contains("accepted: 1 to 100 of"), "{put}");
        let got = store.get_stage(work(1, 1, 1), name).await.unwrap_err();
        assert!(matches!(got, StageError::Name { .. }), "{got}");
    }
    let large = store.put_stage(work(1, 1, 1), "x", vec![0; (256 << 20) + 1]).await.unwrap_err();
    assert!(large.to_string().contains("268435457 bytes; accepted: up to 268435456"), "{large}");
    assert_eq!(failing.log(), []);
    failing.switch(true);
    let down = store.get_stage(work(1, 1, 1), &long[1..]).await.unwrap_err().to_string();
    assert!(down.contains("connection refused") && down.contains("p/stages/"), "{down}");
    assert!(store.put_stage(work(1, 1, 1), "x", Vec::new()).await.is_err());
}
