//! Two-dimensional convolution as matrix products over blocks of windows.
//!
//! No more than a block of the gathered input is in memory, and of the weight gradient no more than some rows of the kernel:
//! only its moments are wanted.

use super::parameters::gradient_of;
use super::pass::{Back, Layer, Pass, Value, Weights};
use super::window::{Channels, Window};
use crate::numeric::cached::Observed;
use crate::numeric::product::{View, product_to};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use crate::numeric::slice::sums;
use crate::numeric::wide::Wide;
use crate::op::record::{Moments, product_moments};
use crate::weights::{Dense, Operator};
use nalgebra::DMatrix;
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

/// A convolution. Rows of W are output channels, columns (tap, input channel of the group).
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// W and b.
    pub weights: Weights,
    /// Where its windows lie.
    pub window: Window,
    /// Channels that come in.
    pub channels: usize,
    /// Groups of channels that do not see one another.
    pub groups: usize,
    /// The law is that of the centre tap; all others are zero.
    pub centre: bool,
    /// Nothing below needs a gradient.
    pub first: bool,
}

/// Entries of the gathered input that are in memory at once.
const BLOCK: usize = 1 << 21;
/// Rows of the gathered input that a product with them should have at least.
const TALL: usize = 512;

/// Windows of a block of this height.
fn block(height: usize) -> usize {
    (BLOCK / height.max(1)).max(64)
}

fn blocks(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |from| from..(from + size).min(count))
}

impl Conv {
    /// Given weights have all taps.
    fn drawn_window<T: Real>(&self, pass: &Pass<T>) -> Window {
        if self.centre && pass.given.is_none() { self.window.centre() } else { self.window }
    }

