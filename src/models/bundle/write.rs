//! A bundle back to `bundle.toml`, for what makes bundles: synthetic weights and tests.

use toml::{Table, Value};

use super::{Bundle, FileEntry, Hub, ModelEntry, VocabularyFile};

impl Bundle {
    /// The text of its `bundle.toml`; reading it gives the same bundle.
    pub fn to_toml(&self) -> String {
        let mut root = Table::new();
        root.insert("name".into(), self.name.clone().into());
        if let Some(summary) = &self.summary {
            root.insert("summary".into(), summary.clone().into());
        }
        let v = &self.verification;
        let numbers = [
            ("clip_b", v.clip_b),
            ("clip_l", v.clip_l),
            ("weight_b", v.weight_b),
            ("weight_l", v.weight_l),
            ("outlier", v.outlier),
        ];
        let numbers: Table =
            numbers.into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect();
        root.insert("verification".into(), numbers.into());
        if let Some(resolution) = self.image.resolution {
            root.insert("image".into(), text_table([("resolution", resolution)]));
        }
        if let Some(VocabularyFile { path, sha256, about, prompts }) = &self.image.vocabulary {
            let mut texts = vec![("file", path.clone()), ("sha256", sha256.to_string())];
            texts.extend(about.clone().map(|about| ("about", about)));
            let mut table = text_table(texts);
            if let (Some(table), false) = (table.as_table_mut(), prompts.is_empty()) {
                table.insert("prompts".into(), prompts.clone().into());
            }
            root.insert("vocabulary".into(), table);
        }
        let models: Table =
            self.models.iter().map(|(model, entry)| (model.name().to_owned(), table(entry).into())).collect();
        root.insert("models".into(), models.into());
        root.to_string()
    }
}

fn text_table<T: ToString>(texts: impl IntoIterator<Item = (&'static str, T)>) -> Value {
    let table: Table =
        texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_string().into())).collect();
    table.into()
}

fn table(entry: &ModelEntry) -> Table {
    let mut table = Table::new();
    let mut put = |name: &str, value: Value| drop(table.insert(name.to_owned(), value));
    put("precision", entry.precision.name().into());
    put("budget", format!("{}B", entry.budget.get()).into());
    let card = [("licence", &entry.card.licence), ("authors", &entry.card.authors), ("url", &entry.card.url)];
    for (name, text) in card {
        if let Some(text) = text {
            put(name, text.clone().into());
        }
    }
    if !entry.parts.is_empty() {
        let parts: Table = entry.parts.iter().map(|(role, p)| (role.clone(), p.name().into())).collect();
        put("parts", parts.into());
    }
    if let Some(hub) = &entry.hub {
        put("hub", text_table(place(hub)));
    }
    let files: Table = entry
        .files
        .iter()
        .map(|(role, files)| {
            let mut listed: Vec<Value> = files.iter().map(file).collect();
            let value = if listed.len() == 1 { listed.remove(0) } else { listed.into() };
            (role.clone(), value)
        })
        .collect();
    put("files", files.into());
    table
}

fn file(entry: &FileEntry) -> Value {
    let mut table = Table::new();
    let mut put = |name: &str, value: Value| drop(table.insert(name.to_owned(), value));
    put("path", entry.path.clone().into());
    if let Some(hash) = entry.sha256 {
        put("sha256", hash.to_string().into());
    }
    // More bytes than a signed number holds fit on no disk.
    if let Some(bytes) = entry.bytes.and_then(|bytes| i64::try_from(bytes.get()).ok()) {
        put("bytes", bytes.into());
    }
    if entry.gated {
        put("gated", true.into());
    }
    if let Some(remote) = &entry.remote {
        put("remote", remote.path.clone().into());
        if let Some(hash) = remote.sha256 {
            put("remote_sha256", hash.to_string().into());
        }
    }
    if let Some(hub) = &entry.hub {
        put("hub", text_table(place(hub)));
    }
    if !entry.also.is_empty() {
        let mirrors = entry.also.iter().map(|mirror| {
            let path = mirror.path.iter().map(|path| ("path", path));
            text_table(place(&mirror.hub).into_iter().chain(path))
        });
        put("also", mirrors.collect::<Vec<_>>().into());
    }
    table.into()
}

fn place(hub: &Hub) -> [(&'static str, &String); 2] {
    [("repo", &hub.repo), ("revision", &hub.revision)]
}
