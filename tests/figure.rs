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
    let text: String = values.map(|v| v.replace("cm", "").replace('-', " -") + " ").collect();
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

/// A small transformer of three blocks.
const TRANSFORMER: &str = r#"
    name = "small"
    init = "normal(0, 0.02)"
    act = "gelu"
    input = { tokens = 50, length = 6 }
    layer = [
        { type = "embedding", out = 8 },
        { type = "repeat", times = 3, layers = [
            { type = "residual", name = "attention", layers = [
                { type = "layernorm" }, { type = "attention", name = "self", heads = 2, causal = true },
            ] },
            { type = "residual", name = "mlp", layers = [
                { type = "layernorm" }, { type = "linear", out = 16 }, { type = "act" }, { type = "linear", out = 8 },
            ] },
        ] },
        { type = "linear", out = 50, name = "head" },
    ]"#;

/// How often each text stands in a figure.
fn count(svg: &str, wanted: &str) -> usize {
    let document = Document::parse(svg).unwrap();
    document.descendants().filter(|n| n.has_tag_name("text") && n.text() == Some(wanted)).count()
}

#[test]
fn a_network_is_drawn_by_block_and_role_at_the_size_in_print() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("small.toml");
    std::fs::write(&file, TRANSFORMER).unwrap();
    let net = ["--net", file.to_str().unwrap(), "--batch", "4", "--trials", "3"];
    let whole = figure(&net, directory.path());
    assert!(whole.contains("width=\"17.00cm\""));
    for role in ["stream", "query", "key", "value", "attention output", "up", "down", "head", "norm"] {
        assert!(count(&whole, role) >= 2, "{role}: {}", count(&whole, role));
    }
    // Each axis has the blocks by number between the names at its ends.
    assert_eq!((count(&whole, "block"), count(&whole, "2"), count(&whole, "layer")), (4, 4, 0));
    assert!(whole.contains("median, band: least to most; thick: what every signal passes"), "three trials");
    assert!(numbers(Document::parse(&whole).unwrap().root()).iter().all(|v| v.abs() < 2000.0));

    let chosen = ["--figure-width", "8.5", "--title", "Mine & yours", "--panels", "gradient,Activation"];
    let narrow = figure(&[&net[..], &chosen].concat(), directory.path());
    assert!(narrow.contains("width=\"8.50cm\""));
    assert_eq!((count(&narrow, "Mine & yours"), count(&narrow, "block")), (1, 2));
    assert_eq!(count(&narrow, "a · Gradient variance, Var(∂C/∂Z)"), 1);
    assert_eq!(count(&narrow, "b · Activation variance, Var(H)"), 1);

    let grid = [&net[..], &["--init", "he,xavier", "--panels", "activation"]].concat();
    let by_init = figure(&grid, directory.path());
    assert_eq!((count(&by_init, "he-normal"), count(&by_init, "attn out")), (1, 2));
    let by_role = figure(&[&grid[..], &["--facet", "role"]].concat(), directory.path());
    assert_eq!((count(&by_role, "he-normal"), count(&by_role, "attn out")), (1, 1));
}

#[test]
fn steps_of_a_recurrent_network_are_time() {
    let directory = tempfile::tempdir().unwrap();
    let svg = figure(&["--net", "rnn-100", "--batch", "2", "--trials", "1"], directory.path());
    assert_eq!((count(&svg, "time step"), count(&svg, "layer"), count(&svg, "state")), (4, 0, 3));
    assert_eq!(count(&svg, "80"), 4);
}

#[test]
fn ends_of_formats_say_what_happens_there() {
    let directory = tempfile::tempdir().unwrap();
    let size = ["--depth", "30", "--width", "32", "--batch", "8", "--trials", "2", "--init"];
    let low = figure(&[&size[..], &["xavier"]].concat(), directory.path());
    assert!(low.contains(" underflow<") && !low.contains(" overflow<"));
    let high = figure(&[&size[..], &["normal(0, 0.5)"]].concat(), directory.path());
    assert!(high.contains(" overflow<") && !high.contains(" underflow<"));
}

#[test]
fn more_than_a_dozen_cells_are_heat_maps() {
    let directory = tempfile::tempdir().unwrap();
    let inits = "he,xavier,lecun,orthogonal,normal,uniform,zeros";
    let size = ["--depth", "5", "--width", "8", "--batch", "4", "--trials", "2", "--act", "relu,tanh"];
    let svg = figure(&[&size[..], &["--init", inits]].concat(), directory.path());
    assert_eq!(count(&svg, "orthogonal × tanh"), 4, "a row in each map");
    assert!(svg.contains("gray: exactly 0") && !svg.contains("stroke-dasharray"));
}
