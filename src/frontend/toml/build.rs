//! From layers to a graph: paths, names, branches, and the shapes that must meet.

use super::{Architecture, Body, InputSpec, Item, Residual};
use crate::activation::Activation;
use crate::graph::{Assembly, Graph, GraphError};
use crate::law::call::nearest;
use crate::op::layer::{Assembler, Layer, LayerType, NewEntry, NewNode, Port};
use crate::op::residual::Residual as Sum;
use crate::op::{Shape, Space};
use std::collections::HashMap;
use std::sync::Arc;
use toml::Table;

/// More layers than this are refused.
const MOST: u64 = 1_000_000;

/// The graph of a network; activations that it does not name are `act`. Its parameters have no laws yet.
///
/// # Errors
/// The first layer whose shape does not fit, or a name that means nothing.
pub fn graph(architecture: &Architecture, act: &Arc<Activation>) -> Result<Graph, GraphError> {
    let list = &architecture.layers;
    if layers(list) > MOST {
        return Err(GraphError::new("the network", format!("it has more than {MOST} layers")));
    }
    let mut builder = Builder { assembly: Assembly::new(input(&architecture.input)?, act)? };
    let begin = vec![builder.assembly.input()];
    let mut level = Level::new("", None);
    let end = builder.list(list, &mut level, begin)?;
    match end.as_slice() {
        [output] => builder.assembly.finish(*output),
        many => {
            let reason = format!(
                "the last layer has {} outputs, and a network has one: a layer with `from` takes what it needs",
                many.len()
            );
            Err(GraphError::new("the network", reason))
        }
    }
}

/// Layers of a list, repeats counted as often as they come.
fn layers(list: &[Item]) -> u64 {
    let one = |item: &Item| match &item.body {
        Body::Repeat { times, layers: inner } => layers(inner).saturating_mul(*times as u64),
        Body::Residual(block) => {
            1u64.saturating_add(layers(&block.layers)).saturating_add(layers(&block.shortcut))
        }
        Body::Parallel { branches, .. } => {
            branches.iter().fold(1, |sum: u64, branch| sum.saturating_add(layers(branch)))
        }
        Body::Layer(..) => 1,
    };
    list.iter().fold(0, |sum, item| sum.saturating_add(one(item)))
}

fn input(spec: &InputSpec) -> Result<Shape, GraphError> {
    let shape = match (spec.shape.as_deref(), spec.tokens, spec.length) {
        (Some([features]), None, None) => Shape { channels: *features, space: Space::Flat },
        (Some([length, features]), None, None) => {
            Shape { channels: *features, space: Space::Sequence(*length) }
        }
        (Some([channels, height, width]), None, None) => {
            Shape { channels: *channels, space: Space::Image(*height, *width) }
        }
        (None, Some(tokens), Some(length)) => Shape { channels: tokens, space: Space::Tokens(length) },
        _ => {
            let reason = "shape = [features], [length, features] or [channels, height, width] is needed, or tokens and length";
            return Err(GraphError::new("input", reason));
        }
    };
    Ok(shape)
}

/// One list of layers as it is built.
struct Level<'a> {
    prefix: String,
    /// How often a name has come.
    count: HashMap<String, usize>,
    repeated: bool,
    /// Outputs of named layers, the latest of each name.
    named: HashMap<String, Vec<Port>>,
    /// The list that this one stands in.
    outer: Option<&'a Level<'a>>,
}

impl<'a> Level<'a> {
    fn new(prefix: &str, outer: Option<&'a Level<'a>>) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { prefix, count: HashMap::new(), repeated: false, named: HashMap::new(), outer }
    }

    /// The path of the next layer: a kind's name is numbered always, a name of the file's where it comes again.
    fn path(&mut self, kind: &str, name: Option<&String>) -> String {
        let base = name.map_or(kind, String::as_str);
        let count = self.count.entry(base.to_string()).or_insert(0);
        *count += 1;
        let prefix = &self.prefix;
        if name.is_some() && !self.repeated && *count == 1 {
            format!("{prefix}{base}")
        } else {
            format!("{prefix}{base}{count}")
        }
    }

    /// The outputs of an earlier layer of this list or of one around it.
    fn find(&self, name: &str) -> Option<&Vec<Port>> {
        self.named.get(name).or_else(|| self.outer.and_then(|outer| outer.find(name)))
    }

    fn names(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.named.keys().map(String::as_str).collect();
        all.extend(self.outer.map(Level::names).unwrap_or_default());
        all.sort_unstable();
        all
    }
}

