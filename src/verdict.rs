//! From what was measured to words: verdict, flags and the cause.

use crate::activation::Activation;
use crate::initializer::law::short;
use crate::measure::LayerRecord;
use crate::measure::summary::{log10, quantile};
use crate::result::{Direction, Layer, Summary, Verdict};
use crate::simulate::{CellPlan, Plan};
use crate::stream::{Key, Role};
use crate::theory::quadrature::squared_slope;
use rand::RngExt;

/// Every flag that a cell can carry.
pub const FLAGS: &[&str] = &[
    "saturated",
    "dead-units",
    "correlation-collapse",
    "decorrelated",
    "symmetric-units",
    "zero-signal",
    "heavy-tailed",
];

/// What is said of a cell.
pub struct Judgement {
    /// Of the activations.
    pub forward: Direction,
    /// Of the gradients.
    pub backward: Direction,
    /// Names of what else is wrong.
    pub flags: Vec<String>,
    /// One sentence each, with the cause.
    pub words: Vec<String>,
}

/// Layers that the robust line is fitted through: all, or this many spread evenly.
const POINTS: usize = 64;
/// Bootstrap samples of the trials.
const RESAMPLES: usize = 200;

/// Judges a cell from its trials and their summary.
pub fn judge(plan: &Plan, cell: &CellPlan, trials: &[&Vec<LayerRecord>], layers: &[Layer]) -> Judgement {
    let seed = plan.experiment.seed;
    let threshold = plan.experiment.threshold;
    let activation: Vec<Vec<f64>> = values(trials, |r| log10(r.activation.variance));
    // In the direction of flow, so that both slopes read alike.
    let mut gradient: Vec<Vec<f64>> = values(trials, |r| log10(r.gradient.variance));
    gradient.iter_mut().for_each(|trial| trial.reverse());
    let forward = direction(&activation, threshold, Key { seed, trial: 0, layer: 0 });
    let backward = direction(&gradient, threshold, Key { seed, trial: 1, layer: 0 });
    let act = plan.act(cell);
    let found = flags(act, cell, layers);
    let mut words = vec![
        sentence("forward", "signal", &forward, forward_cause(act, cell), layers.len()),
        sentence("backward", "gradient", &backward, backward_cause(act, cell, layers), layers.len()),
    ];
    words.extend(range_of_f32(layers));
    words.extend(found.iter().map(|(_, text)| text.clone()));
    Judgement {
        forward,
        backward,
        flags: found.into_iter().map(|(name, _)| name.to_string()).collect(),
        words,
    }
}

fn values(trials: &[&Vec<LayerRecord>], quantity: fn(&LayerRecord) -> f64) -> Vec<Vec<f64>> {
    trials.iter().map(|trial| trial.iter().map(quantity).collect()).collect()
}

/// Slope, interval, change and verdict of log₁₀ variances (trials × layers, in the direction of flow).
fn direction(trials: &[Vec<f64>], threshold: f64, key: Key) -> Direction {
    let depth = trials[0].len();
    let points: Vec<usize> = if depth <= POINTS {
        (0..depth).collect()
    } else {
        (0..POINTS).map(|k| k * (depth - 1) / (POINTS - 1)).collect()
    };
    let everyone: Vec<usize> = (0..trials.len()).collect();
    let slope = theil_sen(&medians(trials, &everyone, &points));
    let ends = medians(trials, &everyone, &[0, depth - 1]);
    let change = match ends.as_slice() {
        [(_, first), (_, last)] => Some(last - first),
        _ => None,
    };
    let verdict = match change {
        Some(change) if change > threshold => Verdict::Exploding,
        Some(change) if change < -threshold => Verdict::Vanishing,
        Some(_) => Verdict::Stable,
        None => Verdict::Vanishing,
    };
    Direction {
        log10_per_layer: slope,
        ci95: interval(trials, &points, slope, key),
        log10_change: change,
        verdict,
    }
}

