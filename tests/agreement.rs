//! Measurement and theory at width 4096: every activation of the catalog in the ordered phase, at criticality and in the
//! chaotic phase, on the implicit engine.

use initdiag::activation::Activation;
use initdiag::activation::entries;
use initdiag::diagnose::run;
use initdiag::expectation::critical::nearest_to_unit_variance;
use initdiag::result::Report;
use initdiag::simulate::{Control, Input, Plan};
use initdiag::spec::{Engine, Experiment};
use std::sync::atomic::AtomicBool;

fn report(act: &str, sigma_w2: f64, sigma_b2: f64) -> Report {
    let experiment = Experiment {
        act: vec![act.into()],
        init: vec![format!("normal(0, sqrt({sigma_w2}/fan_in))")],
        bias: Some(format!("normal(0, {})", sigma_b2.sqrt())),
        batch: 8,
        trials: 5,
        seed: 3,
        engine: Engine::Implicit,
        ..Experiment::plain(16, 4096)
    };
    let plan = Plan::new(&experiment, Input::Normal).unwrap();
    let control = Control { threads: 2, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    run(&plan, &control).unwrap()
}

/// The flag allows six standard deviations of a median of five trials (10⁻⁸ for normal ones) and one percent: 19 activations,
/// three phases, 16 layers, four quantities, 3648 tests. Where theory has no band (`None`) it is not held against anything; at
/// this width that may be a twentieth of the layers.
#[test]
fn every_activation_follows_theory_in_every_phase() {
    let (mut layers, mut banded) = (0, 0);
    for entry in entries() {
        let act = Activation::parse(entry.name).unwrap();
        // Where no point is critical, χ₁ = 1 at unit variance without its fixed point.
        let critical = nearest_to_unit_variance(&act)
            .or_else(|| initdiag::expectation::critical::with_bias_at(&act, 0.0, 1.0))
            .unwrap();
        for factor in [0.6, 1.0, 1.8] {
            let report = report(entry.name, factor * critical.sigma_w2, critical.sigma_b2);
            let cell = &report.cells[0];
            assert!(
                !cell.flags.iter().any(|f| f.name() == "off-theory"),
                "{} × {factor}: {:?}",
                entry.name,
                cell.words
            );
            for layer in &cell.layers {
                let theory = layer.theory.expect("a prediction");
                layers += 2;
                banded += usize::from(theory.band.is_some()) + usize::from(theory.gradient_band.is_some());
            }
        }
    }
    assert!(banded * 20 >= layers * 19, "{banded} of {layers} have bands");
}

/// The same comparison does not let a standard deviation pass that is two percent off.
#[test]
fn a_law_two_percent_off_is_seen() {
    let wrong = report("tanh", 1.760_955, 0.05);
    let right = report("tanh", 1.760_955 * 1.04, 0.05);
    let far = wrong.cells[0].layers.iter().zip(&right.cells[0].layers).any(|(measured, other)| {
        let [low, high] = other.theory.unwrap().band.unwrap();
        let found = measured.activation.log10_variance.median.unwrap();
        !(low.unwrap()..=high.unwrap()).contains(&found)
    });
    assert!(far);
}
