//! From layers to a graph: paths, names, branches, and the shapes that must meet.

use super::names::Level;
use super::{Architecture, Body, InputSpec, Item, Residual};
use crate::activation::Activation;
use crate::graph::{Assembly, Graph, GraphError};
use crate::op::add;
use crate::op::layer::{Layer, LayerType, Port};
use crate::op::{Shape, Space};
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
    let input = |(name, spec): &'_ (String, InputSpec)| Ok((name.clone(), input(name, spec)?));
    let inputs = architecture.inputs.iter().map(input).collect::<Result<Vec<_>, GraphError>>()?;
    let inputs: Vec<(&str, Shape)> = inputs.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    let mut builder = Builder { assembly: Assembly::new(&inputs, act)? };
    // Of several, none is meant by itself.
    let begin = builder.assembly.inputs().map(|(_, port)| port).filter(|_| inputs.len() == 1).collect();
    let mut level = Level::outermost(builder.assembly.inputs());
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

fn input(name: &str, spec: &InputSpec) -> Result<Shape, GraphError> {
    let shape = match (spec.shape.as_deref(), spec.tokens, spec.length) {
        (Some([features]), None, None) => Shape { channels: *features, space: Space::Flat },
        (Some([length, features]), None, None) => {
            Shape { channels: *features, space: Space::Sequence(*length) }
        }
        (Some([channels, height, width]), None, None) => {
            Shape { channels: *channels, space: Space::Image(*height, *width) }
        }
        (Some([channels, depth, height, width]), None, None) => {
            Shape { channels: *channels, space: Space::Volume(*depth, *height, *width) }
        }
        (None, Some(tokens), Some(length)) => Shape { channels: tokens, space: Space::Tokens(length) },
        _ => {
            let reason = "shape = [features], [length, features], [channels, height, width] or [channels, depth, height, width] is \
                          needed, or tokens and length";
            return Err(GraphError::new(name, reason));
        }
    };
    Ok(shape)
}

struct Builder {
    assembly: Assembly,
}

impl Builder {
    fn list<'a>(
        &mut self,
        list: &'a [Item],
        level: &mut Level<'a>,
        mut ports: Vec<Port>,
    ) -> Result<Vec<Port>, GraphError> {
        for (place, item) in list.iter().enumerate() {
            level.enter(list, place);
            ports = self.item(item, level, ports)?;
            level.leave();
            if let Some(name) = &item.name {
                level.name(name, &ports);
            }
        }
        Ok(ports)
    }

    fn item<'a>(
        &mut self,
        item: &'a Item,
        level: &mut Level<'a>,
        before: Vec<Port>,
    ) -> Result<Vec<Port>, GraphError> {
        if let Body::Repeat { times, layers: inner } = &item.body {
            let mut ports = inputs("repeat", item, level, before)?;
            let repeated = std::mem::replace(&mut level.repeated, true);
            // A list of nothing is the same however often it comes.
            let times = if layers(inner) == 0 { 1.min(*times) } else { *times };
            for _ in 0..times {
                ports = self.list(inner, level, ports)?;
            }
            level.repeated = repeated;
            return Ok(ports);
        }
        let kind = match &item.body {
            Body::Layer(kind, _) => word(kind),
            Body::Residual(_) => "block",
            Body::Parallel { .. } | Body::Repeat { .. } => "parallel",
        };
        let path = level.path(kind, item.name.as_ref());
        let inputs = inputs(&path, item, level, before)?;
        match &item.body {
            Body::Layer(_, layer) => self.layer(&path, layer.as_ref(), &inputs),
            Body::Residual(block) => self.residual(&path, block, level, &inputs),
            Body::Parallel { branches, join } => self.parallel(&path, branches, join, level, &inputs),
            Body::Repeat { .. } => Ok(inputs),
        }
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
        let branch = self.list(&block.layers, &mut Level::within(path, level), vec![input])?;
        self.assembly.close();
        self.assembly.open_shortcut();
        let around = format!("{path}/shortcut");
        let around = self.list(&block.shortcut, &mut Level::within(&around, level), vec![input])?;
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
        add::sum(&mut self.assembly, "residual", &[out, around], vec![block.scale, 1.0])
            .map_err(|reason| GraphError::new(path, reason))
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
            let end = self.list(branch, &mut Level::within(&path, level), inputs.to_vec())?;
            ends.push(single(&path, &end)?);
        }
        let layer = (join.read)(Table::new()).map_err(|reason| GraphError::new(path, reason))?;
        self.layer(path, layer.as_ref(), &ends)
    }
}

