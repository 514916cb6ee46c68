//! The critical line as a curve, and the part of the plane in which it is worth seeing.

use crate::activation::Activation;
use crate::expectation::critical;
use crate::expectation::{second_moment, squared_slope};
use crate::theory::survey::Edge;
use rayon::prelude::*;

/// Points of q a decade along the line.
const DENSITY: i32 = 24;
/// Decades of q that the line is walked through, about one.
const REACH: (i32, i32) = (-4, 5);

/// The critical line by ascending q, as far as no bias variance is negative; one point for a homogeneous activation.
pub fn walk(act: &Activation) -> Vec<Edge> {
    let edge =
        |p: critical::CriticalPoint, q_star| Edge { sigma_w2: p.sigma_w2, sigma_b2: p.sigma_b2, q_star };
    if act.shape.homogeneous {
        return critical::at_variance(act, 1.0).map(|p| edge(p, None)).into_iter().collect();
    }
    let (low, high) = (REACH.0 * DENSITY, REACH.1 * DENSITY);
    let at = |k: i32| critical::at_variance(act, 10f64.powf(f64::from(k) / f64::from(DENSITY)));
    let mut points: Vec<Edge> =
        (low..=high).into_par_iter().filter_map(at).map(|p| edge(p, Some(p.q))).collect();
    // Where it begins: without biases, at q = 0 or further out.
    if let Some(start) = critical::at_bias(act, 0.0)
        && points.first().is_some_and(|p| p.q_star > Some(start.q))
    {
        points.insert(0, edge(start, Some(start.q)));
    }
    points.retain(|p| p.sigma_w2.is_finite() && p.sigma_b2.is_finite());
    points
}

/// σ_w² at which χ₁ = 1 for every bias, of a homogeneous activation.
pub fn unkept(act: &Activation) -> Option<f64> {
    let (left, right) = act.shape.slopes_at_zero;
    let mean = f64::midpoint(left * left, right * right);
    (act.shape.homogeneous && mean > 0.0).then(|| 1.0 / mean)
}

/// Points of a walked line at round bias variances within a range, for a table.
pub fn edges(act: &Activation, line: &[Edge], range: (f64, f64)) -> Vec<Edge> {
    if act.shape.homogeneous {
        return line.iter().filter(|p| (range.0..=range.1).contains(&p.sigma_b2)).copied().collect();
    }
    let rounds = [0.0, 0.01, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];
    let within: Vec<f64> = rounds.into_iter().filter(|b| (range.0..=range.1).contains(b)).collect();
    within.into_par_iter().flat_map_iter(|b| crossings(act, line, b)).collect()
}

/// Every point of the line at a bias variance, by ascending q.
fn crossings(act: &Activation, line: &[Edge], sigma_b2: f64) -> Vec<Edge> {
    let first = line.first().filter(|p| sigma_b2 == 0.0 && p.sigma_b2 == 0.0);
    let mut found: Vec<Edge> = first.copied().into_iter().collect();
    for ends in line.windows(2) {
        let rising = ends[0].sigma_b2 < sigma_b2;
        let (Some(low), Some(high)) = (ends[0].q_star, ends[1].q_star) else { continue };
        if rising == (ends[1].sigma_b2 < sigma_b2) || low <= 0.0 || ends[0].sigma_b2 == sigma_b2 {
            continue;
        }
        let (mut low, mut high) = (low, high);
        for _ in 0..44 {
            let middle = (low * high).sqrt();
            let below = critical::at_variance(act, middle).is_none_or(|p| p.sigma_b2 < sigma_b2);
            if below == rising { low = middle } else { high = middle }
        }
        if let Some(p) = critical::at_variance(act, (low * high).sqrt()) {
            found.push(Edge { sigma_w2: p.sigma_w2, sigma_b2, q_star: Some(p.q) });
        }
    }
    found
}

