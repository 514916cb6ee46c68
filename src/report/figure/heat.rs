//! A heat map with its color scale.

use super::axis::Axis;
use super::canvas::{Canvas, Stroke};
use super::geometry::{Point, Rect};
use super::scales::{beside, label_left, sharp, title};
use super::style::{GRAY, LINE, TICK};
use plotters::style::RGBColor;
use plotters::style::colors::colormaps::{ColorMap, DerivedColorMap};
use std::collections::BTreeMap;

/// From a panel's left edge to its frame.
const LEFT: f64 = 80.0;
const TOP: f64 = 40.0;
/// Below the frame: ticks and the axis' name.
const BELOW: f64 = 58.0;
/// Right of the frame: the color scale with its ticks.
const RIGHT: f64 = 96.0;
/// Colors that are told apart: neighbors of one are drawn as one.
const LEVELS: usize = 97;
/// Where there is no number.
pub const NONE: RGBColor = RGBColor(205, 205, 210);

/// Colors from the lowest value to the highest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// Blue below the middle, orange above.
    Diverging,
    /// Pale to dark.
    Rising,
}

impl Palette {
    /// Gives the colors of all levels, from the lowest.
    pub fn levels(self) -> Vec<RGBColor> {
        let stops: &[RGBColor] = match self {
            // Blue and vermillion of Okabe & Ito (2008).
            Self::Diverging => &[
                RGBColor(0, 92, 150),
                RGBColor(86, 160, 210),
                RGBColor(250, 250, 250),
                RGBColor(236, 150, 84),
                RGBColor(196, 74, 0),
            ],
            Self::Rising => &[
                RGBColor(250, 250, 246),
                RGBColor(166, 214, 200),
                RGBColor(40, 140, 150),
                RGBColor(12, 44, 92),
            ],
        };
        let map = DerivedColorMap::new(stops);
        (0..LEVELS).map(|level| map.get_color(level as f64 / (LEVELS - 1) as f64)).collect()
    }
}

/// An axis of the plane: its nodes, drawn in logarithms where they span decades.
pub struct Side {
    pub name: &'static str,
    pub nodes: Vec<f64>,
}

impl Side {
    fn logarithmic(&self) -> bool {
        crate::theory::phase::logarithmic(&self.nodes)
    }

    fn unit(&self, value: f64) -> f64 {
        if self.logarithmic() { value.log10() } else { value }
    }

    fn range(&self) -> (f64, f64) {
        let (first, last) = (self.nodes[0], self.nodes[self.nodes.len() - 1]);
        (self.unit(first), self.unit(last))
    }

    fn share(&self, value: f64) -> f64 {
        let range = self.range();
        (self.unit(value) - range.0) / (range.1 - range.0)
    }
}

/// A map over the plane.
pub struct Heat<'a> {
    pub title: String,
    pub across: &'a Side,
    pub up: &'a Side,
    /// In the scale's own unit, log₁₀ of what its ticks say; a row for each node of `up`.
    pub values: Vec<Vec<Option<f64>>>,
    pub palette: Palette,
    /// Values beyond it get the colors at its ends.
    pub range: (f64, f64),
    pub scale: &'static str,
}

/// Says where the plot of a panel lies on its area.
pub fn plot(area: Rect) -> Rect {
    Rect::new((area.left + LEFT, area.top + TOP), (area.right - RIGHT, area.bottom - BELOW))
}

/// Gives the place of a point of the plane, which may lie outside the plot.
pub fn place(plot: Rect, across: &Side, up: &Side, (x, y): (f64, f64)) -> Point {
    (plot.left + across.share(x) * plot.width(), plot.bottom - up.share(y) * plot.height())
}

