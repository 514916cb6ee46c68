//! The outline of a network: what its layers are for, and the blocks that they stand in, by name.

use crate::result::{Cell, Layer, role};
use std::collections::{HashMap, HashSet};

/// More roles than this are not told apart: the rarest are one.
const MOST_ROLES: usize = 12;
/// The one role of a network without blocks.
const CHAIN: &str = "layers";
/// A chain of more layers than this is counted where most are of one kind, a shorter one has each layer's name.
const MOST_NAMES: usize = 12;

/// The layers of a network by role and block.
pub struct Outline {
    /// Of each layer.
    pub places: Vec<Place>,
    /// Of each norm, where there is a line for them: at the layer before it.
    pub norms: Vec<Place>,
    /// Roles in the order in which the signal meets them, in words.
    pub roles: Vec<Role>,
    /// Blocks from the input to the output; in a recurrent network, steps in time.
    pub blocks: Vec<Block>,
    /// Stretches of blocks with equally many channels, or of one side, where there are several.
    pub stages: Vec<Stage>,
    /// Last places of sides behind which another begins, such as a decoder behind an encoder.
    pub sides: Vec<usize>,
    /// What a number of a block counts.
    pub across: String,
    /// The last place.
    pub extent: usize,
}

/// Where a layer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index among the roles.
    pub role: usize,
    /// From 1 on; layers of one time step share a place.
    pub at: usize,
}

/// What layers are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// As people read it.
    pub name: String,
    /// Its layers are what every signal passes.
    pub trunk: bool,
}

/// Layers that stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// As in `block3` or `embedding`.
    pub name: String,
    /// Where it is one of many alike.
    pub number: Option<usize>,
    /// Its first place and its last.
    pub places: (usize, usize),
}

/// Blocks with equally many channels, or of one side, such as an encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// As in `stage 2` or `encoder`.
    pub name: String,
    /// Its first place and its last.
    pub places: (usize, usize),
}

impl Outline {
    /// All layers but one or two are on one line: a chain, or one recurrent layer.
    pub fn is_one_line(&self) -> bool {
        (0..self.roles.len()).filter(|role| self.count(*role) > 1).count() <= 1
    }

    /// The outline of a network's layers, and of its norms where it has several lines; `None` for a plain stack.
    pub fn with_norms(cell: &Cell) -> Option<Self> {
        let mut outline = Self::of(&cell.layers)?;
        if outline.roles.len() > 1 && !outline.is_one_line() && !cell.norms.is_empty() {
            let role = outline.roles.len();
            outline.roles.push(Role { name: role::NORM.into(), trunk: false });
            let at =
                |norm: &Layer| outline.places.get(norm.layer - 1).map_or(outline.extent, |place| place.at);
            outline.norms = cell.norms.iter().map(|norm| Place { role, at: at(norm) }).collect();
        }
        Some(outline)
    }

    /// The layers of one role of a cell, with their places.
    pub fn layers<'a>(&self, cell: &'a Cell, role: usize) -> Vec<(usize, &'a Layer)> {
        let all = self.places.iter().zip(&cell.layers).chain(self.norms.iter().zip(&cell.norms));
        all.filter(|(place, _)| place.role == role).map(|(place, layer)| (place.at, layer)).collect()
    }

    /// How many layers have this role.
    pub fn count(&self, role: usize) -> usize {
        self.places.iter().chain(&self.norms).filter(|place| place.role == role).count()
    }

    /// The outline of a network's layers; `None` for a plain stack.
    pub fn of(layers: &[Layer]) -> Option<Self> {
        layers.first()?.path.as_ref()?;
        let (roles, of_layer) = roles(layers);
        if let Some(places) = in_time(layers) {
            let blocks = steps(layers, &places);
            let extent = places.iter().copied().max().unwrap_or(1);
            let across = "time step".into();
            let places = together(&of_layer, &places);
            let norms = Vec::new();
            let (stages, sides) = (Vec::new(), Vec::new());
            return Some(Self { places, norms, roles, blocks, stages, sides, across, extent });
        }
        let at: Vec<usize> = (1..=layers.len()).collect();
        let units = merged(units(layers));
        let (blocks, across) = blocks(&units);
        let by_side = sides(&units).unwrap_or_default();
        let inner = &by_side[..by_side.len().saturating_sub(1)];
        let ends = inner.iter().map(|side| side.places.1).collect();
        let stages = if by_side.is_empty() { stages(layers, &blocks) } else { by_side };
        let (places, norms) = (together(&of_layer, &at), Vec::new());
        Some(Self { places, norms, roles, blocks, stages, sides: ends, across, extent: layers.len() })
    }
}

