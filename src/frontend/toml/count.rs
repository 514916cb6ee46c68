//! What must be known of a whole architecture before its first layer is built.

use crate::frontend::toml::LayerSpec;

/// Layers with weights, in the order in which the signal meets them, and residual branches that have some.
#[derive(Debug, Default)]
pub struct Census {
    /// For each layer with weights, what follows.
    pub followed: Vec<Following>,
    /// Residual branches with weights.
    pub branches: usize,
}

/// The activation that is next behind a layer with weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// None: the layer is the last.
    Nothing,
    /// The one for layers that name none.
    Default,
    /// This one.
    Named(String),
}

/// More layers than this are refused.
pub const MOST: u64 = 1_000_000;

/// Layers of a list, repeats counted as often as they come.
pub fn layers(list: &[LayerSpec]) -> u64 {
    let one = |layer: &LayerSpec| match layer {
        LayerSpec::Repeat(repeat) => layers(&repeat.layers).saturating_mul(repeat.times as u64),
        LayerSpec::Residual(block) => {
            1u64.saturating_add(layers(&block.layers)).saturating_add(layers(&block.shortcut))
        }
        _ => 1,
    };
    list.iter().fold(0, |sum, layer| sum.saturating_add(one(layer)))
}

/// Weight matrices of a layer itself.
pub fn weights(layer: &LayerSpec) -> usize {
    match layer {
        LayerSpec::Linear(_) | LayerSpec::Conv2d(_) => 1,
        LayerSpec::Embedding(embedding) => 1 + usize::from(embedding.positions),
        LayerSpec::Rnn(_) => 2,
        LayerSpec::Lstm(_) => 8,
        LayerSpec::Gru(_) => 6,
        LayerSpec::Attention(_) => 4,
        _ => 0,
    }
}

/// Layers with weights of a branch, as initialisers count depth: the projections of queries, keys and values are one.
pub fn depth(list: &[LayerSpec]) -> usize {
    let one = |layer: &LayerSpec| match layer {
        LayerSpec::Repeat(repeat) => depth(&repeat.layers) * repeat.times,
        LayerSpec::Residual(block) => depth(&block.layers),
        LayerSpec::Attention(_) => 2,
        other => usize::from(weights(other) > 0),
    };
    list.iter().map(one).sum()
}

/// What the signal meets, as far as initialisers care.
enum Event {
    Weights,
    Act(Following),
}

impl Census {
    /// Of a whole network.
    pub fn of(list: &[LayerSpec]) -> Self {
        let (mut events, mut branches) = (Vec::new(), 0);
        visit(list, &mut events, &mut branches);
        let mut next = Following::Nothing;
        let mut followed = Vec::new();
        for event in events.into_iter().rev() {
            match event {
                Event::Act(act) => next = act,
                Event::Weights => followed.push(next.clone()),
            }
        }
        followed.reverse();
        Self { followed, branches }
    }
}

fn visit(list: &[LayerSpec], events: &mut Vec<Event>, branches: &mut usize) {
    for layer in list {
        match layer {
            LayerSpec::Repeat(repeat) => {
                (0..repeat.times).for_each(|_| visit(&repeat.layers, events, branches));
            }
            LayerSpec::Residual(block) => {
                *branches += usize::from(depth(&block.layers) > 0);
                visit(&block.layers, events, branches);
                visit(&block.shortcut, events, branches);
            }
            LayerSpec::Act(act) => {
                events.push(Event::Act(act.function.clone().map_or(Following::Default, Following::Named)));
            }
            other => {
                events.extend((0..weights(other)).map(|_| Event::Weights));
                match other {
                    LayerSpec::Rnn(rnn) => {
                        let act = rnn.function.clone().map_or(Following::Default, Following::Named);
                        events.push(Event::Act(act));
                    }
                    LayerSpec::Lstm(_) | LayerSpec::Gru(_) => {
                        events.push(Event::Act(Following::Named("tanh".into())));
                    }
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::toml::Architecture;

    #[test]
    fn the_census_sees_what_follows_through_repeats_and_branches() {
        let net = Architecture::parse(
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
        )
        .unwrap();
        let census = Census::of(&net.layers);
        let tanh = Following::Named("tanh".into());
        let pair = [tanh, Following::Default];
        assert_eq!(census.followed, [&pair[..], &pair[..], &[Following::Nothing]].concat());
        assert_eq!((census.branches, layers(&net.layers), depth(&net.layers)), (2, 11, 5));
    }
}
