//! The bundles that ship with the program: descriptions of published weights, their model cards, and the small files
//! that lie beside them. Part of the executable, so that a program alone can fetch them.

use std::path::Path;

use super::{Bundle, BundleError, Sha256, read};

/// A bundle whose weights are fetched.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// What it is asked for by, and its description's name.
    pub name: &'static str,
    /// Its `bundle.toml`.
    pub description: &'static str,
    /// Its `README.md`: where each file is from, under which licence.
    pub card: &'static str,
    /// Configuration files by their path in the bundle.
    small: [(&'static str, &'static [u8]); 6],
}

macro_rules! shipped {
    ($name:literal) => {
        Shipped {
            name: $name,
            description: include_str!(concat!("../../../config/bundles/", $name, "/bundle.toml")),
            card: include_str!(concat!("../../../config/bundles/", $name, "/README.md")),
            small: [
                small!($name, "flux/scheduler/scheduler_config.json"),
                small!($name, "flux/text_encoder/config.json"),
                small!($name, "flux/text_encoder_2/config.json"),
                small!($name, "flux/transformer/config.json"),
                small!($name, "flux/vae/config.json"),
                small!($name, "liveportrait/models.json"),
            ],
        }
    };
}

macro_rules! small {
    ($name:literal, $path:literal) => {
        ($path, include_bytes!(concat!("../../../config/bundles/", $name, "/", $path)))
    };
}

/// All of them, the least to fetch first.
pub static SHIPPED: [Shipped; 3] =
    [shipped!("schnell-12gb"), shipped!("schnell-nf4"), shipped!("schnell-full")];

impl Shipped {
    /// The one of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|shipped| shipped.name == name)
    }

    /// What it describes, as if it lay in `folder`.
    pub fn bundle(&self, folder: &Path) -> Result<Bundle, BundleError> {
        read::parse(self.description, &folder.join(super::FILE_NAME), folder)
    }

    /// A small file of any of them, by what it hashes to.
    pub fn content(sha256: Sha256) -> Option<&'static [u8]> {
        let small = SHIPPED.iter().flat_map(|shipped| shipped.small);
        small.map(|(_, content)| content).find(|content| Sha256::of(content) == sha256)
    }
}

#[cfg(test)]
mod tests;
