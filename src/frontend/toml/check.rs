//! Names in an architecture file, checked before it is read: a misspelt one gets its place and its neighbour.

use super::{
    ActSpec, AttentionSpec, ConvSpec, DropoutSpec, EmbeddingSpec, LinearSpec, NormSpec, PlainSpec, PoolSpec,
    RecurrentSpec, RepeatSpec, ResidualSpec,
};
use crate::law::call::nearest;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Why a text is no architecture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
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
        Self::Toml { line, reason }
    }

    fn value(place: &str, reason: impl Into<String>) -> Self {
        let place = if place.is_empty() { "the file" } else { place };
        Self::Value { place: place.into(), reason: reason.into() }
    }
}

/// A type of layer, the fields it takes, and whether its values can be read.
struct Kind {
    name: &'static str,
    fields: &'static [&'static str],
    read: fn(Value) -> Result<(), String>,
}

fn reads<T: DeserializeOwned>(value: Value) -> Result<(), String> {
    value.try_into::<T>().map(|_| ()).map_err(|fault| fault.message().trim().replace('\n', " "))
}

const POOL: &[&str] = &["kernel", "stride", "padding", "name"];
const NORM: &[&str] = &["eps", "name"];
const RECURRENT: &[&str] = &["out", "init", "recurrent", "bias", "last", "name"];

const KINDS: &[Kind] = &[
    Kind { name: "linear", fields: &["out", "init", "bias", "tied", "name"], read: reads::<LinearSpec> },
    Kind {
        name: "conv2d",
        fields: &["out", "kernel", "stride", "padding", "dilation", "groups", "init", "bias", "name"],
        read: reads::<ConvSpec>,
    },
    Kind { name: "maxpool", fields: POOL, read: reads::<PoolSpec> },
    Kind { name: "avgpool", fields: POOL, read: reads::<PoolSpec> },
    Kind { name: "flatten", fields: &["name"], read: reads::<PlainSpec> },
    Kind { name: "act", fields: &["fn", "name"], read: reads::<ActSpec> },
    Kind { name: "batchnorm", fields: NORM, read: reads::<NormSpec> },
    Kind { name: "layernorm", fields: NORM, read: reads::<NormSpec> },
    Kind { name: "rmsnorm", fields: NORM, read: reads::<NormSpec> },
    Kind { name: "dropout", fields: &["p", "name"], read: reads::<DropoutSpec> },
    Kind { name: "residual", fields: &["layers", "shortcut", "scale", "name"], read: reads::<ResidualSpec> },
    Kind { name: "repeat", fields: &["times", "layers"], read: reads::<RepeatSpec> },
    Kind {
        name: "rnn",
        fields: &["out", "fn", "init", "recurrent", "bias", "last", "name"],
        read: reads::<RecurrentSpec>,
    },
    Kind {
        name: "lstm",
        fields: &["out", "init", "recurrent", "bias", "forget", "last", "name"],
        read: reads::<RecurrentSpec>,
    },
    Kind { name: "gru", fields: RECURRENT, read: reads::<RecurrentSpec> },
    Kind {
        name: "attention",
        fields: &["heads", "causal", "init", "bias", "name"],
        read: reads::<AttentionSpec>,
    },
    Kind { name: "embedding", fields: &["out", "positions", "init", "name"], read: reads::<EmbeddingSpec> },
];

/// Lists nest no deeper than this.
const DEEPEST: usize = 16;

/// Checks the whole file.
pub fn table(table: &Table) -> Result<(), ArchitectureError> {
    known("", table, &["name", "input", "init", "act", "layer"])?;
    match table.get("input") {
        Some(Value::Table(input)) => known("input", input, &["shape", "tokens", "length"])?,
        Some(_) => {
            return Err(ArchitectureError::value("input", "a table is needed, such as { shape = [784] }"));
        }
        None => {
            let reason = "the shape of a sample is missing, such as input = { shape = [784] }";
            return Err(ArchitectureError::value("", reason));
        }
    }
    match table.get("layer") {
        None => Err(ArchitectureError::value("", "there is no [[layer]]")),
        Some(layers) => list("layer", layers, 0),
    }
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

/// A list of layers; `place` is where it stands, as in `layer 3/layers`.
fn list(place: &str, value: &Value, depth: usize) -> Result<(), ArchitectureError> {
    let Value::Array(layers) = value else {
        return Err(ArchitectureError::value(place, "a list of layers is needed"));
    };
    if depth > DEEPEST {
        return Err(ArchitectureError::value(place, format!("layers nest more than {DEEPEST} deep")));
    }
    for (index, layer) in layers.iter().enumerate() {
        let place = format!("{place} {}", index + 1);
        let Value::Table(layer) = layer else {
            return Err(ArchitectureError::value(&place, "a table is needed, such as { type = \"act\" }"));
        };
        one(&place, layer, depth)?;
    }
    Ok(())
}

fn one(place: &str, layer: &Table, depth: usize) -> Result<(), ArchitectureError> {
    let names = || KINDS.iter().map(|k| k.name).collect::<Vec<_>>();
    let kind = match layer.get("type") {
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(ArchitectureError::value(place, "type is a word, such as \"conv2d\"")),
        None => {
            let reason = format!("type is missing: one of {}", names().join(", "));
            return Err(ArchitectureError::value(place, reason));
        }
    };
    let Some(kind) = KINDS.iter().find(|k| k.name == kind) else {
        return Err(ArchitectureError::value(place, unknown("type", kind, &names())));
    };
    let place = format!("{place} ({})", kind.name);
    let mut fields = layer.clone();
    fields.remove("type");
    known(&place, &fields, kind.fields)?;
    for nested in ["layers", "shortcut"] {
        if let Some(layers) = fields.get(nested) {
            list(&format!("{place} {nested}"), layers, depth + 1)?;
        }
    }
    (kind.read)(Value::Table(fields)).map_err(|reason| ArchitectureError::value(&place, reason))
}

#[cfg(test)]
mod tests {
    use crate::frontend::toml::{Architecture, LayerSpec, Padding, Pair};

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
    fn a_file_is_read_and_written_again() {
        let net = Architecture::parse(SMALL).unwrap();
        let LayerSpec::Conv2d(conv) = &net.layers[0] else { panic!("{:?}", net.layers[0]) };
        assert_eq!((conv.kernel, conv.stride, conv.padding), (Pair(3, 5), Pair(1, 1), Padding::Same));
        let json = serde_json::to_string(&net).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), net);
    }

    #[test]
    fn faults_name_their_place_and_the_nearest_name() {
        for (from, to, words) in [
            ("conv2d", "conv2", "layer 1: unknown type `conv2`: did you mean `conv2d`?"),
            ("kernel", "kernal", "layer 1 (conv2d): unknown field `kernal`: did you mean `kernel`?"),
            ("[3, 5]", "\"x\"", "layer 1 (conv2d): a whole number or a list of two is needed"),
            ("\"act\"", "\"relu\"", "layer 2 (repeat) layers 1 (residual) layers 1: unknown type `relu`"),
            ("out = 6", "", "layer 1 (conv2d): missing field `out`"),
            ("input = { shape = [1, 28, 28] }", "", "the shape of a sample is missing"),
            ("times = 2", "times = ", "line 10"),
            ("times = 2", "times = -2", "layer 2 (repeat): invalid value"),
        ] {
            let fault = Architecture::parse(&SMALL.replace(from, to)).unwrap_err().to_string();
            assert!(fault.contains(words), "{fault}");
            assert!(!fault.contains('\n'), "{fault}");
        }
    }
}
