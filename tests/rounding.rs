//! What rounding hides: figures that single precision rounds away are computed in double precision, and what double precision
//! rounds away too is no measurement.

use initdiag::diagnose::run;
use initdiag::frontend::toml::Architecture;
use initdiag::result::{Cell, Flag, Layer, Rounding, Summary};
use initdiag::simulate::{Control, Input, Plan};
use initdiag::spec::{Engine, Experiment, Precision};
use std::sync::atomic::AtomicBool;

fn cell(experiment: &Experiment, precision: Precision) -> Cell {
    let experiment = Experiment { precision, ..experiment.clone() };
    let plan = Plan::new(&experiment, Input::Normal).unwrap();
    let control = Control { threads: 2, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    run(&plan, &control).unwrap().cells.remove(0)
}

/// Eight layers of attention without skips, 16 positions of 256 features, batch 4.
fn attention() -> Experiment {
    let net = r#"
        input = { shape = [16, 256] }
        layer = [{ type = "repeat", times = 8, layers = [{ type = "attention", heads = 1, bias = false }] }]"#;
    Experiment {
        net: Some(Architecture::parse(net).unwrap()),
        batch: 4,
        trials: 3,
        engine: Engine::Dense,
        ..Experiment::plain(1, 1)
    }
}

fn queries(cell: &Cell) -> Vec<&Layer> {
    cell.layers.iter().filter(|l| l.path.as_deref().is_some_and(|p| p.ends_with("query"))).collect()
}

/// The residual of the positions from their mean falls doubly exponentially (Dong et al. 2021): the mean squared gradient of the
/// query weights is about 10^−0.4, 10^−2.5, 10^−8 and 10^−25 in the first four layers. A computation in extended precision (64 bits
/// of mantissa) puts the fifth below 10^−40, where double precision shows 10^−34 and single precision 10^−17: both show their own
/// rounding. Bounds are several standard deviations over draws wide; neighbors are five decades apart.
#[test]
fn the_gradient_of_queries_is_measured_as_far_as_double_precision_goes() {
    let auto = cell(&attention(), Precision::Auto);
    let found = queries(&auto);
    assert_eq!(found.len(), 8);
    for (layer, (expected, slack)) in found.iter().zip([(-0.4, 0.3), (-2.6, 0.6), (-8.1, 1.2), (-25.0, 3.5)])
    {
        let log = layer.weight_gradient.log10_second_moment.median.unwrap();
        assert!((log - expected).abs() < slack, "{}: {log}", layer.name());
        assert_eq!((layer.rounding, layer.weight_gradient.below_trials), (Rounding::Double, 0));
    }
    for layer in &found[4..] {
        assert_eq!(layer.rounding, Rounding::Below, "{}", layer.name());
        assert_eq!(layer.weight_gradient.log10_second_moment.median, None);
        assert_eq!((layer.weight_gradient.below_trials, layer.weight_gradient.zero_trials), (3, 0));
        // The floor lies above what double precision shows there, and below what single precision shows.
        let floor = layer.weight_gradient.floor.unwrap();
        assert!((-33.5..-28.0).contains(&floor), "{floor}");
    }
    // The signal itself flows on: only the words and the flag say what is lost.
    assert!(auto.flags.contains(&Flag::RankCollapse), "{:?}", auto.flags);
    let said = |words: &&String| {
        words.starts_with("rounding hides the weight gradient at 8 layers, attention5/query")
    };
    assert!(auto.words.iter().any(|words| said(&words)), "{:?}", auto.words);
    assert!(!auto.flags.contains(&Flag::ZeroSignal));
    let double = cell(&attention(), Precision::Double);
    assert_eq!(auto.layers, double.layers);
    // Single precision would have told the rounding of a number for the number.
    let single = cell(&attention(), Precision::Single);
    let log = |layer: &Layer| layer.weight_gradient.log10_second_moment.median.unwrap();
    let told: Vec<f64> = queries(&single).into_iter().map(log).collect();
    assert!(told[3] > -20.0 && told[7] > -20.0, "{told:?}");
}

#[test]
fn a_skip_keeps_positions_apart() {
    let mut experiment = attention();
    let net = r#"
        input = { shape = [16, 64] }
        layer = [{ type = "repeat", times = 8, layers = [
            { type = "residual", layers = [{ type = "attention", heads = 1, bias = false }] },
        ] }]"#;
    experiment.net = Some(Architecture::parse(net).unwrap());
    let cell = cell(&experiment, Precision::Auto);
    assert!(!cell.flags.contains(&Flag::RankCollapse), "{:?}", cell.flags);
    assert!(cell.layers.iter().all(|layer| layer.rounding == Rounding::Single));
}

/// The largest difference between the figures of two cells, in decades.
fn apart(a: &Cell, b: &Cell) -> f64 {
    let backward = |layer: &Layer| [layer.gradient.clone(), layer.weight_gradient.clone()];
    apart_ahead(a, b).max(apart_in(a, b, backward))
}

/// The same of what goes forward.
fn apart_ahead(a: &Cell, b: &Cell) -> f64 {
    apart_in(a, b, |layer| [layer.preactivation.clone(), layer.activation.clone()])
}

fn apart_in(a: &Cell, b: &Cell, of: fn(&Layer) -> [Summary; 2]) -> f64 {
    let gap = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs(),
        (None, None) => 0.0,
        _ => f64::INFINITY,
    };
    let medians = |layer: &Layer| of(layer).map(|s| [s.log10_variance.median, s.log10_second_moment.median]);
    let pairs = a.layers.iter().zip(&b.layers).flat_map(|(a, b)| {
        medians(a).into_iter().flatten().zip(medians(b).into_iter().flatten()).collect::<Vec<_>>()
    });
    pairs.map(|(a, b)| gap(a, b)).fold(0.0, f64::max)
}

