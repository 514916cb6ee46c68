//! What every signal passes on its way from an input to the output, and where norms take its scale away.

use super::{Graph, Node};
use crate::op::Nature;
use std::collections::HashSet;

/// A place of the trunk of an input: an entry that every way from there to the output leads through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrunkPlace {
    /// Among the graph's entries.
    pub entry: usize,
    /// Every way from the place before it, or from the input, leads through a norm: its scale is a new one.
    pub renewed: bool,
    /// Every way from it to the output leads through a norm: its scale does not reach the output.
    pub normalized: bool,
}

/// What comes out of it does not depend on the scale of what goes in.
fn divides(node: &Node) -> bool {
    matches!(node.operator.nature(), Nature::Norm { .. })
}

/// Of each value, whether every way from it to the output leads through a norm.
pub(super) fn normalized(graph: &Graph) -> Vec<bool> {
    let mut found = vec![true; graph.values.len()];
    found[graph.output] = false;
    for node in graph.nodes.iter().rev() {
        let behind = divides(node) || node.outputs.iter().all(|value| found[*value]);
        node.inputs.iter().for_each(|value| found[*value] &= behind);
    }
    found
}

/// What an input makes takes this way through some nodes, in their order; the places of its trunk, from nodes with their entries.
pub(super) fn places(
    graph: &Graph,
    normalized: &[bool],
    (input, trunk): (usize, &[(usize, usize, usize)]),
) -> Vec<TrunkPlace> {
    let mut carried = HashSet::from([input]);
    let mut next = 0;
    let mut found = Vec::new();
    for (index, first, steps) in trunk {
        for node in &graph.nodes[next..=*index] {
            if !divides(node) && node.inputs.iter().any(|value| carried.contains(value)) {
                carried.extend(&node.outputs);
            }
        }
        next = index + 1;
        let outputs = &graph.nodes[*index].outputs;
        let renewed = !outputs.iter().any(|value| carried.contains(value));
        let behind = outputs.iter().all(|value| normalized[*value]);
        carried = outputs.iter().copied().collect();
        let place = |entry| TrunkPlace { entry, renewed: renewed && entry == *first, normalized: behind };
        found.extend((*first..first + steps).map(place));
    }
    found
}
