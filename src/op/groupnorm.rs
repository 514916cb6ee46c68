//! Group norm (Wu & He 2018): x̂ = (x − mean)/√(variance + ε) over the channels of a group at all positions of a sample, with gain
//! 1 and shift 0 as it starts.
//!
//! As in other norms the variance and ε meet as wide numbers, so a signal of any scale meets ε as it would in exact arithmetic.

use super::layer::{self, Assembler, LayerType, Port, divided, features, read};
use super::norm::Fields;
use super::{Activations, Context, Nature, Operator, Parameter, Shapes, Unary, UnaryBackward, owned};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use crate::numeric::wide::Wide;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType =
    LayerType { name: "groupnorm", fields: &["groups", "eps", "gain", "shift"], read: read::<Spec> };
/// Instance norm (Ulyanov et al. 2016), a group norm of single channels, likewise.
pub const INSTANCE: LayerType =
    LayerType { name: "instancenorm", fields: &["eps", "gain", "shift"], read: read::<InstanceSpec> };

/// The fields of a group norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Groups of neighboring channels: 1 for all of a sample, as many as channels for an instance norm.
    groups: usize,
    /// As in other norms.
    #[serde(flatten)]
    norm: Fields,
}

/// The fields of an instance norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct InstanceSpec(Fields);

impl layer::Layer for InstanceSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("instancenorm", inputs)?;
        let operator = GroupNorm { size: 1, positions: input.shape.positions(), eps: self.0.eps()? };
        self.0.assemble(to, ("instancenorm", input), operator, true)
    }
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("groupnorm", inputs)?;
        let size = divided("groups", self.groups, input.shape.channels)?;
        let operator = GroupNorm { size, positions: input.shape.positions(), eps: self.norm.eps()? };
        self.norm.assemble(to, ("groupnorm", input), operator, true)
    }
}

/// A group norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNorm {
    /// Channels of a group.
    pub size: usize,
    /// Positions of a sample.
    pub positions: usize,
    /// Added to the variance.
    pub eps: f64,
}

impl Operator for GroupNorm {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        12.0 * shapes.output_size() as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.output_size() as u128 * samples as u128
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Norm { over_batch: false }
    }
}

crate::numeric::slice::for_each_machine! {
    /// Adds a and a·b of one position to the sums of each channel.
    fn add_products<T: Real>(plain: &mut [f64], product: &mut [f64], a: &[T], b: &[T]) {
        for (((plain, product), a), b) in plain.iter_mut().zip(product).zip(a).zip(b) {
            *plain += a.to_f64();
            *product += a.to_f64() * b.to_f64();
        }
    }
}

crate::numeric::slice::for_each_machine! {
    /// Adds (x − mean)² of one position to the sums of each channel.
    fn add_squares<T: Real>(square: &mut [f64], x: &[T], mean: &[f64]) {
        for ((square, x), mean) in square.iter_mut().zip(x).zip(mean) {
            *square += (x.to_f64() - mean) * (x.to_f64() - mean);
        }
    }
}

crate::numeric::slice::for_each_machine! {
    /// (x − mean − hat·slope)·scale of one position.
    fn standardize<T: Real>(x: &mut [T], hat: &[T], [mean, slope, scale]: [&[T]; 3]) {
        for ((((x, hat), mean), slope), scale) in x.iter_mut().zip(hat).zip(mean).zip(slope).zip(scale) {
            *x = (*x - *mean - *hat * *slope) * *scale;
        }
    }
}

impl GroupNorm {
    /// The mean over each group of what was summed for each of its channels, for every channel.
    fn means(&self, sums: &[f64]) -> Vec<f64> {
        let count = self.size as f64 * self.positions as f64;
        let group = |group: &[f64]| vec![group.iter().sum::<f64>() / count; self.size];
        sums.chunks(self.size).flat_map(group).collect()
    }

