//! Moments of an activation along q, integrated once and interpolated: a plane of thousands of points asks for the same ones.

use super::two::Two;
use crate::activation::Activation;
use crate::expectation::field::{Field, Form, pass};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::f64::consts::LN_10;
use std::hint::black_box;
use std::ops::RangeInclusive;
use std::time::Instant;

/// Nodes a decade of q.
const DENSITY: f64 = 20.0;
/// Decades of q below one.
const BELOW: i32 = 8;
/// Decades of q above the largest that a plane begins with.
const ABOVE: i32 = 6;
/// Decades of q in which a few integrals tell what all of them take.
const PROBED: RangeInclusive<i32> = -3..=5;
/// Integrals of a whole diagram: the nodes of its curves, its critical line and the search for a half-stable point.
const INTEGRALS: f64 = 800.0;
/// Where an activation is its asymptotes.
const FAR: f64 = 1e30;
/// Correlations a node: (1 − c)^¼ at equal distances, which is dense where steep activations turn, and in which kinks are
/// smooth.
const ANGLES: usize = 24;
/// 1 − c is this power of the place.
const POWER: i32 = 4;

/// Seconds that a diagram's integrals take on so many threads, by a few of them; of an activation that turns fast, some hundred times
/// what others take.
pub fn seconds(act: &Activation, threads: usize) -> f64 {
    let started = Instant::now();
    PROBED.for_each(|decade| {
        black_box(pass(act, own(10f64.powi(decade)), Form::Itself));
    });
    let one = started.elapsed().as_secs_f64() / PROBED.count() as f64;
    INTEGRALS * one / threads.max(1) as f64
}

/// E φ² and E φ′² along q.
pub struct Curves<'a> {
    act: &'a Activation,
    nodes: Vec<Node>,
    /// (E φ²/q, E φ′²) in the limit of large q; `None` where they have none, as of z².
    pub limit: Option<(f64, f64)>,
}

#[derive(Clone, Copy)]
struct Node {
    square: Slope,
    steep: Slope,
}

/// ln of a moment, and its derivative by ln q.
#[derive(Clone, Copy)]
struct Slope {
    value: f64,
    rise: f64,
}

fn own(q: f64) -> Field {
    Field { own: q, ..Field::default() }
}

impl<'a> Curves<'a> {
    /// For planes whose lengths begin at up to `largest`.
    pub fn new(act: &'a Activation, largest: f64) -> Self {
        let top = largest.max(1.0).log10().ceil() as i32 + ABOVE;
        let last = f64::from(BELOW + top) * DENSITY;
        let node = |k: usize| {
            let p = pass(act, own(place(k as f64)), Form::Itself);
            Node {
                square: Slope { value: p.square.ln(), rise: p.growth },
                steep: Slope { value: p.squared_slope.ln(), rise: p.slope_growth },
            }
        };
        let nodes = (0..=last as usize).into_par_iter().map(node).collect();
        let at = |q: f64| {
            let p = pass(act, own(q), Form::Itself);
            (p.square / q, p.squared_slope)
        };
        let (far, before) = (at(FAR), at(0.01 * FAR));
        let settled = (far.0 - before.0).abs() <= 0.1 * before.0 && far.1.is_finite();
        Self { act, nodes, limit: settled.then_some(far) }
    }

    /// Nodes of q, ascending.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// q of a node.
    pub fn q(k: usize) -> f64 {
        place(k as f64)
    }

    /// The place of q among the nodes.
    pub fn index(q: f64) -> f64 {
        (q.log10() + f64::from(BELOW)) * DENSITY
    }

    /// E φ²; NaN where it is not finite. Cubic in ln q with the integrated derivatives.
    pub fn square(&self, q: f64) -> f64 {
        self.at(q, |n| n.square)
    }

    /// E φ′², likewise.
    pub fn steep(&self, q: f64) -> f64 {
        self.at(q, |n| n.steep)
    }

