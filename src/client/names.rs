//! Texts that a server sent and a person or a file system is to see: without control characters, without ways out of a
//! folder.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// `text` in one line that no terminal takes for a command: control characters become `U+FFFD`.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    // Besides control characters proper: those that turn the direction of writing, and line separators.
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if text.contains(is_unsafe) {
        Cow::Owned(text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Bytes of one part of a path: what file systems allow, less room for what stands beside a name while it is unfinished.
const LONGEST_PART: usize = 200;

/// Where an artifact's name leads inside a folder; none for a name that could lead out of it, or into what a system
/// treats in a special way.
pub(super) fn local_name(name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.starts_with('/') {
        return None;
    }
    let mut path = PathBuf::new();
    for part in name.split('/') {
        let is_plain = !part.is_empty()
            && part != "."
            && part != ".."
            && part.len() <= LONGEST_PART
            // A dot in front hides a file, and is what unfinished files of ours begin with.
            && !part.starts_with('.')
            // Windows takes `\` for `/`, `C:` for a drive and drops dots and spaces at the end.
            && !part.contains(['\\', ':'])
            && !part.ends_with(['.', ' '])
            && matches!(plain(part), Cow::Borrowed(_));
        if !is_plain {
            return None;
        }
        path.push(part);
    }
    Some(path)
}

/// Where `path` is written until it is whole. Its name holds the hash of what it is to become, so that a later version of
/// the file is never taken for the rest of an earlier one.
pub(super) fn part_of(path: &Path, sha256: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hash: String = sha256.chars().take(12).collect();
    path.with_file_name(format!(".{name}.{hash}.part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_their_folder() {
        assert_eq!(local_name("video.mp4").unwrap(), Path::new("video.mp4"));
        assert_eq!(
            local_name("keyframes/frame 0001.png").unwrap(),
            Path::new("keyframes").join("frame 0001.png")
        );
        for name in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "C:\\x",
            "a\\..\\b",
            "c:x",
            "a\0b",
            "a\nb",
            ".bashrc",
            "a/.ssh",
            "x.",
            "x ",
            "\u{202e}gpj.exe",
        ] {
            assert_eq!(local_name(name), None, "{name:?}");
        }
        assert_eq!(local_name(&"x".repeat(201)), None);
    }

    #[test]
    fn a_servers_text_moves_no_cursor() {
        assert_eq!(plain("grün ✓"), "grün ✓");
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}");
    }

    #[test]
    fn an_unfinished_file_belongs_to_one_content() {
        let path = Path::new("out/video.mp4");
        assert_eq!(part_of(path, &"ab".repeat(32)), Path::new("out/.video.mp4.abababababab.part"));
    }
}
