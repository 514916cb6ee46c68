//! The parts of a network: what each does to a batch on its way up, and to a gradient on its way down.
//!
//! A batch lies as channels × (positions·samples): a sample's positions are neighbouring columns, and a position's channels
//! neighbouring entries. So a linear map, a convolution of one tap, a norm and an activation are the same loops for plain
//! stacks, sequences and images, and flattening moves nothing.

pub mod act;
pub mod activate;
pub mod attention;
pub mod conv;
pub mod dropout;
pub mod embedding;
pub mod linear;
pub mod loss;
pub mod norm;
pub mod parameters;
pub mod pass;
pub mod pool;
pub mod record;
pub mod recurrent;
pub mod shape;
pub mod window;

pub use parameters::{Gradients, Parameter, Parameters};
pub use pass::{Back, Layer, Pass, Value};
pub use shape::{Shape, Space};

use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use nalgebra::Dyn;

/// The same entries in another shape of as many.
pub fn reshaped<T: Real>(signal: Signal<T>, rows: usize) -> Signal<T> {
    let columns = signal.values.len() / rows.max(1);
    Signal { values: signal.values.reshape_generic(Dyn(rows), Dyn(columns)), exponent: signal.exponent }
}
