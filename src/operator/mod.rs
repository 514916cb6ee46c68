//! A random linear map that answers W·X and Wᵀ·Y, both with the same draw of W.

mod dense;
mod haar;

pub use dense::Dense;

use crate::product::Threads;
use crate::real::Real;
use crate::signal::Signal;

/// The weights of one layer in one trial, fan_out × fan_in.
pub trait Operator<T: Real>: Send {
    /// W·X: (fan_out × fan_in)·(fan_in × B).
    fn forward(&mut self, x: &Signal<T>, threads: Threads) -> Signal<T>;
    /// Wᵀ·Y: (fan_out × fan_in)ᵀ·(fan_out × B).
    fn backward(&mut self, y: &Signal<T>, threads: Threads) -> Signal<T>;
    /// Frees what can be drawn again from its stream.
    fn release(&mut self);
}

#[cfg(test)]
mod tests;
