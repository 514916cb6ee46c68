//! Norms: x̂ = (x − mean)/√(variance + ε) over a set of entries; gain and shift are a node behind it ([`super::affine`]).
//!
//! A norm removes the signal's scale: the variance and ε meet as wide numbers, so a signal of 10⁻³⁰⁰ meets ε as it would
//! in exact arithmetic.

use super::context::ALIKE;
use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read};
use super::{
    Activations, Context, Nature, Operator, Shapes, Space, Unary, UnaryBackward, WantedVector, affine,
    exactly,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::slice::{inner, max_abs, sums};
use crate::numeric::wide::Wide;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Batch norm, as an architecture file spells it.
pub const BATCH: LayerType =
    LayerType { name: "batchnorm", fields: &["eps", "gain", "shift"], read: read::<BatchSpec> };
/// Layer norm, likewise.
pub const LAYER: LayerType =
    LayerType { name: "layernorm", fields: &["eps", "gain", "shift", "over"], read: read::<LayerSpec> };
/// Root-mean-square norm, likewise.
pub const RMS: LayerType = LayerType { name: "rmsnorm", fields: &["eps", "gain"], read: read::<RmsSpec> };

/// What is added to the variance where a file says nothing.
pub(super) fn eps() -> f64 {
    1e-5
}

/// The fields that norms share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fields {
    /// Added to the variance, or to the mean square.
    #[serde(default = "eps")]
    eps: f64,
    /// Law of the gain of each channel; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gain: Option<BiasSpec>,
    /// Law of the shift of each channel; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shift: Option<BiasSpec>,
}

impl Fields {
    /// ε, which must be a number from 0 on.
    pub fn eps(&self) -> Result<f64, String> {
        checked_eps(self.eps)
    }

    /// The norm, and behind it gain and shift; a norm that is not centered has no shift.
    pub fn assemble(
        &self,
        to: &mut dyn Assembler,
        (kind, input): (&'static str, Port),
        norm: impl Operator + 'static,
        shifted: bool,
    ) -> Result<Vec<Port>, String> {
        let [out] = exactly(to.node(NewNode::plain(norm, input, input.shape))?);
        let channels = input.shape.channels;
        let gain = WantedVector::gain(channels, self.gain.as_ref());
        let shift = WantedVector::shift(channels, self.shift.as_ref());
        affine::behind_norm(to, out, kind, gain, shift.filter(|_| shifted))
    }
}

/// Over the batch and all positions, a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct BatchSpec(Fields);

/// Over the features of a position, or over all of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LayerSpec {
    /// The features of a position in an image too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over: Option<Averaged>,
    #[serde(flatten)]
    norm: Fields,
}

/// What a layer norm averages over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Averaged {
    /// The channels of each position.
    Channels,
    /// All of a sample.
    Sample,
}

/// As layer norm, without the mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct RmsSpec(Fields);

impl layer::Layer for BatchSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("batchnorm", inputs)?;
        self.0.assemble(
            to,
            ("batchnorm", input),
            Norm { over: Over::Batch, centered: true, eps: self.0.eps()? },
            true,
        )
    }
}

impl layer::Layer for LayerSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("layernorm", inputs)?;
        let over = match self.over {
            None => Over::features(input.shape.space),
            Some(Averaged::Channels) => Over::Position,
            Some(Averaged::Sample) => Over::Sample,
        };
        self.norm.assemble(
            to,
            ("layernorm", input),
            Norm { over, centered: true, eps: self.norm.eps()? },
            true,
        )
    }
}

impl layer::Layer for RmsSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("rmsnorm", inputs)?;
        let over = Over::features(input.shape.space);
        self.0.assemble(to, ("rmsnorm", input), Norm { over, centered: false, eps: self.0.eps()? }, false)
    }
}

/// What may be added to a variance.
///
/// # Errors
/// A number below zero, or none.
pub(super) fn checked_eps(eps: f64) -> Result<f64, String> {
    if eps.is_finite() && eps >= 0.0 {
        Ok(eps)
    } else {
        Err(format!("eps = {eps} is not a number from 0 on"))
    }
}

impl Over {
    /// The features of a position, or all of an image or a volume.
    fn features(space: Space) -> Self {
        if space.has_channels_first() { Self::Sample } else { Self::Position }
    }
}

impl Operator for Norm {
    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.output_size() as u128 * samples as u128
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Norm { over_batch: self.over == Over::Batch }
    }
}

/// A norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// What is averaged over.
    pub over: Over,
    /// The mean is subtracted.
    pub centered: bool,
    /// Added to the variance, or to the mean square.
    pub eps: f64,
}

