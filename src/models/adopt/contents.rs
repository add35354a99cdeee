//! What one file holds, told by its first bytes and its header, never by its name alone.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::npz;
use super::texts::{self, Text};
use crate::models::flux::gguf::GgufFile;
use crate::models::weights::Weights;
use crate::models::weights::naming::Stored;
use crate::models::weights::pickle::Checkpoint;

/// How tensors are kept in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    Gguf,
    /// PyTorch's archive around a pickle.
    Pickle,
    /// numpy's archive of arrays.
    Npz,
    /// Floats and nothing else.
    Raw,
}

/// One tensor.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
}

/// One file with tensors, or several that are shards of one.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub files: Vec<PathBuf>,
    pub format: Format,
    pub tensors: Vec<Tensor>,
    /// Bytes of all its files.
    pub size: u64,
}

/// What a file is to us.
#[derive(Debug)]
pub(super) enum Content {
    Tensors(Source),
    Text(Text),
    /// Weights, or meant to be, that cannot be read.
    Unusable(String),
    /// Neither weights nor a description of any: nothing to speak of.
    Nothing,
}

/// Suffixes of weights in formats that nothing here reads, with what they are.
const FOREIGN: [(&str, &str); 10] = [
    ("onnx", "ONNX"),
    ("h5", "TensorFlow's weights"),
    ("msgpack", "Flax's weights"),
    ("ot", "rust-bert's weights"),
    ("tflite", "TensorFlow Lite"),
    ("engine", "a TensorRT engine"),
    ("mlmodel", "Core ML"),
    ("nemo", "a NeMo archive"),
    ("pdparams", "Paddle's weights"),
    ("pkl", "a pickle of something else than weights"),
];
/// Suffixes by which people know weights; files that have them are always told of.
const KNOWN: [&str; 11] =
    ["safetensors", "sft", "gguf", "pt", "pth", "bin", "ckpt", "npz", "npy", "model", "part"];
/// Voices of bare floats are half a megabyte.
const LARGEST_RAW: u64 = 8 << 20;

impl Source {
    /// Names and shapes.
    pub(super) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()))
    }

    /// To be looked for by name.
    pub(super) fn stored(&self) -> Stored<'_> {
        Stored::new(self.shapes())
    }

    /// The shape of the first tensor that is called so, with or without a prefix.
    pub(super) fn shape_of(&self, name: &str) -> Option<Vec<usize>> {
        use crate::models::weights::naming::{before, plain};
        let wanted = plain(name);
        let mut shapes = self.shapes();
        shapes.find(|(stored, _)| before(&plain(stored), &wanted).is_some()).map(|(_, shape)| shape.to_vec())
    }

    /// Bits that it has for each number.
    pub(super) fn bits(&self) -> f64 {
        let numbers: f64 =
            self.tensors.iter().map(|t| t.shape.iter().map(|d| *d as f64).product::<f64>()).sum();
        self.size as f64 * 8.0 / numbers.max(1.0)
    }

    /// Whether it is read as it is.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self.format, Format::Safetensors | Format::Gguf)
    }

    /// Its first file, which errors and choices name.
    pub(super) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), PathBuf::as_path)
    }
}

/// Looks into the file at `path` of `size` bytes.
pub(super) fn of(path: &Path, size: u64) -> Content {
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase()).unwrap_or_default();
    if let Some((_, what)) = FOREIGN.iter().find(|(foreign, _)| suffix == *foreign) {
        return Content::Unusable(format!(
            "{what}, which is not read; safetensors, GGUF and PyTorch's checkpoints of the same weights are"
        ));
    }
    let mut first = Vec::new();
    if let Err(error) = File::open(path).and_then(|file| file.take(16).read_to_end(&mut first)) {
        return Content::Unusable(format!("cannot be read: {error}"));
    }
    let made = |format: Format, tensors: Vec<Tensor>| {
        Content::Tensors(Source { files: vec![path.to_owned()], format, tensors, size })
    };
    let owned = |name: &str, shape: &[usize]| Tensor { name: name.to_owned(), shape: shape.to_vec() };
    match first.as_slice() {
        [b'G', b'G', b'U', b'F', ..] => match GgufFile::open(path) {
            Ok(file) => made(Format::Gguf, file.shapes().map(|(name, shape)| owned(name, shape)).collect()),
            Err(error) => Content::Unusable(error.chain()),
        },
        [b'P', b'K', 3, 4, ..] => zipped(path, &suffix, &made),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => match npz::array(path) {
            Ok(shape) => made(Format::Npz, vec![owned(&stem(path), &shape)]),
            Err(why) => Content::Unusable(why),
        },
        first if is_safetensors(first, size) || matches!(suffix.as_str(), "safetensors" | "sft") => {
            match Weights::open([path]) {
                Ok(weights) => made(
                    Format::Safetensors,
                    weights.shapes().map(|(name, shape)| owned(name, shape)).collect(),
                ),
                Err(error) => Content::Unusable(error.to_string()),
            }
        }
        _ => match texts::of(path, &suffix, size) {
            Ok(Some(text)) => Content::Text(text),
            Err(why) => Content::Unusable(why),
            Ok(None) => nothing(path, &suffix, size),
        },
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether the header's length is possible and what follows begins an object.
fn is_safetensors(first: &[u8], size: u64) -> bool {
    let Some((length, rest)) = first.split_first_chunk::<8>() else { return false };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= size
}

fn zipped(path: &Path, suffix: &str, made: &dyn Fn(Format, Vec<Tensor>) -> Content) -> Content {
    match npz::arrays(path) {
        Ok(Some(arrays)) => {
            let tensors = arrays.into_iter().map(|(name, shape)| Tensor { name, shape }).collect();
            return made(Format::Npz, tensors);
        }
        Ok(None) => {}
        Err(why) => return Content::Unusable(why),
    }
    match Checkpoint::open(path) {
        Ok(checkpoint) => {
            let all = checkpoint.tensors().iter();
            let all = all.map(|stored| Tensor { name: stored.name.clone(), shape: stored.shape.clone() });
            made(Format::Pickle, all.collect())
        }
        // Any other archive: documents are zip files too.
        Err(_) if !KNOWN.contains(&suffix) => Content::Nothing,
        Err(error) => Content::Unusable(error.to_string()),
    }
}

/// What is neither of a known form nor a description: bare floats, or a file that only looks like weights.
fn nothing(path: &Path, suffix: &str, size: u64) -> Content {
    if !KNOWN.contains(&suffix) {
        return Content::Nothing;
    }
    if suffix == "bin" && (1..=LARGEST_RAW).contains(&size) && size.is_multiple_of(4) {
        let values = usize::try_from(size / 4).unwrap_or(0);
        let tensors = vec![Tensor { name: stem(path), shape: vec![values] }];
        return Content::Tensors(Source { files: vec![path.to_owned()], format: Format::Raw, tensors, size });
    }
    // Its own reader says best what it is instead.
    match Checkpoint::open(path) {
        Err(error) => Content::Unusable(error.to_string()),
        Ok(_) => Content::Nothing,
    }
}
