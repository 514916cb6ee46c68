//! Why a direction does what it does, where theory says so and the measurement agrees.

use super::direction::slope;
use super::words::{fraction, percent, wide, wide_fraction};
use crate::activation::Activation;
use crate::expectation::field::{Field, WeightMoments};
use crate::numeric::wide::Wide;
use crate::result::{Direction, Layer, Quantity};
use crate::simulate::{CellPlan, LayerPlan};
use crate::theory::finite_width::LogLaw;
use crate::theory::stack::{self, InputMoments, Start};
use std::f64::consts::{LOG2_10, LOG10_E};

/// A factor a layer that theory misses by more than this is not explained by it.
const TOLERANCE: f64 = 1.05;
/// A part of the signal smaller than this is not worth a word.
const SMALL_PART: f64 = 0.01;
/// Layers whose moments are integrated; those that a fixed point or a scale makes alike count once.
const EFFORT: usize = 4096;

/// What wide-layer theory expects at each layer, first to last.
pub struct LayerFactors {
    layers: Vec<stack::Layer>,
    /// log₁₀ E d² of the gradient, last layer to first.
    gradient: Vec<f64>,
    /// What the gradient's own mean over units adds at some layer, of the whole.
    shared_gradient: f64,
    /// How much the median over trials may fall below the mean, in decades a layer: narrow layers scatter.
    drift: f64,
    /// log₁₀ E x² of what enters layer 1.
    entering: f64,
}

/// Follows the moments through the stack, from the pre-activations measured at layer 1, or from the input where there is
/// no other layer. `None` where theory has no say: laws that are neither independent nor rotation-invariant, zeros, numbers
/// beyond what an activation's tangents and asymptotes reach.
pub fn expected(
    act: &Activation,
    cell: &CellPlan,
    measured: &[Layer],
    entering: InputMoments,
) -> Option<LayerFactors> {
    let laws: Vec<WeightMoments> = cell.layers.iter().map(LayerPlan::moments).collect::<Option<_>>()?;
    let start = if laws.len() == 1 {
        Start::Input(entering)
    } else {
        let z = &measured[0].preactivation;
        let log10 = z.log10_second_moment.median?;
        // Without a mean of the weights, that of the pre-activations is the biases', and the rest of it chance.
        let mean = if laws[0].mean == 0.0 { laws[0].bias_mean } else { z.mean.unwrap_or(0.0) };
        let mean = mean / 10f64.powf(0.5 * log10);
        let mean = if mean.is_finite() { mean.clamp(-1.0, 1.0) } else { 0.0 };
        let unit = Wide::exp2(0.5 * log10 * LOG2_10);
        let field = Field { mean, own: 1.0 - mean * mean, ..Field::default() };
        Start::Field(field.scaled(unit.mantissa()), unit.exponent())
    };
    let layers = stack::forward(act, &laws, start, false, EFFORT);
    if layers.len() < laws.len() || layers.iter().any(|l| l.passed.square <= 0.0) {
        return None;
    }
    let flows = stack::backward(&layers);
    let gradient: Vec<f64> = flows.iter().rev().map(|f| f.square.log10_abs()).collect::<Option<_>>()?;
    let shared_gradient = flows.iter().map(|f| f.common_part).fold(0.0, f64::max);
    let crossed = crossed(&laws);
    // What scatters about a fixed point comes back to it: only what is homogeneous is known to drift.
    let drift = if act.shape.homogeneous {
        let slopes = act.shape.slopes_at_zero;
        let mut made = std::collections::BTreeMap::new();
        let lost = |w: &WeightMoments| {
            let n = w.fan_out as usize;
            let law = made.entry(n).or_insert_with(|| LogLaw::layer(n, slopes));
            law.as_ref().map_or(0.0, |law| -law.cumulants[0])
        };
        crossed.iter().map(lost).sum::<f64>() / crossed.len() as f64 * LOG10_E
    } else {
        0.0
    };
    Some(LayerFactors { layers, gradient, shared_gradient, drift, entering: entering.second_moment.log10() })
}

/// The layers whose weights stand between the ends of both directions: all but the first, unless there is only that.
fn crossed<T>(layers: &[T]) -> &[T] {
    if layers.len() > 1 { &layers[1..] } else { layers }
}

