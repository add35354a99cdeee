//! A real store that speaks S3: SeaweedFS, where the machine has `weed`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use futures_util::StreamExt;

use super::*;

/// A server that ends with its test.
struct Weed {
    process: Child,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl Drop for Weed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Weed {
    /// None where there is no `weed`.
    async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let identities = r#"{"identities":[{"name":"node","actions":["Admin","Read","Write","List"],
            "credentials":[{"accessKey":"node","secretKey":"a secret of tests"}]}]}"#;
        std::fs::write(folder.path().join("s3.json"), identities).unwrap();
        let held: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|it| it.local_addr().unwrap().port()).collect();
        drop(held);
        let names = [
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "s3.port",
            "s3.port.grpc",
        ];
        let mut command = Command::new("weed");
        command.current_dir(folder.path()).args([
            "server",
            "-dir=.",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
        ]);
        command.args([
            "-s3.config=s3.json",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-volume.max=8",
        ]);
        command.args(names.iter().zip(&ports).map(|(name, port)| format!("-{name}={port}")));
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = match command.stdout(Stdio::null()).stderr(log).spawn() {
            Ok(process) => process,
            Err(error) => {
                let required = std::env::var_os("VORTEX_REQUIRE_TOOLS").is_some_and(|value| value == "1");
                assert!(
                    !required,
                    "weed (SeaweedFS) is missing, and VORTEX_REQUIRE_TOOLS=1 forbids skipping: {error}"
                );
                eprintln!("skipped: weed (SeaweedFS) is missing");
                return None;
            }
        };
        let weed = Self { process, endpoint: format!("http://127.0.0.1:{}", ports[6]), folder };
        let client = reqwest::Client::new();
        // It says nowhere but here that it is ready.
        for _ in 0..300 {
            if client
                .get(format!("{}/status", weed.endpoint))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Some(weed);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("weed does not start: {}", std::fs::read_to_string(weed.folder.path().join("log")).unwrap());
    }

    fn settings(&self) -> StoreSettings {
        let path = self.folder.path().join("credentials");
        std::fs::write(
            &path,
            "[node]\naws_access_key_id = node\naws_secret_access_key = a secret of tests\n",
        )
        .unwrap();
        StoreSettings {
            endpoint: Some(self.endpoint.clone()),
            allow_http: true,
            credentials_file: Some(path),
            profile: "node".to_owned(),
            presign: Duration::from_secs(60),
            ..StoreSettings::at("s3://slots/of/a-node".parse().unwrap())
        }
    }
}

