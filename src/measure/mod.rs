//! What was recorded, summarised over trials.

pub mod spread;
pub mod summary;
