//! Two-dimensional convolution as matrix products over blocks of windows.
//!
//! No more than a block of the gathered input is in memory, and of the weight gradient no more than some rows of the kernel:
//! only its moments are wanted.

use super::forms::{BiasSpec, Padding, Pair};
use super::layer::{
    self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, divisor_near, read, single, sized,
};
use super::parameters::gradient_of;
use super::record::{Moments, product_moments};
use super::window::{Channels, Window};
use super::{
    Activations, Context, Counts, Exported, Exports, Operator, Parameter, Role, Shape, Shapes, Source, Space,
    Unary, UnaryBackward, linear,
};
use crate::numeric::cached::CachedSignal;
use crate::numeric::product::{View, product_into_new, product_to};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two};
use crate::numeric::slice::sums;
use crate::numeric::wide::Wide;
use crate::weights::{Dense, LinearMap};
use nalgebra::{DMatrix, Dyn};
use serde::{Deserialize, Serialize};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType {
    name: "conv2d",
    fields: &["out", "kernel", "stride", "padding", "dilation", "groups", "init", "bias"],
    read: read::<Spec>,
};

/// The fields of a convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Channels.
    out: usize,
    /// Height and width of the kernel.
    kernel: Pair,
    /// Positions between two outputs.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    stride: Pair,
    /// Zeros around the image.
    #[serde(default)]
    padding: Padding,
    /// Positions between two taps.
    #[serde(default = "Pair::one", skip_serializing_if = "Pair::is_one")]
    dilation: Pair,
    /// Groups of channels that do not see one another.
    #[serde(default = "layer::one", skip_serializing_if = "layer::is_one")]
    groups: usize,
    /// In place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<BiasSpec>,
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = single("conv2d", inputs)?;
        let Space::Image(height, width) = input.shape.space else {
            return Err(format!(
                "conv2d takes an image [channels, height, width], not {}; `linear` takes it as it is",
                input.shape
            ));
        };
        let window = Window::of([height, width], self.kernel, self.stride, self.padding, self.dilation)?;
        let (channels, groups) = (input.shape.channels, self.groups);
        if groups == 0 || !channels.is_multiple_of(groups) || !self.out.is_multiple_of(groups) {
            return Err(format!(
                "groups = {groups} does not divide both the {channels} channels that come in and out = {}; {} does",
                self.out,
                divisor_near(gcd(channels, self.out), groups)
            ));
        }
        let out = Shape { channels: self.out, space: Space::Image(window.output[0], window.output[1]) };
        let taps = sized("its kernel", &window.kernel)?;
        let fan_in = sized("its fan-in", &[channels / groups, taps])?;
        let fans = (fan_in, sized("its fan-out", &[self.out, taps])?);
        let entry = to.entry(&NewEntry {
            part: None,
            kind: "conv2d",
            fans,
            units: self.out,
            positions: out.positions(),
            weighted: true,
        })?;
        let parameter = to.parameter(&Wanted {
            part: None,
            gate: None,
            role: Role::Weight,
            shape: (self.out, fan_in),
            fans,
            counts: Counts { groups, ..Counts::of_width(channels) },
            kernel: Some(window.kernel),
            init: self.init.as_deref(),
            bias: self.bias.as_ref(),
            entry,
            source: Source::Law,
            deepens: true,
        });
        let operator = Conv { units: self.out, window, channels, groups };
        to.node(NewNode {
            parameters: vec![parameter],
            entry: Some(entry),
            ..NewNode::plain(operator, input, out)
        })
    }
}

impl Operator for Conv {
    fn operations(&self, shapes: &Shapes, parameters: &[&Parameter]) -> f64 {
        parameters.iter().map(|parameter| linear::operations(parameter, shapes.positions())).sum()
    }

    /// Gathered for two products and scattered behind the third.
    fn copied(&self, _: &Shapes) -> f64 {
        let gathered = if self.window.is_pointwise() { 0 } else { self.window.windows() };
        3.0 * gathered as f64 * self.window.taps() as f64 * self.channels as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        4 * shapes.input_size() as u128 * samples as u128
    }

    /// out × in/groups × height × width.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        let mut all = Vec::new();
        for (parameter, arrays) in &exported.parameters {
            let [height, width] = self.window.kernel;
            let (size, taps) = (self.channels / self.groups, height * width);
            let mut values = Vec::with_capacity(arrays.weights.len());
            for unit in 0..self.units {
                for channel in 0..size {
                    values.extend((0..taps).map(|tap| arrays.weights[(unit, tap * size + channel)]));
                }
            }
            let shape = vec![self.units, size, height, width];
            all.push(Exports::of(&parameter.path, "weight", shape, values));
            all.extend(Exports::bias(parameter, arrays));
        }
        all
    }
}

