//! Every layer of a network against finite differences in double precision: the gradient with respect to the input and to every
//! weight and bias, as training collects them, and mean and second moment of those with respect to each weight matrix, as runs
//! record them.

use initdiag::activation::Activation;
use initdiag::frontend::toml::Architecture;
use initdiag::graph::{Graph, Laws, Passed, backward, forward, trial};
use initdiag::initializer::Initializer;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part};
use initdiag::op::parameters::gradients_like;
use initdiag::op::{Arrays, Gradients, loss};
use initdiag::spec::Loss;
use nalgebra::DMatrix;
use std::collections::HashMap;
use std::sync::Arc;

const KEY: Key = Key { seed: 3, trial: 1, layer: 0 };
const BATCH: usize = 3;

type Given = Arrays<f64>;

fn net(text: &str) -> Graph {
    let architecture = Architecture::parse(text).unwrap();
    let init = Initializer::parse_for_net("normal(0.05, 0.6)").unwrap();
    let bias = Initializer::parse("normal(0.1, 0.3)").unwrap();
    let act = Arc::new(Activation::parse("tanh").unwrap());
    architecture.with_laws(&Laws { init: &init, bias: Some(&bias), act: &act }).unwrap()
}

fn run(net: &Graph, x: &DMatrix<f64>, given: Option<&Given>, exponent: i64) -> Passed<f64> {
    let mut pass = net.context(KEY, BATCH, Threads::One);
    pass.input_gradient = true;
    pass.given = given;
    trial(net, Signal::new(x.clone(), exponent), Loss::Random, pass, false, &|| true).unwrap()
}

fn plain(s: &Signal<f64>) -> DMatrix<f64> {
    s.values.map(|v| v * 2f64.powi(s.exponent as i32))
}

/// ⟨output, read-out⟩.
fn cost(net: &Graph, x: &DMatrix<f64>, given: Option<&Given>) -> f64 {
    let output = run(net, x, given, 0).output;
    let read_out =
        loss::gradient(Loss::Random, &output, 0, Key { layer: net.streams() + 1, ..KEY }, Part::Block(0));
    plain(&output).dot(&plain(&read_out))
}

/// Features × samples in the order of the user, from channels × (positions·samples).
fn arranged(net: &Graph, gradient: DMatrix<f64>) -> DMatrix<f64> {
    let (shape, positions) = (net.input(), net.input().positions());
    let image = matches!(shape.space, initdiag::op::Space::Image(..));
    DMatrix::from_fn(shape.size(), BATCH, |feature, sample| {
        let (channel, position) = if image {
            (feature / positions, feature % positions)
        } else {
            (feature % shape.channels, feature / shape.channels)
        };
        gradient[(channel, sample * positions + position)]
    })
}

fn weights(net: &Graph) -> Given {
    net.arrays(&net.context::<f64>(KEY, BATCH, Threads::One))
}

/// ∂⟨output, read-out⟩ with respect to all weights and biases.
fn collected(net: &Graph, x: &DMatrix<f64>, given: &Given) -> Gradients<f64> {
    let mut pass = net.context(KEY, BATCH, Threads::One);
    (pass.given, pass.quiet, pass.gradients) = (Some(given), true, Some(gradients_like(given)));
    let (out, tapes) = forward(net, Signal::new(x.clone(), 0), &mut pass, false, &|| true).unwrap();
    let read_out =
        loss::gradient(Loss::Random, &out.signal, 0, Key { layer: net.streams() + 1, ..KEY }, Part::Block(0));
    backward(net, tapes, read_out, &mut pass, &|| true).unwrap();
    pass.gradients.unwrap()
}

fn close(a: f64, b: f64, scale: f64, what: &str) {
    assert!((a - b).abs() <= 2e-6 * scale.max(1e-3), "{what}: {a} by the engine, {b} by differences");
}

