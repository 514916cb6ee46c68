//! What is recorded at a layer, and its summary over trials.

pub mod record;
mod spectrum;
pub mod spread;
pub mod summary;

pub use record::{LayerRecord, Moments};
