//! Recipe files to what is handed in; everything that is wrong with any of them is told before anything is sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::recipe::{FILE_SIZE, Recipe};
use crate::types::SlotId;

/// A recipe that may be handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// What the user calls it.
    pub(super) name: String,
    pub(super) id: SlotId,
    pub(super) text: Vec<u8>,
}

/// What is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) path: PathBuf,
    pub(super) problems: Vec<String>,
}

/// Standard input's name on a command line.
const STDIN: &str = "-";

/// The recipes at `paths`, in their order; or all that is wrong with all of them. A recipe that is named twice comes once.
pub(super) fn read(paths: &[PathBuf], input: &mut dyn Read) -> Result<Vec<Document>, Vec<Wrong>> {
    let (mut documents, mut wrong) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<SlotId, (PathBuf, Recipe)> = BTreeMap::new();
    for path in paths {
        let mut refuse = |problems| wrong.push(Wrong { path: path.clone(), problems });
        let text = match content(path, input) {
            Ok(text) => text,
            Err(error) => {
                refuse(vec![format!("cannot be read: {error}")]);
                continue;
            }
        };
        let recipe = match Recipe::read(&text) {
            Ok(recipe) => recipe,
            Err(problems) => {
                refuse(problems.list().iter().map(ToString::to_string).collect());
                continue;
            }
        };
        let id = recipe.slot();
        match seen.get(&id) {
            Some((_, before)) if *before == recipe => continue,
            Some((other, _)) => {
                let other = other.display();
                refuse(vec![format!("recipe_id: {id} is that of {other}, too; accepted: an id of its own")]);
                continue;
            }
            None => {}
        }
        let name =
            if path.as_os_str() == STDIN { "standard input".to_owned() } else { path.display().to_string() };
        seen.insert(id, (path.clone(), recipe));
        documents.push(Document { name, id, text });
    }
    if wrong.is_empty() { Ok(documents) } else { Err(wrong) }
}

fn content(path: &Path, input: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    if path.as_os_str() != STDIN {
        return std::fs::read(path);
    }
    let mut text = Vec::new();
    // One byte more than a recipe may have, so that its reader refuses it.
    input.take(FILE_SIZE as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::example;

    fn recipe(id: &str) -> String {
        example::with_prompt(id.parse().unwrap(), None, &[])
    }

    const ONE: &str = "6f1c2f5e-0b1d-4c58-9a53-7d0d8f6a3b21";
    const OTHER: &str = "0e7d3f6a-3c52-4a0e-8e43-2f8f1f1f7a10";

    #[test]
    fn everything_wrong_with_every_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = file("good.json", &recipe(ONE));
        let wrong = file(
            "wrong.json",
            &recipe(OTHER).replace("\"fps\"", "\"fqs\"").replace("\"script\"", "\"skript\""),
        );
        let clash = file(
            "clash.json",
            &recipe(ONE).replace("\"fps\": 30", "\"fps\": 25").replace("\"fps\": 24", "\"fps\": 25"),
        );
        let gone = folder.path().join("gone.json");
        let told = read(&[good.clone(), wrong.clone(), gone.clone(), clash.clone()], &mut std::io::empty())
            .unwrap_err();
        let paths: Vec<&PathBuf> = told.iter().map(|wrong| &wrong.path).collect();
        assert_eq!(paths, [&wrong, &gone, &clash]);
        assert!(told[0].problems.len() >= 2, "{told:?}");
        assert!(told[1].problems[0].contains("cannot be read"));
        assert!(told[2].problems[0].contains(ONE) && told[2].problems[0].contains("good.json"), "{told:?}");
        // The same recipe twice is one; comments make no difference.
        let again = file("again.json", &format!("// once more\n{}", recipe(ONE)));
        assert_eq!(read(&[good, again], &mut std::io::empty()).unwrap().len(), 1);
    }

    #[test]
    fn a_dash_is_standard_input() {
        let text = recipe(ONE);
        let documents = read(&[PathBuf::from("-")], &mut text.as_bytes()).unwrap();
        assert_eq!(
            documents[0],
            Document { name: "standard input".into(), id: ONE.parse().unwrap(), text: text.into_bytes() }
        );
        let endless = &mut std::io::repeat(b' ');
        assert!(read(&[PathBuf::from("-")], endless).unwrap_err()[0].problems[0].contains("1 MiB"));
    }
}
