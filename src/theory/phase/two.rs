//! Two samples of one variance at every correlation, by the cheapest way that keeps six digits: Hermite's series, summed once
//! for all correlations, or a double integral.

use crate::activation::Activation;
use crate::numeric::quadrature::nodes;
use std::f64::consts::PI;

/// Hermite orders that are always worth a try.
const ORDERS: usize = 512;
/// Orders of activations without kinks, whose series converge as fast as a geometric one in the end; up to this variance that end
/// is within reach.
const MOST: usize = 4096;
const REACHED: f64 = 400.0;
/// Widest panels in which polynomials of so many orders are integrated.
const PANEL: f64 = 0.6;
const NARROW: f64 = 0.2;
/// Beyond so many standard deviations nothing is left of a density.
const BOUND: f64 = 9.0;
/// Relative error of a sum that is good enough: near the critical line it counts ξ_c times.
const GOOD: f64 = 1e-8;
/// Distance of two roads to one moment, of which one is interpolated.
const AGREES: f64 = 1e-5;
/// Error of moments over the nodes of a double integral from which on it is said to resolve nothing.
const LOST: f64 = 1e-3;
/// Ends and step of integrals over two samples.
const REACH: f64 = 6.4;
const STEP: f64 = 0.1;
/// Standard deviation beyond which an activation that turns on the scale of one is narrow against the density.
const STRETCHED: f64 = 5.0;

/// E over two samples with variance q each.
pub struct Two<'a> {
    act: &'a Activation,
    q: f64,
    /// E φ² and E φ′².
    square: f64,
    steep: f64,
    series: Series,
}

/// Σ a_k² c^k = E ψψ, ψ = φ − φ(0), for k from 1 on (Mehler's formula).
struct Series {
    squares: Vec<f64>,
    /// Var ψ and q E φ′² (Σ k a_k²) that the orders leave out, by Parseval's identity.
    missed: (f64, f64),
    /// q E φ′².
    slopes: f64,
}

impl<'a> Two<'a> {
    /// `square` and `steep` are E φ² and E φ′² at variance q.
    pub fn new(act: &'a Activation, q: f64, square: f64, steep: f64) -> Self {
        let mut series = Series::new(act, q, ORDERS, PANEL);
        if act.shape.kinks.is_empty() && q <= REACHED && series.missed.1 > GOOD * series.slopes {
            series = Series::new(act, q, MOST, NARROW);
        }
        // Nodes that miss the slopes' own mean square say nothing of their products.
        if (series.slopes / q - steep).abs() > AGREES * steep {
            series.missed = (f64::INFINITY, f64::INFINITY);
        }
        Self { act, q, square, steep, series }
    }

    /// (1 − ρ)/(1 − c) and E φ′(u₁)φ′(u₂) at 1 − c = `delta` in [0, 1], ρ = E φ(u₁)φ(u₂)/E φ²; `None` where the activation turns
    /// too fast to be resolved.
    pub fn at(&self, delta: f64) -> Option<(f64, f64)> {
        let (square, steep) = (self.square, self.steep);
        if delta <= 0.0 {
            return Some((self.q * steep / square, steep));
        }
        if let Some((apart, slopes)) = self.series.at(delta) {
            return Some((apart / square, slopes / self.q));
        }
        self.integral(delta)
    }

    /// Given x, u = √q(√c·x + √(1 − c)·y) of the two samples are independent: E φ² − E φφ is the mean over x of the variance
    /// over y, which keeps its digits however small it is.
    fn integral(&self, delta: f64) -> Option<(f64, f64)> {
        let (common, own) = ((self.q * (1.0 - delta)).sqrt(), (self.q * delta).sqrt());
        let kinks = &self.act.shape.kinks;
        let even = (kinks.is_empty() && own <= STRETCHED).then(trapezoid);
        let outer = if kinks.is_empty() && self.q <= STRETCHED * STRETCHED {
            trapezoid()
        } else {
            outer(kinks, common, own)
        };
        let offset = self.act.shape.at_zero;
        let (mut apart, mut slopes, mut whole, mut whole_steep) = (0.0, 0.0, 0.0, 0.0);
        for (x, weight) in &outer {
            let shift = common * x;
            let graded: Vec<(f64, f64)>;
            let nodes = match &even {
                Some(nodes) => nodes,
                None => {
                    graded = inner(kinks, shift, own);
                    &graded
                }
            };
            let center = self.act.kernel.at(shift).0;
            let (mut mean, mut spread, mut slope, mut all, mut steep) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (y, part) in nodes {
                let (value, rise) = self.act.kernel.at(shift + own * y);
                let (psi, phi) = (value - center, value + offset);
                mean += part * psi;
                spread += part * psi * psi;
                slope += part * rise;
                all += part * phi * phi;
                steep += part * rise * rise;
            }
            apart += weight * (spread - mean * mean);
            slopes += weight * slope * slope;
            whole += weight * all;
            whole_steep += weight * steep;
        }
        let kept = |sum: f64, exact: f64| (sum - exact).abs() <= LOST * exact;
        (kept(whole, self.square) && kept(whole_steep, self.steep))
            .then_some((apart / (self.square * delta), slopes))
    }
}

