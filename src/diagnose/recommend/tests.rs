use super::*;
use crate::result::Flag;
use std::sync::atomic::AtomicBool;

fn of(act: &str, widths: &[usize], init: &str) -> Recommendation {
    let act = Activation::parse(act).unwrap();
    let init = Initializer::parse(init).unwrap();
    let question = Question { act: &act, widths, init: &init, own: false, threshold: 1.0, seed: 0 };
    let control = Control { threads: 2, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    StackSurvey::new(question).unwrap().answer(&control)
}

#[test]
fn relu_is_given_he_and_no_law_is_taken_that_cannot_learn() {
    let r = of("relu", &[64; 21], "xavier");
    assert_eq!(
        (r.recommended.init.as_str(), r.recommended.stable),
        ("he-normal", true),
        "{:?}",
        r.recommended
    );
    assert_eq!(r.now.chi1, Some(0.5));
    let he = r.ranking.iter().find(|row| row.names[0] == "he-normal").unwrap();
    // One law, several names: among them critical, whose biases are zero, and formulas that are He for square layers.
    assert!(["critical", "ratio-std", "he-alpha"].iter().all(|n| he.names.iter().any(|m| m == n)), "{he:?}");
    assert!(he.aliases.iter().any(|a| a == "kaiming"));
    let xavier = r.ranking.iter().find(|row| row.now).unwrap();
    assert!(!xavier.stable && (xavier.forward.predicted.unwrap() + 19.0 * 2f64.log10()).abs() < 0.3);
    assert!((xavier.forward.predicted.unwrap() - xavier.forward.measured.unwrap()).abs() < 0.5);
    // On the edge sizes are kept, but biases of variance 0.15 bring all samples together: that law is never taken.
    let r = of("tanh", &[64; 81], "xavier");
    let row = |name: &str| r.ranking.iter().find(|row| row.names.iter().any(|n| n == name)).unwrap();
    let edge = row("critical");
    assert!(
        edge.forward.measured.unwrap().abs() < 0.3 && edge.flags.contains(&Flag::CorrelationCollapse),
        "{edge:?}"
    );
    assert!(row(&r.recommended.init).flags.iter().all(|flag| !flag.stops_learning()), "{:?}", r.recommended);
    let point = r.critical.unwrap();
    assert!((point.sigma_w2 - 2.153_303).abs() < 1e-6 && (point.sigma_b2 - 0.150_965).abs() < 1e-6);
    assert!(r.ranking.iter().filter(|row| row.now).count() == 1);
}

#[test]
fn what_does_not_exist_is_said() {
    let r = of("sigmoid", &[32; 11], "torch-linear");
    assert_eq!(r.critical, None);
    let why = r.critical_why.unwrap();
    assert!(why.contains("103.0076") && why.contains("45.62") && why.contains("saturated"), "{why}");
    assert!(r.first_legal.is_some());
    let r = of("softplus", &[32; 11], "he");
    assert!(r.critical.is_none() && r.first_legal.is_none() && r.critical_why.unwrap().contains("negative"));
    let r = of("gelu", &[32; 11], "he");
    assert!((r.half_stable.unwrap().q_star - 3.561_55).abs() < 1e-5);
    assert!((r.gain_forward.unwrap() - 0.425_221f64.sqrt().recip()).abs() < 1e-6);
    assert!((r.gain_backward.unwrap() - 0.455_851f64.sqrt().recip()).abs() < 1e-6);
    let both = (r.gain_forward.unwrap() * r.gain_backward.unwrap()).sqrt();
    assert!((r.gain_compromise.unwrap() - both).abs() < 1e-12);
}

#[test]
fn odd_networks_are_answered() {
    for (act, init) in [
        ("0*x", "zeros"),
        ("x*x", "unit-mean"),
        ("abs(x)", "lsuv"),
        ("exp(-x*x)", "mup"),
        ("linear", "normal(0, 1/layer)"),
    ] {
        for widths in [&[4, 3][..], &[1; 4], &[9, 7, 5, 2]] {
            let r = of(act, widths, init);
            let text = serde_json::to_string(&r).unwrap();
            assert!(
                !text.contains("NaN") && serde_json::from_str::<Recommendation>(&text).is_ok(),
                "{act} {init}"
            );
            assert!(r.ranking.iter().any(|row| row.now) || init == "normal(0, 1/layer)");
        }
    }
}
