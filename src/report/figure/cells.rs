//! A grid of more cells than lines can show: heat maps with a row for each cell.

use super::across::{Across, Tick};
use super::canvas::{Canvas, Stroke};
use super::geometry::Rect;
use super::heat::{NONE, Palette, color_scale};
use super::network;
use super::page::{Page, PanelName};
use super::scales::sharp;
use super::series::{Measured, layers};
use super::style::{GRAY, INK, Ruler, TICK, TITLE};
use crate::report::outline::Outline;
use crate::result::{Cell, Layer};
use std::collections::BTreeMap;

/// More cells than this are no longer drawn as lines.
pub const MOST_LINES: usize = 12;
/// Height of a row, and the least of it.
const ROW: (f64, f64) = (15.0, 3.0);
/// Rows take this much in all where there are many.
const MOST_HEIGHT: f64 = 900.0;
const TOP: f64 = 32.0;
/// Right of a map: the scale of colors with its ticks.
const RIGHT: f64 = 84.0;
/// Most of a page's width that names take.
const NAMES: f64 = 0.34;

/// Values of all cells at the same layers.
struct Map {
    title: String,
    rows: Vec<Vec<Option<f64>>>,
    across: Across,
    columns: usize,
    palette: Palette,
    range: (f64, f64),
    logarithmic: bool,
    scale: &'static str,
}

/// All maps of a figure, one below the other.
pub struct Maps<'a> {
    names: &'a [String],
    maps: Vec<Map>,
    page: Page,
    left: f64,
    row: f64,
}

impl<'a> Maps<'a> {
    /// Maps of these panels; `names` of the cells are what tells them apart.
    pub fn new(
        cells: &[&Cell],
        names: &'a [String],
        panels: &[(PanelName, String)],
        page: Page,
        ruler: &Ruler,
    ) -> Self {
        let outline = cells.first().and_then(|cell| Outline::of(&cell.layers));
        let mut maps: Vec<Map> =
            panels.iter().map(|(name, letter)| map(*name, letter, cells, outline.as_ref())).collect();
        // Signal and gradient are compared: one scale for both.
        let most =
            maps.iter().filter(|m| m.palette == Palette::Diverging).map(|m| m.range.1).fold(0.0, f64::max);
        maps.iter_mut().filter(|m| m.palette == Palette::Diverging).for_each(|m| m.range = (-most, most));
        let widest = names.iter().map(|name| ruler.width(name, TICK.size)).fold(0.0, f64::max);
        let left = widest.min(NAMES * page.content()) + 14.0;
        let row = (MOST_HEIGHT / names.len().max(1) as f64).clamp(ROW.1, ROW.0);
        Self { names, maps, page, left, row }
    }

    fn columns(&self) -> usize {
        if self.page.content() > 1000.0 { 2 } else { 1 }
    }

    fn plot_width(&self) -> f64 {
        self.page.content() / self.columns() as f64 - self.left - RIGHT
    }

    fn place(&self, map: &Map) -> impl Fn(f64) -> f64 + use<> {
        let (columns, width) = (map.columns, self.plot_width());
        move |at: f64| (at - 0.5) / columns as f64 * width
    }

    fn panel_height(&self, ruler: &Ruler) -> f64 {
        let axes = self.maps.iter().map(|map| map.across.height(&self.place(map), ruler)).fold(0.0, f64::max);
        TOP + self.row * self.names.len() as f64 + axes + 6.0
    }

    /// Height that all of them take.
    pub fn height(&self, ruler: &Ruler) -> f64 {
        self.panel_height(ruler) * self.maps.len().div_ceil(self.columns()) as f64
    }