    fn at(&self, q: f64, of: fn(&Node) -> Slope) -> f64 {
        let place = Self::index(q).clamp(0.0, (self.nodes.len() - 1) as f64);
        let k = (place as usize).min(self.nodes.len() - 2);
        let (a, b, t) = (of(&self.nodes[k]), of(&self.nodes[k + 1]), place - k as f64);
        if a.value == f64::NEG_INFINITY || b.value == f64::NEG_INFINITY {
            return 0.0;
        }
        let h = LN_10 / DENSITY;
        let (s, u) = (t * t * (3.0 - 2.0 * t), 1.0 - t);
        let value = (1.0 - s) * a.value + s * b.value + h * t * u * (u * a.rise - t * b.rise);
        value.exp()
    }

    /// d log E φ²/d log q.
    pub fn growth(&self, q: f64) -> f64 {
        let place = Self::index(q).clamp(0.0, (self.nodes.len() - 1) as f64);
        let k = (place as usize).min(self.nodes.len() - 2);
        let t = place - k as f64;
        (1.0 - t) * self.nodes[k].square.rise + t * self.nodes[k + 1].square.rise
    }

    /// Two samples of variance q.
    pub fn two(&self, q: f64) -> Two<'a> {
        Two::new(self.act, q, self.square(q), self.steep(q))
    }

    /// c* and the slope of the correlation map there, where χ₁ > 1 and the length map keeps `q`: of one point, without tables.
    pub fn fixed_point(&self, q: f64, sigma_w2: f64, sigma_b2: f64) -> Option<(f64, f64)> {
        let target = 1.0 / (1.0 - sigma_b2 / q);
        let delta = |x: f64| x.powi(POWER);
        let two = self.two(q);
        // What is not resolved at one angle costs as much at each of the others.
        let above = |x: f64| two.at(delta(x)).map(|(apart, _)| apart > target);
        let (mut low, mut high) = (0.0, 1.0);
        if above(1.0)? {
            low = 1.0;
        }
        for _ in 0..24 {
            let middle = f64::midpoint(low, high);
            if above(middle)? { low = middle } else { high = middle }
        }
        let delta = delta(f64::midpoint(low, high));
        let slope = sigma_w2 * two.at(delta)?.1;
        slope.is_finite().then_some((1.0 - delta, slope))
    }

    /// Tables over two samples for these q.
    pub fn angles(&self, qs: impl Iterator<Item = f64>) -> Angles {
        let rows: BTreeSet<usize> = qs
            .flat_map(|q| (0..4).map(move |k| (q, k)))
            .filter_map(|(q, k)| Some(self.base(q)? + k))
            .collect();
        let rows: Vec<usize> = rows.into_iter().collect();
        Angles { table: rows.into_par_iter().map(|k| (k, self.angle(Self::q(k)))).collect() }
    }

    /// The first of the four nodes that q is interpolated between.
    fn base(&self, q: f64) -> Option<usize> {
        let place = Self::index(q);
        place
            .is_finite()
            .then(|| (place.floor() as usize).saturating_sub(1).min(self.count().saturating_sub(4)))
    }

    /// NaN where two samples are not resolved.
    fn angle(&self, q: f64) -> Vec<(f64, f64)> {
        let two = self.two(q);
        let mut found = vec![(f64::NAN, f64::NAN); ANGLES + 1];
        // The first that is not resolved ends it: each of the others would cost as much.
        for k in (0..=ANGLES).rev() {
            let Some(at) = two.at((k as f64 / ANGLES as f64).powi(POWER)) else { break };
            found[k] = at;
        }
        found
    }
}

fn place(k: f64) -> f64 {
    10f64.powf(k / DENSITY - f64::from(BELOW))
}

/// (1 − ρ)/(1 − c) and E φ′(u₁)φ′(u₂) over q and c, ρ = E φ(u₁)φ(u₂)/E φ².
pub struct Angles {
    /// By node of q.
    table: HashMap<usize, Vec<(f64, f64)>>,
}