impl Series {
    fn new(act: &Activation, q: f64, orders: usize, widest: f64) -> Self {
        let mut points = nodes(0.0, q, &act.shape.kinks, widest);
        points.retain(|(_, z, _)| z.abs() <= BOUND);
        let place: Vec<f64> = points.iter().map(|(_, z, _)| *z).collect();
        let (mut psi, mut square, mut slopes) = (Vec::with_capacity(points.len()), 0.0, 0.0);
        for (u, _, w) in &points {
            let (value, slope) = act.kernel.at(*u);
            square += w * value * value;
            slopes += w * slope * slope;
            psi.push(w * value);
        }
        slopes *= q;
        // Normalized Hermite polynomials of this order and the one before, at each node.
        let (mut here, mut before) = (vec![1.0; place.len()], vec![0.0; place.len()]);
        let mean = dot(&psi, &here);
        let mut missed = (square - mean * mean, slopes);
        let mut squares = vec![0.0];
        for k in 1..=orders {
            let (root, next) = (((k - 1) as f64).sqrt(), 1.0 / (k as f64).sqrt());
            for ((z, here), before) in place.iter().zip(&mut here).zip(&mut before) {
                (*here, *before) = ((z * *here - root * *before) * next, *here);
            }
            let a = dot(&psi, &here);
            missed.0 -= a * a;
            missed.1 -= k as f64 * a * a;
            squares.push(a * a);
            // An odd φ has no even orders.
            if k % 8 == 0 && missed.1 <= 1e-3 * GOOD * slopes {
                break;
            }
        }
        Self { squares, missed: (missed.0.max(0.0), missed.1.abs()), slopes }
    }

