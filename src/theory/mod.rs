//! What theory says before anything is drawn: pure functions of numbers.

pub mod critical;
pub mod field;
pub mod quadrature;
