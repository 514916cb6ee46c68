//! What a layer of a network is for.

use super::Layer;
use crate::op;
use std::collections::HashSet;

/// The role of a norm.
pub const NORM: &str = "norm";

/// Sets the role of every layer from what its parameter is for, its path, its kind and whether it stands in a branch; a plain stack has no
/// roles.
///
/// `stream` is what every block reads and adds to: sums, and layers outside of blocks. The last layer is the `head`; a step in time is
/// `recurrent`. Within a block a layer has the role of its parameter, such as `query` or `attention-output`, stands in a `shortcut`, or has
/// its own name, such as `gate` or `conv2`; of a perceptron of two layers these are `up` and `down`.
pub fn assign(layers: &mut [Layer], purposes: &[Option<op::Role>]) {
    let perceptrons = perceptrons(layers);
    let count = layers.len();
    for (index, layer) in layers.iter_mut().enumerate() {
        let Some(path) = layer.path.as_deref() else { continue };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let purpose = purposes.get(index).copied().flatten();
        let role = match purpose {
            Some(op::Role::Gate | op::Role::Recurrent) => "recurrent",
            _ if layer.is_sum() => {
                if layer.branch {
                    "sum"
                } else {
                    "stream"
                }
            }
            Some(op::Role::Embedding) => "embedding",
            _ if index + 1 == count && count > 1 && parent.is_empty() => "head",
            _ if parent.is_empty() || !layer.branch => "stream",
            _ if parent.split('/').any(|part| part == "shortcut") => "shortcut",
            Some(op::Role::Query) => "query",
            Some(op::Role::Key) => "key",
            Some(op::Role::Value) => "value",
            Some(op::Role::Output) => "attention-output",
            Some(op::Role::Position) => "positions",
            _ if perceptrons.contains(parent) => {
                if name == "linear1" {
                    "up"
                } else {
                    "down"
                }
            }
            _ => name,
        };
        layer.role = Some(role.to_string());
    }
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
pub(crate) mod tests {
    use super::super::layer::tests::layer;
    use super::*;

    /// What the parameter of a layer is for, by its path and its kind.
    pub fn purpose(path: &str, kind: &str) -> Option<op::Role> {
        let is_step = path.contains("/step");
        Some(match path.rsplit('/').next()? {
            _ if is_step => op::Role::Gate,
            _ if kind == "embedding" => op::Role::Embedding,
            "query" => op::Role::Query,
            "key" => op::Role::Key,
            "value" => op::Role::Value,
            "out" => op::Role::Output,
            _ => op::Role::Weight,
        })
    }

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
        let purposes: Vec<_> = of.iter().map(|(path, kind, _)| purpose(path, kind)).collect();
        assign(&mut layers, &purposes);
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
        assign(&mut plain, &[]);
        assert!(plain.iter().all(|l| l.role.is_none()));
    }
}
