//! Attention as an architecture file spells it, and the nodes that it is made of: projections, norms and rotations of queries and
//! keys, the attention itself, and the projection behind its heads.

use super::scores::RelativeSpec;
use super::{Attention, Mask, Scores};
use crate::op::forms::{BiasSpec, Factor};
use crate::op::layer::{
    Assembler, Layer, LayerType, NewEntry, NewNode, Port, Wanted, divided, divisor_near, read, sized,
};
use crate::op::linear::{Part, project};
use crate::op::norm::{self, Norm, Over};
use crate::op::rotary::{Rotary, RotarySpec};
use crate::op::{ByPart, Counts, Operator, Role, Shape, Space, check_parts, embedding, exactly, of_part};
use serde::{Deserialize, Serialize};

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType {
    name: "attention",
    fields: &[
        "heads",
        "kv_heads",
        "head_width",
        "out",
        "causal",
        "window",
        "scale",
        "soft_cap",
        "rotary",
        "alibi",
        "relative",
        "query_norm",
        "key_norm",
        "eps",
        "init",
        "bias",
    ],
    read: read::<Spec>,
};

/// The fields of multi-head attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Heads of the queries.
    heads: usize,
    /// Heads of keys and values; as many as of the queries where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kv_heads: Option<usize>,
    /// Features of a head; features/heads where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head_width: Option<usize>,
    /// Features behind; those of the queries' input where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out: Option<usize>,
    /// A position sees those before it and itself only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    causal: bool,
    /// It sees so many of them, itself among them; without `causal` so many on either side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<usize>,
    /// Factor of the products, in place of 1/√(features of a head).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<Factor>,
    /// c of c·tanh(score/c).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    soft_cap: Option<f64>,
    /// Queries and keys turn with their positions.
    #[serde(default, skip_serializing_if = "RotarySpec::is_off")]
    rotary: RotarySpec,
    /// Scores fall with distance, by a slope of each head.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    alibi: bool,
    /// A learnt bias of each head by relative position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relative: Option<RelativeSpec>,
    /// Of each head's queries.
    #[serde(default, skip_serializing_if = "HeadNorm::is_none")]
    query_norm: HeadNorm,
    /// Of each head's keys.
    #[serde(default, skip_serializing_if = "HeadNorm::is_none")]
    key_norm: HeadNorm,
    /// Of these norms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eps: Option<f64>,
    /// Of all four projections or of each, in place of `--init`; of the `positions` of `relative` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<ByPart<String>>,
    /// Law of the biases, likewise; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<ByPart<BiasSpec>>,
}

/// A norm of each head at each position, without a gain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HeadNorm {
    /// None at all.
    #[default]
    None,
    /// Root mean square.
    RmsNorm,
    /// With the mean.
    LayerNorm,
}

impl HeadNorm {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Its projections.
const PARTS: [&str; 4] = ["query", "key", "value", "out"];
/// The table of relative positions.
const POSITIONS: &str = "positions";

/// A factor or a cap up to this leaves single precision room for scores.
const LARGEST: f64 = 1e6;

/// A number that scores are multiplied by or capped at.
fn positive(field: &str, value: f64) -> Result<f64, String> {
    if value > 0.0 && value <= LARGEST {
        Ok(value)
    } else {
        Err(format!("{field} = {value} is not a number above 0 and up to 10^6"))
    }
}

/// What goes in: where the queries come from, and where keys and values do.
struct Sources {
    queries: Port,
    memory: Port,
    /// They are two inputs.
    cross: bool,
}

impl Sources {
    fn of(inputs: &[Port]) -> Result<Self, String> {
        let found = match inputs {
            [one] => Self { queries: *one, memory: *one, cross: false },
            [queries, memory] => Self { queries: *queries, memory: *memory, cross: true },
            many => {
                return Err(format!(
                    "attention takes one input, or two, queries from the first and keys and values from the second, not {}",
                    many.len()
                ));
            }
        };
        match inputs.iter().find(|port| !matches!(port.shape.space, Space::Sequence(_))) {
            Some(port) => Err(format!("attention takes a sequence [length, features], not {}", port.shape)),
            None => Ok(found),
        }
    }
}

impl Spec {
    /// Features of a head.
    fn width(&self, features: usize) -> Result<usize, String> {
        match self.head_width {
            None => divided("heads", self.heads, features),
            Some(_) if self.heads == 0 => Err("heads = 0 leaves no head; at least 1 is needed".into()),
            Some(0) => Err("head_width = 0 leaves no features; at least 1 is needed".into()),
            Some(width) => Ok(width),
        }
    }

