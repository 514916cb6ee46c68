//! One trial: a batch forward through a freshly drawn network, a gradient back.

use super::{Kind, Net, Node, Residual};
use crate::numeric::cached::Observed;
use crate::numeric::real::Real;
use crate::numeric::signal::Signal;
use crate::numeric::stream::Key;
use crate::numeric::wide::Wide;
use crate::op::loss::Loss;
use crate::op::record::LayerRecord;
use crate::op::{Back, Pass, Space, Value, loss, reshaped};
use nalgebra::DMatrix;
use std::rc::Rc;

/// The run was stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Called after each layer of each pass; says whether to go on.
pub type Step<'a> = &'a dyn Fn() -> bool;

/// What a pass came to.
pub struct Passed<T: Real> {
    /// One for each entry of the network.
    pub records: Vec<LayerRecord>,
    /// What came out at the top.
    pub output: Signal<T>,
    /// ∂C/∂input, where it was asked for.
    pub gradient: Signal<T>,
}

/// Forward and back. `input` is features × samples, images as channels, height, width; `checkpoint` computes the way forward
/// twice and keeps the square root of the tapes.
///
/// # Errors
/// When `step` said so.
pub fn trial<T: Real>(
    net: &Net,
    input: Signal<T>,
    loss: Loss,
    mut pass: Pass<T>,
    checkpoint: bool,
    step: Step,
) -> Result<Passed<T>, Stopped> {
    let (out, tapes) = onward(net, input, &mut pass, checkpoint, step)?;
    let top = Key { layer: net.streams + 1, ..pass.key };
    let upstream = loss::gradient(loss, &out.signal, top, 0);
    let output = if pass.input_gradient {
        out.signal.clone()
    } else {
        Signal::new(DMatrix::zeros(0, 0).map(T::of), 0)
    };
    drop(out);
    let gradient = backward(net, tapes, upstream, &mut pass, step)?;
    Ok(Passed { records: pass.records, output, gradient })
}

/// The way forward alone; `input` as in [`trial`]. What comes out at the top, and what [`backward`] needs.
///
/// # Errors
/// When `step` said so.
pub fn onward<T: Real>(
    net: &Net,
    input: Signal<T>,
    pass: &mut Pass<T>,
    checkpoint: bool,
    step: Step,
) -> Result<(Value<T>, Tapes<T>), Stopped> {
    let x = Rc::new(Observed::from(arranged(net, input)));
    forward(&net.nodes, x, pass, checkpoint, step).map(|(out, kept)| (out, Tapes(kept)))
}

/// The way back, from ∂C/∂output to ∂C/∂input.
///
/// # Errors
/// When `step` said so.
pub fn backward<T: Real>(
    net: &Net,
    tapes: Tapes<T>,
    upstream: Signal<T>,
    pass: &mut Pass<T>,
    step: Step,
) -> Result<Signal<T>, Stopped> {
    back(&net.nodes, tapes.0, upstream, pass, step)
}

/// What a way forward keeps for the way back.
pub struct Tapes<T: Real>(Kept<T>);

/// Features × samples as channels × (positions·samples).
fn arranged<T: Real>(net: &Net, input: Signal<T>) -> Signal<T> {
    let shape = net.input;
    if net.features() == 0 {
        return input;
    }
    if let Space::Image(..) = shape.space
        && shape.channels > 1
    {
        let positions = shape.positions();
        let rows = input.values.as_slice();
        let values = DMatrix::from_fn(shape.channels, rows.len() / shape.channels, |channel, column| {
            rows[column / positions * shape.size() + channel * positions + column % positions]
        });
        return Signal { values, exponent: input.exponent };
    }
    reshaped(input, shape.channels)
}

/// What a list of nodes keeps for the way back.
enum Kept<T: Real> {
    /// One of each node.
    All(Vec<Taped<T>>),
    /// What went into each part of the list, to compute its tapes again; and how many nodes a part has.
    Parts(Vec<Value<T>>, usize),
}