/// Median over the chosen trials at the chosen layers, leaving out layers where it is zero (log −∞).
fn medians(trials: &[Vec<f64>], chosen: &[usize], points: &[usize]) -> Vec<(f64, f64)> {
    let mut column = Vec::with_capacity(chosen.len());
    let mut found = Vec::with_capacity(points.len());
    for layer in points {
        column.clear();
        column.extend(chosen.iter().map(|t| trials[*t][*layer]));
        column.sort_by(f64::total_cmp);
        let median = quantile(&column, 0.5);
        if median.is_finite() {
            found.push((*layer as f64, median));
        }
    }
    found
}

/// The median of the slopes between all pairs of points (Theil 1950, Sen 1968).
fn theil_sen(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (i, a) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    slopes.sort_by(f64::total_cmp);
    (!slopes.is_empty()).then(|| quantile(&slopes, 0.5))
}

/// 95 % percentile bootstrap over trials.
fn interval(trials: &[Vec<f64>], points: &[usize], slope: Option<f64>, key: Key) -> Option<[f64; 2]> {
    slope?;
    if trials.len() < 2 {
        return None;
    }
    let mut rng = key.stream(Role::Bootstrap, 0);
    let mut slopes: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let chosen: Vec<usize> = trials.iter().map(|_| rng.random_range(0..trials.len())).collect();
            theil_sen(&medians(trials, &chosen, points))
        })
        .collect();
    slopes.sort_by(f64::total_cmp);
    (!slopes.is_empty()).then(|| [quantile(&slopes, 0.025), quantile(&slopes, 0.975)])
}

fn sentence(name: &str, what: &str, direction: &Direction, cause: Option<String>, depth: usize) -> String {
    let mut text = format!("{name} {}", direction.verdict.name());
    match direction.log10_change {
        None => text.push_str(&format!(": the {what} is exactly zero")),
        Some(change) if depth > 1 => {
            text.push_str(&format!(": variance changes by 10^{change:+.2} over {depth} layers"));
            if let Some(slope) = direction.log10_per_layer {
                text.push_str(&format!(", ×{} a layer", factor(slope)));
            }
        }
        Some(_) => text.push_str(": one layer"),
    }
    if let Some(cause) = cause {
        text.push_str("; ");
        text.push_str(&cause);
    }
    text
}

/// 10^x as people write a factor.
fn factor(log10: f64) -> String {
    if log10.abs() < 3.0 { short(round(10f64.powf(log10))) } else { format!("10^{log10:.2}") }
}

fn round(x: f64) -> f64 {
    let scale = 10f64.powf(2.0 - x.abs().log10().floor());
    if scale.is_finite() { (x * scale).round() / scale } else { x }
}

/// 1/6 rather than 0.16667.
fn fraction(x: f64) -> String {
    let whole = 1.0 / x;
    if (whole - whole.round()).abs() < 1e-9 && (2.0..=12.0).contains(&whole.round()) {
        return format!("1/{}", whole.round());
    }
    if (x - 2.0 / 3.0).abs() < 1e-9 {
        return "2/3".into();
    }
    short(x)
}

/// n·Var(W) and n·mean(W) where all layers agree on them, with the count on the given side.
fn common(cell: &CellPlan, side: fn(&crate::simulate::LayerPlan) -> usize) -> Option<(f64, f64)> {
    let scaled = |layer: &crate::simulate::LayerPlan| {
        let moments = layer.weights.moments(layer.fan_in, layer.fan_out);
        let n = side(layer) as f64;
        (n * moments.variance, n * moments.mean)
    };
    let first = scaled(cell.layers.first()?);
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1e-12 + a.abs());
    cell.layers.iter().map(scaled).all(|s| same(first.0, s.0) && same(first.1, s.1)).then_some(first)
}

