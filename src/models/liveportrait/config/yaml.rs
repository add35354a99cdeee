//! The part of YAML that `models.yaml` is written in: nested mappings, lists of scalars in both spellings, comments.
//!
//! Owns nothing beyond it: anchors, tags, multi-line strings and lists of mappings are errors, not guesses.

use serde_json::{Map, Value};

struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

/// The mapping that `text` holds, or what is wrong with which line.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let lines: Vec<Line<'_>> = text
        .lines()
        .enumerate()
        .filter_map(|(place, line)| {
            let content = line.split(" #").next().unwrap_or(line).trim_end();
            let trimmed = content.trim_start();
            let skipped = trimmed.is_empty() || trimmed.starts_with('#') || trimmed == "---";
            (!skipped).then_some(Line {
                number: place + 1,
                indent: content.len() - trimmed.len(),
                text: trimmed,
            })
        })
        .collect();
    let mut rest = lines.as_slice();
    let value = mapping(&mut rest, 0)?;
    match rest.first() {
        Some(line) => {
            Err(format!("line {}: {:?} is indented unlike what precedes it", line.number, line.text))
        }
        None => Ok(value),
    }
}

fn mapping(lines: &mut &[Line<'_>], indent: usize) -> Result<Value, String> {
    let mut entries = Map::new();
    while let Some((line, after)) = lines.split_first().filter(|(line, _)| line.indent == indent) {
        let Some((key, value)) = line.text.split_once(':') else {
            return Err(format!("line {}: {:?} is no \"key: value\"", line.number, line.text));
        };
        *lines = after;
        let value = match (value.trim(), lines.first()) {
            ("", Some(next)) if next.text.starts_with("- ") && next.indent >= indent => {
                list(lines, next.indent)?
            }
            ("", Some(next)) if next.indent > indent => mapping(lines, next.indent)?,
            ("", _) => Value::Null,
            (text, _) => scalar_or_list(text).map_err(|what| format!("line {}: {what}", line.number))?,
        };
        if entries.insert(key.trim().to_owned(), value).is_some() {
            return Err(format!("line {}: {:?} is there twice", line.number, key.trim()));
        }
    }
    Ok(Value::Object(entries))
}

fn list(lines: &mut &[Line<'_>], indent: usize) -> Result<Value, String> {
    let mut items = Vec::new();
    while let Some((line, after)) = lines.split_first().filter(|(line, _)| line.indent == indent) {
        let Some(item) = line.text.strip_prefix("- ") else { break };
        items.push(scalar(item.trim()).map_err(|what| format!("line {}: {what}", line.number))?);
        *lines = after;
    }
    Ok(Value::Array(items))
}

fn scalar_or_list(text: &str) -> Result<Value, String> {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(items) => items
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(scalar)
            .collect::<Result<_, _>>()
            .map(Value::Array),
        None => scalar(text),
    }
}

fn scalar(text: &str) -> Result<Value, String> {
    if let Some(first) = text.chars().next().filter(|first| "[]{}&*!|>%@`".contains(*first)) {
        return Err(format!("{text:?} starts with {first:?}, which this reader does not know"));
    }
    Ok(match text {
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        "null" | "~" => Value::Null,
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => whole.into(),
            (_, Ok(number)) if number.is_finite() => number.into(),
            _ => Value::String(text.trim_matches(['"', '\'']).to_owned()),
        },
    })
}
