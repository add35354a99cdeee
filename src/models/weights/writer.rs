//! Writes a safetensors file as a stream: header first, then the values as they come, hashed on the way. The bytes are
//! those that safetensors' own writers give for the same tensors.
//!
//! Nothing stands under the final name before everything is written and synced, so that no reader, and no mapping of
//! the file that was there before, ever sees half of one.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::Digest;
use tempfile::NamedTempFile;

use super::WeightsError;
use crate::models::bundle::Sha256;
use crate::types::Bytes;

/// A tensor about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Entry {
    /// What its values take; `None` where no machine could hold them.
    pub(crate) fn size(&self) -> Option<usize> {
        let bits = self.shape.iter().try_fold(self.dtype.bitsize(), |bits, size| bits.checked_mul(*size))?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

/// A file that is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its hash.
    pub sha256: Sha256,
    /// Its length.
    pub size: Bytes,
}

/// A file under a temporary name beside its own, taking bytes; dropped unfinished it leaves nothing.
#[derive(Debug)]
pub(crate) struct Replacement {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    hash: sha2::Sha256,
    written: u64,
}

impl Replacement {
    /// Starts a file that will be `path`; folders on the way are made.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".vortex-").suffix(".part");
        // A temporary file is private by default; this one becomes what others read, as the umask allows.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = BufWriter::with_capacity(1 << 20, builder.tempfile_in(folder)?);
        Ok(Self { path: path.to_owned(), file, hash: sha2::Sha256::new(), written: 0 })
    }

    /// Puts it under its name.
    pub(crate) fn finish(self) -> io::Result<Written> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        let sha256 = Sha256::from_digest(self.hash.finalize().into());
        Ok(Written { sha256, size: Bytes::new(self.written) })
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes `tensors` to `path` in safetensors' own order, those of the widest numbers first, then by name; `values` is asked
/// for each by its place in `tensors`, and writes exactly the bytes that its entry calls for.
pub(crate) fn write_safetensors<E: From<WeightsError>>(
    path: &Path,
    tensors: &[Entry],
    mut values: impl FnMut(usize, &mut dyn Write) -> Result<(), E>,
) -> Result<Written, E> {
    let failed = |source: io::Error| WeightsError::Unwritable { file: path.to_owned(), source };
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by(|one, other| {
        let (one, other) = (&tensors[*one], &tensors[*other]);
        other.dtype.cmp(&one.dtype).then_with(|| one.name.cmp(&other.name))
    });
    let header = header(path, order.iter().map(|place| &tensors[*place]))?;
    let mut file = Replacement::create(path).map_err(failed)?;
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    file.write_all(&header).map_err(failed)?;
    for place in order {
        let (entry, before) = (&tensors[place], file.written);
        values(place, &mut file)?;
        let (expected, found) = (entry.size().unwrap_or(0) as u64, file.written - before);
        if expected != found {
            let why = format!("expected {expected} bytes, got {found}");
            return Err(WeightsError::malformed(path, format!("tensor {:?}", entry.name), why).into());
        }
    }
    Ok(file.finish().map_err(failed)?)
}

/// The JSON header of `tensors` in the order of their values, padded with spaces so that the data begins at a multiple of
/// eight.
fn header<'a>(path: &Path, tensors: impl Iterator<Item = &'a Entry>) -> Result<Vec<u8>, WeightsError> {
    let mut listed: Vec<(String, TensorInfo)> = Vec::new();
    let mut seen = HashSet::new();
    let mut start = 0usize;
    for entry in tensors {
        let Entry { name, dtype, shape } = entry;
        let broken = |why: &str| WeightsError::malformed(path, format!("tensor {name:?}"), why);
        let end = entry.size().and_then(|size| start.checked_add(size));
        let end = end.ok_or_else(|| broken("is larger than any machine could hold"))?;
        if !seen.insert(name) {
            return Err(broken("would be written twice"));
        }
        let info = TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets: (start, end) };
        listed.push((name.clone(), info));
        start = end;
    }
    let wrong = |error: String| WeightsError::malformed(path, "header", error);
    let header = Metadata::new(None, listed).map_err(|error| wrong(error.to_string()))?;
    let mut text = serde_json::to_vec(&header).map_err(|error| wrong(error.to_string()))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::weights::Weights;

    fn entry(name: &str, shape: &[usize]) -> Entry {
        Entry { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_vec() }
    }

    #[test]
    fn what_is_written_reads_back_and_the_hash_is_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/a.safetensors");
        let written = write_safetensors(&path, &[entry("b", &[2]), entry("a", &[])], |place, file| {
            let values: &[f32] = if place == 0 { &[1.0, 2.0] } else { &[3.0] };
            values.iter().try_for_each(|v| file.write_all(&v.to_le_bytes())).unwrap();
            Ok::<(), WeightsError>(())
        })
        .unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(written, Written { sha256: Sha256::of(&bytes), size: Bytes::new(bytes.len() as u64) });
        let weights = Weights::open([&path]).unwrap();
        assert_eq!(weights.find("a").unwrap().bytes, 3.0f32.to_le_bytes());
        assert_eq!(weights.find("b").unwrap().bytes.len(), 8);
        let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(reference.tensor("b").unwrap().shape(), [2]);
    }

    /// Those of `mlx-community/Kokoro-82M-bf16`, whose hashes are the header's and the published values' together.
    #[test]
    fn a_voice_has_the_header_of_the_published_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.safetensors");
        write_safetensors(&path, &[entry("voice", &[510, 1, 256])], |_, file| {
            file.write_all(&vec![0; 510 * 256 * 4]).unwrap();
            Ok::<(), WeightsError>(())
        })
        .unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 522_320);
        let header = br#"{"voice":{"dtype":"F32","shape":[510,1,256],"data_offsets":[0,522240]}} "#;
        assert_eq!((&bytes[..8], &bytes[8..80]), (&72u64.to_le_bytes()[..], &header[..]));
    }

    #[test]
    fn a_writer_that_fails_or_miscounts_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let short = write_safetensors(&path, &[entry("a", &[2])], |_, file| {
            file.write_all(&[0; 4]).unwrap();
            Ok::<(), WeightsError>(())
        });
        assert!(short.unwrap_err().to_string().contains("tensor \"a\": expected 8 bytes, got 4"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let twice =
            write_safetensors(&path, &[entry("a", &[]), entry("a", &[])], |_, _| Ok::<(), WeightsError>(()));
        assert!(twice.unwrap_err().to_string().contains("written twice"));
    }

    #[cfg(unix)]
    #[test]
    fn a_finished_file_is_not_private_to_its_writer() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        Replacement::create(&folder.path().join("ours")).unwrap().finish().unwrap();
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("ours"), mode("plain"));
    }
}