/// Samples become one to single precision within some layers, but what is recorded does not depend on what they still differ in:
/// every weight drawn, the figures of both precisions are the same, and none is below rounding.
#[test]
fn stacks_whose_samples_fall_together_keep_their_figures() {
    let softplus = Experiment {
        act: vec!["softplus".into()],
        init: vec!["lecun-normal".into()],
        ..Experiment::plain(40, 64)
    };
    let ordered = Experiment {
        act: vec!["tanh".into()],
        init: vec!["normal(0, sqrt(0.3/fan_in))".into()],
        bias: Some("normal(0, 0.3)".into()),
        ..Experiment::plain(200, 64)
    };
    for experiment in [softplus, ordered] {
        let experiment = Experiment { batch: 12, trials: 3, engine: Engine::Dense, ..experiment };
        let [auto, double] = [Precision::Auto, Precision::Double].map(|p| cell(&experiment, p));
        assert!(auto.layers.last().unwrap().correlation.unwrap() > 0.999_999);
        assert!(apart(&auto, &double) < 0.02, "{}: {}", auto.act, apart(&auto, &double));
        assert!(auto.layers.iter().all(|layer| layer.rounding != Rounding::Below));
        // Products from their joint law have other draws, and the same course: within 6 standard deviations of √(depth·5/width)
        // natural logarithms over three trials of both.
        let implicit = Experiment { engine: Engine::Implicit, ..experiment.clone() };
        let implicit = cell(&implicit, Precision::Auto);
        assert!(implicit.layers.iter().all(|layer| layer.rounding != Rounding::Below));
        let change = |cell: &Cell| cell.backward.log10_change.unwrap();
        let spread = 6.0 * (5.0 * auto.layers.len() as f64 / 64.0 / 1.5).sqrt() / std::f64::consts::LN_10;
        assert!((change(&auto) - change(&implicit)).abs() < spread, "{}", auto.act);
    }
}

/// What tells the two precisions apart is rounding alone only if they draw the same weights: pivots that are alike must not change
/// places with the last digit. Other weights are told from the same: those of another seed are 0.01 apart at least.
///
/// Of the 1.5·10⁵ entries that meet ReLU, some 0.03 lie so near its kink that they have the other slope in the other precision, which on
/// one machine happens and on another does not; each carries about 1/1500 of a gradient's square, 3·10⁻⁴ decades, and a few times as much
/// in ∂C/∂W. So its gradients have room for a handful of these.
#[test]
fn implicit_weights_are_the_same_in_both_precisions() {
    for (act, backward) in [("relu", 3e-3), ("tanh", 1e-5), ("linear", 1e-5)] {
        let experiment = Experiment {
            act: vec![act.into()],
            engine: Engine::Implicit,
            batch: 32,
            trials: 4,
            ..Experiment::plain(12, 96)
        };
        let (single, double) = (cell(&experiment, Precision::Single), cell(&experiment, Precision::Double));
        let (ahead, gap) = (apart_ahead(&single, &double), apart(&single, &double));
        assert!(ahead < 1e-5, "{act}: {ahead} ahead");
        assert!(gap < backward, "{act}: {gap}");
        let other = cell(&Experiment { seed: 1, ..experiment }, Precision::Double);
        assert!(apart_ahead(&single, &other) > 0.01 && apart(&single, &other) > 0.01, "{act}");
    }
}
