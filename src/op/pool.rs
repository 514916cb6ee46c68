//! Largest entry or mean of windows; both commute with the signal's scale.

use super::forms::{Padding, PerAxis};
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read};
use super::samples::each_sample;
use super::window::{Placement, Window};
use super::{Activations, Context, Nature, Operator, Shape, Shapes, Space, Unary, UnaryBackward, exactly};
use crate::numeric::cached::CachedSignal;
use crate::numeric::pieces;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, zeros};
use crate::numeric::slice::{add_scaled, max_abs};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

const FIELDS: &[&str] = &["kernel", "stride", "padding"];

/// Largest entry of a window, as an architecture file spells it.
pub const MAX: LayerType = LayerType { name: "maxpool", fields: FIELDS, read: read::<MaxSpec> };
/// Mean of a window, or of all positions where no kernel is given, likewise.
pub const MEAN: LayerType = LayerType { name: "avgpool", fields: FIELDS, read: read::<MeanSpec> };

/// The fields of a pooling layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Positions of the window along each axis; all of the sample where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<PerAxis>,
    /// Positions between two windows; the kernel where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stride: Option<PerAxis>,
    /// Positions around the sample: zeros to a mean, nothing to a maximum.
    #[serde(default)]
    padding: Padding,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct MaxSpec(Spec);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct MeanSpec(Spec);

impl layer::Layer for MaxSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        self.0.assemble("maxpool", Of::Largest, to, inputs)
    }
}

impl layer::Layer for MeanSpec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        self.0.assemble("avgpool", Of::Mean, to, inputs)
    }
}

impl Spec {
    fn assemble(
        &self,
        kind: &str,
        of: Of,
        to: &mut dyn Assembler,
        inputs: &[Port],
    ) -> Result<Vec<Port>, String> {
        let input = features(kind, inputs)?;
        let space = input.shape.space;
        if space == Space::Flat {
            return Err(format!(
                "{kind} takes a sequence, an image or a volume, not {}: put it before `flatten`",
                input.shape
            ));
        }
        let axes = space.axes().len();
        let all = PerAxis::Each(space.extent()[3 - axes..].to_vec());
        let kernel = self.kernel.as_ref().unwrap_or(&all);
        let stride = self.stride.as_ref().unwrap_or(kernel);
        let placement =
            Placement { kernel, stride, padding: &self.padding, dilation: &PerAxis::one(), causal: false };
        let window = placement.window(space)?;
        if (0..3).any(|axis| 2 * window.padding[axis] as usize > window.kernel[axis]) {
            let halves: Vec<String> =
                window.kernel[3 - axes..].iter().map(|length| (length / 2).to_string()).collect();
            return Err(format!(
                "a padding of more than half the kernel would make windows without an entry; at most {} fits",
                halves.join(" and ")
            ));
        }
        let out = Shape { channels: input.shape.channels, space: space.resized(window.output) };
        to.node(NewNode::plain(Pool { window, of }, input, out))
    }
}

impl Operator for Pool {
    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        if self.of == Of::Largest { 4 * shapes.output_size() as u128 * samples as u128 } else { 0 }
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

/// Adds the mean of each channel over all positions.
///
/// # Errors
/// As for any node.
pub fn mean_of_all(to: &mut dyn Assembler, input: Port) -> Result<Port, String> {
    let line = Space::Sequence(input.shape.positions());
    let window = Window::place(line, line.extent(), [1; 3], [[0; 3]; 2], [1; 3])?;
    let out = Shape { channels: input.shape.channels, space: Space::Flat };
    let [port] = exactly(to.node(NewNode::plain(Pool { window, of: Of::Mean }, input, out))?);
    Ok(port)
}

/// A pooling layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Where its windows lie.
    pub window: Window,
    /// What is taken of a window.
    pub of: Of,
}

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The largest entry on the image.
    Largest,
    /// The sum over the number of taps; zeros around the image count (PyTorch's default).
    Mean,
}