fn together(roles: &[usize], at: &[usize]) -> Vec<Place> {
    roles.iter().zip(at).map(|(role, at)| Place { role: *role, at: *at }).collect()
}

/// The word of a layer's role as people read it.
fn word(layer: &Layer, recurrent: usize) -> String {
    match layer.role.as_deref() {
        Some("recurrent") if recurrent > 1 => parent(layer).to_string(),
        Some("recurrent") => "state".into(),
        Some(role) => role.replace('-', " "),
        None => "layer".into(),
    }
}

fn parent(layer: &Layer) -> &str {
    layer.path.as_deref().and_then(|path| path.rsplit_once('/')).map_or("", |parts| parts.0)
}

/// All roles, and that of each layer.
fn roles(layers: &[Layer]) -> (Vec<Role>, Vec<usize>) {
    let is_recurrent = |l: &&Layer| l.role.as_deref() == Some("recurrent");
    let recurrent: HashSet<&str> = layers.iter().filter(is_recurrent).map(parent).collect();
    // The embedding is the stream's first point, where there is a stream; a chain is one line.
    let stream = layers.iter().any(|l| l.role.as_deref() == Some("stream"));
    let chain = layers
        .iter()
        .all(|l| matches!(l.role.as_deref(), Some("stream" | "head" | "embedding")) && !l.is_sum());
    let name = |l: &Layer| match l.role.as_deref() {
        _ if chain => CHAIN.to_string(),
        Some("embedding") if stream => "stream".to_string(),
        _ => word(l, recurrent.len()),
    };
    let words: Vec<String> = layers.iter().map(name).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    words.iter().for_each(|word| *counts.entry(word).or_default() += 1);
    let mut order: Vec<&str> = Vec::new();
    words.iter().for_each(|word| {
        if !order.contains(&word.as_str()) && order.len() < 10 * MOST_ROLES {
            order.push(word);
        }
    });
    if order.len() > MOST_ROLES {
        let mut frequent = order.clone();
        frequent.sort_by_key(|word| (!matches!(*word, "stream" | "head"), usize::MAX - counts[word]));
        frequent.truncate(MOST_ROLES - 1);
        order.retain(|word| frequent.contains(word));
        order.push("other");
    }
    let last = order.len().saturating_sub(1);
    let of_layer: Vec<usize> =
        words.iter().map(|word| order.iter().position(|known| known == word).unwrap_or(last)).collect();
    let single = recurrent.len() == 1;
    let trunk = |name: &str| name == "stream" || name == CHAIN || (single && name == "state");
    let roles = order.iter().map(|name| Role { name: (*name).into(), trunk: trunk(name) }).collect();
    (roles, of_layer)
}

/// The number of a step in time.
fn step(layer: &Layer) -> Option<usize> {
    let name = layer.path.as_deref()?.rsplit('/').next()?;
    (layer.role.as_deref() == Some("recurrent")).then(|| name.strip_prefix("step")?.parse().ok())?
}

/// Places in time, where steps follow one another but for layers before the first and behind the last.
fn in_time(layers: &[Layer]) -> Option<Vec<usize>> {
    let first = layers.iter().position(|l| step(l).is_some())?;
    let last = layers.iter().rposition(|l| step(l).is_some())?;
    let inner = &layers[first..=last];
    let steps = inner.iter().map(step).collect::<Option<Vec<usize>>>()?;
    let most = steps.iter().copied().max()?;
    let before = 1..=first;
    let behind = (1..layers.len() - last).map(|k| first + most + k);
    Some(before.chain(steps.into_iter().map(|step| first + step)).chain(behind).collect())
}

