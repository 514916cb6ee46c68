//! Networks that everybody knows to train, and such as are known not to: what the verdict says of them before a step is taken.
//!
//! A network that trains has no direction that is severe, and none of the flags that say it cannot learn; one that does not has either,
//! and the words name the place. One seed, one or two trials: what is judged here is decades from its bound, or the bound is stated.

use initdiag::diagnose::run;
use initdiag::frontend::{bundled, toml::Architecture};
use initdiag::result::{Cell, Severity};
use initdiag::simulate::{Control, Input, Plan};
use initdiag::spec::Experiment;
use std::sync::atomic::AtomicBool;

fn cell(experiment: &Experiment) -> Cell {
    let plan = Plan::new(experiment, Input::Normal).unwrap();
    let control = Control { threads: 2, stop: &AtomicBool::new(false), progress: &|_| (), trace: false };
    run(&plan, &control).unwrap().cells.remove(0)
}

/// What stands against training: directions that are severe, and flags.
fn faults(cell: &Cell) -> Vec<String> {
    let directions = [("forward", &cell.forward), ("backward", &cell.backward)];
    let severe = |severity| matches!(severity, Severity::Severe | Severity::Fatal);
    let directions = directions.into_iter().filter(|(_, d)| severe(d.severity));
    let directions = directions.map(|(name, d)| format!("{name} {} ({})", d.verdict, d.severity));
    let flags = cell.flags.iter().filter(|flag| flag.stops_learning()).map(ToString::to_string);
    directions.chain(flags).collect()
}

/// A stack of so many layers and units.
fn stack(depth: usize, width: usize, act: &str, init: &str) -> Experiment {
    Experiment {
        act: vec![act.into()],
        init: vec![init.into()],
        batch: 16,
        trials: 2,
        ..Experiment::plain(depth, width)
    }
}

/// A network of an architecture file, with the initializer that its own text does not name.
fn network(text: &str, init: &str) -> Experiment {
    let net = Architecture::parse(text).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    let act = net.act.clone().unwrap_or("relu".into());
    Experiment { net: Some(net), ..stack(1, 1, &act, init) }
}

/// A bundled network as its authors begin it.
fn own(name: &str) -> Experiment {
    let text = bundled::source(name).unwrap();
    let init = Architecture::parse(text).unwrap().init.unwrap();
    Experiment { batch: 2, trials: 1, ..network(text, &init) }
}

/// Blocks x + layers(x) of so many features; `last` stands before the last activation and the head.
fn blocks(times: usize, width: usize, layers: &str, last: &str) -> String {
    format!(
        r#"
        input = {{ shape = [{width}] }}
        layer = [
            {{ type = "linear", name = "first", out = {width} }},
            {{ type = "repeat", times = {times}, layers = [{{ type = "residual", layers = [{layers}] }}] }},
            {last}{{ type = "act" }},
            {{ type = "linear", name = "head", out = 10 }},
        ]"#
    )
}

/// A transformer over 24 tokens, of which there are 300, before each of whose branches, or behind each of whose sums, a norm stands.
fn transformer(
    blocks: usize,
    width: usize,
    pre: bool,
    (weights, table, head): (&str, &str, &str),
) -> Experiment {
    let norm = r#"{ type = "layernorm" }"#;
    let (before, behind, last) = match pre {
        true => (format!("{norm}, "), String::new(), format!("{norm},")),
        false => (String::new(), format!(", {norm}"), String::new()),
    };
    let hidden = 4 * width;
    let head = if head == "tied" { "tied = true".to_string() } else { format!("init = \"{head}\"") };
    let text = format!(
        r#"
        act = "gelu"
        input = {{ tokens = 300, length = 24 }}
        layer = [
            {{ type = "embedding", out = {width}, positions = true, init = "{table}" }},
            {{ type = "repeat", times = {blocks}, layers = [
                {{ type = "residual", name = "attention", layers = [{before}{{ type = "attention", heads = 4, causal = true }}] }}{behind},
                {{ type = "residual", name = "mlp", layers = [{before}
                    {{ type = "linear", out = {hidden} }}, {{ type = "act" }}, {{ type = "linear", out = {width} }},
                ] }}{behind},
            ] }},
            {last}
            {{ type = "linear", name = "head", out = 300, {head} }},
        ]"#
    );
    Experiment { batch: 2, trials: 1, ..network(&text, weights) }
}

