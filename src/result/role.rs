//! What a layer of a network is for.

use super::Layer;
use std::collections::HashSet;

/// Parts of attention, perceptrons and gates that keep their own word.
const PARTS: [&str; 9] = ["query", "key", "value", "gate", "up", "down", "router", "reduce", "expand"];

/// Sets the role of every layer from its path, its kind and whether it stands in a branch; a plain stack has no roles.
///
/// `stream` is what every block reads and adds to: sums, and layers outside of blocks. The last layer is the `head`; a step in time is
/// `recurrent`. Within a block a layer keeps the word of its part, such as `query`, `attention-output`, `up`, `down` or `shortcut`, or its
/// own name, such as `conv2`.
pub fn assign(layers: &mut [Layer]) {
    let perceptrons = perceptrons(layers);
    let attentions: HashSet<String> =
        layers.iter().filter_map(|l| Some(l.path.as_deref()?.strip_suffix("/query")?.to_string())).collect();
    let count = layers.len();
    for (index, layer) in layers.iter_mut().enumerate() {
        let Some(path) = layer.path.as_deref() else { continue };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let sum = layer.is_sum();
        let role = if is_step(name) {
            "recurrent"
        } else if sum {
            if layer.branch { "sum" } else { "stream" }
        } else if layer.kind == "embedding" {
            "embedding"
        } else if index + 1 == count && count > 1 && parent.is_empty() {
            "head"
        } else if parent.is_empty() || !layer.branch {
            "stream"
        } else if parent.split('/').any(|part| part == "shortcut") {
            "shortcut"
        } else if PARTS.contains(&name) {
            name
        } else if name == "out" && attentions.contains(parent) {
            "attention-output"
        } else if perceptrons.contains(parent) {
            if name == "linear1" { "up" } else { "down" }
        } else {
            name
        };
        layer.role = Some(role.to_string());
    }
}

/// The last part of a path that counts the steps of a recurrent layer.
fn is_step(name: &str) -> bool {
    name.strip_prefix("step").is_some_and(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()))
}

/// Branches that consist of two linear layers: the perceptrons of transformers.
fn perceptrons(layers: &[Layer]) -> HashSet<String> {
    let mut found = HashSet::new();
    for (k, pair) in layers.windows(2).enumerate() {
        let [Some(first), Some(second)] = [&pair[0].path, &pair[1].path] else { continue };
        let Some(parent) = first.strip_suffix("/linear1") else { continue };
        let within =
            |layer: Option<&Layer>| layer.and_then(|l| l.path.as_deref()).is_some_and(|p| holds(parent, p));
        let more = within(layers.get(k + 2)) || k > 0 && within(layers.get(k - 1));
        if second.strip_suffix("/linear2") == Some(parent) && pair[0].branch && !more {
            found.insert(parent.to_string());
        }
    }
    found
}

/// The path lies within `parent`.
fn holds(parent: &str, path: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::super::layer::tests::layer;
    use super::*;

    fn roles(of: &[(&str, &str, bool)]) -> Vec<String> {
        let mut layers: Vec<Layer> = of
            .iter()
            .enumerate()
            .map(|(k, (path, kind, branch))| Layer {
                path: Some((*path).to_string()),
                kind: (*kind).into(),
                branch: *branch,
                ..layer(k + 1)
            })
            .collect();
        assign(&mut layers);
        layers.into_iter().map(|l| l.role.unwrap()).collect()
    }

    #[test]
    fn a_transformer_has_the_parts_of_its_blocks() {
        let found = roles(&[
            ("embedding1", "embedding", false),
            ("attention1/self/query", "linear", true),
            ("attention1/self/out", "linear", true),
            ("attention1", "residual", false),
            ("mlp1/linear1", "linear", true),
            ("mlp1/linear2", "linear", true),
            ("mlp1", "residual", false),
            ("block2/branch3/gated-mlp1/gate", "linear", true),
            ("block2", "add", false),
            ("head", "linear", false),
        ]);
        let expected = [
            "embedding",
            "query",
            "attention-output",
            "stream",
            "up",
            "down",
            "stream",
            "gate",
            "stream",
            "head",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_convolutional_network_has_the_places_within_its_blocks() {
        let found = roles(&[
            ("conv1", "conv2d", false),
            ("block1/conv1", "conv2d", true),
            ("block1/shortcut/conv1", "conv2d", true),
            ("block1", "residual", false),
            ("up4_0", "conv-transpose2d", true),
            ("block2/linear1", "linear", true),
            ("block2/linear2", "linear", true),
            ("block2/linear3", "linear", true),
            ("fc", "linear", false),
        ]);
        let expected =
            ["stream", "conv1", "shortcut", "stream", "stream", "linear1", "linear2", "linear3", "head"];
        assert_eq!(found, expected);
    }

    #[test]
    fn steps_are_recurrent_and_a_plain_stack_has_no_roles() {
        let found = roles(&[("rnn1/step1", "rnn", false), ("rnn1/step12", "rnn", false)]);
        assert_eq!(found, ["recurrent", "recurrent"]);
        let mut plain = [layer(1), layer(2)];
        assign(&mut plain);
        assert!(plain.iter().all(|l| l.role.is_none()));
    }
}
