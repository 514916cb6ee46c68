//! `--jacobian`: singular values of ∂output/∂input against SCIENCE 5.5 and 7, against exact laws, and against finite differences.

#[path = "common/mod.rs"]
mod common;

use common::Tool;
use initdiag::diagnose::run;
use initdiag::frontend::toml::Architecture;
use initdiag::numeric::product::Threads;
use initdiag::numeric::stream::Key;
use initdiag::result::Report;
use initdiag::result::jacobian::{Jacobian, JacobianMethod};
use initdiag::simulate::{Control, Input, Plan};
use initdiag::spec::{Engine, Experiment};
use initdiag::study::jacobian::{Measurement, NotMeasured, check, measure};
use nalgebra::DMatrix;
use std::sync::atomic::AtomicBool;

fn plan(experiment: &Experiment) -> Plan {
    Plan::new(experiment, Input::Normal).unwrap()
}

/// The Jacobian of the only cell.
fn measured(experiment: &Experiment) -> Jacobian {
    let stop = AtomicBool::new(false);
    let control = Control { threads: 2, stop: &stop, progress: &|_| (), trace: false };
    let plan = plan(experiment);
    check(&plan).unwrap();
    let mut report = run(&plan, &control).unwrap();
    measure(&plan, &control, &mut report).unwrap();
    report.cells.remove(0).jacobian.unwrap()
}

fn stack(depth: usize, width: usize, act: &str, init: &str) -> Experiment {
    let (act, init) = (vec![act.into()], vec![init.into()]);
    Experiment { act, init, batch: 2, trials: 3, seed: 5, ..Experiment::plain(depth, width) }
}

fn net(text: &str, init: &str) -> Experiment {
    Experiment { net: Some(Architecture::parse(text).unwrap()), ..stack(1, 1, "tanh", init) }
}

/// The references of SCIENCE 7 at n = 400: the relative variance of s² is 33.8 for linear Gaussian layers at L = 32 (theory 32), and
/// for ReLU at L = 16 it is 17.4 with orthogonal weights (16) and 31.3 with Gaussian ones (32). Nine of ten draws lie between 30 and
/// 38, 15.3 and 17.5, 29 and 35: the median of three is within 15 % of both numbers. The law of the other weights is off by a factor
/// of two.
#[test]
fn relative_variances_are_those_of_theory() {
    for (depth, act, init, reference, theory) in [
        (32, "linear", "lecun-normal", 33.8, 32.0),
        (16, "relu", "orthogonal(gain=sqrt(2))", 17.4, 16.0),
        (16, "relu", "he-normal", 31.3, 32.0),
    ] {
        let j = measured(&stack(depth, 400, act, init));
        let expected = j.theory.unwrap();
        assert!((expected.relative_variance - theory).abs() < 1e-9, "{act} {init}: {expected:?}");
        let found = j.relative_variance.median.unwrap();
        assert!((found / reference - 1.0).abs() < 0.15, "{act} {init}: {found} instead of {reference}");
        assert!((found / theory - 1.0).abs() < 0.15, "{act} {init}: {found} instead of {theory}");
        // E s² = χ₁^L = 1, and its logarithm scatters by √(5L/n)/ln 10 at most: 0.2 decades for one draw.
        assert!(expected.log10_mean_square.abs() < 1e-9, "{expected:?}");
        assert!(j.log10_of_mean_square.unwrap().abs() < 0.3, "{j:?}");
        assert_eq!((j.inputs, j.outputs, j.method), (400, 400, JacobianMethod::Full));
    }
}

/// What the theory of the wrong weights or activation says is told apart.
#[test]
fn a_wrong_law_fails() {
    let gaussian = measured(&stack(16, 128, "relu", "he-normal"));
    let orthogonal = measured(&stack(16, 128, "relu", "orthogonal(gain=sqrt(2))"));
    let of = |measured: &Jacobian, theory: &Jacobian| {
        measured.relative_variance.median.unwrap() / theory.theory.unwrap().relative_variance
    };
    assert!((of(&gaussian, &gaussian) - 1.0).abs() < 0.4 && (of(&orthogonal, &orthogonal) - 1.0).abs() < 0.4);
    assert!(of(&gaussian, &orthogonal) > 1.4 && of(&orthogonal, &gaussian) < 0.7);
}