/// What goes into a layer: the values that it names, or the outputs of the layer before.
fn inputs(path: &str, item: &Item, level: &Level, before: Vec<Port>) -> Result<Vec<Port>, GraphError> {
    let Some(from) = &item.from else {
        return match before.as_slice() {
            [] => Err(GraphError::new(
                path,
                "the network has several inputs: `from` names the one that goes in",
            )),
            _ => Ok(before),
        };
    };
    from.iter().map(|text| level.value(text).map_err(|reason| GraphError::new(path, reason))).collect()
}

/// A layer's name in paths: that of a convolution without its number of axes.
fn word(kind: &LayerType) -> &'static str {
    ["1d", "2d", "3d"].iter().find_map(|axes| kind.name.strip_suffix(axes)).unwrap_or(kind.name)
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
        (a, b) if a == b && !a.has_channels_first() => {
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
        architecture.with_laws(&Laws { init: &init, bias: None, act: &act, overrides: &[] }).unwrap()
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
        // fan_out = out·taps. Transposed, PyTorch: weight (in, out/groups, kh, kw), the same of its axes.
        let net = built(
            r#"
            input = { shape = [12, 9, 9] }
            layer = [
                { type = "conv2d", out = 8, kernel = [3, 2] },
                { type = "conv2d", out = 20, kernel = 3, groups = 4 },
                { type = "conv2d", out = 20, kernel = 1, groups = 20 },
                { type = "conv-transpose2d", out = 8, kernel = [3, 2], groups = 4 },
            ]"#,
            "xavier",
        );
        let fans: Vec<_> = net.entries.iter().map(|e| (e.fan_in, e.fan_out, e.units)).collect();
        assert_eq!(fans, [(72, 48, 8), (18, 180, 20), (1, 20, 20), (12, 120, 8)]);
        for entry in &net.entries {
            let variance = 2.0 / (entry.fan_in + entry.fan_out) as f64;
            assert!((entry.weights.moments(1, 1).variance / variance - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn shipped_architectures_have_the_published_number_of_parameters() {
        // With biases, gains and shifts, as torchvision, timm and transformers count them; see `docs/architectures.md` for what differs.
        for (name, count) in [
            ("mlp-mnist", 784u128 * 128 + 128 + 128 * 10 + 10),
            ("mlp-digits", 64 * 128 + 128 + 128 * 10 + 10),
            ("vgg16", 138_357_544),
            ("vgg16-bn", 138_365_992),
            ("resnet18", 11_689_512),
            ("resnet34", 21_797_672),
            ("resnet50", 25_557_032),
            ("resnet101", 44_549_160),
            ("densenet121", 7_978_856),
            ("mobilenet-v2", 3_504_872),
            ("efficientnet-b0", 5_288_548),
            ("nfnet-f0", 71_489_284),
            ("convnext-tiny", 28_589_128),
            ("vit-b16", 86_567_656),
            ("deit-s", 22_050_664),
            ("mlp-mixer", 59_880_472),
            ("dcgan", 3_576_704),
            ("unet", 31_030_658),
            ("siren", 2 * 256 + 256 + 3 * (256 * 256 + 256) + 257),
            // Of the originals' 512 and 1024 positions 128 are here, and none of the two segments.
            ("bert-base", 109_482_240 - (512 - 128 + 2) * 768),
            ("gpt2-small", 124_439_808 - (1024 - 128) * 768),
            ("gpt2-medium", 354_823_168 - (1024 - 128) * 1024),
            ("gpt2-large", 774_030_080 - (1024 - 128) * 1280),
            ("gpt2-xl", 1_557_611_200 - (1024 - 128) * 1600),
            ("pythia-160m", 162_322_944),
            ("llama-3-8b", 8_030_261_248),
            ("mixtral-8x7b", 46_702_792_704),
            ("t5-small", 60_506_624),
            // Transformers counts the encoder's sines and cosines too.
            ("whisper-tiny", 37_760_640 - 1500 * 384),
            ("lstm-lm", 10_000 * 650 + 2 * (4 * 650 * 1300 + 2 * 4 * 650) + 650 * 10_000 + 10_000),
        ] {
            let net = built(crate::frontend::bundled::source(name).unwrap(), "he");
            assert_eq!(net.parameter_count(), count, "{name}");
        }
    }

    #[test]
    fn shipped_architectures_can_be_built() {
        for name in crate::frontend::bundled::NAMES {
            let source = crate::frontend::bundled::source(name).unwrap();
            let net = Architecture::parse(source).unwrap();
            assert_eq!(net.name.as_deref(), Some(*name));
            let init = net.init.clone().unwrap_or_else(|| "he".into());
            assert!(net.act.is_none_or(|act| Activation::parse(&act).is_ok()), "{name}");
            built(source, &init);
        }
    }
}
