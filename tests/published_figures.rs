//! Figures that papers state of initializers, derived here and measured by the engine.
//!
//! Seeds are fixed, so a test is the same run every time. Where a figure is an expectation, the mean over independent trials is held
//! to it within [`ERRORS`] standard errors of that mean, and what a finite width adds beside, which each test states as a share of
//! the law. By Student's law with 23 degrees of freedom or more a comparison rejects a true law with a probability below 4.3·10⁻⁸,
//! and a test with one below 10⁻⁶. Each test shows that another law is rejected.

#![expect(clippy::print_stdout, reason = "measured figures are for people to read")]

use initdiag::activation::Activation;
use initdiag::frontend::toml::Architecture;
use initdiag::graph::{Graph, Laws, Override, Passed, trial};
use initdiag::initializer::Initializer;
use initdiag::law::draw::{Standard, matrix};
use initdiag::numeric::product::Threads;
use initdiag::numeric::signal::Signal;
use initdiag::numeric::stream::{Key, Part, Role};
use initdiag::op::record::LayerRecord;
use initdiag::spec::Loss;
use libm::erfc;
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::f64::consts::{E, FRAC_1_SQRT_2, PI, SQRT_2};
use std::sync::Arc;

/// Standard errors of a mean over trials beyond which a law is rejected.
const ERRORS: f64 = 8.0;

/// The network of an architecture file.
fn net(text: &str, init: &str, overrides: &[&str]) -> Graph {
    let architecture = Architecture::parse(text).unwrap();
    let init = Initializer::parse_for_net(init).unwrap();
    let act = Arc::new(Activation::parse(architecture.act.as_deref().unwrap_or("relu")).unwrap());
    let overrides: Vec<Override> = overrides.iter().map(|one| Override::parse(one).unwrap()).collect();
    architecture.with_laws(&Laws { init: &init, bias: None, act: &act, overrides: &overrides }).unwrap()
}

/// One trial with this input.
fn pass(net: &Graph, x: DMatrix<f64>, number: u64) -> Passed<f64> {
    let context = net.context(Key { seed: 5, trial: number, layer: 0 }, x.ncols(), Threads::One);
    trial(net, vec![Signal::new(x, 0)], Loss::Random, context, false, &|| true).unwrap()
}

/// A mean over trials with its standard error.
#[derive(Clone, Copy, Debug)]
struct Mean {
    mean: f64,
    error: f64,
}

impl Mean {
    /// The law is not rejected; `width` is the share of it that the finite width may add or take.
    fn follows(self, law: f64, width: f64) -> bool {
        println!("{:.5} ± {:.5} beside {law:.5}", self.mean, self.error);
        (self.mean - law).abs() <= ERRORS * self.error + width * law.abs()
    }
}

/// Means of what trials record, with N(0, 1) entries of the input.
fn means(
    net: &Graph,
    batch: usize,
    trials: u64,
    of: impl Fn(&[LayerRecord]) -> Vec<f64> + Sync,
) -> Vec<Mean> {
    let one = |number: u64| {
        let key = Key { seed: 5, trial: number, layer: 0 };
        let stream = (key, Role::Input, Part::Block(0));
        let x = matrix::<f64>((net.features(), batch), Standard::Normal, stream, Threads::One);
        of(&pass(net, x, number).records)
    };
    let all: Vec<Vec<f64>> = (0..trials).into_par_iter().map(one).collect();
    let count = trials as f64;
    let mean = |place: usize| {
        let mean = all.iter().map(|values| values[place]).sum::<f64>() / count;
        let square = all.iter().map(|values| (values[place] - mean).powi(2)).sum::<f64>();
        Mean { mean, error: (square / (count - 1.0) / count).sqrt() }
    };
    (0..all[0].len()).map(mean).collect()
}

/// Places of the entries of a kind.
fn places(net: &Graph, kind: &str) -> Vec<usize> {
    (0..net.entries.len()).filter(|place| net.entries[*place].kind == kind).collect()
}

/// Places of the layers whose path ends so.
fn named(net: &Graph, end: &str) -> Vec<usize> {
    (0..net.entries.len()).filter(|place| net.entries[*place].path.ends_with(end)).collect()
}

fn signals(places: &[usize]) -> impl Fn(&[LayerRecord]) -> Vec<f64> + Sync + '_ {
    |records| places.iter().map(|place| records[*place].preactivation.second_moment.to_f64()).collect()
}

fn gradients(places: &[usize]) -> impl Fn(&[LayerRecord]) -> Vec<f64> + Sync + '_ {
    |records| places.iter().map(|place| records[*place].gradient.second_moment.to_f64()).collect()
}