/// Ranges of σ_w² and σ_b² with the critical line inside, round numbers: twice as far as its point at q = 1, or the first
/// legal one beyond; where there is none, twice as far as gradients at q = 1 would be kept.
pub fn ranges(act: &Activation, line: &[Edge]) -> ((f64, f64), (f64, f64)) {
    let point = critical::nearest_to_unit_variance(act);
    let weight = match point {
        Some(p) => p.sigma_w2,
        None => {
            let kept = (1.0 / squared_slope(act, 1.0)).min(1.0 / second_moment(act, 1.0));
            if kept.is_finite() && kept > 0.0 { kept } else { 1.0 }
        }
    };
    let width = round_up(2.0 * weight).clamp(1e-6, 1e6);
    // GELU's line goes on for ever at nearly one σ_w²: its half-stable point is the last of interest.
    let last = point.map_or(4.0, |p| 4.0 * p.q.max(1.0));
    let last = critical::half_stable(act).map_or(last, |p| last.max(2.0 * p.q));
    let seen = |p: &&Edge| p.sigma_w2 <= 0.75 * width && p.q_star.is_none_or(|q| q <= last);
    let highest = line.iter().filter(seen).map(|p| p.sigma_b2).fold(0.0, f64::max);
    let height = if highest > 0.01 * weight.min(1.0) { round_up(1.3 * highest) } else { 0.5 };
    ((0.0, width), (0.0, height.clamp(1e-6, 1e6)))
}

/// `count` (at least 2) values over a range, at equal distances; at equal ratios where it spans decades.
pub fn grid((low, high): (f64, f64), count: usize) -> Vec<f64> {
    let last = count.max(2) - 1;
    let share = |k: usize| k as f64 / last as f64;
    let value = |k: usize| match k {
        0 => low,
        k if k == last => high,
        k if logarithmic(&[low, high]) => low * (high / low).powf(share(k)),
        k => low + share(k) * (high - low),
    };
    (0..=last).map(value).collect()
}

/// Whether the ends of a range are so far apart that it is seen in logarithms.
pub fn logarithmic(values: &[f64]) -> bool {
    matches!((values.first(), values.last()), (Some(low), Some(high)) if *low > 0.0 && *high >= 100.0 * low)
}

/// The next number with one digit and a half.
fn round_up(x: f64) -> f64 {
    let decade = 10f64.powf(x.log10().floor());
    let steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|s| s * decade).find(|s| *s >= x * (1.0 - 1e-9)).unwrap_or(10.0 * decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_lies_inside_the_default_ranges() {
        for (name, at_least) in [
            ("relu", 1),
            ("tanh", 20),
            ("gelu", 20),
            ("sigmoid", 3),
            ("silu", 20),
            ("elu", 20),
            ("x*sigmoid(1.702*x)", 20),
        ] {
            let act = Activation::parse(name).unwrap();
            let (w, b) = ranges(&act, &walk(&act));
            let inside = |p: &&Edge| p.sigma_w2 <= w.1 && p.sigma_b2 <= b.1;
            assert!(walk(&act).iter().filter(inside).count() >= at_least, "{name}: {w:?} {b:?}");
        }
        let relu = Activation::parse("relu").unwrap();
        assert_eq!(ranges(&relu, &walk(&relu)), ((0.0, 4.0), (0.0, 0.5)));
        assert!(walk(&Activation::parse("softplus").unwrap()).is_empty());
        let relu = walk(&Activation::parse("relu").unwrap());
        assert!(relu.len() == 1 && (relu[0].sigma_w2 - 2.0).abs() < 1e-9 && relu[0].q_star.is_none());
        let sigmoid = walk(&Activation::parse("sigmoid").unwrap());
        assert!(
            (sigmoid[0].sigma_w2 - 103.0076).abs() < 1e-3 && sigmoid[0].sigma_b2 < 1e-9,
            "{:?}",
            sigmoid[0]
        );
    }

    #[test]
    fn edges_are_those_that_the_edge_of_chaos_has() {
        // SCIENCE 5.1.
        let tanh = Activation::parse("tanh").unwrap();
        let found = edges(&tanh, &walk(&tanh), (0.0, 0.5));
        assert_eq!((found[0].sigma_w2, found[0].q_star), (1.0, Some(0.0)));
        let at = |b: f64| found.iter().find(|p| p.sigma_b2 == b).unwrap();
        assert!((at(0.05).sigma_w2 - 1.760_955).abs() < 1e-6 && (at(0.3).sigma_w2 - 2.505_127).abs() < 1e-6);
    }

    #[test]
    fn round_numbers() {
        for (x, up) in [(4.3066, 5.0), (4.0, 4.0), (206.0, 250.0), (0.09, 0.1), (1.87, 2.0)] {
            assert!((round_up(x) / up - 1.0).abs() < 1e-9, "{x}");
        }
    }
}
