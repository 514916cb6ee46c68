//! Networks against results of the literature, at sizes that take a moment.
//!
//! Seeds are fixed, so a test is the same run every time. Each bound is wider than six standard deviations of what the
//! trials of another seed give (false alarm below 10⁻⁶ for a normal law), and each test shows that another law leaves it.

use initdiag::diagnose::run;
use initdiag::frontend::toml::Architecture;
use initdiag::result::{Cell, Layer};
use initdiag::simulate::{Control, Input, Plan};
use initdiag::spec::Experiment;
use std::sync::atomic::AtomicBool;

/// One cell for each initializer.
fn cells(net: &str, init: &[&str], batch: usize, trials: usize, bias: Option<&str>) -> Vec<Cell> {
    let architecture = Architecture::parse(net).unwrap();
    let act = architecture.act.clone().unwrap_or("relu".into());
    let experiment = Experiment {
        net: Some(architecture),
        act: vec![act],
        init: init.iter().map(|i| i.to_string()).collect(),
        batch,
        trials,
        bias: bias.map(str::to_string),
        ..Experiment::plain(1, 1)
    };
    let plan = Plan::new(&experiment, Input::Normal).unwrap();
    let control = Control { threads: 2, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    run(&plan, &control).unwrap().cells
}

fn gradient(layer: &Layer) -> f64 {
    layer.gradient.log10_second_moment.median.unwrap()
}

fn signal(layer: &Layer) -> f64 {
    layer.activation.log10_second_moment.median.unwrap()
}

fn sums(cell: &Cell) -> Vec<&Layer> {
    cell.layers.iter().filter(|l| l.kind == "residual").collect()
}

/// A factor a step between two of these layers.
fn factor(layers: &[&Layer], of: fn(&Layer) -> f64) -> f64 {
    let last = layers.len() - 1;
    10f64.powf((of(layers[last]) - of(layers[0])) / last as f64)
}

#[test]
fn batch_norm_multiplies_gradients_in_a_relu_stack() {
    // Yang et al. 2019: π/(π − 1) = 1.467 a layer towards the input as B → ∞, more at small B, whatever the initializer.
    let net = r#"
        input = { shape = [256] }
        layer = [{ type = "repeat", times = 13, layers = [
            { type = "linear", out = 256 }, { type = "batchnorm" }, { type = "act" },
        ] }]"#;
    let down = |cell: &Cell| {
        // Layer 1 sees raw input.
        let layers: Vec<&Layer> = cell.layers.iter().skip(1).rev().collect();
        factor(&layers, gradient)
    };
    for cell in cells(net, &["he", "orthogonal"], 512, 2, None) {
        assert!((down(&cell) - 1.467).abs() < 0.03, "{}: {}", cell.init, down(&cell));
    }
    let at = |batch: usize| down(&cells(net, &["he"], batch, 12, None)[0]);
    let (middle, small) = (at(32), at(8));
    assert!((middle - 1.53).abs() < 0.06, "{middle}");
    assert!(small > 1.65 && small < 2.0, "{small}");
    // Without the norm He keeps the gradient.
    let plain = net.replace(r#"{ type = "batchnorm" }, "#, "");
    let without = down(&cells(&plain, &["he"], 512, 2, None)[0]);
    assert!((without - 1.0).abs() < 0.06, "{without}");
}

#[test]
fn a_residual_relu_stack_grows_and_is_tamed() {
    // x + W·φ(x) with n·Var(W) = σ_w² multiplies the second moment by 1 + σ_w²/2 a block (Yang & Schoenholz 2017). Fixup's
    // branches add nothing (Zhang et al. 2019); divided by √L they multiply by (1 + 1/L)^L < e in all.
    let net = r#"
        input = { shape = [512] }
        layer = [{ type = "repeat", times = 20, layers = [
            { type = "residual", layers = [{ type = "act" }, { type = "linear", out = 512 }] },
        ] }]"#;
    let found = cells(net, &["he", "lecun", "fixup", "depth-scaled"], 16, 4, None);
    let growth = |cell: &Cell| factor(&sums(cell), |l| l.preactivation.log10_second_moment.median.unwrap());
    let back = |cell: &Cell| factor(&sums(cell).into_iter().rev().collect::<Vec<_>>(), gradient);
    for (cell, expected) in found.iter().zip([2.0, 1.5, 1.0, 1.05]) {
        let (up, down) = (growth(cell), back(cell));
        assert!((up / expected - 1.0).abs() < 0.04, "{}: {up}", cell.init);
        assert!((down / expected - 1.0).abs() < 0.04, "{}: {down}", cell.init);
    }
    let scaled = net.replace("{ type = \"residual\",", "{ type = \"residual\", scale = 0.15811388,");
    // 1/√(2L), L = 20: (1 + 1/40) a block.
    let up = growth(&cells(&scaled, &["he"], 16, 4, None)[0]);
    assert!((up - 1.025).abs() < 0.01, "{up}");
}

#[test]
fn delta_orthogonal_carries_a_signal_where_he_does_not() {
    // Xiao et al. 2018, § 4: tanh at σ_w² = 1.05, σ_b² = 2.01·10⁻⁵ is critical.
    let net = r#"
        act = "tanh"
        input = { shape = [8, 5, 5] }
        layer = [{ type = "repeat", times = 1500, layers = [
            { type = "conv2d", out = 8, kernel = 3, padding = 1 }, { type = "act" },
        ] }]"#;
    let inits = ["delta-orthogonal(gain=sqrt(1.05))", "he"];
    let found = cells(net, &inits, 2, 1, Some("normal(0, sqrt(2.01e-5))"));
    let change = |cell: &Cell, of: fn(&Layer) -> f64| of(cell.layers.last().unwrap()) - of(&cell.layers[200]);
    assert!(change(&found[0], signal).abs() < 0.5, "{}", change(&found[0], signal));
    assert!(change(&found[0], gradient).abs() < 2.0, "{}", change(&found[0], gradient));
    // He's fans count nine taps and tanh halves nothing: the chaotic phase.
    assert!(change(&found[1], gradient) < -20.0, "{}", change(&found[1], gradient));
    assert_eq!(found[1].backward.verdict.name(), "exploding");
}

#[test]
fn xavier_starves_a_thirty_layer_convolution_network_and_he_does_not() {
    // He et al. 2015, figure 3: ReLU halves what Xavier keeps, 2⁻²⁹ in all; zeros around the image cost both some more.
    let net = r#"
        input = { shape = [40, 16, 16] }
        layer = [{ type = "repeat", times = 30, layers = [
            { type = "conv2d", out = 40, kernel = 3, padding = 1 }, { type = "act" },
        ] }]"#;
    let found = cells(net, &["xavier", "he"], 4, 5, None);
    let change = |cell: &Cell| signal(cell.layers.last().unwrap()) - signal(&cell.layers[0]);
    let (xavier, he) = (change(&found[0]), change(&found[1]));
    assert!((xavier - he + 29.0 * 2f64.log10()).abs() < 0.01, "{xavier} {he}");
    // The zeros keep at least 0.9775 a layer (the largest eigenvalue of what 3×3 taps see of 16×16), 40 channels cost 5L/(2n)
    // in the mean of the logarithm and scatter it by √(5L/n): −0.3 − 0.8 ± 0.84 decades, the median of five trials ±0.45.
    assert!((-1.1 - he).abs() < 6.0 * 0.45, "{he}");
    assert_eq!(found[0].forward.verdict.name(), "vanishing");
}

#[test]
fn an_orthogonal_recurrent_network_remembers() {
    // Saxe et al. 2014, Le et al. 2015: in the linear range an orthogonal matrix keeps the norm at every step, PyTorch's default
    // keeps a third, He's law doubles it.
    let net = initdiag::frontend::bundled::source("rnn-100").unwrap();
    let found = cells(net, &["orthogonal", "torch-linear", "he"], 8, 5, None);
    let down = |cell: &Cell| {
        let steps: Vec<&Layer> = cell.layers.iter().filter(|l| l.kind == "rnn").rev().collect();
        assert_eq!(steps.len(), 100);
        factor(&steps, gradient)
    };
    let [orthogonal, torch, he] = [0, 1, 2].map(|k: usize| down(&found[k]));
    assert!((orthogonal - 1.0).abs() < 0.02, "{orthogonal}");
    assert!((0.2..0.4).contains(&torch), "{torch}");
    assert_eq!(found[1].backward.verdict.name(), "vanishing");
    assert!(he > 1.05, "{he}");
}

#[test]
fn scaled_projections_hold_the_stream_of_a_transformer() {
    // Radford et al. 2019, § 2.3: divided by √(2L), the 2L branches add together what one would.
    let net = r#"
        act = "gelu-tanh"
        input = { tokens = 200, length = 24 }
        layer = [
            { type = "embedding", out = 96, positions = true, init = "normal(0, 0.02)" },
            { type = "repeat", times = 6, layers = [
                { type = "residual", layers = [{ type = "layernorm" }, { type = "attention", heads = 4, causal = true }] },
                { type = "residual", layers = [
                    { type = "layernorm" }, { type = "linear", out = 384 }, { type = "act" }, { type = "linear", out = 96 },
                ] },
            ] },
        ]"#;
    let found = cells(net, &["gpt2", "normal(0, 0.02)"], 4, 4, None);
    let added = |cell: &Cell| {
        let sums = sums(cell);
        assert_eq!(sums.len(), 12);
        10f64.powf(signal(sums[11])) - 10f64.powf(signal(&cell.layers[0]))
    };
    let ratio = added(&found[1]) / added(&found[0]);
    assert!((8.0..18.0).contains(&ratio), "{ratio} where 12 branches are");
}

#[test]
fn a_flat_network_is_the_plain_stack() {
    let net = r#"
        input = { shape = [24] }
        layer = [{ type = "repeat", times = 5, layers = [{ type = "linear", out = 24 }, { type = "act" }] }]"#;
    let cell = &cells(net, &["torch-linear"], 8, 3, None)[0];
    let experiment =
        Experiment { init: vec!["torch-linear".into()], batch: 8, trials: 3, ..Experiment::plain(5, 24) };
    let plan = Plan::new(&experiment, Input::Normal).unwrap();
    let control = Control { threads: 1, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    let plain = &run(&plan, &control).unwrap().cells[0];
    assert_eq!((&plain.forward, &plain.backward), (&cell.forward, &cell.backward));
    for (a, b) in plain.layers.iter().zip(&cell.layers) {
        // A plain stack has neither names nor roles.
        let mut b = b.clone();
        (b.path, b.role) = (None, None);
        assert_eq!(*a, b);
    }
}
