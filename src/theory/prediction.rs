//! What one trial is expected to measure: means of wide-layer theory, and to first order in 1/n how far a trial scatters.
//!
//! The logarithm of a pooled second moment S_l of the activations moves by γ_l·a_l + e_l, with a_l = δ log q_l of the
//! pre-activation variance, γ = d log E φ²/d log q, and e_l the mean over n_l independent rows of units. Then
//! a_{l+1} = κ_{l+1}(γ_l·a_l + e_l), κ the part of q that weights bring, so α_{l+1} = κ_{l+1}γ_l is the slope of the length
//! map in logarithms. With B samples of correlation c, Var e_l = (1/n_l)[V(1)/B + (1 − 1/B)V(c)],
//! V(c) = Cov(φ²(u₁), φ²(u₂))/(E φ²)².
//!
//! A gradient's log moves by Σ_{j≥l} (p_j + β_j·a_j), β = d log E φ′²/d log q, p_j the mean over rows of g²φ′². With
//! T_l = β_l + α_{l+1}T_{l+1} that is T_l·a_l + Σ_{j≥l} (p_j + κ_{j+1}T_{j+1}·e_j), whose terms are independent from layer
//! to layer. Gradients of two samples start independent and share their signs more and more: r_l, the expected squared
//! cosine between their columns, grows by r_{l−1} = r_l·(E φ′φ′/E φ′²)² + (1 + 2r_l)/n·E φ′²φ′²/(E φ′²)².
//! In the same way a correlation of signals scatters about c by s_l, s_{l+1} = (κ·dc′/dc)²·s_l + the part of n rows, which
//! adds ½V″(c)·s_l to V(c): for odd activations and many samples it is most of the scatter.
//!
//! Measured at depth 50 (`tests/prediction.rs`): with 256 units and 1 or 64 samples, standard deviations are right to 7 % for
//! linear, ReLU and tanh at its edge, but for ReLU's lowest gradients with 64 samples, where 12 % are missing; with 64 units
//! and 8 samples to 12 %, and 22 % too much for a linear stack's lowest gradients. Where lengths scatter by a factor of e
//! and the activation is curved, nothing is said: under He, GELU's map pushes lengths apart and reaches that at layer 12.
//! Means are those of infinite width; where the map is curved, they are off by up to 0.6 standard deviations before that.

use super::finite_width::{LogLaw, first_order};
use super::stack::{Flow, InputMoments, Layer, Start, backward, forward};
use crate::activation::Activation;
use crate::expectation::field::{Form, Scatter, WeightMoments};
use crate::numeric::wide::Wide;
use std::collections::HashMap;
use std::f64::consts::LN_10;

/// Where what units share is more than this part of a layer, its scatter is not small, and nothing is said of it.
const MOSTLY_OWN: f64 = 0.01;
/// Var log q beyond which a curved activation is not met by its slopes at one q.
const LINEAR: f64 = 1.0;

/// A positive quantity of one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// log₁₀ of its mean over trials.
    pub log10_mean: f64,
    /// How one trial scatters about that; `None` where theory has no say.
    pub law: Option<LogLaw>,
}

impl Level {
    /// Standard deviation of the log₁₀ of one trial.
    pub fn std(&self) -> Option<f64> {
        self.law.as_ref().map(|law| law.std() / LN_10)
    }

    /// log₁₀ of its median, of its mean where nothing is known of trials; `None` where most trials are exact zeros.
    pub fn log10_median(&self) -> Option<f64> {
        self.law.as_ref().map_or(Some(self.log10_mean), |law| self.quantile(law, 0.5))
    }

    /// The central band that holds one trial with probability `coverage` (between 0 and 1), in log₁₀: an end of it is `None`
    /// where it is an exact zero.
    pub fn band(&self, coverage: f64) -> Option<[Option<f64>; 2]> {
        let tail = 0.5 * (1.0 - coverage.clamp(0.0, 1.0 - 1e-12));
        let law = self.law.as_ref()?;
        Some([tail, 1.0 - tail].map(|p| self.quantile(law, p)))
    }

