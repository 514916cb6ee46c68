//! Figures as files: well-formed, the same bytes every time, and bounded whatever was measured.

use assert_cmd::Command;
use resvg::usvg::roxmltree::{Document, Node};
use std::path::Path;

/// Runs the tool with these options and reads the figure.
fn figure(options: &[&str], directory: &Path) -> String {
    let mut command = Command::cargo_bin("initdiag").unwrap();
    command.args(options).args(["--format", "svg,png", "--color", "never", "--out"]).arg(directory);
    command.assert().success();
    assert!(std::fs::metadata(directory.join("signal.png")).unwrap().len() > 1000);
    std::fs::read_to_string(directory.join("signal.svg")).unwrap()
}

/// Every number in the attributes of shapes; the steps of a path count as numbers.
fn numbers(node: Node) -> Vec<f64> {
    let names = ["d", "x", "y", "cx", "cy", "r", "width", "height", "stroke-width", "stroke-dashoffset"];
    let values = node.descendants().filter(|n| !n.has_tag_name("style")).flat_map(|n| {
        n.attributes()
            .filter(|a| names.contains(&a.name()))
            .map(|a| a.value().to_string())
            .collect::<Vec<_>>()
    });
    let text: String = values.map(|v| v.replace('-', " -") + " ").collect();
    text.split(|c: char| c.is_whitespace() || "Mlz".contains(c))
        .filter(|t| !t.is_empty())
        .map(|t| t.parse().unwrap())
        .collect()
}

#[test]
fn curves_far_off_the_scale_make_a_figure_of_moderate_numbers() {
    let directory = tempfile::tempdir().unwrap();
    for options in [
        ["--depth", "60", "--width", "8", "--init", "he,xavier", "--act", "x^3,x^2", "--trials", "3"],
        ["--depth", "4", "--width", "64", "--init", "he,xavier", "--act", "exp(x),sinh(x)", "--trials", "2"],
    ] {
        let svg = figure(&options, directory.path());
        assert!(svg.len() < 150_000, "{}", svg.len());
        let document = Document::parse(&svg).unwrap();
        assert!(numbers(document.root()).iter().all(|v| v.abs() < 2000.0));
        assert!(svg.contains("stroke-dasharray"));
    }
}

#[test]
fn a_figure_is_the_same_bytes_every_time() {
    let directory = tempfile::tempdir().unwrap();
    let options = ["--depth", "8", "--width", "16", "--init", "he,xavier,zeros", "--trials", "3"];
    let first = figure(&options, directory.path());
    assert_eq!(first, figure(&options, directory.path()));
    let document = Document::parse(&first).unwrap();
    let texts: Vec<&str> =
        document.descendants().filter(|n| n.has_tag_name("text")).filter_map(|n| n.text()).collect();
    for text in
        ["he-normal, xavier-normal, zeros × relu", "a · Activation variance, Var(H)", "exactly 0", "layer"]
    {
        assert!(texts.contains(&text), "{text}: {texts:?}");
    }
    assert!(document.descendants().any(|n| n.has_tag_name("style")) && first.contains("@font-face"));
}