/// Mean squares of the weights' gradients.
fn weights(places: &[usize]) -> impl Fn(&[LayerRecord]) -> Vec<f64> + Sync + '_ {
    |records| places.iter().map(|place| records[*place].weight_gradient.second_moment.to_f64()).collect()
}

/// The sum of the same over all places.
fn total(places: &[usize]) -> impl Fn(&[LayerRecord]) -> Vec<f64> + Sync + '_ {
    |records| vec![weights(places)(records).iter().sum()]
}

/// E φ(u)φ(v) of ReLU, u and v normal with variance 1 and this correlation (Cho & Saul 2009).
fn relu_kernel(c: f64) -> f64 {
    let c = c.clamp(-1.0, 1.0);
    ((1.0 - c * c).sqrt() + c * (PI - c.acos())) / (2.0 * PI)
}

const POSITIONS: usize = 4;

/// The transformer of Xiong et al. 2020: one head whose queries and keys are zero, so that it averages over the positions; N(0, 1/d).
fn transformer(blocks: usize, pre: bool, end: &str) -> String {
    let norm = r#"{ type = "layernorm" },"#;
    let (before, behind) = if pre { (norm, "") } else { ("", norm) };
    format!(
        r#"
        input = {{ shape = [{POSITIONS}, 128] }}
        layer = [{{ type = "repeat", times = {blocks}, layers = [
            {{ type = "residual", layers = [{before} {{ type = "attention", heads = 1, bias = false }}] }}, {behind}
            {{ type = "residual", layers = [{before}
                {{ type = "linear", out = 128, bias = false }}, {{ type = "act" }},
                {{ type = "linear", name = "down", out = 128, bias = false }},
            ] }}, {behind}
        ] }}, {end}]"#
    )
}

const UNIFORM: &[&str] = &["*/query=zeros", "*/key=zeros"];

/// Mean squares of the sums of such a transformer, from one block to the next.
///
/// S is that of an entry, C the mean product of two positions. What attention adds is the positions' mean, with (1 + (n − 1)c)/n of
/// their cosine c = C/S, and the perceptron adds 1/2 and the kernel of c.
fn stream(blocks: usize, pre: bool) -> Vec<f64> {
    let n = POSITIONS as f64;
    let (mut s, mut c) = (1.0, 0.0);
    let mut all = Vec::new();
    for _ in 0..blocks {
        let cosine: f64 = if pre { c / s } else { c };
        let shared = (1.0 + (n - 1.0) * cosine) / n;
        (s, c) = (s + shared, c + shared);
        all.push(s);
        let cosine = c / s;
        if !pre {
            (s, c) = (1.0, cosine);
        }
        (s, c) = (s + 0.5, c + relu_kernel(cosine));
        all.push(s);
        if !pre {
            (s, c) = (1.0, c / s);
        }
    }
    all
}

/// Xiong et al. 2020 (arXiv:2002.04745), lemma 2: in a pre-norm transformer the stream behind block l has 1 + l/2 ≤ E‖x‖²/d ≤ 1 +
/// 3l/2.
///
/// 8 blocks of 128 features, 4 positions, 8 samples, 32 trials; all 16 sums follow the recursion, of whose increments the finite
/// width may take 2/d.
#[test]
fn pre_norm_streams_grow_by_a_half_to_three_halves_a_block() {
    let text = transformer(8, true, "");
    let xavier = net(&text, "xavier-normal", UNIFORM);
    let sums = places(&xavier, "residual");
    let found = means(&xavier, 8, 32, signals(&sums));
    for (place, (found, law)) in found.iter().zip(stream(8, true)).enumerate() {
        assert!(found.follows(law, 2.0 / 128.0), "sum {place}: {found:?} where {law} is");
    }
    let within = |found: &Mean, block: f64| {
        let slack = ERRORS * found.error;
        found.mean + slack >= 1.0 + block / 2.0 && found.mean - slack <= 1.0 + 1.5 * block
    };
    let blocks = |found: &[Mean]| found.iter().skip(1).step_by(2).copied().collect::<Vec<_>>();
    assert!(blocks(&found).iter().zip(1..).all(|(mean, block)| within(mean, f64::from(block))), "{found:?}");
    // He's law adds 2 behind each perceptron.
    let he = net(&text, "he", UNIFORM);
    let found = blocks(&means(&he, 8, 32, signals(&sums)));
    assert!(found.iter().zip(1..).skip(1).all(|(mean, block)| !within(mean, f64::from(block))), "{found:?}");
}

