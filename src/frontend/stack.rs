//! The plain stack of `--depth` and `--width`: linear layers with one activation behind each.

use crate::activation::Activation;
use crate::graph::{Assembly, Graph, GraphError, INPUT};
use crate::op::act::Act;
use crate::op::layer::{Assembler, NewEntry, NewNode, Wanted};
use crate::op::linear::Linear;
use crate::op::{Shape, Space, exactly};
use std::sync::Arc;

/// A stack with these widths, the input's first.
///
/// # Errors
/// No layer, or a width of zero.
pub fn graph(widths: &[usize], act: &Arc<Activation>) -> Result<Graph, GraphError> {
    let flat = |channels: usize| Shape { channels, space: Space::Flat };
    let mut assembly = Assembly::new(&[(INPUT, flat(widths.first().copied().unwrap_or(0)))], act)?;
    let fault = |reason: String| GraphError::new("the stack", reason);
    // One operator serves all layers, so a layer costs its numbers alone.
    let linear = Arc::new(Linear);
    let pointwise = Arc::new(Act { function: Arc::clone(act) });
    let [mut port] = exactly(assembly.inputs().map(|(_, port)| port).collect());
    for pair in widths.windows(2) {
        let (fan_in, units) = (pair[0], pair[1]);
        let entry = NewEntry {
            part: None,
            kind: "linear",
            fans: (fan_in, units),
            units,
            positions: 1,
            weighted: true,
        };
        let entry = assembly.entry(&entry).map_err(fault)?;
        let parameter = assembly.parameter(&Wanted::linear(entry, fan_in, units));
        let node = NewNode {
            part: None,
            operator: Arc::clone(&linear) as _,
            inputs: vec![port],
            outputs: vec![flat(units)],
            vectors: Vec::new(),
            parameters: vec![parameter],
            entry: Some(entry),
            norm: None,
        };
        let z = assembly.node(node).map_err(fault)?;
        let node = NewNode {
            part: None,
            operator: Arc::clone(&pointwise) as _,
            inputs: z,
            outputs: vec![flat(units)],
            vectors: Vec::new(),
            parameters: Vec::new(),
            entry: None,
            norm: None,
        };
        port = assembly.node(node).map_err(fault)?[0];
    }
    assembly.finish(port)
}