fn check(text: &str) {
    let net = net(text);
    let x = DMatrix::from_fn(net.features(), BATCH, |i, j| f64::sin((3 * i + 7 * j + i * j) as f64) * 1.1);
    let passed = run(&net, &x, None, 0);
    let step = 1e-5;
    // Tokens have no gradient.
    if !matches!(net.input().space, initdiag::op::Space::Tokens(_)) {
        let gradient = arranged(&net, plain(&passed.gradient));
        let top = gradient.amax();
        for feature in 0..net.input().size() {
            for sample in 0..BATCH {
                let at = |delta: f64| {
                    let mut x = x.clone();
                    x[(feature, sample)] += delta;
                    cost(&net, &x, None)
                };
                let difference = (at(step) - at(-step)) / (2.0 * step);
                close(
                    gradient[(feature, sample)],
                    difference,
                    top,
                    &format!("input {feature} of {sample}: {text}"),
                );
            }
        }
    }
    let given = weights(&net);
    assert!((cost(&net, &x, Some(&given)) - cost(&net, &x, None)).abs() < 1e-9);
    // The matrices of one entry together, as a recurrent layer has them.
    let mut entries: HashMap<usize, (f64, f64, f64)> = HashMap::new();
    // Tokens' tables are not trained.
    let tokens = net.features() == 0;
    let gradients = collected(&net, &x, &given);
    for w in net.own_parameters() {
        let (count, total, square) = entries.entry(w.entry).or_default();
        let matrix = gradients[&w.stream].weights.clone();
        *count += matrix.len() as f64;
        for place in 0..matrix.len() {
            let at = |delta: f64| {
                let mut given = given.clone();
                let parameter = given.get_mut(&w.stream).unwrap();
                Arc::make_mut(&mut parameter.weights).as_mut_slice()[place] += delta;
                cost(&net, &x, Some(&given))
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            *total += difference;
            *square += difference * difference;
            if !tokens {
                close(
                    matrix[place],
                    difference,
                    matrix.amax(),
                    &format!("weight {place} of {}: {text}", w.stream),
                );
            }
        }
        for place in 0..gradients[&w.stream].bias.as_ref().map_or(0, DMatrix::len) {
            let at = |delta: f64| {
                let mut given = given.clone();
                given.get_mut(&w.stream).unwrap().bias.as_mut().unwrap()[place] += delta;
                cost(&net, &x, Some(&given))
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            let bias = gradients[&w.stream].bias.as_ref().unwrap();
            close(bias[place], difference, bias.amax(), &format!("bias {place} of {}: {text}", w.stream));
        }
    }
    if recurrent_steps(&net) {
        return;
    }
    for (entry, (count, total, square)) in entries {
        let record = &passed.records[entry].weight_gradient;
        let second = square / count;
        close(
            record.second_moment.to_f64(),
            second,
            second,
            &format!("weights {}: {text}", net.entries[entry].path),
        );
        close(record.mean.to_f64(), total / count, second.sqrt(), &net.entries[entry].path);
    }
}

/// Several steps share weights, whose gradient is recorded step by step.
fn recurrent_steps(net: &Graph) -> bool {
    net.entries.iter().any(|e| e.path.ends_with("step2"))
}

fn image(layers: &str) -> String {
    format!("input = {{ shape = [4, 5, 4] }}\nlayer = [{layers}]")
}

#[test]
fn convolutions() {
    let conv = |options: &str| {
        check(&image(&format!(
            r#"{{ type = "conv2d", out = 4, {options} }}, {{ type = "act" }}, {{ type = "conv2d", out = 2, kernel = 1 }}"#
        )));
    };
    conv("kernel = 3, padding = 1");
    conv("kernel = [3, 2], stride = [2, 1], padding = [0, 1]");
    conv("kernel = 2, dilation = [1, 2], padding = 1");
    conv("kernel = 3, padding = \"same\", groups = 2");
    conv("kernel = 3, padding = 1, groups = 4, stride = 2");
    conv("kernel = 1, groups = 2");
    conv("kernel = 1, stride = 2");
    for init in ["identity(0.7)", "delta-orthogonal(1.3)", "orthogonal", "lsuv"] {
        let text = format!(
            r#"{{ type = "conv2d", out = 5, kernel = 3, padding = 1, stride = 2, init = "{init}" }}"#
        );
        let net = net(&image(&text));
        let x = DMatrix::from_fn(80, BATCH, |i, j| f64::cos((5 * i + 3 * j) as f64));
        let gradient = arranged(&net, plain(&run(&net, &x, None, 0).gradient));
        if init == "lsuv" {
            let variance = run(&net, &x, None, 0).records[0].preactivation.variance.to_f64();
            // Biases of variance 0.09 are added behind.
            assert!((0.9..1.4).contains(&variance), "{variance}");
            continue;
        }
        for feature in 0..80 {
            let at = |delta: f64| {
                let mut x = x.clone();
                x[(feature, 1)] += delta;
                cost(&net, &x, None)
            };
            close(gradient[(feature, 1)], (at(1e-5) - at(-1e-5)) / 2e-5, gradient.amax(), init);
        }
    }
}

#[test]
fn pools() {
    for pool in [
        r#"{ type = "maxpool", kernel = 2 }"#,
        r#"{ type = "maxpool", kernel = 3, stride = 1, padding = 1 }"#,
        r#"{ type = "avgpool", kernel = [2, 3], stride = 1, padding = [1, 0] }"#,
        r#"{ type = "avgpool" }"#,
    ] {
        check(&image(&format!(
            r#"{{ type = "conv2d", out = 3, kernel = 2 }}, {{ type = "act" }}, {pool}, {{ type = "flatten" }}, {{ type = "linear", out = 3 }}"#
        )));
    }
}

#[test]
fn norms_and_dropout() {
    for norm in [
        r#"{ type = "batchnorm" }"#,
        r#"{ type = "batchnorm", eps = 0.5 }"#,
        r#"{ type = "layernorm" }"#,
        r#"{ type = "rmsnorm", eps = 0.1 }"#,
        r#"{ type = "dropout", p = 0.3 }"#,
    ] {
        check(&image(&format!(
            r#"{{ type = "conv2d", out = 3, kernel = 2 }}, {norm}, {{ type = "act", fn = "gelu" }}, {{ type = "conv2d", out = 2, kernel = 2 }}"#
        )));
        check(&format!(
            r#"
            input = {{ shape = [5] }}
            layer = [{{ type = "linear", out = 4 }}, {norm}, {{ type = "act" }}, {{ type = "linear", out = 3 }}, {norm}]"#
        ));
        check(&format!(
            r#"
            input = {{ shape = [3, 4] }}
            layer = [{{ type = "linear", out = 5 }}, {norm}, {{ type = "act" }}, {{ type = "linear", out = 2 }}]"#
        ));
    }
}

#[test]
fn residual_blocks_and_repeats() {
    check(
        r#"
        input = { shape = [2, 4, 4] }
        layer = [
            { type = "residual", scale = 0.7, layers = [
                { type = "conv2d", out = 3, kernel = 3, padding = 1, stride = 2 },
                { type = "act" },
                { type = "residual", layers = [{ type = "act", fn = "leaky-relu(a=0.3)" }, { type = "conv2d", out = 3, kernel = 1 }] },
            ], shortcut = [{ type = "conv2d", out = 3, kernel = 1, stride = 2 }] },
            { type = "act", fn = "softplus" },
            { type = "flatten" },
            { type = "repeat", times = 3, layers = [
                { type = "residual", layers = [{ type = "linear", out = 12 }, { type = "act" }], scale = -0.5 },
            ] },
            { type = "linear", out = 2 },
        ]"#,
    );
}

#[test]
fn recurrent_layers() {
    for layer in [
        r#"{ type = "rnn", out = 3"#,
        r#"{ type = "rnn", out = 3, fn = "leaky-relu(a=0.3)""#,
        r#"{ type = "lstm", out = 3, forget = 1.0"#,
        r#"{ type = "gru", out = 3"#,
    ] {
        for (length, last) in [(1, false), (4, false), (4, true)] {
            check(&format!(
                r#"
                input = {{ shape = [{length}, 2] }}
                layer = [{{ type = "linear", out = 3 }}, {layer}, last = {last} }}, {{ type = "linear", out = 2 }}]"#
            ));
        }
    }
}