#[tokio::test]
async fn conditional_writes_parts_and_presigned_addresses_work_on_a_real_store() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(weed) = Weed::start().await else { return };
    let root = tempfile::tempdir().unwrap();
    let parcel = parcel(root.path(), 1, &[0, 100, (8 << 20) * 2 + 11]);
    let store = Store::open(&weed.settings()).unwrap();

    // All of a slot, by the uploader.
    let table = Arc::new(journal::Table::default());
    table.add(parcel.clone(), journal::START);
    let mut running = journal::Running::start(&table, store.clone(), |_| {});
    let told = running.settled().await;
    assert!(!told.iter().any(|notice| matches!(notice, Notice::Failed { .. })), "{told:?}");
    running.stop().await;
    let stored = table.entries.lock()[0].parcel.stored.clone();
    assert_eq!(stored.len(), 4);

    // Presigned addresses give the bytes to whoever has them; bare ones give nothing.
    let client = reqwest::Client::new();
    for file in parcel.files.iter().chain(&parcel.result) {
        let address = store.presigned(&stored[&file.name]).await.unwrap().unwrap();
        assert!(!address.contains("secret") && address.contains("X-Amz-Expires=60"), "{address}");
        let answer = client.get(&address).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{address}");
        assert_eq!(Sha256::of(&answer.bytes().await.unwrap()), file.sha256, "{}", file.name);
        let bare = client.get(address.split('?').next().unwrap()).send().await.unwrap();
        assert_eq!(bare.status(), 403);
    }
    assert_eq!(store.presigned("s3://another/x").await.unwrap(), None);

    // The store itself refuses a second writer: equal content is success, other content is told and changes nothing.
    let result = parcel.result.clone().unwrap();
    let key = store.result_key(parcel.slot);
    let create = || object_store::PutOptions { mode: object_store::PutMode::Create, ..Default::default() };
    let second = store.objects.put_opts(&key, PutPayload::from_static(b"{}"), create()).await;
    assert!(matches!(second, Err(object_store::Error::AlreadyExists { .. })), "{second:?}");
    store.put_result(parcel.slot, &parcel.folder, &result).await.unwrap();
    std::fs::write(parcel.folder.join("other.json"), b"{\"other\":1}").unwrap();
    let other = ParcelFile { name: "other.json".to_owned(), sha256: Sha256::of(b"{\"other\":1}"), bytes: 11 };
    let refused = store.put_result(parcel.slot, &parcel.folder, &other).await;
    assert!(matches!(refused, Err(PutError::Conflict { .. })), "{refused:?}");
    assert_eq!(Sha256::of(&store.objects.get(&key).await.unwrap().bytes().await.unwrap()), result.sha256);

    shares_and_sweeps(&store, &parcel).await;

    // Wrong credentials are the store's trouble, told without the secret.
    let settings = weed.settings();
    std::fs::write(
        settings.credentials_file.as_ref().unwrap(),
        "[node]\naws_access_key_id = node\naws_secret_access_key = hunter2\n",
    )
    .unwrap();
    let stranger = Store::open(&settings).unwrap();
    let error = stranger.put_result(slot(9), &parcel.folder, &result).await.unwrap_err();
    assert!(error.is_of_the_store() && !error.to_string().contains("hunter2"), "{error}");
}

/// Renderings' objects there and back, the same bytes over themselves, and their end.
async fn shares_and_sweeps(store: &Store, parcel: &Parcel) {
    let rendering = work(1, 2, 3);
    let to = parcel.folder.join("back");
    for file in parcel.files.iter().chain(parcel.files.iter()) {
        let address = store.put_work(rendering, &parcel.folder, file).await.unwrap();
        assert_eq!(address, store.work_address(rendering, &file.sha256));
        store.get_to(&address, file.sha256, file.bytes, &to).await.unwrap();
        assert_eq!(Sha256::of(&std::fs::read(&to).unwrap()), file.sha256);
    }
    let old = impatient(store.clone());
    for file in &parcel.files {
        let address = old.put_content(&parcel.folder, file).await.unwrap();
        store.get_to(&address, file.sha256, file.bytes, &to).await.unwrap();
    }
    assert_eq!(store.put_stage(rendering, "speech.wav", b"one".to_vec()).await.unwrap(), Kept::Given);
    assert_eq!(store.put_stage(rendering, "speech.wav", b"one".to_vec()).await.unwrap(), Kept::Given);
    assert_eq!(store.put_stage(rendering, "speech.wav", b"two".to_vec()).await.unwrap(), Kept::Other);
    assert_eq!(store.get_stage(rendering, "speech.wav").await.unwrap().unwrap(), b"one");
    assert_eq!(store.get_stage(rendering, "actor.png").await.unwrap(), None);

    let works: Vec<Listed> = store.works().map(Result::unwrap).collect().await;
    let stages: Vec<Listed> = store.stages().map(Result::unwrap).collect().await;
    assert_eq!((works.len(), stages.len()), (parcel.files.len(), 1));
    let now = clock::unix_time();
    for listed in works.iter().chain(&stages) {
        assert!(now.abs_diff(listed.modified) < Duration::from_secs(120), "{listed:?}");
        store.remove(listed).await.unwrap();
        store.remove(listed).await.unwrap();
    }
    assert_eq!(store.works().count().await + store.stages().count().await, 0);
    let gone = store.get_to(&works[0].address, Sha256::of(b""), 0, &to).await;
    assert!(matches!(gone, Err(GetError::Missing { .. })), "{gone:?}");
}
