//! Exponents of width against laws that are exact in the mean at any width.

use initdiag::diagnose::run;
use initdiag::simulate::{Control, Input, Plan};
use initdiag::spec::Experiment;
use initdiag::study::scaling::{Exponent, Scaling, Sweep, scaling};
use std::sync::atomic::AtomicBool;

fn sweep(init: &str, act: &str, widths: &[usize], seed: u64) -> Scaling {
    let experiment = Experiment {
        init: vec![init.into()],
        act: vec![act.into()],
        batch: 16,
        seed,
        widths: Vec::new(),
        ..Experiment::plain(5, 1)
    };
    let spec = Sweep { experiment, input_width: 64, hidden_widths: widths.to_vec() };
    let control = Control { threads: 1, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    let one = |width: &usize| run(&Plan::new(&spec.at(*width), Input::Normal).unwrap(), &control).unwrap();
    let reports: Vec<_> = widths.iter().map(one).collect();
    scaling(spec, &reports, false)
}

/// Whether an exponent is the law's within 6 of its standard errors (the interval is ±2.02 of them at 36 degrees of freedom;
/// |t| > 6 has p = 7e-7) and 0.01 for rounding.
fn is(e: &Exponent, law: f64) -> bool {
    let [low, high] = e.ci95.unwrap();
    (e.exponent.unwrap() - law).abs() < 0.5 * (high - low) * 6.0 / 2.02 + 0.01
}

const WIDTHS: [usize; 4] = [64, 128, 256, 512];

#[test]
fn exponents_are_those_of_the_laws() {
    // E‖Z_l‖²/n = n·Var(W)·E φ² of the layer before, whatever the width, for ReLU, linear layers and symmetric weights: with
    // Var(W) = c/n each layer multiplies by a constant, with constant Var(W) by n. Layer 1 and its input are not square:
    // Glorot's law there has 2/(64 + n), which is no power of n.
    for (init, act, first, a_layer) in [
        ("he", "relu", Some(0.0), 0.0),
        ("lecun", "linear", Some(0.0), 0.0),
        ("normal(0, 0.05)", "relu", Some(0.0), 1.0),
        ("normal(0, 0.05)", "linear", Some(0.0), 1.0),
        ("xavier", "linear", None, 0.0),
        ("normal(0, 1/fan_in)", "relu", Some(0.0), -1.0),
    ] {
        let found = sweep(init, act, &WIDTHS, 3);
        let cell = &found.cells[0];
        for layer in &cell.layers {
            let passed = (layer.layer - 1) as f64;
            if let Some(first) = first {
                assert!(is(&layer.preactivation, first + a_layer * passed), "{init} {act} {layer:?}");
                assert!(is(&layer.activation, first + a_layer * passed), "{init} {act} {layer:?}");
                // The mean square over n·n (at the first layer n·64) entries of D·Hᵀ is that of D times that of H.
                let law = a_layer * (4.0 - passed + (passed - 1.0).max(0.0));
                assert!(is(&layer.weight_gradient, law), "{init} {act} {layer:?}");
            }
            assert!(is(&layer.gradient, a_layer * (4.0 - passed)), "{init} {act} {layer:?}");
        }
        assert!(
            (cell.forward_per_layer.unwrap() - a_layer).abs() < 0.1,
            "{init} {:?}",
            cell.forward_per_layer
        );
        assert!(
            (cell.backward_per_layer.unwrap() - a_layer).abs() < 0.1,
            "{init} {:?}",
            cell.backward_per_layer
        );
        let expected = match (init, a_layer) {
            ("xavier", _) => Some(false),
            (_, 0.0) => Some(true),
            _ => Some(false),
        };
        assert_eq!(cell.stable, expected, "{init} {act}: {:?}", cell.words);
        // The same numbers are not those of another law.
        assert!(!is(&cell.layers[4].gradient, 0.5) && !is(&cell.layers[0].gradient, 4.0 * a_layer + 0.5));
    }
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    // He, 60 seeds; of the 95 % intervals of the last pre-activation's and the first gradient's exponent, fewer than 44 of
    // 60 hold 0 with probability below 1e-7 (binomial). Intervals of half the width would hold it in some 67 %.
    let found: Vec<Scaling> = (0..60).map(|seed| sweep("he", "relu", &[32, 64, 128], seed)).collect();
    for pick in [
        |s: &Scaling| s.cells[0].layers[4].preactivation.clone(),
        |s: &Scaling| s.cells[0].layers[0].gradient.clone(),
    ] {
        let holds = |e: Exponent| e.ci95.is_some_and(|[low, high]| (low..=high).contains(&0.0));
        let count = found.iter().filter(|s| holds(pick(s))).count();
        assert!(count >= 44, "{count} of 60");
    }
}