    /// The weights of all taps, of drawn ones.
    pub fn with_all_taps<'a, T: Real>(&self, drawn: &'a DMatrix<T>) -> Cow<'a, DMatrix<T>> {
        if !self.centre {
            return Cow::Borrowed(drawn);
        }
        let [rows, columns] = self.window.kernel.map(|size| (size - 1) / 2);
        let size = self.channels / self.groups;
        let first = (rows * self.window.kernel[1] + columns) * size;
        let mut all = DMatrix::from_element(self.weights.units, self.window.taps() * size, T::ZERO);
        all.columns_mut(first, size).copy_from(drawn);
        Cow::Owned(all)
    }

    fn group(&self, group: usize) -> Channels {
        let size = self.channels / self.groups;
        Channels { all: self.channels, first: group * size, size }
    }

    /// Σ of W·x without bias.
    fn product<T: Real>(&self, x: &Value<T>, dense: &mut Dense<T>, pass: &mut Pass<T>) -> Signal<T> {
        let window = self.drawn_window(pass);
        let units = self.weights.units;
        let count = window.windows() * pass.batch;
        let (scale, mean) = dense.affine();
        let alpha = T::of(scale.mantissa());
        let mut z = DMatrix::from_element(units, count, T::ZERO);
        let entries = x.signal.values.as_slice();
        if let Some(unit) = dense.unit(pass.threads) {
            let rows = units / self.groups;
            for group in 0..self.groups {
                let channels = self.group(group);
                let weights = unit.rows(group * rows, (group + 1) * rows);
                let height = window.taps() * channels.size;
                for part in blocks(count, block(height)) {
                    let out = &mut z.as_mut_slice()[part.start * units + group * rows..];
                    if window.is_pointwise() {
                        let view = View::of(entries, self.channels, count, self.channels);
                        let view = view.rows(channels.first, channels.first + channels.size);
                        let view = view.columns(part.start, part.end);
                        product_to(out, units, &weights, &view, alpha, false, pass.threads);
                        continue;
                    }
                    let rows = 0..window.kernel[0];
                    let view =
                        window.gathered(entries, channels, &rows, &part, &mut pass.scratch, pass.threads);
                    product_to(out, units, &weights, &view, alpha, false, pass.threads);
                }
            }
        }
        let z = Signal::new(z, x.signal.exponent + scale.exponent());
        if mean.is_zero() { z } else { z.plus(self.mean_forward(&x.signal, mean, &window, pass.batch)) }
    }

    /// mean·Σ of what a window covers, the same for all units of a group.
    fn mean_forward<T: Real>(&self, x: &Signal<T>, mean: Wide, window: &Window, batch: usize) -> Signal<T> {
        let (size, rows) = (self.channels / self.groups, self.weights.units / self.groups);
        let count = window.windows();
        let mut out = DMatrix::from_element(self.weights.units, count * batch, T::ZERO);
        for (index, mut column) in out.column_iter_mut().enumerate() {
            let first = index / count * window.positions();
            for group in 0..self.groups {
                let mut sum = 0.0;
                window.each(index % count, |_, position| {
                    let from = (first + position) * self.channels + group * size;
                    sum += x.values.as_slice()[from..from + size].iter().map(|v| v.to_f64()).sum::<f64>();
                });
                column.rows_mut(group * rows, rows).fill(T::of(sum));
            }
        }
        Signal::new(out, x.exponent).times(mean)
    }

    /// Σ over units of the gradient, at every position that a window covers.
    fn mean_backward<T: Real>(&self, d: &Signal<T>, mean: Wide, window: &Window, batch: usize) -> Signal<T> {
        let (size, rows) = (self.channels / self.groups, self.weights.units / self.groups);
        let (count, positions) = (window.windows(), window.positions());
        let mut sums = vec![0.0; positions * batch * self.groups];
        for (index, column) in d.values.column_iter().enumerate() {
            for group in 0..self.groups {
                let total: f64 = column.rows(group * rows, rows).iter().map(|v| v.to_f64()).sum();
                window.each(index % count, |_, position| {
                    sums[(index / count * positions + position) * self.groups + group] += total;
                });
            }
        }
        let values = DMatrix::from_fn(self.channels, positions * batch, |channel, column| {
            T::of(sums[column * self.groups + channel / size])
        });
        Signal::new(values, d.exponent).times(mean)
    }

    /// Wᵀ·D at every position.
    fn input_gradient<T: Real>(&self, d: &Signal<T>, dense: &mut Dense<T>, pass: &mut Pass<T>) -> Signal<T> {
        let window = self.drawn_window(pass);
        let units = self.weights.units;
        let (count, positions) = (window.windows() * pass.batch, window.positions() * pass.batch);
        let (scale, mean) = dense.affine();
        let alpha = T::of(scale.mantissa());
        let mut dx = DMatrix::from_element(self.channels, positions, T::ZERO);
        let gradient = View::plain(&d.values);
        if let Some(unit) = dense.unit(pass.threads) {
            let rows = units / self.groups;
            for group in 0..self.groups {
                let channels = self.group(group);
                let weights = unit.rows(group * rows, (group + 1) * rows).turned();
                let gradient = gradient.rows(group * rows, (group + 1) * rows);
                if window.is_pointwise() {
                    let out = &mut dx.as_mut_slice()[channels.first..];
                    product_to(out, self.channels, &weights, &gradient, alpha, false, pass.threads);
                    continue;
                }
                let height = window.taps() * channels.size;
                for part in blocks(count, block(height)) {
                    let room = height * part.len();
                    grow(&mut pass.scratch, room);
                    let columns = gradient.columns(part.start, part.end);
                    product_to(&mut pass.scratch, height, &weights, &columns, alpha, false, pass.threads);
                    let sample = part.start / window.windows() * window.positions() * self.channels;
                    let dx = &mut dx.as_mut_slice()[sample..];
                    window.scatter(dx, channels, &part, &pass.scratch, pass.threads);
                }
            }
        }
        let dx = Signal::new(dx, d.exponent + scale.exponent());
        if mean.is_zero() { dx } else { dx.plus(self.mean_backward(d, mean, &window, pass.batch)) }
    }

    /// Moments of the entries of ∂C/∂W, summed kernel row by kernel row.
    fn weight_gradient<T: Real>(&self, x: &Value<T>, d: &Signal<T>, pass: &mut Pass<T>) -> Moments {
        let window = &self.window;
        let rows = self.weights.units / self.groups;
        let size = self.channels / self.groups;
        let row = window.kernel[1] * size;
        let (mut total, mut square) = (0.0, 0.0);
        let mut sum = Vec::new();
        for group in 0..self.groups {
            for taps in blocks(window.kernel[0], TALL.div_ceil(row).min(window.kernel[0])) {
                sum.clear();
                sum.resize(rows * taps.len() * row, T::ZERO);
                self.tile((&mut sum, rows), &Tile { group, taps, scale: T::ONE, add: false }, (x, d), pass);
                let (plain, squares) = sums(&sum);
                total += plain;
                square += squares;
            }
        }
        let exponent = x.signal.exponent + d.exponent;
        product_moments((window.taps() * size, self.weights.units), square, total, exponent)
    }

    /// Adds ∂C/∂W and ∂C/∂b where they are wanted.
    fn collect<T: Real>(&self, x: &Value<T>, d: &Signal<T>, pass: &mut Pass<T>) {
        let mut all = pass.gradients.take();
        if let Some(gradient) = gradient_of(&mut all, &self.weights) {
            let add = gradient.begin();
            gradient.add_bias(d, add);
            let (units, scale) = (self.weights.units, power_of_two(x.signal.exponent + d.exponent));
            for group in 0..self.groups {
                let to = &mut gradient.weights.as_mut_slice()[group * (units / self.groups)..];
                let taps = 0..self.window.kernel[0];
                self.tile((to, units), &Tile { group, taps, scale, add }, (x, d), pass);
            }
        }
        pass.gradients = all;
    }

    /// The part of D·(gathered x)ᵀ that belongs to a tile of W, into columns that lie `stride` apart.
    fn tile<T: Real>(
        &self,
        (to, stride): (&mut [T], usize),
        tile: &Tile<T>,
        (x, d): (&Value<T>, &Signal<T>),
        pass: &mut Pass<T>,
    ) {
        let window = &self.window;
        let count = window.windows() * pass.batch;
        let rows = self.weights.units / self.groups;
        let channels = self.group(tile.group);
        let gradient = View::plain(&d.values).rows(tile.group * rows, (tile.group + 1) * rows);
        let entries = x.signal.values.as_slice();
        let height = tile.taps.len() * window.kernel[1] * channels.size;
        for (index, part) in blocks(count, block(height)).enumerate() {
            let columns = gradient.columns(part.start, part.end);
            let add = tile.add || index > 0;
            if window.is_pointwise() {
                let view = View::of(entries, self.channels, count, self.channels);
                let view = view.rows(channels.first, channels.first + channels.size);
                let view = view.columns(part.start, part.end).turned();
                product_to(to, stride, &columns, &view, tile.scale, add, pass.threads);
                continue;
            }
            let view = window.gathered(entries, channels, &tile.taps, &part, &mut pass.scratch, pass.threads);
            product_to(to, stride, &columns, &view.turned(), tile.scale, add, pass.threads);
        }
    }
}

