//! What has to hold of any bytes that are taken for a recipe.
// Panicking is how a target says that something does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{Recipe, document, signature};

/// A document has one canonical form, which says the same; whatever is no recipe is refused in words.
pub fn recipe(bytes: &[u8]) {
    let read = Recipe::read(bytes);
    let Ok(parsed) = document::parse(bytes) else {
        assert!(read.is_err(), "a recipe that is no document");
        return;
    };
    let canonical = document::canonical(&parsed);
    let again = document::parse(&canonical).expect("canonical bytes are a document");
    assert_eq!(document::canonical(&again), canonical, "the canonical form says something else");
    match read {
        Ok(recipe) => {
            let same = Recipe::read(&canonical).expect("a recipe in its canonical form is one");
            assert_eq!(same.slot(), recipe.slot());
            assert_eq!(document::canonical(same.document()), document::canonical(recipe.document()));
            // Signed by nobody, by somebody, or wrongly: never a panic.
            let _ = signature::verify(&recipe);
        }
        Err(problems) => {
            assert!(!problems.list().is_empty(), "refused without a reason");
            assert!(problems.to_string().len() < 1 << 16, "a refusal longer than anybody reads");
        }
    }
}
