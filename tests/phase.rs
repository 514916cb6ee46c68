//! `initdiag phase` as a user runs it.

mod common;

use common::Tool;
use initdiag::theory::meanfield::Phase;
use initdiag::theory::phase::Diagram;
use std::process::Output;

const TOOL: Tool = Tool("phase");

fn tool(arguments: &[&str]) -> Output {
    TOOL.run(arguments)
}

fn json(arguments: &[&str]) -> Diagram {
    TOOL.json(arguments)
}

#[test]
fn the_plane_in_json() {
    let d = json(&["--act", "tanh", "--sigma-w2", "1..2", "--sigma-b2", "0..0.05", "--resolution", "6"]);
    assert_eq!((d.schema.as_str(), d.act.as_str(), d.width), ("initdiag-phase/1", "tanh", 512));
    assert_eq!((d.sigma_w2.len(), d.sigma_b2.len()), (6, 4));
    assert_eq!((d.sigma_w2[5], d.sigma_b2[3]), (2.0, 0.05));
    // SCIENCE 5.1: tanh at σ_b² = 0.05.
    assert!((d.chi1[3][5].unwrap() - 1.047_666).abs() < 1e-5, "{:?}", d.chi1[3][5]);
    assert!((d.xi_c[3][5].unwrap() - 25.21).abs() < 0.1 && (d.xi_c[3][0].unwrap() - 3.627).abs() < 1e-3);
    let edge = d.edges.iter().find(|e| e.sigma_b2 == 0.05).unwrap();
    assert!((edge.sigma_w2 - 1.760_955).abs() < 1e-6);
    let he = d.initializers.iter().find(|p| p.names.iter().any(|n| n == "he-normal")).unwrap();
    assert!((he.sigma_w2.unwrap() - 2.0).abs() < 1e-12 && he.phase == Some(Phase::Chaotic), "{he:?}");
    assert!(d.measured.is_none());
    // Decades are seen in logarithms, and widths move what has no fan in it.
    let d = json(&[
        "--act",
        "x*sigmoid(1.702*x)",
        "--sigma-w2",
        "0.01..10",
        "--width",
        "1k",
        "--resolution",
        "4",
    ]);
    assert!((d.sigma_w2[1] - 0.1).abs() < 1e-12);
    let keras = d.initializers.iter().find(|p| p.names.iter().any(|n| n == "keras-random-normal")).unwrap();
    assert!((keras.sigma_w2.unwrap() - 2.5).abs() < 1e-12);
}

#[test]
fn simulated_beside_theory() {
    let d = json(&["--act", "relu", "--simulate", "--resolution", "4", "--sigma-w2", "1..3", "--seed", "7"]);
    let m = d.measured.as_ref().unwrap();
    // ReLU's factor is σ_w²/2 exactly; a deviation of 0.03 decades a layer is some five deviations of a mean of two stacks
    // over ten layers of width 512 (false alarm below 10⁻⁶).
    for (row, expected) in m.gradient.iter().zip(&m.expected_gradient) {
        for ((measured, expected), w) in row.iter().zip(expected).zip(&d.sigma_w2) {
            assert!((expected.unwrap() - (w / 2.0).log10()).abs() < 1e-9);
            assert!((measured.unwrap() - expected.unwrap()).abs() < 0.03);
        }
    }
    let worst = m.largest_gradient.unwrap();
    assert!(worst.measured != worst.expected && m.seed == 7);
}

#[test]
fn files_and_table() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("new");
    let base = ["--act", "gelu", "--resolution", "12", "--out", out.to_str().unwrap()];
    let output = tool(&base);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("critical line") && text.contains("he-normal") && text.contains("no point"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains("NaN"));
    assert!(std::fs::read(out.join("phase.png")).unwrap().starts_with(b"\x89PNG"));
    let svg = std::fs::read_to_string(out.join("phase.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.contains("ordered") && svg.contains("chaotic"));
    assert!(out.join("phase.json").exists());
    let other = place.path().join("other");
    let output = tool(&[
        "--resolution",
        "4",
        "--format",
        "svg",
        "--color",
        "always",
        "--out",
        other.to_str().unwrap(),
    ]);
    assert!(output.stdout.contains(&0x1b));
    let names: Vec<_> = std::fs::read_dir(&other).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names, ["phase.svg"]);
    let quiet = tool(&["-q", "--resolution", "4", "--format", "json", "--out", other.to_str().unwrap()]);
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty() && quiet.status.success());
}

#[test]
fn wrong_input_gets_one_clear_line() {
    let rows: &[(&[&str], &str)] = &[
        (&["--act", "tanhh"], "did you mean `tanh`"),
        (&["--act", "1/x"], "finite"),
        (&["--sigma-w2", "3"], "LO..HI"),
        (&["--sigma-w2", "3..1"], "LO < HI"),
        (&["--sigma-w2", "1..1"], "LO < HI"),
        (&["--sigma-w2", "-1..1"], "from 0 to"),
        (&["--sigma-w2", "0..nan"], "from 0 to"),
        (&["--sigma-w2", "0..inf"], "from 0 to"),
        (&["--sigma-b2", "0..1e9"], "from 0 to"),
        (&["--sigma-b2", "a..b"], "--sigma-b2"),
        (&["--sigma-b2", "..1"], "--sigma-b2"),
        (&["--width", "0"], "whole number"),
        (&["--resolution", "3"], "from 4 to 400"),
        (&["--resolution", "1000000"], "from 4 to 400"),
        (&["--seed", "3"], "--simulate"),
        (&["--simulate", "--seed", "x"], "seed"),
        (&["--format", "pdf"], "pdf"),
        (&["--colour", "never"], "--color"),
        (&["extra"], "extra"),
    ];
    TOOL.refuses(rows);
    assert_eq!(tool(&["--resolution", "4", "--out", "/proc/none"]).status.code(), Some(1));
}

#[test]
fn odd_planes_are_answered() {
    for (act, w, b) in [
        ("x*x", "0..1e6", "0..1e6"),
        ("0*x", "0..1e-6", "0..1e-6"),
        ("exp(-x*x)", "1e-9..1e6", "1e-9..1e6"),
        ("sin(20*x)", "0..5", "3..4"),
        ("linear", "0..2", "0..1"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().to_str().unwrap();
        let d = json(&["--act", act, "--sigma-w2", w, "--sigma-b2", b, "--resolution", "5", "--out", out]);
        assert_eq!(d.chi1.len(), 4, "{act}");
        assert!(place.path().join("phase.png").exists(), "{act}");
    }
}
