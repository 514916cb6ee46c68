//! Every operator against finite differences and against PyTorch in double precision, in one table: each row is a network, whose
//! output and gradients PyTorch has computed from the same numbers (`tests/torch/operators`, kept in `tests/data/operators`).
//!
//! Where `INITDIAG_TORCH` names a Python that has PyTorch, its numbers are made anew and held to those that are kept.

#[path = "../common/nets.rs"]
mod nets;

mod attention;
mod convolutions;
mod pointwise;
mod recurrent;

use initdiag::graph::{Graph, backward, forward};
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::op::parameters::gradients_like;
use initdiag::op::{Arrays, Parameter};
use nalgebra::DMatrix;
use nets::{BATCH, KEY, arranged, plain};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Rows of the table: the name that PyTorch's side has for it, and the network.
pub type Cases = &'static [(&'static str, &'static str)];

/// The table, a file a kind of operator.
const TABLE: &[(&str, Cases)] = &[
    ("attention", attention::CASES),
    ("convolutions", convolutions::CASES),
    ("pointwise", pointwise::CASES),
    ("recurrent", recurrent::CASES),
];

/// Relative gap between two programs in double precision.
const GAP: f64 = 1e-9;

/// What PyTorch made of a network.
#[derive(Deserialize)]
struct Golden {
    /// Sample by sample, position by position, channel by channel.
    output: Vec<f64>,
    /// ∂⟨output, read-out⟩/∂input, likewise; empty for tokens.
    input: Vec<f64>,
    /// The same of each parameter, by name and as ours lie: column by column.
    parameters: BTreeMap<String, Vec<f64>>,
}

fn kept(group: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/operators/{group}.json"))
}

fn read(path: &Path) -> BTreeMap<String, Golden> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The numbers of a parameter of this name, as both sides make them.
fn filled(name: &str, rows: usize, columns: usize) -> DMatrix<f64> {
    let seed = name.bytes().map(usize::from).sum::<usize>() % 101;
    DMatrix::from_fn(rows, columns, |i, j| 0.5 * f64::sin((seed + 3 * i + 7 * j + i * j) as f64))
}

fn arrays(net: &Graph) -> Arrays<f64> {
    let mut arrays = nets::weights(net);
    for p in &net.parameters {
        let Some(array) = arrays.get_mut(&p.stream) else { continue };
        let (rows, columns) = array.weights.shape();
        array.weights = Arc::new(filled(&p.name(), rows, columns));
        if let Some(bias) = &mut array.bias {
            *bias = filled(&p.bias_name(), bias.nrows(), 1);
        }
    }
    for vector in &net.vectors {
        let array = arrays.get_mut(&vector.stream).unwrap();
        array.weights = Arc::new(filled(&vector.name(), vector.length, 1));
    }
    arrays
}

fn gap(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let top = theirs.iter().fold(1e-3, |top: f64, x| top.max(x.abs()));
    ours.iter().zip(theirs).fold(0.0, |worst: f64, (a, b)| worst.max((a - b).abs() / top))
}

/// Holds a network to what PyTorch made of it.
fn compare(name: &str, text: &str, golden: &Golden) {
    let net = nets::net(text);
    assert!(net.features() > 0, "{name}: the table's inputs are numbers");
    let x = DMatrix::from_fn(net.features(), BATCH, |i, j| f64::sin((3 * i + 7 * j + i * j) as f64) * 1.1);
    let given = arrays(&net);
    let mut pass = net.context(KEY, BATCH, Threads::One);
    (pass.given, pass.quiet, pass.input_gradient) = (Some(&given), true, true);
    pass.gradients = Some(gradients_like(&given));
    let (out, tape) = forward(&net, vec![Signal::new(x, 0)], &mut pass, false, &|| true).unwrap();
    let output = plain(&out.signal);
    let (channels, positions) = (net.output().channels, net.output().positions());
    let read_out = DMatrix::from_fn(channels, positions * BATCH, |channel, column| {
        let (sample, position) = (column / positions, column % positions);
        f64::cos((2 * channel + 5 * position + 11 * sample) as f64)
    });
    let gradient = backward(&net, tape, Signal::new(read_out, 0), &mut pass, &|| true).unwrap();
    let gradients = pass.gradients.unwrap();
    let matrices = net.parameters.iter().filter(|p| given.contains_key(&p.stream));
    let of = |p: &Parameter| {
        let weights = p.is_own().then(|| (p.name(), gradients[&p.stream].weights.as_slice()));
        let bias = gradients[&p.stream].bias.as_ref().map(|bias| (p.bias_name(), bias.as_slice()));
        [weights, bias].into_iter().flatten().collect::<Vec<_>>()
    };
    let vectors = net.vectors.iter().map(|v| (v.name(), gradients[&v.stream].weights.as_slice()));
    let ours: BTreeMap<String, &[f64]> = matrices.flat_map(of).chain(vectors).collect();
    assert!(ours.keys().eq(golden.parameters.keys()), "{name}: {:?} here", ours.keys());
    let check = |what: &str, ours: &[f64], theirs: &[f64]| {
        let gap = gap(ours, theirs);
        assert!(gap <= GAP, "{name}: {what} differs by {gap:.1e}");
    };
    check("the output", output.as_slice(), &golden.output);
    check("the input's gradient", arranged(&net, plain(&gradient[0])).as_slice(), &golden.input);
    ours.iter().for_each(|(parameter, ours)| check(parameter, ours, &golden.parameters[parameter]));
}

#[test]
fn operators_agree_with_pytorch() {
    for (group, cases) in TABLE {
        let golden = read(&kept(group));
        assert_eq!(golden.len(), cases.len(), "{group}: rows on both sides");
        for (name, text) in *cases {
            let golden = golden.get(*name).unwrap_or_else(|| panic!("{group}: nothing is kept of {name}"));
            compare(name, text, golden);
        }
    }
}

#[test]
fn operators_agree_with_finite_differences() {
    for (_, cases) in TABLE {
        cases.iter().for_each(|(_, text)| nets::check(text));
    }
}

#[test]
fn what_is_kept_is_what_pytorch_computes() {
    let Ok(python) = std::env::var("INITDIAG_TORCH") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/operators/main.py");
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new(python).arg(script).arg(directory.path()).status().unwrap();
    assert!(status.success(), "the script failed");
    for (group, _) in TABLE {
        let (old, new) = (read(&kept(group)), read(&directory.path().join(format!("{group}.json"))));
        assert!(old.keys().eq(new.keys()), "{group}");
        for (name, new) in new {
            assert!(gap(&old[&name].output, &new.output) < GAP, "{group}: {name}");
            assert!(gap(&old[&name].input, &new.input) < GAP, "{group}: {name}");
            for (parameter, new) in new.parameters {
                assert!(gap(&old[&name].parameters[&parameter], &new) < GAP, "{group}: {name}: {parameter}");
            }
        }
    }
}