/// Xiong et al. 2020, lemma 2: in a post-norm transformer the perceptron's sum has E‖x‖²/d = 3/2 before its norm, in every block.
#[test]
fn post_norm_sums_are_three_halves() {
    let text = transformer(8, false, "");
    let xavier = net(&text, "xavier-normal", UNIFORM);
    let sums = places(&xavier, "residual");
    let found = means(&xavier, 8, 32, signals(&sums));
    for (place, (found, law)) in found.iter().zip(stream(8, false)).enumerate() {
        assert!(place % 2 == 0 || law == 1.5);
        assert!(found.follows(law, 2.0 / 128.0), "sum {place}: {found:?} where {law} is");
    }
    let he = net(&text, "he", UNIFORM);
    let found = means(&he, 8, 32, signals(&sums));
    assert!(found.iter().skip(1).step_by(2).all(|mean| !mean.follows(1.5, 2.0 / 128.0)), "{found:?}");
}

/// The norm of a post-norm sublayer divides by the root of 1 + s, with s what the branch adds, and takes a share s/(1 + s) from gradients
/// that come back through the skip alone (Xiong et al. 2020). A ReLU branch gives that share back: it multiplies mean squares by
/// s in both directions, so gradients of the sums are 1/(1 + s) in every block.
///
/// Xavier's law has s = 1/2, He's 2. 8 sublayers of 128 features, 1 sample, 60 trials; each norm takes up to 2/d of what the branch adds.
#[test]
fn post_norm_keeps_gradients_where_branches_do() {
    let text = r#"
        input = { shape = [128] }
        layer = [{ type = "layernorm" }, { type = "repeat", times = 8, layers = [
            { type = "residual", layers = [
                { type = "linear", out = 128, bias = false }, { type = "act" }, { type = "linear", out = 128, bias = false },
            ] },
            { type = "layernorm" },
        ] }]"#;
    let width = 8.0 * 2.0 / 128.0;
    for (init, s) in [("xavier-normal", 0.5), ("he", 2.0)] {
        let graph = net(text, init, &[]);
        let found = means(&graph, 1, 60, gradients(&places(&graph, "residual")));
        assert!(found.iter().all(|mean| mean.follows(1.0 / (1.0 + s), width)), "{init}: {found:?}");
        // The skip alone.
        assert!(!found[0].follows((1.0f64 + s).powi(-8), width), "{init}: {found:?}");
    }
}