enum Tape {
    /// The position that each output came from.
    Largest(Pool, Vec<u32>),
    Mean(Pool),
}

crate::numeric::slice::for_each_machine! {
    /// Takes the entries at a position that are larger than the largest so far.
    fn max_into<T: Real>(largest: &mut [T], places: &mut [u32], entries: &[T], position: u32) {
        for ((best, place), v) in largest.iter_mut().zip(places).zip(entries) {
            let larger = *v > *best;
            *best = if larger { *v } else { *best };
            *place = if larger { position } else { *place };
        }
    }
}

super::one_to_one!(Pool);

impl<T: Real> Unary<T> for Pool {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let window = &self.window;
        let channels = x.signal.values.nrows();
        let count = window.windows() * context.batch;
        let image = window.positions() * channels;
        let entries = x.signal.values.as_slice();
        let mut out = DMatrix::from_element(channels, count, T::ZERO);
        let share = T::of(1.0 / window.taps() as f64);
        let unit = channels.max(1);
        // Of so many columns as read a piece.
        let taps = window.taps().max(1);
        let length = pieces::length(unit * taps) / taps;
        let sample = |index: usize| &entries[index / window.windows() * image..][..image];
        let threads = context.threads;
        let (tops, tape) = match self.of {
            Of::Mean => {
                let tops = pieces::each(out.as_mut_slice(), length, threads, |first, piece| {
                    for (index, column) in piece.chunks_exact_mut(unit).enumerate() {
                        let index = first / unit + index;
                        window.each(index % window.windows(), |_, position| {
                            let from = &sample(index)[position * channels..][..channels];
                            add_scaled(column, from, share);
                        });
                    }
                    max_abs(piece)
                });
                (tops, Tape::Mean(*self))
            }
            Of::Largest => {
                let mut places = vec![0u32; channels * count];
                let outputs = out.as_mut_slice();
                let tops = pieces::both(outputs, &mut places, length, threads, |first, piece, places| {
                    let columns = piece.chunks_exact_mut(unit).zip(places.chunks_exact_mut(unit));
                    for (index, (column, places)) in columns.enumerate() {
                        let index = first / unit + index;
                        let mut is_first = true;
                        window.each(index % window.windows(), |_, position| {
                            let from = &sample(index)[position * channels..][..channels];
                            if std::mem::take(&mut is_first) {
                                column.copy_from_slice(from);
                                places.fill(position as u32);
                            } else {
                                max_into(column, places, from, position as u32);
                            }
                        });
                    }
                    max_abs(piece)
                });
                (tops, Tape::Largest(*self, places))
            }
        };
        let out = Signal { values: out, exponent: x.signal.exponent }.normalized_from(&tops);
        (Rc::new(CachedSignal::from(out)), Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let d = d.signal;
        let (Self::Largest(pool, _) | Self::Mean(pool)) = &*self;
        let window = &pool.window;
        let channels = d.values.nrows();
        let mut dx = zeros(channels, window.positions() * context.batch);
        let share = T::of(1.0 / window.taps() as f64);
        let unit = channels.max(1);
        let (count, outputs) = (window.windows(), d.values.as_slice());
        each_sample(context.threads, context.batch, [dx.as_mut_slice()], |sample, [entries]| {
            let first = sample * count;
            let columns = outputs[first * channels..][..count * channels].chunks_exact(unit);
            for (index, column) in columns.enumerate() {
                match &*self {
                    Self::Largest(_, places) => {
                        let places = &places[(first + index) * channels..][..channels];
                        for (channel, (v, place)) in column.iter().zip(places).enumerate() {
                            entries[*place as usize * channels + channel] += *v;
                        }
                    }
                    Self::Mean(_) => window.each(index, |_, position| {
                        add_scaled(&mut entries[position * channels..][..channels], column, share);
                    }),
                }
            }
        });
        Signal::shared(dx, d.exponent, context.threads)
    }
}