/// Orthogonal linear layers: every singular value is gain^L. Identity layers too, also of unequal widths, and with the implicit
/// method, whose one pass sees one matrix.
#[test]
fn orthogonal_stacks_have_equal_singular_values() {
    for (engine, init, gain) in [
        (Engine::Dense, "orthogonal(gain=1.25)", 1.25f64),
        (Engine::Implicit, "orthogonal(gain=1.25)", 1.25),
        (Engine::Dense, "identity(gain=0.5)", 0.5),
    ] {
        let j = measured(&Experiment { engine, ..stack(6, 40, "linear", init) });
        let log = 6.0 * gain.log10();
        assert_eq!(j.log10_singular_values.len(), 40);
        for value in j.log10_singular_values.iter().chain([&j.log10_largest.median]) {
            assert!((value.unwrap() - log).abs() < 1e-9, "{init}: {value:?} instead of {log}");
        }
        assert!((j.log10_mean_square.median.unwrap() - 2.0 * log).abs() < 1e-9);
        assert!(j.relative_variance.median.unwrap().abs() < 1e-9, "{init}");
    }
    let wide = Experiment { widths: vec![30, 50, 50, 20], ..stack(3, 1, "linear", "identity(gain=0.5)") };
    let j = measured(&wide);
    assert_eq!((j.inputs, j.outputs, j.theory), (30, 20, None));
    assert!(j.log10_singular_values.iter().all(|v| (v.unwrap() - 3.0 * 0.5f64.log10()).abs() < 1e-9));
}

