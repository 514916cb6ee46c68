//! What simulated stacks did over the plane, beside what theory has for the same layers of them.

use super::{Curves, Diagram, Map};
use crate::activation::Activation;
use serde::{Deserialize, Serialize};

/// The layers between which growth is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// 1-based.
    pub first: usize,
    /// The last of the stack.
    pub last: usize,
}

/// log₁₀ of factors on mean squares a layer over the plane, measured and expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Units a layer.
    pub width: usize,
    /// Samples.
    pub batch: usize,
    /// Stacks a point; what is given is their mean.
    pub trials: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Between which layers.
    pub window: Window,
    /// Decades a layer of the gradient, from the last layer of the window down to its first.
    pub gradient: Map,
    /// Decades a layer of the activations, from the first layer of the window up to its last.
    pub signal: Map,
    /// What theory has for the same layers.
    pub expected_gradient: Map,
    /// What theory expects of the signal over the same window.
    pub expected_signal: Map,
    /// Where the gradient is furthest from it.
    pub largest_gradient: Option<Deviation>,
    /// Where the signal is.
    pub largest_signal: Option<Deviation>,
}

/// A point of the plane, and the two numbers there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// n·Var(W).
    pub sigma_w2: f64,
    /// Var(b).
    pub sigma_b2: f64,
    /// log₁₀ a layer.
    pub measured: f64,
    /// log₁₀ a layer.
    pub expected: f64,
}

impl Measured {
    /// Lays theory beside maps that were measured over a diagram's plane with input of unit variance; the maps that stand
    /// in `self` are kept.
    pub fn beside(mut self, act: &Activation, diagram: &Diagram) -> Self {
        let top = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let curves = Curves::new(act, top(&diagram.sigma_w2) + top(&diagram.sigma_b2));
        let at = |w: f64, b: f64| expected(act, &curves, w, b, self.window);
        let both: Vec<Vec<(Option<f64>, Option<f64>)>> =
            diagram.sigma_b2.iter().map(|b| diagram.sigma_w2.iter().map(|w| at(*w, *b)).collect()).collect();
        self.expected_gradient = both.iter().map(|row| row.iter().map(|p| p.0).collect()).collect();
        self.expected_signal = both.iter().map(|row| row.iter().map(|p| p.1).collect()).collect();
        self.largest_gradient = largest(diagram, &self.gradient, &self.expected_gradient);
        self.largest_signal = largest(diagram, &self.signal, &self.expected_signal);
        self
    }
}

/// (gradient, signal) in decades a layer, by the length map from q₁ = σ_w² + σ_b² on.
fn expected(act: &Activation, curves: &Curves, w: f64, b: f64, window: Window) -> (Option<f64>, Option<f64>) {
    let (left, right) = act.shape.slopes_at_zero;
    let unit = f64::midpoint(left * left, right * right);
    let (low, high) = (Curves::q(0), Curves::q(curves.count() - 1));
    // Homogeneous: exact, and at any scale; tangents below the curves.
    let slopes = |q: f64| act.shape.homogeneous || (q < low && unit > 0.0 && act.shape.at_zero == 0.0);
    let square = |q: f64| if slopes(q) { unit * q } else { curves.square(q) };
    let steep = |q: f64| if slopes(q) { unit } else { curves.steep(q) };
    let mut q = w + b;
    let (mut flow, mut start) = (0.0, 0.0);
    for layer in 1..=window.last {
        if !slopes(q) && !(low..=high).contains(&q) {
            return (None, None);
        }
        if layer == window.first {
            start = square(q);
        }
        if (window.first..window.last).contains(&layer) {
            flow += (w * steep(q)).log10();
        }
        if layer < window.last {
            q = w * square(q) + b;
        }
    }
    let steps = (window.last - window.first) as f64;
    let finite = |x: f64| Some(x / steps).filter(|x| x.is_finite());
    (finite(flow), finite((square(q) / start).log10()))
}

fn largest(diagram: &Diagram, measured: &Map, expected: &Map) -> Option<Deviation> {
    let mut found: Option<Deviation> = None;
    let miss = |d: &Deviation| (d.measured - d.expected).abs();
    for (row, b) in diagram.sigma_b2.iter().enumerate() {
        for (column, w) in diagram.sigma_w2.iter().enumerate() {
            let pair = (measured.get(row)?.get(column)?, expected.get(row)?.get(column)?);
            if let (Some(measured), Some(expected)) = pair {
                let here = Deviation { sigma_w2: *w, sigma_b2: *b, measured: *measured, expected: *expected };
                if found.as_ref().is_none_or(|d| miss(&here) > miss(d)) {
                    found = Some(here);
                }
            }
        }
    }
    found
}
