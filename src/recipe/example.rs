//! A commented example recipe, to start from.

use uuid::Uuid;

const TEXT: &str = include_str!("../../config/recipes/hello.json");
/// The id in the example's text.
const ID: &str = "6f1c2f52-7f0e-4d3b-9a55-0c8f3f6f9b10";

/// The example as it ships: a valid recipe with comments.
pub fn text() -> &'static str {
    TEXT
}

/// The example with an id of its own.
pub fn with_id(id: Uuid) -> String {
    TEXT.replace(ID, &id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn the_example_is_valid_with_its_own_and_any_other_id() {
        assert_eq!(Recipe::read(TEXT.as_bytes()).unwrap().id.to_string(), ID);
        let id = Uuid::from_u128(7);
        let other = Recipe::read(with_id(id).as_bytes()).unwrap();
        assert_eq!(other.id, id);
        assert_ne!(other.seed, Recipe::read(TEXT.as_bytes()).unwrap().seed);
    }
}
