//! The parts of a layer around its linear map: activation, bias, and what is differentiated at the top.

pub mod activate;
pub mod loss;

use crate::real::Real;
use crate::signal::Signal;
use nalgebra::DMatrix;

/// Repeats a column (n × 1) over a batch (n × B).
pub fn broadcast<T: Real>(column: &Signal<T>, batch: usize) -> Signal<T> {
    let values = DMatrix::from_fn(column.values.nrows(), batch, |i, _| column.values[(i, 0)]);
    Signal { values, exponent: column.exponent }
}
