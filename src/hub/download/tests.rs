use super::*;

#[test]
fn a_full_disk_is_told_with_how_far_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = Download {
        remote: RemoteFile { repo: "o/n".to_owned(), revision: "v1".to_owned(), path: "x".to_owned() },
        expected: Expected { sha256: Some(Sha256::of(b"")), ..Expected::default() },
        to: folder.path().join("x.bin"),
    };
    std::fs::write(wanted.part(), [0; 2_000]).unwrap();
    let error = wanted.local(&io::ErrorKind::StorageFull.into());
    assert!(!error.passes());
    let part = folder.path().join("x.bin.part");
    let told = format!(
        "{}: the disk is full after 2.0 kB; with room made, the same command goes on from there",
        part.display()
    );
    assert_eq!(error.to_string(), told);
}
