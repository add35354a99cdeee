//! numpy's arrays: `.npy`, and `.npz` archives of them, which are how voices are passed on.
//!
//! The format is numpy's (`numpy/lib/format.py`): a magic, a version, a header that is a Python dictionary, then the
//! values. Arrays of floats in row-major order are understood; nothing is unpacked beyond what its header says.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use half::f16;
use zip::{CompressionMethod, ZipArchive};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Headers of plain arrays are 128 bytes.
const LONGEST_HEADER: usize = 4096;
/// The largest voice is half a megabyte; nothing else is read from these archives.
const LARGEST: u64 = 64 << 20;
/// Voices in one archive; the largest published one has 54.
const MOST_ARRAYS: usize = 4096;

#[derive(Clone, Copy)]
enum Kind {
    F16,
    F32,
    F64,
}

struct Header {
    kind: Kind,
    shape: Vec<usize>,
}

/// Name and shape.
pub(super) type Array = (String, Vec<usize>);

/// The shape of the array in the file at `path`.
pub(super) fn array(path: &Path) -> Result<Vec<usize>, String> {
    let mut file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(header(&mut file)?.shape)
}

/// Names and shapes of the arrays in the archive at `path`; `None` where it is an archive of something else.
pub(super) fn arrays(path: &Path) -> Result<Option<Vec<Array>>, String> {
    let Some(mut zip) = open(path)? else { return Ok(None) };
    let mut found = Vec::new();
    for place in 0..zip.len() {
        let (name, mut entry) = unpacked(&mut zip, place)?;
        found.push((name.clone(), header(&mut entry).map_err(|why| format!("array {name:?}: {why}"))?.shape));
    }
    Ok(Some(found))
}

/// The values of the array `name` of the archive, or of the only one of a `.npy` file, as f32.
pub(super) fn values(path: &Path, name: &str) -> Result<Vec<f32>, String> {
    let Some(mut zip) = open(path)? else {
        let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
        return floats(&mut BufReader::new(file));
    };
    for place in 0..zip.len() {
        let (found, mut entry) = unpacked(&mut zip, place)?;
        if found == name {
            return floats(&mut entry).map_err(|why| format!("array {name:?}: {why}"));
        }
    }
    Err(format!("has no array {name:?}"))
}

type Zip = ZipArchive<BufReader<File>>;

/// The archive, where every entry of it is an array.
fn open(path: &Path) -> Result<Option<Zip>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let Ok(zip) = ZipArchive::new(BufReader::new(file)) else { return Ok(None) };
    let is_array = |name: &[u8]| name.ends_with(b".npy");
    if zip.is_empty() || !zip.file_names_raw().all(is_array) {
        return Ok(None);
    }
    if zip.len() > MOST_ARRAYS {
        return Err(format!("an archive of {} arrays; at most {MOST_ARRAYS} are read", zip.len()));
    }
    Ok(Some(zip))
}

/// The name of an entry without its suffix, and its contents, never more than [`LARGEST`].
fn unpacked(zip: &mut Zip, place: usize) -> Result<(String, Box<dyn Read + '_>), String> {
    let entry = zip.by_index_raw(place).map_err(|error| format!("damaged archive: {error}"))?;
    let name = entry.name().map_err(|error| format!("damaged archive: {error}"))?.into_owned();
    let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
    let reader: Box<dyn Read + '_> = match entry.compression() {
        CompressionMethod::Stored => Box::new(entry.take(LARGEST)),
        // What `numpy.savez_compressed` writes; unpacked no further than the header's shape goes.
        CompressionMethod::DEFLATE => Box::new(flate2::read::DeflateDecoder::new(entry).take(LARGEST)),
        other => return Err(format!("array {name:?} is packed as {other}, which is not read")),
    };
    Ok((name, reader))
}

fn header(reader: &mut impl Read) -> Result<Header, String> {
    let cut = |_| "ends inside its header".to_owned();
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(cut)?;
    if !start.starts_with(MAGIC) {
        return Err("is no numpy array".to_owned());
    }
    let length = if start[6] == 1 {
        let mut length = [0; 2];
        reader.read_exact(&mut length).map_err(cut)?;
        usize::from(u16::from_le_bytes(length))
    } else {
        let mut length = [0; 4];
        reader.read_exact(&mut length).map_err(cut)?;
        usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
    };
    if length > LONGEST_HEADER {
        return Err(format!("has a header of {length} bytes, expected at most {LONGEST_HEADER}"));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).map_err(cut)?;
    parse(&String::from_utf8_lossy(&text))
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (510, 1, 256), }`
fn parse(text: &str) -> Result<Header, String> {
    let after = |key: &str| text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let strange = || format!("has a header that is not understood: {text:?}");
    let kind = match after("descr").and_then(|rest| rest.strip_prefix('\'')?.split_once('\'')) {
        Some(("<f4", _)) => Kind::F32,
        Some(("<f2", _)) => Kind::F16,
        Some(("<f8", _)) => Kind::F64,
        Some((other, _)) => return Err(format!("holds values of type {other:?}; <f2, <f4 and <f8 are read")),
        None => return Err(strange()),
    };
    if !after("fortran_order").is_some_and(|rest| rest.starts_with("False")) {
        return Err("is stored column by column; row by row is read".to_owned());
    }
    let shape =
        after("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or_else(strange)?.0;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> = sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| strange())?;
    Ok(Header { kind, shape })
}

fn floats(reader: &mut impl Read) -> Result<Vec<f32>, String> {
    let Header { kind, shape } = header(reader)?;
    let width = match kind {
        Kind::F16 => 2,
        Kind::F32 => 4,
        Kind::F64 => 8,
    };
    let size = shape.iter().try_fold(width, |size: u64, dim| size.checked_mul(*dim as u64));
    let Some(size) = size.filter(|size| *size <= LARGEST) else {
        return Err(format!("has shape {shape:?}, more than the {LARGEST} bytes that are read"));
    };
    let mut bytes = Vec::new();
    reader.take(size).read_to_end(&mut bytes).map_err(|error| format!("cannot be unpacked: {error}"))?;
    if bytes.len() as u64 != size {
        return Err(format!("has {} bytes of values, expected {size} for shape {shape:?}", bytes.len()));
    }
    Ok(match kind {
        Kind::F16 => bytes.as_chunks().0.iter().map(|value| f16::from_le_bytes(*value).to_f32()).collect(),
        Kind::F32 => bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
        Kind::F64 => bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value) as f32).collect(),
    })
}
