//! Networks of architecture files in double precision: passes through them, and their gradients against finite differences.

#![allow(dead_code, reason = "not every test file uses all of it")]

use initdiag::activation::Activation;
use initdiag::frontend::toml::Architecture;
use initdiag::graph::{Graph, Laws, Passed, backward, forward, trial};
use initdiag::initializer::Initializer;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part};
use initdiag::op::parameters::gradients_like;
use initdiag::op::{Arrays, Gradients, VectorParameter, loss};
use initdiag::spec::Loss;
use nalgebra::DMatrix;
use std::collections::HashMap;
use std::sync::Arc;

pub const KEY: Key = Key { seed: 3, trial: 1, layer: 0 };
pub const BATCH: usize = 3;

pub type Given = Arrays<f64>;

pub fn net(text: &str) -> Graph {
    let architecture = Architecture::parse(text).unwrap();
    let init = Initializer::parse_for_net("normal(0.05, 0.6)").unwrap();
    let bias = Initializer::parse("normal(0.1, 0.3)").unwrap();
    let act = Arc::new(Activation::parse("tanh").unwrap());
    architecture.with_laws(&Laws { init: &init, bias: Some(&bias), act: &act, overrides: &[] }).unwrap()
}

pub fn run(net: &Graph, x: &DMatrix<f64>, given: Option<&Given>, exponent: i64) -> Passed<f64> {
    let mut pass = net.context(KEY, BATCH, Threads::One);
    pass.input_gradient = true;
    pass.given = given;
    trial(net, vec![Signal::new(x.clone(), exponent)], Loss::Random, pass, false, &|| true).unwrap()
}

pub fn plain(s: &Signal<f64>) -> DMatrix<f64> {
    s.values.map(|v| v * 2f64.powi(s.exponent as i32))
}

/// ⟨output, read-out⟩.
pub fn cost(net: &Graph, x: &DMatrix<f64>, given: Option<&Given>) -> f64 {
    let output = run(net, x, given, 0).output;
    let read_out = loss::gradient(
        Loss::Random,
        &output,
        0,
        (Key { layer: net.streams() + 1, ..KEY }, Part::Block(0)),
        Threads::One,
    );
    plain(&output).dot(&plain(&read_out))
}

/// Features × samples in the order of the user, from channels × (positions·samples).
pub fn arranged(net: &Graph, gradient: DMatrix<f64>) -> DMatrix<f64> {
    let shape = net.sole_input().unwrap();
    let positions = shape.positions();
    let image = shape.space.has_channels_first();
    DMatrix::from_fn(shape.size(), BATCH, |feature, sample| {
        let (channel, position) = if image {
            (feature / positions, feature % positions)
        } else {
            (feature % shape.channels, feature / shape.channels)
        };
        gradient[(channel, sample * positions + position)]
    })
}

pub fn weights(net: &Graph) -> Given {
    net.arrays(&net.context::<f64>(KEY, BATCH, Threads::One))
}

/// ∂⟨output, read-out⟩ with respect to all weights and biases.
pub fn collected(net: &Graph, x: &DMatrix<f64>, given: &Given) -> Gradients<f64> {
    let mut pass = net.context(KEY, BATCH, Threads::One);
    (pass.given, pass.quiet, pass.gradients) = (Some(given), true, Some(gradients_like(given)));
    let (out, tapes) = forward(net, vec![Signal::new(x.clone(), 0)], &mut pass, false, &|| true).unwrap();
    let read_out = loss::gradient(
        Loss::Random,
        &out.signal,
        0,
        (Key { layer: net.streams() + 1, ..KEY }, Part::Block(0)),
        Threads::One,
    );
    backward(net, tapes, read_out, &mut pass, &|| true).unwrap();
    pass.gradients.unwrap()
}

pub fn close(a: f64, b: f64, scale: f64, what: &str) {
    assert!((a - b).abs() <= 2e-6 * scale.max(1e-3), "{what}: {a} by the engine, {b} by differences");
}

