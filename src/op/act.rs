//! The activation as a layer: what follows a layer with weights completes its record.

use super::activate::{activate, activation, dead_units, evaluate, times_slopes};
use super::layer::{Assembler, Layer, LayerType, NewNode, Port, features, read};
use super::record;
use super::{Activations, Context, Nature, Operator, Shapes, Unary, UnaryBackward, exactly};
use crate::activation::Activation;
use crate::numeric::cached::{CachedSignal, ColumnSums};
use crate::numeric::pieces;
use crate::numeric::product::Threads;
use crate::numeric::real::Real;
use crate::numeric::signal::{Signal, zeros};
use crate::numeric::slice::max_abs;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::sync::Arc;

/// A slope below this share of the largest counts as saturated, where nothing else is asked for.
pub const SATURATED: f64 = 0.01;

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType { name: "act", fields: &["fn"], read: read::<Spec> };

/// The fields of an activation layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spec {
    /// In place of `--act`.
    #[serde(rename = "fn", default, skip_serializing_if = "Option::is_none")]
    function: Option<String>,
}

/// Adds the activation of this name, or that of the experiment, behind a value.
///
/// # Errors
/// A name that cannot be read.
pub fn activated(to: &mut dyn Assembler, input: Port, function: Option<&str>) -> Result<Port, String> {
    let function = to.activation(function)?;
    let [out] = exactly(to.node(NewNode::plain(Act { function }, input, input.shape))?);
    Ok(out)
}

impl Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let input = features("act", inputs)?;
        activated(to, input, self.function.as_deref()).map(|port| vec![port])
    }
}

/// An activation layer.
#[derive(Clone, Debug)]
pub struct Act {
    /// φ.
    pub function: Arc<Activation>,
}

impl Operator for Act {
    fn tape_bytes(&self, shapes: &Shapes, samples: usize) -> u128 {
        let bytes = if self.function.shape.homogeneous { 1 } else { 4 };
        bytes * shapes.output_size() as u128 * samples as u128
    }

    fn nature(&self) -> Nature<'_> {
        Nature::Pointwise(&self.function)
    }
}

/// φ′(Z).
enum Tape<T: Real> {
    /// Of a homogeneous activation: which entries are positive, and the slopes of both sides.
    Sides {
        positive: Vec<bool>,
        left: T,
        right: T,
    },
    Slopes(Signal<T>),
    /// Z itself, of which the slopes are evaluated once more: it often is the output that a norm keeps anyway.
    Again(Arc<Activation>, Activations<T>),
}

impl Act {
    /// A homogeneous activation in one pass over the entries, in their own memory where nobody else needs them, with its column
    /// sums where they are `wanted`. Which entries are positive, and how many.
    fn two_sided<T: Real>(
        &self,
        z: Activations<T>,
        (left, right): (T, T),
        wanted: bool,
        threads: Threads,
    ) -> (CachedSignal<T>, Vec<bool>, usize) {
        let (rows, columns) = z.signal.values.shape();
        let exponent = z.signal.exponent;
        let (mut values, shared) = match Rc::try_unwrap(z) {
            Ok(own) => (own.signal.values, None),
            Err(shared) => (zeros(rows, columns), Some(shared)),
        };
        let source = shared.as_ref().map(|shared| shared.signal.values.as_slice());
        let mut positive = vec![false; rows * columns];
        let unit = rows.max(1);
        let found = pieces::both(
            values.as_mut_slice(),
            &mut positive,
            pieces::length(unit),
            threads,
            |first, z, positive| {
                if let Some(source) = source {
                    z.copy_from_slice(&source[first..first + z.len()]);
                }
                rectify(z, positive, left, right);
                let sums = wanted.then(|| ColumnSums::of(z, unit));
                (max_abs(z), sums, positive.iter().filter(|p| **p).count())
            },
        );
        let (mut tops, mut sums, mut above) = (Vec::new(), Vec::new(), 0);
        for (top, part, count) in found {
            tops.push(top);
            sums.extend(part);
            above += count;
        }
        let out = match wanted {
            true => CachedSignal::made(values, exponent, &tops, sums),
            false => Signal { values, exponent }.normalized_from(&tops).into(),
        };
        (out, positive, above)
    }
}

crate::numeric::slice::for_each_machine! {
    fn rectify<T: Real>(z: &mut [T], positive: &mut [bool], left: T, right: T) {
        for (z, positive) in z.iter_mut().zip(positive) {
            *positive = *z > T::ZERO;
            *z *= if *positive { right } else { left };
        }
    }
}