fn forward_cause(act: &Activation, cell: &CellPlan) -> Option<String> {
    use crate::initializer::Law;
    if matches!(cell.layers[0].weights, Law::UnitVarianceHaar) {
        return Some("each layer was scaled to unit variance on this batch".into());
    }
    let (spread, shift) = common(cell, |l| l.fan_in)?;
    if shift != 0.0 && shift.abs() > spread.sqrt() {
        return Some(format!(
            "n·mean(W) = {} outweighs n·Var(W) = {}: a rank-one map",
            short(shift),
            fraction(spread)
        ));
    }
    let weights = format!("n·Var(W) = {}", fraction(spread));
    if !act.shape.homogeneous {
        return Some(weights);
    }
    let (left, right) = act.shape.slopes_at_zero;
    let kept = f64::midpoint(left * left, right * right);
    let total = spread * kept;
    Some(match () {
        () if kept == 1.0 => format!("{weights}, and {} keeps it", act.name),
        () if kept == 0.5 => {
            format!("{weights} and {} halves it: each layer keeps {}", act.name, fraction(total))
        }
        () => {
            format!("{weights} and {} keeps {} of it: {} a layer", act.name, fraction(kept), fraction(total))
        }
    })
}

fn backward_cause(act: &Activation, cell: &CellPlan, layers: &[Layer]) -> Option<String> {
    let (spread, shift) = common(cell, |l| l.fan_out)?;
    if shift != 0.0 && shift.abs() > spread.sqrt() {
        return None;
    }
    // The slope that the measured pre-activations meet half-way up.
    let q = layers[layers.len() / 2].preactivation.log10_second_moment.median?;
    if q.abs() > 250.0 {
        return None;
    }
    let squared = squared_slope(act, 10f64.powf(q));
    let product = spread * squared;
    product.is_finite().then(|| format!("n·Var(W)·E φ′² = {}", fraction(round(product))))
}

/// The normal range of f32 in decades: 2⁻¹²⁶ to 2¹²⁸.
const F32: (f64, f64) = (-37.929_779_453_661_63, 38.531_839_444_989_59);

/// Where the signal, the gradient or the gradient's square (Adam's second moment) leaves the range of single precision.
fn range_of_f32(layers: &[Layer]) -> Vec<String> {
    let outside = |decades: f64| !(F32.0..=F32.1).contains(&decades);
    let up: Vec<&Layer> = layers.iter().collect();
    let down: Vec<&Layer> = layers.iter().rev().collect();
    let first = |order: &[&Layer], log: &dyn Fn(&Layer) -> Option<f64>| {
        order.iter().find(|l| log(l).is_some_and(outside)).map(|l| l.layer)
    };
    let second = |s: &Summary| s.log10_second_moment.median;
    let mut words = Vec::new();
    if let Some(layer) = first(&up, &|l| second(&l.activation).map(|x| 0.5 * x)) {
        words.push(format!("the signal leaves the range of f32 at layer {layer}"));
    }
    let gradient = first(&down, &|l| second(&l.gradient).map(|x| 0.5 * x));
    let squares = first(&down, &|l| second(&l.gradient));
    if let Some(layer) = gradient {
        words.push(format!("the gradient leaves the range of f32 at layer {layer}"));
    }
    if let Some(layer) = squares
        && gradient != Some(layer)
    {
        words.push(format!("squares of the gradient leave the range of f32 at layer {layer}"));
    }
    words
}

