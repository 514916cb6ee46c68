//! Every bundled network against PyTorch in double precision: with the same weights, input and read-out, the variances of each weighted
//! layer's pre-activation and activation, and the mean squares of its gradient and of its weights' gradient.
//!
//! PyTorch's numbers are kept in `tests/data/networks`; what made them is described there. Where `INITDIAG_TORCH` names a Python that has
//! PyTorch, torchvision, timm and transformers, they are made anew and held to those that are kept; with `INITDIAG_KEEP` they replace them:
//!
//!     INITDIAG_TORCH=python3 INITDIAG_KEEP=1 cargo test --test networks
//!
//! All weights, biases, gains and shifts are drawn from uniform laws with a fixed seed, so that nothing begins as zero or one and every
//! machine draws the same numbers. They are rounded to single precision, as `--save-init` writes them, and both sides compute with these.

#![expect(clippy::print_stdout, reason = "measured gaps are for people to read")]

use initdiag::activation::Activation;
use initdiag::frontend::bundled;
use initdiag::frontend::toml::{self, Architecture};
use initdiag::graph::{Graph, Laws, Override, assign, backward, export, forward};
use initdiag::initializer::Initializer;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part, Role};
use initdiag::op::record::LayerRecord;
use initdiag::op::{Arrays, Nature, ParameterArrays, Precision, Shape, Space};
use initdiag::tensorfile::safetensors::{Tensor, encode};
use nalgebra::DMatrix;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const KEY: Key = Key { seed: 18, trial: 0, layer: 0 };
/// Samples of a batch.
const BATCH: usize = 2;
/// Relative gap between two programs in double precision.
const GAP: f64 = 1e-9;
/// The same in single precision, which loses digits where a batch norm sees few numbers, and flips units at the kink of ReLU.
const ROUGH_GAP: f64 = 0.1;

/// A network as it is compared.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Texts of its file, and what stands in their place: smaller images, fewer tokens, narrower layers.
    smaller: &'static [(&'static str, &'static str)],
}

