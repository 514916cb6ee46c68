//! The phase diagram of an activation over (σ_w², σ_b²) (Poole et al. 2016, fig. 1; Schoenholz et al. 2017, fig. 1): what
//! `initdiag phase` says in every format, schema `initdiag-phase/1`.

mod curves;
mod line;
mod measured;
mod named;
mod two;

pub use curves::{Angles, Curves, seconds};
pub use line::{grid, logarithmic, ranges, walk};
pub use measured::{Deviation, Measured, Window};
pub use named::{Place, Spot, points};
pub use two::Two;

use super::meanfield::Length;
use super::survey::Edge;
use crate::activation::Activation;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Name and version of the JSON schema.
pub const SCHEMA: &str = "initdiag-phase/1";

/// Slopes this close to one are one, to the interpolation's digits.
const ONE: f64 = 1e-9;

/// Numbers over the plane: a row for each σ_b², a column for each σ_w²; `None` where theory has none.
pub type Map = Vec<Vec<Option<f64>>>;

/// The diagram. All numbers are finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Diagram {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of initdiag that wrote it.
    pub version: String,
    /// The activation by its full name, or the expression as the user wrote it.
    pub act: String,
    /// Units of the layers that named initializers are placed for.
    pub width: usize,
    /// n·Var(W) of the columns.
    pub sigma_w2: Vec<f64>,
    /// Var(b) of the rows.
    pub sigma_b2: Vec<f64>,
    /// Variance that lengths settle at.
    pub q_star: Map,
    /// Factor on the gradient's mean square a layer: below 1 ordered, above 1 chaotic.
    pub chi1: Map,
    /// Depth scale of correlations, in layers; none where the approach is a power law, or every correlation is kept.
    pub xi_c: Map,
    /// Points whose ξ_c is left out because the activation turns too fast there for two samples to be integrated.
    #[serde(default, skip_serializing_if = "none")]
    pub unresolved: usize,
    /// Factor on the signal's mean square a layer in the end: 1 where lengths settle.
    pub growth: Map,
    /// χ₁ = 1 with a variance that is kept.
    pub critical_line: Vec<Edge>,
    /// Homogeneous activations: σ_w² with χ₁ = 1, whatever the biases; only without them is a variance kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkept_at: Option<f64>,
    /// A few points of the critical line in numbers.
    pub edges: Vec<Edge>,
    /// Named initializers, those of one point together.
    pub initializers: Vec<Place>,
    /// Initializers without a point, and why.
    pub left_out: Vec<Place>,
    /// The plane once more, from simulated stacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// What theory has at a point of the plane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Variance that lengths settle at.
    pub q_star: Option<f64>,
    /// χ₁.
    pub chi1: Option<f64>,
    /// Depth scale of correlations.
    pub xi_c: Option<f64>,
    /// Factor on the signal's mean square a layer.
    pub growth: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn none(count: &usize) -> bool {
    *count == 0
}

impl Diagram {
    /// Over the given columns and rows, both ascending and of at least two values.
    pub fn new(act: &Activation, sigma_w2: Vec<f64>, sigma_b2: Vec<f64>, width: usize) -> Self {
        Self::with(act, walk(act), sigma_w2, sigma_b2, width)
    }

    /// The same, where the critical line is known.
    pub fn with(
        act: &Activation,
        critical_line: Vec<Edge>,
        sigma_w2: Vec<f64>,
        sigma_b2: Vec<f64>,
        width: usize,
    ) -> Self {
        let top = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let (mut initializers, left_out) = named::places(act, width);
        let curves = Curves::new(act, (top(&sigma_w2) + top(&sigma_b2)).max(named::largest(&initializers)));
        named::judge_all(act, &curves, &mut initializers);
        let settled: Vec<Vec<(Length, Numbers)>> = sigma_b2
            .par_iter()
            .map(|b| sigma_w2.iter().map(|w| lengths(act, &curves, *w, *b)).collect())
            .collect();
        let (numbers, unresolved) = correlated(&curves, settled, &sigma_w2, &sigma_b2);
        let map = |of: fn(&Numbers) -> Option<f64>| {
            let finite = |n: &Numbers| of(n).filter(|x| x.is_finite());
            numbers.iter().map(|row| row.iter().map(finite).collect()).collect()
        };
        let range = (sigma_b2[0], top(&sigma_b2));
        Self {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            act: act.name.clone(),
            width,
            q_star: map(|n| n.q_star),
            chi1: map(|n| n.chi1),
            xi_c: map(|n| n.xi_c),
            unresolved,
            growth: map(|n| n.growth),
            unkept_at: line::unkept(act),
            edges: line::edges(act, &critical_line, range),
            critical_line,
            initializers,
            left_out,
            measured: None,
            sigma_w2,
            sigma_b2,
        }
    }
}

