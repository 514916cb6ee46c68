//! Networks against PyTorch with the same weights, where `INITDIAG_TORCH` names a Python that has it:
//!
//!     INITDIAG_TORCH=python3 cargo test --test torch
//!
//! Both sides compute in double precision; the engine once more in single precision, as users run it.

#![expect(clippy::print_stdout, reason = "measured gaps are for people to read")]

use initdiag::activation::Activation;
use initdiag::frontend::bundled;
use initdiag::frontend::toml::Architecture;
use initdiag::graph::{Graph, Laws, Passed, trial};
use initdiag::initializer::Initializer;
use initdiag::numeric::product::Threads;
use initdiag::numeric::real::Real;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part};
use initdiag::numeric::wide::Wide;
use initdiag::op::{Precision, loss};
use initdiag::spec::Loss;
use nalgebra::DMatrix;
use npyz::WriterBuilder;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const KEY: Key = Key { seed: 11, trial: 0, layer: 0 };

/// NumPy's array of this matrix.
fn write(directory: &Path, name: &str, matrix: &DMatrix<f64>, vector: bool) {
    let file = std::fs::File::create(directory.join(format!("{name}.npy"))).unwrap();
    let shape = [matrix.nrows() as u64, matrix.ncols() as u64];
    let shape = if vector { &shape[..1] } else { &shape[..] };
    let mut writer = npyz::WriteOptions::new()
        .order(npyz::Order::Fortran)
        .default_dtype()
        .shape(shape)
        .writer(file)
        .begin_nd()
        .unwrap();
    writer.extend(matrix.iter()).unwrap();
    writer.finish().unwrap();
}

fn read(directory: &Path, name: &str) -> DMatrix<f64> {
    let bytes = std::fs::read(directory.join(format!("{name}.npy"))).unwrap();
    let file = npyz::NpyFile::new(bytes.as_slice()).unwrap();
    let (rows, columns) = (file.shape()[0] as usize, file.shape()[1] as usize);
    let c_order = file.order() == npyz::Order::C;
    let values: Vec<f64> = file.into_vec().unwrap();
    if c_order {
        DMatrix::from_row_slice(rows, columns, &values)
    } else {
        DMatrix::from_vec(rows, columns, values)
    }
}

fn plain<T: Real>(s: &Signal<T>) -> DMatrix<f64> {
    s.values.map(|v| v.to_f64() * 2f64.powi(s.exponent as i32))
}

fn run<T: Precision>(net: &Graph, x: &DMatrix<f64>) -> Passed<T> {
    let mut pass = net.context(KEY, x.ncols(), Threads::All);
    pass.input_gradient = true;
    trial(net, vec![Signal::new(x.map(T::of), 0)], Loss::Random, pass, false, &|| true).unwrap()
}

/// Features × samples in the order of files, from channels × (positions·samples).
fn arranged(net: &Graph, gradient: &DMatrix<f64>) -> DMatrix<f64> {
    let shape = net.sole_input().unwrap();
    let positions = shape.positions();
    let image = shape.space.has_channels_first();
    DMatrix::from_fn(shape.size(), gradient.len() / shape.size(), |feature, sample| {
        let (channel, position) = match image {
            true => (feature / positions, feature % positions),
            false => (feature % shape.channels, feature / shape.channels),
        };
        gradient[(channel, sample * positions + position)]
    })
}

fn gap(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
    (a - b).norm() / b.norm()
}