impl LayerFactors {
    /// Whether a series that starts where the measured one does changes as measured, within the tolerance a layer.
    fn explains(&self, series: &[f64], measured: &Direction) -> bool {
        let (Some(per_layer), Some(change)) = (measured.log10_per_layer, measured.log10_change) else {
            return false;
        };
        let Some(line) = slope(series) else { return false };
        let steps = (series.len() - 1) as f64;
        let ends = (series[series.len() - 1] - series[0]) / steps;
        [per_layer - line, change / steps - ends]
            .into_iter()
            .all(|miss| (-self.drift - TOLERANCE.log10()..=TOLERANCE.log10()).contains(&miss))
    }

    /// Said where the median may be a few percent a layer below what theory says of the mean.
    fn narrowness(&self, cell: &CellPlan, measured: &Direction, line: Option<f64>) -> String {
        let below = line.zip(measured.log10_per_layer).map_or(0.0, |(line, slope)| line - slope);
        if self.drift == 0.0 || below < 1.02f64.log10() {
            return String::new();
        }
        let narrowest = crossed(&cell.layers).iter().map(|l| l.fan_out).min().unwrap_or(0);
        format!(", less what {narrowest} units lose in the median")
    }
}

/// n·Var(W) over the layers between the ends, n the side that a direction counts.
struct Scale {
    name: &'static str,
    low: f64,
    high: f64,
}

impl Scale {
    fn new(cell: &CellPlan, laws: &[WeightMoments], forward: bool) -> Self {
        let square = crossed(&cell.layers).iter().all(|l| l.fan_in == l.fan_out);
        let name = match (square, forward) {
            (true, _) => "n·Var(W)",
            (false, true) => "fan_in·Var(W)",
            (false, false) => "fan_out·Var(W)",
        };
        let values = laws.iter().map(|w| w.variance * if forward { w.fan_in } else { w.fan_out });
        let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
        Self { name, low, high }
    }

    fn uniform(&self) -> bool {
        self.high - self.low <= 1e-9 * self.high
    }

    fn words(&self) -> String {
        if self.uniform() {
            format!("{} = {}", self.name, fraction(self.high))
        } else {
            format!("{} between {} and {}", self.name, fraction(self.low), fraction(self.high))
        }
    }
}

fn laws(cell: &CellPlan) -> Option<Vec<WeightMoments>> {
    crossed(&cell.layers).iter().map(LayerPlan::moments).collect()
}

/// (n·mean(W))² and n·Var(W) where the mean of the weights outweighs their spread at every layer, as the signal counts
/// them: a signal that has a mean then grows by the former.
fn outweighing(laws: &[WeightMoments]) -> Option<String> {
    let pull = |w: &WeightMoments| (w.fan_in * w.mean).powi(2);
    if !laws.iter().all(|w| pull(w) > w.fan_in * w.variance) {
        return None;
    }
    let (low, high) = laws.iter().map(pull).fold((f64::INFINITY, 0.0f64), |(l, h), x| (l.min(x), h.max(x)));
    Some(if high - low <= 1e-9 * high {
        format!("(n·mean(W))² = {}", fraction(high))
    } else {
        format!("(n·mean(W))² between {} and {}", fraction(low), fraction(high))
    })
}

