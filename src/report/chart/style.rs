//! Colours, dashes, and how wide text is.

use crate::result::Report;
use plotters::style::RGBColor;

pub const FAMILY: &str = "Inter";
/// The glyphs of Inter Regular that figures use (SIL Open Font License, `assets/OFL.txt`).
pub const FONT: &[u8] = include_bytes!("../../../assets/Inter-Regular-subset.otf");

pub const INK: RGBColor = RGBColor(30, 30, 34);
pub const GREY: RGBColor = RGBColor(96, 96, 104);
pub const LINE: RGBColor = RGBColor(226, 226, 230);

/// Okabe & Ito's palette (2008), distinguishable with any colour vision; its yellow is left out, too pale on white.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// How a cell is drawn.
#[derive(Clone, Copy)]
pub struct Look {
    pub color: RGBColor,
    pub dash: Dash,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dash {
    Solid,
    Dashed,
    Dotted,
    Mixed,
}

const DASHES: [Dash; 4] = [Dash::Solid, Dash::Dashed, Dash::Dotted, Dash::Mixed];

/// A look for each cell: in a grid the initialiser is the colour and the activation the dash, where there are enough.
pub fn looks(report: &Report) -> Vec<Look> {
    let (inits, acts) = (&report.spec.init, &report.spec.act);
    let place = |names: &[String], name: &str| names.iter().position(|n| n == name).unwrap_or(0);
    let grid = acts.len() > 1 && inits.len() > 1 && acts.len() <= DASHES.len() && inits.len() <= COLORS.len();
    let look = |(index, cell): (usize, &crate::result::Cell)| {
        if grid {
            Look { color: COLORS[place(inits, &cell.init)], dash: DASHES[place(acts, &cell.act)] }
        } else {
            Look { color: COLORS[index % COLORS.len()], dash: DASHES[index / COLORS.len() % DASHES.len()] }
        }
    };
    report.cells.iter().enumerate().map(look).collect()
}

impl Dash {
    /// Cuts a line into the pieces that are drawn, by length along the line in pixels.
    pub fn pieces(self, line: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let pattern: &[f64] = match self {
            Self::Solid => return vec![line.to_vec()],
            Self::Dashed => &[11.0, 6.0],
            Self::Dotted => &[3.0, 5.0],
            Self::Mixed => &[11.0, 5.0, 3.0, 5.0],
        };
        let (mut pieces, mut piece) = (Vec::new(), vec![line[0]]);
        let (mut place, mut left) = (0, pattern[0]);
        for ends in line.windows(2) {
            let (mut from, to) = (ends[0], ends[1]);
            loop {
                let length = (to.0 - from.0).hypot(to.1 - from.1);
                let drawn = place % 2 == 0;
                if length <= left {
                    left -= length;
                    if drawn {
                        piece.push(to);
                    }
                    break;
                }
                let part = left / length;
                from = (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1));
                if drawn {
                    piece.push(from);
                    pieces.push(std::mem::take(&mut piece));
                } else {
                    piece = vec![from];
                }
                place = (place + 1) % pattern.len();
                left = pattern[place];
            }
        }
        if piece.len() > 1 {
            pieces.push(piece);
        }
        pieces
    }
}

/// Width of a text in pixels, slightly overestimated: Inter's letters average 0.55 em.
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * 0.58 * size
}

/// The text, or its beginning and an ellipsis where it would be too wide.
pub fn fitting(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.into();
    }
    let room = (width / (0.58 * size)) as usize;
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_line() {
        let line = [(0.0, 0.0), (5.0, 0.0), (170.0, 0.0)];
        let length = |dash: Dash| -> f64 {
            let span = |p: &Vec<(f64, f64)>| p.last().map_or(0.0, |end| end.0 - p[0].0);
            dash.pieces(&line).iter().map(span).sum()
        };
        assert_eq!(length(Dash::Solid), 170.0);
        assert!((length(Dash::Dashed) - 110.0).abs() < 1e-9);
        assert!((length(Dash::Dotted) - 64.0).abs() < 3.0);
    }
}