/// A block for each step in time, and one for each layer before and behind them.
fn steps(layers: &[Layer], places: &[usize]) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    for (layer, at) in layers.iter().zip(places) {
        if found.iter().rev().take(1).any(|block| block.places.0 >= *at) {
            continue;
        }
        let number = step(layer);
        let name = number.map_or_else(|| named(layer, &layer.name()), |n| n.to_string());
        found.push(Block { name, number, places: (*at, *at) });
    }
    found
}

/// An embedding needs no number.
fn named(layer: &Layer, name: &str) -> String {
    match name.strip_suffix('1') {
        Some(stem) if layer.kind == "embedding" => stem.into(),
        _ => name.into(),
    }
}

/// The name of a layer that stands outside of blocks.
pub fn alone(layer: &Layer) -> Option<String> {
    let path = layer.path.as_deref().filter(|path| !path.contains('/'))?;
    Some(named(layer, path))
}

/// `attention` and 12 of `attention12`; without a number it is the first.
fn counted(name: &str) -> (&str, usize) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[stem.len()..].parse().unwrap_or(1);
    (stem, number)
}

/// Layers that share the first part of their paths.
struct Unit<'a> {
    name: String,
    stem: &'a str,
    number: usize,
    places: (usize, usize),
    /// It is no single layer.
    block: bool,
    /// What all its parts begin with, as in `encoder` of `encoder_attention1` and `encoder_mlp1`.
    side: Option<&'a str>,
}

/// Blocks in their order, and what their numbers count.
fn blocks(units: &[Unit]) -> (Vec<Block>, String) {
    let block = |unit: &Unit, number| Block { name: unit.name.clone(), number, places: unit.places };
    if sides(units).is_some() {
        let of = |unit: &Unit| block(unit, unit.side.map(|_| unit.number));
        return (units.iter().map(of).collect(), "block".into());
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let chain = units.iter().all(|unit| !unit.block);
    let counts_of =
        |unit: &&Unit| unit.block || (chain && units.len() > MOST_NAMES && unit.places.0 == unit.places.1);
    units.iter().filter(counts_of).for_each(|unit| *counts.entry(unit.stem).or_default() += 1);
    let most = counts.iter().max_by_key(|(stem, count)| (**count, std::cmp::Reverse(**stem)));
    let many = |count: usize| if chain { 5 * count > 3 * units.len() } else { count > 2 };
    let counted = most.filter(|(_, count)| many(**count)).map(|(stem, _)| *stem);
    let numbered = |unit: &Unit| {
        let single = unit.places.0 == unit.places.1;
        block(unit, (counted == Some(unit.stem) && (unit.block || chain && single)).then_some(unit.number))
    };
    let across = match counted.map(|stem| stem.trim_end_matches(['-', '_', '.'])) {
        None => "layer".into(),
        Some("") => "block".into(),
        Some(stem) if chain => format!("{stem} layer"),
        Some(stem) if stem.contains("block") || stem.contains("layer") => stem.into(),
        Some(stem) => format!("{stem} block"),
    };
    (units.iter().map(numbered).collect(), across)
}

/// Consecutive layers with the same first part; `conv1_1` and `conv1_2` are both of `conv1`.
fn units(layers: &[Layer]) -> Vec<Unit<'_>> {
    let tops: Vec<&str> =
        layers.iter().map(|l| l.path.as_deref().unwrap_or("").split('/').next().unwrap_or("")).collect();
    let part = |top: &'_ str| {
        top.rsplit_once('_').filter(|(_, n)| n.bytes().all(|c| c.is_ascii_digit())).map(|p| p.0.len())
    };
    let mut found: Vec<Unit> = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let path = layer.path.as_deref().unwrap_or("");
        let top = tops[index];
        let key = match part(top) {
            Some(length) if path == top => &top[..length],
            _ => top,
        };
        let at = index + 1;
        match found.last_mut() {
            Some(unit) if unit.name == key => {
                unit.places.1 = at;
                unit.block |= path != key && path.contains('/');
            }
            _ => {
                let (stem, number) = counted(key);
                let block = path.contains('/');
                found.push(Unit { name: key.into(), stem, number, places: (at, at), block, side: None });
            }
        }
    }
    for unit in &mut found {
        let layer = &layers[unit.places.0 - 1];
        unit.name = named(layer, &unit.name);
        if unit.places.0 == unit.places.1 && !unit.block {
            // Alone, it keeps the whole of its name.
            unit.name = named(layer, tops[unit.places.0 - 1]);
        }
    }
    found
}

