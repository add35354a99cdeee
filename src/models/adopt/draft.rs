//! What a model of the bundle will be made of, before anything is written.

use std::path::PathBuf;

use super::contents::Source;
use crate::models::bundle::Precision;

/// One model.
#[derive(Debug)]
pub(super) struct Draft {
    pub precision: Precision,
    pub entries: Vec<Entry>,
}

/// One file of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub role: &'static str,
    /// The folder that it gets, where it gets one: files that are looked for beside each other share it.
    pub folder: &'static str,
    pub piece: Piece,
}

/// Where a file comes from.
#[derive(Debug)]
pub(super) enum Piece {
    /// A file as it is, which has to have this suffix where one is given.
    File { path: PathBuf, suffix: Option<&'static str> },
    /// A checkpoint of PyTorch's, rewritten under this name.
    Pickle { from: PathBuf, name: String },
    /// A CLIP in OpenAI's names, rewritten in Hugging Face's.
    OpenClip { source: Source },
    /// One tensor of `from`, of this width, as a voice of its own.
    Voice { from: Source, tensor: usize, name: String, width: usize },
    /// Made up here.
    Made { name: &'static str, bytes: Vec<u8>, about: &'static str },
}

/// Where the sizes of a network come from.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    /// They are those that a load takes where nothing else is said.
    Known,
    /// A configuration that was found.
    Given(PathBuf),
    /// Told by what the program knows.
    Made { text: String, about: &'static str },
}

/// As published; nothing was found that says otherwise.
pub(super) const PUBLISHED: &str = "the published sizes";
/// Read from the shapes of the tensors.
pub(super) const FROM_TENSORS: &str = "sizes read from the tensors";

impl Draft {
    pub(super) fn new(precision: Precision) -> Self {
        Self { precision, entries: Vec::new() }
    }

    pub(super) fn put(&mut self, role: &'static str, piece: Piece) {
        self.entries.push(Entry { role, folder: role, piece });
    }

    /// The files of a network that is read as it is, or converted.
    pub(super) fn weights(&mut self, role: &'static str, source: &Source) {
        use super::contents::Format;
        for path in &source.files {
            let piece = match source.format {
                Format::Pickle => {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    Piece::Pickle { from: path.clone(), name: format!("{name}.safetensors") }
                }
                Format::Gguf => Piece::File { path: path.clone(), suffix: Some("gguf") },
                _ => Piece::File { path: path.clone(), suffix: Some("safetensors") },
            };
            self.put(role, piece);
        }
    }

    /// A configuration, where one is needed.
    pub(super) fn sizes(&mut self, role: &'static str, sizes: Sizes) {
        match sizes {
            Sizes::Known => {}
            Sizes::Given(path) => self.put(role, Piece::File { path, suffix: None }),
            Sizes::Made { text, about } => {
                self.put(role, Piece::Made { name: "config.json", bytes: text.into_bytes(), about });
            }
        }
    }

    /// A tokenizer, and what lies beside it and is looked for there.
    pub(super) fn tokenizer(&mut self, role: &'static str, files: &[PathBuf]) {
        for path in files {
            self.put(role, Piece::File { path: path.clone(), suffix: None });
        }
        let beside = files.first().map(|file| file.with_file_name("tokenizer_config.json"));
        if let Some(path) = beside.filter(|path| path.is_file()) {
            let piece = Piece::File { path, suffix: None };
            self.entries.push(Entry { role: "tokenizer_config", folder: role, piece });
        }
    }
}