/// Networks that are not compared, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Makes the list of cases and a test for each of them.
macro_rules! cases {
    ($($test:ident: $name:literal, $smaller:expr;)*) => {
        const CASES: &[Case] = &[$(Case { name: $name, smaller: $smaller }),*];
        $(#[test] fn $test() { prove($name); })*
    };
}

/// An image of 64×64 pixels in place of 224×224.
const IMAGE: (&str, &str) = ("shape = [3, 224, 224]", "shape = [3, 64, 64]");

/// 8 tokens of 500 in place of 128 of a vocabulary.
const LENGTH: (&str, &str) = ("length = 128", "length = 8");
const GPT2: (&str, &str) = ("50257", "500");

cases! {
    mlp_digits: "mlp-digits", &[];
    mlp_mnist: "mlp-mnist", &[];
    lenet5: "lenet5", &[];
    lenet5_1998: "lenet5-1998", &[];
    vgg16: "vgg16", &[IMAGE];
    vgg16_bn: "vgg16-bn", &[IMAGE];
    resnet18: "resnet18", &[IMAGE];
    resnet34: "resnet34", &[IMAGE];
    resnet50: "resnet50", &[IMAGE];
    resnet101: "resnet101", &[IMAGE];
    densenet121: "densenet121", &[IMAGE];
    mobilenet_v2: "mobilenet-v2", &[IMAGE];
    efficientnet_b0: "efficientnet-b0", &[IMAGE];
    nfnet_f0: "nfnet-f0", &[("shape = [3, 192, 192]", "shape = [3, 64, 64]")];
    convnext_tiny: "convnext-tiny", &[IMAGE];
    unet: "unet", &[("shape = [1, 128, 128]", "shape = [1, 32, 32]")];
    dcgan: "dcgan", &[];
    siren: "siren", &[];
    // The perceptron over positions has as many outputs as there are patches.
    mlp_mixer: "mlp-mixer", &[IMAGE, ("out = 196", "out = 16")];
    vit_b16: "vit-b16", &[IMAGE];
    deit_s: "deit-s", &[IMAGE];
    bert_base: "bert-base", &[("30522", "500"), LENGTH];
    gpt2_small: "gpt2-small", &[GPT2, LENGTH];
    // Full depth and all heads at a sixteenth of the width.
    gpt2_medium: "gpt2-medium", &[GPT2, LENGTH, ("out = 1024", "out = 64"), ("out = 4096", "out = 256")];
    gpt2_large: "gpt2-large", &[GPT2, LENGTH, ("out = 1280", "out = 80"), ("out = 5120", "out = 320")];
    gpt2_xl: "gpt2-xl", &[GPT2, LENGTH, ("out = 1600", "out = 100"), ("out = 6400", "out = 400")];
    pythia_160m: "pythia-160m", &[("50304", "500"), LENGTH];
    // Billions of weights: four blocks with all heads and experts at a thirty-second of the width.
    llama_3_8b: "llama-3-8b",
        &[("128256", "500"), LENGTH, ("out = 4096", "out = 128"), ("hidden = 14336", "hidden = 448"), ("times = 32", "times = 4")];
    mixtral_8x7b: "mixtral-8x7b",
        &[("32000", "500"), LENGTH, ("out = 4096", "out = 128"), ("hidden = 14336", "hidden = 448"), ("times = 32", "times = 4")];
    t5_small: "t5-small", &[("32128", "500"), LENGTH];
    // 40 frames of sound become 20 positions.
    whisper_tiny: "whisper-tiny", &[("51865", "500"), ("length = 448", "length = 8"), ("shape = [3000, 80]", "shape = [40, 80]")];
    lstm_lm: "lstm-lm", &[("10000", "500")];
    rnn_100: "rnn-100", &[];
    // A hundred of ten thousand layers.
    cnn_10000: "cnn-10000", &[("times = 9997", "times = 97")];
}

/// Arrays of a library's model that do not begin as the network's file says, by the beginning of their names, each with the reason.
const OTHER_LAWS: &[(&str, &str, &str)] = &[
    ("resnet18", "fc.", "follows the network's initializer, as the file says"),
    ("resnet34", "fc.", "follows the network's initializer, as the file says"),
    ("resnet50", "fc.", "follows the network's initializer, as the file says"),
    ("resnet101", "fc.", "follows the network's initializer, as the file says"),
    ("vgg16", "fc", "follows the network's initializer, as the file says"),
    ("vgg16-bn", "fc6.", "is made anew for a smaller image"),
    ("pythia-160m", "", "is drawn by the laws of the code that trained it, not by those of transformers"),
];

/// What PyTorch made of a network.
#[derive(Debug, Serialize, Deserialize)]
struct Golden {
    /// ⟨output, read-out⟩.
    cost: f64,
    /// Of each weighted layer by its path: variance of the pre-activation, variance of the activation, mean square of the pre-activation's
    /// gradient, and mean square of its weights' gradient.
    layers: BTreeMap<String, [f64; 4]>,
    /// Mean and variance of each array as the library draws it, by its exported name; not kept.
    #[serde(default)]
    began: BTreeMap<String, [f64; 2]>,
}

impl Golden {
    fn path(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/networks/{name}.json"))
    }

    fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
    }

    /// One line for each layer.
    fn write(&self, path: &Path) {
        let lines = self.layers.iter().map(|(layer, values)| {
            format!("{}:{}", serde_json::to_string(layer).unwrap(), serde_json::to_string(values).unwrap())
        });
        let lines = lines.collect::<Vec<_>>().join(",\n");
        std::fs::write(path, format!("{{\"cost\":{},\"layers\":{{\n{lines}\n}}}}\n", self.cost)).unwrap();
    }

    /// The largest relative difference to another, and where it is.
    fn gap(&self, other: &Self) -> (f64, String) {
        let (gap, layer) = self.layer_gap(other);
        let cost = relative(self.cost, other.cost);
        if cost > gap || cost.is_nan() { (cost, "the cost".to_string()) } else { (gap, layer) }
    }

    /// The same of the layers alone.
    fn layer_gap(&self, other: &Self) -> (f64, String) {
        let (ours, theirs) = (self.layers.keys(), other.layers.keys());
        assert!(ours.eq(theirs), "{:?} and {:?}", self.layers.keys(), other.layers.keys());
        let of_layer = |((path, ours), theirs): ((&String, &[f64; 4]), &[f64; 4])| {
            let gaps = ours.iter().zip(theirs).map(|(a, b)| relative(*a, *b));
            (
                gaps.fold(0.0, |worst: f64, gap| if gap > worst || gap.is_nan() { gap } else { worst }),
                path.clone(),
            )
        };
        let layers = self.layers.iter().zip(other.layers.values()).map(of_layer);
        layers.fold(
            (0.0, String::new()),
            |worst, one| if one.0 > worst.0 || one.0.is_nan() { one } else { worst },
        )
    }
}

