//! What is asked for at a hub.

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RemoteFile {
    /// `owner/name`.
    pub(crate) repo: String,
    /// A commit, tag or branch.
    pub(crate) revision: String,
    /// Its path in the repository.
    pub(crate) path: String,
}
