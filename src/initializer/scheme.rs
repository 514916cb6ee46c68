//! Schemes for whole networks: laws that depend on where in a residual branch, or in a language model, a layer stands.

use super::catalog::{Entry, VectorSite, Vectors};
use super::classic::{fan, normal, number, optional, symmetric, uniform, word, xavier_variance};
use super::{Class, Site, Values};
use crate::law::Law;

const NEEDS_BRANCHES: &str = "is defined for residual branches, which a plain stack has not";

/// Attention blocks and feed-forward blocks of a transformer are two residual branches a layer of it.
const BRANCHES_A_LAYER: f64 = 2.0;

/// Layers of a transformer: as the user says, or by its residual branches.
fn layers(values: &Values, place: usize, site: &Site) -> Result<f64, String> {
    let layers = values.option(place).unwrap_or(site.place.branches as f64 / BRANCHES_A_LAYER);
    match values.option(place) {
        _ if layers > 0.0 => Ok(layers),
        Some(_) => Err(format!("layers = {layers} is not positive")),
        None => Err("finds no residual branches to count layers by: name their number, as layers=12".into()),
    }
}

/// What a branch adds grows with these: values, the projection behind the heads, and feed-forward layers; not queries and keys.
fn scales_branch(site: &Site) -> bool {
    match site.place.class {
        Class::Value | Class::AttentionOutput => true,
        Class::Linear => site.place.branch.is_some(),
        _ => false,
    }
}

/// Writes to the residual stream.
fn writes(site: &Site) -> bool {
    site.place.class == Class::AttentionOutput || site.place.is_projection()
}

/// Features of the stream that a layer reads, or that it writes to.
fn stream_width(site: &Site) -> f64 {
    if writes(site) { site.fan_out as f64 } else { site.place.width.unwrap_or(site.fan_in) as f64 }
}

/// N(0, std²) cut at so many std.
fn cut(std: f64, at: f64) -> Result<Law, String> {
    if at > 0.0 {
        Ok(Law::TruncatedNormal { mean: 0.0, std, low: -at * std, high: at * std })
    } else {
        Err(format!("cutoff = {at} is not positive"))
    }
}