    /// Heads of keys and values.
    fn kv_heads(&self) -> Result<usize, String> {
        let kv_heads = self.kv_heads.unwrap_or(self.heads);
        if kv_heads == 0 || !self.heads.is_multiple_of(kv_heads) {
            let fits = divisor_near(self.heads, kv_heads);
            return Err(format!(
                "kv_heads = {kv_heads} does not divide the {} heads; {fits} does",
                self.heads
            ));
        }
        Ok(kv_heads)
    }

    /// Fields that count distances between positions want queries and keys of one input.
    fn check_distances(&self, cross: bool) -> Result<(), String> {
        let fields = [
            ("causal", self.causal),
            ("window", self.window.is_some()),
            ("rotary", !self.rotary.is_off()),
            ("alibi", self.alibi),
            ("relative", self.relative.is_some()),
        ];
        match fields.iter().find(|(_, is_set)| *is_set) {
            Some((field, _)) if cross => Err(format!(
                "{field} needs queries and keys of one input: attention to a second one has no common order, and fits without it"
            )),
            _ => Ok(()),
        }
    }

    fn scores(&self, width: usize) -> Result<Scores, String> {
        if self.window == Some(0) {
            return Err("window = 0 leaves nothing to see; at least 1 is needed".into());
        }
        let relative = self.relative.as_ref().map(RelativeSpec::relative);
        if let Some(relative) = relative {
            relative.check(self.causal)?;
            if self.alibi || self.soft_cap.is_some() {
                return Err(
                    "relative is the one bias of its scores: leave out alibi and soft_cap, or it".into()
                );
            }
        }
        let scale = match &self.scale {
            None => 1.0 / (width as f64).sqrt(),
            Some(factor) => positive("scale", factor.value("scale", width)?)?,
        };
        Ok(Scores {
            scale,
            mask: Mask { causal: self.causal, window: self.window },
            soft_cap: self.soft_cap.map(|cap| positive("soft_cap", cap)).transpose()?,
            alibi: self.alibi,
            relative,
        })
    }

