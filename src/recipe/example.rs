//! A commented example recipe, to start from.

use serde_json::Value;
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

/// The example with an id and a prompt of its own, and `others` as remarks below it; without a prompt, the example's.
pub fn with_prompt(id: Uuid, prompt: Option<&str>, others: &[String]) -> String {
    let text = with_id(id);
    let Some((at, line)) = prompt_line(&text) else { return text };
    let mut lines = String::new();
    match prompt {
        Some(prompt) => lines.push_str(&format!("    \"prompt\": {},\n", Value::from(prompt))),
        None => lines.push_str(line),
    }
    if !others.is_empty() {
        lines.push_str("    // What the image model is also known to paint well:\n");
    }
    for other in others {
        // A remark ends with its line.
        lines.push_str(&format!("    //   {}\n", other.replace(['\n', '\r'], " ")));
    }
    [&text[..at], &lines, &text[at + line.len()..]].concat()
}

/// Where the line with the prompt begins, and that line.
fn prompt_line(text: &str) -> Option<(usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        let begins = at;
        at += line.len();
        line.trim_start().starts_with("\"prompt\":").then_some((begins, line))
    })
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

    #[test]
    fn a_prompt_of_its_own_and_remarks_leave_a_valid_recipe() {
        let (id, others) = (Uuid::from_u128(7), ["a blue robot".to_owned(), "two\nlines".to_owned()]);
        for prompt in [None, Some("a \"quoted\" \\ cat\n// no remark")] {
            let text = with_prompt(id, prompt, &others);
            let recipe = Recipe::read(text.as_bytes()).unwrap();
            let example = Recipe::read(TEXT.as_bytes()).unwrap().visual.prompt;
            assert_eq!(recipe.visual.prompt, prompt.unwrap_or(&example));
            assert!(text.contains("//   a blue robot\n    //   two lines\n"), "{text}");
        }
        assert_eq!(with_prompt(id, None, &[]), with_id(id));
    }
}
