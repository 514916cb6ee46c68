//! Networks from outside as graphs.

pub mod bundled;
pub mod toml;