    /// Means of a and of a·b over each group of a sample, for every channel.
    fn moments<T: Real>(&self, a: &[T], b: &[T], channels: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut plain, mut product) = (vec![0.0; channels], vec![0.0; channels]);
        for (a, b) in a.chunks_exact(channels).zip(b.chunks_exact(channels)) {
            add_products(&mut plain, &mut product, a, b);
        }
        (self.means(&plain), self.means(&product))
    }

    /// Mean and variance of each group of a sample, for every channel.
    fn statistics<T: Real>(&self, x: &[T], channels: usize) -> (Vec<f64>, Vec<f64>) {
        let (mean, square) = self.moments(x, x, channels);
        let mut variance: Vec<f64> =
            square.iter().zip(&mean).map(|(square, mean)| square - mean * mean).collect();
        if variance.iter().zip(&mean).any(|(variance, mean)| *variance < 1e-2 * mean * mean) {
            // The difference of two like numbers: once more about the mean.
            let mut square = vec![0.0; channels];
            x.chunks_exact(channels).for_each(|x| add_squares(&mut square, x, &mean));
            variance = self.means(&square);
        }
        (mean, variance)
    }
}

fn rounded<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|v| T::of(*v)).collect()
}

struct Tape<T: Real> {
    norm: GroupNorm,
    /// x̂.
    out: Activations<T>,
    /// 1/√(variance + ε) of each channel of each sample, times 2^−`shift`.
    scales: Vec<T>,
    shift: i64,
}

super::one_to_one!(GroupNorm);

impl<T: Real> Unary<T> for GroupNorm {
    fn apply(&self, x: Activations<T>, _: &mut Context<T>) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let Signal { mut values, exponent } = owned(x);
        let channels = values.nrows();
        let sample = channels * self.positions;
        let (mut means, mut inverse) = (Vec::new(), Vec::new());
        for x in values.as_slice().chunks_exact(sample) {
            let (mean, variance) = self.statistics(x, channels);
            means.extend(mean);
            let one = |v: f64| (Wide::new(v.max(0.0), 2 * exponent) + Wide::from(self.eps)).sqrt().recip();
            inverse.extend(variance.into_iter().map(one));
        }
        let shift = inverse.iter().filter(|w| !w.is_zero()).map(|w| w.exponent()).max().unwrap_or(0);
        let scales: Vec<T> = inverse.iter().map(|w| T::of(w.scaled(-shift).to_f64())).collect();
        let (means, zeros) = (rounded::<T>(&means), vec![T::ZERO; channels]);
        let each = values.as_mut_slice().chunks_exact_mut(sample);
        for ((x, mean), scale) in each.zip(means.chunks(channels)).zip(scales.chunks(channels)) {
            x.chunks_exact_mut(channels).for_each(|x| standardize(x, &zeros, [mean, &zeros, scale]));
        }
        let out = Rc::new(CachedSignal::from(Signal::new(values, exponent + shift)));
        (Rc::clone(&out), Box::new(Tape { norm: *self, out, scales, shift }))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    /// dx = (d − mean(d) − x̂·mean(d·x̂))/√(variance + ε), means over the group.
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        let Signal { mut values, exponent } = d.signal;
        let Self { norm, out, scales, shift } = *self;
        let hat = &out.signal.values;
        // x̂ has mean square 1 unless ε outweighs the variance; then its exponent is negative, and this term small.
        let square = power_of_two::<f64>((2 * out.signal.exponent).clamp(-2000, 200));
        let channels = values.nrows();
        let sample = channels * norm.positions;
        let each = values.as_mut_slice().chunks_exact_mut(sample).zip(hat.as_slice().chunks_exact(sample));
        for ((d, hat), scale) in each.zip(scales.chunks(channels)) {
            let (mean, slope) = norm.moments(d, hat, channels);
            let slope: Vec<f64> = slope.iter().map(|slope| slope * square).collect();
            let (mean, slope) = (rounded::<T>(&mean), rounded::<T>(&slope));
            let positions = d.chunks_exact_mut(channels).zip(hat.chunks_exact(channels));
            positions.for_each(|(d, hat)| standardize(d, hat, [&mean, &slope, scale]));
        }
        Signal::new(values, exponent + shift)
    }
}
