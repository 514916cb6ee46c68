//! Where a linear map comes from, behind one trait: it answers W·X and Wᵀ·Y, both with the same W.
//!
//! [`Dense`] draws every weight, or takes given ones. [`ImplicitGaussian`] and [`ImplicitHaar`] draw products from their exact
//! joint law and form no weight. [`Table`] holds the rows of an embedding, whose transpose may be a linear layer (tied weights).
//!
//! ```
//! use initdiag::law::Law;
//! use initdiag::numeric::{product::Threads, signal::Signal, stream::Key};
//! use initdiag::weights::{Method, linear_map};
//! use nalgebra::DMatrix;
//!
//! let key = Key { seed: 0, trial: 0, layer: 1 };
//! let law = Law::Normal { mean: 0.0, std: 0.001 };
//! // A million units that no matrix stands behind.
//! let mut map = linear_map::<f32>(Method::Implicit, law, 1_000_000, 1_000_000, key);
//! let x = Signal::new(DMatrix::from_element(1_000_000, 1, 1.0), 0).into();
//! assert_eq!(map.forward(&x, Threads::One).values.shape(), (1_000_000, 1));
//! ```

mod dense;
mod directions;
mod factor;
mod haar;
mod implicit_gaussian;
mod implicit_haar;
mod table;

pub use dense::Dense;
pub use factor::{Factor, largest_square};
pub use implicit_gaussian::ImplicitGaussian;
pub use implicit_haar::ImplicitHaar;
pub use table::Table;

use crate::law::Law;
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::Key;
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;

/// The weights of one layer in one trial, fan_out × fan_in. It may be asked as often as one likes, from either side.
pub trait LinearMap<T: Real> {
    /// W·X: (fan_out × fan_in)·(fan_in × B).
    fn forward(&mut self, x: &CachedSignal<T>, threads: Threads) -> Signal<T>;
    /// Wᵀ·Y: (fan_out × fan_in)ᵀ·(fan_out × B).
    fn backward(&mut self, y: &CachedSignal<T>, threads: Threads) -> Signal<T>;
    /// Frees what can be drawn again from its stream.
    fn release(&mut self);
}

/// How a map is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Every weight: O(n²).
    #[default]
    Dense,
    /// The products alone, from their joint law: O(B²n).
    Implicit,
}

/// The map of a layer under `law`. Implicit products of a law that is neither Gaussian nor orthogonal are those of the Gaussian
/// law with its mean and variance, the limit of large fan-in; [`is_exact`] tells.
pub fn linear_map<T: Real>(
    method: Method,
    law: Law,
    fan_in: usize,
    fan_out: usize,
    key: Key,
) -> Box<dyn LinearMap<T>> {
    match (method, law) {
        // A diagonal is no cost to the dense form, and mirrored weights have no other.
        (Method::Dense, _) | (_, Law::Identity { .. } | Law::Mirrored { .. }) => {
            Box::new(Dense::new(law, fan_in, fan_out, key))
        }
        (Method::Implicit, Law::Haar { gain }) => Box::new(ImplicitHaar::new(gain, fan_in, fan_out, key)),
        (Method::Implicit, law) => {
            let (mean, std) = gaussian(law, fan_in, fan_out);
            Box::new(ImplicitGaussian::new(mean, std, fan_in, fan_out, key))
        }
    }
}

/// Whether implicit products have the law's own distribution, whatever the width.
pub fn is_exact(law: Law) -> bool {
    law.is_orthogonal() || law.is_fixed() || matches!(law, Law::Normal { .. })
}

/// Mean and standard deviation of an entry.
pub fn gaussian(law: Law, fan_in: usize, fan_out: usize) -> (f64, f64) {
    match law {
        // Without the square, which may underflow.
        Law::Normal { mean, std } => (mean, std),
        law => {
            let moments = law.moments(fan_in, fan_out);
            (moments.mean, moments.variance.sqrt())
        }
    }
}

/// mean·1(1ᵀx): every row the same.
fn rank_one<T: Real>(x: &CachedSignal<T>, rows: usize, mean: Wide) -> Signal<T> {
    // Sums in double precision: the entries may cancel.
    let sums: Vec<Wide> =
        x.sums().plain.iter().map(|sum| mean * Wide::new(*sum, x.signal.exponent)).collect();
    let row = Signal::<T>::from_wide(1, sums.len(), &sums);
    let values = DMatrix::from_fn(rows, sums.len(), |_, j| row.values[(0, j)]);
    Signal::new(values, row.exponent)
}

/// The factor that gives all entries together unit variance; one for a signal without variance.
pub fn unit_variance<T: Real>(z: &Signal<T>) -> Wide {
    let count = z.values.len() as f64;
    let mean = z.values.iter().map(|v| v.to_f64()).sum::<f64>() / count;
    let variance = z.values.iter().map(|v| (v.to_f64() - mean).powi(2)).sum::<f64>() / count;
    if variance > 0.0 { Wide::new(1.0 / variance.sqrt(), -z.exponent) } else { 1.0.into() }
}

#[cfg(test)]
mod tests;