/// Xiong et al. 2020, theorem 1: the gradient of the last perceptron's weights does not depend on the depth in a post-norm
/// transformer, and falls as 1/√L in a pre-norm one, whose last norm divides by the stream.
///
/// Behind that norm, gradients are N(0, 1). An entry of ∂C/∂W sums one product a position and sample, so its mean square is
/// positions·E h² over what the norm divides by: positions/2 over S of the last sum, or over 3/2. 1 sample, 60 trials, 4/d.
#[test]
fn last_gradients_fall_with_depth_in_pre_norm_alone() {
    let gradient = |blocks: usize, pre: bool| {
        let text = transformer(blocks, pre, if pre { r#"{ type = "layernorm" }"# } else { "" });
        let graph = net(&text, "xavier-normal", UNIFORM);
        let last = *named(&graph, "down").last().unwrap();
        means(&graph, 1, 60, weights(&[last]))[0]
    };
    let law = |blocks: usize| POSITIONS as f64 / 2.0 / stream(blocks, true)[2 * blocks - 1];
    for blocks in [2, 12] {
        let (pre, post) = (gradient(blocks, true), gradient(blocks, false));
        assert!(pre.follows(law(blocks), 4.0 / 128.0), "{blocks}: {pre:?} where {} is", law(blocks));
        assert!(post.follows(POSITIONS as f64 / 3.0, 4.0 / 128.0), "{blocks}: {post:?}");
    }
    assert!(!gradient(12, true).follows(law(2), 4.0 / 128.0));
}

/// Hayou et al. 2021 (Stable ResNet, arXiv:2010.12859): with branches times 1/√L the signal of a ReLU residual network grows by (1 +
/// 1/L)^L < e.
///
/// A branch is W·φ(x) with He's law, so E‖x‖² grows by exactly 1 + 1/L a block, whatever the width. 64 units, 2000 trials.
#[test]
fn stable_residual_networks_grow_by_less_than_e() {
    let grown = |blocks: usize, scale: f64| {
        let text = format!(
            r#"
            input = {{ shape = [64] }}
            layer = [{{ type = "repeat", times = {blocks}, layers = [
                {{ type = "residual", scale = {scale}, layers = [{{ type = "act" }}, {{ type = "linear", out = 64 }}] }},
            ] }}]"#
        );
        let graph = net(&text, "he", &[]);
        let sums = places(&graph, "residual");
        means(&graph, 1, 2000, signals(&sums[blocks - 1..]))[0]
    };
    for blocks in [1usize, 5, 40] {
        let stable = |power: usize| (1.0 + 1.0 / blocks as f64).powi(power as i32);
        let found = grown(blocks, 1.0 / (blocks as f64).sqrt());
        assert!(found.follows(stable(blocks), 0.0), "{blocks}: {found:?} where {} is", stable(blocks));
        assert!(stable(blocks) < E);
    }
    // Without the factor it doubles.
    let whole = grown(5, 1.0);
    assert!(!whole.follows(1.2f64.powi(5), 0.0) && whole.follows(2f64.powi(5), 0.0));
    // A factor of 1/√(2L), for as many branches again, is another law.
    assert!(!grown(5, 0.1f64.sqrt()).follows(1.2f64.powi(5), 0.0));
}

/// De & Smith 2020 (arXiv:2002.10444): with batch norm at the head of each branch the stream's variance grows by 1 a block, so the
/// l-th branch is 1/(l + 1) of it; without norm it doubles.
///
/// 128 units, 256 samples, 24 trials; a norm of the batch leaves what it makes within 2/B of a normal law's.
#[test]
fn batch_norm_streams_have_slope_one() {
    let text = r#"
        input = { shape = [128] }
        layer = [{ type = "repeat", times = 12, layers = [
            { type = "residual", layers = [{ type = "batchnorm" }, { type = "act" }, { type = "linear", out = 128, bias = false }] },
        ] }]"#;
    let follow = |found: &[Mean]| {
        found
            .iter()
            .zip(1..)
            .map(|(mean, block)| mean.follows(1.0 + f64::from(block), 2.0 / 128.0))
            .collect::<Vec<_>>()
    };
    let he = net(text, "he", &[]);
    let sums = places(&he, "residual");
    let found = means(&he, 256, 24, signals(&sums));
    assert!(follow(&found).iter().all(|right| *right), "{found:?}");
    for (text, init) in
        [(text.to_string(), "xavier"), (text.replace(r#"{ type = "batchnorm" }, "#, ""), "he")]
    {
        let found = means(&net(&text, init, &[]), 256, 24, signals(&sums));
        assert!(follow(&found).iter().skip(1).all(|right| !right), "{init}: {found:?}");
    }
}

/// Zhang et al. 2019 (arXiv:1901.09321), § 3: with the other m − 1 layers of each of L branches times L^(−1/(2m−2)) and the last
/// zero, a step of size η changes the function by Θ(η) whatever the depth: each last layer has 1/L of the squared gradient, and
/// nothing else has any.
///
/// The stream stays the input. Behind m − 1 layers of ReLU an entry has E h² = (L^(−1/(m−1)))^(m−1) = 1/L, and an entry of ∂C/∂W has
/// E δ²·E h² = 1/L, exactly, of one sample. 32 units, 600 trials.
#[test]
fn fixup_steps_do_not_depend_on_depth() {
    let text = |blocks: usize, layers: usize| {
        let hidden = r#"{ type = "linear", out = 32 }, { type = "act" },"#.repeat(layers - 1);
        format!(
            r#"
            input = {{ shape = [32] }}
            layer = [{{ type = "repeat", times = {blocks}, layers = [
                {{ type = "residual", layers = [{hidden} {{ type = "linear", name = "last", out = 32 }}] }},
            ] }}]"#
        )
    };
    for (blocks, layers) in [(2, 2), (32, 2), (2, 3), (32, 3)] {
        let graph = net(&text(blocks, layers), "fixup", &[]);
        let last = named(&graph, "last");
        let law = 1.0 / blocks as f64;
        for found in means(&graph, 1, 600, weights(&last)) {
            assert!(found.follows(law, 0.0), "{blocks} blocks of {layers}: {found:?}");
        }
        let found = means(&graph, 1, 600, total(&last))[0];
        assert!(found.follows(1.0, 0.0), "{blocks} blocks of {layers}: {found:?}");
        let others: Vec<usize> =
            places(&graph, "linear").into_iter().filter(|place| !last.contains(place)).collect();
        assert!(means(&graph, 1, 2, weights(&others)).iter().all(|mean| mean.mean == 0.0));
    }
    // Zeros at the end of He's branches alone leave the sum in proportion to the depth.
    let he = net(&text(32, 2), "he", &["*/last=zeros"]);
    let found = means(&he, 1, 600, total(&named(&he, "last")))[0];
    assert!(!found.follows(1.0, 0.0) && found.follows(32.0, 0.0), "{found:?}");
}

/// Of N blocks of attention and perceptron with all four matrices of ratio a = n·Var, one position and mean square s of the input:
/// the sum over all of them of the mean squares of ∂C/∂W.
///
/// At one position attention is the product of two matrices. It multiplies the stream by 1 + a², the perceptron by 1 + a²/2, and
/// gradients likewise on their way back, so what stands at a block is the whole growth without that of the block's own sum.
fn updates(blocks: usize, a: f64, s: f64) -> f64 {
    let (attention, perceptron) = (1.0 + a * a, 1.0 + a * a / 2.0);
    let growth = (attention * perceptron).powi(blocks as i32);
    blocks as f64 * a * s * growth * (2.0 / attention + 1.0 / perceptron)
}

/// Huang et al. 2020 (T-Fixup, ICML), § 3.2: in an encoder of N blocks without norms, values, outputs and perceptrons times
/// 0.67·N^(−1/4) and embeddings, N(0, 1) behind their factor √d, times (9N)^(−1/4) bound the change of the function by a step,
/// whatever N.
///
/// The sum over all weights of the mean square of ∂C/∂W is [`updates`] with a = 0.67²/√N and s = 1/(3√N): it goes to a limit, where
/// Xavier's law alone makes it grow exponentially. One sample, 96 features, 100 trials; a block's growth may be off by 2/d a block's
/// share.
#[test]
fn t_fixup_bounds_the_sum_of_updates() {
    let found = |blocks: usize, scale: f64| {
        let text = format!(
            r#"
            input = {{ shape = [1, 96] }}
            layer = [{{ type = "scale", by = {} }}, {{ type = "repeat", times = {blocks}, layers = [
                {{ type = "residual", layers = [{{ type = "attention", heads = 1, bias = false }}] }},
                {{ type = "residual", layers = [
                    {{ type = "linear", name = "up", out = 96, bias = false }}, {{ type = "act" }},
                    {{ type = "linear", name = "down", out = 96, bias = false }},
                ] }},
            ] }}]"#,
            (9.0 * blocks as f64).powf(-0.25)
        );
        let graph = net(&text, &format!("xavier-normal(gain={scale})"), &[]);
        let all = ["value", "out", "up", "down"].map(|part| named(&graph, part)).concat();
        assert_eq!(all.len(), 4 * blocks);
        means(&graph, 1, 100, total(&all))[0]
    };
    let law =
        |blocks: usize, scale: f64| updates(blocks, scale * scale, 1.0 / (3.0 * (blocks as f64).sqrt()));
    let scale = |blocks: usize| 0.67 * (blocks as f64).powf(-0.25);
    for blocks in [3, 12, 48] {
        let (found, law) = (found(blocks, scale(blocks)), law(blocks, scale(blocks)));
        assert!(found.follows(law, 4.0 / 96.0), "{blocks}: {found:?} where {law} is");
        assert!((0.5..0.75).contains(&law), "{law}");
    }
    // Xavier's law as it is.
    let wrong = found(12, 1.0);
    assert!(!wrong.follows(law(12, scale(12)), 4.0 / 96.0) && wrong.mean > 1e3, "{wrong:?}");
}

/// Wang et al. 2022 (DeepNet, arXiv:2203.00555), § 4: post-norm sublayers LN(αx + f(x)) with α = (2N)^(1/4) and values, outputs and
/// perceptrons times β = (8N)^(−1/4) satisfy 2N(v² + w²)/α² = 1 for the 2N sublayers of an encoder, which bounds the update.
///
/// With f = W_w·W_v·x, as the paper has it, v² = w² = β². An entry of ∂C/∂W of either has β²/(α²(1 + s)) with s = β⁴/α² what the sum
/// grows by before its norm, so the sum over 4N matrices is 4Nβ²/α²/(1 + s) = 1/(1 + s). One sample, 128 features, 60 trials; norms
/// take 4/d.
#[test]
fn deepnorm_updates_add_up_to_one() {
    let found = |blocks: usize, alpha: f64, beta: f64| {
        let text = format!(
            r#"
            input = {{ shape = [128] }}
            layer = [{{ type = "layernorm" }}, {{ type = "repeat", times = {}, layers = [
                {{ type = "residual", scale = {}, layers = [
                    {{ type = "linear", out = 128, bias = false }}, {{ type = "linear", out = 128, bias = false }},
                ] }},
                {{ type = "layernorm" }},
            ] }}]"#,
            2 * blocks,
            1.0 / alpha
        );
        let graph = net(&text, &format!("xavier-normal(gain={beta})"), &[]);
        means(&graph, 1, 60, total(&places(&graph, "linear")))[0]
    };
    for blocks in [1, 4, 16] {
        let n = blocks as f64;
        let (alpha, beta) = ((2.0 * n).powf(0.25), (8.0 * n).powf(-0.25));
        assert!((2.0 * n * 2.0 * beta * beta / (alpha * alpha) - 1.0).abs() < 1e-12);
        let law = 1.0 / (1.0 + beta.powi(4) / (alpha * alpha));
        let found = found(blocks, alpha, beta);
        assert!(found.follows(law, 4.0 / 128.0), "{blocks}: {found:?} where {law} is");
    }
    // Plain post-norm: each of 2N sublayers adds 2·(1/2).
    let plain = found(16, 1.0, 1.0);
    assert!(!plain.follows(1.0, 4.0 / 128.0) && plain.mean > 16.0, "{plain:?}");
}

/// Le, Jaitly & Hinton 2015 (arXiv:1504.00941): a ReLU network whose recurrent matrix is the identity copies its state, so gradients
/// come back through any number of steps as they are; a scaled identity forgets at its rate.
///
/// Inputs and their weights are positive, so every unit is active: the law is exact, and rounding alone allows 10⁻¹².
#[test]
fn irnn_gradients_stay_as_they_are() {
    let steps = |recurrent: &str| {
        let text = format!(
            r#"
            input = {{ shape = [30, 3] }}
            layer = [{{ type = "rnn", fn = "relu", out = 16, init = "constant(0.1)", recurrent = "{recurrent}", last = true }}]"#
        );
        let graph = net(&text, "he", &[]);
        let x = DMatrix::from_fn(graph.features(), 4, |i, j| 0.5 + 0.4 * f64::sin((3 * i + 7 * j) as f64));
        gradients(&places(&graph, "rnn"))(&pass(&graph, x, 0).records)
    };
    let factors = |steps: &[f64]| steps.windows(2).map(|pair| pair[0] / pair[1]).collect::<Vec<_>>();
    let are =
        |recurrent: &str, law: f64| factors(&steps(recurrent)).iter().all(|f| (f / law - 1.0).abs() < 1e-12);
    assert_eq!(steps("identity").len(), 30);
    assert!(are("identity", 1.0));
    assert!(are("identity(0.9)", 0.81) && !are("identity(0.9)", 1.0));
    assert!(!are("he", 1.0));
}

/// Gers et al. 2000, Jozefowicz et al. 2015: a forget gate whose bias is 0 lets σ(0) = 0.5 of the cell's gradient through a step, one
/// whose bias is 1 lets σ(1) = 0.731 through.
///
/// With weights of zero the gates are what their biases make them, the gradient of the candidate is the cell's times σ(0), and no
/// other gate has any before the last step: squares change by σ(b)² a step, exactly.
#[test]
fn forget_biases_set_what_a_step_lets_through() {
    let factors = |bias: f64| {
        let text = format!(
            r#"
            input = {{ shape = [20, 3] }}
            layer = [{{ type = "lstm", out = 8, forget = {bias:.1}, last = true }}]"#
        );
        let graph = net(&text, "zeros", &[]);
        let x = DMatrix::from_fn(graph.features(), 4, |i, j| f64::sin((3 * i + 7 * j) as f64));
        let steps = gradients(&places(&graph, "lstm"))(&pass(&graph, x, 0).records);
        assert_eq!(steps.len(), 20);
        steps.windows(2).map(|pair| (pair[0] / pair[1]).sqrt()).collect::<Vec<_>>()
    };
    let are = |bias: f64, law: f64| factors(bias).iter().all(|f| (f / law - 1.0).abs() < 1e-12);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    assert!((sigmoid(1.0) - 0.731).abs() < 1e-3);
    assert!(are(0.0, 0.5) && are(1.0, sigmoid(1.0)) && !are(1.0, 0.5) && are(-2.0, sigmoid(-2.0)));
}

/// Dong, Cordonnier & Loukas 2021 (arXiv:2103.03404), § 2: attention alone takes what sets positions apart to its third power, a skip
/// keeps it.
///
/// Positions are x + ε·r. Scores differ between queries by ε²·rᵢᵀArⱼ beside what all share, and weights that add up to one carry ε·rⱼ
/// alone into the differences: ε³. Halving ε takes 2⁶ from 1 − cosine, and 2² with a skip, to first order in ε; ε = 1/64 leaves 2 %.
#[test]
fn attention_alone_cubes_what_sets_positions_apart() {
    let apart = |skip: bool, epsilon: f64| {
        let attention = r#"{ type = "attention", heads = 2, bias = false }"#;
        let layer = if skip {
            format!(r#"{{ type = "residual", layers = [{attention}] }}"#)
        } else {
            attention.into()
        };
        let text = format!("input = {{ shape = [6, 32] }}\nlayer = [{layer}]");
        let graph = net(&text, "xavier-normal(gain=3)", &[]);
        let x = DMatrix::from_fn(graph.features(), 1, |feature, _| {
            f64::sin((feature % 32) as f64) + epsilon * f64::cos((feature * feature) as f64)
        });
        let last = graph.entries.len() - 1;
        1.0 - pass(&graph, x, 0).records[last].position_correlation.unwrap()
    };
    let exponent = |skip: bool| (apart(skip, 1.0 / 32.0) / apart(skip, 1.0 / 64.0)).log2();
    assert!((exponent(false) - 6.0).abs() < 0.2, "{}", exponent(false));
    assert!((exponent(true) - 2.0).abs() < 0.1, "{}", exponent(true));
}

/// Noci et al. 2022 (arXiv:2206.03126), § 3: averaging attention with a skip, x + α·W·x̄, keeps what sets positions apart, while what
/// they share grows by 1 + α² a layer: cosines go to 1 with depth for α = 1, and to a limit below for α = 1/√L.
///
/// Of n independent positions the shared part begins as 1/n. Behind L layers S = 1 − 1/n + (1 + α²)^L/n, exactly, and two positions
/// have ((1 + α²)^L − 1)/n over S, to 2/d. 64 features, 4 positions, 800 trials.
#[test]
fn skips_of_averaging_attention_collapse_slowly_or_not_at_all() {
    let n = POSITIONS as f64;
    let found = |layers: usize, alpha: f64| {
        let text = format!(
            r#"
            input = {{ shape = [{POSITIONS}, 64] }}
            layer = [{{ type = "repeat", times = {layers}, layers = [
                {{ type = "residual", scale = {alpha}, layers = [{{ type = "attention", heads = 1, bias = false }}] }},
            ] }}]"#
        );
        let graph = net(&text, "xavier-normal", UNIFORM);
        let last = *places(&graph, "residual").last().unwrap();
        let means = means(&graph, 1, 800, |records| {
            vec![
                records[last].preactivation.second_moment.to_f64(),
                records[last].position_correlation.unwrap(),
            ]
        });
        (means[0], means[1])
    };
    let law = |layers: usize, alpha: f64| {
        let grown = (1.0 + alpha * alpha).powi(layers as i32);
        let signal = 1.0 + (grown - 1.0) / n;
        (signal, (grown - 1.0) / n / signal)
    };
    for (layers, alpha) in
        [(2, 1.0), (8, 1.0), (2, 0.5f64.sqrt()), (8, 0.125f64.sqrt()), (32, (1.0 / 32.0f64).sqrt())]
    {
        let ((signal, cosine), law) = (found(layers, alpha), law(layers, alpha));
        assert!(signal.follows(law.0, 0.0), "{layers}, {alpha}: {signal:?} where {} is", law.0);
        assert!(cosine.follows(law.1, 2.0 / 64.0), "{layers}, {alpha}: {cosine:?} where {} is", law.1);
    }
    assert!(law(8, 1.0).1 > 0.98 && law(32, (1.0 / 32.0f64).sqrt()).1 < (E - 1.0) / (n + E - 1.0));
    assert!(!found(8, 1.0).1.follows(law(8, 0.125f64.sqrt()).1, 2.0 / 64.0));
}

/// E f(z) of a standard normal z, by the trapezoidal rule.
fn expected(f: impl Fn(f64) -> f64) -> f64 {
    let step = 1e-3;
    let point = |k: i32| f64::from(k) * step;
    (-12_000..=12_000).map(point).map(|z| f(z) * (-z * z / 2.0).exp()).sum::<f64>() * step / (2.0 * PI).sqrt()
}

/// Klambauer et al. 2017 (arXiv:1706.02515): λ = 1.0507 and α = 1.6733, in closed form by the complementary error function, make mean
/// 0 and variance 1 a fixed point, which attracts.
///
/// E φ = 0 and E φ² = 1 to the rule's 10⁻⁷. With LeCun's law 32 layers of 256 units keep mean square 1; 24 trials of 16 samples, and
/// a finite width may take 4/n.
#[test]
fn selu_keeps_mean_zero_and_variance_one() {
    let selu = Activation::parse("selu").unwrap();
    let phi = |z: f64| selu.at(z).0;
    let (root, c) = (E.sqrt(), erfc(FRAC_1_SQRT_2));
    let alpha = (2.0 / PI).sqrt() / (1.0 - c * root);
    let square = 2.0 * erfc(SQRT_2) * E * E + PI * c * c * E - 2.0 * (2.0 + PI) * c * root + PI + 2.0;
    let lambda = (1.0 - c * root) * (2.0 * PI / square).sqrt();
    assert!((lambda - 1.0507).abs() < 1e-4 && (alpha - 1.6733).abs() < 1e-4);
    assert!((phi(1.0) / lambda - 1.0).abs() < 1e-12 && (phi(-40.0) / (lambda * alpha) + 1.0).abs() < 1e-12);
    assert!(expected(phi).abs() < 1e-6 && (expected(|z| phi(z).powi(2)) - 1.0).abs() < 1e-6);
    let elu = Activation::parse("elu").unwrap();
    assert!((expected(|z| elu.at(z).0.powi(2)) - 1.0).abs() > 0.1);
    let text = r#"
        act = "selu"
        input = { shape = [256] }
        layer = [{ type = "repeat", times = 32, layers = [{ type = "linear", out = 256 }, { type = "act" }] }]"#;
    let found = |init: &str| {
        let graph = net(text, init, &[]);
        means(&graph, 16, 24, |records| {
            let last = records.last().unwrap().activation;
            vec![last.second_moment.to_f64(), last.mean.to_f64()]
        })
    };
    let right = found("lecun");
    assert!(right[0].follows(1.0, 4.0 / 256.0) && right[1].follows(0.0, 0.0), "{right:?}");
    assert!(!found("he")[0].follows(1.0, 4.0 / 256.0));
}

/// Brock et al. 2021 (arXiv:2101.08692): standardized weights scaled by 1/√fan_in pass on the variance of what comes in, so that γ =
/// 1/√Var φ(z) keeps it: √(2/(1 − 1/π)) for ReLU, and what their code has for others, estimated with 2¹⁸ normal numbers.
///
/// An estimate of a standard deviation by that many scatters by less than 0.3 %; five times that are allowed. 16 layers of 256
/// channels, 24 trials of 16 samples: each layer may be off by 1/n.
#[test]
fn nfnet_gains_keep_the_variance() {
    let gain = |name: &str| {
        let act = Activation::parse(name).unwrap();
        let phi = |z: f64| act.at(z).0;
        (expected(|z| phi(z).powi(2)) - expected(phi).powi(2)).sqrt().recip()
    };
    let relu = (2.0 / (1.0 - 1.0 / PI)).sqrt();
    assert!((gain("relu") / relu - 1.0).abs() < 1e-6);
    for (name, published) in [
        ("relu", 1.713_959),
        ("gelu", 1.701_504),
        ("silu", 1.788_129),
        ("tanh", 1.593_912),
        ("sigmoid", 4.803_835),
        ("softplus", 1.920_332),
        ("elu", 1.271_600),
        ("selu", 1.000_852),
    ] {
        assert!((gain(name) / published - 1.0).abs() < 0.015, "{name}: {} where {published} is", gain(name));
    }
    let found = |gain: f64| {
        let text = format!(
            r#"
            input = {{ shape = [1, 256] }}
            layer = [{{ type = "repeat", times = 16, layers = [
                {{ type = "act" }}, {{ type = "scale", by = {gain} }},
                {{ type = "conv1d", out = 256, kernel = 1, bias = false, standardize = {{ eps = 1e-9, scale = "fan-in" }} }},
            ] }}]"#
        );
        let graph = net(&text, "he", &[]);
        means(&graph, 16, 24, signals(&[graph.entries.len() - 1]))[0]
    };
    let right = found(relu);
    assert!(right.follows(1.0, 16.0 / 256.0), "{right:?}");
    // He's √2 counts the mean, which standardized weights do not see.
    let he = found(2f64.sqrt());
    assert!(!he.follows(1.0, 16.0 / 256.0) && he.follows((1.0 - 1.0 / PI).powi(16), 32.0 / 256.0), "{he:?}");
}
