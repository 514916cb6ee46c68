//! What theory says before anything is drawn: pure functions of numbers.

pub mod critical;
pub mod field;
pub mod finite_width;
pub mod formats;
pub mod jacobian;
pub mod meanfield;
pub mod norm;
pub mod pair;
pub mod phase;
pub mod prediction;
pub mod quadrature;
pub mod stack;
pub mod survey;