    /// Draws them from a height on.
    pub fn draw(&self, canvas: &mut Canvas, top: f64, ruler: &Ruler) {
        let (width, height) = (self.page.content() / self.columns() as f64, self.panel_height(ruler));
        for (k, map) in self.maps.iter().enumerate() {
            let (column, row) = (k % self.columns(), k / self.columns());
            let left = self.page.margin + column as f64 * width;
            let y = top + row as f64 * height + TOP;
            let (from, to) = (left + self.left, left + self.left + self.plot_width());
            let plot = Rect::new(
                (from.round(), y.round()),
                (to.round(), (y + self.row * self.names.len() as f64).round()),
            );
            canvas.text(&ruler.fitting(&map.title, TITLE.size, width), (left, y - TOP + 6.0), TITLE);
            self.tiles(canvas, map, plot);
            self.labels(canvas, plot, ruler);
            canvas.outline(
                Rect::new((sharp(plot.left), sharp(plot.top)), (sharp(plot.right), sharp(plot.bottom))),
                Stroke::new(GRAY, 1.0),
            );
            let place = self.place(map);
            map.across.draw(canvas, plot, &|at| plot.left + place(at), ruler);
            color_scale(canvas, plot, map.palette, map.range, map.logarithmic, map.scale);
        }
    }

    /// Equal colors of a row are one rectangle, and all of a color one path.
    fn tiles(&self, canvas: &mut Canvas, map: &Map, plot: Rect) {
        let colors = map.palette.levels();
        // More columns than pixels cannot be seen.
        let shown = map.columns.min(plot.width() as usize).max(1);
        let mut tiles: BTreeMap<Option<usize>, Vec<Rect>> = BTreeMap::new();
        let edge = |k: usize| (plot.left + k as f64 / shown as f64 * plot.width()).round();
        for (row, values) in map.rows.iter().enumerate() {
            let level = |k: usize| {
                let value = values.get(k * map.columns / shown).copied().flatten()?;
                let part = (value - map.range.0) / (map.range.1 - map.range.0);
                Some((part.clamp(0.0, 1.0) * (colors.len() - 1) as f64).round() as usize)
            };
            let y = |row: usize| (plot.top + row as f64 * self.row).round();
            let mut start = 0;
            for k in 1..=shown {
                if k < shown && level(k) == level(start) {
                    continue;
                }
                let tile = Rect::new((edge(start), y(row)), (edge(k), y(row + 1)));
                tiles.entry(level(start)).or_default().push(tile);
                start = k;
            }
        }
        for (level, tiles) in tiles {
            canvas.tiles(&tiles, &level.map_or(NONE, |level| colors[level]));
        }
    }

    /// The name of each row, of narrow rows of every few.
    fn labels(&self, canvas: &mut Canvas, plot: Rect, ruler: &Ruler) {
        let every = (12.5 / self.row).ceil().max(1.0) as usize;
        for (k, name) in self.names.iter().enumerate().step_by(every) {
            let y = plot.top + (k as f64 + 0.5) * self.row;
            let text = ruler.fitting(name, TICK.size, self.left - 14.0);
            canvas.text(
                &text,
                (plot.left - 8.0, y),
                super::canvas::TextStyle::new(TICK.size, INK).ending().level(),
            );
        }
    }
}

fn map(name: PanelName, letter: &str, cells: &[&Cell], outline: Option<&Outline>) -> Map {
    let measured = Measured::of(name);
    let drawn = |layer: &Layer| measured.is_none_or(|m| (m.drawn)(layer));
    let value = |layer: &Layer| match measured {
        Some(m) => (m.summary)(layer).log10(m.of).median,
        None => layer.correlation,
    };
    let (columns, across) = columns(cells, outline, &drawn);
    let row = |cell: &&Cell| columns.iter().map(|k| cell.layers.get(*k).and_then(value)).collect::<Vec<_>>();
    let rows: Vec<Vec<Option<f64>>> = cells.iter().map(row).collect();
    let (palette, range) = match name {
        PanelName::Activation | PanelName::Gradient => {
            let (low, high) = range(&rows);
            let most = low.abs().max(high.abs()).max(1.0);
            (Palette::Diverging, (-most, most))
        }
        PanelName::WeightGradient => (Palette::Rising, range(&rows)),
        PanelName::Samples => {
            (Palette::Rising, (rows.iter().flatten().flatten().fold(0.0, |a: f64, b| a.min(*b)), 1.0))
        }
    };
    Map {
        title: letter.to_string() + measured.map_or("Mean cosine of samples", |m| m.title),
        rows,
        columns: columns.len(),
        across,
        palette,
        range,
        logarithmic: measured.is_some(),
        scale: if measured.is_some() { "" } else { "cosine" },
    }
}

