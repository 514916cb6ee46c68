//! Expectations of activations over one and two normal variables, with their error, and the critical points they give.
//!
//! [`field`] follows the moments of one sample through a layer, [`pair`] those of two samples, and [`critical`] finds the weight
//! and bias variances at which gradients keep their size (χ₁ = 1).
//!
//! ```
//! use initdiag::activation::Activation;
//! use initdiag::expectation::{critical, second_moment};
//!
//! let tanh = Activation::parse("tanh")?;
//! assert!((second_moment(&tanh, 1.0) - 0.394).abs() < 1e-3);
//! let point = critical::at_bias(&tanh, 0.05).ok_or("no critical point")?;
//! assert!((point.sigma_w2 - 1.76).abs() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod critical;
pub mod field;
pub mod pair;
mod series;

use crate::activation::Activation;
use crate::numeric::quadrature::{Estimate, expectation};

/// E φ(z)², z ~ N(0, q): the length map without its gain (Poole et al. 2016, eq. 3).
pub fn second_moment(act: &Activation, q: f64) -> f64 {
    second_moment_estimate(act, q).value
}

/// E φ′(z)², z ~ N(0, q): χ₁ without its gain (Schoenholz et al. 2017, eq. 5).
pub fn squared_slope(act: &Activation, q: f64) -> f64 {
    squared_slope_estimate(act, q).value
}

fn second_moment_estimate(act: &Activation, q: f64) -> Estimate {
    expectation(|z| act.at(z).0.powi(2), q, &act.shape.kinks)
}

fn squared_slope_estimate(act: &Activation, q: f64) -> Estimate {
    expectation(|z| act.kernel.at(z).1.powi(2), q, &act.shape.kinks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::quadrature::pair;
    use std::f64::consts::PI;

    fn act(text: &str) -> Activation {
        Activation::parse(text).unwrap()
    }

    #[test]
    fn declared_kinks_are_met() {
        // E max(z, t)² = t²Φ(t) + (1 − Φ(t)) + tϕ(t), t = 0.3.
        let (t, cdf, pdf) = (0.3, 0.617_911_422_188_952_6, 0.381_387_815_460_524_1);
        let exact = t * t * cdf + 1.0 - cdf + t * pdf;
        assert!((second_moment(&act("max(x, 0.3)"), 1.0) - exact).abs() < 1e-12);
    }

    /// Closed forms for a pair: ReLU (Cho & Saul 2009, eq. 3), erf (Williams 1997, eq. 10).
    #[test]
    fn pairs_against_closed_forms() {
        let relu = act("relu");
        let erf = act("erf");
        for q in [1e-6, 0.3, 1.0, 40.0, 1e5] {
            for c in [-1.0, -0.999, -0.4, 0.0, 0.5, 0.99, 1.0 - 1e-6, 1.0 - 1e-12, 1.0f64] {
                let sine = ((1.0 - c) * (1.0 + c)).sqrt();
                let exact = q / (2.0 * PI) * (sine + c * (PI - c.acos()));
                let found = pair(|a, b| [relu.at(a).0 * relu.at(b).0], 0.0, q, c, &relu.shape.kinks).0[0];
                assert!((found.value - exact).abs() < 1e-11 * q, "relu {q} {c}: {found:?} {exact}");
                let exact = 2.0 / PI * (2.0 * q * c / (1.0 + 2.0 * q)).asin();
                let found = pair(|a, b| [erf.at(a).0 * erf.at(b).0], 0.0, q, c, &[]).0[0];
                assert!((found.value - exact).abs() < 1e-10, "erf {q} {c}: {found:?} {exact}");
            }
        }
    }
}
