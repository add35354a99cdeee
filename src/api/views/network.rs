//! What the API answers of the network that a node is in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A node's network, as the node sees it. Counts are since the process began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkView {
    /// What its subjects and streams begin with.
    pub prefix: String,
    /// Whether the connection stands.
    pub connected: bool,
    /// Since when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<f64>,
    /// Why not, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether work is pulled as there is room for it.
    pub pulls: bool,
    /// Why not, each in one sentence.
    pub not_pulling: Vec<String>,
    /// Claims on work that hold.
    pub claims: u32,
    /// Claims that were lost.
    pub claims_lost: u64,
    /// Dead letters that were written.
    pub letters: u64,
    /// Renderings of which another node's result was first.
    pub superseded: u64,
    /// Nodes that are away and whose work may be rendered here, by their ids.
    pub stands_in_for: Vec<String>,
}