/// `name[index]` in its parts; the index is left out for a layer with one output.
fn reference(text: &str) -> (&str, Option<usize>) {
    let split = text.strip_suffix(']').and_then(|rest| rest.split_once('['));
    match split.and_then(|(name, index)| Some((name, index.parse().ok()?))) {
        Some((name, index)) => (name, Some(index)),
        None => (text, None),
    }
}

struct Builder {
    assembly: Assembly,
}

impl Builder {
    fn list(
        &mut self,
        list: &[Item],
        level: &mut Level,
        mut ports: Vec<Port>,
    ) -> Result<Vec<Port>, GraphError> {
        for (place, item) in list.iter().enumerate() {
            ports = self.item(item, &list[place..], level, ports)?;
        }
        Ok(ports)
    }

    fn item(
        &mut self,
        item: &Item,
        rest: &[Item],
        level: &mut Level,
        before: Vec<Port>,
    ) -> Result<Vec<Port>, GraphError> {
        if let Body::Repeat { times, layers } = &item.body {
            let mut ports = self.inputs("repeat", item, rest, level, before)?;
            let repeated = std::mem::replace(&mut level.repeated, true);
            // A list of nothing is the same however often it comes.
            for _ in 0..if layers.is_empty() { 0 } else { *times } {
                ports = self.list(layers, level, ports)?;
            }
            level.repeated = repeated;
            self.name(item, level, &ports);
            return Ok(ports);
        }
        let kind = match &item.body {
            Body::Layer(kind, _) => word(kind),
            Body::Residual(_) => "block",
            Body::Parallel { .. } | Body::Repeat { .. } => "parallel",
        };
        let path = level.path(kind, item.name.as_ref());
        let inputs = self.inputs(&path, item, rest, level, before)?;
        let ports = match &item.body {
            Body::Layer(_, layer) => self.layer(&path, layer.as_ref(), &inputs)?,
            Body::Residual(block) => self.residual(&path, block, level, &inputs)?,
            Body::Parallel { branches, join } => self.parallel(&path, branches, join, level, &inputs)?,
            Body::Repeat { .. } => inputs,
        };
        self.name(item, level, &ports);
        Ok(ports)
    }

    fn name(&self, item: &Item, level: &mut Level, ports: &[Port]) {
        if let Some(name) = &item.name {
            level.named.insert(name.clone(), ports.to_vec());
        }
    }

    /// What goes into a layer: the outputs that it names, or those of the layer before.
    fn inputs(
        &self,
        path: &str,
        item: &Item,
        rest: &[Item],
        level: &Level,
        before: Vec<Port>,
    ) -> Result<Vec<Port>, GraphError> {
        let Some(from) = &item.from else { return Ok(before) };
        let mut ports = Vec::with_capacity(from.len());
        for text in from {
            let (name, index) = reference(text);
            let Some(found) = level.find(name) else {
                let later = rest.iter().any(|item| item.name.as_deref() == Some(name));
                let reason = if later {
                    format!(
                        "`{name}` is this layer or a later one: a network has no cycles, so `from` names earlier layers"
                    )
                } else {
                    let known = level.names();
                    match nearest(name, known.iter().copied()) {
                        Some(near) => format!(
                            "from names `{name}`, which no earlier layer is called: did you mean `{near}`?"
                        ),
                        None if known.is_empty() => {
                            format!("from names `{name}`, but no earlier layer has a name")
                        }
                        None => format!(
                            "from names `{name}`, which no earlier layer is called; there are {}",
                            known.join(", ")
                        ),
                    }
                };
                return Err(GraphError::new(path, reason));
            };
            match (index, found.as_slice()) {
                (None, [one]) => ports.push(*one),
                (None, many) => {
                    let reason =
                        format!("`{name}` has {} outputs: name one of them, as in `{name}[0]`", many.len());
                    return Err(GraphError::new(path, reason));
                }
                (Some(index), all) if index < all.len() => ports.push(all[index]),
                (Some(index), all) => {
                    let reason = format!(
                        "`{name}` has {} outputs, the last of them `{name}[{}]`, not [{index}]",
                        all.len(),
                        all.len() - 1
                    );
                    return Err(GraphError::new(path, reason));
                }
            }
        }
        Ok(ports)
    }

