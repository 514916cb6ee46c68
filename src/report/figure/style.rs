//! Colors, dashes, sizes of text, and how wide text is.

use super::canvas::{Canvas, Stroke, TextStyle};
use super::geometry::Point;
use crate::report::outline::Role;
use crate::result::Report;
use plotters::style::RGBColor;
use skrifa::MetadataProvider;
use skrifa::instance::{LocationRef, Size};

pub const FAMILY: &str = "Inter";
/// The glyphs of Inter Regular that figures use (SIL Open Font License, `assets/OFL.txt`).
pub const FONT: &[u8] = include_bytes!("../../../assets/Inter-Regular-subset.otf");

pub const INK: RGBColor = RGBColor(30, 30, 34);
pub const GRAY: RGBColor = RGBColor(96, 96, 104);
pub const LINE: RGBColor = RGBColor(226, 226, 230);

/// Okabe & Ito's palette (2008), distinguishable with any color vision; its yellow, too pale on white, is replaced by
/// Tol's wine.
pub const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(136, 34, 85),
];

/// A figure's title is set in this.
pub const HEADING: TextStyle = TextStyle::new(20.0, INK);
/// The facts below the title are set in this.
pub const FACTS: TextStyle = TextStyle::new(13.0, GRAY);
/// Entries of the legend are set in this.
pub const ENTRY: TextStyle = TextStyle::new(13.0, INK).level();
/// Titles of panels are set in this.
pub const TITLE: TextStyle = TextStyle::new(14.0, INK);
/// Labels of ticks and names of axes are set in this.
pub const TICK: TextStyle = TextStyle::new(12.0, GRAY);

/// How a cell is drawn.
#[derive(Clone, Copy, PartialEq)]
pub struct Style {
    pub color: RGBColor,
    /// These lengths are drawn and left out in turn; a solid line has none.
    pub dash: &'static [f64],
}

impl Style {
    pub fn stroke(self, width: f64) -> Stroke {
        Stroke::new(self.color, width).dashed(self.dash)
    }
}

/// A mark on a line, which tells it from others without its color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Disc,
    Square,
    Triangle,
    Diamond,
    Ring,
    Cross,
    Plus,
}

impl Marker {
    /// Those of the roles of a network in turn.
    const ALL: [Self; 7] =
        [Self::Square, Self::Triangle, Self::Disc, Self::Diamond, Self::Ring, Self::Cross, Self::Plus];

    /// Draws it about a point.
    pub fn draw(self, canvas: &mut Canvas, (x, y): Point, color: RGBColor) {
        const R: f64 = 2.8;
        let bars = |canvas: &mut Canvas, a: f64, b: f64| {
            let lines = [[(x - a, y - b), (x + a, y + b)], [(x - b, y + a), (x + b, y - a)]];
            canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(color, 1.5));
        };
        match self {
            Self::Disc => canvas.disc((x, y), R, &color),
            Self::Ring => canvas.ring((x, y), R, Stroke::new(color, 1.4)),
            Self::Square => {
                let r = 0.9 * R;
                canvas.area(&[(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)], &color);
            }
            Self::Triangle => {
                canvas.area(
                    &[(x, y - 1.2 * R), (x + 1.1 * R, y + 0.8 * R), (x - 1.1 * R, y + 0.8 * R)],
                    &color,
                );
            }
            Self::Diamond => {
                let r = 1.35 * R;
                canvas.area(&[(x, y - r), (x + r, y), (x, y + r), (x - r, y)], &color);
            }
            Self::Cross => bars(canvas, R, R),
            Self::Plus => bars(canvas, 1.2 * R, 0.0),
        }
    }
}

/// How the layers of a role are drawn.
#[derive(Clone, Copy)]
pub struct RoleLook {
    pub style: Style,
    pub weight: f64,
    pub marker: Option<Marker>,
}

/// Looks of the roles of a network: the trunk is the widest line and dark, every other has its own color, dash and marker.
pub fn role_looks(roles: &[Role]) -> Vec<RoleLook> {
    const ORDER: [RGBColor; 7] =
        [COLORS[0], COLORS[1], COLORS[2], COLORS[3], COLORS[5], COLORS[4], COLORS[7]];
    const LINES: [&[f64]; 7] = [
        &[],
        &[7.0, 3.0],
        &[2.0, 2.5],
        &[7.0, 2.5, 1.5, 2.5],
        &[12.0, 3.0],
        &[4.0, 2.0],
        &[9.0, 2.0, 1.5, 2.0, 1.5, 2.0],
    ];
    let mut others = 0;
    let one = |role: &Role| match role.name.as_str() {
        _ if role.trunk => RoleLook { style: Style { color: INK, dash: &[] }, weight: 3.2, marker: None },
        "head" => {
            RoleLook { style: Style { color: INK, dash: &[] }, weight: 1.5, marker: Some(Marker::Diamond) }
        }
        "embedding" => {
            RoleLook { style: Style { color: INK, dash: &[] }, weight: 1.5, marker: Some(Marker::Ring) }
        }
        // Beside the lines that are judged.
        crate::result::role::NORM => RoleLook {
            style: Style { color: GRAY, dash: &[1.0, 3.0] },
            weight: 1.2,
            marker: Some(Marker::Plus),
        },
        _ => {
            let k = others;
            others += 1;
            let style =
                Style { color: ORDER[k % ORDER.len()], dash: LINES[(k + k / ORDER.len()) % LINES.len()] };
            RoleLook {
                style,
                weight: 1.5,
                marker: Some(Marker::ALL[(k + 2 * (k / ORDER.len())) % Marker::ALL.len()]),
            }
        }
    };
    roles.iter().map(one).collect()
}

