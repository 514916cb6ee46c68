//! What is wrong beside the two directions.

use super::course;
use super::words::{factor, four, percent, round};
use crate::activation::Activation;
use crate::law::{Law, short};
use crate::op::record::LayerRecord;
use crate::op::{Shape, Space, VectorParameter};
use crate::result::{Flag, Layer, Summary};
use crate::simulate::{CellPlan, LayerPlan};
use statrs::distribution::{Binomial, DiscreteCDF};

/// The flags of a cell, each with its sentence; `closed` where its head begins at zero by design.
pub fn flags(
    act: &Activation,
    cell: &CellPlan,
    trials: &[&Vec<LayerRecord>],
    layers: &[Layer],
    closed: bool,
) -> Vec<(Flag, String)> {
    let mut found = Vec::new();
    let (first, last) = course::ends(cell);
    let (first, last) = (&layers[first], &layers[last]);
    let saturated = layers.iter().filter_map(|l| l.saturated_fraction.map(|share| (share, l.name())));
    if act.shape.bounded
        && let Some((share, layer)) = saturated.max_by(|a, b| a.0.total_cmp(&b.0))
        && share > flat_share(act)
    {
        found.push((Flag::Saturated, format!("{} of the units of {layer} are saturated", percent(share))));
    }
    if let Some(words) = dead(trials, layers) {
        found.push((Flag::DeadUnits, words));
    }
    if let Some(cosine) = last.correlation
        && cosine > 0.99
    {
        found.push((
            Flag::CorrelationCollapse,
            format!("samples become indistinguishable: mean cosine {} at {}", four(cosine), last.name()),
        ));
    }
    if let (Some(before), Some(after)) = (first.correlation, last.correlation)
        && before > 0.1
        && after < 0.5 * before
    {
        found.push((
            Flag::Decorrelated,
            format!(
                "like samples are driven apart: mean cosine {} at {}, {} at {}",
                four(before),
                first.name(),
                four(after),
                last.name()
            ),
        ));
    }
    // Sequences alone: the positions of an image are not told apart by what follows, but pooled.
    let is_sequence = |shape: Shape| matches!(shape.space, Space::Sequence(_) | Space::Tokens(_));
    let sequence = cell.graph.inputs().any(is_sequence);
    let positions = layers.iter().rev().find(|layer| !layer.branch && layer.position_correlation.is_some());
    if let Some((layer, cosine)) = positions.and_then(|l| Some((l, l.position_correlation?)))
        && sequence
        && cosine > 0.99
    {
        found.push((
            Flag::RankCollapse,
            format!(
                "the positions of a sample become indistinguishable: mean cosine {} at {}",
                four(cosine),
                layer.name()
            ),
        ));
    }
    let silent = |s: &Summary| s.log10_second_moment.median.is_none() && s.below_trials == 0;
    // A branch of zeros, as Fixup has it, gets a gradient from the stream around it, and that tells its units apart.
    let is_zero = |plan: &LayerPlan| plan.weights.is_point_mass();
    // As SkipInit and a zero γ have it in a vector.
    let shut = |vector: &VectorParameter| vector.branch.is_some() && vector.law == Law::Constant(0.0);
    let by_design = layers.iter().zip(&cell.layers).any(|(layer, plan)| layer.branch && is_zero(plan))
        || cell.graph.vectors.iter().any(|vector| shut(vector) && !vector.is_neutral());
    let judged = if closed { layers.len() - 1 } else { layers.len() };
    let alike = layers[..judged].iter().zip(&cell.layers).find(|(layer, plan)| {
        layer.units() > 1
            && !layer.branch
            && layer.unit_symmetry.is_some_and(|s| s < 1e-6)
            // Zeros say nothing of the units that different weights made them from.
            && (!silent(&layer.preactivation) || plan.weights.is_point_mass() && plan.bias.is_point_mass())
    });
    if let Some((layer, _)) = alike {
        found.push((
            Flag::SymmetricUnits,
            format!("all units of {} are identical: training cannot tell them apart", layer.name()),
        ));
    }
    let told = |l: &&Layer| !(l.branch && by_design);
    // A branch that begins at zero, or that stochastic depth has left out of a small batch, gets no gradient, and that is meant.
    let lost = |l: &Layer| silent(&l.activation) || silent(&l.gradient) && !closed && !l.branch;
    if layers[..judged].iter().filter(told).any(lost) {
        found.push((Flag::ZeroSignal, "signal or gradient is exactly zero in some layer".into()));
    }
    // Finite width: the log of the norm spreads by at most about Σ 5/n over independent trials (Hanin & Nica 2019).
    let beta: f64 = cell.layers.iter().map(|l| 5.0 / l.fan_out as f64).sum();
    let allowed = 2.0 * beta.sqrt() / std::f64::consts::LN_10 + 0.1;
    let spread = |s: &Summary| Some((s.log10_variance.q75? - s.log10_variance.q25?) / 1.349);
    let (first, last) = (&layers[0], &layers[layers.len() - 1]);
    let widest =
        [spread(&last.activation), spread(&first.gradient)].into_iter().flatten().fold(0.0, f64::max);
    if widest > allowed {
        found.push((
            Flag::HeavyTailed,
            format!(
                "trials differ by {} decades where width explains {}",
                short(round(widest)),
                short(round(allowed))
            ),
        ));
    }
    if let Some(words) = large_logits(cell, layers) {
        found.push((Flag::LargeLogits, words));
    }
    found
}