    fn layer(&mut self, path: &str, layer: &dyn Layer, inputs: &[Port]) -> Result<Vec<Port>, GraphError> {
        self.assembly.begin(path);
        layer.assemble(&mut self.assembly, inputs).map_err(|reason| GraphError::new(path, reason))
    }

    fn residual(
        &mut self,
        path: &str,
        block: &Residual,
        level: &Level,
        inputs: &[Port],
    ) -> Result<Vec<Port>, GraphError> {
        let input = features(path, "residual", inputs)?;
        if !block.scale.is_finite() {
            return Err(GraphError::new(path, format!("scale = {} is not a finite number", block.scale)));
        }
        self.assembly.open_branch();
        let branch = self.list(&block.layers, &mut Level::new(path, Some(level)), vec![input])?;
        self.assembly.close();
        self.assembly.open_shortcut();
        let around = format!("{path}/shortcut");
        let around = self.list(&block.shortcut, &mut Level::new(&around, Some(level)), vec![input])?;
        self.assembly.close();
        let (out, around) = (single(path, &branch)?, single(path, &around)?);
        if out.shape != around.shape {
            let what =
                if block.shortcut.is_empty() { "the identity around it keeps" } else { "its shortcut gives" };
            let reason = format!(
                "the branch makes {} of {} and {what} {}: {}",
                out.shape,
                input.shape,
                around.shape,
                fitting(input.shape, out.shape)
            );
            return Err(GraphError::new(path, reason));
        }
        self.assembly.begin(path);
        let fault = |reason: String| GraphError::new(path, reason);
        let channels = out.shape.channels;
        let entry = NewEntry {
            part: None,
            kind: "residual",
            fans: (channels, channels),
            units: channels,
            positions: out.shape.positions(),
            weighted: false,
        };
        let entry = self.assembly.entry(&entry).map_err(fault)?;
        let node = NewNode {
            inputs: vec![out, around],
            entry: Some(entry),
            ..NewNode::plain(Sum { scale: block.scale }, out, out.shape)
        };
        self.assembly.node(node).map_err(fault)
    }

    fn parallel(
        &mut self,
        path: &str,
        branches: &[Vec<Item>],
        join: &LayerType,
        level: &Level,
        inputs: &[Port],
    ) -> Result<Vec<Port>, GraphError> {
        let mut ends = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            let path = format!("{path}/branch{}", index + 1);
            let end = self.list(branch, &mut Level::new(&path, Some(level)), inputs.to_vec())?;
            ends.push(single(&path, &end)?);
        }
        let layer = (join.read)(Table::new()).map_err(|reason| GraphError::new(path, reason))?;
        self.layer(path, layer.as_ref(), &ends)
    }
}

/// A layer's name in paths.
fn word(kind: &LayerType) -> &'static str {
    if kind.name == "conv2d" { "conv" } else { kind.name }
}

fn single(path: &str, ports: &[Port]) -> Result<Port, GraphError> {
    match ports {
        [one] => Ok(*one),
        many => Err(GraphError::new(path, format!("it ends with {} outputs; one is needed", many.len()))),
    }
}

fn features(path: &str, kind: &str, ports: &[Port]) -> Result<Port, GraphError> {
    crate::op::layer::features(kind, ports).map_err(|reason| GraphError::new(path, reason))
}

