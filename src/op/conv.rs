//! Convolutions of sequences, images and volumes as matrix products over blocks of windows.
//!
//! No more than a block of the gathered input is in memory, and of the weight gradient no more than some rows of the kernel:
//! only its moments are wanted.

use super::forms::{BiasSpec, Padding, PerAxis};
use super::layer::{
    self, Assembler, LayerType, NewEntry, NewNode, Port, Wanted, divisor_near, gcd, read, single, sized,
};
use super::parameters::gradient_of;
use super::record::{Moments, product_moments};
use super::standardize::{self, Standardize, Standardized};
use super::window::{Channels, Placement, Window};
use super::winograd::{self, Tiling, Weights};
use super::{
    Activations, Context, Counts, Exported, Exports, Operator, Parameter, Shape, Shapes, Space, Unary,
    UnaryBackward, depthwise, linear,
};
use crate::numeric::cached::{CachedSignal, SUMS};
use crate::numeric::product::{Triangle, View, product_into_new, product_to};
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, power_of_two, zeros};
use crate::numeric::slice::{inner, sums};
use crate::numeric::wide::Wide;
use crate::weights::{Dense, LinearMap};
use nalgebra::{DMatrix, Dyn};
use serde::{Deserialize, Serialize};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::rc::Rc;

const FIELDS: &[&str] =
    &["out", "kernel", "stride", "padding", "dilation", "groups", "standardize", "init", "bias"];
const CAUSAL: &[&str] =
    &["out", "kernel", "stride", "padding", "dilation", "groups", "standardize", "init", "bias", "causal"];

/// Of sequences, as an architecture file spells it.
pub const ONE: LayerType = LayerType { name: "conv1d", fields: CAUSAL, read: read::<Spec<1>> };
/// Of images.
pub const TWO: LayerType = LayerType { name: "conv2d", fields: FIELDS, read: read::<Spec<2>> };
/// Of volumes.
pub const THREE: LayerType = LayerType { name: "conv3d", fields: FIELDS, read: read::<Spec<3>> };

/// The fields of a convolution along so many axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec<const AXES: usize> {
    /// Channels.
    out: usize,
    /// Taps along each axis.
    kernel: PerAxis,
    /// Positions between two outputs.
    #[serde(default = "PerAxis::one", skip_serializing_if = "PerAxis::is_one")]
    stride: PerAxis,
    /// Zeros around the sample.
    #[serde(default)]
    padding: Padding,
    /// Positions between two taps.
    #[serde(default = "PerAxis::one", skip_serializing_if = "PerAxis::is_one")]
    dilation: PerAxis,
    /// An output sees its own position and those before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    causal: bool,
    /// Groups of channels that do not see one another.
    #[serde(default = "layer::one", skip_serializing_if = "layer::is_one")]
    groups: usize,
    /// How the weights of each channel are standardized, if at all.
    #[serde(default, deserialize_with = "standardize::field", skip_serializing_if = "Option::is_none")]
    standardize: Option<standardize::Fields>,
    /// In place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<BiasSpec>,
}

/// The single input of a layer of a family, such as `conv`, that has a type for each number of axes.
///
/// # Errors
/// Another number of inputs, or another number of axes, with the type that fits.
pub fn along_axes(family: &str, axes: usize, inputs: &[Port]) -> Result<Port, String> {
    let kind = format!("{family}{axes}d");
    let input = single(&kind, inputs)?;
    let space = input.shape.space;
    let fits = match space {
        Space::Tokens(_) => "put an `embedding` before it".into(),
        Space::Flat => "`linear` takes it as it is".into(),
        _ if space.axes().len() == axes => return Ok(input),
        _ => format!("`{family}{}d` takes it as it is", space.axes().len()),
    };
    let takes = match axes {
        1 => "a sequence [length, features]",
        2 => "an image [channels, height, width]",
        _ => "a volume [channels, depth, height, width]",
    };
    Err(format!("{kind} takes {takes}, not {}; {fits}", input.shape))
}

/// Groups of channels on both sides.
///
/// # Errors
/// A number that does not divide both, with the nearest that does.
pub fn grouped(groups: usize, channels: usize, out: usize) -> Result<(), String> {
    if groups == 0 || !channels.is_multiple_of(groups) || !out.is_multiple_of(groups) {
        return Err(format!(
            "groups = {groups} does not divide both the {channels} channels that come in and out = {out}; {} does",
            divisor_near(gcd(channels, out), groups)
        ));
    }
    Ok(())
}

