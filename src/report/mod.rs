//! One file a format. Each renders the same [`crate::result::Report`], or what theory says ([`crate::theory::survey::Survey`],
//! [`crate::theory::phase::Diagram`]) or recommends, and computes nothing of its own.

pub mod figure;
pub mod json;
pub mod phase;
pub mod recommend;
pub mod scaling;
pub mod table;
pub mod terminal;
pub mod theory;
pub mod train;
pub mod wrap;