/// The shortcut that would join a branch.
fn fitting(from: Shape, to: Shape) -> String {
    match (from.space, to.space) {
        (a, b) if a == b && !matches!(a, Space::Image(..)) => {
            format!(
                "a shortcut of linear with out = {} would fit, or a branch that ends with {}",
                to.channels, from.channels
            )
        }
        (Space::Image(h, w), Space::Image(a, b))
            if h.div_ceil(h.div_ceil(a)) == a && w.div_ceil(w.div_ceil(b)) == b =>
        {
            let stride = (h.div_ceil(a), w.div_ceil(b));
            let stride = if stride.0 == stride.1 {
                stride.0.to_string()
            } else {
                format!("[{}, {}]", stride.0, stride.1)
            };
            format!(
                "a shortcut of conv2d with out = {}, kernel = 1, stride = {stride} would fit",
                to.channels
            )
        }
        _ => format!("a branch that ends with {from} would fit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Laws;
    use crate::initializer::Initializer;

    fn built(text: &str, init: &str) -> Graph {
        let architecture = Architecture::parse(text).unwrap();
        let init = Initializer::parse_for_net(init).unwrap();
        let act = Arc::new(Activation::parse("relu").unwrap());
        architecture.with_laws(&Laws { init: &init, bias: None, act: &act }).unwrap()
    }

    /// The parameters' followers and branches, through repeats and branches.
    #[test]
    fn laws_see_what_follows_and_how_deep_a_branch_is() {
        let net = built(
            r#"
            input = { shape = [4] }
            layer = [
                { type = "repeat", times = 2, layers = [
                    { type = "linear", out = 4 },
                    { type = "residual", layers = [{ type = "act", fn = "tanh" }, { type = "linear", out = 4 }] },
                    { type = "act" },
                ] },
                { type = "linear", out = 2 },
            ]"#,
            "normal(0, gain)",
        );
        let gain = |p: &crate::op::Parameter| match p.law {
            crate::law::Law::Normal { std, .. } => std,
            _ => 0.0,
        };
        let gains: Vec<f64> = net.parameters.iter().map(gain).collect();
        let (tanh, relu) = (5.0 / 3.0, 2f64.sqrt());
        assert_eq!(gains, [tanh, relu, tanh, relu, 1.0]);
        assert_eq!(net.branches, [1, 1]);
        assert_eq!(net.parameters[1].branch, Some((0, 0)));
        let trunk: Vec<bool> = net.entries.iter().map(|e| e.trunk).collect();
        assert_eq!(trunk, [true, false, true, true, false, true, true]);
    }

    #[test]
    fn fans_of_convolutions_count_taps_and_groups_divide_what_comes_in() {
        // PyTorch: weight (out, in/groups, kh, kw); Keras: kernel (kh, kw, in/groups, out). Both: fan_in = in/groups·taps,
        // fan_out = out·taps.
        let net = built(
            r#"
            input = { shape = [12, 9, 9] }
            layer = [
                { type = "conv2d", out = 8, kernel = [3, 2] },
                { type = "conv2d", out = 20, kernel = 3, groups = 4 },
                { type = "conv2d", out = 20, kernel = 1, groups = 20 },
            ]"#,
            "xavier",
        );
        let fans: Vec<_> = net.entries.iter().map(|e| (e.fan_in, e.fan_out, e.units)).collect();
        assert_eq!(fans, [(72, 48, 8), (18, 180, 20), (1, 20, 20)]);
        for entry in &net.entries {
            let variance = 2.0 / (entry.fan_in + entry.fan_out) as f64;
            assert!((entry.weights.moments(1, 1).variance / variance - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn shipped_architectures_have_the_published_number_of_weights() {
        // Weights without biases, gains and shifts. He et al. 2016 and torchvision: 11 678 912 and 25 502 912; Simonyan &
        // Zisserman 2015, D: 138 344 128; Radford et al. 2019: 50257·768 + 128·768 for 128 of its positions, 12·12·768².
        for (name, count) in [
            ("mlp-mnist", 784 * 128 + 128 * 10),
            ("mlp-digits", 64 * 128 + 128 * 10),
            ("lenet5", 54 + 1014 * 128 + 1280),
            ("lenet5-1998", 150 + 2400 + 48_000 + 10_080 + 840),
            ("vgg16", 138_344_128),
            ("resnet18", 11_678_912),
            ("resnet50", 25_502_912),
            ("gpt2-small", 50_257 * 768 + 128 * 768 + 12 * 12 * 768 * 768),
            ("rnn-100", 32 * 128 + 128 * 128 + 1280),
            ("cnn-10000", 72 + 576 * 9999 + 80),
        ] {
            let net = built(crate::frontend::bundled::source(name).unwrap(), "he");
            let found: usize = net.own_parameters().map(|p| p.shape.0 * p.shape.1).sum();
            assert_eq!(found, count, "{name}");
            assert_eq!(
                net.output().channels,
                if name.starts_with("gpt2") { 50_257 } else { net.output().size() }
            );
        }
        assert_eq!(crate::frontend::bundled::NAMES.len(), 10);
    }
}
