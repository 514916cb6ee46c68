//! The catalog of activations: φ, its derivative, and what it does near zero and far from it.
//!
//! An activation is a name of the catalog or an expression in x. It is evaluated at any scale of its argument, so a signal of
//! 10⁻³⁰⁰⁰ keeps its digits.
//!
//! ```
//! use initdiag::activation::Activation;
//!
//! let relu = Activation::parse("relu")?;
//! assert_eq!(relu.at(2.0), (2.0, 1.0));
//! let own = Activation::parse("x*sigmoid(1.702*x)")?;
//! assert!((own.at(0.0).1 - 0.5).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalog;
mod expression;
mod functions;
mod kernel;
mod power;
mod tail;

pub use catalog::{Entry, entries};
pub use kernel::Kernel;

use crate::law::call::{Call, CatalogError, one_line, split_list};
use crate::law::expression::mentions;
use std::fmt;

/// What theory and the engine must know of an activation beside its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Properties {
    /// φ(λz) = λφ(z) for every λ > 0 (ReLU, leaky ReLU, linear): commutes with a change of scale.
    pub homogeneous: bool,
    /// φ(0).
    pub at_zero: f64,
    /// One-sided derivatives at zero: (z ↑ 0, z ↓ 0); 0 where one is not finite.
    pub slopes_at_zero: (f64, f64),
    /// log₂|z| below which φ(z) − φ(0) is the slope there times z, to single precision; `None` for a φ without tangents,
    /// such as √|z|, and for one that is flat, such as z².
    pub tangent_below: Option<i64>,
    /// sup |φ′|, `None` when unbounded.
    pub max_slope: Option<f64>,
    /// φ is bounded.
    pub bounded: bool,
    /// Where φ or φ′ is not smooth, ascending; quadrature splits there.
    pub kinks: Vec<f64>,
}

/// An activation as the user named it.
pub struct Activation {
    /// Canonical text, e.g. `relu`, `leaky-relu(a=0.2)` or the expression; parses back to the same activation.
    pub name: String,
    /// Limits, slopes and kinks: what is known of φ without evaluating it.
    pub shape: Properties,
    /// PyTorch's `calculate_gain` for it, where its table has one.
    pub torch_gain: Option<f64>,
    /// How φ and φ′ are computed.
    pub kernel: Box<dyn Kernel>,
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activation").field("name", &self.name).field("shape", &self.shape).finish()
    }
}

impl Activation {
    /// Reads a catalog name with parameters, such as `leaky-relu(a=0.2)`, or an expression in `x`.
    ///
    /// # Errors
    /// An unknown name, a faulty parameter, or an expression that cannot be read or is not finite near zero.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let text = &one_line(text);
        if mentions(text, "x") { expression::parse(text) } else { catalog::build(&Call::parse(text)?) }
    }

    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// As for [`Activation::parse`], for the first faulty item.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, CatalogError> {
        split_list(text)?.into_iter().map(Self::parse).collect()
    }

    /// (φ(z), φ′(z)).
    pub fn at(&self, z: f64) -> (f64, f64) {
        let (psi, slope) = self.kernel.at(z);
        (psi + self.shape.at_zero, slope)
    }
}

#[cfg(test)]
mod tests;