#[test]
fn attention_and_embedding() {
    for causal in [false, true] {
        check(&format!(
            r#"
            input = {{ shape = [5, 4] }}
            layer = [
                {{ type = "residual", layers = [{{ type = "attention", heads = 2, causal = {causal} }}] }},
                {{ type = "linear", out = 2 }},
            ]"#
        ));
    }
    check(
        r#"
        input = { tokens = 7, length = 4 }
        layer = [
            { type = "embedding", out = 4, positions = true, init = "normal(0.1, 0.7)" },
            { type = "layernorm" },
            { type = "attention", heads = 1, causal = true },
            { type = "flatten" },
            { type = "linear", out = 2 },
        ]"#,
    );
}

#[test]
fn an_attention_that_sees_one_key_alone_still_has_a_gradient() {
    // Scores of the order of 2⁴⁰: the other weights are e^−10¹², and so are the gradients of queries and keys.
    let net = net("input = { shape = [5, 4] }\nlayer = [{ type = \"attention\", heads = 2, bias = false }]");
    let x = DMatrix::from_fn(20, BATCH, |i, j| f64::sin((3 * i + 7 * j + i * j) as f64));
    let at = |exponent: i64| run(&net, &x, None, exponent).records;
    let (soft, hard) = (at(0), at(20));
    for (index, record) in hard.iter().enumerate().take(2) {
        let (was, is) = (&soft[index].gradient.second_moment, &record.gradient.second_moment);
        assert!(was.log10_abs().unwrap() > -6.0);
        let log = is.log10_abs().unwrap();
        assert!(log < -1e6 && log > -1e13, "{log}");
    }
    assert!(hard[2].gradient.second_moment.log10_abs().unwrap().abs() < 3.0);
    for exponent in [-3000, 3000] {
        for record in at(exponent) {
            for moments in [record.preactivation, record.gradient] {
                let log = moments.second_moment.log10_abs();
                assert!(log.is_none_or(f64::is_finite));
            }
        }
    }
}

