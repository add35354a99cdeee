use proptest::prelude::*;

use super::*;

fn file_of(json: &str, data: usize) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn said(bytes: &[u8]) -> String {
    read(Path::new("a.safetensors"), bytes).unwrap_err().to_string()
}

/// Two tensors, an empty one, and metadata: 24 bytes of data.
fn sound() -> Vec<u8> {
    let json = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]},
        "none":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}"#;
    file_of(json, 24)
}

#[test]
fn a_sound_header_gives_every_tensor_its_place() {
    let bytes = sound();
    let header = read(Path::new("a.safetensors"), &bytes).unwrap();
    let data = bytes.len() - 24;
    let names: Vec<&str> = header.tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "none", "b"]);
    let (_, b) = &header.tensors[2];
    assert_eq!((b.dtype, b.shape.as_slice(), b.start, b.end), (Dtype::F32, &[2, 2][..], data + 8, data + 24));
}

#[test]
fn a_padded_header_is_read() {
    assert_eq!(read(Path::new("a"), &file_of("{}      ", 0)).unwrap().tensors.len(), 0);
}

#[test]
fn what_ends_too_early_is_called_truncated() {
    let bytes = sound();
    assert!(said(&bytes[..bytes.len() - 1]).contains("a.safetensors: truncated: its header describes"));
    assert!(said(&bytes[..40]).contains("truncated"));
    assert!(said(&bytes[..5]).contains("the file has 5 bytes"));
    assert!(said(&[]).contains("the file has 0 bytes"));
}

#[test]
fn data_after_the_last_tensor_is_refused() {
    let mut bytes = sound();
    bytes.push(0);
    assert!(said(&bytes).contains("but the file has"), "{}", said(&bytes));
}

#[test]
fn ranges_that_overlap_leave_holes_or_disagree_with_the_shape_name_their_tensor() {
    let two = |a: &str, b: &str| {
        let json = format!(
            r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":[{a}]}},"b":{{"dtype":"F32","shape":[1],"data_offsets":[{b}]}}}}"#
        );
        said(&file_of(&json, 8))
    };
    assert!(two("0,4", "2,6").contains("tensor \"b\": its range 2..6 overlaps"), "{}", two("0,4", "2,6"));
    assert!(two("0,4", "6,10").contains("tensor \"b\": its range 6..10 leaves a hole"));
    assert!(
        two("0,4", "4,9").contains("tensor \"b\": shape [1] of F32 takes 4 bytes, but its range is 4..9")
    );
    assert!(two("4,0", "4,8").contains("tensor \"a\": shape [1] of F32"));
    assert!(two("0,4", "18446744073709551612,0").contains("tensor \"b\""));
    assert!(
        two("0,4", "-4,0").contains("tensor \"b\": invalid value: integer `-4`"),
        "{}",
        two("0,4", "-4,0")
    );
}

#[test]
fn shapes_too_large_for_any_machine_are_refused() {
    let json = r#"{"a":{"dtype":"F32","shape":[9223372036854775807,16],"data_offsets":[0,4]}}"#;
    assert!(said(&file_of(json, 4)).contains("no whole number of addressable bytes"));
    let json = r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#;
    assert!(said(&file_of(json, 1)).contains("no whole number of addressable bytes"));
}

#[test]
fn unknown_dtypes_repeated_names_and_extra_fields_are_refused() {
    let json = r#"{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#;
    assert!(
        said(&file_of(json, 4)).contains("tensor \"a\": unknown variant `F31`"),
        "{}",
        said(&file_of(json, 4))
    );
    let json = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    assert!(said(&file_of(json, 2)).contains("tensor \"a\": is listed twice"));
    let json = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"scale":2}}"#;
    assert!(said(&file_of(json, 1)).contains("unknown field `scale`"));
}

#[test]
fn a_huge_length_is_refused_before_anything_is_allocated() {
    let mut bytes = sound();
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(said(&bytes).contains("expected a length of at most 100000000 bytes"));
}

#[test]
fn other_formats_are_called_by_their_name() {
    assert!(said(b"GGUF\x03\0\0\0\0\0\0\0").contains("a GGUF file"));
    assert!(said(b"PK\x03\x04\0\0\0\0\0\0\0\0").contains("weights convert"));
    assert!(said(b"version https://git-lfs.github.com/spec/v1").contains("Git LFS pointer"));
    assert!(said(b"<!doctype html>").contains("a web page"));
}

#[test]
fn deeply_nested_json_is_an_error_and_no_stack_overflow() {
    let deep = format!(r#"{{"a":{}"#, "[".repeat(200_000));
    assert!(said(&file_of(&deep, 0)).contains("header: not its JSON"));
    let deep = format!(r#"{{"__metadata__":{}"#, "[".repeat(200_000));
    assert!(said(&file_of(&deep, 0)).contains("header: not its JSON"));
}

/// What every accepted file must satisfy, however it came about.
fn holds_what_it_promises(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(header) = read(Path::new("a"), bytes) {
        for (name, entry) in &header.tensors {
            prop_assert!(
                entry.start <= entry.end && entry.end <= bytes.len(),
                "{name} lies outside the file"
            );
            let size: usize = entry.shape.iter().product::<usize>() * entry.dtype.bitsize() / 8;
            prop_assert_eq!(entry.end - entry.start, size);
        }
    }
    Ok(())
}

proptest! {
    /// Length, JSON and data: any byte of any region changed to anything.
    #[test]
    fn a_changed_byte_anywhere_is_refused_or_harmless(place in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = sound();
        let place = place.index(bytes.len());
        bytes[place] = value;
        holds_what_it_promises(&bytes)?;
    }

    #[test]
    fn any_length_field_is_refused_or_harmless(length in prop_oneof![any::<u64>(), 0u64..400]) {
        let mut bytes = sound();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        holds_what_it_promises(&bytes)?;
    }

    #[test]
    fn any_cut_is_refused(place in any::<prop::sample::Index>()) {
        let bytes = sound();
        prop_assert!(read(Path::new("a"), &bytes[..place.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_numbers_in_an_entry_are_refused_or_harmless(
        shape in prop::collection::vec(prop_oneof![0u64..5, any::<u64>()], 0..4),
        start in prop_oneof![0u64..40, any::<u64>()],
        end in prop_oneof![0u64..40, any::<u64>()],
        dtype in prop::sample::select(vec!["F32", "F16", "BF16", "U8", "I64", "F4", "F8_E4M3", "C64", "X", ""]),
    ) {
        let json = format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}}}"#);
        holds_what_it_promises(&file_of(&json, 32))?;
    }

    #[test]
    fn any_text_for_a_header_never_panics(json in "\\PC{0,60}", data in 0usize..16) {
        holds_what_it_promises(&file_of(&json, data))?;
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        holds_what_it_promises(&bytes)?;
    }
}
