//! A run beside an earlier one: changed laws are found, equal laws are not accused.

use initdiag::diagnose::run;
use initdiag::result::{Kind, Recorded, Report};
use initdiag::simulate::{Control, Input, Plan};
use initdiag::spec::Experiment;
use initdiag::study::baseline::{ALPHA, compare, pair};
use std::sync::atomic::AtomicBool;

fn report(init: &str, act: &str, seed: u64, shape: Shape, trials: usize) -> Report {
    let e = Experiment { init: vec![init.into()], act: vec![act.into()], seed, trials, ..shape.experiment() };
    let control = Control { threads: 1, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    run(&Plan::new(&e, Input::Normal).unwrap(), &control).unwrap()
}

#[derive(Clone, Copy)]
struct Shape {
    depth: usize,
    width: usize,
    batch: usize,
}

impl Shape {
    fn experiment(self) -> Experiment {
        Experiment { batch: self.batch, ..Experiment::plain(self.depth, self.width) }
    }
}

const DEFAULT: Shape = Shape { depth: 50, width: 512, batch: 64 };
const SMALL: Shape = Shape { depth: 10, width: 128, batch: 32 };
const NARROW: Shape = Shape { depth: 30, width: 16, batch: 8 };

/// The cell of `new` beside that of `old`.
fn beside(new: &Report, old: &Report) -> Report {
    let mut new = new.clone();
    let pairing = pair(&Plan::new(&new.spec, Input::Normal).unwrap(), old).unwrap();
    compare(&mut new, old, &pairing, "old.json");
    new
}

fn p(new: &Report, old: &Report) -> f64 {
    beside(new, old).cells[0].baseline.as_ref().unwrap().p.unwrap()
}

/// As an earlier version wrote it.
fn without_spread(mut report: Report) -> Report {
    for layer in report.cells.iter_mut().flat_map(|c| &mut c.layers) {
        let all = [
            &mut layer.preactivation,
            &mut layer.activation,
            &mut layer.gradient,
            &mut layer.weight_gradient,
        ];
        all.into_iter().for_each(|s| s.spread = None);
    }
    report
}

/// (what it was, what it became): a standard deviation off by a fifth either way, a truncation whose correction is lost,
/// in the article's own numbers and against the law that the name promises, a bound taken for a standard deviation.
const CHANGES: [(&str, &str); 6] = [
    ("normal(0, 0.05)", "normal(0, 0.06)"),
    ("normal(0, 0.05)", "normal(0, 0.04)"),
    ("normal(0, 0.05)", "keras-truncated-normal"),
    ("normal(0, 0.05)", "normal(0, 0.0440)"),
    ("keras-he-normal", "he(gain=1.2440)"),
    ("uniform(-0.05, 0.05)", "normal(0, 0.05)"),
];

#[test]
fn a_change_of_a_law_is_found_at_ten_trials() {
    for (before, after) in CHANGES {
        let old = report(before, "relu", 1, SMALL, 10);
        let new = report(after, "relu", 2, SMALL, 10);
        let found = beside(&new, &old);
        let cell = &found.cells[0];
        let comparison = cell.baseline.as_ref().unwrap();
        assert!(
            comparison.drift && cell.flags.iter().any(|f| f.name() == "drift"),
            "{before} → {after}: {comparison:?}"
        );
        assert!(comparison.layers.len() > 5, "{:?}", comparison.layers);
        assert!(cell.words.iter().any(|w| w.starts_with("drift")), "{:?}", cell.words);
        // The same draws with another scale are found too, and results of earlier versions serve.
        assert!(p(&report(after, "relu", 1, SMALL, 10), &old) < ALPHA);
        let by_quantiles = p(&new, &without_spread(old));
        assert!(by_quantiles < ALPHA, "{before} → {after} by quantiles: {by_quantiles}");
    }
}

#[test]
fn the_ratio_is_that_of_the_laws() {
    // Layer 1 has Var(Z) in proportion to Var(W): ×1.44, log₁₀ 0.1584. Its spread in ten trials of 128 × 32 entries is
    // about √(2·2/4096)/ln 10 = 0.0136 a run; the mean of the difference has 0.0061, and 6 of those are 0.036.
    let old = report("normal(0, 0.05)", "relu", 1, SMALL, 10);
    let new = report("normal(0, 0.06)", "relu", 2, SMALL, 10);
    let change = |layer: usize| {
        let mean = |r: &Report| {
            let spread = r.cells[0].layers[layer].preactivation.spread.clone().unwrap();
            spread.log10_variance.unwrap().mean
        };
        mean(&new) - mean(&old)
    };
    assert!((change(0) - 1.44f64.log10()).abs() < 0.036, "{}", change(0));
    let comparison = beside(&new, &old).cells[0].baseline.clone().unwrap();
    let clearest = comparison.clearest.unwrap();
    assert!(matches!(clearest.kind, Kind::Level | Kind::Step));
    // A weight gradient holds one factor less than the layers it has passed: its own layer's weights are not in it.
    let layers = match clearest.quantity {
        Recorded::Gradient => 10 - clearest.layer,
        Recorded::WeightGradient => 9,
        _ => clearest.layer,
    };
    let factors = if clearest.kind == Kind::Step { 1 } else { layers };
    let ratio = clearest.log10_ratio.unwrap() - factors as f64 * 1.44f64.log10();
    assert!(ratio.abs() < 6.0 * clearest.standard_error.unwrap() + 0.002, "{clearest:?}");
}

#[test]
fn one_layer_alone_is_found_and_named() {
    // Only layer 7 of ten differs; at the ends of the stack the difference drowns in the spread of 30 layers of 64 units.
    let shape = Shape { depth: 30, width: 64, batch: 32 };
    let law = "normal(0, 0.18*(1 + 0.6*max(0, 1 - abs(layer - 17))))";
    let old = report("normal(0, 0.18)", "relu", 1, shape, 20);
    let new = report(law, "relu", 2, shape, 20);
    let comparison = beside(&new, &old).cells[0].baseline.clone().unwrap();
    let clearest = comparison.clearest.unwrap();
    assert!(comparison.drift);
    assert_eq!(clearest.kind, Kind::Step);
    assert!((16..=17).contains(&clearest.layer), "{clearest:?}");
}

#[test]
fn the_same_run_is_no_drift() {
    let old = report("he", "relu", 1, SMALL, 5);
    for new in [old.clone(), without_spread(old.clone())] {
        assert_eq!(p(&new, &old), 1.0);
    }
    // A single trial has no spread.
    let one = report("he", "relu", 1, SMALL, 1);
    let found = beside(&one, &one);
    assert_eq!(found.cells[0].baseline.as_ref().unwrap().p, None);
    assert!(found.cells[0].words.iter().any(|w| w.contains("two trials")), "{:?}", found.cells[0].words);
}

#[test]
fn zeros_beside_numbers_are_drift() {
    for trials in [1, 2, 10] {
        let (he, zeros) = (report("he", "relu", 1, SMALL, trials), report("zeros", "relu", 2, SMALL, trials));
        for (new, old) in [(&he, &zeros), (&zeros, &he)] {
            let found = beside(new, old);
            let comparison = found.cells[0].baseline.clone().unwrap();
            assert!(comparison.drift, "{trials}: {comparison:?}");
        }
        assert!(p(&zeros, &zeros) == 1.0);
    }
    // Eight units a layer die by chance; two trials cannot tell.
    let thin = Shape { depth: 4, width: 8, batch: 4 };
    let (he, zeros) = (report("he", "relu", 1, thin, 2), report("zeros", "relu", 2, thin, 2));
    assert!(p(&he, &zeros) > ALPHA);
    assert!(p(&report("he", "relu", 1, thin, 10), &report("zeros", "relu", 2, thin, 10)) < ALPHA);
}

/// Reports of one law with seeds 0 to `count`.
fn many(init: &str, act: &str, shape: Shape, trials: usize, count: u64) -> Vec<Report> {
    use rayon::prelude::*;
    (0..count).into_par_iter().map(|seed| report(init, act, seed, shape, trials)).collect()
}

/// p of every pair of different reports.
fn pairs(all: &[Report]) -> Vec<f64> {
    use rayon::prelude::*;
    let pairs: Vec<(usize, usize)> = (0..all.len()).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
    pairs.into_par_iter().map(|(i, j)| p(&all[i], &all[j])).collect()
}

#[test]
fn equal_laws_are_not_accused() {
    // 40 runs a case, 780 pairs: at the stated 1e-4 a pair, of four cases 0.3 are expected in 3120; more than 8 have a
    // probability below 1e-9 were they independent. The plants above show that the test can fail.
    let thin = Shape { depth: 6, width: 12, batch: 4 };
    let mut accused = 0;
    for (init, act) in
        [("he", "relu"), ("normal(0, 1)", "tanh"), ("orthogonal", "relu"), ("constant", "sigmoid")]
    {
        accused += pairs(&many(init, act, thin, 10, 40)).iter().filter(|p| **p < ALPHA).count();
    }
    assert!(accused <= 8, "{accused}");
}

/// How often equal laws are accused, as docs/drift.md has it:
///
///     cargo test --release --test drift accused_rates -- --ignored --nocapture
#[test]
#[ignore = "some minutes"]
#[expect(clippy::print_stdout, reason = "the result")]
fn accused_rates() {
    println!("| law | activation | depth × width, batch | trials | pairs | p < 1e-4 | p < 1e-3 | p < 1e-2 |");
    println!("|---|---|---|---|---|---|---|---|");
    let rows = |trials: usize| {
        [
            ("he", "relu", SMALL, trials, 200),
            ("he", "relu", NARROW, trials, 320),
            ("he", "relu", Shape { depth: 10, width: 4, batch: 4 }, trials, 320),
            ("normal(0, 1)", "tanh", NARROW, trials, 200),
            ("orthogonal", "relu", NARROW, trials, 200),
            ("constant", "sigmoid", NARROW, trials, 200),
            ("ones", "tanh", Shape { depth: 5, width: 16, batch: 4 }, trials, 320),
            ("torch-linear", "selu", Shape { depth: 1, width: 4, batch: 1 }, trials, 450),
        ]
    };
    let one = |(init, act, shape, trials, count): (&str, &str, Shape, usize, u64)| {
        row(init, act, shape, &trials.to_string(), &pairs(&many(init, act, shape, trials, count)));
    };
    for (few, lots) in [(10, 100), (3, 30)] {
        for (init, act, shape) in [
            ("he", "relu", Shape { depth: 10, width: 8, batch: 4 }),
            ("he", "relu", NARROW),
            ("he", "relu", Shape { depth: 10, width: 4, batch: 4 }),
            ("torch-linear", "selu", Shape { depth: 1, width: 4, batch: 1 }),
        ] {
            let (new, old) = (many(init, act, shape, few, 400), many(init, act, shape, lots, 50));
            let found: Vec<f64> = old.iter().flat_map(|old| new.iter().map(|new| p(new, old))).collect();
            row(init, act, shape, &format!("{few} and {lots}"), &found);
        }
    }
    rows(10).into_iter().for_each(one);
    for (init, act, shape) in [("he", "relu", SMALL), ("he", "relu", NARROW)] {
        let bare: Vec<Report> = many(init, act, shape, 10, 320).into_iter().map(without_spread).collect();
        row(init, act, shape, "10, by quantiles", &pairs(&bare));
    }
    [5, 2].into_iter().flat_map(rows).for_each(one);
}

/// How often a change is found, likewise:
///
///     cargo test --release --test drift found -- --ignored --nocapture
#[test]
#[ignore = "some minutes"]
#[expect(clippy::print_stdout, reason = "the result")]
fn found_rates() {
    println!("| was | is | depth × width, batch | trials | pairs of runs | found | by quantiles alone |");
    println!("|---|---|---|---|---|---|---|");
    for (shape, count, trials) in [
        (SMALL, 20, 10),
        (SMALL, 20, 5),
        (NARROW, 30, 10),
        (NARROW, 30, 30),
        (DEFAULT, 4, 10),
        (DEFAULT, 4, 3),
    ] {
        for (before, after) in CHANGES {
            let old = many(before, "relu", shape, trials, count);
            let new = many(after, "relu", shape, trials, 2 * count).split_off(count as usize);
            let share = |found: usize| format!("{:.1} %", 100.0 * found as f64 / (count * count) as f64);
            let both: Vec<(f64, f64)> = old
                .iter()
                .flat_map(|old| {
                    let bare = without_spread(old.clone());
                    new.iter().map(move |new| (p(new, old), p(new, &bare)))
                })
                .collect();
            println!(
                "| {before} | {after} | {} × {}, {} | {trials} | {} | {} | {} |",
                shape.depth,
                shape.width,
                shape.batch,
                both.len(),
                share(both.iter().filter(|p| p.0 < ALPHA).count()),
                share(both.iter().filter(|p| p.1 < ALPHA).count())
            );
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result")]
fn row(init: &str, act: &str, shape: Shape, trials: &str, found: &[f64]) {
    let below = |level: f64| {
        format!("{:.1e}", found.iter().filter(|p| **p < level).count() as f64 / found.len() as f64)
    };
    println!(
        "| {init} | {act} | {} × {}, {} | {trials} | {} | {} | {} | {} |",
        shape.depth,
        shape.width,
        shape.batch,
        found.len(),
        below(1e-4),
        below(1e-3),
        below(1e-2)
    );
}