fn relative(a: f64, b: f64) -> f64 {
    if a == b { 0.0 } else { (a - b).abs() / b.abs() }
}

/// A number between −1 and 1 of 24 bits, by its place: SplitMix64.
fn number(place: u64) -> f32 {
    let mut z = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f32 / (1u32 << 23) as f32 - 1.0
}

fn numbers(rows: usize, columns: usize, from: u64) -> DMatrix<f32> {
    DMatrix::from_fn(rows, columns, |row, column| number(from + (column * rows + row) as u64))
}

impl Case {
    fn of(name: &str) -> Self {
        *CASES.iter().find(|case| case.name == name).unwrap()
    }

    /// The network's file with smaller numbers.
    fn source(&self) -> String {
        let mut text = bundled::source(self.name).unwrap().to_string();
        for (old, new) in self.smaller {
            assert!(text.contains(old), "{}: `{old}` is not in its file", self.name);
            text = text.replace(old, new);
        }
        text
    }
}

/// The network of a file with uniform laws everywhere.
fn network(source: &str) -> (Architecture, Graph) {
    let architecture = Architecture::parse(source).unwrap();
    let act = Arc::new(Activation::parse(architecture.act.as_deref().unwrap_or("relu")).unwrap());
    let mut graph = toml::graph(&architecture, &act).unwrap();
    let mut overrides = vec!["*=uniform(-sqrt(3/fan_in), sqrt(3/fan_in))"];
    if graph.parameters.iter().any(|p| p.is_biased()) {
        overrides.push("*bias=uniform(-0.3, 0.4)");
    }
    for (kind, law) in [
        ("gain", "*/gain=uniform(0.5, 1.5)"),
        ("shift", "*/shift=uniform(-0.5, 0.4)"),
        ("factor", "*/factor=uniform(0.5, 1.5)"),
        ("token", "*/token=uniform(-1, 1)"),
        ("table", "*/table=uniform(-1, 1)"),
    ] {
        if graph.vectors.iter().any(|vector| vector.kind == kind) {
            overrides.push(law);
        }
    }
    if graph.inputs().any(|shape| matches!(shape.space, Space::Tokens(_))) {
        overrides.push("*embedding*=uniform(-1, 1)");
    }
    let overrides: Vec<Override> = overrides.into_iter().map(|text| Override::parse(text).unwrap()).collect();
    let init = Initializer::parse_for_net("zeros").unwrap();
    assign(&mut graph, &Laws { init: &init, bias: None, act: &act, overrides: &overrides }).unwrap();
    (architecture, graph)
}

/// What an input of this number is given, a sample a column: tokens as the embedding draws them, or numbers.
fn input(number: usize, shape: Shape) -> DMatrix<f32> {
    let Space::Tokens(length) = shape.space else {
        return numbers(shape.size(), BATCH, (number as u64) << 36);
    };
    let mut rng = KEY.of_input(number).stream(Role::Input, Part::Block(0));
    DMatrix::from_fn(length, BATCH, |_, _| rng.random_range(0..shape.channels) as f32)
}

fn read_out(graph: &Graph) -> DMatrix<f32> {
    let shape = graph.output();
    numbers(shape.channels, shape.positions() * BATCH, 1 << 40)
}

