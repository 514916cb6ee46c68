//! A heat map with its colour scale.

use super::axis::Axis;
use super::panel::label_left;
use super::style::{FAMILY, GREY, INK, LINE};
use super::{Area, Drawn, put};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// From a panel's left edge to its frame.
const LEFT: i32 = 80;
const TOP: i32 = 40;
/// Below the frame: ticks and the axis' name.
const BELOW: i32 = 58;
/// Right of the frame: the colour scale with its ticks.
const RIGHT: i32 = 96;
/// Colours that are told apart: neighbours of one are drawn as one.
const LEVELS: f64 = 96.0;
/// Where there is no number.
pub const NONE: RGBColor = RGBColor(205, 205, 210);

/// Colours from the lowest value to the highest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// Blue below the middle, orange above.
    Diverging,
    /// Pale to dark.
    Rising,
}

impl Palette {
    fn stops(self) -> &'static [(f64, [f64; 3])] {
        match self {
            // Blue and vermillion of Okabe & Ito (2008).
            Self::Diverging => &[
                (0.0, [0.0, 92.0, 150.0]),
                (0.25, [86.0, 160.0, 210.0]),
                (0.5, [250.0, 250.0, 250.0]),
                (0.75, [236.0, 150.0, 84.0]),
                (1.0, [196.0, 74.0, 0.0]),
            ],
            Self::Rising => &[
                (0.0, [250.0, 250.0, 246.0]),
                (0.33, [166.0, 214.0, 200.0]),
                (0.66, [40.0, 140.0, 150.0]),
                (1.0, [12.0, 44.0, 92.0]),
            ],
        }
    }

    fn color(self, share: f64) -> RGBColor {
        let share = (share.clamp(0.0, 1.0) * LEVELS).round() / LEVELS;
        let stops = self.stops();
        let k = stops.iter().rposition(|s| s.0 <= share).unwrap_or(0).min(stops.len() - 2);
        let (a, b) = (stops[k], stops[k + 1]);
        let t = (share - a.0) / (b.0 - a.0);
        let mix = |i: usize| (a.1[i] + t * (b.1[i] - a.1[i])).round() as u8;
        RGBColor(mix(0), mix(1), mix(2))
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
    /// Values beyond it get the colours at its ends.
    pub range: (f64, f64),
    pub scale: &'static str,
}

/// Where the frame of a panel lies, in pixels of its area.
#[derive(Clone, Copy)]
pub struct Frame {
    pub left: i32,
    pub right: i32,
    pub top: i32,
    pub bottom: i32,
}

impl Frame {
    pub fn of(area: &Area) -> Self {
        let (width, height) = area.dim_in_pixel();
        Self { left: LEFT, right: width as i32 - RIGHT, top: TOP, bottom: height as i32 - BELOW }
    }

    /// The pixel of a point of the plane, which may lie outside.
    pub fn place(&self, across: &Side, up: &Side, (x, y): (f64, f64)) -> (f64, f64) {
        let (width, height) = (f64::from(self.right - self.left), f64::from(self.bottom - self.top));
        (f64::from(self.left) + across.share(x) * width, f64::from(self.bottom) - up.share(y) * height)
    }
}

