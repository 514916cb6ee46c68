//! The one way through a network: forward, with a tape, and back.

use super::{Graph, Node, Places};
use crate::numeric::cached::CachedSignal;
use crate::numeric::signal::{Signal, reshaped};
use crate::numeric::stream::{Key, Part};
use crate::op::loss::{self, Loss};
use crate::op::record::LayerRecord;
use crate::op::{Activations, Backward, Call, Context, Precision, Shape};
use nalgebra::DMatrix;
use std::ops::Range;
use std::rc::Rc;

/// The run was stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Called after each node of each pass; says whether to go on.
pub type Step<'a> = &'a dyn Fn() -> bool;

/// What a trial came to.
pub struct Passed<T: Precision> {
    /// One for each entry of the network.
    pub records: Vec<LayerRecord>,
    /// One for each norm that is recorded.
    pub norms: Vec<LayerRecord>,
    /// Rounding may have decided some of them.
    pub doubtful: bool,
    /// The cross-entropy where that is the loss.
    pub loss: Option<f64>,
    /// The network's output, where the gradients of the inputs were asked for.
    pub output: Signal<T>,
    /// ∂C/∂input of each input, where they were asked for.
    pub gradients: Vec<Signal<T>>,
}

/// What a forward pass keeps for the backward pass.
pub struct Tape<T: Precision> {
    segments: Vec<Segment<T>>,
}

/// A stretch of nodes.
struct Segment<T: Precision> {
    nodes: Range<usize>,
    kept: Kept<T>,
}

enum Kept<T: Precision> {
    /// The backward node of each.
    Backward(Vec<Box<dyn Backward<T>>>),
    /// The values that go in, to compute the backward nodes again.
    Inputs(Vec<(usize, Activations<T>)>),
}

/// Forward and back. Each of `inputs` is features × samples, images as channels, height, width, and nothing where it is tokens, which the
/// context holds or an embedding draws; `recompute` computes the forward pass twice and keeps about the square root of the tape.
///
/// # Errors
/// When `step` said so.
pub fn trial<'a, T: Precision>(
    graph: &'a Graph,
    inputs: Vec<Signal<T>>,
    loss: Loss,
    mut context: Context<'a, T>,
    recompute: bool,
    step: Step,
) -> Result<Passed<T>, Stopped> {
    context.samples_meet |= loss != Loss::Random;
    let (out, tape) = forward(graph, inputs, &mut context, recompute, step)?;
    let key = top(graph, context.key);
    let value = loss::cross_entropy_value(loss, &out.signal, key);
    let upstream =
        loss::gradient(loss, &out.signal, graph.output().channels, (key, Part::Block(0)), context.threads);
    let output = if context.input_gradient { out.signal.clone() } else { nothing() };
    drop(out);
    let gradients = backward(graph, tape, upstream, &mut context, step)?;
    let Context { records, norms, doubtful, .. } = context;
    Ok(Passed { records, norms, doubtful, loss: value, output, gradients })
}

/// Names the streams of a loss behind the network.
pub fn top(graph: &Graph, key: Key) -> Key {
    Key { layer: graph.streams() + 1, ..key }
}

fn nothing<T: Precision>() -> Signal<T> {
    Signal { values: DMatrix::from_element(0, 0, T::ZERO), exponent: 0 }
}

/// The forward pass; `inputs` and `recompute` as in [`trial`]. The output, and what [`backward`] needs.
///
/// # Errors
/// When `step` said so.
pub fn forward<'a, T: Precision>(
    graph: &'a Graph,
    inputs: Vec<Signal<T>>,
    context: &mut Context<'a, T>,
    recompute: bool,
    step: Step,
) -> Result<(Activations<T>, Tape<T>), Stopped> {
    let mut values: Vec<Option<Activations<T>>> = vec![None; graph.values.len()];
    for ((value, shape), input) in values.iter_mut().zip(graph.inputs()).zip(inputs) {
        *value = Some(Rc::new(CachedSignal::from(arranged(shape, input))));
    }
    let mut segments = Vec::new();
    for (nodes, through) in stretches(graph, recompute) {
        let kept = match through {
            Some(through) => {
                let input = |value: &usize| Some((*value, values[*value].clone()?));
                let inputs = through.iter().filter_map(input).collect();
                run(graph, nodes.clone(), &mut values, context, step)?;
                Kept::Inputs(inputs)
            }
            None => Kept::Backward(run(graph, nodes.clone(), &mut values, context, step)?),
        };
        segments.push(Segment { nodes, kept });
    }
    let out = values[graph.output].take().unwrap_or_else(|| Rc::new(nothing().into()));
    Ok((out, Tape { segments }))
}

/// The stretches of nodes whose tapes are computed together, each with the values that go into it; a single stretch without any where
/// nothing is computed twice.
fn stretches(graph: &Graph, recompute: bool) -> Vec<(Range<usize>, Option<Places>)> {
    let all = graph.nodes.len();
    if !recompute {
        return vec![(0..all, None)];
    }
    let size = (all as f64).sqrt().ceil() as usize;
    let mut found = Vec::new();
    let (mut start, mut values) = (0, (0..graph.inputs.len()).collect());
    for (node, alive) in &graph.cuts {
        if node + 1 - start >= size && node + 1 < all {
            found.push((start..node + 1, Some(std::mem::replace(&mut values, alive.clone()))));
            start = node + 1;
        }
    }
    found.push((start..all, Some(values)));
    found
}

