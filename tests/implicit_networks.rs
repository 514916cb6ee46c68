//! Implicit maps inside networks against dense ones: two-sample Kolmogorov–Smirnov tests of what a trial records and computes, at
//! widths so small that an error would show. A comparison takes 2000 trials of each kind (500 of wide states), and has a
//! false-alarm rate of 2e^(−2·2.7²) ≈ 9·10⁻⁷ for each statistic; seeds are fixed. Every network is shown to catch errors that are
//! planted in its maps, and a second implementation of the conditional law, without any of them, passes.

#[path = "common/ks.rs"]
mod ks;

use initdiag::activation::Activation;
use initdiag::frontend::toml::Architecture;
use initdiag::graph::{Graph, Laws, backward, forward};
use initdiag::initializer::Initializer;
use initdiag::law::Law;
use initdiag::numeric::cached::CachedSignal;
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part, Role as Stream};
use initdiag::numeric::wide::Wide;
use initdiag::op::context::Maps;
use initdiag::op::layer::LAYERS;
use initdiag::op::parameters::gradients_like;
use initdiag::op::record::LayerRecord;
use initdiag::op::{Gradients, Parameter, Precision, Role, Source, loss};
use initdiag::simulate::Input;
use initdiag::spec::Loss;
use initdiag::weights::{Factor, ImplicitGaussian, LinearMap, Method, Table, linear_map};
use ks::{KS_BOUND, two_sample};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

const DRAWS: u64 = 2000;

/// A network with its laws.
#[derive(Clone)]
struct Case {
    name: &'static str,
    text: String,
    init: &'static str,
    bias: &'static str,
    batch: usize,
}

fn case(name: &'static str, text: &str, init: &'static str, bias: &'static str, batch: usize) -> Case {
    Case { name, text: text.into(), init, bias, batch }
}

/// Pre-norm, with more tokens than a trial meets: a tied head multiplies with rows that occur and with others.
fn transformer(table: &str) -> String {
    format!(
        r#"
        input = {{ tokens = 40, length = 5 }}
        layer = [
            {{ type = "embedding", out = 12, positions = true, init = "{table}" }},
            {{ type = "residual", layers = [
                {{ type = "layernorm" }},
                {{ type = "attention", heads = 2, causal = true }},
            ] }},
            {{ type = "residual", layers = [
                {{ type = "layernorm" }},
                {{ type = "linear", out = 20 }},
                {{ type = "act", fn = "gelu" }},
                {{ type = "linear", out = 12 }},
            ] }},
            {{ type = "layernorm" }},
            {{ type = "linear", out = 40, tied = true, bias = false }},
        ]"#
    )
}

/// A recurrent layer between two linear ones.
fn recurrent(kind: &str, length: usize, units: usize, recurrent: &str) -> String {
    format!(
        r#"
        input = {{ shape = [{length}, 4] }}
        layer = [
            {{ type = "linear", out = 5 }},
            {{ type = "{kind}", out = {units}, recurrent = "{recurrent}" }},
            {{ type = "linear", out = 3 }},
        ]"#
    )
}

/// Two maps of one input, joined by a sum: both are asked with one query in each direction.
const TWO_MAPS: &str = r#"
    input = { shape = [7] }
    layer = [
        { type = "linear", out = 9 },
        { type = "residual", layers = [{ type = "linear", out = 8 }], shortcut = [{ type = "linear", out = 8 }, { type = "act", fn = "sigmoid" }] },
        { type = "residual", layers = [{ type = "linear", out = 8 }, { type = "act" }], shortcut = [{ type = "linear", out = 8 }] },
        { type = "linear", out = 4 },
    ]"#;

/// The same joined by a product, where there is such a layer.
const GATED: &str = r#"
    input = { shape = [7] }
    layer = [
        { type = "linear", out = 9 },
        { type = "parallel", join = "mul", branches = [
            [{ type = "linear", out = 8 }, { type = "act", fn = "silu" }],
            [{ type = "linear", out = 8 }],
        ] },
        { type = "linear", out = 4 },
    ]"#;

