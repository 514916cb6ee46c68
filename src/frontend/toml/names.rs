//! Names of layers: the paths that they make, and the values that `from` means by them.

use super::{Body, Item};
use crate::law::call::nearest;
use crate::op::layer::Port;
use std::collections::HashMap;

/// One list of layers as it is built.
pub struct Level<'a> {
    prefix: String,
    /// How often a name has come.
    count: HashMap<String, usize>,
    /// The layers at work stand in a repeat.
    pub repeated: bool,
    /// Outputs of named layers, the latest of each name.
    named: HashMap<String, Vec<Port>>,
    /// The lists at work, this one and those of repeats in it, each with the place of the layer at work.
    at_work: Vec<(&'a [Item], usize)>,
    /// The list that this one stands in.
    outer: Option<&'a Level<'a>>,
}

impl<'a> Level<'a> {
    /// The list of the network itself; `from` calls its inputs by their names, unless layers have these names.
    pub fn outermost<'n>(inputs: impl Iterator<Item = (&'n str, Port)>) -> Self {
        let mut level = Self::new(String::new(), None);
        level.named.extend(inputs.map(|(name, port)| (name.to_string(), vec![port])));
        level
    }

    /// A list of the layer at this path, which stands in another list.
    pub fn within(path: &str, outer: &'a Level<'a>) -> Self {
        Self::new(format!("{path}/"), Some(outer))
    }

    fn new(prefix: String, outer: Option<&'a Level<'a>>) -> Self {
        let (count, named) = (HashMap::new(), HashMap::new());
        Self { prefix, count, repeated: false, named, at_work: Vec::new(), outer }
    }

    /// The layer at this place of a list is at work.
    pub fn enter(&mut self, list: &'a [Item], place: usize) {
        self.at_work.push((list, place));
    }

    /// The layer entered last is done.
    pub fn leave(&mut self) {
        self.at_work.pop();
    }

    /// The path of the next layer: a kind's name is numbered always, a name of the file's where it comes again.
    pub fn path(&mut self, kind: &str, name: Option<&String>) -> String {
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

    /// Layers that come later mean these values by this name.
    pub fn name(&mut self, name: &str, ports: &[Port]) {
        self.named.insert(name.into(), ports.to_vec());
    }

    /// The value that `from` names: `name`, or `name[index]` where the layer has several outputs.
    ///
    /// # Errors
    /// A name that no earlier layer has, or an index that is missing or too large.
    pub fn value(&self, text: &str) -> Result<Port, String> {
        let (name, index) = if self.find(text).is_some() { (text, None) } else { reference(text) };
        let outputs = self.find(name).ok_or_else(|| self.missing(name))?;
        match (index, outputs) {
            (None, [one]) => Ok(*one),
            (None, many) => {
                Err(format!("`{name}` has {} outputs: name one of them, as in `{name}[0]`", many.len()))
            }
            (Some(index), all) => all.get(index).copied().ok_or_else(|| match all.len() {
                1 => format!("`{name}` has one output, so there is no `{name}[{index}]`"),
                count => format!(
                    "`{name}` has {count} outputs, `{name}[0]` to `{name}[{}]`, not [{index}]",
                    count - 1
                ),
            }),
        }
    }

    /// The outputs of an earlier layer of this list or of one around it.
    fn find(&self, name: &str) -> Option<&[Port]> {
        let own = self.named.get(name).map(Vec::as_slice);
        own.or_else(|| self.outer.and_then(|outer| outer.find(name)))
    }

    fn names(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.named.keys().map(String::as_str).collect();
        all.extend(self.outer.map(Level::names).unwrap_or_default());
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Why no earlier layer has this name.
    fn missing(&self, name: &str) -> String {
        if self.comes(name) {
            return format!(
                "`{name}` is this layer, one around it or a later one: a network has no cycles, so `from` names earlier layers"
            );
        }
        let known = self.names();
        match nearest(name, known.iter().copied()) {
            _ if self.stands_inside(name) => format!(
                "`{name}` stands inside another block or branch: `from` names layers of its own list and of the lists around it"
            ),
            Some(near) => {
                format!("from names `{name}`, which no earlier layer is called: did you mean `{near}`?")
            }
            None => format!(
                "from names `{name}`, which no earlier layer is called; there are {}",
                known.join(", ")
            ),
        }
    }

    /// A layer of this name is at work or comes later, in this list or in one around it.
    fn comes(&self, name: &str) -> bool {
        let mut ahead = self.at_work.iter().flat_map(|(list, place)| &list[*place..]);
        ahead.any(|item| item.name.as_deref() == Some(name))
            || self.outer.is_some_and(|outer| outer.comes(name))
    }

    /// A list that `from` cannot look into holds a layer of this name.
    fn stands_inside(&self, name: &str) -> bool {
        self.at_work.iter().flat_map(|(list, _)| *list).any(|item| holds(item, name))
            || self.outer.is_some_and(|outer| outer.stands_inside(name))
    }
}

/// A list of this layer holds one of this name.
fn holds(item: &Item, name: &str) -> bool {
    let any = |list: &[Item]| list.iter().any(|item| item.name.as_deref() == Some(name) || holds(item, name));
    match &item.body {
        Body::Layer(..) => false,
        Body::Repeat { layers, .. } => any(layers),
        Body::Residual(block) => any(&block.layers) || any(&block.shortcut),
        Body::Parallel { branches, .. } => branches.iter().any(|branch| any(branch)),
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
