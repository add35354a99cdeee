//! Sound, pictures and videos as files: what the node's plain data looks like to everyone else.

pub mod png;
pub mod wav;