const PERCEPTRON: &str = r#"
    input = { shape = [8] }
    layer = [
        { type = "linear", out = 12 },
        { type = "repeat", times = 2, layers = [
            { type = "residual", layers = [
                { type = "layernorm" },
                { type = "linear", out = 12 },
                { type = "act" },
                { type = "linear", out = 12 },
            ] },
        ] },
        { type = "layernorm" },
        { type = "linear", out = 4 },
    ]"#;

const NONE: &str = "zeros";
const BIASES: &str = "normal(0.1, 0.3)";

fn cases() -> Vec<Case> {
    let plain = "normal(0, 0.3)";
    let tall = transformer("normal(0, 0.8)").replace("length = 5", "length = 9");
    let mut all = vec![
        case("transformer", &transformer("normal(0, 0.8)"), plain, NONE, 2),
        case(
            "transformer, means and biases",
            &transformer("normal(0.2, 0.8)"),
            "normal(0.1, 0.3)",
            BIASES,
            2,
        ),
        case("transformer, Haar", &transformer("normal(0, 0.8)"), "orthogonal(1.2)", NONE, 2),
        case("transformer, more columns than features", &tall, plain, BIASES, 3),
        case("rnn", &recurrent("rnn", 20, 10, plain), plain, NONE, 3),
        case("rnn, fewer columns than units", &recurrent("rnn", 20, 48, "normal(0, 0.15)"), plain, BIASES, 2),
        case("rnn, a mean", &recurrent("rnn", 20, 10, "normal(0.05, 0.3)"), "normal(0.1, 0.4)", BIASES, 3),
        case("rnn, Haar", &recurrent("rnn", 20, 16, "orthogonal"), "orthogonal", BIASES, 3),
        case(
            "rnn, Haar, fewer columns than units",
            &recurrent("rnn", 20, 56, "orthogonal"),
            "orthogonal",
            NONE,
            2,
        ),
        // Gradients fall by many decades on their way to the first step.
        case("rnn, vanishing", &recurrent("rnn", 20, 16, "normal(0, 0.03)"), plain, NONE, 2),
        case("lstm", &recurrent("lstm", 4, 6, plain), plain, BIASES, 3),
        case("gru", &recurrent("gru", 4, 6, plain), plain, BIASES, 3),
        case("gru, Haar", &recurrent("gru", 4, 14, "orthogonal"), "orthogonal", BIASES, 2),
        case("two maps", TWO_MAPS, "normal(0, 0.4)", BIASES, 5),
        case("two maps, a mean", TWO_MAPS, "normal(0.1, 0.4)", NONE, 5),
        case("two maps, Haar", TWO_MAPS, "orthogonal(1.2)", BIASES, 3),
        case("perceptron", PERCEPTRON, "normal(0, 0.4)", BIASES, 5),
        case("perceptron, a mean", PERCEPTRON, "normal(0.1, 0.4)", NONE, 5),
        case("perceptron, Haar", PERCEPTRON, "orthogonal", BIASES, 5),
        case("perceptron, batch beyond width", PERCEPTRON, "normal(0, 0.4)", NONE, 15),
        case("perceptron, one sample", PERCEPTRON, "normal(0, 0.4)", NONE, 1),
    ];
    if LAYERS.iter().any(|layer| layer.name == "mul") {
        all.push(case("gated", GATED, "normal(0, 0.4)", BIASES, 5));
        all.push(case("gated, Haar", GATED, "orthogonal(1.2)", BIASES, 3));
    }
    all
}