impl<const AXES: usize> layer::Layer for Spec<AXES> {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = along_axes("conv", AXES, inputs)?;
        if self.causal && self.padding != Padding::default() {
            return Err("causal = true sets the padding; leave `padding` out".into());
        }
        let Self { kernel, stride, padding, dilation, causal, .. } = self;
        let placement = Placement { kernel, stride, padding, dilation, causal: *causal };
        let window = placement.window(input.shape.space)?;
        let (channels, groups) = (input.shape.channels, self.groups);
        grouped(groups, channels, self.out)?;
        let standardize = self.standardize.as_ref().map(|fields| fields.checked(self.out)).transpose()?;
        let out = Shape { channels: self.out, space: input.shape.space.resized(window.output) };
        let taps = sized("its kernel", &window.kernel)?;
        let fan_in = sized("its fan-in", &[channels / groups, taps])?;
        let fans = (fan_in, sized("its fan-out", &[self.out, taps])?);
        let entry = to.entry(&NewEntry {
            part: None,
            kind: ["conv1d", "conv2d", "conv3d"][AXES - 1],
            fans,
            units: self.out,
            positions: sized("its output", &window.output)?,
            weighted: true,
        })?;
        let parameter = to.parameter(&Wanted {
            fans,
            counts: Counts { groups, ..Counts::of_width(channels) },
            kernel: Some(window.kernel),
            ..Wanted::linear(entry, fan_in, self.out).with(self.init.as_deref(), self.bias.as_ref())
        });
        let gain = self.standardize.as_ref().and_then(|fields| fields.gain(self.out));
        let vectors = gain.iter().map(|gain| to.vector(gain)).collect();
        let operator = Conv { units: self.out, window, channels, groups, axes: AXES, standardize };
        to.node(NewNode {
            parameters: vec![parameter],
            vectors,
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
        let gathered =
            if self.window.is_pointwise() || self.is_depthwise() { 0 } else { self.window.windows() };
        3.0 * gathered as f64 * self.window.taps() as f64 * self.channels as f64
    }

    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        // Standardized weights are kept beside those that are drawn, and beside those times their gain; their gradient is whole.
        let weights = self.units as u128 * self.fan_in() as u128;
        let standardized =
            self.standardize.map_or(0, |how| if how.gain { 12 * weights } else { 8 * weights });
        let columns = shapes.inputs.first().map_or(1, |shape| shape.positions()) as u128;
        (4 * shapes.input_size() as u128 + SUMS * columns) * samples as u128 + standardized
    }

