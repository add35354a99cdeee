//! Renderings' objects are listed and removed, and nothing else is.

use futures_util::StreamExt;

use super::*;

async fn all(mut listing: Listing) -> (Vec<Listed>, u64) {
    let mut listed = Vec::new();
    while let Some(next) = listing.next().await {
        listed.push(next.unwrap());
    }
    (listed, listing.passed_over())
}

/// What lies in a store, by its own listing.
async fn keys(store: &Store) -> Vec<String> {
    let objects = store.objects.list(None);
    let mut keys: Vec<String> = objects.map(|about| about.unwrap().location.to_string()).collect().await;
    keys.sort();
    keys
}

#[tokio::test]
async fn renderings_are_listed_and_removed_and_everything_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let parcel = parcel(folder.path(), 1, &[10, 20]);
    for store in [Store::over(Arc::new(Failing::default()), PART), in_folder(&out)] {
        assert_eq!(all(store.works()).await, (vec![], 0));
        assert_eq!(all(store.stages()).await, (vec![], 0));
        let (sha256, hex) = (parcel.files[0].sha256, parcel.files[0].sha256.to_string());
        let strange = [
            "work/notes.txt".to_owned(),
            format!("work/{}/1/1", slot(9)),
            format!("work/{}/0/1/{hex}", slot(1)),
            format!("work/{}/01/1/{hex}", slot(1)),
            format!("work/{}.1.1/{hex}", slot(1)),
            format!("work/{}/1/1/x/{hex}", slot(1)),
            format!("work/{}/1/1/{}", slot(1), &hex[1..]),
            format!("work/{}/1/1/{}", slot(1), hex.to_uppercase()),
            format!("work/{}/1/1/{hex}", slot(1).uuid().simple()),
            format!("workshop/{}/1/1/{hex}", slot(1)),
            format!("stages/{}/1/1/Upper", slot(1)),
        ];
        for below in &strange {
            store.objects.put(&store.key(below), PutPayload::from_static(b"kept")).await.unwrap();
        }
        store.put_content(&parcel.folder, &parcel.files[0]).await.unwrap();
        store.put_result(parcel.slot, &parcel.folder, parcel.result.as_ref().unwrap()).await.unwrap();
        let before = keys(&store).await;

        let mut wanted = Vec::new();
        for (rendering, file) in [(work(1, 1, 1), 0), (work(1, 1, 1), 1), (work(1, 2, 1), 0)] {
            let file = &parcel.files[file];
            let address = store.put_work(rendering, &parcel.folder, file).await.unwrap();
            wanted.push((address, rendering, Held::Artifact(file.sha256), file.bytes));
        }
        store.put_stage(work(1, 1, 1), "speech.wav", vec![1; 7]).await.unwrap();
        let (mut listed, passed_over) = all(store.works()).await;
        assert_eq!(passed_over, 9);
        listed.sort_by(|a, b| a.address.cmp(&b.address));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let found = listed.iter().map(|it| (it.address.clone(), it.work, it.held.clone(), it.bytes));
        assert_eq!(found.collect::<Vec<_>>(), wanted);
        let now = clock::unix_time();
        assert!(listed.iter().all(|it| now.abs_diff(it.modified) < Duration::from_secs(60)), "{listed:?}");
        let (stages, passed_over) = all(store.stages()).await;
        assert_eq!((stages.len(), passed_over), (1, 1));
        assert_eq!(
            (stages[0].held.clone(), stages[0].bytes),
            (Held::Stage("speech.wav".parse().unwrap()), 7)
        );

        // What has gone is no error, and takes nothing with it.
        for it in listed.iter().chain(&stages).chain(&listed).chain(&stages) {
            store.remove(it).await.unwrap();
        }
        assert_eq!(keys(&store).await, before);
        let again = store.put_work(work(1, 1, 1), &parcel.folder, &parcel.files[0]).await.unwrap();
        assert_eq!(again, store.work_address(work(1, 1, 1), &sha256));
    }
    // No folders are left of what has gone.
    assert!(!out.join(format!("work/{}/2", slot(1))).exists());
}

#[tokio::test]
async fn a_store_that_is_down_says_so_once_for_a_listing() {
    let failing = Failing::default();
    let store = Store::over(Arc::new(failing.clone()), PART);
    store.put_stage(work(1, 1, 1), "x", vec![1]).await.unwrap();
    let (stages, _) = all(store.stages()).await;
    failing.switch(true);
    let told: Vec<_> = store.works().collect().await;
    let [Err(error)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(error.address, "s3://test/p/work");
    assert!(error.said.contains("connection refused"), "{error}");
    let error = store.remove(&stages[0]).await.unwrap_err();
    assert_eq!((error.doing, &error.address), ("remove", &stages[0].address));
    failing.switch(false);
    assert_eq!(all(store.stages()).await.0, stages);
}