impl Heat<'_> {
    pub fn draw(&self, area: &Area) -> Drawn {
        let frame = Frame::of(area);
        put(area, &self.title, (frame.left, 8), 17.0, INK, HPos::Left)?;
        self.cells(area, frame)?;
        self.axes(area, frame)?;
        self.colours(area, frame)
    }

    fn color(&self, value: Option<f64>) -> RGBColor {
        let share = |v: f64| (v - self.range.0) / (self.range.1 - self.range.0);
        value.map_or(NONE, |v| self.palette.color(share(v)))
    }

    /// Each node's cell reaches half way to its neighbours; equal colours of a row are one rectangle.
    fn cells(&self, area: &Area, frame: Frame) -> Drawn {
        let edges = |side: &Side, place: &dyn Fn(f64) -> f64| -> Vec<i32> {
            let shares: Vec<f64> = side.nodes.iter().map(|v| side.share(*v)).collect();
            let between = shares.windows(2).map(|p| f64::midpoint(p[0], p[1]));
            std::iter::once(0.0).chain(between).chain([1.0]).map(|s| place(s).round() as i32).collect()
        };
        let (width, height) = (f64::from(frame.right - frame.left), f64::from(frame.bottom - frame.top));
        let columns = edges(self.across, &|s| f64::from(frame.left) + s * width);
        let rows = edges(self.up, &|s| f64::from(frame.bottom) - s * height);
        for (row, values) in self.values.iter().enumerate() {
            let mut start = 0;
            for column in 1..=values.len() {
                if column < values.len() && self.color(values[column]) == self.color(values[start]) {
                    continue;
                }
                let corners = [(columns[start], rows[row + 1]), (columns[column], rows[row])];
                if corners[1].0 > corners[0].0 && corners[1].1 > corners[0].1 {
                    area.draw(&Rectangle::new(corners, self.color(values[start]).filled()))?;
                }
                start = column;
            }
        }
        Ok(())
    }

    fn axes(&self, area: &Area, frame: Frame) -> Drawn {
        let Frame { left, right, top, bottom } = frame;
        area.draw(&Rectangle::new([(left, top), (right, bottom)], GREY.stroke_width(1)))?;
        let axis = |side: &Side| Axis::between(side.range().0, side.range().1, side.logarithmic());
        for (value, label) in &axis(self.across).ticks {
            let share = (value - self.across.range().0) / (self.across.range().1 - self.across.range().0);
            let x = left + (share * f64::from(right - left)).round() as i32;
            area.draw(&PathElement::new(vec![(x, bottom), (x, bottom + 5)], GREY.stroke_width(1)))?;
            put(area, label, (x, bottom + 9), 15.0, GREY, HPos::Center)?;
        }
        for (value, label) in &axis(self.up).ticks {
            let share = (value - self.up.range().0) / (self.up.range().1 - self.up.range().0);
            let y = bottom - (share * f64::from(bottom - top)).round() as i32;
            area.draw(&PathElement::new(vec![(left - 5, y), (left, y)], GREY.stroke_width(1)))?;
            label_left(area, label, (left, y), 15.0)?;
        }
        let middle = (i32::midpoint(left, right), bottom + 31);
        put(area, self.across.name, middle, 15.0, GREY, HPos::Center)?;
        let font = (FAMILY, 15.0).into_font().transform(FontTransform::Rotate270).color(&GREY);
        let font = font.pos(Pos::new(HPos::Center, VPos::Top));
        area.draw_text(self.up.name, &font, (4, i32::midpoint(top, bottom)))
    }

    fn colours(&self, area: &Area, frame: Frame) -> Drawn {
        let (left, right) = (frame.right + 16, frame.right + 32);
        let (top, bottom) = (frame.top + 22, frame.bottom);
        let height = f64::from(bottom - top);
        let place = |share: f64| bottom - (share * height).round() as i32;
        let count = LEVELS as i32 + 1;
        for level in 0..count {
            let share = f64::from(level) / LEVELS;
            let (low, high) = (f64::from(level) / f64::from(count), f64::from(level + 1) / f64::from(count));
            let corners = [(left, place(high)), (right, place(low))];
            area.draw(&Rectangle::new(corners, self.palette.color(share).filled()))?;
        }
        area.draw(&Rectangle::new([(left, top), (right, bottom)], LINE.stroke_width(1)))?;
        put(area, self.scale, (left, frame.top - 2), 15.0, GREY, HPos::Left)?;
        let mut ticks = Axis::between(self.range.0, self.range.1, true).ticks;
        if let [_] = ticks.as_slice() {
            // A range within a factor of two shows no scale by one tick.
            let end = |value: f64| (value, format!("{:.2}", 10f64.powf(value)));
            ticks.extend([end(self.range.0), end(self.range.1)]);
        }
        for (value, label) in &ticks {
            let y = place((value - self.range.0) / (self.range.1 - self.range.0));
            area.draw(&PathElement::new(vec![(right, y), (right + 4, y)], GREY.stroke_width(1)))?;
            let font = (FAMILY, 15.0).into_font().color(&GREY).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw_text(label, &font, (right + 7, y))?;
        }
        Ok(())
    }
}