pub fn check(text: &str) {
    let net = net(text);
    let x = DMatrix::from_fn(net.features(), BATCH, |i, j| f64::sin((3 * i + 7 * j + i * j) as f64) * 1.1);
    let passed = run(&net, &x, None, 0);
    let step = 1e-5;
    // Tokens have no gradient.
    if net.features() > 0 {
        let gradient = arranged(&net, plain(&passed.gradients[0]));
        let top = gradient.amax();
        for feature in 0..net.features() {
            for sample in 0..BATCH {
                let at = |delta: f64| {
                    let mut x = x.clone();
                    x[(feature, sample)] += delta;
                    cost(&net, &x, None)
                };
                let difference = (at(step) - at(-step)) / (2.0 * step);
                close(
                    gradient[(feature, sample)],
                    difference,
                    top,
                    &format!("input {feature} of {sample}: {text}"),
                );
            }
        }
    }
    let given = weights(&net);
    assert!((cost(&net, &x, Some(&given)) - cost(&net, &x, None)).abs() < 1e-9);
    // The matrices of one entry together, as a recurrent layer has them.
    let mut entries: HashMap<usize, (f64, f64, f64)> = HashMap::new();
    // Tokens' tables are not trained.
    let tokens = net.features() == 0;
    let gradients = collected(&net, &x, &given);
    for w in net.own_parameters() {
        let (count, total, square) = entries.entry(w.entry).or_default();
        let matrix = gradients[&w.stream].weights.clone();
        *count += matrix.len() as f64;
        for place in 0..matrix.len() {
            let at = |delta: f64| {
                let mut given = given.clone();
                let parameter = given.get_mut(&w.stream).unwrap();
                Arc::make_mut(&mut parameter.weights).as_mut_slice()[place] += delta;
                cost(&net, &x, Some(&given))
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            *total += difference;
            *square += difference * difference;
            if !tokens {
                close(
                    matrix[place],
                    difference,
                    matrix.amax(),
                    &format!("weight {place} of {}: {text}", w.stream),
                );
            }
        }
        for place in 0..gradients[&w.stream].bias.as_ref().map_or(0, DMatrix::len) {
            let at = |delta: f64| {
                let mut given = given.clone();
                given.get_mut(&w.stream).unwrap().bias.as_mut().unwrap()[place] += delta;
                cost(&net, &x, Some(&given))
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            let bias = gradients[&w.stream].bias.as_ref().unwrap();
            close(bias[place], difference, bias.amax(), &format!("bias {place} of {}: {text}", w.stream));
        }
    }
    for vector in &net.vectors {
        let gradient = gradients[&vector.stream].weights.clone();
        for place in 0..vector.length {
            let at = |delta: f64| {
                let mut given = given.clone();
                let array = given.get_mut(&vector.stream).unwrap();
                Arc::make_mut(&mut array.weights).as_mut_slice()[place] += delta;
                cost(&net, &x, Some(&given))
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            let name = format!("entry {place} of {}: {text}", vector.name());
            close(gradient[place], difference, gradient.amax(), &name);
        }
    }
    for (norm, record) in net.recorded_norms.iter().zip(&passed.norms) {
        let is_gain = |v: &&VectorParameter| v.kind == "gain" && v.path == norm.path;
        let gain = &gradients[&net.vectors.iter().find(is_gain).unwrap().stream].weights;
        let second = gain.iter().map(|g| g * g).sum::<f64>() / gain.len() as f64;
        close(
            record.weight_gradient.second_moment.to_f64(),
            second,
            second,
            &format!("{}: {text}", norm.path),
        );
        close(record.weight_gradient.mean.to_f64(), gain.mean(), second.sqrt(), &norm.path);
    }
    if recurrent_steps(&net) {
        return;
    }
    for (entry, (count, total, square)) in entries {
        let record = &passed.records[entry].weight_gradient;
        let second = square / count;
        close(
            record.second_moment.to_f64(),
            second,
            second,
            &format!("weights {}: {text}", net.entries[entry].path),
        );
        close(record.mean.to_f64(), total / count, second.sqrt(), &net.entries[entry].path);
    }
}

/// Several steps share weights, whose gradient is recorded step by step.
pub fn recurrent_steps(net: &Graph) -> bool {
    net.entries.iter().any(|e| e.path.ends_with("step2"))
}
