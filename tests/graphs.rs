//! Networks that are graphs: the same function written in two ways, files that cannot be built, and sizes that no machine holds.

#[path = "common/nets.rs"]
mod nets;

use initdiag::activation::Activation;
use initdiag::frontend::toml::{Architecture, graph};
use initdiag::graph::{Graph, Override, Passed, TrunkPlace, trial};
use initdiag::law::Law;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::op::layer::LAYERS;
use initdiag::spec::Loss;
use nalgebra::DMatrix;
use nets::{BATCH, KEY, collected, net, plain, run, weights};
use std::sync::Arc;

fn batch(net: &Graph) -> DMatrix<f64> {
    DMatrix::from_fn(net.features(), BATCH, |i, j| f64::sin((3 * i + 7 * j + i * j) as f64))
}

fn gap(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
    (a - b).norm() / b.norm()
}

/// Both compute the same of the same arrays, forward and back, in every parameter.
fn same(one: &str, other: &str) {
    let (one, other) = (net(one), net(other));
    let arrays = weights(&one);
    let x = batch(&one);
    let (a, b) = (run(&one, &x, Some(&arrays), 0), run(&other, &x, Some(&arrays), 0));
    assert!(gap(&plain(&a.output), &plain(&b.output)) < 1e-12);
    assert!(gap(&plain(&a.gradients[0]), &plain(&b.gradients[0])) < 1e-12);
    let (a, b) = (collected(&one, &x, &arrays), collected(&other, &x, &arrays));
    assert_eq!(a.len(), b.len());
    for (stream, gradient) in &a {
        let other = &b[stream];
        assert!((&gradient.weights - &other.weights).norm() < 1e-12 * gradient.weights.norm().max(1.0));
        let zero = DMatrix::zeros(0, 0);
        let [bias, others] = [gradient, other].map(|g| g.bias.as_ref().unwrap_or(&zero));
        assert!(bias.len() == others.len() && (bias - others).norm() < 1e-12 * bias.norm().max(1.0));
    }
}

fn sequence(layers: &str) -> String {
    format!("input = {{ shape = [5, 4] }}\nlayer = [{layers}]")
}

/// Attention of its parts; the scale is 1/√(features of a head).
fn written_out(heads: usize, causal: bool) -> String {
    let scale = 1.0 / (4.0 / heads as f64).sqrt();
    sequence(&format!(
        r#"{{ type = "linear", out = 4, name = "q" }}, {{ type = "linear", out = 4, from = ["input"], name = "k" }},
           {{ type = "linear", out = 4, from = ["input"], name = "v" }},
           {{ type = "matmul", from = ["q", "k"], transposed = true, heads = {heads} }}, {{ type = "scale", by = {scale:?} }},
           {{ type = "softmax", heads = {heads}, causal = {causal}, name = "p" }},
           {{ type = "matmul", from = ["p", "v"], heads = {heads} }}, {{ type = "linear", out = 4 }}"#
    ))
}

