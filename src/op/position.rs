//! The positions of a sequence in another order, or one of them: entries move and do not change.

use super::layer::{self, Assembler, LayerType, NewNode, Port, read};
use super::{Activations, Context, Nature, Operator, Shape, Space, Unary, UnaryBackward};
use crate::numeric::cached::CachedSignal;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use nalgebra::DMatrix;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::rc::Rc;

/// A sequence from its end to its beginning, as an architecture file spells it.
pub const REVERSE: LayerType = LayerType { name: "reverse", fields: &[], read: read::<Reverse> };
/// One position of a sequence, likewise.
pub const SELECT: LayerType = LayerType { name: "select", fields: &["at"], read: read::<Select> };
/// A sequence some steps later, likewise.
pub const SHIFT: LayerType = LayerType { name: "shift", fields: &["steps"], read: read::<Shift> };

/// It has no fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reverse {}

/// The fields of a selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Select {
    /// Which position.
    at: At,
}

/// The fields of a shift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shift {
    /// Positions that each entry moves towards the end; towards the beginning where they are negative.
    #[serde(default = "one_step", skip_serializing_if = "is_one_step")]
    steps: i64,
}

fn one_step() -> i64 {
    1
}

fn is_one_step(steps: &i64) -> bool {
    *steps == 1
}

/// A position of a sequence, as a file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    First,
    Last,
    Place(usize),
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::First => "first".serialize(serializer),
            Self::Last => "last".serialize(serializer),
            Self::Place(place) => place.serialize(serializer),
        }
    }
}

struct AtVisitor;

impl Visitor<'_> for AtVisitor {
    type Value = At;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("\"first\", \"last\" or a whole number from 0 on")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<At, E> {
        usize::try_from(value)
            .map(At::Place)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<At, E> {
        usize::try_from(value)
            .map(At::Place)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<At, E> {
        match value {
            "first" => Ok(At::First),
            "last" => Ok(At::Last),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AtVisitor)
    }
}

impl layer::Layer for Reverse {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let (input, length) = layer::sequence("reverse", inputs)?;
        to.node(NewNode::plain(Moved { length, to: Way::Reversed }, input, input.shape))
    }
}

impl layer::Layer for Select {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let (input, length) = layer::sequence("select", inputs)?;
        let place = match self.at {
            At::First => 0,
            At::Last => length - 1,
            At::Place(place) if place < length => place,
            At::Place(place) => {
                return Err(format!(
                    "at = {place} is none of the {length} positions; 0 to {} are",
                    length - 1
                ));
            }
        };
        let out = Shape { channels: input.shape.channels, space: Space::Flat };
        to.node(NewNode::plain(Moved { length, to: Way::Selected(place) }, input, out))
    }
}

impl layer::Layer for Shift {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let (input, length) = layer::sequence("shift", inputs)?;
        if self.steps.unsigned_abs() >= length as u64 {
            return Err(format!(
                "steps = {} leaves nothing of {length} positions; at most {} fit",
                self.steps,
                length - 1
            ));
        }
        to.node(NewNode::plain(Moved { length, to: Way::Shifted(self.steps as isize) }, input, input.shape))
    }
}

/// Adds the positions of a sequence in reverse.
///
/// # Errors
/// Too many nodes.
pub fn reversed(to: &mut dyn Assembler, input: Port, length: usize) -> Result<Port, String> {
    let ports = to.node(NewNode::plain(Moved { length, to: Way::Reversed }, input, input.shape))?;
    let [port] = super::exactly(ports);
    Ok(port)
}

/// What becomes of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The last is the first.
    Reversed,
    /// This one alone goes on.
    Selected(usize),
    /// Each goes so far towards the end; zeros follow it.
    Shifted(isize),
}

/// Positions of a sequence that move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Positions of the input.
    pub length: usize,
    /// What becomes of them.
    pub to: Way,
}

impl Moved {
    /// Positions of the output.
    fn outputs(&self) -> usize {
        if matches!(self.to, Way::Selected(_)) { 1 } else { self.length }
    }

    /// The position of the input that a position of the output is; `None` for zeros.
    fn source(&self, position: usize) -> Option<usize> {
        match self.to {
            Way::Reversed => Some(self.length - 1 - position),
            Way::Selected(place) => Some(place),
            Way::Shifted(steps) => position.checked_add_signed(-steps).filter(|from| *from < self.length),
        }
    }

    /// Pairs of columns of output and input of so many samples.
    fn columns(&self, samples: usize) -> impl Iterator<Item = (usize, usize)> {
        let outputs = self.outputs();
        (0..samples * outputs).filter_map(move |column| {
            let (sample, position) = (column / outputs, column % outputs);
            self.source(position).map(|from| (column, sample * self.length + from))
        })
    }
}

impl Operator for Moved {
    fn nature(&self) -> Nature<'_> {
        Nature::Passing
    }
}

super::one_to_one!(Moved);

impl<T: Real> Unary<T> for Moved {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let columns = self.outputs() * context.batch;
        let mut values = DMatrix::from_element(x.signal.values.nrows(), columns, T::ZERO);
        for (to, from) in self.columns(context.batch) {
            values.column_mut(to).copy_from(&x.signal.values.column(from));
        }
        (Rc::new(CachedSignal::from(Signal::new(values, x.signal.exponent))), Box::new(*self))
    }
}

impl<T: Real> UnaryBackward<T> for Moved {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let d = d.signal;
        let mut values = DMatrix::from_element(d.values.nrows(), self.length * context.batch, T::ZERO);
        for (from, to) in self.columns(context.batch) {
            values.column_mut(to).copy_from(&d.values.column(from));
        }
        Signal::new(values, d.exponent)
    }
}
