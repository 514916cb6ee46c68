//! From tables to layers: every name and value is checked, and a misspelt one gets its place and its neighbor.

use super::{Architecture, Body, InputSpec, Item, Residual};
use crate::activation::Activation;
use crate::graph::INPUT;
use crate::law::call::nearest;
use crate::op::layer::{LAYERS, LayerType, deserialized};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Why a text is no architecture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
#[non_exhaustive]
pub enum ArchitectureError {
    #[error("line {line}: {reason}")]
    Toml { line: usize, reason: String },
    #[error("{place}: {reason}")]
    Value { place: String, reason: String },
}

impl ArchitectureError {
    pub(super) fn of_toml(fault: &toml::de::Error, text: &str) -> Self {
        let at = fault.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
        let reason = fault.message().split_whitespace().collect::<Vec<_>>().join(" ");
        // The parser's word for a whole number is a type of Rust.
        let reason = match reason.as_str() {
            "u64 value was too large" | "i64 value was too large" => "a whole number is too large".into(),
            _ => reason,
        };
        Self::Toml { line, reason }
    }

    pub(super) fn value(place: &str, reason: impl Into<String>) -> Self {
        let place = if place.is_empty() { "the file" } else { place };
        Self::Value { place: place.into(), reason: reason.into() }
    }
}

/// Characters of a layer's name.
const LONGEST: usize = 200;

/// Fields that every layer may have.
const COMMON: &[&str] = &["name", "from"];

/// Groups of layers with their fields.
const GROUPS: &[(&str, &[&str])] = &[
    ("residual", &["layers", "shortcut", "scale"]),
    ("repeat", &["times", "layers"]),
    ("parallel", &["branches", "join"]),
];

/// Types of layers that join branches.
pub const JOINS: &[&str] = &["add", "mul", "concat"];

/// Lists nest no deeper than this.
const DEEPEST: usize = 16;

/// Reads the whole file.
pub fn architecture(mut table: Table) -> Result<Architecture, ArchitectureError> {
    known("", &table, &["name", "input", "init", "act", "layer"])?;
    let inputs = match table.remove("input") {
        Some(Value::Table(input)) => inputs(input)?,
        Some(_) => {
            return Err(ArchitectureError::value("input", "a table is needed, such as { shape = [784] }"));
        }
        None => {
            let reason = "the shape of a sample is missing, such as input = { shape = [784] }";
            return Err(ArchitectureError::value("", reason));
        }
    };
    let layers = match table.remove("layer") {
        None => return Err(ArchitectureError::value("", "there is no [[layer]]")),
        Some(layers) => list("layer", layers, 0)?,
    };
    let mut text = |field: &str| table.remove(field).map(|text| value::<String>(field, text)).transpose();
    Ok(Architecture { name: text("name")?, init: text("init")?, act: text("act")?, inputs, layers })
}

/// One input, or a table of several by name.
fn inputs(input: Table) -> Result<Vec<(String, InputSpec)>, ArchitectureError> {
    let one = |place: &str, name: &str, input: Table| {
        known(place, &input, &["shape", "tokens", "length"])?;
        Ok((name.to_string(), value::<InputSpec>(place, Value::Table(input))?))
    };
    if input.is_empty() || !input.values().all(Value::is_table) {
        return Ok(vec![one(INPUT, INPUT, input)?]);
    }
    let named = |(name, input): (String, Value)| match input {
        Value::Table(input) => {
            let place = format!("{INPUT} {name}");
            checked(&place, &name)?;
            if !name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
                let reason = "the name of an input holds letters, digits, `_`, `-` and `.`";
                return Err(ArchitectureError::value(&place, reason));
            }
            one(&place, &name, input)
        }
        _ => Err(ArchitectureError::value(&name, "a table is needed")),
    };
    input.into_iter().map(named).collect()
}

/// A name is short enough.
fn checked(place: &str, name: &str) -> Result<(), ArchitectureError> {
    match name.chars().count() {
        count if count > LONGEST => {
            let reason = format!("name has {count} characters, of which figures and tables hold {LONGEST}");
            Err(ArchitectureError::value(place, reason))
        }
        _ => Ok(()),
    }
}

