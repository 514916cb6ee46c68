//! The edge of chaos: where χ₁ = σ_w² E φ′² = 1 (Schoenholz et al. 2017).

use super::field::{Field, Form, pass};
use super::{second_moment_estimate, squared_slope_estimate};
use crate::activation::Activation;
use crate::numeric::quadrature::Estimate;
use rayon::prelude::*;

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
    // The difference of two like numbers: what rounding leaves of it is no bias.
    let sigma_b2 = if sigma_b2.abs() <= ROUNDING * q { 0.0 } else { sigma_b2 };
    (sigma_b2 >= 0.0).then_some(CriticalPoint { sigma_w2, sigma_b2, q })
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

/// The half-stable point of smallest q: χ₁ = 1 where the length map touches its diagonal too, so that lengths are kept to
/// first order from below or above (Roberts, Yaida & Hanin 2022, § 5.3: GELU, SiLU). `None` where there is none at a q
/// between 10⁻⁴ and 10³, or only with a negative σ_b².
pub fn half_stable(act: &Activation) -> Option<CriticalPoint> {
    if act.shape.homogeneous {
        return None;
    }
    // d log E φ²/d log q · E φ²/q is E φ′² + E φφ″, so both slopes are one where it comes to E φ′² alone.
    let excess = |q: f64| {
        let p = pass(act, Field { own: q, ..Field::default() }, Form::Itself);
        let excess = p.growth * p.square / q - p.squared_slope;
        // Below the error of the integrals there is no sign.
        let floor = 1e-12 * p.squared_slope + p.error * (p.square / q + p.squared_slope);
        (excess.abs() > floor).then_some(excess)
    };
    let points: Vec<(f64, Option<f64>)> = grid()
        .collect::<Vec<_>>()
        .into_par_iter()
        .filter(|q| (1e-4..=1e3).contains(q))
        .map(|q| (q, excess(q)))
        .collect();
    points.windows(2).find_map(|ends| {
        let turns = ends[0].1.zip(ends[1].1).is_some_and(|(a, b)| (a < 0.0) != (b < 0.0));
        let q = turns.then(|| bisect(ends[0].0, ends[1].0, |q| excess(q).unwrap_or(0.0)))?;
        at_variance(act, q)
    })
}

fn walk(act: &Activation, q: f64) -> Option<(f64, f64)> {
    // What is not resolved costs most: the second integral is not begun where the first is none.
    let resolved = |e: Estimate| e.is_resolved().then_some(e);
    let slope = resolved(squared_slope_estimate(act, q))?;
    let square = resolved(second_moment_estimate(act, q))?;
    let sigma_w2 = 1.0 / slope.value;
    let sigma_b2 = q - sigma_w2 * square.value;
    (sigma_w2.is_finite() && sigma_b2.is_finite()).then_some((sigma_w2, sigma_b2))
}

fn grid() -> impl Iterator<Item = f64> {
    (-160..=120).map(|k| 10f64.powf(f64::from(k) / 40.0))
}

/// Neighbors beyond q = 1 without a value, a fifth of a decade of q: φ turns too fast for its scale there, and for larger ones too.
const VAIN: usize = 8;

/// The first two neighbors between which `f` changes sign.
fn bracket(points: impl Iterator<Item = f64>, f: impl Fn(f64) -> Option<f64>) -> Option<(f64, f64)> {
    let mut before: Option<(f64, f64)> = None;
    let mut vain = 0;
    for q in points {
        let here = f(q).map(|value| (q, value));
        vain = if here.is_none() && q >= 1.0 { vain + 1 } else { 0 };
        if vain == VAIN {
            return None;
        }
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
        if middle <= low || middle >= high {
            break;
        }
        if (f(middle) < 0.0) == rising {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectation::{second_moment, squared_slope};

    fn act(text: &str) -> Activation {
        Activation::parse(text).unwrap()
    }

    fn close(value: f64, printed: f64, half_digit: f64) {
        assert!((value - printed).abs() <= half_digit, "{value} is not {printed}");
    }

    /// SCIENCE 5.1, first table.
    #[test]
    fn moments_and_critical_points_at_unit_variance() {
        for (name, square, slope, sigma_w2, sigma_b2) in [
            ("relu", 0.5, 0.5, 2.0, 0.0),
            ("tanh", 0.394_294, 0.464_403, 2.153_303, 0.150_965),
            ("erf", 0.464_559, 0.569_410, 1.756_204, 0.184_140),
            ("gelu", 0.425_221, 0.455_851, 2.193_700, 0.067_192),
            ("silu", 0.355_776, 0.379_482, 2.635_169, 0.062_472),
            ("elu", 0.644_945, 0.668_102, 1.496_777, 0.034_660),
            ("selu", 1.0, 1.071_575, 0.933_206, 0.066_794),
        ] {
            let act = act(name);
            close(second_moment(&act, 1.0), square, 5.1e-7);
            close(squared_slope(&act, 1.0), slope, 5.1e-7);
            let point = at_variance(&act, 1.0).unwrap();
            close(point.sigma_w2, sigma_w2, 5.1e-7);
            close(point.sigma_b2, sigma_b2, 5.1e-7);
        }
        let sigmoid = act("sigmoid");
        close(second_moment(&sigmoid, 1.0), 0.293_379, 5.1e-7);
        close(squared_slope(&sigmoid, 1.0), 0.044_836, 5.1e-7);
        close(1.0 / squared_slope(&sigmoid, 1.0), 22.303, 5.1e-4);
        assert_eq!(at_variance(&sigmoid, 1.0), None);
    }

    #[test]
    fn edges_of_chaos() {
        for (name, sigma_b2, q, sigma_w2) in [
            ("tanh", 0.05, 0.570_048, 1.760_955),
            ("tanh", 0.3, 1.461_169, 2.505_127),
            ("hard-tanh", 0.05, 0.463_864, 1.165_545),
        ] {
            let point = at_bias(&act(name), sigma_b2).unwrap();
            close(point.q, q, 5.1e-7);
            close(point.sigma_w2, sigma_w2, 5.1e-7);
        }
        close(at_bias(&act("tanh"), 0.0).unwrap().sigma_w2, 1.0, 0.0);
        // ReLU only at (2, 0), at every q.
        for q in [0.01, 1.0, 300.0] {
            let point = at_variance(&act("relu"), q).unwrap();
            assert!((point.sigma_w2 - 2.0).abs() < 1e-11 && point.sigma_b2 < 1e-11 * q);
        }
    }

    #[test]
    fn first_legal_points() {
        let point = nearest_to_unit_variance(&act("sigmoid")).unwrap();
        close(point.sigma_w2, 103.0076, 5.1e-5);
        close(point.q, 45.62, 5.1e-3);
        assert_eq!(point.sigma_b2, 0.0);
        assert_eq!(nearest_to_unit_variance(&act("softplus")), None);
    }

    #[test]
    fn half_stable_points() {
        for (name, sigma_w2, sigma_b2, q) in
            [("gelu", 1.983_058_26, 0.172_922_39, 3.561_55), ("silu", 1.988_004_68, 0.555_143_17, 14.320_17)]
        {
            let point = half_stable(&act(name)).unwrap();
            close(point.sigma_w2, sigma_w2, 5.1e-9);
            close(point.sigma_b2, sigma_b2, 5.1e-9);
            close(point.q, q, 5.1e-6);
        }
        for name in ["relu", "linear", "tanh", "sigmoid", "softplus", "erf"] {
            assert_eq!(half_stable(&act(name)), None, "{name}");
        }
    }
}
