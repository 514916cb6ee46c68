//! The edge of chaos: where χ₁ = σ_w² E φ′² = 1 (Schoenholz et al. 2017).

use super::quadrature::{second_moment, squared_slope};
use crate::activation::Activation;

/// A point of the critical line: σ_w² = n·Var(W), σ_b² = Var(b), and the pre-activation variance q that they keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalPoint {
    /// fan_in·Var(W).
    pub sigma_w2: f64,
    /// Var(b).
    pub sigma_b2: f64,
    /// Var(Z), a fixed point of the length map.
    pub q: f64,
}

/// Rounding of the quadrature: a σ_b² this far below zero is zero.
const ROUNDING: f64 = 1e-12;

/// The point of the critical line at pre-activation variance `q` (> 0); `None` where σ_b² would be negative.
///
/// No root is sought: σ_w² = 1/E φ′², σ_b² = q − σ_w² E φ².
pub fn at_variance(act: &Activation, q: f64) -> Option<CriticalPoint> {
    let (sigma_w2, sigma_b2) = walk(act, q)?;
    (sigma_b2 >= -ROUNDING * q).then_some(CriticalPoint { sigma_w2, sigma_b2: sigma_b2.max(0.0), q })
}

/// The point with this bias variance and the smallest q; `None` when the critical line does not pass there.
pub fn at_bias(act: &Activation, sigma_b2: f64) -> Option<CriticalPoint> {
    let point = |q: f64| walk(act, q).map(|(sigma_w2, b)| (sigma_w2, b - sigma_b2));
    if let Some((sigma_w2, miss)) = point(1.0)
        && miss.abs() < ROUNDING
    {
        return Some(CriticalPoint { sigma_w2, sigma_b2, q: 1.0 });
    }
    let slope = act.shape.slopes_at_zero;
    if sigma_b2 == 0.0 && act.shape.at_zero == 0.0 && slope.0 == slope.1 && slope.0 != 0.0 {
        // q → 0: the activation is its tangent there.
        return Some(CriticalPoint { sigma_w2: slope.0.powi(-2), sigma_b2, q: 0.0 });
    }
    let (low, high) = bracket(grid(), |q| point(q).map(|p| p.1))?;
    let q = bisect(low, high, |q| point(q).map_or(f64::NAN, |p| p.1));
    walk(act, q).map(|(sigma_w2, _)| CriticalPoint { sigma_w2, sigma_b2, q })
}

/// The point at q = 1, else the one of smallest q > 1 that needs no negative bias variance.
pub fn nearest_to_unit_variance(act: &Activation) -> Option<CriticalPoint> {
    at_variance(act, 1.0).or_else(|| {
        let bias = |q: f64| walk(act, q).map(|w| w.1);
        let (low, high) = bracket(grid().filter(|q| *q >= 1.0), bias)?;
        let q = bisect(low, high, |q| bias(q).unwrap_or(f64::NAN));
        walk(act, q).map(|(sigma_w2, _)| CriticalPoint { sigma_w2, sigma_b2: 0.0, q })
    })
}

/// χ₁ = 1 at pre-activation variance `q` with biases of variance `sigma_b2`, which need not keep that variance.
pub fn with_bias_at(act: &Activation, sigma_b2: f64, q: f64) -> Option<CriticalPoint> {
    walk(act, q).map(|(sigma_w2, _)| CriticalPoint { sigma_w2, sigma_b2, q })
}

fn walk(act: &Activation, q: f64) -> Option<(f64, f64)> {
    let sigma_w2 = 1.0 / squared_slope(act, q);
    let sigma_b2 = q - sigma_w2 * second_moment(act, q);
    (sigma_w2.is_finite() && sigma_b2.is_finite()).then_some((sigma_w2, sigma_b2))
}

fn grid() -> impl Iterator<Item = f64> {
    (-160..=120).map(|k| 10f64.powf(f64::from(k) / 40.0))
}

/// The first two neighbours between which `f` changes sign.
fn bracket(points: impl Iterator<Item = f64>, f: impl Fn(f64) -> Option<f64>) -> Option<(f64, f64)> {
    let mut before: Option<(f64, f64)> = None;
    for q in points {
        let here = f(q).map(|value| (q, value));
        if let (Some((a, fa)), Some((b, fb))) = (before, here)
            && (fa < 0.0) != (fb < 0.0)
        {
            return Some((a, b));
        }
        before = here;
    }
    None
}

fn bisect(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let rising = f(low) < 0.0;
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if (f(middle) < 0.0) == rising {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}
