//! One file a format. Each renders the same [`crate::result::Report`], or the [`crate::theory::survey::Survey`] of theory, and
//! computes nothing of its own.

pub mod chart;
pub mod json;
pub mod scaling;
pub mod table;
pub mod terminal;
pub mod theory;
pub mod wrap;
