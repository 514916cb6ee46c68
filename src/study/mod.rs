//! Experiments made of many runs.

pub mod baseline;
pub mod plane;
pub mod scaling;
pub mod train;