impl Angles {
    /// c* and σ_w² E φ′(u₁)φ′(u₂) there, the slope of the correlation map, where χ₁ > 1 and the length map keeps `q`.
    ///
    /// 1 − c* = (1 − σ_b²/q)(1 − ρ(c*)): no map is iterated, for (1 − ρ)/(1 − c) falls as c does.
    pub fn fixed_point(&self, curves: &Curves, q: f64, sigma_w2: f64, sigma_b2: f64) -> Option<(f64, f64)> {
        let base = curves.base(q)?;
        let weights = cubic(Curves::index(q) - base as f64);
        let rows: Vec<&Vec<(f64, f64)>> = (base..base + 4).filter_map(|k| self.table.get(&k)).collect();
        let at = |k: usize| {
            let (mut s, mut slope) = (0.0, 0.0);
            for (w, row) in weights.iter().zip(&rows) {
                s += w * row[k].0;
                slope += w * row[k].1;
            }
            (s, slope)
        };
        if rows.len() < weights.len() {
            return None;
        }
        let column: Vec<(f64, f64)> = (0..=ANGLES).map(at).collect();
        let target = 1.0 / (1.0 - sigma_b2 / q);
        let between = |x: f64, of: fn(&(f64, f64)) -> f64| {
            let base = (x.floor() as usize).saturating_sub(1).min(ANGLES - 3);
            let weights = cubic(x - base as f64);
            weights.iter().zip(&column[base..]).map(|(w, c)| w * of(c)).sum::<f64>()
        };
        let excess = |x: f64| between(x, |c| c.0) - target;
        let (mut low, mut high) = (0.0, ANGLES as f64);
        // An odd φ without biases parts samples all the way.
        if excess(high) > 0.0 {
            low = high;
        }
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if excess(middle) > 0.0 { low = middle } else { high = middle }
        }
        let x = f64::midpoint(low, high);
        let slope = sigma_w2 * between(x, |c| c.1);
        let c = 1.0 - (x / ANGLES as f64).powi(POWER);
        (c.is_finite() && slope.is_finite()).then_some((c, slope))
    }
}

/// Lagrange weights at `t` of four points at 0, 1, 2, 3.
fn cubic(t: f64) -> [f64; 4] {
    let (a, b, c) = (t - 1.0, t - 2.0, t - 3.0);
    [-a * b * c / 6.0, t * b * c / 2.0, -t * a * c / 2.0, t * a * b / 6.0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectation::pair::Pair;
    use crate::expectation::{second_moment, squared_slope};

    #[test]
    fn two_samples_are_those_of_the_double_integral() {
        for name in ["tanh", "selu", "hard-tanh", "sigmoid"] {
            let act = Activation::parse(name).unwrap();
            let curves = Curves::new(&act, 10.0);
            for q in [0.3, 2.0, 150.0] {
                let p = pass(&act, own(q), Form::Itself);
                let mut pair = Pair::new(&act, own(q), Form::Itself, &p);
                for delta in [1e-3, 0.1, 1.0] {
                    let exact = pair.at(1.0 - delta);
                    let apart = (1.0 - exact.phi.value / p.square) / delta;
                    let found = curves.two(q).at(delta).unwrap();
                    // What interpolation of E φ² costs; where φ is steep, what the step does.
                    let tolerance = if q < 10.0 { 1e-5 } else { 1e-3 };
                    assert!(
                        (found.0 / apart - 1.0).abs() < tolerance,
                        "{name} {q} {delta}: {found:?} {apart}"
                    );
                    assert!((found.1 / exact.slope.value - 1.0).abs() < tolerance, "{name} {q} {delta}");
                }
            }
        }
    }

    #[test]
    fn between_nodes_moments_keep_six_digits() {
        for name in ["tanh", "hard-tanh", "gelu", "sigmoid", "x*sigmoid(1.702*x)"] {
            let act = Activation::parse(name).unwrap();
            let curves = Curves::new(&act, 10.0);
            for q in [1.3e-7, 0.000_37, 0.0123, 0.77, 1.0, 4.4, 93.0, 2.2e5] {
                let (m, s) = (second_moment(&act, q), squared_slope(&act, q));
                assert!((curves.square(q) / m - 1.0).abs() < 2e-6, "{name} {q}");
                assert!((curves.steep(q) / s - 1.0).abs() < 2e-6, "{name} {q}");
            }
        }
    }
}