fn no_false_alarm(known: Vec<(String, Experiment)>) {
    let wrong = known.into_iter().filter_map(|(name, experiment)| {
        let cell = cell(&experiment);
        let found = faults(&cell);
        (!found.is_empty()).then(|| format!("{name}: {}\n  {}", found.join(", "), cell.words.join("\n  ")))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} trained all the same:\n{}", wrong.len(), wrong.join("\n"));
}

fn bundled_ones(names: &[&str]) {
    no_false_alarm(names.iter().map(|name| (name.to_string(), own(name))).collect());
}

/// The bundled networks: two lists that take seconds each network, and those that take more.
const CONVOLUTIONAL: &[&str] = &[
    "lenet5",
    "lenet5-1998",
    "vgg16",
    "vgg16-bn",
    "resnet18",
    "resnet34",
    "resnet50",
    "densenet121",
    "mobilenet-v2",
    "efficientnet-b0",
    "nfnet-f0",
    "convnext-tiny",
    "unet",
    "dcgan",
];
const OTHERS: &[&str] = &[
    "mlp-mnist",
    "mlp-digits",
    "siren",
    "mlp-mixer",
    "vit-b16",
    "deit-s",
    "bert-base",
    "gpt2-small",
    "pythia-160m",
    "t5-small",
    "lstm-lm",
    "rnn-100",
];
const LARGE: &[&str] = &[
    "resnet101",
    "gpt2-medium",
    "gpt2-large",
    "whisper-tiny",
    "llama-3-8b",
    "mixtral-8x7b",
    "gpt2-xl",
    "cnn-10000",
];

#[test]
fn every_bundled_network_is_in_a_list() {
    let mut listed = [CONVOLUTIONAL, OTHERS, LARGE].concat();
    let mut all = bundled::NAMES.to_vec();
    listed.sort_unstable();
    all.sort_unstable();
    assert_eq!(listed, all);
}

#[test]
fn bundled_convolutional_networks_train() {
    bundled_ones(CONVOLUTIONAL);
}

#[test]
fn bundled_transformers_and_others_train() {
    bundled_ones(OTHERS);
}

/// Minutes each.
#[test]
#[ignore = "large networks: minutes"]
fn large_bundled_networks_train() {
    bundled_ones(LARGE);
}

#[test]
fn deep_networks_of_the_literature_train() {
    let residual =
        r#"{ type = "act" }, { type = "linear", out = 64 }, { type = "act" }, { type = "linear", out = 64 }"#;
    let batch_norm = r#"{ type = "batchnorm" }, { type = "act" }, { type = "linear", out = 64 },
        { type = "batchnorm" }, { type = "act" }, { type = "linear", out = 64 }"#;
    let skip_init = format!(r#"{residual}, {{ type = "scale", by = 0, trainable = true }}"#);
    let zero_gamma = r#"{ type = "linear", out = 64 }, { type = "batchnorm" }, { type = "act" },
        { type = "linear", out = 64 }, { type = "batchnorm", gain = 0 }"#;
    let policy = r#"
        act = "tanh"
        input = { shape = [17] }
        layer = [
            { type = "linear", out = 64 }, { type = "act" }, { type = "linear", out = 64 }, { type = "act" },
            { type = "linear", name = "mean", out = 6, init = "orthogonal(gain=0.01)" },
        ]"#;
    let forget = r#"
        input = { shape = [50, 32] }
        layer = [
            { type = "lstm", out = 64, recurrent = "orthogonal", bias = { forget = "ones" }, last = true },
            { type = "linear", name = "head", out = 10 },
        ]"#;
    let identity = r#"
        input = { shape = [100, 32] }
        layer = [
            { type = "rnn", out = 100, fn = "relu", init = "normal(0, 0.001)", recurrent = "identity", last = true },
            { type = "linear", name = "head", out = 10 },
        ]"#;
    let gpt = ("normal(0, 0.02)", "normal(0, 0.02)", "tied");
    let wide = |text: String, init: &str| Experiment { batch: 32, ..network(&text, init) };
    no_false_alarm(vec![
        // Klambauer et al. 2017: SELU to 32 layers and beyond; here 50 train to 95 % on the digits.
        ("selu".into(), stack(50, 256, "selu", "lecun-normal")),
        // He et al. 2015, § 2.2: 30 layers of ReLU under He's law.
        ("he".into(), stack(30, 256, "relu", "he")),
        // 22 layers under Xavier's still converge (figure 2).
        ("xavier".into(), stack(22, 256, "relu", "xavier")),
        // Schoenholz et al. 2017: tanh on the edge of chaos.
        ("critical".into(), stack(100, 300, "tanh", "critical")),
        ("orthogonal".into(), stack(100, 300, "tanh", "orthogonal")),
        // Pennington et al. 2017, Saxe et al. 2014.
        ("linear".into(), stack(100, 200, "linear", "orthogonal")),
        // He et al. 2016b: pre-activation, 100 blocks; Zhang et al. 2019; De & Smith 2020; Goyal et al. 2017.
        ("resnet-v2".into(), wide(blocks(100, 64, batch_norm, r#"{ type = "batchnorm" }, "#), "he")),
        ("fixup".into(), wide(blocks(50, 64, residual, ""), "fixup")),
        ("skipinit".into(), wide(blocks(50, 64, &skip_init, ""), "he")),
        ("zero-gamma".into(), wide(blocks(50, 64, zero_gamma, ""), "he")),
        // Xiong et al. 2020, Wang et al. 2019: 96 pre-norm blocks; six post-norm ones, as in Vaswani et al. 2017.
        ("pre-norm".into(), transformer(96, 64, true, gpt)),
        ("pre-norm, xavier".into(), transformer(12, 64, true, ("xavier", "normal(0, 0.02)", "tied"))),
        ("post-norm".into(), transformer(6, 64, false, ("xavier", "normal(0, 0.125)", "xavier"))),
        ("deepnorm".into(), transformer(12, 64, true, ("gpt2", "normal(0, 0.02)", "tied"))),
        // Andrychowicz et al. 2021: the last layer of a policy a hundred times smaller.
        ("policy".into(), network(policy, "orthogonal")),
        // Jozefowicz et al. 2015; Le et al. 2015.
        ("lstm, forget bias 1".into(), network(forget, "xavier")),
        ("irnn".into(), network(identity, "xavier")),
    ]);
}

/// What is known not to train as it stands, with a word of the fault and one of the place.
fn no_miss(known: Vec<(&str, Experiment, &str)>) {
    let wrong = known.into_iter().filter_map(|(name, experiment, place)| {
        let cell = cell(&experiment);
        let words = cell.words.join("\n  ");
        let found = !faults(&cell).is_empty() && words.contains(place);
        (!found).then(|| format!("{name} ({place}): {}\n  {words}", faults(&cell).join(", ")))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} missed:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn stacks_that_do_not_train_are_found() {
    no_miss(vec![
        ("sigmoid", stack(100, 256, "sigmoid", "xavier"), "backward vanishing (fatal)"),
        ("xavier", stack(50, 256, "relu", "xavier"), "forward vanishing (fatal)"),
        ("torch", stack(50, 256, "relu", "torch-linear"), "backward vanishing (fatal)"),
        ("tiny", stack(20, 256, "tanh", "normal(0, 0.01)"), "forward vanishing (fatal)"),
        ("unit", stack(20, 256, "relu", "normal(0, 1)"), "forward exploding (fatal)"),
        ("chaos", stack(100, 256, "tanh", "normal(0, 3/sqrt(fan_in))"), "backward exploding (fatal)"),
        ("softplus", stack(40, 256, "softplus", "lecun-normal"), "samples become indistinguishable"),
        ("equal", stack(5, 64, "tanh", "constant(0.1)"), "all units of layer 1 are identical"),
        ("zeros", stack(5, 64, "relu", "zeros"), "is exactly zero from layer 1 on"),
        ("narrow", stack(60, 3, "relu", "he"), "dead"),
        ("positive", stack(20, 256, "relu", "uniform(0, 1)"), "forward exploding (fatal)"),
        ("saturated", stack(3, 256, "tanh", "normal(0, 1)"), "are saturated"),
        ("linear", stack(100, 200, "linear", "normal(0, 0.7/sqrt(fan_in))"), "forward vanishing (fatal)"),
        ("buried", Experiment { bias: Some("constant(-10)".into()), ..stack(5, 64, "relu", "he") }, "dead"),
        (
            "ordered",
            Experiment { bias: Some("normal(0, 1)".into()), ..stack(60, 256, "tanh", "xavier") },
            "indistinguishable",
        ),
    ]);
}

#[test]
fn networks_that_do_not_train_are_found() {
    let convolutions = r#"
        input = { shape = [32, 16, 16] }
        layer = [
            { type = "repeat", times = 60, layers = [{ type = "conv2d", out = 32, kernel = 3, padding = 1 }, { type = "act" }] },
            { type = "avgpool" }, { type = "flatten" }, { type = "linear", name = "head", out = 10 },
        ]"#;
    let residual = r#"{ type = "act" }, { type = "linear", out = 64 }"#;
    let normed = r#"
        input = { shape = [128] }
        layer = [
            { type = "repeat", times = 100, layers = [{ type = "linear", out = 128 }, { type = "batchnorm" }, { type = "act" }] },
            { type = "linear", name = "head", out = 10 },
        ]"#;
    let no_skips = r#"
        input = { tokens = 300, length = 24 }
        layer = [
            { type = "embedding", out = 64, init = "normal(0, 0.02)" },
            { type = "repeat", times = 12, layers = [{ type = "attention", heads = 4 }] },
            { type = "linear", name = "head", out = 300 },
        ]"#;
    let recurrent = |init: &str| {
        let text = format!(
            r#"
            act = "tanh"
            input = {{ shape = [150, 32] }}
            layer = [
                {{ type = "rnn", out = 128, recurrent = "{init}", last = true }},
                {{ type = "linear", name = "head", out = 10 }},
            ]"#
        );
        network(&text, "xavier")
    };
    let classifier = |head: &str| {
        let text = format!(
            r#"
            input = {{ shape = [64] }}
            layer = [
                {{ type = "linear", out = 512 }}, {{ type = "act" }}, {{ type = "linear", name = "head", out = 100, init = "{head}" }},
            ]"#
        );
        network(&text, "he")
    };
    no_miss(vec![
        ("convolutions", Experiment { batch: 4, ..network(convolutions, "xavier") }, "conv"),
        (
            "small convolutions",
            Experiment { batch: 4, ..network(convolutions, "normal(0, 0.01)") },
            "forward vanishing (fatal)",
        ),
        ("residual", network(&blocks(50, 64, residual, ""), "he"), "forward exploding (fatal)"),
        ("batch norm", Experiment { batch: 64, ..network(normed, "he") }, "backward exploding"),
        ("no skips", Experiment { batch: 2, ..network(no_skips, "xavier") }, "attention"),
        (
            "post-norm",
            transformer(48, 64, false, ("xavier", "normal(0, 0.125)", "xavier")),
            "the positions of a sample become indistinguishable",
        ),
        (
            "gpt2, 0.2",
            transformer(6, 768, true, ("normal(0, 0.2)", "normal(0, 0.2)", "tied")),
            "logits of head",
        ),
        (
            "table of std 1",
            transformer(4, 256, true, ("normal(0, 0.02)", "normal(0, 1)", "tied")),
            "logits of head",
        ),
        (
            "head of std 1",
            transformer(4, 256, true, ("normal(0, 0.02)", "normal(0, 0.02)", "normal(0, 1)")),
            "logits of head",
        ),
        ("classifier", classifier("normal(0, 1)"), "logits of head"),
        ("forgetful", recurrent("normal(0, 0.5/sqrt(fan_in))"), "backward vanishing"),
        ("chaotic", recurrent("normal(0, 3/sqrt(fan_in))"), "backward exploding"),
        ("equal heads", network(&blocks(3, 64, residual, ""), "constant(0.05)"), "identical"),
    ]);
}
