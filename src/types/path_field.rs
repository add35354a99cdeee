//! Paths in JSON: their text, and a flag where that is not the whole truth. Paths need not be UTF-8, JSON must be.

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// A member of a JSON object that holds a path: `"dir": "…"`. Where the path is no UTF-8, its text has U+FFFD for what
/// cannot be written and `"dir_lossy": true` follows, so that nobody takes the text for the path.
///
/// Serialises as an object with those members: flattened it joins the object around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathField<'a> {
    name: &'static str,
    path: Option<&'a Path>,
}

impl<'a> PathField<'a> {
    /// The member `name`.
    pub(crate) const fn new(name: &'static str, path: &'a Path) -> Self {
        Self { name, path: Some(path) }
    }

    /// The member `name`, `null` where there is no path.
    pub(crate) const fn optional(name: &'static str, path: Option<&'a Path>) -> Self {
        Self { name, path }
    }

    /// Puts it into `object`; any other value stays what it is.
    pub(crate) fn put_into(self, object: &mut Value) {
        let Some(members) = object.as_object_mut() else { return };
        members.insert(self.name.to_owned(), self.path.map(Path::to_string_lossy).into());
        if self.is_lossy() {
            members.insert(self.flag(), true.into());
        }
    }

    fn is_lossy(self) -> bool {
        self.path.is_some_and(|path| path.to_str().is_none())
    }

    fn flag(self) -> String {
        format!("{}_lossy", self.name)
    }
}

impl Serialize for PathField<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry(self.name, &self.path.map(Path::to_string_lossy))?;
        if self.is_lossy() {
            members.serialize_entry(&self.flag(), &true)?;
        }
        members.end()
    }
}

/// `object` with the member `name`, as [`PathField`] writes it.
pub(crate) fn with_path(mut object: Value, name: &'static str, path: &Path) -> Value {
    PathField::new(name, path).put_into(&mut object);
    object
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn a_path_is_its_text() {
        let path = Path::new("/a/ü");
        assert_eq!(with_path(json!({ "ok": true }), "dir", path), json!({ "ok": true, "dir": "/a/ü" }));
        assert_eq!(to_value(PathField::new("dir", path)).unwrap(), json!({ "dir": "/a/ü" }));
        assert_eq!(to_value(PathField::optional("dir", None)).unwrap(), json!({ "dir": null }));
    }

    #[cfg(unix)]
    #[test]
    fn what_no_text_can_hold_is_flagged() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let path = Path::new(OsStr::from_bytes(b"/a/\xff"));
        let expected = json!({ "dir": "/a/\u{fffd}", "dir_lossy": true });
        assert_eq!(with_path(json!({}), "dir", path), expected);
        assert_eq!(to_value(PathField::new("dir", path)).unwrap(), expected);
        // The character itself may stand in a path.
        assert_eq!(with_path(json!({}), "dir", Path::new("/\u{fffd}")), json!({ "dir": "/\u{fffd}" }));
    }
}