/// Computes a stretch of nodes; their backward nodes.
fn run<'a, T: Precision>(
    graph: &'a Graph,
    nodes: Range<usize>,
    values: &mut [Option<Activations<T>>],
    context: &mut Context<'a, T>,
    step: Step,
) -> Result<Vec<Box<dyn Backward<T>>>, Stopped> {
    let mut tape = Vec::with_capacity(nodes.len());
    for index in nodes {
        let node = &graph.nodes[index];
        let inputs = inputs(graph, index, values);
        call(graph, node, context);
        let (outputs, back) = T::forward_of(node.operator.as_ref()).forward(inputs, context);
        if let (Some(entry), false, Some(out)) = (node.entry, node.operator.records_steps(), outputs.first())
        {
            context.observe(entry, out);
        }
        node.outputs.iter().zip(outputs).for_each(|(value, out)| values[*value] = Some(out));
        tape.push(back);
        if !context.replay && !step() {
            return Err(Stopped);
        }
    }
    Ok(tape)
}

/// A node's inputs; a value that nobody needs any more is handed over, so that its memory may be used again.
fn inputs<T: Precision>(
    graph: &Graph,
    index: usize,
    values: &mut [Option<Activations<T>>],
) -> Vec<Activations<T>> {
    let node = &graph.nodes[index];
    let mut taken = Vec::with_capacity(node.inputs.len());
    for (place, value) in node.inputs.iter().enumerate() {
        let last = graph.values[*value].last_use == index && !node.inputs[place + 1..].contains(value);
        let found = if last { values[*value].take() } else { values[*value].clone() };
        taken.push(found.unwrap_or_else(|| Rc::new(nothing().into())));
    }
    taken
}

/// Tells the context which node is at work.
fn call<'a, T: Precision>(graph: &Graph, node: &'a Node, context: &mut Context<'a, T>) {
    let wanted = |value: &usize| graph.values[*value].trained || context.input_gradient;
    context.call = Call {
        parameters: &node.parameters,
        vectors: &node.vectors,
        entry: node.entry,
        completes: node.completes,
        norm: node.norm,
        input_gradient: node.inputs.iter().any(wanted),
    };
}

/// The backward pass, from ∂C/∂output to ∂C/∂input of each input, which are empty unless the context asks for them.
///
/// # Errors
/// When `step` said so.
pub fn backward<'a, T: Precision>(
    graph: &'a Graph,
    tape: Tape<T>,
    upstream: Signal<T>,
    context: &mut Context<'a, T>,
    step: Step,
) -> Result<Vec<Signal<T>>, Stopped> {
    let mut gradients: Vec<Option<Signal<T>>> = vec![None; graph.values.len()];
    gradients[graph.output] = Some(upstream);
    let mut segments = tape.segments;
    while let Some(Segment { nodes, kept }) = segments.pop() {
        let tape = match kept {
            Kept::Backward(tape) => tape,
            Kept::Inputs(inputs) => {
                let mut values: Vec<Option<Activations<T>>> = vec![None; graph.values.len()];
                inputs.into_iter().for_each(|(value, input)| values[value] = Some(input));
                context.replay = true;
                let again = run(graph, nodes.clone(), &mut values, context, step);
                context.replay = false;
                again?
            }
        };
        back(graph, nodes, tape, &mut gradients, context, step)?;
    }
    gradients.truncate(graph.inputs.len());
    Ok(gradients.into_iter().map(|gradient| gradient.unwrap_or_else(nothing)).collect())
}

/// From the gradients of what a stretch of nodes makes to those of what goes in.
fn back<'a, T: Precision>(
    graph: &'a Graph,
    nodes: Range<usize>,
    tape: Vec<Box<dyn Backward<T>>>,
    gradients: &mut [Option<Signal<T>>],
    context: &mut Context<'a, T>,
    step: Step,
) -> Result<(), Stopped> {
    for (index, back) in nodes.zip(tape).rev() {
        let node = &graph.nodes[index];
        call(graph, node, context);
        let idle = !context.call.input_gradient && !node.has_parameters() && node.entry.is_none();
        if !idle {
            let outputs: Vec<CachedSignal<T>> = node
                .outputs
                .iter()
                .map(|value| {
                    let gradient = gradients[*value].take();
                    gradient.unwrap_or_else(|| zeros(graph, *value, context.batch)).into()
                })
                .collect();
            if let (Some(entry), false, Some(d)) =
                (node.entry, node.operator.records_steps(), outputs.first())
            {
                context.observe_gradient(entry, d);
            }
            let inputs = back.backward(outputs, context);
            for (value, part) in node.inputs.iter().zip(inputs) {
                if !(graph.values[*value].trained || context.input_gradient) {
                    continue;
                }
                gradients[*value] = Some(match gradients[*value].take() {
                    None => part,
                    Some(sum) => sum.plus_shared(part, context.threads),
                });
            }
        }
        if !step() {
            return Err(Stopped);
        }
    }
    Ok(())
}

fn zeros<T: Precision>(graph: &Graph, value: usize, batch: usize) -> Signal<T> {
    let shape = graph.values[value].shape;
    Signal::new(DMatrix::from_element(shape.channels, shape.positions() * batch, T::ZERO), 0)
}

/// Features × samples as channels × (positions·samples).
fn arranged<T: Precision>(shape: Shape, input: Signal<T>) -> Signal<T> {
    if shape.features() == 0 {
        return input;
    }
    if shape.space.has_channels_first() && shape.channels > 1 {
        let positions = shape.positions();
        let rows = input.values.as_slice();
        let values = DMatrix::from_fn(shape.channels, rows.len() / shape.channels, |channel, column| {
            rows[column / positions * shape.size() + channel * positions + column % positions]
        });
        return Signal { values, exponent: input.exponent };
    }
    reshaped(input, shape.channels)
}