/// Largest relative differences: of output, input gradient and records, in double and in single precision.
fn compare(python: &str, name: &str, source: &str, batch: usize) {
    let mut architecture = Architecture::parse(source).unwrap();
    let act = architecture.act.get_or_insert_with(|| "relu".into()).clone();
    let init = Initializer::parse_for_net("he-uniform").unwrap();
    let bias = Initializer::parse("uniform(-0.3, 0.4)").unwrap();
    let act = Arc::new(Activation::parse(&act).unwrap());
    // Uniform draws are the same in both precisions.
    let net =
        architecture.with_laws(&Laws { init: &init, bias: Some(&bias), act: &act, overrides: &[] }).unwrap();
    let x = DMatrix::from_fn(net.features(), batch, |i, j| f64::sin((3 * i + 7 * j + i * j) as f64));
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("net.json"), serde_json::to_string(&architecture).unwrap()).unwrap();
    write(here, "x", &x, false);
    let pass = net.context::<f64>(KEY, batch, Threads::One);
    for w in net.own_parameters() {
        write(here, &format!("w{}", w.stream), &net.matrix(w, &pass), false);
        if let Some(bias) = pass.bias(w) {
            write(here, &format!("b{}", w.stream), &plain(&bias), true);
        }
    }
    let double = run::<f64>(&net, &x);
    let read_out = loss::gradient(
        Loss::Random,
        &double.output,
        0,
        (Key { layer: net.streams() + 1, ..KEY }, Part::Block(0)),
        Threads::One,
    );
    write(here, "read_out", &plain(&read_out), false);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/parity.py");
    let status = Command::new(python).arg(script).arg(here).status().unwrap();
    assert!(status.success(), "{name}: the script failed");
    let (output, gradient, records) = (read(here, "output"), read(here, "gradient"), read(here, "records"));
    assert_eq!(records.nrows(), net.entries.len(), "{name}");
    let worst = |records_of: &[initdiag::op::record::LayerRecord]| {
        let mut worst = 0.0f64;
        for (index, record) in records_of.iter().enumerate() {
            let ours = [
                record.preactivation.variance,
                record.gradient.second_moment,
                record.weight_gradient.second_moment,
            ];
            for (column, value) in ours.into_iter().map(Wide::to_f64).enumerate() {
                let theirs = records[(index, column)];
                if theirs.is_finite() {
                    worst = worst.max((value / theirs - 1.0).abs());
                }
            }
        }
        worst
    };
    let gaps = [
        gap(&plain(&double.output), &output),
        gap(&arranged(&net, &plain(&double.gradients[0])), &gradient),
        worst(&double.records),
    ];
    let single = run::<f32>(&net, &x);
    // Read-outs of single precision are drawn by other means.
    let rough = [gap(&plain(&single.output), &output), worst_forward(&single.records, &records)];
    let shown = |gaps: &[f64]| gaps.iter().map(|g| format!("{g:.1e}")).collect::<Vec<_>>().join(", ");
    println!(
        "{name}: output, gradient, records {}; single precision: output, pre-activations {}",
        shown(&gaps),
        shown(&rough)
    );
    assert!(gaps.iter().all(|g| *g < 1e-9), "{name}: {gaps:?}");
    assert!(rough.iter().all(|g| *g < 2e-3), "{name}: {rough:?}");
}

fn worst_forward(records: &[initdiag::op::record::LayerRecord], theirs: &DMatrix<f64>) -> f64 {
    let gap = |(index, record): (usize, &initdiag::op::record::LayerRecord)| {
        let theirs = theirs[(index, 0)];
        if theirs.is_finite() { (record.preactivation.variance.to_f64() / theirs - 1.0).abs() } else { 0.0 }
    };
    records.iter().enumerate().map(gap).fold(0.0, f64::max)
}