fn named(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

fn network(case: &Case, method: Method) -> Graph {
    let architecture = Architecture::parse(&case.text).unwrap();
    let init = Initializer::parse_for_net(case.init).unwrap();
    let bias = Initializer::parse(case.bias).unwrap();
    let act = Arc::new(Activation::parse("tanh").unwrap());
    let mut graph =
        architecture.with_laws(&Laws { init: &init, bias: Some(&bias), act: &act, overrides: &[] }).unwrap();
    graph.parameters.iter_mut().for_each(|parameter| parameter.method = method);
    graph
}

/// How a trial is computed.
#[derive(Clone, Copy)]
struct Way {
    recompute: bool,
    keep: bool,
    threads: Threads,
}

const PLAIN: Way = Way { recompute: false, keep: true, threads: Threads::One };

/// What a trial came to.
struct Trial {
    records: Vec<LayerRecord>,
    input: DMatrix<f64>,
    output: DMatrix<f64>,
    gradient: DMatrix<f64>,
    gradients: Gradients<f64>,
    tokens: Vec<usize>,
}

fn plain<T: Precision>(signal: &Signal<T>) -> DMatrix<f64> {
    let (rows, columns) = signal.values.shape();
    DMatrix::from_fn(rows, columns, |i, j| signal.entry(i, j).to_f64())
}

/// One trial. `zero` are gradients of the network's shapes.
fn pass<T: Precision>(
    graph: &Graph,
    batch: usize,
    key: Key,
    zero: &Gradients<T>,
    maps: Option<Maps<T>>,
    way: Way,
) -> Trial {
    let mut context = graph.context::<T>(key, batch, way.threads);
    (context.keep_weights, context.input_gradient, context.maps) = (way.keep, true, maps);
    context.gradients = Some(zero.clone());
    let input = Input::Normal.draw::<T>(graph.features(), batch, key);
    let x = plain(&input);
    let (out, tape) = forward(graph, vec![input], &mut context, way.recompute, &|| true).unwrap();
    let top = Key { layer: graph.streams() + 1, ..key };
    let upstream = loss::gradient(Loss::Random, &out.signal, 0, (top, Part::Block(0)), Threads::One);
    let gradient = backward(graph, tape, upstream, &mut context, &|| true).unwrap();
    let count = graph.parameters[0].shape.1;
    let mut rng = key.stream(Stream::Input, Part::Block(0));
    let tokens = match graph.features() {
        0 => {
            (0..graph.sole_input().unwrap().positions() * batch).map(|_| rng.random_range(0..count)).collect()
        }
        _ => Vec::new(),
    };
    let wide = |m: &DMatrix<T>| m.map(|v| v.to_f64());
    let gradients = context.gradients.take().unwrap();
    let gradients = graph.parameters.iter().filter_map(|p| {
        let of = gradients.get(&p.stream)?;
        let arrays = initdiag::op::ParameterArrays {
            weights: Arc::new(wide(&of.weights)),
            bias: of.bias.as_ref().map(wide),
        };
        let mut new = initdiag::op::parameters::Gradient::like(&arrays);
        (new.weights, new.bias) = (wide(&of.weights), of.bias.as_ref().map(wide));
        Some((p.stream, new))
    });
    let gradients = gradients.collect();
    Trial {
        input: x,
        output: plain(&out.signal),
        gradient: plain(&gradient[0]),
        gradients,
        tokens,
        records: context.records,
    }
}

/// Constants of norms and the like come down to rounding, which is no difference.
fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

fn log(w: Wide) -> f64 {
    rounded(w.log10_abs().unwrap_or(-1e3))
}

/// log₁₀ of the squared norm.
fn size(values: impl Iterator<Item = f64>) -> f64 {
    rounded(values.map(|v| v * v).sum::<f64>().max(1e-300).log10())
}

/// Everything that is compared, under its name.
fn statistics(graph: &Graph, trial: &Trial) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    let mut put = |name: &str, value: f64| all.push((name.to_string(), value));
    let entries = graph.entries.len();
    for (index, (entry, record)) in graph.entries.iter().zip(&trial.records).enumerate() {
        // Of many steps the first, the last and the one in the middle.
        if entries > 12 && !(index < 3 || index + 3 > entries || index == entries / 2) {
            continue;
        }
        let path = &entry.path;
        put(&format!("{path} variance"), log(record.preactivation.variance));
        put(&format!("{path} mean"), record.preactivation.mean.to_f64());
        put(&format!("{path} gradient"), log(record.gradient.second_moment));
        put(&format!("{path} weight gradient"), log(record.weight_gradient.second_moment));
        put(&format!("{path} correlation"), rounded(record.correlation.unwrap_or(0.0)));
        put(&format!("{path} positions"), rounded(record.position_correlation.unwrap_or(0.0)));
    }
    for parameter in graph.own_parameters() {
        if matches!(parameter.role, Role::Embedding | Role::Position) {
            continue;
        }
        let of = &trial.gradients[&parameter.stream];
        let what = format!("{} {:?} {}", parameter.path, parameter.role, parameter.stream);
        put(&format!("{what} first entry"), of.weights[(0, 0)]);
        put(&format!("{what} last entry"), of.weights[of.weights.len() - 1]);
        put(&format!("{what} size"), size(of.weights.iter().copied()));
        if let Some(bias) = &of.bias {
            put(&format!("{what} bias"), bias[0]);
        }
    }
    let (out, columns) = (&trial.output, trial.output.ncols());
    put("output", out[(0, 0)]);
    put("last output", out[(out.nrows() - 1, columns - 1)]);
    put("product of outputs", out.column(0).dot(&out.column(columns - 1)));
    put("product of rows", out.row(0).dot(&out.row(1)));
    if trial.tokens.is_empty() {
        let (x, g) = (&trial.input, &trial.gradient);
        let x = x.clone().reshape_generic(nalgebra::Dyn(g.nrows()), nalgebra::Dyn(g.ncols()));
        put("gradient", g[(0, 0)]);
        put("last gradient", g[g.len() - 1]);
        put("gradient of the first column", size(g.column(0).iter().copied()));
        put("gradient of the last column", size(g.column(columns - 1).iter().copied()));
        put("product of gradients", g.column(0).dot(&g.column(columns - 1)));
        put("product with the input", g.dot(&x));
        // A draw that served both directions would show here.
        let shared = g.nrows().min(out.nrows());
        put("gradient and output", g.rows(0, shared).dot(&out.rows(0, shared)));
    } else {
        let (own, other) = (trial.tokens[0], trial.tokens[trial.tokens.len() - 1]);
        let mut unseen = (0..graph.parameters[0].shape.1).filter(|token| !trial.tokens.contains(token));
        let (a, b) = (unseen.next().unwrap(), unseen.next_back().unwrap());
        put("own logit", out[(own, 0)]);
        put("logit of a token seen elsewhere", out[(other, 0)]);
        put("logit of an unseen token", out[(a, 0)]);
        put("logits of two unseen tokens", out.row(a).dot(&out.row(b)));
        put("logits of a seen and an unseen token", out.row(own).dot(&out.row(a)));
        put(
            "size of unseen logits",
            size(unseen.flat_map(|row| out.row(row).iter().copied().collect::<Vec<_>>())),
        );
    }
    all
}

