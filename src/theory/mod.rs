//! What theory says before anything is drawn: pure functions of numbers.

pub mod finite_width;
pub mod formats;
pub mod jacobian;
pub mod meanfield;
pub mod norm;
pub mod phase;
pub mod prediction;
pub mod stack;
pub mod survey;