/// Attention and perceptron with one number are one block, where that repeats.
fn merged(units: Vec<Unit<'_>>) -> Vec<Unit<'_>> {
    let pairs = |a: &Unit, b: &Unit| a.block && b.block && a.number == b.number && a.stem != b.stem;
    let count = units.windows(2).filter(|two| pairs(&two[0], &two[1])).count();
    if count < 2 {
        return units;
    }
    let mut found: Vec<Unit> = Vec::new();
    for unit in units {
        match found.last_mut() {
            Some(before) if pairs(before, &unit) => {
                before.places.1 = unit.places.1;
                before.side = side(before.stem, unit.stem);
                before.name = format!("{} {}", before.side.unwrap_or("block"), before.number);
                // Three and more stand together too.
                before.stem = before.side.map_or("block", |side| &before.stem[..side.len() + 1]);
            }
            _ => found.push(unit),
        }
    }
    found
}

/// The words that two names begin with.
fn side<'a>(one: &'a str, other: &str) -> Option<&'a str> {
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    // Of two bytes that are alike one may be part of a longer character.
    let end = one.get(..same)?.rfind(['_', '-'])?;
    (end > 0).then(|| &one[..end])
}

/// The sides that blocks belong to, where all that repeat belong to one of several.
fn sides(units: &[Unit]) -> Option<Vec<Stage>> {
    let mut found: Vec<Stage> = Vec::new();
    for unit in units.iter().filter(|unit| unit.block) {
        let side = unit.side?;
        match found.last_mut() {
            Some(stage) if stage.name == side => stage.places.1 = unit.places.1,
            _ => found.push(Stage { name: side.into(), places: unit.places }),
        }
    }
    (found.len() > 1).then_some(found)
}