enum Taped<T: Real> {
    Layer(Box<dyn Back<T>>),
    /// Rows before flattening.
    Flatten(usize),
    Residual {
        branch: Kept<T>,
        shortcut: Kept<T>,
    },
}

fn forward<T: Real>(
    nodes: &[Node],
    mut x: Value<T>,
    pass: &mut Pass<T>,
    checkpoint: bool,
    step: Step,
) -> Result<(Value<T>, Kept<T>), Stopped> {
    if checkpoint {
        let size = (nodes.len() as f64).sqrt().ceil() as usize;
        let mut parts = Vec::new();
        for part in nodes.chunks(size) {
            parts.push(Rc::clone(&x));
            x = forward(part, x, pass, false, step)?.0;
        }
        return Ok((x, Kept::Parts(parts, size)));
    }
    let mut tapes = Vec::with_capacity(nodes.len());
    for node in nodes {
        let (next, tape) = match &node.kind {
            Kind::Flatten { rows, .. } => {
                let before = x.signal.values.nrows();
                let signal = Rc::try_unwrap(x).map_or_else(|shared| shared.signal.clone(), |x| x.signal);
                (Rc::new(Observed::from(reshaped(signal, *rows))), Taped::Flatten(before))
            }
            Kind::Residual(block) => residual(block, x, pass, step)?,
            other => match other.layer() {
                Some(layer) => {
                    let (next, tape) = layer.forward(x, pass);
                    (next, Taped::Layer(tape))
                }
                None => continue,
            },
        };
        x = next;
        tapes.push(tape);
        if !pass.replay && !step() {
            return Err(Stopped);
        }
    }
    Ok((x, Kept::All(tapes)))
}

fn scaled<T: Real>(signal: Signal<T>, scale: f64) -> Signal<T> {
    if scale == 1.0 { signal } else { signal.times(Wide::from(scale)) }
}

fn residual<T: Real>(
    block: &Residual,
    x: Value<T>,
    pass: &mut Pass<T>,
    step: Step,
) -> Result<(Value<T>, Taped<T>), Stopped> {
    let (branch, branch_tape) = forward(&block.branch, Rc::clone(&x), pass, false, step)?;
    let (around, shortcut) = forward(&block.shortcut, x, pass, false, step)?;
    let own =
        |value: Value<T>| Rc::try_unwrap(value).map_or_else(|shared| shared.signal.clone(), |v| v.signal);
    let sum = Observed::from(scaled(own(branch), block.scale).plus(own(around)));
    pass.observe(block.entry, &sum);
    Ok((Rc::new(sum), Taped::Residual { branch: branch_tape, shortcut }))
}

fn back<T: Real>(
    nodes: &[Node],
    tapes: Kept<T>,
    mut d: Signal<T>,
    pass: &mut Pass<T>,
    step: Step,
) -> Result<Signal<T>, Stopped> {
    let tapes = match tapes {
        Kept::All(tapes) => tapes,
        Kept::Parts(parts, size) => {
            for (part, x) in nodes.chunks(size).zip(parts).rev() {
                pass.replay = true;
                let again = forward(part, x, pass, false, step);
                pass.replay = false;
                d = back(part, again?.1, d, pass, step)?;
            }
            return Ok(d);
        }
    };
    for (node, tape) in nodes.iter().zip(tapes).rev() {
        d = match (tape, &node.kind) {
            (Taped::Layer(tape), _) => tape.backward(d, pass),
            (Taped::Flatten(rows), _) => reshaped(d, rows),
            (Taped::Residual { branch, shortcut }, Kind::Residual(block)) => {
                let d = Observed::from(d);
                pass.observe_gradient(block.entry, &d);
                let through = back(&block.branch, branch, scaled(d.signal.clone(), block.scale), pass, step)?;
                let around = back(&block.shortcut, shortcut, d.signal, pass, step)?;
                through.plus(around)
            }
            (Taped::Residual { .. }, _) => d,
        };
        if !step() {
            return Err(Stopped);
        }
    }
    Ok(d)
}