#[test]
fn networks_agree_with_pytorch() {
    let Ok(python) = std::env::var("INITDIAG_TORCH") else {
        println!("skipped: INITDIAG_TORCH names no Python with PyTorch");
        return;
    };
    for name in ["mlp-mnist", "lenet5", "resnet18"] {
        compare(&python, name, bundled::source(name).unwrap(), 4);
    }
    let convolutions = r#"
        input = { shape = [4, 9, 8] }
        layer = [
            { type = "conv2d", out = 6, kernel = [3, 2], stride = [2, 1], padding = [0, 1] },
            { type = "layernorm" },
            { type = "act", fn = "gelu" },
            { type = "conv2d", out = 6, kernel = 3, padding = "same", dilation = 2, groups = 3 },
            { type = "groupnorm", groups = 3 },
            { type = "rmsnorm" },
            { type = "maxpool", kernel = 3, stride = 1, padding = 1 },
            { type = "conv2d", out = 12, kernel = 1, groups = 2 },
            { type = "avgpool", kernel = 2, stride = 1, padding = 1 },
            { type = "residual", scale = 0.3, layers = [{ type = "conv2d", out = 8, kernel = 3, padding = 1, stride = 2 }],
              shortcut = [{ type = "conv2d", out = 8, kernel = 1, stride = 2 }] },
        ]"#;
    compare(&python, "convolutions", convolutions, 3);
    for layer in ["rnn", "lstm", "gru"] {
        for last in [false, true] {
            let source = format!(
                r#"
                act = "tanh"
                input = {{ shape = [12, 5] }}
                layer = [
                    {{ type = "linear", out = 6 }},
                    {{ type = "{layer}", out = 7, init = "lecun-uniform", last = {last} }},
                    {{ type = "batchnorm" }},
                    {{ type = "linear", out = 3 }},
                ]"#
            );
            compare(&python, layer, &source, 4);
        }
    }
    let transformer = r#"
        input = { shape = [10, 24] }
        act = "gelu-tanh"
        layer = [
            { type = "repeat", times = 2, layers = [
                { type = "residual", layers = [{ type = "layernorm" }, { type = "attention", heads = 4, causal = true }] },
                { type = "residual", layers = [
                    { type = "layernorm" }, { type = "linear", out = 48 }, { type = "act" }, { type = "linear", out = 24 },
                ] },
            ] },
            { type = "attention", heads = 3 },
            { type = "rmsnorm" },
            { type = "flatten" },
            { type = "linear", out = 5 },
        ]"#;
    compare(&python, "transformer", transformer, 3);
}

/// Operators that join, divide and multiply values, of sequences and of images.
#[test]
fn graphs_agree_with_pytorch() {
    let Ok(python) = std::env::var("INITDIAG_TORCH") else {
        println!("skipped: INITDIAG_TORCH names no Python with PyTorch");
        return;
    };
    for (name, input, layers) in [
        (
            "add, split, concat",
            "[10, 24]",
            r#"{ type = "linear", out = 18, name = "a" }, { type = "split", sizes = [7, 5, 6], name = "s" },
               { type = "linear", out = 7, from = ["s[1]"] }, { type = "act", name = "b" },
               { type = "add", from = ["b", "s[0]", "b"], name = "c" },
               { type = "concat", from = ["s[2]", "c", "input", "a"] }, { type = "split", parts = 5, name = "t" },
               { type = "add" }, { type = "linear", out = 3 }"#,
        ),
        (
            "attention written out",
            "[10, 24]",
            r#"{ type = "repeat", times = 2, layers = [{ type = "residual", layers = [
                   { type = "layernorm", name = "x" }, { type = "linear", out = 24, name = "q" },
                   { type = "linear", out = 24, from = ["x"], name = "k" },
                   { type = "linear", out = 24, from = ["x"], name = "v" },
                   { type = "matmul", from = ["q", "k"], transposed = true, heads = 4 }, { type = "scale", by = 0.4 },
                   { type = "softmax", heads = 4, causal = true, name = "p" }, { type = "matmul", from = ["p", "v"], heads = 4 },
                   { type = "linear", out = 24 } ] }] }, { type = "linear", out = 5 }"#,
        ),
        (
            "SwiGLU and a gate of half the features",
            "[10, 24]",
            r#"{ type = "residual", layers = [
                   { type = "parallel", join = "mul", branches = [
                       [{ type = "linear", out = 40 }], [{ type = "linear", out = 40 }, { type = "act", fn = "silu" }]] },
                   { type = "linear", out = 24 } ] },
               { type = "split", parts = 2, name = "s" }, { type = "act", from = ["s[1]"], name = "gate" },
               { type = "mul", from = ["s[0]", "gate"] }, { type = "linear", out = 5 }"#,
        ),
        (
            "inception and channel attention",
            "[4, 9, 8]",
            r#"{ type = "parallel", join = "concat", branches = [
                   [{ type = "conv2d", out = 3, kernel = 1 }],
                   [{ type = "conv2d", out = 2, kernel = 1 }, { type = "act" },
                    { type = "conv2d", out = 4, kernel = 3, padding = 1 }],
                   [{ type = "avgpool", kernel = 3, stride = 1, padding = 1 }, { type = "conv2d", out = 1, kernel = 1 }],
                   []] }, { type = "act", name = "x" },
               { type = "conv2d", out = 2, kernel = 1, name = "q" },
               { type = "conv2d", out = 2, kernel = 1, from = ["x"], name = "k" },
               { type = "matmul", from = ["q", "k"], transposed = true }, { type = "softmax", name = "p" },
               { type = "matmul", from = ["p", "x"], name = "m" },
               { type = "parallel", join = "add", from = ["m"], branches = [[], [{ type = "act", from = ["x"] }]] },
               { type = "softmax", heads = 3 }, { type = "conv2d", out = 2, kernel = 2 }"#,
        ),
    ] {
        let source = format!("act = \"gelu\"\ninput = {{ shape = {input} }}\nlayer = [{layers}]");
        compare(&python, name, &source, 3);
    }
}