    fn quantile(&self, law: &LogLaw, p: f64) -> Option<f64> {
        law.quantile(p).map(|log| self.log10_mean + log / LN_10)
    }
}

/// One quantity at one layer; `None` for an exact zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// Population variance over all entries.
    pub variance: Option<Level>,
    /// Mean square of all entries.
    pub second_moment: Option<Level>,
}

/// What is expected at a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Z.
    pub preactivation: Quantity,
    /// H = φ(Z).
    pub activation: Quantity,
    /// ∂C/∂Z.
    pub gradient: Quantity,
    /// ∂C/∂W.
    pub weight_gradient: Quantity,
    /// Cosine between two samples' columns of Z.
    pub correlation: f64,
}

/// What a prediction depends on beside activation and laws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Samples pushed through.
    pub batch: usize,
    /// Moments of what enters layer 1.
    pub entering: InputMoments,
    /// Var log of the input's second moment over trials: 2/(nB) for a batch of n × B independent normal entries, 0 for the
    /// same data in every trial.
    pub input_scatter: f64,
    /// Variance of the cosine between two samples of the input: 1/n for independent normal entries.
    pub cosine_scatter: f64,
}

impl Setting {
    /// A batch of independent N(0, 1) entries, `width` a sample, drawn anew in each trial.
    pub fn normal(batch: usize, width: usize) -> Self {
        let entries = batch as f64 * width as f64;
        Self {
            batch,
            entering: InputMoments::NORMAL,
            input_scatter: 2.0 / entries,
            cosine_scatter: 1.0 / width as f64,
        }
    }
}

/// Expectations for the layers of a stack with a random read-out, first to last; fewer than there are layers where the
/// signal becomes exactly zero or leaves what theory can follow, and then without gradients to speak of.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// First to last.
    pub layers: Vec<Expected>,
    /// All layers are there.
    pub complete: bool,
}

/// Predicts a stack; `effort` as for [`forward`].
pub fn predict(act: &Activation, laws: &[WeightMoments], setting: &Setting, effort: usize) -> Prediction {
    let layers = forward(act, laws, Start::Input(setting.entering), true, effort);
    let complete = layers.len() == laws.len();
    let flows = backward(&layers);
    let scatter = Scattered::new(&layers, setting);
    let batch = setting.batch.max(1);
    let samples = Wide::from(batch as f64);
    let entering = setting.entering;
    let first_width = laws.first().map_or(1.0, |w| w.fan_in);
    let mean_square = entering.mean * entering.mean;
    let mut input = (
        Wide::from(entering.second_moment),
        Wide::from(mean_square + (entering.second_moment - mean_square).max(0.0) / first_width),
    );
    let mut expected = Vec::with_capacity(layers.len());
    for (index, (layer, flow)) in layers.iter().zip(&flows).enumerate() {
        let here = &scatter.layers[index];
        let up = |law: &LogLaw| Some(law.clone()).filter(|law| here.known_forward && law.is_finite());
        let down = |law: &LogLaw| Some(law.clone()).filter(|law| scatter.known && law.is_finite());
        let level =
            |mean: Wide, law: Option<LogLaw>| mean.log10_abs().map(|log10_mean| Level { log10_mean, law });
        let flowing = |mean: Wide, law: Option<LogLaw>| level(mean, law).filter(|_| complete);
        let weights = weight_gradient(flow, input, samples);
        expected.push(Expected {
            preactivation: Quantity {
                variance: level(layer.field_variance(batch), up(&here.field_variance)),
                second_moment: level(layer.field_second_moment(), up(&here.field)),
            },
            activation: Quantity {
                variance: level(layer.output_variance(batch), up(&here.output_variance)),
                second_moment: level(layer.output_second_moment(), up(&here.output)),
            },
            gradient: Quantity {
                variance: flowing(flow.variance(batch), down(&here.gradient)),
                second_moment: flowing(flow.square, down(&here.gradient)),
            },
            weight_gradient: Quantity {
                variance: flowing(weights.1, down(&here.weight_gradient)),
                second_moment: flowing(weights.0, down(&here.weight_gradient)),
            },
            correlation: layer.field.cosine(),
        });
        input = (layer.output_second_moment(), layer.squared_unit_mean());
    }
    Prediction { layers: expected, complete }
}