/// Where lengths go from q = σ_w² + σ_b², as [`super::meanfield::MeanField::destination`] has it, from the curves.
fn lengths(act: &Activation, curves: &Curves, sigma_w2: f64, sigma_b2: f64) -> (Length, Numbers) {
    let length = destination(act, curves, sigma_w2, sigma_b2);
    let (chi1, growth, q_star) = match length {
        Length::Point { q, .. } => (sigma_w2 * curves.steep(q), 1.0, Some(q)),
        Length::Zero { factor } => (factor, factor, None),
        Length::Diverges { factor } => match curves.limit {
            _ if act.shape.homogeneous => (factor, factor, None),
            Some(limit) => (sigma_w2 * limit.1, factor, None),
            None => return (length, Numbers::default()),
        },
        Length::Every => (1.0, 1.0, None),
        Length::Cycle | Length::Unknown => return (length, Numbers::default()),
    };
    (length, Numbers { q_star, chi1: Some(chi1), xi_c: None, growth: Some(growth) })
}

fn destination(act: &Activation, curves: &Curves, sigma_w2: f64, sigma_b2: f64) -> Length {
    let (left, right) = act.shape.slopes_at_zero;
    let near_zero = sigma_w2 * f64::midpoint(left * left, right * right);
    if act.shape.homogeneous {
        return match near_zero {
            x if (x - 1.0).abs() <= ONE && sigma_b2 == 0.0 => Length::Every,
            x if x >= 1.0 - ONE => Length::Diverges { factor: x.max(1.0) },
            x if sigma_b2 == 0.0 => Length::Zero { factor: x },
            x => Length::Point { q: sigma_b2 / (1.0 - x), slope: x },
        };
    }
    let rise = |q: f64| sigma_w2 * curves.square(q) + sigma_b2 - q;
    let start = sigma_w2 + sigma_b2;
    if start == 0.0 {
        return Length::Zero { factor: near_zero };
    }
    let first = rise(start);
    let up = first > 0.0;
    let mut from = start;
    let last = curves.count() - 1;
    let index = Curves::index(start).clamp(0.0, last as f64);
    let mut k = if up { index.ceil() as usize } else { index.floor() as usize };
    loop {
        let next = Curves::q(k);
        let here = rise(next);
        if first.is_nan() || here.is_nan() {
            return Length::Unknown;
        }
        if (here > 0.0) != up || here == 0.0 {
            return settled(curves, sigma_w2, from.min(next), from.max(next), rise);
        }
        from = next;
        match (up, k) {
            (true, k) if k >= last => {
                let factor = curves.limit.map_or(f64::INFINITY, |limit| sigma_w2 * limit.0);
                return Length::Diverges { factor };
            }
            (false, 0) if sigma_b2 > 0.0 => {
                return Length::Point { q: sigma_b2, slope: 0.0 };
            }
            (false, 0) => return Length::Zero { factor: near_zero },
            _ => k = if up { k + 1 } else { k - 1 },
        }
    }
}

fn settled(curves: &Curves, sigma_w2: f64, low: f64, high: f64, rise: impl Fn(f64) -> f64) -> Length {
    let (mut low, mut high) = (low, high);
    for _ in 0..48 {
        let middle = f64::midpoint(low, high);
        if rise(middle) > 0.0 { low = middle } else { high = middle }
    }
    let q = f64::midpoint(low, high);
    match sigma_w2 * curves.growth(q) * curves.square(q) / q {
        slope if slope < -1.0 => Length::Cycle,
        slope => Length::Point { q, slope },
    }
}