/// Which trial's numbers a comparison takes.
type Sample = Vec<Vec<(String, f64)>>;

fn sample<T: Precision>(
    case: &Case,
    graph: &Graph,
    draws: u64,
    seed: u64,
    maps: &(impl Fn(&Parameter, Key) -> Option<Box<dyn LinearMap<T>>> + Sync),
) -> Sample {
    let start = Key { seed, trial: 0, layer: 0 };
    let arrays = graph.arrays(&graph.context::<T>(start, case.batch, Threads::One));
    let zero = gradients_like(&arrays);
    let one = |trial: u64| {
        let way = Way { keep: trial.is_multiple_of(2), recompute: trial.is_multiple_of(3), ..PLAIN };
        let key = Key { trial, ..start };
        statistics(graph, &pass(graph, case.batch, key, &zero, Some(&|p, k| maps(p, k)), way))
    };
    (0..draws).into_par_iter().map(one).collect()
}

fn own<T: Precision>(_: &Parameter, _: Key) -> Option<Box<dyn LinearMap<T>>> {
    None
}

/// Statistics whose distance is beyond the bound.
fn differences(a: &Sample, b: &Sample) -> Vec<String> {
    let column = |sample: &Sample, k: usize| sample.iter().map(|row| row[k].1).collect();
    let named = (0..a[0].len()).map(|k| (&a[0][k].0, two_sample(column(a, k), column(b, k))));
    named.filter(|(_, d)| *d >= KS_BOUND).map(|(name, d)| format!("{name}: {d:.2}")).collect()
}