/// Where 96 % of the values lie, so that one row does not bleach the others.
fn range(rows: &[Vec<Option<f64>>]) -> (f64, f64) {
    let mut values: Vec<f64> = rows.iter().flatten().flatten().copied().collect();
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values.get(((values.len().max(1) - 1) as f64 * part).round() as usize).copied();
    let (low, high) = (at(0.02).unwrap_or(0.0), at(0.98).unwrap_or(0.0));
    let (middle, half) = (f64::midpoint(low, high), (0.5 * (high - low)).max(0.5));
    (middle - half, middle + half)
}

/// Indices of the layers that are columns, and their axis: all of a plain stack, of a network its trunk, or every layer that is drawn
/// where its trunk has few of them.
fn columns(
    cells: &[&Cell],
    outline: Option<&Outline>,
    drawn: &dyn Fn(&Layer) -> bool,
) -> (Vec<usize>, Across) {
    let deepest = cells.iter().max_by_key(|cell| cell.layers.len());
    let all = deepest.map_or(&[][..], |cell| cell.layers.as_slice());
    let Some(outline) = outline else {
        let reach = (0.5, all.len() as f64 + 0.5);
        return ((0..all.len()).collect(), Across { reach, ..layers(all.len()) });
    };
    let chosen = |trunk: bool| -> Vec<usize> {
        let places = outline.places.iter().enumerate().take(all.len());
        let kept = places.filter(|(k, place)| drawn(&all[*k]) && (!trunk || outline.roles[place.role].trunk));
        kept.map(|(k, _)| k).collect()
    };
    let columns = Some(chosen(true)).filter(|trunk| trunk.len() > 2).unwrap_or_else(|| chosen(false));
    let mut across = Across { reach: (0.5, columns.len() as f64 + 0.5), ..network::across(outline) };
    let column = |at: f64| columns.partition_point(|k| (outline.places[*k].at as f64) < at) as f64 + 0.5;
    let tick = |tick: &Tick, block: &crate::report::outline::Block| {
        let ends = (column(block.places.0 as f64), column(block.places.1 as f64 + 0.5));
        (ends.1 > ends.0).then(|| Tick {
            at: f64::midpoint(ends.0, ends.1),
            block: (ends.1 > ends.0 + 1.0).then_some(ends),
            ..tick.clone()
        })
    };
    across.ticks = across.ticks.iter().zip(&outline.blocks).filter_map(|(t, block)| tick(t, block)).collect();
    across.stages.iter_mut().for_each(|stage| (stage.0, stage.1) = (column(stage.0), column(stage.1)));
    (columns, across)
}

#[cfg(test)]
mod tests {
    use super::super::{png, series::tests::report, svg};

    #[test]
    fn more_than_a_dozen_cells_are_rows_of_heat_maps() {
        let mut report = report(&[Some(0.0), Some(-1.0), None], &[None; 3]);
        let cell = report.cells[0].clone();
        let lines = svg(&report);
        for k in 1..14 {
            let mut more = cell.clone();
            more.init = format!("constant({k})");
            report.cells.push(more);
        }
        let maps = svg(&report);
        assert!(
            !lines.contains("crispEdges\" fill=\"#cdcdd2\"")
                && maps.contains("crispEdges\" fill=\"#cdcdd2\"")
        );
        assert!((1..14).all(|k| maps.contains(&format!(">constant({k})<"))));
        assert!(maps.contains("gray: exactly 0") && !maps.contains("NaN"));
        assert!(png(&maps).is_ok());
    }
}