/// What the engine makes of a network with these weights, or with those that it draws itself.
fn ours<T: Precision>(graph: &Graph, arrays: Option<&Arrays<T>>) -> Golden {
    let of = |(number, shape): (usize, Shape)| match shape.space {
        Space::Tokens(_) => Signal::empty(),
        _ => Signal::new(input(number, shape).map(|v| T::of(f64::from(v))), 0),
    };
    let inputs = graph.inputs().enumerate().map(of).collect();
    let mut pass = graph.context(KEY, BATCH, Threads::All);
    // What is learned is compared, not what dropout leaves to chance.
    (pass.given, pass.evaluating) = (arrays, true);
    let (out, tape) = forward(graph, inputs, &mut pass, false, &|| true).unwrap();
    let read_out = read_out(graph).map(|v| T::of(f64::from(v)));
    let products = out.signal.values.iter().zip(read_out.iter()).map(|(a, b)| a.to_f64() * b.to_f64());
    let cost = products.sum::<f64>() * 2f64.powi(out.signal.exponent as i32);
    drop(out);
    backward(graph, tape, Signal::new(read_out, 0), &mut pass, &|| true).unwrap();
    let of = |record: &LayerRecord| {
        let gradients = [record.gradient.second_moment, record.weight_gradient.second_moment];
        let [gradient, weights] = gradients.map(|moment| moment.to_f64());
        [record.preactivation.variance.to_f64(), record.activation.variance.to_f64(), gradient, weights]
    };
    let weighted = graph.entries.iter().zip(&pass.records).filter(|(entry, _)| entry.weighted);
    let layers = weighted.map(|(entry, record)| (entry.path.clone(), of(record))).collect();
    Golden { cost, layers, began: BTreeMap::new() }
}

/// What PyTorch makes of it.
fn theirs(python: &str, architecture: &Architecture, graph: &Graph, arrays: &Arrays<f32>) -> Golden {
    let place = tempfile::tempdir().unwrap();
    let (file, out) = (place.path().join("network.safetensors"), place.path().join("golden.json"));
    let array = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
        (name.to_string(), Tensor { shape, values: values.into() })
    };
    let exported = export::named(graph, arrays);
    let order: Vec<String> = exported.iter().map(|array| array.name.clone()).collect();
    let mut tensors: Vec<_> =
        exported.into_iter().map(|one| array(&one.name, one.shape, one.values)).collect();
    // Samples first.
    for ((number, shape), name) in graph.inputs().enumerate().zip(&graph.inputs) {
        let x = input(number, shape);
        tensors.push(array(&format!("input:{name}"), vec![BATCH, x.nrows()], x.as_slice().to_vec()));
    }
    let read_out = read_out(graph);
    let shape = vec![BATCH, read_out.ncols() / BATCH, read_out.nrows()];
    tensors.push(array("read_out", shape, read_out.as_slice().to_vec()));
    let weighted = graph.entries.iter().filter(|entry| entry.weighted).map(|entry| &entry.path);
    // Of each activation in its order, the layer that it completes.
    let activations =
        graph.nodes.iter().filter(|node| matches!(node.operator.nature(), Nature::Pointwise(_)));
    let completed: Vec<Option<&String>> =
        activations.map(|node| node.completes.map(|entry| &graph.entries[entry].path)).collect();
    let about = serde_json::json!({
        "network": architecture,
        "order": order,
        "inputs": graph.inputs,
        "layers": weighted.collect::<Vec<_>>(),
        "activations": completed,
    });
    std::fs::write(&file, encode(tensors, ("about", about.to_string()))).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/networks/main.py");
    let status = Command::new(python).arg(script).arg(&file).arg(&out).status().unwrap();
    assert!(status.success(), "the script failed");
    Golden::read(&out)
}