/// Second moment and variance of the entries of DHᵀ: B·E d²·E h², less the square of their mean. Samples' gradients have
/// independent signs, so no products between samples are left in the mean.
fn weight_gradient(flow: &Flow, input: (Wide, Wide), samples: Wide) -> (Wide, Wide) {
    let second = samples * flow.square * input.0;
    let variance = second + -(samples * flow.shared * input.1);
    (second, if variance.mantissa() > 0.0 { variance } else { Wide::ZERO })
}

/// Laws of the logarithms at a layer.
struct Laws {
    field: LogLaw,
    field_variance: LogLaw,
    output: LogLaw,
    output_variance: LogLaw,
    gradient: LogLaw,
    weight_gradient: LogLaw,
    /// First order holds from the input to here.
    known_forward: bool,
}

struct Scattered {
    layers: Vec<Laws>,
    known: bool,
}

/// The law of a sum of independent movements: log-normal of their variances; or the product of the factors' own laws, while
/// every layer that it has come through multiplies whatever enters it by a factor of its own.
#[derive(Clone)]
struct Walk {
    variance: f64,
    factors: Option<LogLaw>,
}

impl Walk {
    fn law(&self) -> LogLaw {
        self.factors.clone().unwrap_or_else(|| LogLaw::log_normal(self.variance))
    }

    /// Behind a factor of this law, where there is one, and otherwise with this variance.
    fn then(&self, variance: f64, factor: Option<LogLaw>) -> Self {
        let factors = self.factors.as_ref().zip(factor).map(|(all, one)| all.times(&one));
        Self { variance, factors }
    }
}

/// First-order coefficients of a layer.
struct Noise {
    /// Part of q that weights bring.
    kappa: f64,
    /// d log E φ² / d log q.
    gamma: f64,
    /// Var e.
    output: f64,
    /// Var of δ log Var φ at given q.
    spread: f64,
    /// Var of δ log Z's second moment and variance at given q.
    field: (f64, f64),
    /// Cov(e, p).
    both: f64,
    /// Variance of the cosine between two samples' activations.
    cosines: f64,
}

/// Whether a layer multiplies the norm of whatever enters it by a factor that does not depend on it.
fn multiplies(layer: &Layer) -> bool {
    let w = layer.weights;
    layer.form != Form::Itself && w.mean == 0.0 && w.bias_mean == 0.0 && w.bias_variance == 0.0
}

/// The factors of layers, each width's made once.
#[derive(Default)]
struct Layers {
    made: HashMap<(usize, u64, u64), Option<LogLaw>>,
}

impl Layers {
    /// The law of a layer's factor, the logarithm of which has this variance to first order; `None` where it is not one.
    /// With many samples it is taken as that of as many more units as make one sample scatter like that, which it becomes
    /// where samples grow alike.
    fn of(&mut self, layer: &Layer, variance: f64) -> Option<LogLaw> {
        let Form::Slopes(left, right) = layer.form else { return None };
        if !multiplies(layer) {
            return None;
        }
        if layer.weights.scatter != Scatter::Independent {
            return Some(LogLaw::log_normal(variance));
        }
        let n = layer.weights.fan_out;
        let key = (n as usize, left.to_bits(), right.to_bits());
        let made = self.made.entry(key).or_insert_with(|| LogLaw::layer(n as usize, (left, right)));
        let one = made.as_ref()?;
        let leading = first_order((left, right)) / n;
        Some(one.averaged(leading / variance.max(f64::MIN_POSITIVE), leading))
    }
}

