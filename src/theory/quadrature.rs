//! Gaussian expectations of an activation, exact across its kinks.

use crate::activation::Activation;
use std::f64::consts::PI;
use std::sync::OnceLock;

/// Nodes a panel. With panels at most one standard deviation wide, the error is that of rounding.
const NODES: usize = 20;
/// Beyond this many standard deviations the normal density is below 10⁻³².
const REACH: f64 = 12.0;

/// Nodes and weights of Gauss–Legendre quadrature on [−1, 1] (Newton's method on the Legendre recurrence).
fn legendre() -> &'static [(f64, f64); NODES] {
    static RULE: OnceLock<[(f64, f64); NODES]> = OnceLock::new();
    RULE.get_or_init(|| {
        std::array::from_fn(|i| {
            let mut x = (PI * (i as f64 + 0.75) / (NODES as f64 + 0.5)).cos();
            let mut slope = 0.0;
            for _ in 0..100 {
                let (mut p, mut before) = (1.0, 0.0);
                for k in 0..NODES {
                    let k = k as f64;
                    (p, before) = (((2.0 * k + 1.0) * x * p - k * before) / (k + 1.0), p);
                }
                slope = NODES as f64 * (x * p - before) / (x * x - 1.0);
                let step = p / slope;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        })
    })
}

/// `∫ Dz f(√q z)` with Dz the standard normal measure; `kinks` are the points at which f is not smooth.
pub fn expectation(f: impl Fn(f64) -> f64, q: f64, kinks: &[f64]) -> f64 {
    let scale = q.sqrt();
    if scale == 0.0 {
        return f(0.0);
    }
    let mut cuts: Vec<f64> = (-(REACH as i32)..=REACH as i32).map(f64::from).collect();
    cuts.extend(kinks.iter().map(|k| k / scale));
    // Activations change on the scale of one whatever q is.
    cuts.extend((-3..=7).flat_map(|k| [2f64.powi(k) / scale, -(2f64.powi(k)) / scale]));
    cuts.retain(|z| z.abs() <= REACH);
    cuts.sort_by(f64::total_cmp);
    let density = |z: f64| (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
    cuts.windows(2)
        .map(|ends| {
            let (middle, half) = (f64::midpoint(ends[0], ends[1]), 0.5 * (ends[1] - ends[0]));
            half * legendre()
                .iter()
                .map(|(x, w)| {
                    let z = middle + half * x;
                    w * density(z) * f(scale * z)
                })
                .sum::<f64>()
        })
        .sum()
}

/// E φ(z)², z ~ N(0, q): the length map without its gain (Poole et al. 2016, eq. 3).
pub fn second_moment(act: &Activation, q: f64) -> f64 {
    let at_zero = act.shape.at_zero;
    expectation(|z| (act.kernel.at(z).0 + at_zero).powi(2), q, &act.shape.kinks)
}

/// E φ′(z)², z ~ N(0, q): χ₁ without its gain (Schoenholz et al. 2017, eq. 5).
pub fn squared_slope(act: &Activation, q: f64) -> f64 {
    expectation(|z| act.kernel.at(z).1.powi(2), q, &act.shape.kinks)
}
