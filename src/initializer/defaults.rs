//! A network as its framework leaves it: what each class of layers draws when its user says nothing.
//!
//! Versions read and measured: PyTorch 2.15, Keras 3.15, Flax 0.12.

use super::catalog::{Entry, Group, VectorSite, Vectors};
use super::classic::{normal, symmetric, truncated, uniform, xavier_variance};
use super::framework::{in_keras, inverse_root};
use super::{Class, Site, Values};
use crate::law::Law;

/// U(±1/√hidden) of everything in a recurrent layer, hidden the units of the cell (torch/nn/modules/rnn.py, `reset_parameters`).
fn of_cell(site: &Site) -> Result<Law, String> {
    let units = match site.place.class {
        Class::Projection => site.fan_in,
        _ => site.fan_out / site.place.blocks.max(1),
    };
    symmetric(1.0 / (units as f64).sqrt())
}

/// The layer as a part of the matrix that its framework draws: all gates of a cell, or queries, keys and values.
fn packed<'a>(site: &Site<'a>) -> Site<'a> {
    let rows = site.fan_out / site.place.blocks.max(1);
    Site { fan_out: rows.saturating_mul(site.place.packed), ..*site }
}

pub fn torch(values: &Values, site: &Site) -> Result<Law, String> {
    match site.place.class {
        Class::GateInput | Class::GateState | Class::Projection => of_cell(site),
        Class::Query | Class::Key | Class::Value => uniform(xavier_variance(&packed(site))),
        Class::Embedding | Class::Positions => normal(1.0),
        Class::Linear | Class::Convolution | Class::TransposedConvolution | Class::AttentionOutput => {
            inverse_root(values, site)
        }
    }
}

pub fn torch_bias(values: &Values, site: &Site) -> Result<Law, String> {
    match site.place.class {
        Class::GateInput | Class::GateState => of_cell(site),
        Class::Linear | Class::Convolution | Class::TransposedConvolution => inverse_root(values, site),
        _ => Ok(Law::Constant(0.0)),
    }
}

fn keras(_: &Values, site: &Site) -> Result<Law, String> {
    match site.place.class {
        Class::GateState if site.place.blocks < site.place.packed => Err(
            "draws the state's weights of all gates as one orthogonal matrix, and each gate has one of its own here: packed = true fits"
                .into(),
        ),
        Class::GateState => Ok(Law::Haar { gain: 1.0 }),
        Class::GateInput => uniform(xavier_variance(&packed(site))),
        Class::Embedding | Class::Positions => symmetric(0.05),
        _ => uniform(xavier_variance(&in_keras(site))),
    }
}

fn keras_bias(_: &Values, site: &Site) -> Result<Law, String> {
    let opens = site.place.forget && site.place.class == Class::GateInput;
    Ok(Law::Constant(if opens { 1.0 } else { 0.0 }))
}

fn flax(_: &Values, site: &Site) -> Result<Law, String> {
    match site.place.class {
        Class::GateState if site.place.blocks > 1 => Err(
            "draws an orthogonal matrix for each gate's state, and all gates have one here: leave out packed"
                .into(),
        ),
        Class::GateState => Ok(Law::Haar { gain: 1.0 }),
        // Its rows are counted as what goes in (flax/linen/linear.py, `default_embed_init`).
        Class::Embedding | Class::Positions => normal(1.0 / site.fan_out as f64),
        // The kernel is (height, width, channels in, channels out), which PyTorch counts as fan-out.
        Class::TransposedConvolution => truncated(1.0 / site.fan_out as f64),
        _ => truncated(1.0 / site.fan_in as f64),
    }
}

/// The slopes of PReLU, the only vector on whose beginning the three differ.
const fn slopes(constant: fn(&VectorSite) -> Option<f64>) -> Option<Vectors> {
    Some(Vectors { constant, above_file: false, needs: None })
}

const BASE: Entry = Entry { group: Group::Framework, tables: true, ..Entry::BASE };

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "torch-default",
        aliases: &["pytorch-default"],
        law: "class by class: linear, convolution U(±1/√fan_in), bias too; RNN, LSTM, GRU U(±1/√hidden), both biases too; attention \
              xavier-uniform over q, k, v at once, biases 0, its output as linear; embedding N(0, 1)",
        source: "PyTorch nn/modules/linear.py, conv.py, rnn.py, activation.py, sparse.py, reset_parameters",
        weights: torch,
        bias: Some(torch_bias),
        vectors: slopes(|vector| (vector.kind == "slope").then_some(0.25)),
        nominal: Some(|_, _| 1.0 / 3.0),
        ..BASE
    },
    Entry {
        name: "keras-default",
        aliases: &["tensorflow-default"],
        law: "class by class: glorot-uniform, of recurrent layers over all gates at once; their state's weights orthogonal over all \
              gates, forget bias 1; embedding U(±0.05); other biases 0",
        source: "Keras src/layers: core/dense.py, convolutional/base_conv.py, rnn/lstm.py, attention/multi_head_attention.py, \
                 core/embedding.py",
        weights: keras,
        bias: Some(keras_bias),
        vectors: slopes(|vector| (vector.kind == "slope").then_some(0.0)),
        nominal: Some(|_, site| site.fan_in as f64 * xavier_variance(site)),
        ..BASE
    },
    Entry {
        name: "flax-default",
        aliases: &["jax-default"],
        law: "class by class: lecun-normal, truncated; the state's weights of recurrent layers orthogonal, gate by gate; embedding \
              N(0, 1/features); biases 0",
        source: "Flax linen/linear.py, attention.py, recurrent.py; nnx/nn likewise",
        weights: flax,
        vectors: slopes(|vector| (vector.kind == "slope").then_some(0.01)),
        nominal: Some(|_, _| 1.0),
        ..BASE
    },
];