    /// Σ a_k² (1 − c^k)/(1 − c) and Σ k a_k² c^(k−1), where what is left out counts for nothing.
    fn at(&self, delta: f64) -> Option<(f64, f64)> {
        let c = 1.0 - delta;
        let (mut apart, mut slopes, mut sum, mut power) = (0.0, 0.0, 0.0, 1.0);
        for (k, square) in self.squares.iter().enumerate().skip(1) {
            sum = 1.0 + c * sum;
            apart += square * sum;
            slopes += k as f64 * square * power;
            power *= c;
        }
        // (1 − c^k)/(1 − c) is at most k, and at most 1/(1 − c).
        let left = self.missed.1.min(self.missed.0 / delta);
        let good =
            left <= GOOD * apart && self.missed.1 * power <= GOOD * slopes.abs().max(GOOD * self.slopes);
        good.then_some((apart, slopes))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Nodes and weights of ∫ Dz by the trapezoidal rule, exact beyond all powers of the step where all is smooth on the scale of
/// one, and z is stretched by no more than [`STRETCHED`].
fn trapezoid() -> Vec<(f64, f64)> {
    let count = (REACH / STEP) as i32;
    (-count..=count).map(|k| f64::from(k) * STEP).map(|z| (z, density(z) * STEP)).collect()
}

/// Nodes and weights of ∫ Dz in panels that end at `cuts`, none wider than `widest`.
fn panels(mut cuts: Vec<f64>, widest: f64) -> Vec<(f64, f64)> {
    // Gauss & Legendre, five points.
    const RULE: [(f64, f64); 5] = [
        (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
        (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
        (0.0, 0.568_888_888_888_888_9),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
        (0.906_179_845_938_664, 0.236_926_885_056_189_1),
    ];
    let count = (2.0 * REACH / widest).round() as i32;
    cuts.extend((0..=count).map(|k| f64::from(k) * widest - REACH));
    cuts.retain(|z| z.abs() <= REACH + 1e-9);
    cuts.sort_by(f64::total_cmp);
    let ends = cuts.windows(2).filter(|ends| ends[1] - ends[0] > 1e-12);
    ends.flat_map(|ends| {
        let (middle, half) = (f64::midpoint(ends[0], ends[1]), 0.5 * (ends[1] - ends[0]));
        RULE.map(|(x, w)| (middle + half * x, half * w * density(middle + half * x)))
    })
    .collect()
}

/// Distances from zero, in units of the scale on which something turns, at which panels end: twice as far each time.
fn doubling(scale: f64, reach: f64) -> impl Iterator<Item = f64> {
    let steps = (reach / scale).log2().ceil().clamp(0.0, 60.0) as i32;
    (-1..=steps).map(move |k| scale * 2f64.powi(k)).flat_map(|u| [u, -u]).chain([0.0])
}

/// Nodes over a sample's own part: panels end at the kinks, and about zero where the activation is narrow against it.
fn inner(kinks: &[f64], shift: f64, own: f64) -> Vec<(f64, f64)> {
    let mut ends: Vec<f64> = kinks.to_vec();
    if own > STRETCHED {
        ends.extend(doubling(1.0, shift.abs() + REACH * own));
    }
    ends.iter_mut().for_each(|u| *u = (*u - shift) / own);
    ends.retain(|y| y.abs() < REACH);
    if ends.is_empty() { trapezoid() } else { panels(ends, 0.8) }
}

/// Nodes over the common part: a kink is met within some widths of the own one.
fn outer(kinks: &[f64], common: f64, own: f64) -> Vec<(f64, f64)> {
    let common = common.max(1e-300);
    let near = |k: &f64| {
        let (at, width) = (k / common, own / common);
        [-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0].map(|step| at + step * width)
    };
    let mut ends: Vec<f64> = kinks.iter().flat_map(near).collect();
    if common > STRETCHED {
        ends.extend(doubling(own.max(1.0), REACH * common).map(|u| u / common));
    }
    ends.retain(|z| z.is_finite());
    panels(ends, if kinks.is_empty() { 0.8 } else { 0.4 })
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sin(ωx): E φφ = e^−a sinh(ac), a = ω²q. e^−x²: E φφ = ((1 + 2q)² − 4q²c²)^−½. Their moments are those at c = 1, their
    /// slopes dE φφ/dc over q.
    #[test]
    fn what_turns_fast_or_is_narrow_follows_its_closed_form() {
        let fast = |q: f64, c: f64| {
            let a = 400.0 * q;
            let (up, down) = ((a * (c - 1.0)).exp(), (-a * (c + 1.0)).exp());
            (0.5 * (up - down), 0.5 * a * (up + down) / q)
        };
        let narrow = |q: f64, c: f64| {
            let root = ((1.0 + 2.0 * q).powi(2) - 4.0 * q * q * c * c).powf(-0.5);
            (root, 4.0 * q * c * root.powi(3))
        };
        type Exact = fn(f64, f64) -> (f64, f64);
        let rows: [(&str, Exact, &[f64]); 2] = [
            ("sin(20*x)", fast, &[1e-3, 0.1, 1.0, 6.0]),
            ("exp(-x*x)", narrow, &[1e-3, 0.1, 6.0, 300.0, 1e4]),
        ];
        for (text, exact, qs) in rows {
            let act = Activation::parse(text).unwrap();
            for q in qs {
                let (square, steep) = exact(*q, 1.0);
                let two = Two::new(&act, *q, square, steep);
                for delta in [1e-4, 0.01, 0.3, 1.0] {
                    let (product, slope) = exact(*q, 1.0 - delta);
                    let apart = (1.0 - product / square) / delta;
                    let found = two.at(delta).unwrap();
                    // 1 − product/square loses what delta takes; slopes are compared against their size at c = 1.
                    let rounding = 1e-15 / delta;
                    assert!(
                        (found.0 / apart - 1.0).abs() < 1e-5 + rounding,
                        "{text} {q} {delta}: {found:?} {apart}"
                    );
                    assert!(
                        (found.1 - slope).abs() < 1e-5 * slope.abs() + 1e-9 * steep,
                        "{text} {q} {delta}: {found:?} {slope}"
                    );
                }
            }
        }
        // Beyond what any of the two roads resolves there is no number rather than a wrong one.
        let act = Activation::parse("sin(20*x)").unwrap();
        let (square, steep) = fast(1e4, 1.0);
        assert_eq!(Two::new(&act, 1e4, square, steep).at(0.5), None);
    }
}
