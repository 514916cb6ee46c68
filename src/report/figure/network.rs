//! What the panels of a network show: a line for each role, against blocks by name or steps in time.

use super::across::{Across, Tick};
use super::panel::Panel;
use super::series::{Line, Series, Shown, activated, is_bounded, share, thinned};
use super::style::{Marker, RoleLook, role_looks};
use crate::report::outline::Outline;
use crate::result::{Cell, Layer};

/// Title of the panels of samples and units.
pub const SAMPLES: &str = "Mean cosine of samples; dead or saturated units";
/// Shares of dead units below this are called none.
const NONE: f64 = 0.005;

/// The horizontal axis: blocks, and stages where there are some.
pub fn across(outline: &Outline) -> Across {
    let tick = |block: &crate::report::outline::Block| {
        let (first, last) = (block.places.0 as f64, block.places.1 as f64);
        Tick {
            at: f64::midpoint(first, last),
            text: block.number.map_or_else(|| block.name.clone(), |n| n.to_string()),
            number: block.number,
            block: (last > first).then_some((first - 0.5, last + 0.5)),
        }
    };
    let stages = outline.stages.iter();
    Across {
        name: outline.across.clone(),
        reach: (1.0, outline.extent as f64),
        ticks: outline.blocks.iter().map(tick).collect(),
        stages: stages.map(|s| (s.places.0 as f64 - 0.5, s.places.1 as f64 + 0.5, s.name.clone())).collect(),
    }
}

/// Layers with their places.
type Placed<'a> = Vec<(usize, &'a Layer)>;

/// A role has more kinds of places than this: what is at them is one line.
const MOST_PARTS: usize = 8;

/// The place of a layer in its block: its path without the numbers of blocks.
fn place(layer: &Layer) -> String {
    let path = layer.path.as_deref().unwrap_or_default();
    let (blocks, name) = path.rsplit_once('/').unwrap_or((path, ""));
    let blocks: String = blocks.chars().filter(|c| !c.is_ascii_digit()).collect();
    format!("{blocks}/{name}")
}

/// The layers of a role that one stroke connects: it ends where a side ends, and but for what every signal passes it connects like places
/// of like blocks, such as the queries of all cross attentions. The part with most layers is the last.
fn parts<'a>(cell: &'a Cell, outline: &Outline, role: usize) -> Vec<Placed<'a>> {
    let layers = outline.layers(cell, role);
    let trunk = outline.roles[role].trunk;
    let side = |at: usize| outline.sides.iter().filter(|end| **end < at).count();
    let kind = |at: usize, layer: &Layer| (side(at), if trunk { String::new() } else { place(layer) });
    let mut found: Vec<((usize, String), Placed)> = Vec::new();
    for (at, layer) in &layers {
        let kind = kind(*at, layer);
        match found.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, part)) => part.push((*at, layer)),
            None => found.push((kind, vec![(*at, layer)])),
        }
    }
    if found.len() > MOST_PARTS {
        return vec![layers];
    }
    let mut parts: Vec<Placed> = found.into_iter().map(|(_, part)| part).collect();
    parts.sort_by_key(|part| (part.len(), part.last().map(|(at, _)| *at)));
    parts
}

/// The strokes of a role, of which the last has its name.
fn lines<'a>(cell: &'a Cell, outline: &Outline, role: usize, look: &RoleLook) -> Vec<Line<'a>> {
    let parts = parts(cell, outline, role);
    let last = parts.len().saturating_sub(1);
    let line = |(index, layers)| Line {
        look: look.style,
        weight: look.weight,
        marker: look.marker,
        // A line alone needs no name.
        label: if outline.roles.len() > 1 && index == last {
            outline.roles[role].name.clone()
        } else {
            String::new()
        },
        layers,
        trials: cell.trials,
        act: &cell.act,
    };
    parts.into_iter().enumerate().map(line).collect()
}

/// A line for each role of a cell; what every signal passes comes last, upon the others.
pub fn roles<'a>(cell: &'a Cell, outline: &Outline) -> Vec<Line<'a>> {
    let looks = role_looks(&outline.roles);
    let of = |trunk: bool| {
        let roles = outline.roles.iter().enumerate().filter(move |(_, role)| role.trunk == trunk);
        roles.flat_map(|(role, _)| lines(cell, outline, role, &looks[role])).collect::<Vec<_>>()
    };
    of(false).into_iter().chain(of(true)).collect()
}

/// One role of every cell.
pub fn role<'a>(shown: &[Shown<'a>], outline: &Outline, role: usize) -> Vec<Line<'a>> {
    let of = |shown: &Shown<'a>| {
        let line = |layers| Line { layers, weight: 2.0, ..Line::whole(shown) };
        parts(shown.cell, outline, role).into_iter().map(line).collect::<Vec<_>>()
    };
    shown.iter().flat_map(of).collect()
}

/// All layers of every cell, of a network that is one line.
pub fn whole<'a>(shown: &[Shown<'a>], outline: &Outline) -> Vec<Line<'a>> {
    let of = |shown: &Shown<'a>| {
        let places = outline.places.iter().zip(&shown.cell.layers);
        Line { layers: places.map(|(place, layer)| (place.at, layer)).collect(), ..Line::whole(shown) }
    };
    shown.iter().map(of).collect()
}