#[test]
fn tied_weights_are_the_embedding_transposed() {
    let net = net(r#"
        input = { tokens = 6, length = 3 }
        layer = [
            { type = "embedding", out = 4 },
            { type = "layernorm" },
            { type = "linear", out = 6, tied = true, bias = false },
        ]"#);
    let given = weights(&net);
    assert_eq!(given.len(), 1);
    let x = DMatrix::from_element(net.features(), BATCH, 0.0);
    let drawn = run(&net, &x, None, 0);
    let tokens = plain(&drawn.output);
    assert_eq!(tokens.shape(), (6, 9));
    // A normalised row has length √4, and no row of the table is more like it than √4 times that row's own length.
    assert!(tokens.amax() > 1.0);
}

#[test]
fn a_norm_meets_its_eps_at_any_scale() {
    // x̂ = x/√ε where the signal is far below ε, and without a trace of the scale where it is far above.
    let net = net(
        "input = { shape = [6] }\nlayer = [{ type = \"layernorm\" }, { type = \"linear\", out = 4, bias = false }]",
    );
    let x = DMatrix::from_fn(6, BATCH, |i, j| f64::sin((3 * i + 7 * j) as f64));
    let at = |exponent: i64| run(&net, &x, None, exponent);
    let log = |p: &Passed<f64>| p.records[0].preactivation.second_moment.log10_abs().unwrap();
    let (unit, large, small, tiny) = (at(0), at(4000), at(-2000), at(-2100));
    assert!((log(&large) - log(&unit)).abs() < 1e-4);
    assert!((log(&small) - log(&tiny) - 200.0 * 2f64.log10()).abs() < 1e-9);
    // The gradient is 1/√ε there, 2⁻⁴⁰⁰⁰ of what it is at scale one up there.
    let top = |p: &Passed<f64>| p.gradient.top_exponent().unwrap();
    assert!((top(&large) - top(&unit) + 4000).abs() <= 1, "{} {}", top(&large), top(&unit));
    assert!((0..=12).contains(&top(&small)) && top(&small) == top(&tiny));
}

#[test]
fn a_way_computed_twice_is_the_same_way() {
    let net = net(r#"
        input = { shape = [6] }
        layer = [
            { type = "repeat", times = 7, layers = [
                { type = "linear", out = 6, init = "lsuv" }, { type = "batchnorm" }, { type = "act" }, { type = "dropout", p = 0.2 },
            ] },
        ]"#);
    let x = DMatrix::from_fn(6, BATCH, |i, j| f64::sin((3 * i + 7 * j) as f64));
    let once = run(&net, &x, None, 0);
    let mut pass = net.context(KEY, BATCH, Threads::One);
    pass.input_gradient = true;
    pass.keep_weights = false;
    let twice = trial(&net, Signal::new(x, 0), Loss::Random, pass, true, &|| true).unwrap();
    assert_eq!(plain(&once.gradient), plain(&twice.gradient));
    assert_eq!(format!("{:?}", once.records), format!("{:?}", twice.records));
}