fn agree<T: Precision>(case: &Case) {
    // Wide states take their time.
    let draws = if case.name.contains("fewer columns") { 500 } else { DRAWS };
    let dense = sample::<T>(case, &network(case, Method::Dense), draws, 1, &own);
    let implicit = sample::<T>(case, &network(case, Method::Implicit), draws, 2, &own);
    let found = differences(&dense, &implicit);
    assert!(found.is_empty(), "{}: {found:#?}", case.name);
}

fn all_of(word: &str) -> impl Iterator<Item = Case> {
    cases().into_iter().filter(move |case| case.name.starts_with(word))
}

#[test]
fn transformers() {
    all_of("transformer").for_each(|case| agree::<f32>(&case));
}

#[test]
fn recurrent_networks() {
    all_of("rnn").for_each(|case| agree::<f32>(&case));
}

#[test]
fn gated_recurrent_networks() {
    ["lstm", "gru"].into_iter().flat_map(all_of).for_each(|case| agree::<f32>(&case));
}

#[test]
fn two_maps_of_one_input() {
    ["two maps", "gated"].into_iter().flat_map(all_of).for_each(|case| agree::<f32>(&case));
}

#[test]
fn residual_perceptrons() {
    all_of("perceptron").for_each(|case| agree::<f32>(&case));
}

#[test]
fn double_precision() {
    for name in ["transformer, means and biases", "rnn", "rnn, Haar", "gru", "two maps", "perceptron"] {
        agree::<f64>(&named(name));
    }
}

/// What is wrong with a map.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing: this is a second implementation of the conditional law.
    Nothing,
    /// (I − LLᵀ) is left out of the fresh part of an answer.
    Unprojected,
    /// Every query takes the draws of the first.
    Reused,
    /// Wᵀ comes from other streams than W.
    Detached,
    /// A query from the right forgets those before it.
    Forgetful,
}

/// A Gaussian map whose bases are kept as plain matrices in double precision.
struct Second {
    key: Key,
    std: f64,
    fault: Fault,
    /// Orthonormal directions of the inputs and of the outputs, with what the map makes of them.
    right: (DMatrix<f64>, DMatrix<f64>),
    left: (DMatrix<f64>, DMatrix<f64>),
    queries: u32,
    /// Answers from the left, where they come from another map.
    other: Option<Box<Second>>,
}

impl Second {
    fn new(parameter: &Parameter, key: Key, fault: Fault) -> Self {
        let Law::Normal { mean: 0.0, std } = parameter.law else { panic!("centered Gaussian laws alone") };
        let (rows, columns) = parameter.shape;
        let empty = |n: usize, m: usize| (DMatrix::zeros(n, 0), DMatrix::zeros(m, 0));
        let other = (fault == Fault::Detached).then(|| {
            let key = Key { layer: key.layer + 1000, ..key };
            Box::new(Self::new(parameter, key, Fault::Nothing))
        });
        Self { key, std, fault, right: empty(columns, rows), left: empty(rows, columns), queries: 0, other }
    }