/// The entries that are averaged over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A channel at all positions of all samples (Ioffe & Szegedy 2015).
    Batch,
    /// The channels of a position (Ba et al. 2016).
    Position,
    /// So many neighboring channels of a position, as a head of an attention (Henry et al. 2020, arXiv:2010.04245).
    Channels(usize),
    /// All of a sample.
    Sample,
}

struct Tape<T: Real> {
    norm: Norm,
    /// x̂.
    out: Activations<T>,
    /// 1/√(variance + ε) of each set, times 2^−`shift`.
    scales: Vec<T>,
    shift: i64,
}

/// Σa and Σab of each row of two matrices with so many rows.
pub(super) fn row_sums<T: Real>(a: &[T], b: &[T], rows: usize, threads: Threads) -> (Vec<f64>, Vec<f64>) {
    let rows = rows.max(1);
    let parts = pieces::seen(a, pieces::length(rows), threads, |first, a| {
        let (mut plain, mut product) = (vec![0.0; rows], vec![0.0; rows]);
        let b = &b[first..first + a.len()];
        for (a, b) in a.chunks_exact(rows).zip(b.chunks_exact(rows)) {
            add_products(&mut plain, &mut product, a, b);
        }
        (plain, product)
    });
    let (plain, product): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    (pieces::added(plain), pieces::added(product))
}

crate::numeric::slice::for_each_machine! {
    fn add_products<T: Real>(plain: &mut [f64], product: &mut [f64], a: &[T], b: &[T]) {
        for (((plain, product), a), b) in plain.iter_mut().zip(product).zip(a).zip(b) {
            *plain += a.to_f64();
            *product += a.to_f64() * b.to_f64();
        }
    }
}

crate::numeric::slice::for_each_machine! {
    /// (x − mean)·scale of one set each.
    fn standardize<T: Real>(x: &mut [T], mean: &[T], scale: &[T]) {
        x.iter_mut().zip(mean).zip(scale).for_each(|((x, mean), scale)| *x = (*x - *mean) * *scale);
    }
}

crate::numeric::slice::for_each_machine! {
    /// The same of one set.
    fn standardize_set<T: Real>(set: &mut [T], mean: T, scale: T) {
        set.iter_mut().for_each(|v| *v = (*v - mean) * scale);
    }
}

impl Norm {
    /// Entries that follow one another and share a set; one for a batch norm, whose sets are rows.
    fn run<T: Real>(&self, values: &DMatrix<T>, batch: usize) -> usize {
        match self.over {
            Over::Batch => 1,
            Over::Position => values.nrows().max(1),
            Over::Channels(count) => count,
            Over::Sample => (values.len() / batch.max(1)).max(1),
        }
    }

    /// Mean and variance of each set, as mantissas.
    fn moments<T: Real>(&self, x: &DMatrix<T>, batch: usize, threads: Threads) -> Vec<(f64, f64)> {
        let moments = |count: f64, plain: f64, square: f64| {
            let mean = if self.centered { plain / count } else { 0.0 };
            (mean, square / count - mean * mean)
        };
        match self.over {
            Over::Batch => {
                let count = x.ncols() as f64;
                let (plain, square) = row_sums(x.as_slice(), x.as_slice(), x.nrows(), threads);
                plain.iter().zip(&square).map(|(p, s)| moments(count, *p, *s)).collect()
            }
            _ => {
                let run = self.run(x, batch);
                let of = |set: &[T]| {
                    let (plain, square) = sums(set);
                    moments(run as f64, plain, square)
                };
                let found = pieces::seen(x.as_slice(), pieces::length(run), threads, |_, piece| {
                    piece.chunks_exact(run).map(of).collect::<Vec<_>>()
                });
                found.concat()
            }
        }
    }

    /// The variance of set `index` once more about its mean, where the difference of two like numbers lost it.
    fn precise<T: Real>(&self, x: &DMatrix<T>, batch: usize, index: usize, mean: f64) -> f64 {
        let square = |sum: f64, v: &T| sum + (v.to_f64() - mean).powi(2);
        match self.over {
            Over::Batch => x.row(index).iter().fold(0.0, square) / x.ncols() as f64,
            _ => {
                let run = self.run(x, batch);
                x.as_slice()[index * run..][..run].iter().fold(0.0, square) / run as f64
            }
        }
    }
}

super::one_to_one!(Norm);