/// Flags with their words.
fn flags(act: &Activation, cell: &CellPlan, layers: &[Layer]) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let (first, last) = (&layers[0], &layers[layers.len() - 1]);
    let worst = |quantity: &dyn Fn(&Layer) -> Option<f64>| {
        let pairs = layers.iter().filter_map(|l| quantity(l).map(|x| (x, l.layer)));
        pairs.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    if act.shape.bounded
        && let Some((share, layer)) = worst(&|l| l.saturated_fraction)
        && share > 0.5
    {
        found.push(("saturated", format!("{} of the units of layer {layer} are saturated", percent(share))));
    }
    if let Some((share, layer)) = worst(&|l| Some(l.dead_fraction))
        && share > 0.6
    {
        found.push((
            "dead-units",
            format!("{} of the units of layer {layer} are dead on the whole batch", percent(share)),
        ));
    }
    if let Some(cosine) = last.correlation
        && cosine > 0.99
    {
        found.push((
            "correlation-collapse",
            format!("samples become indistinguishable: mean cosine {} at layer {}", five(cosine), last.layer),
        ));
    }
    if let (Some(before), Some(after)) = (first.correlation, last.correlation)
        && before > 0.1
        && after < 0.5 * before
    {
        found.push((
            "decorrelated",
            format!(
                "like samples are driven apart: mean cosine {} at layer 1, {} at layer {}",
                five(before),
                five(after),
                last.layer
            ),
        ));
    }
    if layers.iter().any(|l| l.fan_out > 1 && l.unit_symmetry.is_some_and(|s| s < 1e-6)) {
        found.push((
            "symmetric-units",
            "all units of a layer are identical: training cannot tell them apart".into(),
        ));
    }
    let silent = |s: &Summary| s.log10_second_moment.median.is_none();
    if layers.iter().any(|l| silent(&l.activation) || silent(&l.gradient)) {
        found.push(("zero-signal", "signal or gradient is exactly zero in some layer".into()));
    }
    // Finite width: the log of the norm spreads by at most about Σ 5/n over independent trials (Hanin & Nica 2019).
    let beta: f64 = cell.layers.iter().map(|l| 5.0 / l.fan_out as f64).sum();
    let allowed = 2.0 * beta.sqrt() / std::f64::consts::LN_10 + 0.1;
    let spread = |s: &Summary| Some((s.log10_variance.q75? - s.log10_variance.q25?) / 1.349);
    let widest =
        [spread(&last.activation), spread(&first.gradient)].into_iter().flatten().fold(0.0, f64::max);
    if widest > allowed {
        found.push((
            "heavy-tailed",
            format!(
                "trials differ by {} decades where width explains {}",
                short(round(widest)),
                short(round(allowed))
            ),
        ));
    }
    found
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn five(x: f64) -> String {
    short((x * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_robust_to_an_outlier() {
        let points: Vec<(f64, f64)> =
            (0..20).map(|k| (f64::from(k), if k == 7 { 99.0 } else { -0.3 * f64::from(k) })).collect();
        assert!((theil_sen(&points).unwrap() + 0.3).abs() < 1e-9);
        assert_eq!(theil_sen(&points[..1]), None);
    }

    #[test]
    fn directions_are_judged_by_the_whole_change() {
        let key = Key { seed: 0, trial: 0, layer: 0 };
        let line = |slope: f64| (0..50).map(|l| slope * f64::from(l)).collect::<Vec<f64>>();
        for (slope, verdict) in
            [(0.01, Verdict::Stable), (0.03, Verdict::Exploding), (-0.03, Verdict::Vanishing)]
        {
            let found = direction(&[line(slope), line(slope), line(slope)], 1.0, key);
            assert_eq!(found.verdict, verdict);
            assert!((found.log10_per_layer.unwrap() - slope).abs() < 1e-12);
            let [low, high] = found.ci95.unwrap();
            assert!((low - slope).abs() < 1e-12 && (high - slope).abs() < 1e-12);
        }
        let silent = direction(&[vec![f64::NEG_INFINITY; 4]], 1.0, key);
        assert_eq!((silent.verdict, silent.log10_change, silent.ci95), (Verdict::Vanishing, None, None));
    }

    #[test]
    fn factors_read_like_factors() {
        assert_eq!(fraction(1.0 / 6.0), "1/6");
        assert_eq!(fraction(2.0 / 3.0), "2/3");
        assert_eq!(factor(-0.301), "0.5");
        assert_eq!(factor(-20.0), "10^-20.00");
    }
}
