//! Graph convolution (Kipf & Welling 2017, eq. 2): Â·X·W + b with the adjacency Â of a given graph, whose nodes are the positions of a
//! sequence.
//!
//! Positions are mixed first and go through the linear layer then, which is the same product: Â·(X·W) = (Â·X)·W.

use super::exactly;
use super::forms::BiasSpec;
use super::layer::{self, Assembler, LayerType, NewNode, Port, read};
use super::linear::{Part, project};
use super::mix::{Mix, Sparse};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};

/// As an architecture file spells it.
pub const LAYER: LayerType = LayerType {
    name: "graph-conv",
    fields: &["out", "edges", "normalize", "loops", "init", "bias"],
    read: read::<Spec>,
};

/// The fields of a graph convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spec {
    /// Units.
    out: usize,
    /// Pairs of positions that are neighbors, each of the other.
    edges: Edges,
    /// How the adjacency is scaled.
    #[serde(default, skip_serializing_if = "Normalize::is_default")]
    normalize: Normalize,
    /// Each position is its own neighbor too.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    loops: bool,
    /// In place of `--init`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init: Option<String>,
    /// Law of the biases; false for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<BiasSpec>,
}

fn yes() -> bool {
    true
}

fn is_yes(loops: &bool) -> bool {
    *loops
}

/// How an adjacency is scaled, dᵢ the neighbors of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Normalize {
    /// 1/√(dᵢdⱼ).
    #[default]
    Symmetric,
    /// 1/dᵢ: the mean of the neighbors.
    Row,
    /// 1: their sum.
    None,
}

impl Normalize {
    fn is_default(&self) -> bool {
        *self == Self::Symmetric
    }
}

/// Pairs of positions, or the file that holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Edges {
    File(String),
    Pairs(Vec<Vec<usize>>),
}

impl<'de> Deserialize<'de> for Edges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn of<T: DeserializeOwned>(value: toml::Value) -> Result<T, String> {
            T::deserialize(value).map_err(|fault| fault.message().trim().to_string())
        }
        let read = match toml::Value::deserialize(deserializer)? {
            text @ toml::Value::String(_) => of(text).map(Self::File),
            list @ toml::Value::Array(_) => of(list).map(Self::Pairs),
            _ => {
                Err("a list of pairs is needed, as in [[0, 1], [1, 2]], or the name of a file in quotes"
                    .into())
            }
        };
        read.map_err(de::Error::custom)
    }
}

/// More positions, or more pairs, than this are refused.
const MOST: usize = 2_000_000;

/// The pairs of a file's text: two whole numbers a line, separated by a comma or by white space; lines that begin with `#` are left out.
///
/// # Errors
/// The first line that is no pair, or too many of them.
pub fn pairs(text: &str) -> Result<Vec<[usize; 2]>, String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words =
            line.split(|c: char| c == ',' || c == ';' || c.is_whitespace()).filter(|word| !word.is_empty());
        let pair: Option<Vec<usize>> = words.take(3).map(|word| word.parse().ok()).collect();
        let pair = pair.and_then(|pair| <[usize; 2]>::try_from(pair).ok());
        let Some(pair) = pair else {
            let shown: String = line.chars().take(40).collect();
            return Err(format!(
                "line {} is `{shown}`, and the numbers of two positions are needed there, as in `0,1`",
                number + 1
            ));
        };
        if found.len() == MOST {
            return Err(format!("there are more than {MOST} pairs, the most that a graph may have"));
        }
        found.push(pair);
    }
    Ok(found)
}

impl Spec {
    /// Each pair from both sides, with loops, in order and once.
    fn neighbors(&self, positions: usize) -> Result<Vec<(u32, u32)>, String> {
        let pairs = match &self.edges {
            Edges::Pairs(pairs) => pairs,
            Edges::File(name) => {
                return Err(format!(
                    "edges = \"{name}\" is a file that nobody has read: list the pairs themselves, as in [[0, 1], [1, 2]]"
                ));
            }
        };
        if positions > MOST || pairs.len() > MOST {
            let most = positions.max(pairs.len());
            return Err(format!("a graph has at most {MOST} positions and as many pairs, not {most}"));
        }
        let mut all = Vec::with_capacity(2 * pairs.len() + positions);
        for pair in pairs {
            let [a, b] = pair.as_slice() else {
                return Err(format!("edges holds pairs, as in [0, 1], not lists of {}", pair.len()));
            };
            if let Some(beyond) = [*a, *b].into_iter().find(|place| *place >= positions) {
                return Err(format!(
                    "edges names position {beyond}, and there are {positions}: 0 to {} fit",
                    positions - 1
                ));
            }
            all.extend([(*a as u32, *b as u32), (*b as u32, *a as u32)]);
        }
        if self.loops {
            all.extend((0..positions as u32).map(|place| (place, place)));
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn adjacency(&self, positions: usize) -> Result<Sparse, String> {
        let neighbors = self.neighbors(positions)?;
        let mut degrees = vec![0.0f64; positions];
        neighbors.iter().for_each(|(row, _)| degrees[*row as usize] += 1.0);
        let value = |(row, column): (u32, u32)| match self.normalize {
            Normalize::Symmetric => (degrees[row as usize] * degrees[column as usize]).sqrt().recip(),
            Normalize::Row => degrees[row as usize].recip(),
            Normalize::None => 1.0,
        };
        Ok(Sparse::new(positions, neighbors.iter().map(|pair| (pair.0, pair.1, value(*pair)))))
    }
}

impl layer::Layer for Spec {
    fn assemble(&self, to: &mut dyn Assembler, inputs: &[Port]) -> Result<Vec<Port>, String> {
        let (input, positions) = layer::sequence("graph-conv", inputs)?;
        let mix = Mix::new(self.adjacency(positions)?);
        let [mixed] = exactly(to.node(NewNode::plain(mix, input, input.shape))?);
        let part = Part { init: self.init.as_deref(), bias: self.bias.as_ref(), ..Part::default() };
        project(to, mixed, input.shape.with(self.out), &part).map(|port| vec![port])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_in_any_common_form() {
        assert_eq!(pairs("# a graph\n0,1\n\n2 3\n 4\t5 \r\n6; 7"), Ok(vec![[0, 1], [2, 3], [4, 5], [6, 7]]));
        for wrong in ["0", "0,1,2", "a b", "-1 2", "1.5 2", "99999999999999999999 1"] {
            let fault = pairs(&format!("0 1\n{wrong}")).unwrap_err();
            assert!(fault.starts_with(&format!("line 2 is `{wrong}`")), "{fault}");
        }
        assert!(pairs(&"x".repeat(100_000)).unwrap_err().len() < 200);
    }
}
