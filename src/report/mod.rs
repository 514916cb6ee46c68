//! One file a format. Each renders the same [`crate::result::Report`] and computes nothing of its own.

pub mod chart;
pub mod json;
pub mod scaling;
pub mod table;
pub mod terminal;
pub mod wrap;