    /// out × in/groups × the kernel; a gain of standardized weights has an axis of one number for each of theirs.
    fn export(&self, exported: &Exported) -> Vec<Exports> {
        let mut all = Vec::new();
        for (parameter, arrays) in &exported.parameters {
            let (size, taps) = (self.channels / self.groups, self.window.taps());
            let mut values = Vec::with_capacity(arrays.weights.len());
            for unit in 0..self.units {
                for channel in 0..size {
                    values.extend((0..taps).map(|tap| arrays.weights[(unit, tap * size + channel)]));
                }
            }
            let shape = [&[self.units, size], &self.window.kernel[3 - self.axes..]].concat();
            all.push(Exports::of(&parameter.path, "weight", shape, values));
            all.extend(Exports::bias(parameter, arrays));
        }
        for (gain, arrays) in &exported.vectors {
            let shape = [vec![gain.length], vec![1; 1 + self.axes]].concat();
            all.push(Exports::of(&gain.path, gain.kind, shape, arrays.weights.as_slice().to_vec()));
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// Output channels.
    pub units: usize,
    /// Where its windows lie.
    pub window: Window,
    /// Channels that come in.
    pub channels: usize,
    /// Groups of channels that do not see one another.
    pub groups: usize,
    /// Axes that its kernel has.
    pub axes: usize,
    /// How the weights of each unit are standardized, if at all.
    pub standardize: Option<Standardize>,
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
    /// Columns of W.
    fn fan_in(&self) -> usize {
        self.window.taps() * (self.channels / self.groups)
    }

    /// Its standardized weights have a gain.
    fn has_gain(&self) -> bool {
        self.standardize.is_some_and(|how| how.gain)
    }

    /// Given weights have all taps, and so have standardized ones.
    fn drawn_window<T: Real>(&self, context: &Context<T>) -> Window {
        let parameter = context.parameter(0);
        let center = parameter.center && context.array(parameter).is_none() && self.standardize.is_none();
        if center { self.window.center() } else { self.window }
    }

    fn group(&self, group: usize) -> Channels {
        let size = self.channels / self.groups;
        Channels { all: self.channels, first: group * size, size }
    }

    /// Every group has one channel and one unit.
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.channels && self.groups == self.units
    }

    /// alpha·W of a depthwise convolution, one tap after another, all channels of each.
    fn taps<T: Real>(&self, unit: &View<T>, alpha: T) -> Vec<T> {
        unit.entries().map(|w| alpha * w).collect()
    }

    /// Where Winograd's algorithm takes the place of gathered products.
    fn tiling(&self, window: &Window, batch: usize) -> Option<Tiling> {
        if self.groups > 1 { None } else { Tiling::new(window, (self.channels, self.units), batch) }
    }

    /// alpha·W of a kernel of nine taps, or that of the way back.
    fn nine_taps<'a, T: Real>(&self, unit: &'a View<T>, alpha: T, turned: bool) -> Weights<'a, T> {
        let (values, [by_unit, by_column]) = unit.parts();
        let (by_channel, by_tap) = (by_column, by_column * self.channels);
        let (rows, columns, strides) = match turned {
            false => (self.units, self.channels, [by_unit, by_channel, by_tap]),
            true => (self.channels, self.units, [by_channel, by_unit, by_tap]),
        };
        Weights { values, rows, columns, strides, turned, scale: alpha }
    }

    /// Σ of W·x without bias.
    pub(super) fn product<T: Real>(
        &self,
        x: &Signal<T>,
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
                Signal::shared(z, x.exponent + scale.exponent(), context.threads)
            }
            None => Signal::new(zeros(units, count), 0),
        };
        if mean.is_zero() { z } else { z.plus(self.mean_forward(x, mean, &window, context.batch)) }
    }

    /// alpha·W·x of a matrix of numbers.
    fn windows_times<T: Real>(
        &self,
        unit: &View<T>,
        x: &Signal<T>,
        alpha: T,
        window: &Window,
        context: &mut Context<T>,
    ) -> DMatrix<T> {
        let (units, rows) = (self.units, self.units / self.groups);
        let count = window.windows() * context.batch;
        let entries = x.values.as_slice();
        if self.is_depthwise() {
            let sums = depthwise::Sums::forward(window);
            let size = (units, context.batch);
            return depthwise::convolved(entries, &self.taps(unit, alpha), &sums, size, context.threads);
        }
        if let Some(tiling) = self.tiling(window, context.batch) {
            let weights = self.nine_taps(unit, alpha, false);
            return winograd::convolved(entries, &weights, &tiling, context.threads);
        }
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
                    let kernel = 0..window.kernel_rows();
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
    pub(super) fn transposed<T: Real>(
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
        let gradient = View::plain(&d.values);
        let unit = dense.unit(context.threads);
        if let Some(unit) = unit.as_ref().filter(|_| self.is_depthwise()) {
            let sums = depthwise::Sums::backward(&window);
            let (weights, size) = (self.taps(unit, alpha), (units, context.batch));
            let dx = depthwise::convolved(d.values.as_slice(), &weights, &sums, size, context.threads);
            let dx = Signal::shared(dx, d.exponent + scale.exponent(), context.threads);
            return self.with_mean(dx, (d, mean), &window, context.batch);
        }
        let tiling = self.tiling(&window, context.batch);
        if let Some((unit, tiling)) = unit.as_ref().zip(tiling) {
            let weights = self.nine_taps(unit, alpha, true);
            let dx = winograd::convolved(d.values.as_slice(), &weights, &tiling.turned(), context.threads);
            let dx = Signal::shared(dx, d.exponent + scale.exponent(), context.threads);
            return self.with_mean(dx, (d, mean), &window, context.batch);
        }
        let mut dx = zeros(self.channels, positions);
        if let Some(unit) = unit {
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
        self.with_mean(dx, (d, mean), &window, context.batch)
    }

    /// Scale·Uᵀ·D and what the mean of the weights adds to it.
    fn with_mean<T: Real>(
        &self,
        dx: Signal<T>,
        (d, mean): (&Signal<T>, Wide),
        window: &Window,
        batch: usize,
    ) -> Signal<T> {
        if mean.is_zero() { dx } else { dx.plus(self.mean_backward(d, mean, window, batch)) }
    }

    /// Moments of the entries of ∂C/∂W, summed kernel row by kernel row.
    pub(super) fn weight_gradient<T: Real>(
        &self,
        (x, d): (&Signal<T>, &Signal<T>),
        context: &mut Context<T>,
    ) -> Moments {
        let window = &self.window;
        let rows = self.units / self.groups;
        let size = self.channels / self.groups;
        if self.is_depthwise() {
            let (total, square) = sums(&self.depthwise_gradient((x, d), context));
            let exponent = x.exponent + d.exponent;
            return product_moments((window.taps(), self.units), square, total, exponent);
        }
        let count = x.values.ncols() as u128;
        if window.is_pointwise()
            && self.groups == 1
            && linear::keeps_gram(size as u128, self.units as u128, count)
        {
            let gram = |signal: &Signal<T>| Triangle::gram(&signal.values, context.threads);
            let plain = |signal: &Signal<T>| -> Vec<f64> {
                let rows = signal.values.nrows().max(1);
                signal.values.as_slice().chunks(rows).map(|column| sums(column).0).collect()
            };
            let (square, total) = (gram(x).inner(&gram(d)), inner(&plain(x), &plain(d)));
            return product_moments((size, self.units), square, total, x.exponent + d.exponent);
        }
        if let Some(tiling) = self.tiling(window, context.batch) {
            let (x_of, d_of) = ((x.values.as_slice(), self.channels), (d.values.as_slice(), self.units));
            let (total, square) = winograd::weight_gradient(x_of, d_of, &tiling, context.threads);
            let exponent = x.exponent + d.exponent;
            return product_moments((window.taps() * size, self.units), square, total, exponent);
        }
        let row = window.kernel[2] * size;
        let (mut total, mut square) = (0.0, 0.0);
        let mut sum = Vec::new();
        for group in 0..self.groups {
            for taps in blocks(window.kernel_rows(), TALL.div_ceil(row).min(window.kernel_rows())) {
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
        let exponent = x.exponent + d.exponent;
        product_moments((window.taps() * size, self.units), square, total, exponent)
    }

    /// D·(gathered x)ᵀ of a depthwise convolution, units × taps.
    fn depthwise_gradient<T: Real>(
        &self,
        (x, d): (&Signal<T>, &Signal<T>),
        context: &Context<T>,
    ) -> Vec<f64> {
        let entries = (x.values.as_slice(), d.values.as_slice());
        depthwise::weight_gradient(entries, &self.window, (self.units, context.batch), context.threads)
    }

    /// Adds ∂C/∂W, and ∂C/∂b from the gradient of the layer's output, where they are wanted.
    pub(super) fn collect<T: Real>(
        &self,
        (x, d): (&Signal<T>, &Signal<T>),
        output: &Signal<T>,
        context: &mut Context<T>,
    ) {
        let mut all = context.gradients.take();
        if let Some(gradient) = gradient_of(&mut all, context.parameter(0)) {
            let add = gradient.begin();
            gradient.add_bias(output, add);
            let scale = power_of_two(x.exponent + d.exponent);
            self.all_tiles(gradient.weights.as_mut_slice(), (scale, add), (x, d), context);
        }
        context.gradients = all;
    }

    /// The same of the weights that are standardized, and records the moments of their gradient.
    fn collect_standardized<T: Real>(
        &self,
        weights: &Standardized<T>,
        (x, d): (&Signal<T>, &Signal<T>),
        context: &mut Context<T>,
    ) {
        let parameter = context.parameter(0);
        let mut all = context.gradients.take();
        let wanted = gradient_of(&mut all, parameter);
        let mut gain = None;
        if wanted.is_some() || !context.quiet {
            let mut product = zeros(self.units, self.fan_in());
            self.all_tiles(product.as_mut_slice(), (T::ONE, false), (x, d), context);
            let (exponent, sums_of_gain, exponent_of_gain) = weights.gradient(&mut product, context.threads);
            gain = Some((sums_of_gain, exponent_of_gain + x.exponent + d.exponent));
            let exponent = exponent + x.exponent + d.exponent;
            let (total, square) = sums(product.as_slice());
            let shape = (self.fan_in(), self.units);
            context.observe_own_weight_gradient(product_moments(shape, square, total, exponent));
            if let Some(gradient) = wanted {
                let add = gradient.begin();
                gradient.add_bias(d, add);
                let scale: T = power_of_two(exponent);
                let to = gradient.weights.as_mut_slice().iter_mut().zip(product.as_slice());
                to.for_each(|(to, v)| *to = if add { *to + *v * scale } else { *v * scale });
            }
        }
        context.gradients = all;
        if let (Some((sums, exponent)), true) = (gain, self.has_gain()) {
            context.collect(0, &sums, exponent);
        }
    }

    /// scale·D·(gathered x)ᵀ, added to what is there where that is wanted.
    fn all_tiles<T: Real>(
        &self,
        to: &mut [T],
        (scale, add): (T, bool),
        gradients: (&Signal<T>, &Signal<T>),
        context: &mut Context<T>,
    ) {
        if self.is_depthwise() {
            let found = self.depthwise_gradient(gradients, context);
            for (to, sum) in to.iter_mut().zip(found) {
                let product = scale * T::of(sum);
                *to = if add { *to + product } else { product };
            }
            return;
        }
        for group in 0..self.groups {
            let to = &mut to[group * (self.units / self.groups)..];
            let taps = 0..self.window.kernel_rows();
            self.tile((to, self.units), &Tile { group, taps, scale, add }, gradients, context);
        }
    }

    /// The part of D·(gathered x)ᵀ that belongs to a tile of W, into columns that lie `stride` apart.
    fn tile<T: Real>(
        &self,
        (to, stride): (&mut [T], usize),
        tile: &Tile<T>,
        (x, d): (&Signal<T>, &Signal<T>),
        context: &mut Context<T>,
    ) {
        let window = &self.window;
        let count = window.windows() * context.batch;
        let rows = self.units / self.groups;
        let channels = self.group(tile.group);
        let gradient = View::plain(&d.values).rows(tile.group * rows, (tile.group + 1) * rows);
        let entries = x.values.as_slice();
        let height = tile.taps.len() * window.kernel[2] * channels.size;
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

fn grow<T: Real>(scratch: &mut Vec<T>, room: usize) {
    if scratch.len() < room {
        scratch.resize(room, T::ZERO);
    }
}

struct Tape<T: Real> {
    conv: Conv,
    dense: Dense<T>,
    standardized: Option<Standardized<T>>,
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
        let gain = if self.has_gain() { context.vector(0) } else { None };
        let weights = self.standardize.map(|how| how.weights(parameter, &mut dense, gain, context.threads));
        if let Some(weights) = &weights {
            dense = weights.dense(context.threads);
        }
        let mut z = self.product(&x.signal, &mut dense, context);
        // The scale of weights that are standardized is not free.
        if weights.is_none() {
            z = context.rescaled(parameter, z);
        }
        if !context.keep_weights {
            dense.release();
        }
        if let Some(bias) = context.bias(parameter) {
            z = z.plus_column_shared(&bias, context.threads);
        }
        (Rc::new(CachedSignal::from(z)), Box::new(Tape { conv: *self, dense, standardized: weights, x }))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let Self { conv, mut dense, standardized, x } = *self;
        let parameter = context.parameter(0);
        match standardized {
            Some(weights) => conv.collect_standardized(&weights, (&x.signal, &d.signal), context),
            None => {
                conv.collect((&x.signal, &d.signal), &d.signal, context);
                if !context.quiet {
                    let moments = conv.weight_gradient((&x.signal, &d.signal), context);
                    context.observe_own_weight_gradient(moments);
                }
            }
        }
        drop(x);
        if !context.call.input_gradient {
            return d.signal;
        }
        let dx = conv.transposed(&d.signal, &mut dense, context);
        context.with_factor(parameter, dx)
    }
}
