//! Parameters under the names and in the layout of PyTorch's modules, so that another framework can begin with them.
//!
//! Linear layers: out × in; convolutions: out × in/groups × height × width; recurrent layers: the gates one below the other, as
//! `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and a zero `bias_hh_l0` (torch/nn/modules/rnn.py). A linear layer behind `flatten`
//! counts its inputs as PyTorch does, channel after channel. Norms start with gain 1 and shift 0 everywhere, and are left out.

use super::{Kind, Net, Node};
use crate::op::conv::Conv;
use crate::op::linear::Linear;
use crate::op::recurrent::Recurrent;
use crate::op::{Parameter, Parameters};
use crate::tensorfile::safetensors::Tensor;
use nalgebra::DMatrix;
use std::borrow::Cow;

/// Names with their arrays, in the order of the network.
pub fn named(net: &Net, parameters: &Parameters<f32>) -> Vec<(String, Tensor<'static>)> {
    let mut walk = Walk { net, parameters, flattened: None, all: Vec::new() };
    walk.nodes(&net.nodes);
    walk.all
}

struct Walk<'a> {
    net: &'a Net,
    parameters: &'a Parameters<f32>,
    /// Channels and positions of what was last flattened and has not met a linear layer yet.
    flattened: Option<(usize, usize)>,
    all: Vec<(String, Tensor<'static>)>,
}

impl Walk<'_> {
    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match &node.kind {
                Kind::Linear(layer) => self.linear(layer),
                Kind::Conv(layer) => self.conv(layer),
                Kind::Recurrent(layer) => self.recurrent(&node.path, layer),
                Kind::Attention(layer) => {
                    layer.project.iter().for_each(|part| self.linear(part));
                    self.linear(&layer.out);
                }
                Kind::Embedding(layer) => {
                    for (name, weights) in
                        [("weight", Some(&layer.table)), ("positions", layer.positions.as_ref())]
                    {
                        if let Some(parameter) = weights.and_then(|w| self.parameters.get(&w.stream)) {
                            // Features × rows by columns is rows × features by rows.
                            let shape = vec![parameter.weights.ncols(), parameter.weights.nrows()];
                            self.put(&node.path, name, shape, parameter.weights.as_slice().to_vec());
                        }
                    }
                }
                Kind::Flatten { rows, channels } => self.flattened = Some((*channels, rows / channels)),
                Kind::Residual(block) => {
                    self.nodes(&block.branch);
                    self.nodes(&block.shortcut);
                }
                Kind::Pool(_) | Kind::Act(_) | Kind::Norm(_) | Kind::Dropout(_) => {}
            }
        }
    }

    fn put(&mut self, path: &str, name: &str, shape: Vec<usize>, values: Vec<f32>) {
        let name = format!("{}.{name}", path.replace('/', "."));
        self.all.push((name, Tensor { shape, values: Cow::Owned(values) }));
    }

    fn path(&self, entry: usize) -> String {
        self.net.entries.get(entry).map_or_else(String::new, |entry| entry.path.clone())
    }

    fn bias(&mut self, path: &str, parameter: &Parameter<f32>) {
        if let Some(bias) = &parameter.bias {
            self.put(path, "bias", vec![bias.len()], bias.as_slice().to_vec());
        }
    }

    fn linear(&mut self, layer: &Linear) {
        let flattened = self.flattened.take();
        if layer.tied.is_some() {
            return;
        }
        let Some(parameter) = self.parameters.get(&layer.weights.stream) else { return };
        let w = &*parameter.weights;
        let (units, fan_in) = w.shape();
        let (channels, positions) = flattened.filter(|(c, p)| c * p == fan_in).unwrap_or((1, fan_in));
        let entry = |unit: usize, place: usize| w[(unit, place % positions * channels + place / positions)];
        let values =
            (0..units).flat_map(|unit| (0..fan_in).map(move |place| (unit, place))).map(|(u, p)| entry(u, p));
        let values = values.collect();
        let path = self.path(layer.weights.entry);
        self.put(&path, "weight", vec![units, fan_in], values);
        self.bias(&path, parameter);
    }

    fn conv(&mut self, layer: &Conv) {
        let Some(parameter) = self.parameters.get(&layer.weights.stream) else { return };
        let [height, width] = layer.window.kernel;
        let (units, size, taps) = (layer.weights.units, layer.channels / layer.groups, height * width);
        let mut values = Vec::with_capacity(parameter.weights.len());
        for unit in 0..units {
            for channel in 0..size {
                values.extend((0..taps).map(|tap| parameter.weights[(unit, tap * size + channel)]));
            }
        }
        let path = self.path(layer.weights.entry);
        self.put(&path, "weight", vec![units, size, height, width], values);
        self.bias(&path, parameter);
    }

    fn recurrent(&mut self, path: &str, layer: &Recurrent) {
        let of = |stream: u64| self.parameters.get(&stream);
        let rows = |matrices: Vec<&DMatrix<f32>>| {
            let (units, columns) = matrices.first().map_or((0, 0), |m| m.shape());
            let values: Vec<f32> = matrices.iter().flat_map(|m| m.transpose().as_slice().to_vec()).collect();
            (vec![units * matrices.len(), columns], values)
        };
        let gates = |second: bool| -> Vec<&Parameter<f32>> {
            let stream = |(input, state): &(crate::op::pass::Weights, crate::op::pass::Weights)| {
                of(if second { state.stream } else { input.stream })
            };
            layer.gates.iter().filter_map(stream).collect()
        };
        let (input, state) = (gates(false), gates(true));
        let weights = |of: &[&Parameter<f32>]| rows(of.iter().map(|p| &*p.weights).collect());
        let biases: Vec<f32> =
            input.iter().filter_map(|p| p.bias.as_ref()).flat_map(|b| b.as_slice().to_vec()).collect();
        let (of_input, of_state) = (weights(&input), weights(&state));
        self.put(path, "weight_ih_l0", of_input.0, of_input.1);
        self.put(path, "weight_hh_l0", of_state.0, of_state.1);
        if !biases.is_empty() {
            let count = biases.len();
            self.put(path, "bias_ih_l0", vec![count], biases);
            self.put(path, "bias_hh_l0", vec![count], vec![0.0; count]);
        }
    }
}