fn value<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, ArchitectureError> {
    deserialized(value).map_err(|reason| ArchitectureError::value(place, reason))
}

fn known(place: &str, table: &Table, fields: &[&str]) -> Result<(), ArchitectureError> {
    for field in table.keys() {
        if !fields.contains(&field.as_str()) {
            return Err(ArchitectureError::value(place, unknown("field", field, fields)));
        }
    }
    Ok(())
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{name}`: did you mean `{near}`?"),
        None => format!("unknown {what} `{name}`; there are {}", known.join(", ")),
    }
}

/// What frameworks and papers call types of layers, without hyphens and dimensions, and what it is here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("dense", "linear"),
    ("fc", "linear"),
    ("fullyconnected", "linear"),
    ("conv", "conv2d"),
    ("depthwiseconv", "conv2d` with as many `groups` as channels, such as `groups = 64"),
    ("convtranspose", "conv-transpose2d"),
    ("deconv", "conv-transpose2d"),
    ("conv2dtranspose", "conv-transpose2d"),
    ("conv1dtranspose", "conv-transpose1d"),
    ("conv3dtranspose", "conv-transpose3d"),
    ("bn", "batchnorm"),
    ("batchnormalization", "batchnorm"),
    ("ln", "layernorm"),
    ("layernormalization", "layernorm"),
    ("gn", "groupnorm"),
    ("norm", "layernorm"),
    ("multiheadattention", "attention"),
    ("multiheaddotproductattention", "attention"),
    ("selfattention", "attention"),
    ("mha", "attention"),
    ("embed", "embedding"),
    ("activation", "act"),
    ("swiglu", "gated-mlp"),
    ("geglu", "gated-mlp"),
    ("mlp", "gated-mlp` or two `linear` with an `act"),
    ("globalavgpool", "avgpool"),
    ("adaptiveavgpool", "avgpool"),
    ("averagepooling", "avgpool"),
    ("globalaveragepooling", "avgpool"),
    ("maxpooling", "maxpool"),
    ("pool", "maxpool` or `avgpool"),
    ("upsampling", "upsample"),
    ("interpolate", "upsample"),
    ("se", "squeeze-excite"),
    ("stochasticdepth", "droppath"),
    ("concatenate", "concat"),
    ("cat", "concat"),
    ("multiply", "mul"),
    ("skip", "residual"),
    ("shortcut", "residual"),
    ("mamba", "ssm"),
    ("gcn", "graph-conv"),
    ("gcnconv", "graph-conv"),
    ("simplernn", "rnn"),
    ("bilstm", "lstm` with `bidirectional = true"),
    ("reshape", "flatten"),
];

/// A type that is none, with what is meant: the same under another name, an activation, or the nearest.
fn unknown_type(kind: &str) -> String {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' ', '.'], "");
    let without_axes = |name: &str| {
        let plain = plain(name);
        ["1d", "2d", "3d"].iter().find_map(|end| plain.strip_suffix(end).map(str::to_string)).unwrap_or(plain)
    };
    let meant = |near: &str| format!("unknown type `{kind}`: did you mean `{near}`?");
    let (whole, short) = (plain(kind), without_axes(kind.rsplit('.').next().unwrap_or(kind)));
    if let Some(same) = names().into_iter().find(|name| plain(name) == whole) {
        return meant(same);
    }
    if let Some((_, here)) = ELSEWHERE.iter().find(|(name, _)| *name == short || *name == whole) {
        return meant(here);
    }
    if let Some(same) = names().into_iter().find(|name| plain(name) == short) {
        return meant(same);
    }
    if Activation::parse(kind).is_ok() {
        return format!("unknown type `{kind}`: an activation is {{ type = \"act\", fn = \"{kind}\" }}");
    }
    unknown("type", kind, &names())
}

/// A list of layers; `place` is where it stands, as in `layer 3/layers`.
fn list(place: &str, value: Value, depth: usize) -> Result<Vec<Item>, ArchitectureError> {
    let Value::Array(layers) = value else {
        return Err(ArchitectureError::value(place, "a list of layers is needed"));
    };
    if depth > DEEPEST {
        return Err(ArchitectureError::value(place, format!("layers nest more than {DEEPEST} deep")));
    }
    let one = |(index, layer): (usize, Value)| {
        let place = format!("{place} {}", index + 1);
        let Value::Table(layer) = layer else {
            return Err(ArchitectureError::value(&place, "a table is needed, such as { type = \"act\" }"));
        };
        item(&place, layer, depth)
    };
    layers.into_iter().enumerate().map(one).collect()
}

fn names() -> Vec<&'static str> {
    LAYERS.iter().map(|layer| layer.name).chain(GROUPS.iter().map(|group| group.0)).collect()
}

fn item(place: &str, mut fields: Table, depth: usize) -> Result<Item, ArchitectureError> {
    let kind = match fields.remove("type") {
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(ArchitectureError::value(place, "type is a word, such as \"conv2d\"")),
        None => {
            let reason = format!("type is missing: one of {}", names().join(", "));
            return Err(ArchitectureError::value(place, reason));
        }
    };
    let layer = LAYERS.iter().find(|layer| layer.name == kind);
    let group = GROUPS.iter().find(|group| group.0 == kind);
    let allowed = match (layer, group) {
        (Some(layer), _) => layer.fields,
        (None, Some(group)) => group.1,
        (None, None) => return Err(ArchitectureError::value(place, unknown_type(&kind))),
    };
    let place = format!("{place} ({kind})");
    known(&place, &fields, &[allowed, COMMON].concat())?;
    let name =
        fields.remove("name").map(|name| value::<String>(&format!("{place} name"), name)).transpose()?;
    name.as_ref().map_or(Ok(()), |name| checked(&place, name))?;
    let from =
        fields.remove("from").map(|from| value::<Vec<String>>(&format!("{place} from"), from)).transpose()?;
    if from.as_ref().is_some_and(Vec::is_empty) {
        return Err(ArchitectureError::value(&place, "from names at least one earlier layer"));
    }
    let body = match layer {
        Some(layer) => {
            let read = (layer.read)(fields).map_err(|reason| ArchitectureError::value(&place, reason))?;
            Body::Layer(layer, read)
        }
        None => group_of(&place, &kind, fields, depth)?,
    };
    Ok(Item { name, from, body })
}

fn group_of(place: &str, kind: &str, mut fields: Table, depth: usize) -> Result<Body, ArchitectureError> {
    let missing = |field: &str| ArchitectureError::value(place, format!("missing field `{field}`"));
    let mut inner = |field: &str| {
        fields.remove(field).map(|layers| list(&format!("{place} {field}"), layers, depth + 1)).transpose()
    };
    match kind {
        "repeat" => {
            let layers = inner("layers")?.ok_or_else(|| missing("layers"))?;
            let times = fields.remove("times").ok_or_else(|| missing("times"))?;
            Ok(Body::Repeat { times: value(&format!("{place} times"), times)?, layers })
        }
        "parallel" => {
            let Some(Value::Array(branches)) = fields.remove("branches") else {
                let reason = "branches = [[..], [..]] is needed: at least two lists of layers";
                return Err(ArchitectureError::value(place, reason));
            };
            if branches.len() < 2 {
                return Err(ArchitectureError::value(place, "branches needs at least two lists of layers"));
            }
            let one = |(index, branch): (usize, Value)| {
                list(&format!("{place} branches {} layers", index + 1), branch, depth + 1)
            };
            let branches = branches.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
            let join: String =
                value(&format!("{place} join"), fields.remove("join").ok_or_else(|| missing("join"))?)?;
            let join = joining(&join).ok_or_else(|| {
                let reason = format!("join = \"{join}\" is not one of {}", JOINS.join(", "));
                ArchitectureError::value(place, reason)
            })?;
            Ok(Body::Parallel { branches, join })
        }
        _ => {
            let layers = inner("layers")?.ok_or_else(|| missing("layers"))?;
            let shortcut = inner("shortcut")?.unwrap_or_default();
            let scale = fields
                .remove("scale")
                .map(|scale| value::<f64>(&format!("{place} scale"), scale))
                .transpose()?;
            Ok(Body::Residual(Residual { layers, shortcut, scale: scale.unwrap_or(1.0) }))
        }
    }
}

/// The type of layer that joins branches.
fn joining(name: &str) -> Option<&'static LayerType> {
    LAYERS.iter().copied().find(|layer| layer.name == name && JOINS.contains(&name))
}

#[cfg(test)]
mod tests {
    use crate::frontend::toml::Architecture;

    const SMALL: &str = r#"
        input = { shape = [1, 28, 28] }
        [[layer]]
        type = "conv2d"
        out = 6
        kernel = [3, 5]
        padding = "same"
        [[layer]]
        type = "repeat"
        times = 2
        layers = [{ type = "residual", layers = [{ type = "act", fn = "tanh" }], scale = 0.5 }]
    "#;

    #[test]
    fn a_type_has_other_names_elsewhere() {
        for (kind, words) in [
            ("Linear", "did you mean `linear`?"),
            ("nn.BatchNorm2d", "did you mean `batchnorm`?"),
            ("BatchNormalization", "did you mean `batchnorm`?"),
            ("Conv2DTranspose", "did you mean `conv-transpose2d`?"),
            ("ConvTranspose2d", "did you mean `conv-transpose2d`?"),
            ("Dense", "did you mean `linear`?"),
            ("MultiheadAttention", "did you mean `attention`?"),
            ("AdaptiveAvgPool2d", "did you mean `avgpool`?"),
            ("bilstm", "`lstm` with `bidirectional = true`?"),
            ("relu", "an activation is { type = \"act\", fn = \"relu\" }"),
            ("layer_norm", "did you mean `layernorm`?"),
            ("convd", "did you mean `conv"),
            ("grup", "did you mean `gru`?"),
            ("wavelet", "there are"),
        ] {
            let file = format!("input = {{ shape = [3] }}\nlayer = [{{ type = \"{kind}\" }}]");
            let fault = Architecture::parse(&file).unwrap_err().to_string();
            assert!(fault.contains(words) && !fault.contains('\n'), "{kind}: {fault}");
        }
    }

    #[test]
    fn a_file_is_read_and_written_again() {
        let net = Architecture::parse(SMALL).unwrap();
        let conv = net.table()["layer"][0].clone();
        assert_eq!(conv["kernel"], toml::Value::Array(vec![3.into(), 5.into()]));
        assert_eq!((conv["padding"].as_str(), conv.get("stride")), (Some("same"), None));
        let json = serde_json::to_string(&net).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), net);
    }

    #[test]
    fn faults_name_their_place_and_the_nearest_name() {
        for (from, to, words) in [
            ("conv2d", "conv2", "layer 1: unknown type `conv2`: did you mean `conv2d`?"),
            ("kernel", "kernal", "layer 1 (conv2d): unknown field `kernal`: did you mean `kernel`?"),
            ("[3, 5]", "\"x\"", "layer 1 (conv2d): kernel: a whole number or a list of them is needed"),
            ("\"act\"", "\"relu\"", "layer 2 (repeat) layers 1 (residual) layers 1: unknown type `relu`"),
            ("out = 6", "", "layer 1 (conv2d): missing field `out`"),
            ("input = { shape = [1, 28, 28] }", "", "the shape of a sample is missing"),
            (
                "out = 6",
                "out = 6.5",
                "layer 1 (conv2d): out: number `6.5` where a whole number from 0 on is needed",
            ),
            ("out = 6", "out = 18446744073709551615", "a whole number is too large"),
            ("times = 2", "times = ", "line 10"),
            (
                "times = 2",
                "times = -2",
                "layer 2 (repeat) times: number `-2` where a whole number from 0 on is needed",
            ),
        ] {
            let fault = Architecture::parse(&SMALL.replace(from, to)).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
            assert!(!fault.contains('\n'), "{fault}");
        }
    }
}
