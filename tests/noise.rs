//! The parsers and the command line driven with noise: nothing panics, and every refusal is one line.

use assert_cmd::Command;
use initdiag::activation::Activation;
use initdiag::initializer::{Initializer, Site};
use proptest::prelude::*;

/// Text made of what laws and expressions are made of, with slips.
fn near_law() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("normal("),
        Just("uniform("),
        Just("constant("),
        Just("he("),
        Just("critical("),
        Just("sparse("),
        Just("("),
        Just(")"),
        Just(","),
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("^"),
        Just("**"),
        Just("="),
        Just(" "),
        Just("fan_in"),
        Just("fan_out"),
        Just("depth"),
        Just("layer"),
        Just("gain"),
        Just("pi"),
        Just("sqrt("),
        Just("x"),
        Just("max("),
        Just("tanh("),
        Just("log("),
        Just("0"),
        Just("1"),
        Just("2.5"),
        Just("1e-5"),
        Just("1e300"),
        Just("."),
        Just("torch"),
        Just("mode"),
        Just("std"),
        Just("²"),
        Just("\u{0}"),
        Just("\n"),
        Just("é"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn law_parser(text in prop_oneof![near_law(), any::<String>(), near_law().prop_map(|t| format!("normal(0, {t})"))]) {
        let act = Activation::parse("relu").unwrap();
        if let Ok(init) = Initializer::parse(&text) {
            let site = Site::dense(30, 20, 1, 3, &act);
            if let Ok(law) = init.weights(&site) {
                let moments = law.moments(30, 20);
                prop_assert!(!moments.variance.is_nan() && moments.variance >= 0.0 && !moments.mean.is_nan());
            }
            let again = Initializer::parse(&init.name);
            prop_assert!(again.is_ok(), "{} came from {text:?}", init.name);
            prop_assert_eq!(again.unwrap().name, init.name);
        }
    }

    #[test]
    fn activation_parser(text in prop_oneof![near_law(), any::<String>()]) {
        if let Ok(act) = Activation::parse(&text) {
            for z in [-1e30, -3.0, 0.0, 1e-9, 2.0, 1e30] {
                let (psi, slope) = act.kernel.extended(z.into());
                prop_assert!(psi.mantissa().is_finite() && slope.mantissa().is_finite(), "{text} at {z}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn command_line(
        option in prop_oneof![
            Just("--init"), Just("--act"), Just("--bias"), Just("--depth"), Just("--width"), Just("--widths"), Just("--batch"),
            Just("--input"), Just("--seed"), Just("--fail-on"), Just("--format"), Just("--threshold"), Just("--loss"),
        ],
        value in prop_oneof![near_law(), "[0-9kMG,.e-]{1,6}", "\\PC{0,12}"],
    ) {
        // No argument of a process holds a NUL.
        let value = value.replace('\0', "");
        let mut command = Command::cargo_bin("initdiag").unwrap();
        let small: &[&str] = if ["--depth", "--widths"].contains(&option) { &[] } else { &["--depth", "2"] };
        let narrow: &[&str] = if ["--width", "--widths"].contains(&option) { &[] } else { &["--width", "4"] };
        let thin: &[&str] = if option == "--batch" { &[] } else { &["--batch", "3"] };
        command.args(small).args(narrow).args(thin).args(["--trials", "1", "--json"]).arg(option).arg(&value);
        command.timeout(std::time::Duration::from_secs(60));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        prop_assert!(matches!(code, Some(0..=3)), "{option} {value:?}: {code:?} {text}");
        prop_assert!(!text.contains("panicked"), "{option} {value:?}: {text}");
        if matches!(code, Some(1 | 2)) {
            prop_assert_eq!(text.lines().count(), 1, "{} {:?}: {}", option, value, text);
        } else {
            prop_assert!(!String::from_utf8_lossy(&output.stdout).contains("NaN"));
        }
    }
}