/// Rows of W that belong to a group, and columns of some kernel rows.
struct Tile<T> {
    group: usize,
    taps: Range<usize>,
    /// Of the product.
    scale: T,
    /// To what is there.
    add: bool,
}

fn grow<T: Real>(scratch: &mut Vec<T>, room: usize) {
    if scratch.len() < room {
        scratch.resize(room, T::ZERO);
    }
}

struct Tape<T: Real> {
    conv: Conv,
    dense: Dense<T>,
    x: Value<T>,
}

impl<T: Real> Layer<T> for Conv {
    fn forward(&self, x: Value<T>, pass: &mut Pass<T>) -> (Value<T>, Box<dyn Back<T>>) {
        let mut dense = pass.dense(&self.weights);
        let z = self.product(&x, &mut dense, pass);
        let mut z = dense.settled(z);
        if !pass.keep_weights {
            dense.release();
        }
        if let Some(bias) = pass.bias(&self.weights) {
            z = z.plus_column(&bias);
        }
        let z = Observed::from(z);
        pass.observe(self.weights.entry, &z);
        (Rc::new(z), Box::new(Tape { conv: self.clone(), dense, x }))
    }
}

impl<T: Real> Back<T> for Tape<T> {
    fn backward(self: Box<Self>, d: Signal<T>, pass: &mut Pass<T>) -> Signal<T> {
        let Self { conv, mut dense, x } = *self;
        let entry = conv.weights.entry;
        let d = Observed::from(d);
        pass.observe_gradient(entry, &d);
        conv.collect(&x, &d.signal, pass);
        if !pass.quiet {
            let moments = conv.weight_gradient(&x, &d.signal, pass);
            pass.observe_weight_gradient(entry, moments);
        }
        drop(x);
        if conv.first && !pass.input_gradient {
            return d.signal;
        }
        conv.input_gradient(&d.signal, &mut dense, pass)
    }
}
