//! More positions from few: copies of the nearest, or means of the nearest by distance.

use super::forms::PerAxis;
use super::layer::{self, Assembler, LayerType, NewNode, Port, features, read, sized};
use super::window::numbers;
use super::{Activations, Context, Nature, Operator, Parameter, Shape, Shapes, Space, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::rc::Rc;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "upsample", fields: &["factor", "mode"], read: read::<Spec> };

/// The fields of an upsampling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Positions of the output for each of the input.
    factor: PerAxis,
    /// What a new position takes.
    #[serde(default)]
    mode: Mode,
}

/// What a new position takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The nearest position.
    #[default]
    Nearest,
    /// The mean of the four around it by distance, where positions are the middles of their areas (PyTorch's default,
    /// `align_corners=False`).
    Bilinear,
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("upsample", inputs)?;
        let space = input.shape.space;
        if space == Space::Flat {
            return Err(format!(
                "upsample takes a sequence, an image or a volume, not {}: put it before `flatten`",
                input.shape
            ));
        }
        if self.mode == Mode::Bilinear && !matches!(space, Space::Image(..)) {
            return Err(format!(
                "mode = \"bilinear\" takes an image, not {}; mode = \"nearest\" fits",
                input.shape
            ));
        }
        let factor = numbers("factor", &self.factor, space, 1)?;
        let from = space.extent();
        let mut extent = [1; 3];
        for axis in 0..3 {
            extent[axis] = sized("its output", &[from[axis], factor[axis]])?;
        }
        sized("its output", &extent)?;
        let out = Shape { channels: input.shape.channels, space: space.resized(extent) };
        to.node(NewNode::plain(Upsample { from, factor, mode: self.mode }, input, out))
    }
}

/// An upsampling; each list is of depth, height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upsample {
    /// Positions of the input.
    pub from: [usize; 3],
    /// Positions of the output for each of the input.
    pub factor: [usize; 3],
    /// What a new position takes.
    pub mode: Mode,
}

/// The positions along an axis that a new one takes, and their weights.
type Sources = SmallVec<[(usize, f64); 2]>;

impl Upsample {
    /// What a new position along an axis takes.
    fn sources(&self, axis: usize, new: usize) -> Sources {
        let factor = self.factor[axis];
        if self.mode == Mode::Nearest || factor == 1 {
            return smallvec![(new / factor, 1.0)];
        }
        let place = ((new as f64 + 0.5) / factor as f64 - 0.5).max(0.0);
        let first = place as usize;
        let share = place - first as f64;
        smallvec![(first, 1.0 - share), ((first + 1).min(self.from[axis] - 1), share)]
    }

    /// Calls with each new position, and each position that it takes with its weight.
    fn each(&self, mut call: impl FnMut(usize, usize, f64)) {
        let to: [usize; 3] = std::array::from_fn(|axis| self.from[axis] * self.factor[axis]);
        for line in 0..to[0] * to[1] {
            let (depths, rows) = (self.sources(0, line / to[1]), self.sources(1, line % to[1]));
            for column in 0..to[2] {
                for (x, c) in self.sources(2, column) {
                    for ((z, a), (y, b)) in depths.iter().flat_map(|z| rows.iter().map(move |y| (z, y))) {
                        let from = (z * self.from[1] + y) * self.from[2] + x;
                        call(line * to[2] + column, from, a * b * c);
                    }
                }
            }
        }
    }

    fn positions(&self) -> usize {
        self.from.iter().product()
    }

    fn new_positions(&self) -> usize {
        self.positions() * self.factor.iter().product::<usize>()
    }
}

crate::numeric::slice::for_each_machine! {
    fn add_times<T: Real>(to: &mut [T], from: &[T], weight: T) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to += *from * weight);
    }
}

impl Operator for Upsample {
    fn operations(&self, shapes: &Shapes, _: &[&Parameter]) -> f64 {
        let sources = if self.mode == Mode::Bilinear { 4.0 } else { 1.0 };
        4.0 * sources * shapes.output_size() as f64
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

super::one_to_one!(Upsample);

impl<T: Real> Unary<T> for Upsample {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let channels = x.signal.values.nrows();
        let (old, new) = (self.positions() * channels, self.new_positions() * channels);
        let mut out = DMatrix::from_element(channels, self.new_positions() * context.batch, T::ZERO);
        let samples = out.as_mut_slice().chunks_exact_mut(new);
        for (out, x) in samples.zip(x.signal.values.as_slice().chunks_exact(old)) {
            self.each(|to, from, weight| {
                let from = &x[from * channels..][..channels];
                add_times(&mut out[to * channels..][..channels], from, T::of(weight));
            });
        }
        (Rc::new(CachedSignal::from(Signal::new(out, x.signal.exponent))), Box::new(*self))
    }
}

impl<T: Real> UnaryBackward<T> for Upsample {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let d = d.signal;
        let channels = d.values.nrows();
        let (old, new) = (self.positions() * channels, self.new_positions() * channels);
        let mut dx = DMatrix::from_element(channels, self.positions() * context.batch, T::ZERO);
        let samples = dx.as_mut_slice().chunks_exact_mut(old);
        for (dx, d) in samples.zip(d.values.as_slice().chunks_exact(new)) {
            self.each(|from, to, weight| {
                let from = &d[from * channels..][..channels];
                add_times(&mut dx[to * channels..][..channels], from, T::of(weight));
            });
        }
        Signal::new(dx, d.exponent)
    }
}