impl Scattered {
    fn new(layers: &[Layer], setting: &Setting) -> Self {
        let b = setting.batch.max(1) as f64;
        let (one, other) = (1.0 / b, 1.0 - 1.0 / b);
        // The variance of the correlation that each layer's rows have.
        let mut cosines = setting.cosine_scatter;
        let mut noises: Vec<Noise> = Vec::with_capacity(layers.len());
        for layer in layers {
            let noise = noise(layer, one, other, cosines);
            cosines = noise.cosines;
            noises.push(noise);
        }
        let mut factors = Layers::default();
        let input = match setting.input_scatter {
            none if none <= 0.0 => LogLaw::CERTAIN,
            some => LogLaw::chi_squared(2.0 / some),
        };
        // The log second moment of what enters layer l: how it scatters, and Var a_l.
        let mut entering = Walk { variance: setting.input_scatter, factors: Some(input) };
        let mut all: Vec<Laws> = Vec::with_capacity(layers.len());
        let mut moves = Vec::with_capacity(layers.len());
        let mut inputs = Vec::with_capacity(layers.len());
        let mut known = true;
        for (layer, noise) in layers.iter().zip(&noises) {
            let a = noise.kappa * noise.kappa * entering.variance;
            inputs.push(entering.clone());
            moves.push(a);
            let part = layer.field.variance() / layer.field.second_moment();
            let multiplies = multiplies(layer);
            let normal = |variance: f64| {
                multiplies.then(|| match layer.weights.scatter {
                    Scatter::Independent if variance > 0.0 => LogLaw::chi_squared(2.0 / variance),
                    _ => LogLaw::log_normal(variance),
                })
            };
            let field = entering.then(noise.field.0 + part * part * a, normal(noise.field.0));
            let field_variance = entering.then(noise.field.1 + a, normal(noise.field.1));
            let spread = noise.spread + layer.passed.spread_growth.powi(2) * a;
            let output_variance = entering.then(spread, factors.of(layer, noise.spread));
            entering =
                entering.then(noise.output + noise.gamma * noise.gamma * a, factors.of(layer, noise.output));
            let own = layer.weights.scatter != Scatter::Fixed
                && layer.field.shared <= MOSTLY_OWN * layer.field.second_moment();
            known &= own && (a <= LINEAR || layer.form != Form::Itself);
            let output = entering.law();
            // The layer is dead with its squares, whatever of them is recorded.
            let output_variance = output_variance.law().dying(output.death);
            all.push(Laws {
                field: field.law(),
                field_variance: field_variance.law(),
                output,
                output_variance,
                gradient: LogLaw::CERTAIN,
                weight_gradient: LogLaw::CERTAIN,
                known_forward: known,
            });
        }
        let death = all.last().map_or(0.0, |last| last.output.death);
        // From the top: what layers from l on add, T_{l+1}·κ_{l+1}, and r of the gradient that comes down.
        let mut sum = Walk { variance: 0.0, factors: Some(LogLaw::CERTAIN) };
        let (mut tau, mut r) = (0.0, 0.0f64);
        for (k, layer) in layers.iter().enumerate().rev() {
            let (noise, p) = (&noises[k], layer.passed);
            let Some(both) = layer.products else { continue };
            let n = layer.weights.fan_out;
            // Of g² alone, a kept norm takes out all or a part.
            let kept = match layers.get(k + 1).map(|above| above.weights) {
                Some(w) if w.scatter == Scatter::Orthogonal => (w.fan_in / w.fan_out).min(1.0),
                _ => 0.0,
            };
            let squared = p.squared_slope * p.squared_slope;
            let pair = both.squared_slope.value / squared;
            let alone = 3.0 * p.fourth_slope / squared - 1.0 - 2.0 * kept;
            let apart = (1.0 + 2.0 * r) * pair - 1.0 - 2.0 * r * kept;
            let own = ((one * alone + other * apart) / n).max(0.0);
            let shared = tau * tau * noise.output + 2.0 * tau * noise.both;
            sum = sum.then(sum.variance + own + shared, factors.of(layer, own));
            let slopes = (both.slope.value / p.squared_slope).powi(2);
            let fresh = ((1.0 + 2.0 * r) * pair - kept * slopes) / n;
            r = (r * slopes + fresh).clamp(0.0, 1.0);
            let t = p.slope_growth + noise.gamma * tau;
            let gradient = Walk { variance: sum.variance + t * t * moves[k], ..sum.clone() };
            // The layer's input moves a_l too; products between samples add what their cosines allow.
            let (cosine, scatter) = match k.checked_sub(1) {
                Some(below) => (layers[below].cosine(), noises[below].cosines),
                None => (setting.entering.correlation, setting.cosine_scatter),
            };
            let products = 2.0 * other * r * (cosine * cosine + scatter).min(1.0);
            let moved = (1.0 + noise.kappa * t).powi(2) * inputs[k].variance;
            let signal = inputs[k].factors.as_ref().map(|law| law.times(&LogLaw::log_normal(products)));
            let weight_gradient = sum.then(sum.variance + moved + products, signal);
            // A signal that is dead anywhere has no gradient anywhere.
            all[k].gradient = gradient.law().dying(death);
            all[k].weight_gradient = weight_gradient.law().dying(death);
            tau = noise.kappa * t;
        }
        Self { layers: all, known }
    }
}