/// ξ_c where lengths settle; elsewhere the correlation map has slope 1 at 1 or is the identity. Points that are not resolved are
/// counted.
fn correlated(
    curves: &Curves,
    settled: Vec<Vec<(Length, Numbers)>>,
    sigma_w2: &[f64],
    sigma_b2: &[f64],
) -> (Vec<Vec<Numbers>>, usize) {
    let chaotic = |(_, n): &(Length, Numbers)| n.q_star.filter(|_| n.chi1.is_some_and(|chi| chi > 1.0));
    let angles = curves.angles(settled.iter().flatten().filter_map(chaotic));
    let unresolved = AtomicUsize::new(0);
    let scale = |slope: f64| match slope.abs() {
        x if (x - 1.0).abs() <= ONE || x < 1e-300 || x.is_nan() => None,
        x => Some(-1.0 / x.ln()),
    };
    let at = |(_, n): (Length, Numbers), w: f64, b: f64| {
        let (Some(q), Some(chi)) = (n.q_star, n.chi1) else { return n };
        let mut slope = Some(chi);
        if chi > 1.0 {
            slope = angles.fixed_point(curves, q, w, b).map(|(_, slope)| slope);
            unresolved.fetch_add(usize::from(slope.is_none()), Ordering::Relaxed);
        }
        Numbers { xi_c: slope.and_then(scale).filter(|x| *x > 0.0), ..n }
    };
    let numbers = settled
        .into_par_iter()
        .zip(sigma_b2)
        .map(|(row, b)| row.into_iter().zip(sigma_w2).map(|(n, w)| at(n, *w, *b)).collect())
        .collect();
    (numbers, unresolved.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::meanfield::MeanField;

    #[test]
    fn the_plane_agrees_with_each_point_for_itself() {
        for name in ["tanh", "gelu", "selu", "sigmoid", "relu", "x*sigmoid(1.702*x)"] {
            let act = Activation::parse(name).unwrap();
            let (w, b) = ranges(&act, &walk(&act));
            let diagram =
                Diagram::new(&act, grid((0.1 * w.1, 0.93 * w.1), 3), grid((0.0, 0.97 * b.1), 3), 512);
            for (row, sigma_b2) in diagram.sigma_b2.iter().enumerate() {
                for (column, sigma_w2) in diagram.sigma_w2.iter().enumerate() {
                    let s = MeanField { act: &act, sigma_w2: *sigma_w2, sigma_b2: *sigma_b2 }.summary();
                    let close = |map: &Map, exact: Option<f64>, tolerance: f64, what: &str| {
                        let place = format!("{name} {sigma_w2} {sigma_b2} {what}");
                        match (map[row][column], exact) {
                            (Some(a), Some(b)) => {
                                assert!((a - b).abs() <= tolerance * b.abs().max(1e-9), "{place}: {a} {b}");
                            }
                            (a, b) => assert_eq!(a.is_some(), b.is_some(), "{place}"),
                        }
                    };
                    close(&diagram.q_star, s.q_star.ok(), 1e-4, "q*");
                    close(&diagram.chi1, s.chi1.ok(), 1e-4, "χ₁");
                    if s.chi1.is_ok_and(|chi| (chi - 1.0).abs() > 1e-3) && s.q_star.is_ok() {
                        close(&diagram.xi_c, s.xi_c.ok(), 0.01, "ξ_c");
                    }
                }
            }
        }
    }

    #[test]
    fn odd_activations_have_a_plane_of_finite_numbers() {
        for name in ["0*x", "x*x", "abs(x)", "exp(-x*x)", "max(x, 0.3)", "sqrt(abs(x))", "softplus"] {
            let act = Activation::parse(name).unwrap();
            let (w, b) = ranges(&act, &walk(&act));
            assert!(w.1 > w.0 && b.1 > b.0 && w.1.is_finite() && b.1.is_finite(), "{name}");
            let diagram = Diagram::new(&act, grid(w, 3), grid(b, 3), 64);
            let text = serde_json::to_string(&diagram).unwrap();
            let again: Diagram = serde_json::from_str(&text).unwrap();
            assert_eq!(again.chi1.len(), 3, "{name}");
        }
    }
}