/// Whole batches have no order, so costs must agree step by step: the start as PyTorch reads it, every layer of lenet5 both ways, the
/// costs and every rule.
#[test]
fn training_agrees_with_pytorch() {
    let Ok(python) = std::env::var("INITDIAG_TORCH") else {
        println!("skipped: INITDIAG_TORCH names no Python with PyTorch");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let (table, start) = (place.path().join("t.csv"), place.path().join("start.safetensors"));
    let line = |sample: usize| {
        let pixel = |k: usize| format!("{:.4},", f64::sin((k * (sample + 3)) as f64).abs());
        (0..784).map(pixel).collect::<String>() + &format!("{}\n", sample % 10)
    };
    std::fs::write(&table, (0..60).map(line).collect::<String>()).unwrap();
    let (table, start) = (table.to_str().unwrap(), start.to_str().unwrap());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch/train.py");
    for (rule, loss, rate, decay) in [
        ("sgd", "cross-entropy", "0.1", "0.01"),
        ("momentum", "mse", "0.1", "0.01"),
        ("nesterov", "cross-entropy", "0.02", "0.1"),
        ("adam", "mse", "0.001", "0.01"),
        ("adamw", "cross-entropy", "0.001", "0.1"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_initdiag"))
            .args([
                "train", "--net", "lenet5", "--init", "he", "--seeds", "1", "--epochs", "12", "--batch",
                "60", "--json",
            ])
            .args([
                "--data",
                table,
                "--test",
                table,
                "--scale",
                "none",
                "--save-init",
                start,
                "--bias",
                "normal(0, 0.1)",
            ])
            .args(["--optimizer", rule, "--loss", loss, "--lr", rate, "--weight-decay", decay])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let trained: initdiag::study::train::outcome::Trained =
            serde_json::from_slice(&output.stdout).unwrap();
        let ours: Vec<f64> = trained.cells[0].runs[0].points.iter().map(|p| p.loss).collect();
        let output = Command::new(&python)
            .args([script, start, table, rule, loss, rate, decay, "12"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs: Vec<f64> = serde_json::from_slice(&output.stdout).unwrap();
        let gap = ours.iter().zip(&theirs).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
        println!("{rule}, {loss}: costs {:.6} to {:.6}, largest gap {gap:.1e}", theirs[0], theirs[11]);
        // Single precision on both sides, over twelve steps.
        assert!(
            ours.len() == 12 && gap < 1e-3 && theirs[11] < 0.95 * theirs[0],
            "{rule}: {ours:?} {theirs:?}"
        );
    }
}