/// The drawn weights of a parameter with all its taps, rows × columns.
pub fn with_all_taps<T: Real>(parameter: &Parameter, drawn: DMatrix<T>) -> DMatrix<T> {
    if !parameter.center {
        return drawn;
    }
    let (size, first) = (drawn.ncols(), parameter.center_tap() * drawn.ncols());
    let mut all = DMatrix::from_element(parameter.rows(), parameter.shape.1, T::ZERO);
    all.columns_mut(first, size).copy_from(&drawn);
    all
}

/// A convolution. Rows of W are output channels, columns (tap, input channel of the group).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Output channels.
    pub units: usize,
    /// Where its windows lie.
    pub window: Window,
    /// Channels that come in.
    pub channels: usize,
    /// Groups of channels that do not see one another.
    pub groups: usize,
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
    fn drawn_window<T: Real>(&self, context: &Context<T>) -> Window {
        let parameter = context.parameter(0);
        let center = parameter.center && context.array(parameter).is_none();
        if center { self.window.center() } else { self.window }
    }

    fn group(&self, group: usize) -> Channels {
        let size = self.channels / self.groups;
        Channels { all: self.channels, first: group * size, size }
    }

    /// Σ of W·x without bias.
    fn product<T: Real>(
        &self,
        x: &Activations<T>,
        dense: &mut Dense<T>,
        context: &mut Context<T>,
    ) -> Signal<T> {
        let window = self.drawn_window(context);
        let units = self.units;
        let count = window.windows() * context.batch;
        let (scale, mean) = dense.affine();
        let z = match dense.unit(context.threads) {
            Some(unit) => {
                let z = self.windows_times(&unit, x, T::of(scale.mantissa()), &window, context);
                Signal::shared(z, x.signal.exponent + scale.exponent(), context.threads)
            }
            None => Signal::new(zeros(units, count), 0),
        };
        if mean.is_zero() { z } else { z.plus(self.mean_forward(&x.signal, mean, &window, context.batch)) }
    }

    /// alpha·W·x of a matrix of numbers.
    fn windows_times<T: Real>(
        &self,
        unit: &View<T>,
        x: &Activations<T>,
        alpha: T,
        window: &Window,
        context: &mut Context<T>,
    ) -> DMatrix<T> {
        let (units, rows) = (self.units, self.units / self.groups);
        let count = window.windows() * context.batch;
        let entries = x.signal.values.as_slice();
        let mut z = DMatrix::<MaybeUninit<T>>::uninit(Dyn(units), Dyn(count));
        for group in 0..self.groups {
            let channels = self.group(group);
            let weights = unit.rows(group * rows, (group + 1) * rows);
            for part in blocks(count, block(window.taps() * channels.size)) {
                let out = &mut z.as_mut_slice()[part.start * units + group * rows..];
                let view = if window.is_pointwise() {
                    let view = View::of(entries, self.channels, count, self.channels);
                    let view = view.rows(channels.first, channels.first + channels.size);
                    view.columns(part.start, part.end)
                } else {
                    let kernel = 0..window.kernel[0];
                    let scratch = &mut context.scratch;
                    window.gathered(entries, channels, &kernel, &part, scratch, context.threads)
                };
                product_into_new(out, units, &weights, &view, alpha, context.threads);
            }
        }
        // SAFETY: the products have written every block of columns of every group of rows, and groups divide the units.
        unsafe { z.assume_init() }
    }

    /// mean·Σ of what a window covers, the same for all units of a group.
    fn mean_forward<T: Real>(&self, x: &Signal<T>, mean: Wide, window: &Window, batch: usize) -> Signal<T> {
        let (size, rows) = (self.channels / self.groups, self.units / self.groups);
        let count = window.windows();
        let mut out = DMatrix::from_element(self.units, count * batch, T::ZERO);
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
        let (size, rows) = (self.channels / self.groups, self.units / self.groups);
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
    fn input_gradient<T: Real>(
        &self,
        d: &Signal<T>,
        dense: &mut Dense<T>,
        context: &mut Context<T>,
    ) -> Signal<T> {
        let window = self.drawn_window(context);
        let units = self.units;
        let (count, positions) = (window.windows() * context.batch, window.positions() * context.batch);
        let (scale, mean) = dense.affine();
        let alpha = T::of(scale.mantissa());
        let mut dx = zeros(self.channels, positions);
        let gradient = View::plain(&d.values);
        if let Some(unit) = dense.unit(context.threads) {
            let rows = units / self.groups;
            for group in 0..self.groups {
                let channels = self.group(group);
                let weights = unit.rows(group * rows, (group + 1) * rows).transposed();
                let gradient = gradient.rows(group * rows, (group + 1) * rows);
                if window.is_pointwise() {
                    let out = &mut dx.as_mut_slice()[channels.first..];
                    product_to(out, self.channels, &weights, &gradient, alpha, false, context.threads);
                    continue;
                }
                let height = window.taps() * channels.size;
                for part in blocks(count, block(height)) {
                    let room = height * part.len();
                    grow(&mut context.scratch, room);
                    let columns = gradient.columns(part.start, part.end);
                    product_to(
                        &mut context.scratch,
                        height,
                        &weights,
                        &columns,
                        alpha,
                        false,
                        context.threads,
                    );
                    let sample = part.start / window.windows() * window.positions() * self.channels;
                    let dx = &mut dx.as_mut_slice()[sample..];
                    window.scatter(dx, channels, &part, &context.scratch, context.threads);
                }
            }
        }
        let dx = Signal::shared(dx, d.exponent + scale.exponent(), context.threads);
        if mean.is_zero() { dx } else { dx.plus(self.mean_backward(d, mean, &window, context.batch)) }
    }

    /// Moments of the entries of ∂C/∂W, summed kernel row by kernel row.
    fn weight_gradient<T: Real>(
        &self,
        x: &Activations<T>,
        d: &Signal<T>,
        context: &mut Context<T>,
    ) -> Moments {
        let window = &self.window;
        let rows = self.units / self.groups;
        let size = self.channels / self.groups;
        let row = window.kernel[1] * size;
        let (mut total, mut square) = (0.0, 0.0);
        let mut sum = Vec::new();
        for group in 0..self.groups {
            for taps in blocks(window.kernel[0], TALL.div_ceil(row).min(window.kernel[0])) {
                sum.clear();
                sum.resize(rows * taps.len() * row, T::ZERO);
                self.tile(
                    (&mut sum, rows),
                    &Tile { group, taps, scale: T::ONE, add: false },
                    (x, d),
                    context,
                );
                let (plain, squares) = sums(&sum);
                total += plain;
                square += squares;
            }
        }
        let exponent = x.signal.exponent + d.exponent;
        product_moments((window.taps() * size, self.units), square, total, exponent)
    }

    /// Adds ∂C/∂W and ∂C/∂b where they are wanted.
    fn collect<T: Real>(&self, x: &Activations<T>, d: &Signal<T>, context: &mut Context<T>) {
        let mut all = context.gradients.take();
        if let Some(gradient) = gradient_of(&mut all, context.parameter(0)) {
            let add = gradient.begin();
            gradient.add_bias(d, add);
            let (units, scale) = (self.units, power_of_two(x.signal.exponent + d.exponent));
            for group in 0..self.groups {
                let to = &mut gradient.weights.as_mut_slice()[group * (units / self.groups)..];
                let taps = 0..self.window.kernel[0];
                self.tile((to, units), &Tile { group, taps, scale, add }, (x, d), context);
            }
        }
        context.gradients = all;
    }

    /// The part of D·(gathered x)ᵀ that belongs to a tile of W, into columns that lie `stride` apart.
    fn tile<T: Real>(
        &self,
        (to, stride): (&mut [T], usize),
        tile: &Tile<T>,
        (x, d): (&Activations<T>, &Signal<T>),
        context: &mut Context<T>,
    ) {
        let window = &self.window;
        let count = window.windows() * context.batch;
        let rows = self.units / self.groups;
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
                let view = view.columns(part.start, part.end).transposed();
                product_to(to, stride, &columns, &view, tile.scale, add, context.threads);
                continue;
            }
            let view =
                window.gathered(entries, channels, &tile.taps, &part, &mut context.scratch, context.threads);
            product_to(to, stride, &columns, &view.transposed(), tile.scale, add, context.threads);
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

/// Memory that is zero as the system gives it, where it is given anew.
fn zeros<T: Real>(rows: usize, columns: usize) -> DMatrix<T> {
    DMatrix::from_vec(rows, columns, vec![T::ZERO; rows * columns])
}

fn grow<T: Real>(scratch: &mut Vec<T>, room: usize) {
    if scratch.len() < room {
        scratch.resize(room, T::ZERO);
    }
}

struct Tape<T: Real> {
    conv: Conv,
    dense: Dense<T>,
    x: Activations<T>,
}

super::one_to_one!(Conv);

impl<T: Real> Unary<T> for Conv {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let parameter = context.parameter(0);
        let mut dense = context.dense(parameter);
        let z = self.product(&x, &mut dense, context);
        let mut z = context.rescaled(parameter, z);
        if !context.keep_weights {
            dense.release();
        }
        if let Some(bias) = context.bias(parameter) {
            z = z.plus_column(&bias);
        }
        (Rc::new(CachedSignal::from(z)), Box::new(Tape { conv: *self, dense, x }))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let Self { conv, mut dense, x } = *self;
        let parameter = context.parameter(0);
        conv.collect(&x, &d.signal, context);
        if !context.quiet {
            let moments = conv.weight_gradient(&x, &d.signal, context);
            context.observe_own_weight_gradient(moments);
        }
        drop(x);
        if !context.call.input_gradient {
            return d.signal;
        }
        let dx = conv.input_gradient(&d.signal, &mut dense, context);
        context.with_factor(parameter, dx)
    }
}