    fn query(&mut self, x: &Signal<f32>, is_forward: bool) -> Signal<f32> {
        if self.fault == Fault::Forgetful && is_forward {
            for side in [&mut self.right, &mut self.left] {
                *side = (side.0.columns(0, 0).into_owned(), side.1.columns(0, 0).into_owned());
            }
        }
        let fault = self.fault;
        let (same, other) =
            if is_forward { (&mut self.right, &self.left) } else { (&mut self.left, &self.right) };
        let values = x.values.map(f64::from);
        let mut rest = values.clone();
        for _ in 0..2 {
            let c = same.0.transpose() * &rest;
            rest -= &same.0 * c;
        }
        let c = same.0.transpose() * &values;
        let norms: Vec<f64> = values.column_iter().map(|column| column.norm().max(1e-300)).collect();
        let scaled = DMatrix::from_fn(rest.nrows(), rest.ncols(), |i, j| rest[(i, j)] / norms[j]);
        let factor = Factor::new(&(scaled.transpose() * &scaled), 1.0, 1e-10);
        let q = &scaled * &factor.whitener;
        let root = q.transpose() * &rest;
        let query = if fault == Fault::Reused { 0 } else { self.queries };
        let mut rng = self.key.stream(Stream::Weights, Part::Query { query, block: 0 });
        let mut image =
            DMatrix::from_fn(other.0.nrows(), q.ncols(), |_, _| rng.sample::<f64, _>(StandardNormal));
        if fault != Fault::Unprojected {
            let along = other.0.transpose() * &image;
            image -= &other.0 * along;
        }
        image += &other.0 * (other.1.transpose() * &q);
        let answer = (&same.1 * c + &image * root) * self.std;
        let join = |a: &DMatrix<f64>, b: &DMatrix<f64>| {
            let columns: Vec<_> = a.column_iter().chain(b.column_iter()).collect();
            if columns.is_empty() { a.clone() } else { DMatrix::from_columns(&columns) }
        };
        *same = (join(&same.0, &q), join(&same.1, &image));
        self.queries += 1;
        Signal::new(answer.map(|v| v as f32), x.exponent)
    }
}

impl LinearMap<f32> for Second {
    fn forward(&mut self, x: &CachedSignal<f32>, _: Threads) -> Signal<f32> {
        self.query(&x.signal, true)
    }

    fn backward(&mut self, y: &CachedSignal<f32>, _: Threads) -> Signal<f32> {
        match &mut self.other {
            Some(other) => other.query(&y.signal, false),
            None => self.query(&y.signal, false),
        }
    }

    fn release(&mut self) {}
}

/// Every map but that of a tied head has the fault.
fn faulty(fault: Fault) -> impl Fn(&Parameter, Key) -> Option<Box<dyn LinearMap<f32>>> + Sync {
    move |parameter: &Parameter, key: Key| {
        (parameter.source == Source::Law).then(|| Box::new(Second::new(parameter, key, fault)) as _)
    }
}

/// For each network: the conditional law in another hand passes, and each error is caught by at least one statistic. That Wᵀ is
/// independent of W shows in the recurrent network alone, where one map is asked again and again; elsewhere the gradient hardly
/// depends on the weights that it passes (Yang & Schoenholz 2017 call it gradient independence).
#[test]
fn planted_errors_are_caught() {
    use Fault::{Detached, Forgetful, Nothing, Reused, Unprojected};
    for (name, faults) in [
        ("transformer", [Unprojected].as_slice()),
        ("rnn", &[Unprojected, Reused, Detached, Forgetful]),
        ("lstm", &[Unprojected]),
        ("gru", &[Unprojected]),
        ("two maps", &[Unprojected]),
        ("perceptron", &[Unprojected]),
    ] {
        let case = named(name);
        let graph = network(&case, Method::Implicit);
        let dense = sample::<f32>(&case, &network(&case, Method::Dense), DRAWS, 1, &own);
        let found = differences(&dense, &sample(&case, &graph, DRAWS, 3, &faulty(Nothing)));
        assert!(found.is_empty(), "{name}: {found:#?}");
        for fault in faults {
            let found = differences(&dense, &sample(&case, &graph, DRAWS, 3, &faulty(*fault)));
            assert!(!found.is_empty(), "{name}: {fault:?} is not seen");
        }
    }
}

