//! The catalogue of activations: φ, φ′, what they do at zero and far from it.

use crate::wide::Wide;
use std::fmt;

/// What theory and the engine must know of an activation beside its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// φ(λz) = λφ(z) for every λ > 0 (ReLU, leaky ReLU, linear): commutes with a change of scale.
    pub homogeneous: bool,
    /// φ(0).
    pub at_zero: f64,
    /// One-sided derivatives at zero: (z ↑ 0, z ↓ 0).
    pub slopes_at_zero: (f64, f64),
    /// sup |φ′|, `None` when unbounded.
    pub max_slope: Option<f64>,
    /// φ is bounded.
    pub bounded: bool,
    /// Where φ or φ′ is not smooth, ascending; quadrature splits there.
    pub kinks: Vec<f64>,
}

/// The pointwise form of an activation.
///
/// `psi` below is ψ(z) = φ(z) − φ(0), accurate relative to itself for small z: sigmoid gives ½ tanh(z/2).
pub trait Kernel: Send + Sync {
    /// (ψ(z), φ′(z)) in double precision. The derivative at a kink is the left one (as in PyTorch for ReLU: 0).
    fn at(&self, z: f64) -> (f64, f64);
    /// ψ and φ′ of a slice; the three have one length.
    fn map_f32(&self, z: &[f32], psi: &mut [f32], slope: &mut [f32]);
    /// ψ and φ′ of a slice; the three have one length.
    fn map_f64(&self, z: &[f64], psi: &mut [f64], slope: &mut [f64]);
    /// (ψ(z), φ′(z)) for any z, however large, and without underflow: tanh′(1000) = 4·e^−2000.
    fn extended(&self, z: Wide) -> (Wide, Wide);
}

/// An activation as the user named it.
pub struct Activation {
    /// Canonical text, e.g. `relu`, `leaky-relu(a=0.2)` or the expression; parses back to the same activation.
    pub name: String,
    pub shape: Shape,
    pub kernel: Box<dyn Kernel>,
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activation").field("name", &self.name).field("shape", &self.shape).finish()
    }
}
