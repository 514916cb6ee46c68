//! `initdiag recommend` as a user runs it, and its lines as frameworks run them.

mod common;

use common::Tool;
use initdiag::recommend::Recommendation;
use std::io::Write as _;
use std::process::Output;

const TOOL: Tool = Tool("recommend");

fn tool(arguments: &[&str]) -> Output {
    TOOL.run(arguments)
}

fn json(arguments: &[&str]) -> Recommendation {
    TOOL.json(arguments)
}

#[test]
fn the_answer_in_json() {
    let r = json(&["--act", "relu", "--depth", "20", "--width", "64"]);
    assert_eq!((r.schema.as_str(), r.depth, r.widths.as_slice()), ("initdiag-recommend/1", 20, &[64][..]));
    assert_eq!(r.recommended.init, "he-normal");
    let output = tool(&["--act", "sigmoid", "--depth", "5", "--width", "32", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["critical"].is_null() && value["critical_why"].as_str().unwrap().contains("103.0076"));
    for framework in ["pytorch", "keras", "jax", "burn", "candle"] {
        assert!(value["code"][framework].as_str().unwrap().contains("32"), "{framework}");
    }
    assert!(value["gain_forward"].is_number() && value["ranking"].as_array().unwrap().len() > 20);
    // The same options, the same bytes.
    assert_eq!(output.stdout, tool(&["--act", "sigmoid", "--depth", "5", "--width", "32", "--json"]).stdout);
}

#[test]
fn unequal_widths_get_a_formula_of_the_fans() {
    let r = json(&["--act", "tanh", "--widths", "100,64,32,16", "--init", "torch-linear"]);
    assert_eq!(r.widths, [100, 64, 32, 16]);
    assert!(r.recommended.law.contains("fan_in") && r.code.pytorch.contains("widths = [100, 64, 32, 16]"));
    assert!(r.ranking.iter().any(|row| row.now && row.names.iter().any(|n| n == "torch-linear")));
}

#[test]
fn files_and_table() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("new");
    let output = tool(&["--act", "gelu", "--depth", "8", "--width", "32", "--out", out.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["take", "you have", "half-stable", "gains", "ranking", "PyTorch", "candle"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains("NaN"));
    assert!(out.join("recommend.json").exists() && out.join("recommend_candle.rs").exists());
    let other = place.path().join("other");
    let few = ["--depth", "2", "--width", "8", "--format", "json", "--out", other.to_str().unwrap()];
    let coloured = tool(&[&few[..], &["--color", "always"]].concat());
    assert!(coloured.stdout.contains(&0x1b));
    let names: Vec<_> = std::fs::read_dir(&other).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names, ["recommend.json"]);
    let quiet = tool(&[&few[..], &["-q"]].concat());
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty() && quiet.status.success());
}

#[test]
fn wrong_input_gets_one_clear_line() {
    let rows: &[(&[&str], &str)] = &[
        (&["--act", "tanhh"], "did you mean `tanh`"),
        (&["--act", "relu,tanh"], "--act"),
        (&["--init", "hee"], "did you mean `he`"),
        (&["--init", "fixup"], "residual"),
        (&["--init", "critical", "--act", "softplus"], "critical"),
        (&["--init", "normal(0, 1/(fan_in - 512))"], "finite"),
        (&["--depth", "0"], "whole number"),
        (&["--depth", "20000"], "at most 10000"),
        (&["--depth", "10M"], "at most 10000"),
        (&["--width", "-3"], "whole number"),
        (&["--widths", "3"], "at least one layer"),
        (&["--widths", "3,x"], "`x`"),
        (&["--widths", "3,4", "--depth", "2"], "cannot be used with"),
        (&["--net", "lenet.toml"], "not read by this command yet"),
        (&["--threshold", "0"], "positive"),
        (&["--threshold", "nan"], "positive"),
        (&["--seed", "-1"], "seed"),
        (&["--format", "png"], "png"),
        (&["extra"], "extra"),
    ];
    TOOL.refuses(rows);
    assert_eq!(tool(&["--depth", "2", "--width", "4", "--out", "/proc/none"]).status.code(), Some(1));
}