/// A head whose rows are drawn a second time, and two maps that share their streams.
#[test]
fn planted_errors_of_sharing_are_caught() {
    let case = named("transformer");
    let graph = network(&case, Method::Implicit);
    let dense = sample::<f32>(&case, &network(&case, Method::Dense), DRAWS, 1, &own);
    let twice = |parameter: &Parameter, key: Key| -> Option<Box<dyn LinearMap<f32>>> {
        let (rows, columns) = parameter.shape;
        (parameter.source != Source::Law)
            .then(|| Box::new(ImplicitGaussian::new(0.0, 0.8, columns, rows, key)) as _)
    };
    let found = differences(&dense, &sample(&case, &graph, DRAWS, 3, &twice));
    assert!(found.iter().any(|name| name.starts_with("own logit")), "{found:#?}");
    let shared = |case: &Case, a: usize, b: usize| {
        let mut graph = network(case, Method::Implicit);
        graph.parameters[b].stream = graph.parameters[a].stream;
        sample::<f32>(case, &graph, DRAWS, 3, &own)
    };
    let place = |graph: &Graph, role: Role| graph.parameters.iter().position(|p| p.role == role).unwrap();
    let (query, key) = (place(&graph, Role::Query), place(&graph, Role::Key));
    assert!(!differences(&dense, &shared(&case, query, key)).is_empty());
    let case = named("two maps");
    let dense = sample::<f32>(&case, &network(&case, Method::Dense), DRAWS, 1, &own);
    assert!(!differences(&dense, &shared(&case, 1, 2)).is_empty());
}

const KEY: Key = Key { seed: 7, trial: 0, layer: 1 };

fn batch(rows: usize, columns: usize, k: usize) -> CachedSignal<f64> {
    let entry = |i: usize, j: usize| f64::sin((3 + i * 7 + j * 11 + i * j * k) as f64);
    Signal::new(DMatrix::from_fn(rows, columns, entry), 2).into()
}

fn close(a: &DMatrix<f64>, b: &DMatrix<f64>, what: &str) {
    assert!((a - b).amax() < 1e-9, "{what}: {}", (a - b).amax());
}

/// Rows that are looked up before and after the head was asked, from either side, belong to one table.
#[test]
fn a_table_is_one_table_whenever_its_rows_are_asked_for() {
    for method in [Method::Dense, Method::Implicit] {
        for mean in [0.0, 0.4] {
            let (features, rows) = (6, 15);
            let law = Law::Normal { mean, std: 0.7 };
            let table = Rc::new(RefCell::new(Table::<f64>::new(law, (features, rows), method, KEY)));
            let mut head = Table::transposed(Rc::clone(&table));
            let early = plain(&table.borrow_mut().look_up(&[3, 8, 3]));
            let x = batch(features, 2, 1);
            let logits = plain(&head.forward(&x, Threads::One));
            let late = plain(&table.borrow_mut().look_up(&[8, 0, 14, 0]));
            let y = batch(rows, 2, 2);
            let back = plain(&head.backward(&y, Threads::One));
            head.release();
            let again = plain(&head.forward(&x, Threads::One));
            let all: Vec<usize> = (0..rows).collect();
            let whole = plain(&table.borrow_mut().look_up(&all));
            let what = format!("{method:?}, mean {mean}");
            for (place, number) in [3, 8, 3].into_iter().enumerate() {
                close(&early.columns(place, 1).into(), &whole.columns(number, 1).into(), &what);
            }
            for (place, number) in [8, 0, 14, 0].into_iter().enumerate() {
                close(&late.columns(place, 1).into(), &whole.columns(number, 1).into(), &what);
            }
            close(&logits, &(whole.transpose() * plain(&x.signal)), &what);
            close(&again, &logits, &what);
            close(&back, &(&whole * plain(&y.signal)), &what);
        }
    }
}