impl Heat<'_> {
    pub fn draw(&self, canvas: &mut Canvas, area: Rect) {
        let plot = plot(area);
        title(canvas, area, plot, &self.title);
        let colors = self.palette.levels();
        self.cells(canvas, plot, &colors);
        self.axes(canvas, plot);
        color_scale(canvas, plot, self.palette, self.range, true, self.scale);
    }

    /// Finds a value among the levels of the palette.
    fn level(&self, value: f64) -> usize {
        let share = (value - self.range.0) / (self.range.1 - self.range.0);
        (share.clamp(0.0, 1.0) * (LEVELS - 1) as f64).round() as usize
    }

    /// Each node's cell reaches half way to its neighbors; equal colors of a row are one rectangle, and all of a color one path.
    fn cells(&self, canvas: &mut Canvas, plot: Rect, colors: &[RGBColor]) {
        let edges = |side: &Side, place: &dyn Fn(f64) -> f64| -> Vec<f64> {
            let shares: Vec<f64> = side.nodes.iter().map(|v| side.share(*v)).collect();
            let between = shares.windows(2).map(|p| f64::midpoint(p[0], p[1]));
            std::iter::once(0.0).chain(between).chain([1.0]).map(|s| place(s).round()).collect()
        };
        let columns = edges(self.across, &|s| plot.left + s * plot.width());
        let rows = edges(self.up, &|s| plot.bottom - s * plot.height());
        let mut tiles: BTreeMap<Option<usize>, Vec<Rect>> = BTreeMap::new();
        for (row, values) in self.values.iter().enumerate() {
            let level = |column: usize| values[column].map(|v| self.level(v));
            let mut start = 0;
            for column in 1..=values.len() {
                if column < values.len() && level(column) == level(start) {
                    continue;
                }
                let tile = Rect::new((columns[start], rows[row + 1]), (columns[column], rows[row]));
                if tile.width() > 0.0 && tile.height() > 0.0 {
                    tiles.entry(level(start)).or_default().push(tile);
                }
                start = column;
            }
        }
        for (level, tiles) in tiles {
            canvas.tiles(&tiles, &level.map_or(NONE, |level| colors[level]));
        }
    }

    fn axes(&self, canvas: &mut Canvas, plot: Rect) {
        let line = Stroke::new(GRAY, 1.0);
        let (left, foot) = (sharp(plot.left), sharp(plot.bottom));
        canvas.outline(Rect::new((left, sharp(plot.top)), (sharp(plot.right), foot)), line);
        let axis = |side: &Side| Axis::between(side.range().0, side.range().1, side.logarithmic());
        let share = |side: &Side, value: f64| (value - side.range().0) / (side.range().1 - side.range().0);
        let mut ticks: Vec<[Point; 2]> = Vec::new();
        for (value, label) in &axis(self.across).ticks {
            let x = plot.left + share(self.across, *value) * plot.width();
            ticks.push([(sharp(x), foot), (sharp(x), foot + 5.0)]);
            canvas.text(label, (x, foot + 9.0), TICK.centered());
        }
        for (value, label) in &axis(self.up).ticks {
            let y = plot.bottom - share(self.up, *value) * plot.height();
            ticks.push([(left - 5.0, sharp(y)), (left, sharp(y))]);
            label_left(canvas, label, (left, y));
        }
        canvas.lines(ticks.iter().map(<[_; 2]>::as_slice), line);
        canvas.text(self.across.name, (plot.center().0, foot + 31.0), TICK.centered());
        beside(canvas, plot, self.up.name);
    }
}

/// Draws the scale of colors right of a map, whose range is in log₁₀ where `logarithmic` says so.
pub fn color_scale(
    canvas: &mut Canvas,
    plot: Rect,
    palette: Palette,
    range: (f64, f64),
    logarithmic: bool,
    name: &str,
) {
    let colors = palette.levels();
    let top = plot.top + if name.is_empty() { 0.0 } else { 22.0 };
    let scale = Rect::new((plot.right + 16.0, top), (plot.right + 32.0, plot.bottom));
    let height = |share: f64| scale.bottom - share * scale.height();
    let edge = |level: usize| height(level as f64 / LEVELS as f64).round();
    for (level, color) in colors.iter().enumerate() {
        let tile = Rect { top: edge(level + 1), bottom: edge(level), ..scale };
        canvas.tiles(&[tile], color);
    }
    canvas.outline(scale, Stroke::new(LINE, 1.0));
    canvas.text(name, (scale.left, plot.top - 2.0), TICK);
    let mut ticks = Axis::between(range.0, range.1, logarithmic).ticks;
    if let ([_], true) = (ticks.as_slice(), logarithmic) {
        // A range within a factor of two shows no scale by one tick.
        let end = |value: f64| (value, format!("{:.2}", 10f64.powf(value)));
        ticks.extend([end(range.0), end(range.1)]);
    }
    let mut lines: Vec<[Point; 2]> = Vec::new();
    for (value, label) in &ticks {
        let y = height((value - range.0) / (range.1 - range.0));
        lines.push([(scale.right, sharp(y)), (scale.right + 4.0, sharp(y))]);
        canvas.text(label, (scale.right + 7.0, y), TICK.level());
    }
    canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(GRAY, 1.0));
}
