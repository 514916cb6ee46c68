//! Channels become positions, and positions channels (Shi et al. 2016): factor² channels of a position are the factor × factor
//! positions of a finer image.

use super::layer::{self, Assembler, LayerType, NewNode, Port, divisor_near, read, single};
use super::{Activations, Context, Nature, Operator, Parameter, Shape, Shapes, Space, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// To a finer image, as an architecture file spells it.
pub const SHUFFLE: LayerType =
    LayerType { name: "pixel-shuffle", fields: &["factor"], read: read::<Spec<true>> };
/// To a coarser image, likewise.
pub const UNSHUFFLE: LayerType =
    LayerType { name: "pixel-unshuffle", fields: &["factor"], read: read::<Spec<false>> };

/// The fields of a pixel shuffle, or of its inverse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec<const REFINES: bool> {
    /// Positions of the finer image along height and width for each of the coarser.
    factor: usize,
}

/// The largest factor: its square is a number of channels.
const MOST: usize = 1_000_000;

impl<const REFINES: bool> layer::Layer for Spec<REFINES> {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let kind = if REFINES { SHUFFLE.name } else { UNSHUFFLE.name };
        let input = single(kind, inputs)?;
        let (channels, factor) = (input.shape.channels, self.factor);
        let Space::Image(height, width) = input.shape.space else {
            return Err(format!("{kind} takes an image [channels, height, width], not {}", input.shape));
        };
        if factor == 0 || factor > MOST {
            return Err(format!("factor is a whole number from 1 to {MOST}"));
        }
        let square = factor * factor;
        let does_not = |what: &str, fits: usize| {
            Err(format!("factor = {factor} does not divide {what} of {}; {fits} does", input.shape))
        };
        let (coarse, fine) = if REFINES {
            if !channels.is_multiple_of(square) {
                let fits = root_near(channels, factor);
                return does_not("the channels by its square", fits);
            }
            ([height, width], channels / square)
        } else {
            if !height.is_multiple_of(factor) || !width.is_multiple_of(factor) {
                return does_not("height and width", divisor_near(layer::gcd(height, width), factor));
            }
            ([height / factor, width / factor], channels)
        };
        let size = |length: usize| layer::sized("its output", &[length, factor]);
        let out = if REFINES {
            Shape { channels: fine, space: Space::Image(size(height)?, size(width)?) }
        } else {
            let channels = layer::sized("its channels", &[channels, square])?;
            Shape { channels, space: Space::Image(coarse[0], coarse[1]) }
        };
        to.node(NewNode::plain(PixelShuffle { factor, coarse, fine, refines: REFINES }, input, out))
    }
}

/// The whole number nearest to a wish whose square divides a number of channels.
fn root_near(channels: usize, wish: usize) -> usize {
    let roots = (1..=channels.isqrt()).filter(|root| channels.is_multiple_of(root * root));
    roots.min_by_key(|root| root.abs_diff(wish)).unwrap_or(1)
}

/// A pixel shuffle, or its inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelShuffle {
    /// Positions of the finer image along height and width for each of the coarser.
    pub factor: usize,
    /// Height and width of the coarser image.
    pub coarse: [usize; 2],
    /// Channels of the finer image.
    pub fine: usize,
    /// It makes the finer image of the coarser.
    pub refines: bool,
}

impl PixelShuffle {
    /// Moves every entry, of one sample after the other.
    fn moved<T: Real>(&self, x: &Signal<T>, refines: bool) -> Signal<T> {
        let Self { factor, coarse: [height, width], fine: channels, .. } = *self;
        let size = height * width * factor * factor * channels;
        let rows = if refines { channels } else { channels * factor * factor };
        let mut out = DMatrix::from_element(rows, x.values.len() / rows.max(1), T::ZERO);
        for (out, x) in out.as_mut_slice().chunks_exact_mut(size).zip(x.values.as_slice().chunks_exact(size))
        {
            for position in 0..height * width {
                let (row, column) = (position / width, position % width);
                for part in 0..factor * factor {
                    let (y, x_part) = (row * factor + part / factor, column * factor + part % factor);
                    let finer = (y * width * factor + x_part) * channels;
                    for channel in 0..channels {
                        let coarser = (position * channels + channel) * factor * factor + part;
                        if refines {
                            out[finer + channel] = x[coarser];
                        } else {
                            out[coarser] = x[finer + channel];
                        }
                    }
                }
            }
        }
        Signal::new(out, x.exponent)
    }
}

impl Operator for PixelShuffle {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        2.0 * shapes.output_size() as f64
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

super::one_to_one!(PixelShuffle);

impl<T: Real> Unary<T> for PixelShuffle {
    fn apply(&self, x: Activations<T>, _: &mut Context<T>) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        (Rc::new(CachedSignal::from(self.moved(&x.signal, self.refines))), Box::new(*self))
    }
}

impl<T: Real> UnaryBackward<T> for PixelShuffle {
    fn backward(self: Box<Self>, d: CachedSignal<T>, _: &mut Context<T>) -> Signal<T> {
        self.moved(&d.signal, !self.refines)
    }
}