    /// A projection of a source to heads, or from them.
    fn part(&self, name: &'static str, role: Role, beside: bool) -> Part<'_> {
        Part {
            name: Some(name),
            role,
            init: of_part(&self.init, name).map(String::as_str),
            bias: of_part(&self.bias, name),
            beside,
            heads: Some(self.heads),
            ..Part::default()
        }
    }

    /// Adds the table of relative positions with a line of the result for its gradient; nothing without it.
    fn table(
        &self,
        to: &mut dyn Assembler,
        input: Shape,
        out: Shape,
    ) -> Result<(Vec<usize>, Option<usize>), String> {
        let Some(spec) = &self.relative else { return Ok((Vec::new(), None)) };
        let (buckets, units) = (spec.relative().buckets, out.channels);
        let init = match &self.init {
            Some(ByPart::Parts(parts)) => parts.get(POSITIONS).map(String::as_str),
            _ => None,
        };
        let wanted = |entry: usize| Wanted {
            role: Role::Position,
            deepens: false,
            counts: Counts { heads: self.heads, ..Counts::of_width(input.channels) },
            usual: Some(embedding::TABLE),
            ..Wanted::linear(entry, buckets, self.heads).with(init, Some(&BiasSpec::Has(false)))
        };
        let table = spec.table.as_deref();
        if let Some(place) = table.map(|name| to.known(name, &wanted(0))).transpose()?.flatten() {
            return Ok((vec![place], None));
        }
        let entry = to.entry(&NewEntry {
            part: None,
            kind: "attention",
            fans: (buckets, self.heads),
            units,
            positions: out.positions(),
            weighted: true,
        })?;
        Ok((vec![to.table(table, &wanted(entry))], Some(entry)))
    }

    /// Each head's norm, then its rotation.
    fn prepared(
        &self,
        to: &mut dyn Assembler,
        port: Port,
        norm: HeadNorm,
        width: usize,
    ) -> Result<Port, String> {
        let normed = match norm {
            HeadNorm::None => port,
            _ => {
                let eps = norm::checked_eps(self.eps.unwrap_or_else(norm::eps))?;
                let centered = norm == HeadNorm::LayerNorm;
                then(to, port, Norm { over: Over::Channels(width), centered, eps })?
            }
        };
        match self.rotary.rotation(width)? {
            None => Ok(normed),
            Some(rotation) => {
                let length = port.shape.positions();
                let (base, style) = (rotation.base, rotation.style);
                then(
                    to,
                    normed,
                    Rotary { width, rotated: rotation.width.unwrap_or(width), base, style, length },
                )
            }
        }
    }
}

/// Adds an operator that keeps the shape.
fn then(to: &mut dyn Assembler, port: Port, operator: impl Operator + 'static) -> Result<Port, String> {
    let [out] = exactly(to.node(NewNode::plain(operator, port, port.shape))?);
    Ok(out)
}

impl Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let Sources { queries, memory, cross } = Sources::of(inputs)?;
        let width = self.width(queries.shape.channels)?;
        let parts = [&PARTS[..], if self.relative.is_some() { &[POSITIONS] } else { &[] }].concat();
        check_parts("init", &self.init, &parts)?;
        check_parts("bias", &self.bias, &PARTS)?;
        self.check_distances(cross)?;
        if self.eps.is_some() && self.query_norm.is_none() && self.key_norm.is_none() {
            return Err("eps needs query_norm or key_norm, whose it is".into());
        }
        let scores = self.scores(width)?;
        let [query, key, value, out] = PARTS;
        // Queries, keys and values are one step in depth.
        let features = queries.shape.with(sized("its queries", &[self.heads, width])?);
        let kv_heads = self.kv_heads()?;
        // One matrix in PyTorch, where all three have one shape (torch/nn/modules/activation.py, `_qkv_same_embed_dim`).
        let alike = kv_heads == self.heads
            && [memory.shape.channels, features.channels].iter().all(|c| *c == queries.shape.channels);
        let packed = alike.then_some(3);
        let projection = |name, role, beside| Part { packed, ..self.part(name, role, beside) };
        let q = project(to, queries, features, &projection(query, Role::Query, true))?;
        let q = self.prepared(to, q, self.query_norm, width)?;
        // The queries are no more than a network may have, and so are their heads.
        let shared = memory.shape.with(kv_heads * width);
        let k = project(to, memory, shared, &projection(key, Role::Key, true))?;
        let k = self.prepared(to, k, self.key_norm, width)?;
        let v = project(to, memory, shared, &projection(value, Role::Value, false))?;
        let (heads, [from, seen]) = (self.heads, [queries, memory].map(|port| port.shape.positions()));
        let operator = Attention { heads, kv_heads, queries: from, keys: seen, scores };
        let (parameters, entry) = self.table(to, queries.shape, features)?;
        let node =
            NewNode { inputs: vec![q, k, v], parameters, entry, ..NewNode::plain(operator, q, features) };
        let [mixed] = exactly(to.node(node)?);
        let behind = queries.shape.with(self.out.unwrap_or(queries.shape.channels));
        project(to, mixed, behind, &self.part(out, Role::Output, false)).map(|port| vec![port])
    }
}