/// Fewer outputs than this are no logits of classes.
const CLASSES: usize = 10;

/// The logits of so many classes, where they vary by more than 2·ln n.
///
/// A softmax over n values from N(0, v) has ln Σ exp = ln n + v/2 in the mean while v ≤ 2·ln n; beyond it the largest value alone decides,
/// and it is √(2v·ln n) (the freezing of the random energy model, Derrida 1981, Phys. Rev. B 24, 2613, eq. 2.7). The loss of a network
/// that knows nothing is that number.
fn large_logits(cell: &CellPlan, layers: &[Layer]) -> Option<String> {
    let head = &layers[course::head(cell)?];
    let classes = head.units();
    let log10 = head.preactivation.log10_variance.median?;
    let bound = 2.0 * (classes as f64).ln();
    if classes < CLASSES || log10 <= bound.log10() {
        return None;
    }
    let text = format!("the logits of {} have variance {}", head.name(), factor(log10));
    let loss = 0.5 * (log10 + bound.log10());
    Some(format!(
        "{text}, more than 2·ln {classes} = {}: softmax bets on single classes, and the loss begins at about {} where a guess has {}",
        four(bound),
        factor(loss),
        four(0.5 * bound)
    ))
}

/// A share of saturated units that matters: half, and where a half-line is flat by design, as of ReLU6, half of the other too.
fn flat_share(act: &Activation) -> f64 {
    let (left, right) = act.shape.slopes_at_zero;
    if left == 0.0 || right == 0.0 { 0.75 } else { 0.5 }
}

/// A share of dead units that does not matter, however certain it is.
const HARMLESS: f64 = 0.6;
/// Chance of a false `dead-units` in a cell.
const FALSE_ALARM: f64 = 1e-7;

/// Dead units, in the layer that has most of them or over all layers, where chance does not explain them.
///
/// Where weights are symmetric about zero and there are no biases, a ReLU's pre-activation on any one sample is negative
/// with probability ½ whatever came before, so the dead of a layer are at most Binomial(units · trials, ½), and those of
/// all layers together are too: half of them, when all samples are alike.
fn dead(trials: &[&Vec<LayerRecord>], layers: &[Layer]) -> Option<String> {
    let tests = layers.len() as f64 + 1.0;
    let count = trials.len() as f64;
    let share = |index: usize| trials.iter().map(|t| t[index].dead_fraction).sum::<f64>() / count;
    let shares: Vec<f64> = (0..layers.len()).map(share).collect();
    let units = |layer: &Layer| layer.units() as u64 * trials.len() as u64;
    // Worst first among the layers that are beyond chance.
    let worst = (0..layers.len())
        .filter(|i| shares[*i] > HARMLESS && beyond_chance(shares[*i], units(&layers[*i]), tests))
        .max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
    if let Some(index) = worst {
        let layer = layers[index].name();
        return Some(format!(
            "{} of the units of {layer} are dead on the whole batch",
            percent(shares[index])
        ));
    }
    let all: u64 = layers.iter().map(units).sum();
    let dead: f64 = shares.iter().zip(layers).map(|(share, layer)| share * units(layer) as f64).sum();
    let share = dead / all as f64;
    (share > HARMLESS && beyond_chance(share, all, tests))
        .then(|| format!("{} of all units are dead on the whole batch", percent(share)))
}

/// Whether Binomial(units, ½) exceeds this share with less than the tests' part of the false-alarm rate.
fn beyond_chance(share: f64, units: u64, tests: f64) -> bool {
    let dead = (share * units as f64).round() as u64;
    Binomial::new(0.5, units).is_ok_and(|law| dead > 0 && law.sf(dead - 1) < FALSE_ALARM / tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_told_from_death_by_the_binomial_tail() {
        // P(Bin(32, ½) ≥ 31) = 33/2³² = 7.7e-9, P(≥ 32) = 2.3e-10.
        assert!(!beyond_chance(31.0 / 32.0, 32, 301.0));
        assert!(beyond_chance(1.0, 32, 301.0));
        // All eight units of a layer: 2⁻⁸ is no rarity.
        assert!(!beyond_chance(1.0, 8, 1.0));
        // 100 units in 10 trials: 60 % is 6.3 standard deviations.
        assert!(beyond_chance(0.61, 1000, 50.0));
        assert!(!beyond_chance(0.55, 1000, 50.0));
    }
}
