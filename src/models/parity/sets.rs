//! Where fixture sets are: folders found by what lies in them, never by their names.

use std::path::{Path, PathBuf};

use crate::contract::ModelError;
use crate::models::liveportrait::networks::FILES;

/// What a set is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CLIP's two towers.
    Clip,
    /// Flux, with its text encoders, autoencoder and schedule.
    Flux,
    /// Kokoro, from ids to sound.
    Kokoro,
    /// LivePortrait's five networks.
    LivePortrait,
    /// Weights in 4-bit NormalFloat.
    Nf4,
    /// Weights in GGUF's blocks.
    Gguf,
    /// Pictures as CLIP takes them.
    Pictures,
    /// Texts as token ids.
    Texts,
}

impl Kind {
    /// Every kind, in the order that decides where a folder looks like two.
    pub const ALL: [Self; 8] = [
        Self::Clip,
        Self::Flux,
        Self::Kokoro,
        Self::LivePortrait,
        Self::Nf4,
        Self::Gguf,
        Self::Pictures,
        Self::Texts,
    ];
    /// Those without which not every model was compared.
    pub const MODELS: [Self; 4] = [Self::Clip, Self::Flux, Self::Kokoro, Self::LivePortrait];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "CLIP",
            Self::Flux => "Flux",
            Self::Kokoro => "Kokoro",
            Self::LivePortrait => "LivePortrait",
            Self::Nf4 => "NF4",
            Self::Gguf => "GGUF",
            Self::Pictures => "prepared pictures",
            Self::Texts => "tokenised texts",
        }
    }

    /// What tells that a folder is one.
    pub fn looks_like(self) -> &'static str {
        match self {
            Self::Clip => "a config.json with vision_config and text_config",
            Self::Flux => "flux1*.safetensors or ae.safetensors",
            Self::Kokoro => "kokoro*.safetensors",
            Self::LivePortrait => "spade_generator.safetensors or another of its five files",
            Self::Nf4 => "*_plain.safetensors or *_nested.safetensors",
            Self::Gguf => "*.gguf",
            Self::Pictures => "preprocessor_config.json",
            Self::Texts => "texts.json",
        }
    }

    fn is(self, folder: &Path, files: &[String]) -> bool {
        let any = |wanted: &dyn Fn(&str) -> bool| files.iter().any(|name| wanted(name));
        match self {
            Self::Clip => std::fs::read_to_string(folder.join("config.json"))
                .is_ok_and(|text| text.contains("\"vision_config\"") && text.contains("\"text_config\"")),
            Self::Flux => any(&|name| {
                name == "ae.safetensors" || name.starts_with("flux1") && name.ends_with(".safetensors")
            }),
            Self::Kokoro => any(&|name| name.starts_with("kokoro") && name.ends_with(".safetensors")),
            Self::LivePortrait => {
                any(&|name| name.strip_suffix(".safetensors").is_some_and(|stem| FILES.contains(&stem)))
            }
            Self::Nf4 => {
                any(&|name| name.ends_with("_plain.safetensors") || name.ends_with("_nested.safetensors"))
            }
            Self::Gguf => any(&|name| name.ends_with(".gguf")),
            Self::Pictures => any(&|name| name == "preprocessor_config.json"),
            Self::Texts => any(&|name| name == "texts.json"),
        }
    }
}

/// One folder of fixtures.
#[derive(Clone, Debug)]
pub struct Set {
    /// Of what; `None` where there is a recording of nothing that is known.
    pub kind: Option<Kind>,
    /// Its path from where sets were looked for.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
}

/// Every set at or under `root`, in order of path. An error where there is no such folder or no set in it.
pub fn find(root: &Path) -> Result<Vec<Set>, ModelError> {
    let mut found = Vec::new();
    walk(root, root, &mut found)?;
    if found.is_empty() {
        return Err(ModelError::own(format!(
            "{} holds no fixture set: a folder with io.safetensors and meta.json",
            root.display()
        )));
    }
    Ok(found)
}

/// The kinds that `sets` lack and should have: a model's, unless `root` is itself one set.
pub fn lacking(sets: &[Set], root: &Path) -> Vec<Kind> {
    if sets.iter().any(|set| set.folder == root) {
        return Vec::new();
    }
    let has = |kind: &Kind| sets.iter().any(|set| set.kind == Some(*kind));
    Kind::MODELS.into_iter().filter(|kind| !has(kind)).collect()
}

fn walk(folder: &Path, root: &Path, found: &mut Vec<Set>) -> Result<(), ModelError> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| {
        ModelError::own(format!("the folder {} cannot be read", folder.display())).because(error)
    })?;
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let (mut folders, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        entries.into_iter().map(|entry| entry.path()).partition(|path| path.is_dir());
    let files: Vec<String> = paths.iter().filter_map(|path| name(path)).collect();
    let kind = Kind::ALL.into_iter().find(|kind| kind.is(folder, &files));
    let records = files.iter().any(|name| name == "meta.json" || name.ends_with("io.safetensors"));
    if kind.is_some() || records {
        let inside = folder.strip_prefix(root).unwrap_or(folder);
        let inside = if inside.as_os_str().is_empty() { folder } else { inside };
        found.push(Set { kind, name: inside.display().to_string(), folder: folder.to_owned() });
    }
    folders.sort();
    folders.iter().try_for_each(|folder| walk(folder, root, found))
}

/// Why a folder is of no known kind.
pub fn unknown(folder: &Path) -> String {
    let known: Vec<String> =
        Kind::ALL.iter().map(|kind| format!("{} ({})", kind.name(), kind.looks_like())).collect();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("{name:?} holds a recording of nothing that is known here; known are {}", known.join(", "))
}