/// n·Var(W) or (fan_in + fan_out)/2·Var(W), and Var(b), of every layer that the lines leave behind.
const MEASURE: [(&str, &str); 3] = [
    (
        "torch",
        "pairs = [(l.weight.detach().numpy().T, l.bias.detach().numpy()) for l in (layers if 'layers' in dir() else [layer])]",
    ),
    (
        "keras",
        "pairs = [tuple(numpy.array(v) for v in l.get_weights()) for l in (layers if 'layers' in dir() else [layer])]",
    ),
    (
        "jax",
        "pairs = [(numpy.array(w), numpy.array(b)) for w, b in (layers if 'layers' in dir() else [(weight, bias)])]",
    ),
];

/// Python with a framework, or `None` where it is not installed.
fn python(module: &str, script: &str) -> Option<String> {
    let python = std::env::var("INITDIAG_PYTHON").unwrap_or_else(|_| "python3".into());
    let run = |text: &str| {
        let mut command = std::process::Command::new(&python);
        // Keras takes its backend from the environment; TensorFlow is its default and seldom there.
        let backend = std::env::var("KERAS_BACKEND").unwrap_or_else(|_| "jax".into());
        command.args(["-c", text]).env("KERAS_BACKEND", backend).output()
    };
    let there = run(&format!("import numpy, {module}")).is_ok_and(|o| o.status.success());
    if !there {
        let _ = writeln!(std::io::stderr(), "skipped: {python} has no {module}");
        return None;
    }
    let output = run(script).unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Law: a sample variance of N independent normal entries scatters by √(2/N) of itself, of uniform ones by less. Weights: N =
/// fan_in·fan_out ≥ 25 600, biases ≥ 100; 5.5 standard deviations, false alarm below 10⁻⁷ for each of at most 30.
#[test]
fn python_lines_run_as_printed_and_draw_what_is_recommended() {
    // A Gaussian critical point with biases, a named law, unequal widths and a mean of fans.
    let stacks: [(&[&str], f64); 3] = [
        (&["--act", "tanh", "--depth", "60", "--width", "256"], 0.150_964_6),
        (&["--act", "relu", "--widths", "784,300,100"], 0.0),
        (&["--act", "gelu", "--depth", "40", "--width", "256"], 0.172_922_4),
    ];
    for (arguments, sigma_b2) in stacks {
        let r = json(arguments);
        // What is recommended, as numbers: for these three σ_w²/fan_in.
        let sigma_w2 = match (r.act.as_str(), r.recommended.init.as_str()) {
            ("tanh", "critical") => 2.153_303,
            ("relu", "he-normal") => 2.0,
            ("gelu", name) if name.starts_with("critical(q=") => 1.983_058,
            other => panic!("{other:?}"),
        };
        for ((module, pairs), lines) in MEASURE.iter().zip([&r.code.pytorch, &r.code.keras, &r.code.jax]) {
            let script = format!(
                "{lines}\nimport numpy\n{pairs}\nfor w, b in pairs:\n    print(w.shape[0], w.shape[1], b.shape[0], float(numpy.var(w)), float(numpy.var(b)))\n"
            );
            let Some(printed) = python(module, &script) else { continue };
            assert_eq!(printed.lines().count(), r.widths.len().max(2) - 1);
            for line in printed.lines() {
                let v: Vec<f64> = line.split(' ').map(|x| x.parse().unwrap()).collect();
                let bound = |count: f64| 5.5 * (2.0 / count).sqrt();
                let off = v[0] * v[3] / sigma_w2 - 1.0;
                assert!(off.abs() < bound(v[0] * v[1]), "{module} {arguments:?}: {line}");
                // Xavier's variance in its place would be seen: it is less than half.
                assert!((v[0] * v[3] / 1.0 - 1.0).abs() > bound(v[0] * v[1]));
                if sigma_b2 == 0.0 {
                    assert_eq!(v[4], 0.0);
                } else {
                    assert!((v[4] / sigma_b2 - 1.0).abs() < bound(v[2]), "{module} {arguments:?}: {line}");
                }
            }
        }
    }
}
