//! A plain stack as a graph with given laws, for tests of what a trial computes.

use initdiag::activation::Activation;
use initdiag::frontend::stack;
use initdiag::graph::Graph;
use initdiag::simulate::LayerPlan;
use initdiag::weights::Method;
use std::sync::Arc;

/// The graph of these layers, drawn by one method.
pub fn stack(layers: &[LayerPlan], act: &Arc<Activation>, method: Method) -> Graph {
    let widths: Vec<usize> =
        std::iter::once(layers[0].fan_in).chain(layers.iter().map(|layer| layer.fan_out)).collect();
    let mut graph = stack::graph(&widths, act).unwrap();
    for (parameter, layer) in graph.parameters.iter_mut().zip(layers) {
        (parameter.law, parameter.bias, parameter.rescaled) = (layer.weights, layer.bias, layer.rescaled);
        parameter.method = method;
    }
    graph
}