/// Learned factors that end residual branches begin at zero.
const ZERO_FACTORS: Option<Vectors> = Some(Vectors {
    constant: |vector: &VectorSite| (vector.kind == "factor" && vector.ends_branch).then_some(0.0),
    above_file: true,
    needs: Some("a trainable `scale` behind the last weights of a residual branch"),
});

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "siren",
        parameters: &[number("omega", "30")],
        law: "first layer U(±1/fan_in), others U(±√(6/fan_in)/ω), for activations sin(ω·); bias U(±1/√fan_in)",
        source: "Sitzmann et al. 2020, § 3.2 and the authors' code",
        weights: |v, s| match v.number(0) {
            _ if s.layer == 1 => symmetric(1.0 / s.fan_in as f64),
            omega if omega > 0.0 => symmetric((6.0 / s.fan_in as f64).sqrt() / omega),
            omega => Err(format!("omega = {omega} is not positive")),
        },
        bias: Some(|_, s| symmetric(1.0 / (s.fan_in as f64).sqrt())),
        nominal: Some(
            |v, s| if s.layer == 1 { 1.0 / (3.0 * s.fan_in as f64) } else { 2.0 / v.number(0).powi(2) },
        ),
        depends_on_layer: true,
        ..Entry::BASE
    },
    Entry {
        name: "looks-linear",
        parameters: &[number("gain", "1")],
        law: "gain × [[M, −M], [−M, M]], M Haar; the first layer [M; −M], the last [M, −M]: a ReLU network that begins as a linear map",
        source: "Balduzzi et al. 2017, § 4",
        weights: |v, s| {
            let (inputs, outputs) = (s.layer > 1, s.layer < s.depth);
            let pairs = |is_paired: bool, fan: usize| !is_paired || fan.is_multiple_of(2);
            match s.place.class {
                Class::Linear if pairs(inputs, s.fan_in) && pairs(outputs, s.fan_out) => {
                    Ok(Law::Mirrored { gain: v.number(0), inputs, outputs })
                }
                Class::Linear => Err("pairs units, and needs an even number of them".into()),
                _ => Err("is defined for linear layers alone".into()),
            }
        },
        nominal: Some(|v, s| {
            let law = Law::Mirrored { gain: v.number(0), inputs: s.layer > 1, outputs: s.layer < s.depth };
            s.fan_in as f64 * law.moments(s.fan_in, s.fan_out).variance
        }),
        depends_on_layer: true,
        ..Entry::BASE
    },
    Entry {
        name: "t-fixup",
        parameters: &[optional("layers"), word("stack", &["encoder", "decoder"])],
        law: "xavier-uniform; values, attention outputs and feed-forward layers times 0.67·N^(−1/4), in a decoder (9N)^(−1/4); tables \
              N(0, std = width^(−1/2)·(9N)^(−1/4))",
        source: "Huang et al. 2020, § 3.2",
        weights: |v, s| {
            let n = layers(v, 0, s)?;
            let branch = if v.word(1) == "decoder" { (9.0 * n).powf(-0.25) } else { 0.67 * n.powf(-0.25) };
            match s.place.class {
                Class::Embedding | Class::Positions => normal((9.0 * n).powf(-0.5) / s.fan_out as f64),
                _ if scales_branch(s) => uniform(branch * branch * xavier_variance(s)),
                _ => uniform(xavier_variance(s)),
            }
        },
        tables: true,
        not_dense: Some(NEEDS_BRANCHES),
        ..Entry::BASE
    },
    Entry {
        name: "deepnorm",
        parameters: &[optional("layers")],
        law: "xavier-normal; values, attention outputs and feed-forward layers times (8·layers)^(−1/4); the network's skips have the \
              factor (2·layers)^(1/4)",
        source: "Wang et al. 2022, figure 2",
        weights: |v, s| {
            let beta = (8.0 * layers(v, 0, s)?).powf(-0.25);
            normal(if scales_branch(s) { beta * beta } else { 1.0 } * xavier_variance(s))
        },
        not_dense: Some(NEEDS_BRANCHES),
        ..Entry::BASE
    },
    Entry {
        name: "rezero",
        law: "torch-default; the learned factor that ends each residual branch 0",
        source: "Bachlechner et al. 2021, eq. 1 and the authors' code",
        weights: super::defaults::torch,
        bias: Some(super::defaults::torch_bias),
        tables: true,
        vectors: ZERO_FACTORS,
        not_dense: Some(NEEDS_BRANCHES),
        ..Entry::BASE
    },
    Entry {
        name: "skipinit",
        law: "He; the learned factor that ends each residual branch 0",
        source: "De & Smith 2020, § 4",
        weights: |_, s| normal(2.0 / s.fan_in as f64),
        vectors: ZERO_FACTORS,
        not_dense: Some(NEEDS_BRANCHES),
        ..Entry::BASE
    },
    Entry {
        name: "zero-gamma",
        aliases: &["zero-init-residual"],
        parameters: &[word("mode", &["fan_out", "fan_in"])],
        law: "N(0, 2/fan), the network's last layer N(0, 0.01²); the gain of the norm that ends each residual branch 0",
        source: "Goyal et al. 2017, § 5.1; torchvision models/resnet.py, zero_init_residual",
        weights: |v, s| normal(if s.layer == s.depth { 1e-4 } else { 2.0 / fan(v.word(0), s) }),
        vectors: Some(Vectors {
            constant: |vector| (vector.kind == "gain" && vector.ends_branch).then_some(0.0),
            above_file: true,
            needs: Some("a norm with a gain behind the last weights of a residual branch"),
        }),
        depends_on_layer: true,
        not_dense: Some(NEEDS_BRANCHES),
        ..Entry::BASE
    },
    Entry {
        name: "mitchell",
        parameters: &[number("cutoff", "3")],
        law: "N(0, 1/width) cut at ±3 std, tables too; what writes to the stream in the l-th block N(0, 1/(2·fan_in·l))",
        source: "OLMo olmo/model.py, InitFnType.mitchell; Groeneveld et al. 2024",
        weights: |v, s| {
            let block = (s.place.number as f64 / BRANCHES_A_LAYER).ceil().max(1.0);
            let variance = match writes(s) {
                true => 1.0 / (2.0 * s.fan_in as f64 * block),
                false => 1.0 / s.place.width.unwrap_or(s.fan_in) as f64,
            };
            cut(variance.sqrt(), v.number(0))
        },
        tables: true,
        depends_on_layer: true,
        not_dense: Some(NEEDS_BRANCHES),
        ..Entry::BASE
    },
    Entry {
        name: "small-init",
        parameters: &[optional("layers")],
        law: "N(0, 2/(5·width)), tables too; what writes to the stream N(0, std = 2/(layers·√width))",
        source: "Nguyen & Salazar 2019, § 2.2; GPT-NeoX megatron/model/init_functions.py, small_init and wang_init",
        weights: |v, s| match writes(s) {
            true => normal(4.0 / (layers(v, 0, s)?.powi(2) * stream_width(s))),
            false => normal(2.0 / (5.0 * stream_width(s))),
        },
        tables: true,
        not_dense: Some(NEEDS_BRANCHES),
        ..Entry::BASE
    },
];
