//! Every layer of a network against finite differences in double precision: the gradient with respect to the input and to every
//! weight and bias, as training collects them, and mean and second moment of those with respect to each weight matrix, as runs
//! record them.

#[path = "common/nets.rs"]
mod nets;

use initdiag::graph::{Passed, trial};
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::spec::Loss;
use nalgebra::DMatrix;
use nets::{BATCH, KEY, arranged, check, close, cost, net, plain, run, weights};

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
        let gradient = arranged(&net, plain(&run(&net, &x, None, 0).gradients[0]));
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
        r#"{ type = "groupnorm", groups = 1, eps = 0.2 }"#,
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
    // One table of relative positions for two attentions.
    check(
        r#"
        input = { shape = [4, 4] }
        layer = [
            { type = "attention", heads = 2, relative = { buckets = 4, distance = 3, table = "t" } },
            { type = "positions", form = "sinusoidal-halves" },
            { type = "attention", heads = 2, relative = { buckets = 4, distance = 3, table = "t" } },
        ]"#,
    );
    for fields in
        [r#"scale = "sqrt(width)", positions = "sinusoidal""#, "scale = 0.5, positions = true", "scale = -2"]
    {
        check(&format!(
            r#"
            input = {{ tokens = 7, length = 4 }}
            layer = [
                {{ type = "embedding", out = 3, {fields} }},
                {{ type = "act", fn = "tanh" }},
                {{ type = "attention", heads = 1, head_width = 2, rotary = true }},
            ]"#,
        ));
    }
}

#[test]
fn an_attention_that_sees_one_key_alone_still_has_a_gradient() {
    // Scores of the order of 2⁴⁰: the other weights are e^−10¹², and so are the gradients of queries and keys.
    for fields in ["", ", kv_heads = 1", ", soft_cap = 2.0", ", alibi = true", ", window = 2, causal = true"]
    {
        sees_one_key_alone(fields);
    }
}

fn sees_one_key_alone(fields: &str) {
    let net = net(&format!(
        "input = {{ shape = [5, 4] }}\nlayer = [{{ type = \"attention\", heads = 2, bias = false{fields} }}]"
    ));
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

/// Operators that join, divide and multiply values, and graphs that are made of them.
#[test]
fn operators_of_graphs() {
    // Of a sequence [4, 6], with the layers before the last.
    for layers in [
        r#"{ type = "linear", out = 3, name = "a" }, { type = "linear", out = 3, from = ["input"], name = "b" },
           { type = "act", name = "c" }, { type = "add", from = ["a", "b", "c"] }"#,
        r#"{ type = "linear", out = 3, name = "a" }, { type = "linear", out = 2, name = "b" },
           { type = "concat", from = ["b", "input", "a"] }"#,
        r#"{ type = "split", parts = 3, name = "s" }, { type = "linear", out = 2, from = ["s[1]"] }, { type = "act", name = "a" },
           { type = "concat", from = ["s[2]", "a", "s[0]"] }"#,
        r#"{ type = "split", sizes = [1, 3, 2], name = "s" }, { type = "linear", out = 3, from = ["s[2]"], name = "a" },
           { type = "add", from = ["a", "s[1]"], name = "b" }, { type = "concat", from = ["s[0]", "b"] }"#,
        r#"{ type = "linear", out = 4, name = "a" }, { type = "linear", out = 3, from = ["input"], name = "b" },
           { type = "matmul", from = ["a", "b"] }"#,
        r#"{ type = "linear", out = 3, name = "a" }, { type = "linear", out = 3, from = ["input"], name = "b" },
           { type = "matmul", from = ["a", "b"], transposed = true }"#,
        r#"{ type = "linear", out = 8, name = "a" }, { type = "linear", out = 4, from = ["input"], name = "b" },
           { type = "matmul", from = ["a", "b"], heads = 2 }"#,
        r#"{ type = "linear", out = 4, name = "a" }, { type = "linear", out = 4, from = ["input"], name = "b" },
           { type = "matmul", from = ["a", "b"], transposed = true, heads = 2 }"#,
        r#"{ type = "matmul", from = ["input", "input"], transposed = true }, { type = "scale", by = -0.3 }"#,
        r#"{ type = "linear", out = 5 }, { type = "softmax" }"#,
        r#"{ type = "linear", out = 6 }, { type = "softmax", heads = 3 }"#,
        r#"{ type = "linear", out = 8 }, { type = "softmax", heads = 2, causal = true }"#,
        // A gated block, as SwiGLU, and a gate of one half of the features.
        r#"{ type = "parallel", join = "mul", branches = [
               [{ type = "linear", out = 5 }], [{ type = "linear", out = 5 }, { type = "act", fn = "silu" }] ] }"#,
        r#"{ type = "split", parts = 2, name = "s" }, { type = "act", fn = "sigmoid", from = ["s[1]"], name = "gate" },
           { type = "mul", from = ["s[0]", "gate"] }"#,
        // Group norms of a sequence: pairs of features, and each feature for itself.
        r#"{ type = "linear", out = 6 }, { type = "groupnorm", groups = 3 }, { type = "act", fn = "gelu" },
           { type = "groupnorm", groups = 6, eps = 0.5 }"#,
        // A value that three layers take.
        r#"{ type = "linear", out = 3, name = "a" }, { type = "linear", out = 3, from = ["a"], name = "b" },
           { type = "act", from = ["a"], name = "c" }, { type = "add", from = ["a", "b", "c"] }"#,
        // Across a residual block, from within one, and from one round of a repeat to the next.
        r#"{ type = "linear", out = 3, name = "a" },
           { type = "residual", layers = [
               { type = "act", name = "inside" }, { type = "linear", out = 3, name = "b" }, { type = "add", from = ["b", "a"] },
               { type = "linear", out = 3, name = "last" }, { type = "add", from = ["last", "inside"] } ], name = "b" },
           { type = "concat", from = ["b", "a"] }"#,
        r#"{ type = "linear", out = 3, name = "a" },
           { type = "repeat", times = 3, layers = [
               { type = "linear", out = 3 }, { type = "act", name = "b" }, { type = "add", from = ["b", "a"], name = "a" } ] }"#,
        // Several positions of attention, written out.
        r#"{ type = "linear", out = 4, name = "q" }, { type = "linear", out = 4, from = ["input"], name = "k" },
           { type = "linear", out = 6, from = ["input"], name = "v" },
           { type = "matmul", from = ["q", "k"], transposed = true, heads = 2 }, { type = "scale", by = 0.7 },
           { type = "softmax", heads = 2, causal = true, name = "p" }, { type = "matmul", from = ["p", "v"], heads = 2 }"#,
    ] {
        check(&format!(
            "input = {{ shape = [4, 6] }}\nlayer = [{layers}, {{ type = \"act\" }}, {{ type = \"linear\", out = 2 }}]"
        ));
    }
}

