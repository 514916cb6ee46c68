//! Which look is which cell: above the panels, where it can cover nothing.

use super::canvas::Canvas;
use super::page::Page;
use super::style::{ENTRY, Grid, Ruler, Style};

/// Each row is as high.
pub const ROW: f64 = 24.0;
/// The middle of the first row is here.
pub const FIRST: f64 = 96.0;
/// A sample is as long, to show a whole period of every dash.
pub const SAMPLE: f64 = 44.0;
/// A text begins as far from the start of its sample.
pub const INDENT: f64 = SAMPLE + 10.0;
/// Columns are as far apart.
pub const GAP: f64 = 22.0;

/// Each cell has an entry, in rows that fit the width.
pub struct Legend {
    names: Vec<String>,
    columns: usize,
    step: f64,
    /// The middle of the first row.
    first: f64,
    page: Page,
}

impl Legend {
    pub fn new(grid: &Grid, ruler: &Ruler) -> Self {
        Self::on(Page::SCREEN, FIRST, grid, ruler)
    }

    /// A legend whose first row has its middle at a height.
    pub fn on(page: Page, first: f64, grid: &Grid, ruler: &Ruler) -> Self {
        let names = names(grid, ruler, page.content() - INDENT);
        let widest = names.iter().map(|n| ruler.width(n, ENTRY.size)).fold(0.0, f64::max).ceil();
        let step = widest + INDENT + GAP;
        let mut columns = (((page.content() + GAP) / step) as usize).max(1);
        let (inits, acts) = (grid.inits.len(), grid.acts.len());
        if inits > 1 && acts > 1 && columns > acts {
            // The activations of an initializer stay in one row.
            columns -= columns % acts;
        }
        Self { names, columns, step, first, page }
    }

    /// Says where the panels below it begin.
    pub fn foot(&self) -> f64 {
        self.first - 4.0 + ROW * self.names.len().div_ceil(self.columns) as f64
    }

    pub fn draw(&self, canvas: &mut Canvas, looks: &[Style]) {
        for (k, (name, look)) in self.names.iter().zip(looks).enumerate() {
            let (x, y) = (
                self.page.margin + (k % self.columns) as f64 * self.step,
                self.first + (k / self.columns) as f64 * ROW,
            );
            canvas.line(&[(x, y), (x + SAMPLE, y)], look.stroke(3.0));
            canvas.text(name, (x + INDENT, y), ENTRY);
        }
    }
}

/// Names what tells each cell from the others, in at most `room` pixels; numbered where that does not.
pub fn names(grid: &Grid, ruler: &Ruler, room: f64) -> Vec<String> {
    let name = |(init, act): &(String, &str), room: f64| {
        let part = |text: &str, room: f64| ruler.fitting(&ruler.shown(text), ENTRY.size, room);
        match (grid.inits.len(), grid.acts.len()) {
            (_, 1) => part(init, room),
            (1, _) => part(act, room),
            _ => {
                let act = format!(" × {}", part(act, 0.45 * room));
                part(init, room - ruler.width(&act, ENTRY.size)) + &act
            }
        }
    };
    let names: Vec<String> = grid.cells.iter().map(|c| name(c, room)).collect();
    let distinct: std::collections::HashSet<&String> = names.iter().collect();
    if distinct.len() == names.len() {
        return names;
    }
    let numbered = |(k, cell): (usize, &(String, &str))| format!("{}: {}", k + 1, name(cell, 0.95 * room));
    grid.cells.iter().enumerate().map(numbered).collect()
}