impl<T: Real> Unary<T> for Norm {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let (values, exponent) = (&x.signal.values, x.signal.exponent);
        let mut moments = self.moments(values, context.batch, context.threads);
        for (index, (mean, variance)) in moments.iter_mut().enumerate() {
            if *variance < 1e-2 * *mean * *mean {
                *variance = self.precise(values, context.batch, index, *mean);
            }
        }
        if self.over == Over::Batch && !context.replay {
            // Samples and positions that nearly agree: the norm makes a signal of what they differ in.
            let (mut spread, mut square) = (0.0, 0.0);
            for (mean, variance) in &moments {
                spread += variance.max(0.0);
                square += variance.max(0.0) + mean * mean;
            }
            context.doubtful |= spread < (1.0 - ALIKE) * square;
        }
        let inverse: Vec<Wide> = moments
            .iter()
            .map(|(_, variance)| {
                (Wide::new(variance.max(0.0), 2 * exponent) + Wide::from(self.eps)).sqrt().recip()
            })
            .collect();
        let shift = inverse.iter().filter(|w| !w.is_zero()).map(|w| w.exponent()).max().unwrap_or(0);
        let scale = |w: &Wide| T::of(w.scaled(-shift).to_f64());
        let scales: Vec<T> = inverse.iter().map(scale).collect();
        let means: Vec<T> = moments.iter().map(|(mean, _)| T::of(*mean)).collect();
        let signal = Rc::try_unwrap(x).map_or_else(|shared| shared.signal.clone(), |x| x.signal);
        let mut out = signal.values;
        let run = self.run(&out, context.batch);
        let over_batch = self.over == Over::Batch;
        let unit = if over_batch { out.nrows().max(1) } else { run };
        let tops = pieces::each(out.as_mut_slice(), pieces::length(unit), context.threads, |first, piece| {
            for (index, set) in piece.chunks_exact_mut(unit).enumerate() {
                match over_batch {
                    true => standardize(set, &means, &scales),
                    false => standardize_set(set, means[first / unit + index], scales[first / unit + index]),
                }
            }
            max_abs(piece)
        });
        let out = Signal { values: out, exponent: exponent + shift }.normalized_from(&tops);
        let out = Rc::new(CachedSignal::from(out));
        let tape = Tape { norm: *self, out: Rc::clone(&out), scales, shift };
        (out, Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    /// dx = (d − mean(d) − x̂·mean(d·x̂))/√(variance + ε), means over the set.
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let d = d.signal;
        let Self { norm, out, scales, shift } = *self;
        let hat = &out.signal.values;
        // x̂ has mean square 1 unless ε outweighs the variance; then its exponent is negative, and this term small.
        let square = T::of(libm::scalbn(1.0, (2 * out.signal.exponent).clamp(-2000, 200) as i32));
        let mut dx = d.values;
        let centered = |mean: f64| if norm.centered { T::of(mean) } else { T::ZERO };
        let threads = context.threads;
        let tops = if norm.over == Over::Batch {
            let count = dx.ncols() as f64;
            let (plain, product) = row_sums(dx.as_slice(), hat.as_slice(), dx.nrows(), threads);
            let means: Vec<T> = plain.iter().map(|p| centered(p / count)).collect();
            let slopes: Vec<T> = product.iter().map(|p| T::of(p / count) * square).collect();
            let rows = dx.nrows().max(1);
            pieces::each(dx.as_mut_slice(), pieces::length(rows), threads, |first, piece| {
                let hat = &hat.as_slice()[first..first + piece.len()];
                for (dx, hat) in piece.chunks_exact_mut(rows).zip(hat.chunks_exact(rows)) {
                    norm_backward(dx, hat, &means, &slopes, &scales);
                }
                max_abs(piece)
            })
        } else {
            let run = norm.run(hat, context.batch);
            pieces::each(dx.as_mut_slice(), pieces::length(run), threads, |first, piece| {
                let hat = &hat.as_slice()[first..first + piece.len()];
                let sets = piece.chunks_exact_mut(run).zip(hat.chunks_exact(run));
                for ((dx, hat), scale) in sets.zip(&scales[first / run..]) {
                    let (plain, _) = sums(dx);
                    let mean = centered(plain / run as f64);
                    let slope = T::of(inner(dx, hat) / run as f64) * square;
                    set_backward(dx, hat, mean, slope, *scale);
                }
                max_abs(piece)
            })
        };
        Signal { values: dx, exponent: d.exponent + shift }.normalized_from(&tops)
    }
}

crate::numeric::slice::for_each_machine! {
    fn set_backward<T: Real>(dx: &mut [T], hat: &[T], mean: T, slope: T, scale: T) {
        dx.iter_mut().zip(hat).for_each(|(d, hat)| *d = (*d - mean - *hat * slope) * scale);
    }
}

crate::numeric::slice::for_each_machine! {
    fn norm_backward<T: Real>(dx: &mut [T], hat: &[T], mean: &[T], slope: &[T], scale: &[T]) {
        for ((((d, hat), mean), slope), scale) in dx.iter_mut().zip(hat).zip(mean).zip(slope).zip(scale) {
            *d = (*d - *mean - *hat * *slope) * *scale;
        }
    }
}
