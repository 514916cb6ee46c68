//! `initdiag theory` as a user runs it.

mod common;

use common::Tool;
use initdiag::theory::survey::Survey;
use std::process::Output;

const TOOL: Tool = Tool("theory");

fn tool(arguments: &[&str]) -> Output {
    TOOL.run(arguments)
}

fn json(arguments: &[&str]) -> Survey {
    TOOL.json(arguments)
}

#[test]
fn numbers_in_json() {
    let survey = json(&["--act", "tanh", "--sigma-w2", "1.5", "--sigma-b2", "0.05"]);
    assert_eq!((survey.schema.as_str(), survey.act.as_str()), ("initdiag-theory/1", "tanh"));
    assert!(
        (survey.q_star.unwrap() - 0.418_037).abs() < 1e-6 && (survey.chi1.unwrap() - 0.938_636).abs() < 1e-6
    );
    assert!((survey.xi_c.unwrap() - 15.791).abs() < 1e-3 && survey.c_star == Some(1.0));
    assert_eq!(survey.phase.map(|p| p.name()), Some("ordered"));
    assert!(survey.maps.length.len() > 50 && survey.maps.correlation.len() > 50);
    // What is absent is null, with the reason beside it.
    let output = tool(&["--act", "relu", "--sigma-w2", "2", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["q_star"].is_null() && value["why"]["q_star"] == "every variance is kept");
    assert_eq!((value["phase"].as_str(), value["limit"].as_str()), (Some("critical"), Some("every")));
}

#[test]
fn initializers_bring_their_variances() {
    let he = json(&["--init", "he"]);
    assert_eq!((he.init.as_deref(), he.width, he.sigma_w2), (Some("he-normal"), Some(512), 2.0));
    // PyTorch's default: n·Var = 1/3, and biases of variance 1/(3n).
    let torch = json(&["--init", "torch-linear", "--width", "100"]);
    assert!((torch.sigma_w2 - 1.0 / 3.0).abs() < 1e-12 && (torch.sigma_b2 - 1.0 / 300.0).abs() < 1e-12);
    let unbiased = json(&["--init", "torch-linear", "--sigma-b2", "0"]);
    assert_eq!((unbiased.sigma_b2, unbiased.limit.name()), (0.0, "zero"));
    // Keras's 0.05 grows with the width.
    let keras = json(&["--init", "keras-random-normal", "--width", "1k", "--act", "tanh"]);
    assert!((keras.sigma_w2 - 2.5).abs() < 1e-12);
    assert_eq!(
        json(&["--init", "critical(sigma_b2=0.05)", "--act", "tanh"]).phase.map(|p| p.name()),
        Some("critical")
    );
    assert!((json(&["--init", "orthogonal(1.5)", "--act", "tanh"]).sigma_w2 - 2.25).abs() < 1e-12);
}

#[test]
fn files_and_table() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("new");
    let base = [
        "--act",
        "x*sigmoid(1.702*x)",
        "--sigma-w2",
        "2.2",
        "--sigma-b2",
        "0.1",
        "--out",
        out.to_str().unwrap(),
    ];
    let output = tool(&base);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("χ₁") && text.contains("phase") && text.contains("edge of chaos"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("NaN"));
    assert!(std::fs::read(out.join("theory.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(std::fs::read_to_string(out.join("theory.svg")).unwrap().contains("<svg"));
    let kept: Survey = serde_json::from_slice(&std::fs::read(out.join("theory.json")).unwrap()).unwrap();
    assert_eq!(kept, json(&base[..6]));
    // Only what is asked for, and colors only where they are.
    let other = place.path().join("other");
    let output =
        tool(&["--sigma-w2", "2", "--format", "svg", "--color", "always", "--out", other.to_str().unwrap()]);
    assert!(output.stdout.contains(&0x1b));
    let names: Vec<_> = std::fs::read_dir(&other).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names, ["theory.svg"]);
    let quiet = tool(&["--sigma-w2", "2", "-q", "--format", "json", "--out", other.to_str().unwrap()]);
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty() && quiet.status.success());
}

#[test]
fn the_same_options_give_the_same_bytes() {
    let options = ["--act", "elu", "--sigma-w2", "1.7", "--sigma-b2", "0.2", "--json"];
    assert_eq!(tool(&options).stdout, tool(&options).stdout);
}

#[test]
fn wrong_input_gets_one_clear_line() {
    let rows: &[(&[&str], &str)] = &[
        (&["--act", "tanh"], "--sigma-w2"),
        (&["--act", "tanhh", "--sigma-w2", "1"], "did you mean `tanh`"),
        (&["--act", "1/x", "--sigma-w2", "1"], "finite"),
        (&["--sigma-w2", "-1"], "from 0 to 1e6"),
        (&["--sigma-w2", "nan"], "from 0 to 1e6"),
        (&["--sigma-w2", "inf"], "from 0 to 1e6"),
        (&["--sigma-w2", "2", "--sigma-b2", "-0.1"], "--sigma-b2"),
        (&["--sigma-w2", "2", "--sigma-b2", "1e9"], "from 0 to 1e6"),
        (&["--sigma-w2", "2", "--init", "he"], "cannot be used with"),
        (&["--sigma-w2", "2", "--width", "64"], "cannot be used with"),
        (&["--init", "hee"], "did you mean `he`"),
        (&["--init", "he", "--width", "0"], "whole number"),
        (&["--init", "ones"], "mean"),
        (&["--init", "lsuv"], "n·Var(W)"),
        (&["--init", "identity"], "n·Var(W)"),
        (&["--init", "normal(0, 1/layer)"], "layer to layer"),
        (&["--init", "normal(0, 1/depth)"], "no depth"),
        (&["--init", "normal(0, 1e6)"], "beyond"),
        (&["--init", "critical", "--act", "softplus"], "critical"),
        (&["--sigma-w2", "2", "--format", "pdf"], "pdf"),
        (&["--sigma-w2", "2", "--colour", "never"], "--color"),
        (&["--sigma-w2", "2", "extra"], "extra"),
    ];
    TOOL.refuses(rows);
    // A place that cannot be written is no wrong usage.
    let output = tool(&["--sigma-w2", "2", "--out", "/proc/none"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn odd_activations_are_answered() {
    for (act, places) in [
        ("tanh(50*x)", &[("3", "0.5")][..]),
        ("max(x,0.3)", &[("3", "0.5")]),
        ("sin(20*x)", &[("3", "0.5"), ("1e6", "0")]),
        ("exp(-x*x)", &[("0", "0"), ("3", "0.5")]),
        ("x*x", &[("1e6", "1e-9"), ("0.1", "0")]),
        ("sqrt(abs(x))", &[("3", "0.5")]),
        ("0*x", &[("1", "0"), ("1", "1")]),
    ] {
        for (w, b) in places {
            let survey = json(&["--act", act, "--sigma-w2", w, "--sigma-b2", b]);
            let value = serde_json::to_string(&survey).unwrap();
            assert!(!value.contains("NaN"), "{act} {w} {b}");
            assert_eq!(survey.q_star.is_none(), survey.why.contains_key("q_star"), "{act} {w} {b}");
        }
    }
}
