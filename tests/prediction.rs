//! How far one trial scatters: first-order theory against the engine.

use initdiag::activation::Activation;
use initdiag::result::{Layer, Summary};
use initdiag::simulate::{Control, Input, Plan, run};
use initdiag::spec::{Engine, Experiment};
use initdiag::theory::field::Weights;
use initdiag::theory::prediction::{Expected, Quantity, Setting, predict};
use std::sync::atomic::AtomicBool;

struct Case {
    act: &'static str,
    init: &'static str,
    width: usize,
    depth: usize,
    batch: usize,
}

/// Mean and standard deviation of log₁₀ over trials, and log₁₀ of the mean.
struct Measured {
    mean: f64,
    std: f64,
    skew: f64,
}

fn measured(summary: &Summary, variance: bool) -> Option<Measured> {
    let values: Vec<f64> = summary
        .trials
        .as_ref()?
        .iter()
        .filter_map(|t| if variance { t.log10_variance } else { t.log10_second_moment })
        .collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let central = |k: i32| values.iter().map(|v| (v - mean).powi(k)).sum::<f64>() / count;
    let std = central(2).sqrt();
    Some(Measured { mean, std, skew: central(3) / std.powi(3) })
}

/// The layers of a run on the lazy engine, and what theory says of them.
fn both(case: &Case, trials: usize) -> (Vec<Layer>, Vec<Expected>) {
    let experiment = Experiment {
        act: vec![case.act.into()],
        init: vec![case.init.into()],
        batch: case.batch,
        trials,
        seed: 77,
        engine: Engine::Lazy,
        ..Experiment::plain(case.depth, case.width)
    };
    let plan = Plan::new(&experiment, Input::Normal).unwrap();
    let control = Control { threads: 2, stop: &AtomicBool::new(false), progress: &|_| (), trace: true };
    let report = run(&plan, &control).unwrap();
    let layers = report.cells[0].layers.clone();
    let laws: Vec<Weights> = plan.cells[0]
        .layers
        .iter()
        .map(|l| Weights::of(l.fan_in, l.fan_out, &l.weights, &l.bias).unwrap())
        .collect();
    let act = Activation::parse(case.act).unwrap();
    let prediction = predict(&act, &laws, &Setting::normal(case.batch, case.width), usize::MAX);
    assert!(prediction.complete);
    (layers, prediction.layers)
}

type Pick = (&'static str, fn(&Layer) -> &Summary, fn(&Expected) -> &Quantity);

const QUANTITIES: [Pick; 4] = [
    ("preactivation", |l| &l.preactivation, |e| &e.preactivation),
    ("activation", |l| &l.activation, |e| &e.activation),
    ("gradient", |l| &l.gradient, |e| &e.gradient),
    ("weight gradient", |l| &l.weight_gradient, |e| &e.weight_gradient),
];

#[test]
#[ignore = "a table for eyes, some minutes"]
fn table() {
    let trials = 600;
    for (act, init) in [
        ("relu", "he"),
        ("linear", "lecun-normal"),
        ("tanh", "critical(q=1)"),
        ("tanh", "normal(0, sqrt(1.3/fan_in))"),
        ("gelu", "he"),
        ("tanh", "orthogonal"),
        ("relu", "orthogonal(1.4142135623730951)"),
        ("sigmoid", "lecun-normal"),
        ("selu", "lecun-normal"),
    ] {
        for (width, depth) in [(256, 10), (256, 50), (64, 50)] {
            for batch in [1, 8, 64] {
                let case = Case { act, init, width, depth, batch };
                let (layers, expected) = both(&case, trials);
                for (name, from, to) in QUANTITIES {
                    let mut line = format!("{act:8} {init:28} n {width:4} L {depth:3} B {batch:3} {name:16}");
                    for k in [0, depth / 2, depth - 1] {
                        for variance in [true, false] {
                            let q = to(&expected[k]);
                            let level = if variance { q.variance } else { q.second_moment }.unwrap();
                            let m = measured(from(&layers[k]), variance).unwrap();
                            let std = level.std.unwrap_or(f64::NAN);
                            line += &format!(
                                " | {:6.3} {:+.3}",
                                std / m.std,
                                (m.mean - level.log10_median()) / m.std
                            );
                            if variance {
                                line += &format!(" s {:.3}", m.std)
                            }
                            let _ = m.skew;
                        }
                    }
                    println!("{line}");
                }
            }
        }
    }
}