/// A U-net whose way back joins what it met on the way down, and an inception block.
#[test]
fn graphs_of_convolutions() {
    check(&image(
        r#"{ type = "conv2d", out = 3, kernel = 2 }, { type = "act", name = "wide" },
           { type = "conv2d", out = 2, kernel = 2 }, { type = "act" },
           { type = "conv2d", out = 2, kernel = 2, padding = 1, name = "up" },
           { type = "concat", from = ["up", "wide"] }, { type = "batchnorm" },
           { type = "conv2d", out = 2, kernel = 2, padding = 1 }"#,
    ));
    check(&image(
        r#"{ type = "parallel", join = "concat", branches = [
               [{ type = "conv2d", out = 2, kernel = 1 }],
               [{ type = "conv2d", out = 2, kernel = 1 }, { type = "act" }, { type = "conv2d", out = 3, kernel = 3, padding = 1 }],
               [{ type = "maxpool", kernel = 3, stride = 1, padding = 1 }, { type = "conv2d", out = 1, kernel = 1 }],
               [],
           ] }, { type = "act" },
           { type = "parallel", join = "add", branches = [[{ type = "conv2d", out = 10, kernel = 1 }], []] },
           { type = "avgpool" }, { type = "flatten" }, { type = "linear", out = 2 }"#,
    ));
}

#[test]
fn tied_weights_are_the_embedding_transposed() {
    let net = net(r#"
        input = { tokens = 6, length = 3 }
        layer = [
            { type = "embedding", out = 4 },
            { type = "layernorm", gain = false, shift = false },
            { type = "linear", out = 6, tied = true, bias = false },
        ]"#);
    let given = weights(&net);
    assert_eq!(given.len(), 1);
    let x = DMatrix::from_element(net.features(), BATCH, 0.0);
    let drawn = run(&net, &x, None, 0);
    let tokens = plain(&drawn.output);
    assert_eq!(tokens.shape(), (6, 9));
    // A normalized row has length √4, and no row of the table is more like it than √4 times that row's own length.
    assert!(tokens.amax() > 1.0);
}

#[test]
fn a_norm_meets_its_eps_at_any_scale() {
    for norm in ["type = \"layernorm\"", "type = \"groupnorm\", groups = 2"] {
        meets_its_eps(norm);
    }
}

fn meets_its_eps(norm: &str) {
    // x̂ = x/√ε where the signal is far below ε, and without a trace of the scale where it is far above.
    let net = net(&format!(
        "input = {{ shape = [6] }}\nlayer = [{{ {norm} }}, {{ type = \"linear\", out = 4, bias = false }}]"
    ));
    let x = DMatrix::from_fn(6, BATCH, |i, j| f64::sin((3 * i + 7 * j) as f64));
    let at = |exponent: i64| run(&net, &x, None, exponent);
    let log = |p: &Passed<f64>| p.records[0].preactivation.second_moment.log10_abs().unwrap();
    let (unit, large, small, tiny) = (at(0), at(4000), at(-2000), at(-2100));
    assert!((log(&large) - log(&unit)).abs() < 1e-4);
    assert!((log(&small) - log(&tiny) - 200.0 * 2f64.log10()).abs() < 1e-9);
    // The gradient is 1/√ε there, 2⁻⁴⁰⁰⁰ of what it is at scale one up there.
    let top = |p: &Passed<f64>| p.gradients[0].top_exponent().unwrap();
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
    let twice = trial(&net, vec![Signal::new(x, 0)], Loss::Random, pass, true, &|| true).unwrap();
    assert_eq!(plain(&once.gradients[0]), plain(&twice.gradients[0]));
    assert_eq!(format!("{:?}", once.records), format!("{:?}", twice.records));
}