/// The cosine of samples along the trunk, and the dead or saturated units of each role that an activation follows.
pub fn samples(cell: &Cell, outline: &Outline) -> Panel {
    let mut lines = roles(cell, outline);
    // Of norms neither is known.
    lines.retain(|line| !line.layers.iter().any(|(_, layer)| layer.is_norm()));
    let bounded = is_bounded(&cell.act);
    let units = if bounded { "saturated" } else { "dead" };
    let mut shares: Vec<Series> = Vec::new();
    let mut cosines: Vec<Series> = Vec::new();
    for line in &lines {
        let active: Vec<&(usize, &Layer)> = line.layers.iter().filter(|(_, l)| activated(l)).collect();
        let points: Vec<(f64, Option<f64>)> =
            thinned(&active).map(|(at, l)| (*at as f64, share(l, bounded))).collect();
        if !points.is_empty() {
            let label = match line.label.as_str() {
                "" if outline.roles.len() > 1 => String::new(),
                "" => format!("{units} units"),
                role => format!("{units}, {role}"),
            };
            shares.push(Series {
                label,
                weight: 1.5,
                marker: line.marker.or(Some(Marker::Ring)),
                ..Series::new(line.look, points)
            });
        }
        if line.weight > 2.0 || (outline.roles.iter().all(|role| !role.trunk) && line.layers.len() > 1) {
            let points = thinned(&line.layers).map(|(at, l)| (*at as f64, l.correlation)).collect();
            let label = match line.label.as_str() {
                "" if outline.roles.len() > 1 => String::new(),
                _ if outline.roles.iter().any(|role| role.trunk) => "cosine".into(),
                role => format!("cosine, {role}"),
            };
            cosines.push(Series {
                label,
                weight: line.weight,
                marker: line.marker,
                ..Series::new(line.look, points)
            });
        }
    }
    // Lines at zero, one upon another, say the same.
    let most = |s: &Series| s.line.iter().filter_map(|p| p.1).fold(0.0, f64::max);
    if shares.iter().all(|s| most(s) < NONE) {
        let end = shares.iter().position(|s| !s.label.is_empty()).unwrap_or(0);
        shares.truncate(end + 1);
        shares.iter_mut().skip(end).for_each(|s| s.label = format!("{units} units"));
    }
    let title = format!("Mean cosine of samples; {units} units");
    let series: Vec<Series> =
        shares.into_iter().chain(cosines).filter(|s| s.line.iter().any(|p| p.1.is_some())).collect();
    let empty = series.is_empty();
    let mut panel = Panel::new(title, series, outline.extent, across(outline));
    panel.alike = false;
    panel.share_scale();
    if empty {
        panel.axis.ticks.clear();
        panel.empty = "one sample, and no units to count";
    }
    panel
}

#[cfg(test)]
mod tests {
    use super::super::series::tests::report;
    use super::*;
    use crate::report::outline::tests::{transformer, two_sides};

    /// A cell with the layers of a transformer.
    fn cell(blocks: usize) -> Cell {
        let mut cell = report(&[Some(0.0)], &[None]).cells.remove(0);
        cell.layers = transformer(blocks);
        cell
    }

    #[test]
    fn every_layer_is_on_the_line_of_its_role_and_the_trunk_is_drawn_last() {
        let cell = cell(4);
        let outline = Outline::of(&cell.layers).unwrap();
        let lines = roles(&cell, &outline);
        assert_eq!(lines.iter().map(|line| line.layers.len()).sum::<usize>(), cell.layers.len());
        let last = lines.last().unwrap();
        assert_eq!((last.label.as_str(), last.layers.len()), ("stream", 9));
        assert!(lines.iter().filter(|line| line.label != "stream").all(|line| line.weight < last.weight));
    }

    #[test]
    fn strokes_end_with_their_side_and_connect_like_places() {
        let mut cell = cell(1);
        cell.layers = two_sides(3);
        let outline = Outline::of(&cell.layers).unwrap();
        let lines = roles(&cell, &outline);
        let strokes = |name: &str| {
            let last = lines.iter().position(|line| line.label == name).unwrap();
            let of_role = |line: &&Line| (line.look, line.weight) == (lines[last].look, lines[last].weight);
            let same = lines.iter().filter(of_role).map(|line| line.layers.len());
            same.collect::<Vec<_>>()
        };
        // The first embedding and six sums, then the second and nine.
        assert_eq!(strokes("stream"), [7, 10]);
        // Self attention of either side, and cross attention.
        assert_eq!(strokes("query"), [3, 3, 3]);
        let labels: Vec<&str> = lines.iter().map(|l| l.label.as_str()).filter(|l| !l.is_empty()).collect();
        assert_eq!(labels, ["query", "up", "head", "stream"]);
    }

    #[test]
    fn blocks_are_ticks_with_their_names() {
        let outline = Outline::of(&transformer(3)).unwrap();
        let across = across(&outline);
        let texts: Vec<&str> = across.ticks.iter().map(|tick| tick.text.as_str()).collect();
        assert_eq!(texts, ["embedding", "1", "2", "3", "head"]);
        assert_eq!(across.ticks[1].block, Some((1.5, 9.5)));
    }

    #[test]
    fn units_of_which_none_is_dead_are_one_line() {
        let mut cell = cell(3);
        cell.layers.iter_mut().for_each(|l| {
            l.correlation = Some(0.5);
            l.saturated_fraction = Some(0.0);
        });
        let outline = Outline::of(&cell.layers).unwrap();
        let labels = |cell: &Cell| -> Vec<String> {
            samples(cell, &outline).series.into_iter().map(|s| s.label).collect()
        };
        assert_eq!(labels(&cell), ["dead units", "cosine"]);
        cell.layers[6].dead_fraction = 0.5;
        assert!(labels(&cell).contains(&"dead, up".to_string()));
    }
}