/// A row that is looked up behind the head has the law of one that is looked up before it: 2000 draws of each, against those of a
/// table that is drawn whole. A mean that counted twice would show.
#[test]
fn late_rows_have_the_law_of_early_ones() {
    let entries = |method: Method, head_first: bool| -> Vec<Vec<f64>> {
        let one = |trial: u64| {
            let law = Law::Normal { mean: 0.4, std: 0.7 };
            let key = Key { seed: u64::from(head_first), trial, layer: 1 };
            let table = Rc::new(RefCell::new(Table::<f32>::new(law, (4, 9), method, key)));
            let mut head = Table::transposed(Rc::clone(&table));
            table.borrow_mut().look_up(&[2]);
            let x = Signal::new(DMatrix::from_element(4, 1, 1.0), 0).into();
            let rows =
                |last: bool| (head_first == last).then(|| plain(&table.borrow_mut().look_up(&[5, 7, 2])));
            let early = rows(false);
            let logits = plain(&head.forward(&x, Threads::One));
            let row = early.or_else(|| rows(true)).unwrap();
            vec![
                row[(0, 0)],
                row.column(0).dot(&row.column(1)),
                logits[5],
                logits[5] * row[(1, 0)],
                row[(3, 2)],
            ]
        };
        (0..DRAWS).into_par_iter().map(one).collect()
    };
    let dense = entries(Method::Dense, false);
    for head_first in [false, true] {
        let found = ks::distances(&dense, &entries(Method::Implicit, head_first));
        assert!(found.iter().all(|d| *d < KS_BOUND), "{head_first}: {found:.2?}");
    }
}

/// Columns far smaller than others of the same query get answers of the same law: sizes of a single entry over that of its column,
/// 2000 draws against dense ones.
#[test]
fn small_columns_beside_large_ones_are_not_lost() {
    for law in [Law::Normal { mean: 0.0, std: 0.5 }, Law::Haar { gain: 1.0 }] {
        let answers = |method: Method| -> Vec<Vec<f64>> {
            let one = |trial: u64| {
                let mut map = linear_map::<f32>(method, law, 12, 10, Key { trial, ..KEY });
                let mut x = batch(12, 6, 1).signal.values.map(|v| v as f32);
                for (j, mut column) in x.column_iter_mut().enumerate() {
                    column *= 10f32.powi(-4 * j as i32);
                }
                let mut all = Vec::new();
                for columns in [0..3, 3..6] {
                    let part = x.columns(columns.start, 3).into_owned();
                    let y = plain(&map.forward(&Signal::new(part, 0).into(), Threads::One));
                    let relative =
                        |j: usize| y.column(j).norm() / f64::from(x.column(columns.start + j).norm());
                    all.extend([y[(0, 2)] / y.column(2).norm(), relative(1), relative(2)]);
                    all.push(y.column(0).normalize().dot(&y.column(2).normalize()));
                }
                all
            };
            (0..DRAWS).into_par_iter().map(one).collect()
        };
        let found = ks::distances(&answers(Method::Dense), &answers(Method::Implicit));
        assert!(found.iter().all(|d| *d < KS_BOUND), "{law:?}: {found:.2?}");
    }
}

/// A forward pass that is computed twice, draws that are released and drawn again, and threads change no bit of what a trial
/// records and computes.
#[test]
fn ways_of_computing_change_no_number() {
    for case in cases() {
        for method in [Method::Dense, Method::Implicit] {
            let graph = network(&case, method);
            let arrays = graph.arrays(&graph.context::<f32>(KEY, case.batch, Threads::One));
            let one = |way: Way| {
                let trial = pass(&graph, case.batch, KEY, &gradients_like(&arrays), None, way);
                let (records, gradients) = (format!("{:?}", trial.records), format!("{:?}", trial.gradients));
                (records, trial.output, trial.gradient, gradients)
            };
            let once = one(PLAIN);
            for way in [
                Way { keep: false, ..PLAIN },
                Way { threads: Threads::All, ..PLAIN },
                Way { recompute: true, ..PLAIN },
                Way { recompute: true, keep: false, threads: Threads::All },
            ] {
                let other = one(way);
                let what = format!("{} {method:?} {} {}", case.name, way.recompute, way.keep);
                assert_eq!(once.0, other.0, "{what}");
                assert!(once.1 == other.1 && once.2 == other.2 && once.3 == other.3, "{what}");
            }
        }
    }
}
