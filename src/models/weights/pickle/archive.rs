//! The zip archive around a checkpoint.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::super::WeightsError;
use super::{Stored, machine, state};

/// The largest pickles of weights are under 1 MB; what they describe lies in other entries. Each byte can ask for a
/// value of some 40 bytes.
const LARGEST_PICKLE: u64 = 8 << 20;
/// How many times its own length an archive may describe: some tensors are two names of one storage, T5's table for
/// one. Small files, in which every view counts, may describe as much as `SMALL` besides.
const MOST_UNFOLDED: u64 = 4;
const SMALL: u64 = 1 << 20;

/// An open checkpoint.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    /// The folder inside that everything lies in.
    folder: String,
}

impl Archive {
    /// Opens the archive and looks for its pickle.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        let unreadable = |source| WeightsError::Unreadable { file: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(unreadable)?;
        let broken = |why: &str| WeightsError::malformed(path, "checkpoint", why);
        match magic.as_slice() {
            b"PK\x03\x04" => {}
            [0x80, ..] => {
                return Err(broken(
                    "a bare pickle of PyTorch before 1.6; load it there once and save it again, or use a newer copy",
                ));
            }
            _ => return Err(broken("expected a zip archive, as torch.save writes them")),
        }
        let file = File::open(path).map_err(unreadable)?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|error| broken(&format!("damaged zip archive: {error}")))?;
        let mut pickles = Vec::new();
        for name in zip.file_names() {
            let name = name.map_err(|error| broken(&format!("damaged zip archive: {error}")))?;
            pickles.extend(name.strip_suffix("data.pkl").map(str::to_owned));
        }
        let [folder] = pickles.as_slice() else {
            return Err(broken(&format!("expected one data.pkl in it, found {}", pickles.len())));
        };
        Ok(Self { path: path.to_owned(), folder: folder.clone(), zip })
    }

    /// Every tensor, in order of name.
    pub(super) fn tensors(&mut self) -> Result<Vec<Stored>, WeightsError> {
        if let Some(order) = self.optional("byteorder")?
            && order != b"little"
        {
            let found = String::from_utf8_lossy(&order).into_owned();
            return Err(self.broken("byteorder", format!("expected \"little\", found {found:?}")));
        }
        let pickle = self.read("data.pkl", LARGEST_PICKLE)?;
        let memory = machine::run(&pickle).map_err(|why| self.broken("data.pkl", why))?;
        state::tensors(&memory).map_err(|why| self.broken("data.pkl", why))
    }

    /// Refuses tensors that together are much larger than the archive: a few bytes that many of them share.
    pub(super) fn expect_unfolded(&self, tensors: &[Stored]) -> Result<(), WeightsError> {
        let unreadable = |source| WeightsError::Unreadable { file: self.path.clone(), source };
        let length = std::fs::metadata(&self.path).map_err(unreadable)?.len();
        let size = |tensor: &Stored| {
            let values = tensor.shape.iter().product::<usize>() as u64;
            values.saturating_mul(tensor.dtype.bitsize() as u64 / 8)
        };
        let described = tensors.iter().map(size).fold(0u64, u64::saturating_add);
        let most = length.saturating_mul(MOST_UNFOLDED).saturating_add(SMALL);
        if described <= most {
            return Ok(());
        }
        let why = format!(
            "its {} tensors would unfold to {described} bytes, and the archive has {length}: expected at most {most}",
            tensors.len()
        );
        Err(self.broken("data.pkl", why))
    }

    /// The values of a tensor, little-endian, row-major.
    pub(super) fn values(&mut self, tensor: &Stored) -> Result<Vec<u8>, WeightsError> {
        let width = tensor.dtype.bitsize() / 8;
        let expected = tensor.values.saturating_mul(width) as u64;
        let bytes = self.read(&format!("data/{}", tensor.storage), expected)?;
        if bytes.len() as u64 != expected {
            let why =
                format!("expected {expected} bytes for {} values, found {}", tensor.values, bytes.len());
            return Err(self.broken(&format!("data/{}", tensor.storage), why));
        }
        Ok(gather(&bytes, tensor, width))
    }

    fn optional(&mut self, name: &str) -> Result<Option<Vec<u8>>, WeightsError> {
        let there = self.zip.index_for_name(&format!("{}{name}", self.folder)).is_some();
        if there { self.read(name, 64).map(Some) } else { Ok(None) }
    }

    /// An entry, refused where it is longer than `most`.
    fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>, WeightsError> {
        let place = format!("{}{name}", self.folder);
        let mut bytes = Vec::new();
        if let Some(why) = self.packed(&place) {
            return Err(self.broken(name, why));
        }
        let read = self.zip.by_name(&place).and_then(|entry| {
            let size = entry.size();
            // Entries are stored as they are, so nothing can unfold to more than the archive's own length.
            entry.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(ZipError::from)?;
            Ok(size)
        });
        match read {
            Err(error) => Err(self.broken(name, error.to_string())),
            Ok(size) if size > most || bytes.len() as u64 > most => {
                Err(self.broken(name, format!("expected at most {most} bytes, found {size}")))
            }
            Ok(_) => Ok(bytes),
        }
    }

    /// Why an entry is not read that is compressed.
    fn packed(&mut self, place: &str) -> Option<String> {
        let index = self.zip.index_for_name(place)?;
        let entry = self.zip.by_index_raw(index).ok()?;
        (entry.compression() != CompressionMethod::Stored).then(|| {
            format!(
                "is compressed, {} bytes for {}, which PyTorch never does; it is not unpacked, it may be a bomb",
                entry.compressed_size(),
                entry.size()
            )
        })
    }

    fn broken(&self, entry: &str, why: String) -> WeightsError {
        WeightsError::malformed(&self.path, format!("entry {entry:?}"), why)
    }
}

/// The view's values in row-major order; its bounds were checked when it was described.
fn gather(storage: &[u8], tensor: &Stored, width: usize) -> Vec<u8> {
    let count: usize = tensor.shape.iter().product();
    let mut contiguous = 1;
    let mut is_contiguous = true;
    for (size, stride) in tensor.shape.iter().zip(&tensor.strides).rev() {
        is_contiguous &= *size == 1 || *stride == contiguous;
        contiguous *= size;
    }
    let start = tensor.offset * width;
    if is_contiguous || count == 0 {
        return storage.get(start..start + count * width).unwrap_or_default().to_vec();
    }
    let mut values = Vec::with_capacity(count * width);
    let mut place = vec![0usize; tensor.shape.len()];
    for _ in 0..count {
        let at: usize = place.iter().zip(&tensor.strides).map(|(place, stride)| place * stride).sum();
        values.extend_from_slice(&storage[start + at * width..][..width]);
        for (digit, size) in place.iter_mut().zip(&tensor.shape).rev() {
            *digit += 1;
            if *digit < *size {
                break;
            }
            *digit = 0;
        }
    }
    values
}