/// Singular values of the Jacobian by central differences of the network itself, at the same weights.
fn by_differences(experiment: &Experiment) -> Vec<f64> {
    let plan = plan(experiment);
    let graph = &plan.cells[0].graph;
    let key = Key { seed: experiment.seed, trial: 0, layer: 0 };
    let x = plan
        .inputs
        .common
        .draw::<f64>(graph.features(), experiment.batch, key)
        .values
        .columns(0, 1)
        .into_owned();
    let output = |x: &DMatrix<f64>| {
        let mut context = graph.context::<f64>(key, 1, Threads::One);
        context.quiet = true;
        let input = initdiag::numeric::signal::Signal::new(x.clone(), 0);
        let (out, _) = initdiag::graph::forward(graph, vec![input], &mut context, false, &|| true).unwrap();
        out.signal.values.map(|v| v * 2f64.powi(out.signal.exponent as i32))
    };
    let step = 1e-5;
    let column = |feature: usize| {
        let at = |delta: f64| {
            let mut x = x.clone();
            x[(feature, 0)] += delta;
            output(&x)
        };
        let difference = (at(step) - at(-step)) / (2.0 * step);
        nalgebra::DVector::from_column_slice(difference.as_slice())
    };
    let jacobian = DMatrix::from_columns(&(0..graph.features()).map(column).collect::<Vec<_>>());
    let mut values: Vec<f64> = jacobian.singular_values().iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

const NETS: [&str; 3] = [
    r#"
    input = { shape = [9] }
    layer = [{ type = "linear", out = 12 }, { type = "act" }, { type = "residual", layers = [{ type = "layernorm" }, { type = "linear", out = 12 }, { type = "act" }] }, { type = "linear", out = 7 }]"#,
    r#"
    input = { shape = [2, 4, 3] }
    layer = [{ type = "conv2d", out = 3, kernel = 3, padding = 1 }, { type = "act" }, { type = "flatten" }, { type = "linear", out = 30 }, { type = "act" }]"#,
    r#"
    input = { shape = [4, 3] }
    layer = [{ type = "linear", out = 4 }, { type = "attention", heads = 2 }, { type = "rnn", out = 5 }]"#,
];

/// To the accuracy of the differences, 10⁻⁸ of the largest.
#[test]
fn networks_agree_with_finite_differences() {
    for text in NETS {
        let experiment = Experiment { trials: 1, engine: Engine::Dense, ..net(text, "lecun-normal") };
        let j = measured(&experiment);
        let expected = by_differences(&experiment);
        assert_eq!(j.log10_singular_values.len(), expected.len(), "{text}");
        for (found, expected_value) in j.log10_singular_values.iter().zip(&expected) {
            let found = 10f64.powf(found.unwrap());
            assert!(
                (found - expected_value).abs() < 1e-7 * expected[0],
                "{found} instead of {expected_value}: {text}"
            );
        }
    }
}

/// LSUV's factors are those of the trial's batch, and of the copies of one sample they would be others.
#[test]
fn rescaled_weights_keep_the_factors_of_the_batch() {
    let experiment = |engine| Experiment { engine, batch: 40, ..stack(3, 30, "linear", "lsuv") };
    let (dense, implicit) = (measured(&experiment(Engine::Dense)), measured(&experiment(Engine::Implicit)));
    assert_eq!(dense, implicit);
    // An orthogonal matrix times the factor that 40 samples of mean square one leave it: one, to 1/√(40·30) parts a layer.
    for value in &dense.log10_singular_values {
        assert!(value.unwrap().abs() < 0.05, "{value:?}");
    }
    assert!(dense.relative_variance.median.unwrap() < 1e-9);
}

/// Random read-outs against all rows of the same Jacobian: the mean square of 64 read-outs scatters by √(2/64·(1 + v)/n), v the
/// relative variance; power iteration reaches the largest from below.
#[test]
fn estimates_agree_with_the_full_spectrum() {
    let stop = AtomicBool::new(false);
    for (text, init) in [
        (NETS[1], "lecun-normal"),
        (
            "input = { shape = [200] }\nlayer = [{ type = \"linear\", out = 150 }, { type = \"act\" }, { type = \"linear\", out = 180 }]",
            "lecun-normal",
        ),
    ] {
        let experiment = Experiment { engine: Engine::Dense, ..net(text, init) };
        let plan = plan(&experiment);
        let full = Measurement::new(&plan.cells[0]).unwrap();
        let estimate = Measurement::new(&plan.cells[0]).unwrap().estimated();
        for trial in 0..3 {
            let (a, b) = (
                full.trial(&plan, trial, Threads::One, &stop).unwrap(),
                estimate.trial(&plan, trial, Threads::One, &stop).unwrap(),
            );
            let ratio = 10f64.powf(a.mean_square.log10_abs().unwrap() - b.mean_square.log10_abs().unwrap());
            assert!((ratio - 1.0).abs() < 0.35, "{ratio}");
            let (largest, from_below) = (a.log10_largest.unwrap(), b.log10_largest.unwrap());
            assert!(from_below < largest + 1e-6 && from_below > largest - 0.01, "{largest} {from_below}");
            let (exact, estimated) = (a.relative_variance.unwrap(), b.relative_variance.unwrap());
            assert!((estimated - exact).abs() < 0.5 * (1.0 + exact), "{exact} {estimated}");
            assert!(b.log10_values.is_empty());
        }
    }
}

/// Several passes see the weights of one. Rounding moves an eigenvalue of JJᵀ by some 2⁻⁵³ of the largest (Weyl).
#[test]
fn blocks_see_the_same_weights() {
    let stop = AtomicBool::new(false);
    let experiment = Experiment { engine: Engine::Dense, ..stack(3, 24, "tanh", "xavier") };
    let plan = plan(&experiment);
    let whole = Measurement::new(&plan.cells[0]).unwrap().trial(&plan, 0, Threads::One, &stop).unwrap();
    let blocks = Measurement::new(&plan.cells[0])
        .unwrap()
        .in_blocks_of(5)
        .trial(&plan, 0, Threads::One, &stop)
        .unwrap();
    let square = |log: &Option<f64>| 10f64.powf(2.0 * log.unwrap());
    let largest = square(&whole.log10_values[0]);
    for (a, b) in whole.log10_values.iter().zip(&blocks.log10_values) {
        let gap = (square(a) - square(b)).abs() / largest;
        assert!(gap < 1e-14, "{gap}");
    }
}

#[test]
fn what_has_no_jacobian_is_refused() {
    let norm = net(
        "input = { shape = [4] }\nlayer = [{ type = \"linear\", out = 4 }, { type = \"batchnorm\" }]",
        "he",
    );
    assert_eq!(check(&plan(&norm)), Err(NotMeasured::MixesSamples));
    let tokens = "input = { tokens = 9, length = 3 }\nlayer = [{ type = \"embedding\", out = 4 }, { type = \"linear\", out = 2 }]";
    assert_eq!(check(&plan(&net(tokens, "he"))), Err(NotMeasured::Tokens));
    Tool("--no-progress").refuses(&[
        (&["--net", "gpt2-small", "--jacobian"], "--jacobian: the network takes tokens"),
        (&["--net", "resnet18", "--jacobian"], "--jacobian: a batch norm"),
        (&["--net", "t5-small", "--jacobian"], "--jacobian: the network has several inputs"),
    ]);
}

/// The option's result in JSON, table and figures; without it there is none.
#[test]
fn a_run_shows_its_spectrum() {
    let tool = Tool("--no-progress");
    let options =
        ["--depth", "4", "--width", "32", "--init", "orthogonal", "--act", "linear,relu", "--batch", "4"];
    let report: Report = tool.json(&[&options[..], &["--jacobian"]].concat());
    for cell in &report.cells {
        let jacobian = cell.jacobian.as_ref().unwrap();
        assert_eq!((jacobian.trials, jacobian.log10_singular_values.len()), (10, 32));
        assert!(jacobian.theory.is_some());
    }
    let again: Report = tool.json(&[&options[..], &["--jacobian", "--threads", "1"]].concat());
    assert_eq!(report, again);
    let without: Report = tool.json(&options);
    assert!(without.cells.iter().all(|cell| cell.jacobian.is_none()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let output = tool.run(&[&options[..], &["--jacobian", "--out", path]].concat());
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains(
            "singular values of ∂output/∂input (32 × 32): largest 1.00, mean square 1.00 (theory 1.00)"
        ),
        "{table}"
    );
    let svg = std::fs::read_to_string(directory.path().join("jacobian.svg")).unwrap();
    assert!(table.contains("relative variance of the squares 0 (theory 0)"), "{table}");
    assert!(svg.contains("Singular values") && svg.contains("<path") && !svg.contains("NaN"));
    assert!(directory.path().join("jacobian.png").exists());
}