crate::numeric::slice::for_each_machine! {
    fn slope<T: Real>(d: &mut [T], positive: &[bool], left: T, right: T) {
        for (d, positive) in d.iter_mut().zip(positive) {
            *d *= if *positive { right } else { left };
        }
    }
}

/// Rows without a positive entry.
fn silent_rows(positive: &[bool], rows: usize, threads: Threads) -> usize {
    let parts = pieces::seen(positive, pieces::length(rows), threads, |_, piece| {
        let mut alive = vec![false; rows];
        for column in piece.chunks_exact(rows) {
            alive.iter_mut().zip(column).for_each(|(a, p)| *a |= *p);
        }
        alive
    });
    (0..rows).filter(|row| parts.iter().all(|alive| !alive[*row])).count()
}

super::one_to_one!(Act);

impl<T: Real> Unary<T> for Act {
    fn apply(
        &self,
        x: Activations<T>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        self.completing(x, context.call.completes, context)
    }
}

impl Act {
    /// The activation, which completes the record of this entry.
    pub fn completing<T: Real>(
        &self,
        x: Activations<T>,
        entry: Option<usize>,
        context: &mut Context<T>,
    ) -> (Activations<T>, Box<dyn UnaryBackward<T>>) {
        let shape = &self.function.shape;
        let threshold = shape.max_slope.map(|top| context.saturation * top);
        let rows = x.signal.values.nrows();
        let wanted = entry.filter(|_| context.records_forward());
        let (left, right) = shape.slopes_at_zero;
        let plain = |slope: f64| slope == 0.0 || (1e-6..1e6).contains(&slope.abs());
        if shape.homogeneous && plain(left) && plain(right) {
            let sides = (T::of(left), T::of(right));
            let threads = context.threads;
            let (out, positive, above) = self.two_sided(x, sides, wanted.is_some(), threads);
            if let Some(entry) = wanted {
                let count = positive.len();
                let below = |threshold: f64| {
                    let of = |slope: f64, entries: usize| if slope.abs() < threshold { entries } else { 0 };
                    of(right, above) + of(left, count - above)
                };
                out.sums_shared(threads);
                let record = &mut context.records[entry];
                record.activation = record::moments(&out, 0.0);
                record.dead_fraction = match (left == 0.0, right == 0.0) {
                    (true, true) => 1.0,
                    (true, false) => silent_rows(&positive, rows, threads) as f64 / rows as f64,
                    _ => 0.0,
                };
                record.saturated_fraction = threshold.map(|t| below(t) as f64 / count as f64);
            }
            let (left, right) = sides;
            return (Rc::new(out), Box::new(Tape::Sides { positive, left, right }));
        }
        let threads = context.threads;
        let level = threshold.unwrap_or(0.0);
        let evaluated = evaluate(&self.function, &x.signal, level, threads);
        let (psi, tape, (steepest, below)) = match evaluated {
            Some(found) => {
                let tape = Tape::Again(Arc::clone(&self.function), Rc::clone(&x));
                (found.psi, tape, (found.steepest, found.below))
            }
            None => {
                let activated = activate(&self.function, &x.signal);
                let slopes = record::slopes(&activated.slope, level.into());
                (CachedSignal::from(activated.psi), Tape::Slopes(activated.slope), slopes)
            }
        };
        if let Some(entry) = wanted {
            let dead = dead_units(&self.function, &x.signal, &steepest);
            let record = &mut context.records[entry];
            record.activation = record::moments(&psi, shape.at_zero);
            record.dead_fraction = dead as f64 / rows as f64;
            record.saturated_fraction = threshold.map(|_| below as f64 / x.signal.values.len() as f64);
        }
        let out = if shape.at_zero == 0.0 { psi } else { activation(psi.signal, shape.at_zero).into() };
        (Rc::new(out), Box::new(tape))
    }
}

impl<T: Real> UnaryBackward<T> for Tape<T> {
    fn backward(self: Box<Self>, d: CachedSignal<T>, context: &mut Context<T>) -> Signal<T> {
        let mut d = d.signal;
        match *self {
            Self::Sides { positive, left, right } => {
                let values = d.values.as_mut_slice();
                let tops = pieces::each(values, pieces::length(1), context.threads, |first, d| {
                    slope(d, &positive[first..first + d.len()], left, right);
                    max_abs(d)
                });
                d.normalized_from(&tops)
            }
            Self::Slopes(slope) => d.hadamard(&slope),
            Self::Again(function, z) => times_slopes(&function, &z.signal, d, context.threads),
        }
    }
}