const DASHES: [&[f64]; 8] = [
    &[],
    &[11.0, 6.0],
    &[3.0, 5.0],
    &[11.0, 5.0, 3.0, 5.0],
    &[24.0, 6.0],
    &[11.0, 4.0, 3.0, 4.0, 3.0, 4.0],
    &[3.0, 12.0],
    &[20.0, 5.0, 7.0, 5.0],
];

/// The cells of a figure, by name.
pub struct Grid<'a> {
    /// Initializers; over several stacks each with a stack.
    pub inits: Vec<String>,
    pub acts: &'a [String],
    /// Initializer and activation of each.
    pub cells: Vec<(String, &'a str)>,
}

impl<'a> Grid<'a> {
    pub fn of(report: &'a Report) -> Self {
        Self::new(report.cells.iter().map(|c| (c.label(), c.act.as_str())).collect(), &report.spec.act)
    }

    pub fn new(cells: Vec<(String, &'a str)>, acts: &'a [String]) -> Self {
        let mut inits: Vec<String> = Vec::new();
        for (init, _) in &cells {
            if !inits.contains(init) {
                inits.push(init.clone());
            }
        }
        Self { inits, acts, cells }
    }
}

/// As many cells have looks of their own.
pub const LOOKS: usize = COLORS.len() * DASHES.len();

/// A look for each cell: in a grid the initializer is the color and the activation the dash, where there are enough.
pub fn looks(grid: &Grid) -> Vec<Style> {
    let (inits, acts) = (&grid.inits, grid.acts);
    let place = |names: &[String], name: &str| names.iter().position(|n| n == name).unwrap_or(0);
    let two_way =
        acts.len() > 1 && inits.len() > 1 && acts.len() <= DASHES.len() && inits.len() <= COLORS.len();
    let look = |(index, (init, act)): (usize, &(String, &str))| {
        if two_way {
            Style { color: COLORS[place(inits, init)], dash: DASHES[place(acts, act)] }
        } else {
            Style { color: COLORS[index % COLORS.len()], dash: DASHES[index / COLORS.len() % DASHES.len()] }
        }
    };
    grid.cells.iter().enumerate().map(look).collect()
}

/// Glyphs and their widths, of the font that is embedded.
pub struct Ruler {
    characters: skrifa::charmap::Charmap<'static>,
    widths: skrifa::metrics::GlyphMetrics<'static>,
}

impl Ruler {
    pub fn new() -> Self {
        let font = skrifa::FontRef::new(FONT).expect("the font comes with the program");
        let widths = font.glyph_metrics(Size::new(1.0), LocationRef::default());
        Self { characters: font.charmap(), widths }
    }

    /// Width of a text in pixels.
    pub fn width(&self, text: &str, size: f64) -> f64 {
        let advance = |c: char| self.widths.advance_width(self.characters.map(c)?);
        text.chars().map(|c| f64::from(advance(c).unwrap_or(1.0))).sum::<f64>() * size
    }

    /// The text as the font can show it: a question mark for each character that it lacks.
    pub fn shown(&self, text: &str) -> String {
        let known = |c: char| !c.is_control() && self.characters.map(c).is_some();
        text.chars().map(|c| if known(c) { c } else { '?' }).collect()
    }

    /// The text, or its two ends about an ellipsis where it would be too wide: what distinguishes laws is often their end.
    pub fn fitting(&self, text: &str, size: f64, room: f64) -> String {
        if self.width(text, size) <= room {
            return text.into();
        }
        let all: Vec<char> = text.chars().collect();
        let ends = |kept: usize| -> String {
            let tail = &all[all.len() - kept / 2..];
            all[..kept - kept / 2].iter().chain(&['…']).chain(tail).collect()
        };
        (0..all.len()).rev().map(ends).find(|t| self.width(t, size) <= room).unwrap_or_else(|| "…".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_look_of_its_own() {
        let names = [
            "stream",
            "query",
            "key",
            "value",
            "attention output",
            "gate",
            "up",
            "down",
            "router",
            "other",
            "norm",
        ];
        let role = |name: &&str| Role { name: (*name).into(), trunk: *name == "stream" };
        let looks = role_looks(&names.iter().map(role).collect::<Vec<_>>());
        for (k, look) in looks.iter().enumerate() {
            for other in &looks[..k] {
                assert!(
                    look.style != other.style
                        && (look.style.dash, look.marker) != (other.style.dash, other.marker)
                );
            }
        }
        assert!(looks[1..].iter().all(|look| look.weight < looks[0].weight));
    }

    #[test]
    fn text_is_measured_cut_in_the_middle_and_shown_whole() {
        let ruler = Ruler::new();
        // Advance widths of Inter at 2048 units an em are 0.2 em for `i` to 1.4 em for `—`.
        assert!(ruler.width("iiii", 10.0) < ruler.width("wwww", 10.0));
        let law = "normal(0, sqrt(2/(fan_in + fan_out + depth))) × tanh";
        let short = ruler.fitting(law, 16.0, 200.0);
        assert!(short.starts_with("normal(0") && short.ends_with("× tanh") && short.contains('…'), "{short}");
        assert!(ruler.width(&short, 16.0) <= 200.0);
        assert_eq!(ruler.fitting(law, 16.0, 900.0), law);
        assert_eq!(ruler.shown("data\u{1b}[31m é 数 ×.csv"), "data?[31m é ? ×.csv");
    }
}
