//! Every path in a source text, made absolute.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// One path as it stands in a source, absolute: `crate`, part, … or an external crate, ….
pub struct Found {
    segments: Vec<String>,
    /// The line it stands on.
    pub line: usize,
    /// For a public re-export, the name it gives (`*` for all).
    pub exported: Option<String>,
}

impl Found {
    /// The part of ours, or the crate, that the path leads into.
    pub fn target<'a>(&'a self, parts: &BTreeSet<&'a str>) -> Option<&'a str> {
        match self.segments.first().map(String::as_str)? {
            "crate" | "vortex_node" => {
                self.segments.get(1).map(String::as_str).filter(|part| parts.contains(part))
            }
            // A bare name leads into a crate or a module beside the file, never into a part, even one of the same name.
            name => Some(name).filter(|name| !parts.contains(name)),
        }
    }

    /// Whether the path may reach what is exported under `name`.
    pub fn names(&self, name: &str) -> bool {
        let last = self.segments.last().map(String::as_str);
        name == "*" || last == Some("*") || self.segments.iter().skip(2).any(|segment| segment == name)
    }

    /// As written, made absolute.
    pub fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// All paths in `text`, a file that stands at `module` (its part first).
pub fn paths_of(text: &str, module: &[String]) -> Vec<Found> {
    let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", module.join("::")));
    let mut visitor = Visitor { module: module.to_vec(), found: Vec::new() };
    visitor.visit_file(&file);
    visitor.found
}

struct Visitor {
    module: Vec<String>,
    found: Vec<Found>,
}

impl Visitor {
    fn add(&mut self, written: Vec<String>, line: usize, exported: Option<String>) {
        let mut base: Vec<String> = self.module.clone();
        let mut rest = written.as_slice();
        let mut relative = false;
        while let Some(first) = rest.first() {
            match first.as_str() {
                "super" => {
                    base.pop();
                }
                "self" => {}
                _ => break,
            }
            relative = true;
            rest = &rest[1..];
        }
        let mut segments = if relative {
            std::iter::once("crate".to_owned()).chain(base).chain(rest.iter().cloned()).collect()
        } else {
            written
        };
        // In lib.rs a bare name is one of its modules.
        if self.module.is_empty()
            && exported.is_some()
            && segments.first().is_some_and(|first| first != "crate")
        {
            segments.insert(0, "crate".to_owned());
        }
        // A bare single name is a local one, unless it is imported or exported.
        if segments.len() > 1 || exported.is_some() {
            self.found.push(Found { segments, line, exported });
        }
    }

    fn use_tree(&mut self, prefix: &[String], tree: &syn::UseTree, public: bool) {
        let with = |name: &syn::Ident| prefix.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree, public),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.use_tree(prefix, tree, public))
            }
            syn::UseTree::Name(name) => {
                let line = name.ident.span().start().line;
                self.import(with(&name.ident), line, public.then(|| name.ident.to_string()));
            }
            syn::UseTree::Rename(rename) => {
                let line = rename.ident.span().start().line;
                self.import(with(&rename.ident), line, public.then(|| rename.rename.to_string()));
            }
            syn::UseTree::Glob(glob) => {
                let path = prefix.iter().cloned().chain(["*".to_owned()]).collect();
                self.import(path, glob.star_token.spans[0].start().line, public.then(|| "*".to_owned()));
            }
        }
    }

    /// A `use` of a single crate (`use tokio;`) counts although its path has one segment.
    fn import(&mut self, path: Vec<String>, line: usize, exported: Option<String>) {
        let path = if path.len() == 1 { path.into_iter().chain(["self".to_owned()]).collect() } else { path };
        self.add(path, line, exported);
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut line = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(std::mem::take(&mut path), line, None);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.add(std::mem::take(&mut path), line, None);
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Literal(literal) => self.literal(&literal),
                        _ => {}
                    }
                }
            }
        }
        self.add(path, line, None);
    }

    /// Strings such as serde's `with = "crate::x"` are paths as well.
    fn literal(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        let text = text.trim_matches('"');
        if text.contains("::") && syn::parse_str::<syn::Path>(text).is_ok() {
            let segments =
                text.split("::").filter(|segment| !segment.is_empty()).map(|s| s.trim().to_owned()).collect();
            self.add(segments, literal.span().start().line, None);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.add(segments, line, None);
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.use_tree(&[], &item.tree, public);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.import(vec![item.ident.to_string()], item.ident.span().start().line, None);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        assert!(!item.attrs.iter().any(|a| a.path().is_ident("path")), "#[path] hides where a module stands");
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone());
        visit::visit_macro(self, mac);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}