/// Why the signal changes as it does, in words.
pub fn forward(
    act: &Activation,
    cell: &CellPlan,
    expected: Option<&LayerFactors>,
    measured: &Direction,
) -> Option<String> {
    if cell.layers[0].rescaled {
        let level = measured.log10_per_layer.is_some_and(|slope| slope.abs() <= TOLERANCE.log10());
        return level.then(|| "each layer was scaled to unit variance on this batch".into());
    }
    let laws = laws(cell)?;
    // Facts that hold whatever was measured.
    if laws.iter().all(|w| w.mean == 0.0 && w.variance == 0.0) {
        return Some("all weights are 0".into());
    }
    if let Some(mean) = outweighing(&laws) {
        let spread = laws.iter().map(|w| w.fan_in * w.variance).fold(0.0f64, f64::max);
        return Some(match spread {
            0.0 => format!("all weights of a layer are equal: a rank-one map, {mean}"),
            _ => format!("{mean} outweighs n·Var(W) = {}: nearly a rank-one map", fraction(spread)),
        });
    }
    let expected = expected?;
    let variance = measured.quantity == Quantity::Variance;
    let mut series: Vec<f64> = expected
        .layers
        .iter()
        .map(|l| l.wide(if variance { l.passed.spread } else { l.passed.square }))
        .map(|x| x.log10_abs().unwrap_or(f64::NEG_INFINITY))
        .collect();
    if series.len() == 1 {
        series.insert(0, expected.entering);
    }
    if !expected.explains(&series, measured) {
        return None;
    }
    let scale = Scale::new(cell, &laws, true);
    let narrow = expected.narrowness(cell, measured, slope(&series));
    // Half-way up the stack, what the next layer's second moment is made of.
    let middle = (expected.layers.len() - 1) / 2;
    let here = &expected.layers[middle];
    let next = expected.layers.get(middle + 1);
    let (biases, means) = next.map_or((0.0, 0.0), |next| next.parts());
    let (left, right) = act.shape.slopes_at_zero;
    let kept = f64::midpoint(left * left, right * right);
    let plain = biases < SMALL_PART && means < SMALL_PART;
    let mut text = scale.words();
    let centered = here.field.mean.abs() < SMALL_PART * here.field.second_moment().sqrt();
    if act.shape.homogeneous && means < SMALL_PART && centered {
        text.push_str(&match kept {
            1.0 => format!(" and {} keeps it", act.name),
            0.5 => format!(" and {} halves it", act.name),
            _ => format!(" and {} keeps {} of it", act.name, fraction(kept)),
        });
        if scale.uniform() {
            let total = scale.high * kept;
            let (who, keeps, multiplies) = match plain {
                true => ("each layer", "keeps", "multiplies"),
                false => ("the weights alone", "keep", "multiply"),
            };
            text.push_str(&match total {
                x if (x - 1.0).abs() < 1e-9 => format!(": {who} {keeps} all"),
                x if x > 1.0 => format!(": {who} {multiplies} it by {}", fraction(x)),
                x => format!(": {who} {keeps} {}", fraction(x)),
            });
        }
    } else {
        let size = here.field.second_moment();
        let q = here.field_second_moment();
        text.push_str(&format!(
            " and {} passes E φ²/q = {} on at q = {} (layer {})",
            act.name,
            fraction(here.passed.square / size),
            wide(q),
            middle + 1
        ));
    }
    text.push_str(&narrow);
    if let Some(next) = next {
        let w = next.weights;
        let mut shares = Vec::new();
        if biases >= SMALL_PART {
            let square = wide_fraction(w.bias_square());
            shares.push(format!("biases of mean square {square} bring {}", percent(biases)));
        }
        if means >= SMALL_PART {
            let pull = Wide::from(w.fan_in * w.mean);
            let pull = wide_fraction(pull * pull);
            shares.push(format!("(n·mean(W))² = {pull} brings {}", percent(means)));
        }
        if !shares.is_empty() {
            text.push_str(&format!("; {} of layer {}", shares.join(" and "), middle + 2));
        }
    }
    Some(text)
}

/// Why the gradient changes as it does, in words.
pub fn backward(cell: &CellPlan, expected: Option<&LayerFactors>, measured: &Direction) -> Option<String> {
    let laws = laws(cell)?;
    let expected = expected.filter(|e| e.gradient.len() > 1)?;
    // The norm of a sample's gradient counts the units that it comes to, each of its entries those that it comes from.
    let norms = measured.quantity == Quantity::SquaredNorm;
    let units = |layer: &stack::Layer| if norms { layer.weights.fan_out.log10() } else { 0.0 };
    let layers = expected.layers.iter().rev();
    let series: Vec<f64> = expected.gradient.iter().zip(layers).map(|(g, layer)| g + units(layer)).collect();
    if outweighing(&laws).is_some() || !expected.explains(&series, measured) {
        return None;
    }
    let scale = Scale::new(cell, &laws, norms);
    let narrow = expected.narrowness(cell, measured, slope(&series));
    let factors: Vec<f64> = expected
        .layers
        .iter()
        .zip(&laws)
        .map(|(below, law)| {
            let side = if norms { law.fan_in } else { law.fan_out };
            side * law.variance * below.passed.squared_slope
        })
        .collect();
    let (low, high) = factors.iter().fold((f64::INFINITY, 0.0f64), |(l, h), x| (l.min(*x), h.max(*x)));
    let middle = factors.len() / 2;
    let name = format!("{}·E φ′²", scale.name);
    let mut text = if high - low <= 0.01 * high {
        format!("{name} = {}", fraction(factors[middle]))
    } else if scale.uniform() {
        format!("{name} = {} half-way (layer {})", fraction(factors[middle]), middle + 1)
    } else {
        format!("{name} between {} and {}", fraction(low), fraction(high))
    };
    text.push_str(&narrow);
    if expected.shared_gradient >= SMALL_PART {
        text.push_str(&format!(
            "; the mean of W brings up to {} of a layer's gradient",
            percent(expected.shared_gradient)
        ));
    }
    Some(text)
}