/// The network's own laws are those of the library's model, where that is one: means and variances of both sides' draws agree within seven
/// standard errors, a false alarm of 3·10⁻¹² for each array of a normal law. Arrays of fewer than 100 entries say too little.
fn begins_as(name: &str, architecture: &Architecture, mut graph: Graph, began: &BTreeMap<String, [f64; 2]>) {
    let act = Arc::new(Activation::parse(architecture.act.as_deref().unwrap_or("relu")).unwrap());
    let init = Initializer::parse_for_net(architecture.init.as_deref().unwrap()).unwrap();
    assign(&mut graph, &Laws { init: &init, bias: None, act: &act, overrides: &[] }).unwrap();
    let arrays = graph.arrays(&graph.context::<f32>(KEY, BATCH, Threads::All));
    for array in export::named(&graph, &arrays) {
        let Some([mean, variance]) = began.get(&array.name) else { continue };
        let other = |(of, start, _): &(&str, &str, &str)| *of == name && array.name.starts_with(start);
        if array.values.len() < 100 || OTHER_LAWS.iter().any(other) {
            continue;
        }
        let count = array.values.len() as f64;
        let moment = |about: f64, power: i32| {
            array.values.iter().map(|v| (f64::from(*v) - about).powi(power)).sum::<f64>() / count
        };
        let own = moment(0.0, 1);
        let (square, fourth) = (moment(own, 2), moment(own, 4));
        // Of constants rounding alone differs.
        let rounding = 1e-6 * own.abs();
        let near = |a: f64, b: f64, error: f64| (a - b).abs() <= 7.0 * error;
        let errors =
            [(2.0 * square / count).sqrt(), (2.0 * (fourth - square * square).max(0.0) / count).sqrt()];
        let agree = near(own, *mean, errors[0] + rounding)
            && near(square, *variance, errors[1] + rounding * rounding);
        assert!(
            agree,
            "{name}: {} has mean {own} and variance {square} here, {mean} and {variance} there",
            array.name
        );
    }
}

fn doubled(arrays: Arrays<f32>) -> Arrays<f64> {
    let double = |array: ParameterArrays<f32>| ParameterArrays {
        weights: Arc::new(array.weights.map(f64::from)),
        bias: array.bias.map(|bias| bias.map(f64::from)),
    };
    arrays.into_iter().map(|(stream, array)| (stream, double(array))).collect()
}

fn prove(name: &str) {
    let (architecture, graph) = network(&Case::of(name).source());
    let arrays = graph.arrays(&graph.context::<f32>(KEY, BATCH, Threads::All));
    let kept = Golden::path(name);
    if let Ok(python) = std::env::var("INITDIAG_TORCH") {
        let made = theirs(&python, &architecture, &graph, &arrays);
        if std::env::var("INITDIAG_KEEP").is_ok() {
            made.write(&kept);
        }
        let (gap, at) = Golden::read(&kept).gap(&made);
        println!("{name}: kept and made anew differ by {gap:.1e} at {at}");
        assert!(gap <= GAP, "{name}: kept and made anew differ by {gap:.1e} at {at}");
        begins_as(name, &architecture, graph.clone(), &made.began);
    }
    let golden = Golden::read(&kept);
    let (rough, where_rough) = ours(&graph, Some(&arrays)).layer_gap(&golden);
    let (gap, at) = ours(&graph, Some(&doubled(arrays))).gap(&golden);
    println!("{name}: {} layers, largest gap {gap:.1e} at {at}", golden.layers.len());
    println!("{name}: in single precision {rough:.1e} at {where_rough}");
    assert!(gap <= GAP, "{name}: a relative gap of {gap:.1e} at {at}");
    assert!(rough <= ROUGH_GAP, "{name}: a relative gap of {rough:.1e} in single precision at {where_rough}");
}

/// The gap of a network with one text of its file replaced.
fn gap_of_another(name: &str, old: &str, new: &str) -> f64 {
    let source = Case::of(name).source();
    assert!(source.contains(old), "{name}: `{old}` is not in its file");
    let (_, graph) = network(&source.replace(old, new));
    let arrays = doubled(graph.arrays(&graph.context::<f32>(KEY, BATCH, Threads::All)));
    let (gap, at) = ours(&graph, Some(&arrays)).gap(&Golden::read(&Golden::path(name)));
    println!("{name} with `{new}` for `{old}`: {gap:.1e} at {at}");
    gap
}

