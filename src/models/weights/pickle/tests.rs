use std::io::Write;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::*;
use crate::contract::Run;
use crate::models::weights::Weights;

/// An archive as torch.save lays it out, without PyTorch.
fn checkpoint(pickle: &[u8], storages: &[(&str, &[u8])]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.pth");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut entry = |name: String, bytes: &[u8]| {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    };
    entry("m/data.pkl".into(), pickle);
    storages.iter().for_each(|(key, bytes)| entry(format!("m/data/{key}"), bytes));
    zip.finish().unwrap();
    (folder, path)
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A float tensor of `shape` and `strides` at `offset` into storage "0" of `values` values.
fn tensor(shape: &[u8], strides: &[u8], offset: u8, values: u8) -> Vec<u8> {
    let sizes = |sizes: &[u8]| -> Vec<u8> {
        let items: Vec<u8> = sizes.iter().flat_map(|size| [b'K', *size]).collect();
        [&b"("[..], &items, b"t"].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        vec![b'K', values, b't', b'Q', b'K', offset],
        sizes(shape),
        sizes(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

/// A dictionary with one entry.
fn dict(key: &str, value: &[u8]) -> Vec<u8> {
    [&b"}"[..], &text(key), value, b"s"].concat()
}

fn whole(body: &[u8]) -> Vec<u8> {
    [&b"\x80\x02"[..], body, b"."].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A tensor's name, shape and values.
type Read = (String, Vec<usize>, Vec<f32>);

fn converted(pickle: &[u8], storage: &[u8]) -> Result<Vec<Read>, String> {
    let (folder, path) = checkpoint(pickle, &[("0", storage)]);
    let out = folder.path().join("m.safetensors");
    convert(&path, &out, &Run::unobserved()).map_err(|error| {
        assert!(!out.exists(), "a failed conversion left a file");
        error.chain()
    })?;
    let weights = Weights::open([&out]).unwrap();
    let read = |name: &str| {
        let found = weights.find(name).unwrap();
        let (values, _) = found.bytes.as_chunks::<4>();
        (name.to_owned(), found.shape.to_vec(), values.iter().map(|v| f32::from_le_bytes(*v)).collect())
    };
    Ok(weights.names().map(read).collect())
}

fn refused(pickle: &[u8]) -> String {
    converted(pickle, &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap_err()
}

#[test]
fn nested_dictionaries_join_their_names() {
    let pickle = whole(&dict("net", &dict("module.w", &tensor(&[2, 3], &[3, 1], 0, 6))));
    let read = converted(&pickle, &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
    assert_eq!(read, [("net.module.w".to_owned(), vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])]);
}

#[test]
fn a_bare_tensor_is_a_voice() {
    let read =
        converted(&whole(&tensor(&[2], &[1], 1, 6)), &floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])).unwrap();
    assert_eq!(read, [(BARE_TENSOR.to_owned(), vec![2], vec![1.0, 2.0])]);
}

#[test]
fn a_conversion_is_byte_for_byte_what_safetensors_own_writer_gives() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/safetensors-order");
    let folder = tempfile::tempdir().unwrap();
    for (name, checkpoint) in [("mixed", "mixed.pth"), ("voice", "voice.pt")] {
        let to = folder.path().join(name);
        let converted = convert(&fixtures.join(checkpoint), &to, &Run::unobserved()).unwrap();
        let expected = std::fs::read(fixtures.join(format!("{name}.safetensors"))).unwrap();
        let found = std::fs::read(&to).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected), "{name}");
        assert_eq!(found, expected, "{name}");
        assert_eq!(converted.written.sha256, crate::types::Sha256::of(&expected));
    }
}

#[test]
fn transposed_and_shared_views_are_gathered() {
    let pickle = whole(&dict("w", &tensor(&[3, 2], &[1, 3], 0, 6)));
    let read = converted(&pickle, &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
    assert_eq!(read[0].2, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn what_is_no_tensor_is_passed_over() {
    let both = [&b"}("[..], &text("epoch"), b"K\x07", &text("w"), &tensor(&[], &[], 5, 6), b"u"].concat();
    let read = converted(&whole(&both), &floats(&[0.0, 0.0, 0.0, 0.0, 0.0, 9.0])).unwrap();
    assert_eq!(read, [("w".to_owned(), vec![], vec![9.0])]);
    assert!(refused(&whole(&dict("epoch", b"K\x07"))).contains("it holds no tensor"));
}

#[test]
fn code_is_refused_by_name_and_nothing_is_executed() {
    let marker = std::env::temp_dir().join(format!("vortex-pickle-{}", std::process::id()));
    let command = text(&format!("touch {}", marker.display()));
    for (module, name) in [("posix", "system"), ("os", "system"), ("builtins", "eval"), ("torch.hub", "load")]
    {
        let pickle = whole(&[format!("c{module}\n{name}\n(").as_bytes(), &command, b"tR"].concat());
        let error = refused(&pickle);
        assert!(
            error.contains(&format!("{module:?} {name:?}")) && error.contains("nothing was executed"),
            "{error}"
        );
    }
    assert!(!marker.exists());
}

#[test]
fn unknown_opcodes_are_errors_with_their_place() {
    let error = refused(b"\x80\x02i");
    assert!(error.contains("m.pth: entry \"data.pkl\": at byte 2: opcode 0x69"), "{error}");
    // STACK_GLOBAL, which would build names out of texts; INST; and a frame of protocol 4.
    for opcode in [0x93, b'i', 0x95, b'o', 0x84] {
        assert!(refused(&[0x80, 2, b'(', opcode, b'.']).contains("is not among those"));
    }
}

#[test]
fn references_that_multiply_cost_nothing() {
    // Each level holds the one before it twice: 2^200 leaves if anyone copied them.
    let mut bomb = tensor(&[1], &[1], 0, 6);
    for level in 0..200u8 {
        bomb.extend([b'q', level, b'h', level, 0x86]);
    }
    assert!(refused(&whole(&bomb)).contains("it holds no tensor"));
    // A long key shared by many entries, whose full names would be copies of it.
    let key = [text(&"k".repeat(100_000)), vec![b'q', 0]].concat();
    let many: Vec<u8> = (0..50_000).flat_map(|_| *b"h\x00K\x01").collect();
    let long = [&b"}"[..], &key, b"K\x01s(", &many, b"u"].concat();
    assert!(refused(&whole(&long)).contains("a key of 100000 bytes"));
}

#[test]
fn loops_and_deep_nests_end() {
    // A dictionary that holds itself.
    let knot = [&b"}q\x00"[..], &text("self"), b"h\x00s"].concat();
    assert!(refused(&whole(&knot)).contains("nests more than 8 deep"));
    let deep: Vec<u8> = std::iter::once(b')').chain(std::iter::repeat_n(0x85, 1_000_000)).collect();
    assert!(refused(&whole(&deep)).contains("it holds no tensor"));
    let marks: Vec<u8> = std::iter::repeat_n(b'(', 1_000_000).collect();
    assert!(refused(&whole(&marks)).contains("a value is needed"));
}

#[test]
fn wide_dictionaries_shared_by_many_keys_end() {
    // 300 keys to one dictionary of 300 keys to one of 300: 27 million tensors by reference.
    let level = |inner: &[u8], memo: u8| -> Vec<u8> {
        let mut level = [inner, &[b'q', memo, b'}'][..]].concat();
        level.push(b'(');
        for key in 0..300 {
            level.extend([text(&format!("k{key}")), vec![b'h', memo]].concat());
        }
        level.push(b'u');
        level
    };
    let wide = level(&level(&level(&tensor(&[1], &[1], 0, 6), 0), 1), 2);
    assert!(refused(&whole(&wide)).contains("more than 100000 entries"));
}

#[test]
fn views_outside_their_storage_are_refused() {
    for (shape, strides, offset, values) in [
        (&[7][..], &[1][..], 0, 6),
        (&[2], &[6], 0, 6),
        (&[1], &[1], 6, 6),
        (&[2, 2], &[1], 0, 6),
        (&[255, 255], &[0, 0], 0, 6),
    ] {
        let error = refused(&whole(&dict("w", &tensor(shape, strides, offset, values))));
        assert!(
            error.contains("tensor \"w\"") && error.contains("lies outside its storage of 6 values"),
            "{error}"
        );
    }
    let error = refused(&whole(&dict("w", &tensor(&[1], &[1], 0, 9))));
    assert!(error.contains("entry \"data/0\": expected 36 bytes for 9 values, found 24"), "{error}");
}

#[test]
fn a_storage_that_many_tensors_share_does_not_unfold() {
    // 4 MB that 400 tensors view whole: 1.6 GB.
    let count = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pth");
    let view = {
        let number = |value: u32| [&b"J"[..], &value.to_le_bytes()].concat();
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
            text("storage"),
            b"ctorch\nFloatStorage\n".to_vec(),
            text("0"),
            text("cpu"),
            number(count),
            b"tQK\x00".to_vec(),
            [&b"("[..], &number(count), b"t(K\x01t\x89N"].concat(),
            b"tR".to_vec(),
        ]
        .concat()
    };
    let entries: Vec<u8> =
        (0..400).flat_map(|place| [text(&format!("t{place}")), view.clone()].concat()).collect();
    let pickle = whole(&[&b"}("[..], &entries, b"u"].concat());
    let (_kept, made) = checkpoint(&pickle, &[("0", &vec![0; 4 << 20])]);
    std::fs::rename(made, &path).unwrap();
    let out = folder.path().join("o.safetensors");
    let error = convert(&path, &out, &Run::unobserved()).unwrap_err().chain();
    assert!(error.contains("400 tensors would unfold to 1677721600 bytes"), "{error}");
    // Two names of one storage, as T5 has them, are no bomb.
    let two = whole(&[&b"}("[..], &text("a"), &view, &text("b"), &view, b"u"].concat());
    let (_kept, made) = checkpoint(&two, &[("0", &vec![0; 4 << 20])]);
    assert_eq!(convert(&made, &out, &Run::unobserved()).unwrap().tensors, 2);
}

#[test]
fn what_is_compressed_is_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pth");
    // A raw deflate stream whose one block would repeat for ever is as good as any: nothing may read it.
    let (_kept, made) = checkpoint(&whole(&dict("w", &tensor(&[1], &[1], 0, 1))), &[("0", &floats(&[1.0]))]);
    let mut bytes = std::fs::read(made).unwrap();
    // Method 8 in both headers of the first entry, which is the pickle.
    let central = bytes.windows(4).position(|at| at == b"PK\x01\x02").unwrap();
    bytes[8] = 8;
    bytes[central + 10] = 8;
    std::fs::write(&path, bytes).unwrap();
    let error = convert(&path, &folder.path().join("o"), &Run::unobserved()).unwrap_err().chain();
    assert!(error.contains("bomb.pth: entry \"data.pkl\": is compressed"), "{error}");
}

#[test]
fn what_is_no_archive_is_called_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let said = |bytes: &[u8]| {
        let path = folder.path().join("m.pth");
        std::fs::write(&path, bytes).unwrap();
        convert(&path, &folder.path().join("o"), &Run::unobserved()).unwrap_err().chain()
    };
    assert!(said(b"\x80\x02}.").contains("a bare pickle of PyTorch before 1.6"));
    assert!(said(b"hello").contains("expected a zip archive"));
    assert!(said(b"").contains("expected a zip archive"));
    assert!(said(b"PK\x03\x04 and nothing else").contains("damaged zip archive"));
}

proptest! {
    #[test]
    fn any_pickle_ends_without_a_panic(pickle in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(memory) = machine::run(&pickle) {
            let _ = state::tensors(&memory);
        }
    }

    /// Valid opcodes in any order reach further than random bytes.
    #[test]
    fn any_order_of_opcodes_ends_without_a_panic(
        opcodes in prop::collection::vec(prop::sample::select(b"().N])}taesuqhQRbK\x81\x85\x86\x87\x88X".to_vec()), 0..200)
    ) {
        if let Ok(memory) = machine::run(&opcodes) {
            let _ = state::tensors(&memory);
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused_or_harmless(place in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut pickle = whole(&dict("net", &dict("w", &tensor(&[2, 3], &[3, 1], 0, 6))));
        let place = place.index(pickle.len());
        pickle[place] = value;
        if let Ok(memory) = machine::run(&pickle) {
            for tensor in state::tensors(&memory).unwrap_or_default() {
                prop_assert!(tensor.shape.iter().product::<usize>() <= tensor.values);
            }
        }
    }

    /// The archive around it: any byte changed, any cut.
    #[test]
    fn a_changed_archive_is_refused_or_harmless(place in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<bool>()) {
        let pickle = whole(&dict("w", &tensor(&[2, 3], &[3, 1], 0, 6)));
        let (folder, path) = checkpoint(&pickle, &[("0", &[0; 24])]);
        let mut bytes = std::fs::read(&path).unwrap();
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] = value }
        std::fs::write(&path, bytes).unwrap();
        let _ = convert(&path, &folder.path().join("o.safetensors"), &Run::unobserved());
    }
}

#[test]
fn a_checkpoint_is_known_by_its_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let is = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        is_checkpoint(&file)
    };
    assert!(is(b"PK\x03\x04 an archive"));
    assert!(is(b"\x80\x02}q\x00. and more"));
    assert!(is(b"\x80\x04\x95 and more"));
    // Headers of 640 and of 67,324,752 bytes.
    assert!(!is(b"\x80\x02\x00\x00\x00\x00\x00\x00{\"a\""));
    assert!(!is(b"PK\x03\x04\x00\x00\x00\x00{\"a\""));
    assert!(!is(b"GGUF and more") && !is(b"PK") && !is_checkpoint(&folder.path().join("absent")));
}
