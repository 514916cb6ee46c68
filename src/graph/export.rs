//! Parameters under the names and in the layout of PyTorch's modules, so that another framework can begin with them.
//!
//! Each operator says how PyTorch lays its parameters out. A linear layer behind `flatten` counts its inputs as PyTorch does,
//! channel after channel.

use super::Graph;
use crate::op::{Arrays, Exported, Exports, Nature};

/// Names with their arrays, in the order of the network.
pub fn named(graph: &Graph, arrays: &Arrays<f32>) -> Vec<Exports> {
    let mut flattened = None;
    let mut seen = vec![false; graph.parameters.len()];
    let mut all = Vec::new();
    for node in graph.nodes.iter() {
        if matches!(node.operator.nature(), Nature::Flatten) {
            let shape = graph.values[node.inputs[0]].shape;
            flattened = Some((shape.channels, shape.positions()));
        }
        // A table that several layers share is written once.
        let new = node.parameters.iter().filter(|place| !std::mem::replace(&mut seen[**place], true));
        let parameters: Vec<_> = new
            .map(|place| &graph.parameters[*place])
            .filter_map(|parameter| Some((parameter, arrays.get(&parameter.stream)?)))
            .collect();
        let vectors: Vec<_> = node
            .vectors
            .iter()
            .map(|place| &graph.vectors[*place])
            .filter_map(|vector| Some((vector, arrays.get(&vector.stream)?)))
            .collect();
        if parameters.is_empty() && vectors.is_empty() {
            continue;
        }
        let linear = matches!(node.operator.nature(), Nature::Linear);
        let flattened = if linear { flattened.take() } else { None };
        all.extend(node.operator.export(&Exported { parameters, vectors, flattened }));
    }
    all
}