/// Errors of one number, word or layer that leave all shapes as they are exceed the bound at least a thousandfold.
#[test]
fn errors_are_found() {
    for (name, old, new) in [
        ("mlp-digits", r#"{ type = "act" }"#, r#"{ type = "act", fn = "leaky-relu(0.0001)" }"#),
        ("lenet5", "maxpool", "avgpool"),
        ("lenet5-1998", "1.7159*", "1.7160*"),
        ("resnet18", "\"maxpool\"", "\"avgpool\""),
        ("mobilenet-v2", "relu6", "relu"),
        ("efficientnet-b0", r#"act = "silu""#, r#"act = "x*sigmoid(1.001*x)""#),
        ("nfnet-f0", r#"scale = "fan-in", gain = 1 }"#, r#"scale = "fan-in", gain = 1, eps = 2e-5 }"#),
        ("nfnet-f0", r#"kernel = 3, stride = 2, padding = "same""#, "kernel = 3, stride = 2, padding = 1"),
        ("densenet121", r#"{ type = "batchnorm" }"#, r#"{ type = "batchnorm", eps = 1e-6 }"#),
        ("convnext-tiny", r#"over = "channels""#, r#"over = "sample""#),
        ("convnext-tiny", r#"act = "gelu""#, r#"act = "gelu-tanh""#),
        ("mlp-mixer", "eps = 1e-6", "eps = 2e-6"),
        ("dcgan", r#"fn = "tanh""#, r#"fn = "erf""#),
        ("siren", "sin(30*x)", "sin(30.001*x)"),
        ("unet", r#"["down1", "up1_0"]"#, r#"["up1_0", "down1"]"#),
        ("gpt2-medium", ", causal = true", ""),
        ("gpt2-medium", "gelu-tanh", "gelu"),
        ("gpt2-medium", "heads = 16", "heads = 8"),
        ("gpt2-medium", "positions = true", r#"positions = "sinusoidal""#),
        ("llama-3-8b", "base = 500000", "base = 501000"),
        ("llama-3-8b", r#"{ type = "rmsnorm" }"#, r#"{ type = "layernorm", shift = false }"#),
        ("llama-3-8b", "kv_heads = 8", "kv_heads = 8, scale = 0.5001"),
        ("t5-small", "causal = true, ", ""),
        ("t5-small", r#"from = ["decoder"]"#, r#"from = ["decoder"], scale = 1.0001"#),
        ("whisper-tiny", "sinusoidal-halves", "sinusoidal"),
        ("whisper-tiny", "bias = { key = false }", "bias = { value = false }"),
        ("mixtral-8x7b", "top = 2", "top = 3"),
        ("mixtral-8x7b", "top = 2", "top = 2, normalize = false"),
        (
            "lstm-lm",
            r#"{ type = "lstm", out = 650, name = "lstm2""#,
            r#"{ type = "shift" }, { type = "lstm", out = 650, name = "lstm2""#,
        ),
    ] {
        let gap = gap_of_another(name, old, new);
        assert!(gap > 1e3 * GAP, "{name} with `{new}` for `{old}`: a gap of {gap:.1e} alone");
    }
}

/// The engine draws the weights that it exports: what it makes of its own draws differs by their rounding to single precision alone, and
/// those of another seed make something else.
#[test]
fn what_is_drawn_is_what_is_exported() {
    for name in ["lenet5", "resnet18", "gpt2-medium", "mixtral-8x7b", "lstm-lm"] {
        let (_, graph) = network(&Case::of(name).source());
        let golden = Golden::read(&Golden::path(name));
        let (gap, at) = ours::<f64>(&graph, None).gap(&golden);
        println!("{name}: drawn weights differ by {gap:.1e} at {at}");
        assert!(gap > GAP && gap < 1e-3, "{name}: a relative gap of {gap:.1e} at {at}");
        let other = Key { seed: KEY.seed + 1, ..KEY };
        let arrays = doubled(graph.arrays(&graph.context::<f32>(other, BATCH, Threads::All)));
        let (gap, _) = ours(&graph, Some(&arrays)).gap(&golden);
        assert!(gap > 1e-2, "{name}: another seed is off by {gap:.1e} alone");
    }
}

/// A network that is added to the bundled ones is compared too, or named as an exception with its reason.
#[test]
fn every_bundled_network_is_compared() {
    let named: Vec<&str> =
        CASES.iter().map(|case| case.name).chain(EXCEPTIONS.iter().map(|(name, _)| *name)).collect();
    for name in bundled::NAMES {
        assert_eq!(named.iter().filter(|other| *other == name).count(), 1, "{name}");
    }
    assert_eq!(named.len(), bundled::NAMES.len());
}