fn noise(layer: &Layer, one: f64, other: f64, entering: f64) -> Noise {
    let (w, p, f) = (layer.weights, layer.passed, layer.field);
    let (n, variance, size) = (w.fan_out, f.variance(), f.second_moment());
    let c = f.correlation();
    let bias = (Wide::from(w.bias_variance) * layer.wide(variance).recip()).to_f64();
    let kappa = (1.0 - bias).clamp(0.0, 1.0);
    // A Haar matrix keeps norms and angles of what weights bring: second-order parts do not scatter.
    let kept = match w.scatter {
        Scatter::Orthogonal => (w.fan_out / w.fan_in).min(1.0) * kappa * kappa,
        _ => 0.0,
    };
    let squares = variance * variance * (1.0 - kept);
    let mean = f.mean * f.mean;
    let scatter = (kappa * kappa * entering).min(1.0 - c * c);
    let chi = 2.0 * squares * (one + other * (c * c + scatter));
    let shifted = 4.0 * variance * mean * (one + other * c);
    let field = ((chi + shifted) / (size * size * n), chi / (variance * variance * n));
    let square = p.square * p.square;
    let spread = p.spread * p.spread;
    let steep = p.square * p.squared_slope;
    let (mut pair, mut pair_centred, mut pair_cross) = (p.fourth, p.centered_fourth, p.cross);
    let mut cosines = 0.0;
    if let Some(both) = layer.products {
        // Where correlations scatter about c, so do products; no pair is closer than a sample is to itself.
        let wider =
            |value: f64, second: f64, most: f64| (value + 0.5 * second * scatter).min(most.max(value));
        pair = wider(both.square.value, layer.orders.square, p.fourth);
        pair_centred = wider(both.centered.value, layer.orders.centered, p.centered_fourth);
        pair_cross = both.cross.value;
        let cosine = both.phi.value / p.square;
        let rotated = both.slope.value * variance / p.square;
        // Exact for a linear layer, (1 − c²)²/n; elsewhere that with the products' own size.
        let square_cosine = cosine * cosine;
        let fresh = both.square.value / square * (1.0 - square_cosine).powi(2) / (1.0 + 2.0 * square_cosine);
        let room = 1.0 - scatter / (1.0 - c * c).max(scatter).max(f64::MIN_POSITIVE);
        cosines = rotated * rotated * scatter + fresh * (1.0 - kept) * room / n;
    }
    let norm = kept * layer.orders.norm * (one + other * (c * c + scatter));
    let pooled = one * p.fourth + other * pair - square - norm;
    let centered = one * p.centered_fourth + other * pair_centred - spread;
    Noise {
        kappa,
        gamma: p.growth,
        output: (pooled / (square * n)).max(0.0),
        // What the norm takes out of the squares, it takes out of the spread; the mean is of other orders.
        spread: ((centered - norm.min(centered.max(0.0))) / (spread * n)).max(0.0),
        field,
        both: (one * p.cross + other * pair_cross - steep) / (steep * n) * (1.0 - kept),
        cosines,
    }
}