#[test]
fn attention_is_its_parts() {
    for heads in [1, 2] {
        for causal in [false, true] {
            let whole = sequence(&format!(r#"{{ type = "attention", heads = {heads}, causal = {causal} }}"#));
            same(&whole, &written_out(heads, causal));
        }
    }
}

#[test]
fn groups_are_their_parts() {
    let block = r#"{ type = "residual", layers = [{ type = "linear", out = 4 }, { type = "act" }] }"#;
    let parallel = r#"{ type = "parallel", join = "add", branches = [[{ type = "linear", out = 4 }, { type = "act" }], []] }"#;
    let named = r#"{ type = "linear", out = 4 }, { type = "act", name = "a" }, { type = "add", from = ["a", "input"] }"#;
    let ends = r#", { type = "linear", out = 2 }"#;
    for other in [parallel, named] {
        same(&sequence(&format!("{block}{ends}")), &sequence(&format!("{other}{ends}")));
    }
    let divided = r#"{ type = "linear", out = 4 }, { type = "split", parts = 4 }, { type = "concat" }"#;
    let twice = r#"{ type = "linear", out = 4, name = "a" }, { type = "add", from = ["a", "a"] }, { type = "scale", by = 0.5 }"#;
    for other in [divided, twice] {
        same(
            &sequence(&format!(r#"{{ type = "linear", out = 4 }}{ends}"#)),
            &sequence(&format!("{other}{ends}")),
        );
    }
}

/// Two inputs are the two halves of one, in their order by name, with the gradients that these have.
#[test]
fn several_inputs_are_parts_of_one() {
    let layers = r#"
        { type = "linear", out = 5, from = ["HEAD"] }, { type = "act", name = "x" }, { type = "linear", out = 5, from = ["TAIL"], name = "m" },
        { type = "attention", heads = 1, from = ["x", "m"], out = 5 }, { type = "add", from = ["x", "attention1"] }"#;
    let layers =
        layers.replace(r#"out = 5 }, { type = "add""#, r#"out = 5, name = "attention1" }, { type = "add""#);
    let whole = layers.replace("HEAD", "s[0]").replace("TAIL", "s[1]");
    let whole = format!(
        "input = {{ shape = [4, 6] }}\nlayer = [{{ type = \"split\", sizes = [4, 2], name = \"s\" }}, {whole}]"
    );
    let parts = layers.replace("HEAD", "source").replace("TAIL", "target");
    let parts = format!(
        "input = {{ source = {{ shape = [4, 4] }}, target = {{ shape = [4, 2] }} }}\nlayer = [{parts}]"
    );
    let (whole, parts) = (net(&whole), net(&parts));
    assert_eq!(parts.inputs, ["source", "target"]);
    assert_eq!(parts.inputs_in_words(), "source [4, 4], target [4, 2]");
    let x = batch(&whole);
    // Features of a position side by side, position after position.
    let rows = |features: std::ops::Range<usize>| {
        let kept: Vec<usize> = (0..24).filter(|row| features.contains(&(row % 6))).collect();
        Signal::new(x.select_rows(&kept), 0)
    };
    let pass = |net: &Graph, inputs: Vec<Signal<f64>>| {
        let arrays = weights(&whole);
        let mut context = net.context(KEY, BATCH, Threads::One);
        (context.input_gradient, context.given) = (true, Some(&arrays));
        let passed = trial(net, inputs, Loss::Random, context, false, &|| true).unwrap();
        (plain(&passed.output), passed.gradients.iter().map(plain).collect::<Vec<_>>())
    };
    let (one, of_one) = pass(&whole, vec![Signal::new(x.clone(), 0)]);
    let (two, of_two) = pass(&parts, vec![rows(0..4), rows(4..6)]);
    assert!(gap(&two, &one) < 1e-12);
    assert!(gap(&of_two[0], &of_one[0].rows(0, 4).into_owned()) < 1e-12);
    assert!(gap(&of_two[1], &of_one[0].rows(4, 2).into_owned()) < 1e-12);
}

/// An encoder and a decoder share tables, and every layer is on the way from one of both inputs.
const TWO_SIDES: &str = r#"
    input = { decoder = { tokens = 9, length = 3 }, encoder = { tokens = 9, length = 4 } }
    layer = [
        { type = "embedding", from = ["encoder"], out = 6, table = "tokens", name = "below" },
        { type = "repeat", times = 4, layers = [
            { type = "residual", name = "encode", layers = [
                { type = "attention", heads = 2, relative = { buckets = 4, distance = 3, table = "encoder" } },
            ] },
        ] },
        { type = "layernorm", name = "memory" },
        { type = "embedding", from = ["decoder"], out = 6, table = "tokens", scale = 2.0 },
        { type = "repeat", times = 5, layers = [
            { type = "residual", name = "decode", layers = [
                { type = "layernorm", name = "n" },
                { type = "attention", from = ["n", "memory"], heads = 2, name = "cross" },
                { type = "dropout", p = 0.5 },
            ] },
        ] },
        { type = "linear", out = 9, tied = true, bias = false, name = "head" },
    ]"#;

#[test]
fn encoder_and_decoder_share_tables() {
    let graph = net(TWO_SIDES);
    // One table of tokens, one of positions, and the head, which is the first of them.
    let tables = graph.parameters.iter().filter(|p| p.name().ends_with("positions") || p.shape == (6, 9));
    assert_eq!(tables.count(), 2);
    let exported =
        initdiag::graph::export::named(&graph, &graph.arrays(&graph.context::<f32>(KEY, 1, Threads::One)));
    assert_eq!(exported.iter().filter(|array| array.name.contains("below")).count(), 1);
    let trunk = |input: usize| {
        let names = graph.trunks[input].iter().map(|place| graph.entries[place.entry].path.as_str());
        names.collect::<Vec<_>>()
    };
    assert_eq!(trunk(0), ["embedding1", "decode1", "decode2", "decode3", "decode4", "decode5", "head"]);
    assert_eq!(trunk(1), ["below", "encode1", "encode2", "encode3", "encode4", "decode5", "head"]);
    let passed = |recompute: bool| {
        let mut context = graph.context::<f32>(KEY, BATCH, Threads::One);
        context.keep_weights = !recompute;
        let nothing = || Signal::<f32>::empty();
        let passed = trial(&graph, vec![nothing(), nothing()], Loss::Random, context, recompute, &|| true);
        format!("{:?}", passed.unwrap().records)
    };
    assert_eq!(passed(false), passed(true));
    // What is not the same table is refused.
    for (old, new, words) in [
        (
            "out = 6, table = \"tokens\", scale",
            "out = 5, table = \"tokens\", scale",
            "table `tokens` is that of below, whose size is 6 × 9, not 5 × 9",
        ),
        (
            "table = \"tokens\", scale",
            "table = \"tokens\", init = \"zeros\", scale",
            "table `tokens` is that of below, whose law",
        ),
        (
            "table = \"tokens\", scale",
            "table = \"encoder\", scale",
            "table `encoder` is that of encode1/attention1, whose size",
        ),
        (
            "from = [\"encoder\"], ",
            "",
            "below: the network has several inputs: `from` names the one that goes in",
        ),
        ("from = [\"encoder\"]", "from = [\"decoder\"]", "encoder: no layer takes it"),
    ] {
        let text = TWO_SIDES.replace(old, new);
        assert_ne!(text, TWO_SIDES);
        let fault = graph_of(&text).unwrap_err().to_string();
        assert!(fault.contains(words), "{new}: {fault}");
    }
}

fn graph_of(text: &str) -> Result<Graph, initdiag::graph::GraphError> {
    let act = Arc::new(Activation::parse("tanh").unwrap());
    graph(&Architecture::parse(text).unwrap(), &act)
}

/// The scores of saturated attention are e^−10¹² in their gradient, whichever way attention is written.
#[test]
fn nothing_leaves_the_range_in_attention_of_parts() {
    let (whole, parts) = (
        net(&sequence(r#"{ type = "attention", heads = 1, bias = false }"#)),
        net(&written_out(1, false).replace("out = 4", "out = 4, bias = false")),
    );
    let x = batch(&whole);
    for exponent in [20, 0, -3000, 3000] {
        let [whole, parts] = [&whole, &parts].map(|net| run(net, &x, None, exponent));
        let top = |passed: &Passed<f64>| passed.gradients[0].top_exponent();
        assert_eq!(top(&whole), top(&parts), "2^{exponent}");
        for (a, b) in whole.records.iter().zip(&parts.records) {
            for (a, b) in [(a.preactivation, b.preactivation), (a.gradient, b.gradient)] {
                let [a, b] = [a, b].map(|moments| moments.second_moment.log10_abs());
                match (a, b) {
                    (Some(a), Some(b)) => {
                        assert!((a - b).abs() < 1e-9 * a.abs().max(1.0), "2^{exponent}: {a} {b}")
                    }
                    _ => assert_eq!(a, b),
                }
            }
        }
    }
}

const EVERYTHING: &str = r#"
    input = { shape = [6, 8] }
    layer = [
        { type = "linear", out = 8, name = "a" },
        { type = "repeat", times = 3, layers = [
            { type = "split", sizes = [6, 2], name = "s" },
            { type = "linear", out = 6, from = ["s[1]"] }, { type = "act", name = "b" },
            { type = "matmul", from = ["b", "s[0]"], transposed = true, heads = 2 },
            { type = "scale", by = 3.0 }, { type = "softmax", heads = 2, causal = true, name = "p" },
            { type = "matmul", from = ["p", "s[0]"], heads = 2, name = "m" },
            { type = "concat", from = ["s[1]", "m"] }, { type = "linear", out = 8, name = "c" },
            { type = "add", from = ["c", "a"], name = "a" }, { type = "layernorm" },
        ] },
        { type = "parallel", join = "concat", branches = [[{ type = "linear", out = 2 }], [{ type = "act" }]] },
        { type = "linear", out = 3 },
    ]"#;

/// Threads and recomputation change no byte.
#[test]
fn a_graph_gives_the_same_bytes_however_it_is_computed() {
    let net = net(EVERYTHING);
    let x = batch(&net);
    let passed = |threads: Threads, recompute: bool| {
        let mut context = net.context::<f32>(KEY, BATCH, threads);
        (context.input_gradient, context.keep_weights) = (true, !recompute);
        let x = Signal::new(x.map(|v| v as f32), 0);
        let passed = trial(&net, vec![x], Loss::Random, context, recompute, &|| true).unwrap();
        format!("{:?} {:?} {:?}", passed.output, passed.gradients, passed.records)
    };
    let first = passed(Threads::One, false);
    assert!(first == passed(Threads::All, false) && first == passed(Threads::One, true));
}

#[test]
fn gains_follow_the_activation_that_comes_next_on_the_way() {
    let text = r#"
        input = { shape = [4] }
        layer = [
            { type = "parallel", join = "add", branches = [
                [{ type = "linear", out = 4 }],
                [{ type = "linear", out = 4 }, { type = "act", fn = "tanh" }],
            ] },
            { type = "act", fn = "relu" },
            { type = "linear", out = 4 },
        ]"#;
    let init = initdiag::initializer::Initializer::parse_for_net("normal(0, gain)").unwrap();
    let act = Arc::new(Activation::parse("relu").unwrap());
    let laws = initdiag::graph::Laws { init: &init, bias: None, act: &act, overrides: &[] };
    let net = Architecture::parse(text).unwrap().with_laws(&laws).unwrap();
    let gains: Vec<f64> = net.parameters.iter().map(|p| p.law.moments(1, 1).variance.sqrt()).collect();
    for (found, expected) in gains.iter().zip([2f64.sqrt(), 5.0 / 3.0, 1.0]) {
        assert!((found - expected).abs() < 1e-12, "{gains:?}");
    }
}

/// What stands in the way of a file, in one line.
fn fault(text: &str) -> String {
    let act = Arc::new(Activation::parse("relu").unwrap());
    let fault = match Architecture::parse(text) {
        Err(fault) => fault.to_string(),
        Ok(architecture) => match graph(&architecture, &act) {
            Err(fault) => fault.to_string(),
            Ok(_) => return String::new(),
        },
    };
    assert_eq!(fault.lines().count(), 1, "{fault}");
    fault
}

#[test]
fn sizes_that_no_machine_holds_get_one_line() {
    const SEQUENCE: &str = "shape = [6, 4]";
    const IMAGE: &str = "shape = [4, 6, 6]";
    const VOLUME: &str = "shape = [4, 6, 6, 6]";
    const CONV: &str = "out = 4, kernel = 1, stride = 1, padding = 0, dilation = 1, groups = 1";
    const CONV_SIZES: &[&str] = &["out", "kernel", "stride", "padding", "dilation", "groups"];
    const TRANSPOSED: &str =
        "out = 4, kernel = 1, stride = 1, padding = 0, output_padding = 0, dilation = 1, groups = 1";
    const TRANSPOSED_SIZES: &[&str] =
        &["out", "kernel", "stride", "padding", "output_padding", "dilation", "groups"];
    const TOKENS: &str = "tokens = 9, length = 6";
    // Of every layer that has sizes: what it takes, its fields, and those of them that are sizes.
    let rows: &[(&str, &str, &str, &[&str])] = &[
        ("linear", SEQUENCE, "out = 1", &["out"]),
        ("conv1d", SEQUENCE, CONV, CONV_SIZES),
        ("conv2d", IMAGE, CONV, CONV_SIZES),
        ("conv3d", VOLUME, CONV, CONV_SIZES),
        ("conv-transpose1d", SEQUENCE, TRANSPOSED, TRANSPOSED_SIZES),
        ("conv-transpose2d", IMAGE, TRANSPOSED, TRANSPOSED_SIZES),
        ("conv-transpose3d", VOLUME, TRANSPOSED, TRANSPOSED_SIZES),
        ("upsample", VOLUME, "factor = 1", &["factor"]),
        ("pixel-shuffle", IMAGE, "factor = 1", &["factor"]),
        ("pixel-unshuffle", IMAGE, "factor = 1", &["factor"]),
        ("maxpool", IMAGE, "kernel = 1, stride = 1, padding = 0", &["kernel", "stride", "padding"]),
        ("avgpool", IMAGE, "kernel = 1, stride = 1, padding = 0", &["kernel", "stride", "padding"]),
        ("rnn", SEQUENCE, "out = 1, layers = 2, bidirectional = true", &["out", "layers"]),
        ("lstm", SEQUENCE, "out = 2, projection = 1, layers = 2", &["out", "projection", "layers"]),
        ("gru", SEQUENCE, "out = 1, packed = true, layers = 1", &["out", "layers"]),
        ("ssm", SEQUENCE, "state = 1, rank = 1", &["state", "rank"]),
        ("graph-conv", SEQUENCE, "out = 1, edges = [[0, 1]]", &["out"]),
        ("select", SEQUENCE, "at = 1", &["at"]),
        (
            "attention",
            SEQUENCE,
            "heads = 1, kv_heads = 1, head_width = 3, out = 4, window = 2",
            &["heads", "kv_heads", "head_width", "out"],
        ),
        ("gated-mlp", SEQUENCE, "hidden = 1, out = 4", &["hidden", "out"]),
        ("squeeze-excite", IMAGE, "hidden = 1", &["hidden"]),
        ("moe", SEQUENCE, "experts = 2, top = 1, hidden = 1", &["experts", "top", "hidden"]),
        ("embedding", TOKENS, "out = 1", &["out"]),
        ("split", SEQUENCE, "parts = 2", &["parts"]),
        ("matmul", SEQUENCE, "transposed = true, from = [\"input\", \"input\"], heads = 1", &["heads"]),
        ("softmax", SEQUENCE, "heads = 1", &["heads"]),
        ("groupnorm", IMAGE, "groups = 1", &["groups"]),
    ];
    const SIZES: [&str; 20] = [
        "out",
        "kernel",
        "stride",
        "padding",
        "output_padding",
        "dilation",
        "groups",
        "heads",
        "kv_heads",
        "head_width",
        "hidden",
        "experts",
        "top",
        "parts",
        "factor",
        "layers",
        "projection",
        "state",
        "rank",
        "at",
    ];
    for layer in LAYERS {
        let tested = rows.iter().find(|row| row.0 == layer.name).map_or(&[][..], |row| row.3);
        let mut sizes = layer.fields.iter().filter(|field| SIZES.contains(field));
        assert!(sizes.all(|field| tested.contains(field)), "{}: {:?}", layer.name, layer.fields);
    }
    // The largest whole numbers of TOML and of the machine, some whose products overflow, and one that is none.
    let sizes = [
        "18446744073709551615",
        "9223372036854775807",
        "4611686018427387904",
        "1000000000001",
        "-1",
        "1.5",
        "[]",
    ];
    let file = |input: &str, layers: &str| {
        format!("input = {{ {input} }}\nlayer = [{layers}, {{ type = \"dropout\" }}]")
    };
    for (kind, input, fields, names) in rows {
        let plain = format!("{{ type = \"{kind}\", {fields} }}");
        assert!(!fault(&file(input, &plain)).contains(kind), "{}", fault(&file(input, &plain)));
        for name in *names {
            let field = fields.split(", ").find(|field| field.starts_with(name)).unwrap();
            for size in sizes {
                let layer = plain.replace(field, &format!("{name} = {size}"));
                let text = fault(&file(input, &layer));
                assert!(!text.is_empty(), "{layer}");
                assert!(!text.contains("no layer of it has weights"), "{layer}: {text}");
            }
        }
        for size in sizes {
            for number in ["6", "4", "9"].into_iter().filter(|number| input.contains(number)) {
                let text = fault(&file(&input.replace(number, size), &plain));
                assert!(!text.is_empty(), "{input} with {size}");
            }
        }
    }
    for sizes in ["[9223372036854775807, 9223372036854775807, 6]", "[4, 0]", "[4]", "[]", "[1, 2]", "[-1, 5]"]
    {
        let text = fault(&file(SEQUENCE, &format!("{{ type = \"split\", sizes = {sizes} }}")));
        assert!(text.contains("split"), "{sizes}: {text}");
    }
    let ones = vec!["1"; 5000].join(", ");
    let text = fault(&file("shape = [5000]", &format!("{{ type = \"split\", sizes = [{ones}] }}")));
    assert!(text.contains("at most 4096 outputs"), "{text}");
    for times in ["18446744073709551615", "9223372036854775807", "1000001"] {
        for inner in
            [r#"{ type = "linear", out = 2 }"#, r#"{ type = "parallel", join = "add", branches = [[], []] }"#]
        {
            let text = fault(&file(
                SEQUENCE,
                &format!("{{ type = \"repeat\", times = {times}, layers = [{inner}] }}"),
            ));
            assert!(text.contains("1000000 layers") || text.contains("line 2"), "{text}");
        }
    }
    // However often nothing is repeated, it is nothing.
    let mut nothing = String::from("{ type = \"linear\", out = 2 }");
    for place in 0..12 {
        let inner = if place == 0 { String::new() } else { nothing };
        nothing = format!("{{ type = \"repeat\", times = 9223372036854775807, layers = [{inner}] }}");
    }
    assert_eq!(fault(&file(SEQUENCE, &format!("{nothing}, {{ type = \"linear\", out = 2 }}"))), "");
    let all = r#"{ type = "concat", from = ["input", "input"] }, "#.repeat(64);
    let text = fault(&file("shape = [1000000000000]", &format!("{all} {{ type = \"linear\", out = 2 }}")));
    assert!(text.contains("concat1: its output [2000000000000] has more than 10^12 entries"), "{text}");
}

const PARTS: &str = r#"
    input = { tokens = 50, length = 6 }
    layer = [
        { type = "embedding", out = 16, positions = true, init = { positions = "normal(0, 0.01)" } },
        { type = "attention", heads = 2, init = { query = "normal(0, 0.5)", out = "zeros" }, bias = { out = "constant(0.25)", key = false } },
        { type = "lstm", out = 8, init = { cell = "constant(1/heads)" }, recurrent = { forget = "orthogonal" },
          bias = { forget = "constant(2)" }, last = true },
        { type = "linear", out = 3, init = "constant(width)" },
    ]"#;

/// Names with the laws of weights, and of biases where there are any.
fn laws_of(text: &str, init: &str, overrides: &[&str]) -> Result<Vec<(String, String)>, String> {
    let init = initdiag::initializer::Initializer::parse_for_net(init).unwrap();
    let act = Arc::new(Activation::parse("relu").unwrap());
    let overrides: Vec<Override> = overrides.iter().map(|text| Override::parse(text).unwrap()).collect();
    let laws = initdiag::graph::Laws { init: &init, bias: None, act: &act, overrides: &overrides };
    let net = Architecture::parse(text).unwrap().with_laws(&laws).map_err(|fault| fault.to_string())?;
    let of = |p: &initdiag::op::Parameter| {
        let biases = p.is_biased().then(|| (p.bias_name(), format!("{:?}", p.bias)));
        [Some((p.name(), format!("{:?}", p.law))), biases]
    };
    Ok(net.parameters.iter().flat_map(of).flatten().collect())
}

fn law_of(all: &[(String, String)], name: &str) -> String {
    all.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, law)| law.clone())
}

#[test]
fn every_part_of_a_layer_may_have_a_law_of_its_own() {
    let all = laws_of(PARTS, "normal(0, 3)", &[]).unwrap();
    let normal = |std: f64| format!("{:?}", Law::Normal { mean: 0.0, std });
    let constant = |value: f64| format!("{:?}", Law::Constant(value));
    for (name, law) in [
        ("embedding1/weight", normal(1.0)),
        ("embedding1/positions", normal(0.01)),
        ("attention1/query/weight", normal(0.5)),
        ("attention1/key/weight", normal(3.0)),
        ("attention1/value/weight", normal(3.0)),
        ("attention1/out/weight", constant(0.0)),
        ("attention1/query/bias", constant(0.0)),
        ("attention1/key/bias", String::new()),
        ("attention1/out/bias", constant(0.25)),
        ("lstm1/input/weight", normal(3.0)),
        ("lstm1/cell/weight", constant(1.0)),
        ("lstm1/input/recurrent", normal(3.0)),
        ("lstm1/forget/recurrent", format!("{:?}", Law::Haar { gain: 1.0 })),
        ("lstm1/forget/bias", constant(2.0)),
        ("lstm1/output/bias", constant(0.0)),
        ("linear1/weight", constant(8.0)),
        ("linear1/bias", constant(0.0)),
    ] {
        assert_eq!(law_of(&all, name), law, "{name}");
    }
    // The file is written as it was read.
    let architecture = Architecture::parse(PARTS).unwrap();
    let json = serde_json::to_string(&architecture).unwrap();
    assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), architecture);
}

#[test]
fn patterns_of_names_give_laws_to_single_parameters() {
    let all = |overrides: &[&str]| laws_of(PARTS, "normal(0, 3)", overrides).unwrap();
    let before = all(&[]);
    let normal = |std: f64| format!("{:?}", Law::Normal { mean: 0.0, std });
    // Each pattern, and the names that it gives N(0, 7²) to.
    for (pattern, changed) in [
        ("attention1/query", &["attention1/query/weight"][..]),
        ("attention1.query.weight", &["attention1/query/weight"]),
        ("*query", &["attention1/query/weight"]),
        ("*key.bias", &[]),
        ("*out.bias", &["attention1/out/bias"]),
        ("lstm1/forget/*", &["lstm1/forget/weight", "lstm1/forget/recurrent"]),
        ("lstm?/*/bias", &["lstm1/input/bias", "lstm1/forget/bias", "lstm1/cell/bias", "lstm1/output/bias"]),
        ("embedding1", &["embedding1/weight"]),
        ("*positions", &["embedding1/positions"]),
    ] {
        let text = format!("{pattern}=normal(0, 7)");
        if changed.is_empty() {
            let fault = laws_of(PARTS, "he", &[&text]).unwrap_err();
            assert!(fault.contains("no biases have such a name; there are attention1/query/bias"), "{fault}");
            continue;
        }
        for ((name, old), (_, new)) in before.iter().zip(&all(&[&text])) {
            let expected = if changed.contains(&name.as_str()) { normal(7.0) } else { old.clone() };
            assert_eq!(*new, expected, "{pattern}: {name}");
        }
    }
    // Weights alone without a word of biases, and the last that matches.
    let found = all(&["*=normal(0, 7)", "lstm1/*=normal(0, 8)", "*bias=normal(0, 9)"]);
    let expected = |name: &str| match name {
        name if name.ends_with("bias") => normal(9.0),
        name if name.starts_with("lstm") => normal(8.0),
        _ => normal(7.0),
    };
    found.iter().for_each(|(name, law)| assert_eq!(*law, expected(name), "{name}"));
}

/// Laws of the vectors of a network whose block ends in a norm and in a trainable factor.
fn vectors_of(init: &str, overrides: &[&str]) -> Result<Vec<(String, Law)>, String> {
    let file = r#"
        input = { shape = [3, 4, 4] }
        layer = [
            { type = "conv2d", out = 3, kernel = 1 }, { type = "batchnorm" },
            { type = "residual", layers = [
                { type = "batchnorm" }, { type = "conv2d", out = 3, kernel = 1 }, { type = "batchnorm" }, { type = "act" },
                { type = "conv2d", out = 3, kernel = 1 }, { type = "batchnorm" }, { type = "scale", by = 0.5, trainable = true },
            ] },
            { type = "residual", layers = [{ type = "batchnorm" }, { type = "conv2d", out = 3, kernel = 1 }] },
            { type = "prelu" },
        ]"#;
    let init = initdiag::initializer::Initializer::parse_for_net(init).unwrap();
    let act = Arc::new(Activation::parse("relu").unwrap());
    let overrides: Vec<Override> = overrides.iter().map(|text| Override::parse(text).unwrap()).collect();
    let laws = initdiag::graph::Laws { init: &init, bias: None, act: &act, overrides: &overrides };
    let net = Architecture::parse(file).unwrap().with_laws(&laws).map_err(|fault| fault.to_string())?;
    Ok(net.vectors.iter().map(|vector| (vector.name(), vector.law)).collect())
}

#[test]
fn schemes_set_what_ends_a_residual_branch() {
    let usual = vectors_of("he", &[]).unwrap();
    for (init, name, value) in [
        // The gains before the last weights, and of a branch that begins with its norm, stay as they are.
        ("zero-gamma", "block1/batchnorm3/gain", 0.0),
        ("skipinit", "block1/scale1/factor", 0.0),
        ("rezero", "block1/scale1/factor", 0.0),
        ("keras-default", "prelu1/slope", 0.0),
        ("flax-default", "prelu1/slope", 0.01),
    ] {
        let found = vectors_of(init, &[]).unwrap();
        for ((known, before), (_, law)) in usual.iter().zip(&found) {
            let expected = if known == name { Law::Constant(value) } else { *before };
            assert_eq!(*law, expected, "{init}: {known}");
        }
        assert!(found.iter().any(|(known, _)| known == name), "{init}: {found:?}");
    }
    let chosen = vectors_of("zero-gamma", &["*/gain=0.25"]).unwrap();
    assert!(
        chosen.iter().filter(|(name, _)| name.ends_with("gain")).all(|(_, law)| *law == Law::Constant(0.25))
    );
    // A plain transformer has neither gains that end a branch nor factors.
    let plain = "input = { shape = [3] }\nlayer = [{ type = \"residual\", layers = [{ type = \"linear\", out = 3 }] }]";
    for (init, words) in [
        ("zero-gamma", "needs a norm with a gain behind the last weights of a residual branch"),
        ("rezero", "needs a trainable `scale` behind the last weights"),
    ] {
        let fault = laws_of(plain, init, &[]).unwrap_err();
        assert!(fault.contains(words) && !fault.contains('\n'), "{fault}");
    }
}

#[test]
fn gates_that_share_a_matrix_have_biases_of_their_own() {
    let biases = |fields: &str, init: &str, overrides: &[&str]| {
        let file = format!(
            "input = {{ shape = [2, 3] }}\nlayer = [{{ type = \"lstm\", out = 2, packed = true{fields} }}]"
        );
        let init = initdiag::initializer::Initializer::parse_for_net(init).unwrap();
        let act = Arc::new(Activation::parse("tanh").unwrap());
        let overrides: Vec<Override> = overrides.iter().map(|text| Override::parse(text).unwrap()).collect();
        let laws = initdiag::graph::Laws { init: &init, bias: None, act: &act, overrides: &overrides };
        let net = Architecture::parse(&file).unwrap().with_laws(&laws).unwrap();
        let key = initdiag::numeric::stream::Key { seed: 1, trial: 0, layer: 0 };
        let arrays = net.arrays(&net.context::<f32>(key, 1, initdiag::numeric::product::Threads::One));
        arrays.values().filter_map(|one| one.bias.as_ref().map(|b| b.as_slice().to_vec())).collect::<Vec<_>>()
    };
    let (open, none) = (vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], vec![0.0; 8]);
    assert_eq!(biases("", "keras-default", &[]), [open.clone(), none.clone()]);
    assert_eq!(biases(", forget = 1", "he", &[]), [open.clone(), none.clone()]);
    assert_eq!(biases("", "he", &["lstm1/forget/bias=1"]), [open, none.clone()]);
    assert_eq!(biases("", "he", &["lstm1/bias=2"]), [vec![2.0; 8], none.clone()]);
    assert_eq!(biases(", recurrent_bias = \"ones\"", "he", &[]), [none, vec![1.0; 8]]);
    assert!(biases(", bias = false", "torch-default", &[]).is_empty());
    // Both are drawn, each from a stream of its own.
    let [first, second] = &biases("", "torch-default", &[])[..] else { panic!("two biases") };
    assert!(first != second && first.iter().chain(second).all(|b| *b != 0.0 && b.abs() <= 0.5f32.sqrt()));
}

#[test]
fn tables_of_laws_name_parts_that_there_are() {
    let of = |layer: &str| fault(&sequence(&format!("{layer}, {{ type = \"linear\", out = 1 }}")));
    for (layer, words) in [
        (r#"{ type = "attention", heads = 1, init = { querry = "he" } }"#, "did you mean `query`?"),
        (r#"{ type = "attention", heads = 1, bias = { x = false } }"#, "there are query, key, value, out"),
        (r#"{ type = "attention", heads = 1, init = { query = 3 } }"#, "query: "),
        (r#"{ type = "attention", heads = 1, init = { query = "hee" } }"#, ""),
        (r#"{ type = "gru", out = 1, init = { forget = "he" } }"#, "there are reset, update, candidate"),
        (r#"{ type = "lstm", out = 1, recurrent = { forgot = "he" } }"#, "did you mean `forget`?"),
        (r#"{ type = "rnn", out = 1, init = { input = "he" } }"#, "init takes no table here"),
        (r#"{ type = "linear", out = 1, init = { a = "he" } }"#, "a text in quotes is needed"),
    ] {
        let fault = of(layer);
        assert!(fault.contains(words), "{layer}: {fault}");
    }
}

#[test]
fn attention_and_experts_say_what_would_fit() {
    let file =
        |layer: &str| sequence(&format!(r#"{{ type = "linear", out = 6, name = "m" }}, {{ {layer} }}"#));
    let attention = |fields: &str| file(&format!(r#"type = "attention", {fields}"#));
    for (fields, words) in [
        ("heads = 4", "heads = 4 does not divide the 6 features; 3 does"),
        ("heads = 6, kv_heads = 4", "kv_heads = 4 does not divide the 6 heads; 3 does"),
        ("heads = 2, kv_heads = 0", "kv_heads = 0 does not divide the 2 heads; 1 does"),
        ("heads = 0, head_width = 2", "at least 1 is needed"),
        ("heads = 2, head_width = 0", "at least 1 is needed"),
        ("heads = 2, window = 0", "window = 0 leaves nothing to see"),
        ("heads = 2, soft_cap = -1", "soft_cap = -1 is not a number above 0 and up to 10^6"),
        ("heads = 2, soft_cap = nan", "soft_cap = NaN is not a number above 0"),
        ("heads = 2, scale = 0", "scale = 0 is not a number above 0"),
        (r#"heads = 2, scale = "1/(width - 3)""#, "scale = inf is not a number above 0"),
        (r#"heads = 2, scale = "1/depth""#, "scale = \"1/depth\": "),
        ("heads = 2, scale = []", "a number or a formula in `width` is needed"),
        ("heads = 2, rotary = true", "its width is an even number up to that, not 3"),
        ("heads = 6, rotary = true", "a head has but one: head_width = 2 would fit"),
        ("heads = 1, rotary = { width = 8 }", "its width is an even number up to that, not 8"),
        ("heads = 1, rotary = { base = 0.5 }", "the base of rotary is a number from 1 on"),
        ("heads = 1, rotary = { basis = 2 }", "unknown field `basis`"),
        (r#"heads = 1, rotary = { style = "x" }"#, "unknown word `x`, expected `half` or `pairs`"),
        ("heads = 1, rotary = 3", "true, false or a table is needed"),
        (r#"heads = 1, key_norm = "batch""#, "key_norm: unknown word `batch`"),
        ("heads = 1, eps = 0.1", "eps needs query_norm or key_norm"),
        (r#"heads = 1, query_norm = "rmsnorm", eps = -1"#, "eps = -1 is not a number from 0 on"),
        ("heads = 1, relative = { buckets = 5 }", "5 buckets, which is not an even number from 4 to 65536"),
        ("heads = 1, causal = true, relative = { buckets = 1 }", "not a number from 2 to 65536"),
        ("heads = 1, relative = { distance = 8 }", "distance = 8 is not above 8"),
        ("heads = 1, relative = {}, alibi = true", "leave out alibi and soft_cap, or it"),
        (r#"heads = 1, init = { positions = "he" }"#, "init has no part `positions`"),
        (r#"heads = 1, causal = true, from = ["m", "input"]"#, "causal needs queries and keys of one input"),
        (r#"heads = 1, rotary = true, from = ["m", "input"]"#, "rotary needs queries and keys of one input"),
        (r#"heads = 1, from = ["m", "m", "m"]"#, "attention takes one input, or two"),
    ] {
        let text = fault(&attention(fields));
        assert!(text.contains(words), "{fields}: {text}");
    }
    for (layer, words) in [
        (r#"type = "moe", experts = 0, hidden = 2"#, "experts = 0 is not a number from 1 to 4096"),
        (
            r#"type = "moe", experts = 3, top = 4, hidden = 2"#,
            "top = 4 of 3 experts is not a number from 1 to 3",
        ),
        (r#"type = "moe", experts = 3, hidden = 2, gated = false, init = { gate = "he" }"#, "no part `gate`"),
        (r#"type = "gated-mlp", hidden = 2, bias = { out = true }"#, "there are gate, up, down"),
        (r#"type = "gated-mlp", hidden = 2, fn = "sillu""#, "silu"),
        (
            r#"type = "split", sizes = [5, 1], name = "s" }, { type = "glu", from = ["s[0]"]"#,
            "glu takes an even number",
        ),
    ] {
        let text = fault(&file(layer));
        assert!(text.contains(words), "{layer}: {text}");
    }
}

/// Names and shapes under which PyTorch loads a layer of a sequence [5, 3].
fn exported(layer: &str) -> Vec<(String, Vec<usize>)> {
    let init = initdiag::initializer::Initializer::parse_for_net("orthogonal").unwrap();
    let act = Arc::new(Activation::parse("tanh").unwrap());
    let laws = initdiag::graph::Laws { init: &init, bias: None, act: &act, overrides: &[] };
    let text = format!("input = {{ shape = [5, 3] }}\nlayer = [{layer}]");
    let net = Architecture::parse(&text).unwrap().with_laws(&laws).unwrap();
    let key = initdiag::numeric::stream::Key { seed: 1, trial: 0, layer: 0 };
    let context = net.context::<f32>(key, 1, initdiag::numeric::product::Threads::One);
    let all = initdiag::graph::export::named(&net, &net.arrays(&context));
    for matrix in all.iter().filter(|one| one.name.contains("weight_hh")) {
        let [rows, columns] = matrix.shape[..] else { panic!("{}", matrix.name) };
        let column = |c: usize| (0..rows).map(move |r| f64::from(matrix.values[r * columns + c]));
        for (a, b) in (0..columns).flat_map(|a| (0..columns).map(move |b| (a, b))) {
            let product: f64 = column(a).zip(column(b)).map(|(x, y)| x * y).sum();
            // Each of several gates is orthogonal, or all of them together.
            let gates = if layer.contains("packed") { 1.0 } else { (rows / columns) as f64 };
            let expected = if a == b { gates } else { 0.0 };
            assert!((product - expected).abs() < 1e-5, "{}: {product}", matrix.name);
        }
    }
    all.into_iter().map(|one| (one.name, one.shape)).collect()
}

#[test]
fn layers_of_sequences_are_exported_under_the_names_of_pytorch() {
    let names = |layer: &str| {
        let all = exported(layer);
        all.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        names(r#"{ type = "gru", out = 4, layers = 2, bidirectional = true, bias = false, name = "g" }"#),
        "g.weight_ih_l0 [12, 3], g.weight_hh_l0 [12, 4], g.weight_ih_l0_reverse [12, 3], g.weight_hh_l0_reverse [12, 4], \
         g.weight_ih_l1 [12, 8], g.weight_hh_l1 [12, 4], g.weight_ih_l1_reverse [12, 8], g.weight_hh_l1_reverse [12, 4]"
    );
    assert_eq!(
        names(r#"{ type = "lstm", out = 4, packed = true }"#),
        "lstm1.weight_ih_l0 [16, 3], lstm1.weight_hh_l0 [16, 4], lstm1.bias_ih_l0 [16], lstm1.bias_hh_l0 [16]"
    );
    assert_eq!(
        names(r#"{ type = "lstm", out = 4, bias = false }, { type = "rnn", out = 2 }"#),
        "lstm1.weight_ih_l0 [16, 3], lstm1.weight_hh_l0 [16, 4], rnn1.weight_ih_l0 [2, 4], rnn1.weight_hh_l0 [2, 2], \
         rnn1.bias_ih_l0 [2], rnn1.bias_hh_l0 [2]"
    );
    assert_eq!(
        names(r#"{ type = "ssm", state = 2 }"#),
        "ssm1.x_proj.weight [5, 3], ssm1.dt_proj.weight [3, 1], ssm1.dt_proj.bias [3], ssm1.A_log [3, 2], ssm1.D [3]"
    );
}

#[test]
fn what_does_not_fit_a_layer_of_sequences_is_said_in_one_line() {
    for (layer, words) in [
        (r#"{ type = "rnn", out = 2, layers = 0 }"#, "at least 1 is needed"),
        (r#"{ type = "rnn", out = 2, layers = 1000000 }"#, "more than 1000000 layers"),
        (r#"{ type = "lstm", out = 2, projection = 2 }"#, "projection = 2 is not smaller than out = 2"),
        (r#"{ type = "gru", out = 2, projection = 1 }"#, "unknown field `projection`"),
        (r#"{ type = "lstm", out = 2, packed = true, init = { cell = "he" } }"#, "init takes no table here"),
        (r#"{ type = "lstm", out = 2, init = { projection = "he" } }"#, "init has no part `projection`"),
        (r#"{ type = "select", at = 5 }"#, "at = 5 is none of the 5 positions; 0 to 4 are"),
        (
            r#"{ type = "select", at = "middle" }"#,
            "\"first\", \"last\" or a whole number from 0 on is needed",
        ),
        (r#"{ type = "shift", steps = -5 }"#, "at most 4 fit"),
        (r#"{ type = "shift", steps = -9223372036854775808 }"#, "at most 4 fit"),
        (
            r#"{ type = "flatten" }, { type = "transpose" }"#,
            "transpose takes a sequence [length, features], not [15]",
        ),
        (r#"{ type = "ssm", state = 0 }"#, "at least 1 each"),
        (r#"{ type = "ssm", init = { a_log = "he" } }"#, "did you mean `A_log`?"),
        (r#"{ type = "graph-conv", out = 2, edges = [[0, 5]] }"#, "position 5, and there are 5: 0 to 4 fit"),
        (r#"{ type = "graph-conv", out = 2, edges = [[0, 1, 2]] }"#, "not lists of 3"),
        (r#"{ type = "graph-conv", out = 2, edges = 3 }"#, "a list of pairs is needed"),
        (r#"{ type = "graph-conv", out = 2, edges = "x" }"#, "a file that nobody has read"),
        (r#"{ type = "graph-conv", out = 2, edges = [], normalize = "x" }"#, "normalize"),
    ] {
        let text =
            format!("input = {{ shape = [5, 3] }}\nlayer = [{layer}, {{ type = \"linear\", out = 1 }}]");
        assert!(fault(&text).contains(words), "{layer}: {}", fault(&text));
    }
    let wide = "input = { shape = [2000001, 1] }\nlayer = [{ type = \"graph-conv\", out = 1, edges = [] }]";
    assert!(fault(wide).contains("at most 2000000 positions"), "{}", fault(wide));
}

/// Where a norm stands on every way, scale is taken away: before a place, and behind it.
#[test]
fn norms_on_every_way_take_the_scale_away() {
    let places = |layers: &str| {
        let graph = net(&format!("input = {{ shape = [8] }}\nlayer = [{layers}]"));
        let of =
            |place: &TrunkPlace| (graph.entries[place.entry].path.clone(), place.renewed, place.normalized);
        graph.trunks[0].iter().map(of).collect::<Vec<_>>()
    };
    let expected = |of: &[(&str, bool, bool)]| -> Vec<_> {
        of.iter().map(|(path, renewed, normalized)| (path.to_string(), *renewed, *normalized)).collect()
    };
    let norm = r#"{ type = "layernorm" }"#;
    let branch = |layers: &str| format!(r#"{{ type = "residual", layers = [{layers}] }}"#);
    let linear = r#"{ type = "linear", out = 8 }"#;
    let head = r#"{ type = "linear", name = "head", out = 4 }"#;
    // Pre-norm: the skips carry the scale to the last norm.
    let pre = branch(&format!("{norm}, {linear}"));
    assert_eq!(
        places(&format!("{linear}, {pre}, {pre}, {norm}, {head}")),
        expected(&[
            ("linear1", false, true),
            ("block1", false, true),
            ("block2", false, true),
            ("head", true, false)
        ])
    );
    // Without it nothing takes the scale away.
    assert_eq!(
        places(&format!("{linear}, {pre}, {head}")),
        expected(&[("linear1", false, false), ("block1", false, false), ("head", false, false)])
    );
    // Post-norm: every sum begins anew. A shortcut with a norm of its own lets nothing around.
    let post = branch(linear);
    assert_eq!(
        places(&format!("{post}, {norm}, {post}, {norm}, {head}")),
        expected(&[("block1", false, true), ("block2", true, true), ("head", true, false)])
    );
    let both =
        format!(r#"{{ type = "residual", layers = [{linear}, {norm}], shortcut = [{linear}, {norm}] }}"#);
    assert_eq!(
        places(&format!("{linear}, {both}, {head}")),
        expected(&[("linear1", false, true), ("block1", true, false), ("head", false, false)])
    );
}