/// Where sums have equally many channels; none where all have, or each has its own.
fn stages(layers: &[Layer], blocks: &[Block]) -> Vec<Stage> {
    let mut found: Vec<(usize, Stage)> = Vec::new();
    for block in blocks.iter().filter(|block| block.number.is_some()) {
        let within = &layers[block.places.0 - 1..block.places.1];
        let Some(sum) = within.iter().rev().find(|l| l.is_sum()) else { return Vec::new() };
        match found.last_mut() {
            Some((channels, stage)) if *channels == sum.units() => stage.places.1 = block.places.1,
            _ => {
                let name = format!("stage {}", found.len() + 1);
                found.push((sum.units(), Stage { name, places: block.places }));
            }
        }
    }
    let blocks = blocks.iter().filter(|block| block.number.is_some()).count();
    if found.len() < 2 || found.len() >= blocks {
        return Vec::new();
    }
    found.into_iter().map(|(_, stage)| stage).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::result::made;

    /// Layers of a network with these paths and kinds; a sum is on the trunk, and so is what has no `/` in its path.
    pub fn network(of: &[(impl AsRef<str>, &str)]) -> Vec<Layer> {
        let of: Vec<(&str, &str)> = of.iter().map(|(path, kind)| (path.as_ref(), *kind)).collect();
        let one = |(k, (path, kind)): (usize, &(&str, &str))| Layer {
            path: Some((*path).to_string()),
            kind: (*kind).into(),
            branch: path.contains('/') && !path.contains("step"),
            ..made::layer(k + 1)
        };
        let mut layers: Vec<Layer> = of.iter().enumerate().map(one).collect();
        let purposes: Vec<_> = of.iter().map(|(path, kind)| role::tests::purpose(path, kind)).collect();
        role::assign(&mut layers, &purposes);
        layers
    }

    /// A transformer of some blocks.
    pub fn transformer(blocks: usize) -> Vec<Layer> {
        let mut paths = vec![("embedding1".to_string(), "embedding")];
        for k in 1..=blocks {
            for part in ["query", "key", "value", "out"] {
                paths.push((format!("attention{k}/self/{part}"), "linear"));
            }
            paths.push((format!("attention{k}"), "residual"));
            paths.push((format!("mlp{k}/linear1"), "linear"));
            paths.push((format!("mlp{k}/linear2"), "linear"));
            paths.push((format!("mlp{k}"), "residual"));
        }
        paths.push(("head".into(), "linear"));
        network(&paths)
    }

    fn names(outline: &Outline) -> Vec<(&str, Option<usize>)> {
        outline.blocks.iter().map(|block| (block.name.as_str(), block.number)).collect()
    }

    #[test]
    fn attention_and_perceptron_of_one_number_are_one_block() {
        let outline = Outline::of(&transformer(3)).unwrap();
        let roles: Vec<&str> = outline.roles.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(roles, ["stream", "query", "key", "value", "attention output", "up", "down", "head"]);
        let expected = [
            ("embedding", None),
            ("block 1", Some(1)),
            ("block 2", Some(2)),
            ("block 3", Some(3)),
            ("head", None),
        ];
        assert_eq!(names(&outline), expected);
        assert_eq!(outline.across, "block");
        assert_eq!(outline.blocks[1].places, (2, 9));
        assert!(outline.roles[0].trunk && !outline.roles[1].trunk);
    }

    #[test]
    fn norms_are_a_line_of_their_own_beside_several_others() {
        let norm = |layer: usize| Layer { role: Some("norm".into()), ..made::layer(layer) };
        let cell = Cell { norms: vec![norm(1), norm(6)], ..made::cell(transformer(3)) };
        let outline = Outline::with_norms(&cell).unwrap();
        let last = outline.roles.len() - 1;
        assert_eq!(outline.roles[last], Role { name: "norm".into(), trunk: false });
        let found: Vec<(usize, usize)> =
            outline.layers(&cell, last).iter().map(|(at, l)| (*at, l.layer)).collect();
        assert_eq!((found, outline.count(last)), (vec![(1, 1), (6, 6)], 2));
        assert_eq!(outline.layers(&cell, 1).len(), 3, "queries");
        // A chain stays one line.
        let chain =
            Cell { norms: vec![norm(1)], ..made::cell(network(&[("conv1", "conv2d"), ("conv2", "conv2d")])) };
        assert_eq!(Outline::with_norms(&chain).unwrap().roles.len(), 1);
    }

    /// An encoder and a decoder of so many blocks, the decoder with cross attention.
    pub fn two_sides(blocks: usize) -> Vec<Layer> {
        let mut all = vec![("encoder_embedding".to_string(), "embedding")];
        for side in ["encoder", "decoder"] {
            if side == "decoder" {
                all.push(("decoder_embedding".into(), "embedding"));
            }
            for k in 1..=blocks {
                all.push((format!("{side}_attention{k}/self/query"), "linear"));
                all.push((format!("{side}_attention{k}"), "residual"));
                if side == "decoder" {
                    all.push((format!("{side}_cross{k}/cross/query"), "linear"));
                    all.push((format!("{side}_cross{k}"), "residual"));
                }
                all.push((format!("{side}_mlp{k}/up"), "linear"));
                all.push((format!("{side}_mlp{k}"), "residual"));
            }
        }
        all.push(("head".into(), "linear"));
        network(&all)
    }

    #[test]
    fn encoder_and_decoder_are_stages_with_blocks_of_their_own() {
        let outline = Outline::of(&two_sides(3)).unwrap();
        let stages: Vec<(&str, (usize, usize))> =
            outline.stages.iter().map(|stage| (stage.name.as_str(), stage.places)).collect();
        assert_eq!(stages, [("encoder", (2, 13)), ("decoder", (15, 32))]);
        assert_eq!((outline.across.as_str(), outline.sides.as_slice()), ("block", [13].as_slice()));
        let numbers: Vec<Option<usize>> = outline.blocks.iter().map(|block| block.number).collect();
        let sides = [Some(1), Some(2), Some(3)];
        assert_eq!(numbers, [&[None], &sides[..], &[None], &sides[..], &[None]].concat());
        assert_eq!(outline.blocks[1].name, "encoder 1");
        // A network of one side has no such stages.
        let one: Vec<Layer> = two_sides(3).into_iter().take(13).collect();
        assert!(Outline::of(&one).unwrap().stages.is_empty());
    }

    #[test]
    fn blocks_with_equally_many_channels_are_a_stage() {
        let mut layers = network(&[
            ("conv1", "conv2d"),
            ("block1/conv1", "conv2d"),
            ("block1", "residual"),
            ("block2/conv1", "conv2d"),
            ("block2", "residual"),
            ("block3/conv1", "conv2d"),
            ("block3", "residual"),
            ("fc", "linear"),
        ]);
        layers[6].fan_out = 16;
        let outline = Outline::of(&layers).unwrap();
        let stages: Vec<_> = outline.stages.iter().map(|s| (s.name.as_str(), s.places)).collect();
        assert_eq!(stages, [("stage 1", (2, 5)), ("stage 2", (6, 7))]);
    }

    #[test]
    fn steps_of_several_recurrent_layers_share_the_axis_of_time() {
        let layers = network(&[
            ("embedding1", "embedding"),
            ("lstm1/step1", "lstm"),
            ("lstm1/step2", "lstm"),
            ("lstm2/step1", "lstm"),
            ("lstm2/step2", "lstm"),
            ("softmax", "linear"),
        ]);
        let outline = Outline::of(&layers).unwrap();
        assert_eq!(outline.places.iter().map(|p| p.at).collect::<Vec<_>>(), [1, 2, 3, 2, 3, 4]);
        assert_eq!(outline.across, "time step");
        let expected = [("embedding", None), ("1", Some(1)), ("2", Some(2)), ("softmax", None)];
        assert_eq!(names(&outline), expected);
        let roles: Vec<&str> = outline.roles.iter().map(|role| role.name.as_str()).collect();
        assert_eq!(roles, ["embedding", "lstm1", "lstm2", "head"]);
    }

    #[test]
    fn layers_of_one_prefix_stand_together() {
        let layers = network(&[
            ("down1_1", "conv2d"),
            ("down1_2", "conv2d"),
            ("up1_0", "conv2d"),
            ("up1_1", "conv2d"),
            ("head", "conv2d"),
        ]);
        let outline = Outline::of(&layers).unwrap();
        assert_eq!(names(&outline), [("down1", None), ("up1", None), ("head", None)]);
        assert_eq!(outline.across, "layer");
        assert_eq!(outline.roles, [Role { name: "layers".into(), trunk: true }]);
    }

    #[test]
    fn a_long_chain_of_one_kind_is_counted() {
        let paths: Vec<String> = (1..=30).map(|k| format!("conv{k}")).collect();
        let chain = |count: usize| {
            let of: Vec<(&str, &str)> = paths[..count].iter().map(|path| (path.as_str(), "conv2d")).collect();
            Outline::of(&network(&of)).unwrap()
        };
        let (short, long) = (chain(5), chain(30));
        assert_eq!(names(&short)[1], ("conv2", None));
        assert_eq!((names(&long)[1], long.across.as_str()), (("conv2", Some(2)), "conv layer"));
        assert!(long.is_one_line() && !Outline::of(&transformer(3)).unwrap().is_one_line());
    }

    #[test]
    fn more_roles_than_can_be_told_apart_are_one() {
        let paths: Vec<String> = (1..=30).map(|k| format!("block1/conv{k}")).collect();
        let mut of: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "conv2d")).collect();
        of.push(("block1", "residual"));
        let outline = Outline::of(&network(&of)).unwrap();
        assert_eq!(outline.roles.len(), MOST_ROLES);
        assert_eq!(outline.roles.last().unwrap().name, "other");
        assert!(outline.roles.iter().any(|role| role.trunk));
        assert!(Outline::of(&[made::layer(1)]).is_none());
    }
}
