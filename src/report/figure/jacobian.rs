//! The figure of `--jacobian`: the singular values of each cell's Jacobian against their rank.

use super::axis::Axis;
use super::canvas::{Canvas, TextStyle};
use super::geometry::{Point, Rect};
use super::legend::{FIRST, INDENT, ROW, SAMPLE};
use super::overlay::draw_theory;
use super::scales::{below, levels, remark};
use super::style::{self, ENTRY, FACTS, Grid, Ruler, Style};
use super::{CONTENT, FOOT, MARGIN, WIDTH, titled};
use crate::result::jacobian::Jacobian;
use crate::result::{Cell, Report};

/// Height of the panel.
const PANEL: f64 = 460.0;
/// Values this far below the largest of all are drawn at the foot: rounding, or nearly zero.
const DECADES: f64 = 12.0;

/// What one cell shows.
struct Spectrum<'a> {
    cell: &'a Cell,
    jacobian: &'a Jacobian,
    style: Style,
}

/// A panel with a curve for each cell whose singular values are known, and theory's root mean square beside it, thin with crosses.
pub fn svg(report: &Report) -> String {
    let styles = style::looks(&Grid::of(report));
    let ruler = Ruler::new();
    let known = |(cell, style): (_, &Style)| {
        let cell: &Cell = cell;
        Some(Spectrum { cell, jacobian: cell.jacobian.as_ref()?, style: *style })
    };
    let spectra: Vec<Spectrum> = report.cells.iter().zip(&styles).filter_map(known).collect();
    let top = FIRST + ROW * spectra.len() as f64;
    let mut canvas = Canvas::new(WIDTH, top + PANEL + FOOT);
    let trials = spectra.iter().map(|s| s.jacobian.trials).max().unwrap_or(0);
    let facts = [
        "one sample".to_string(),
        format!("{trials} trial{}", if trials == 1 { "" } else { "s" }),
        " — median at each rank, down to 10⁻⁷ of the largest; theory's root mean square: thin, with crosses"
            .to_string(),
    ];
    titled(&mut canvas, "Singular values of ∂output/∂input", &facts, &ruler);
    for (row, spectrum) in spectra.iter().enumerate() {
        spectrum.entry(&mut canvas, FIRST + ROW * row as f64, &ruler);
    }
    panel(&mut canvas, &spectra, Rect::new((MARGIN, top), (WIDTH - MARGIN, top + PANEL)));
    canvas.finish()
}

impl Spectrum<'_> {
    /// log₁₀ of theory's root mean square.
    fn root(&self) -> Option<f64> {
        self.jacobian.theory.map(|theory| 0.5 * theory.log10_mean_square)
    }

    /// The name on the left, the spread on the right.
    fn entry(&self, canvas: &mut Canvas, y: f64, ruler: &Ruler) {
        canvas.line(&[(MARGIN, y), (MARGIN + SAMPLE, y)], self.style.stroke(3.0));
        let name = ruler.shown(&format!("{} × {}", self.cell.label(), self.cell.act));
        canvas.text(&ruler.fitting(&name, ENTRY.size, 0.5 * CONTENT), (MARGIN + INDENT, y), ENTRY);
        let variance = self.jacobian.relative_variance.median.map_or("–".into(), |v| format!("{v:.2}"));
        let theory =
            self.jacobian.theory.map_or(String::new(), |t| format!(" (theory {:.2})", t.relative_variance));
        let fact = format!("relative variance of the squares {variance}{theory}");
        const BESIDE: TextStyle = FACTS.ending().level();
        canvas.text(&fact, (WIDTH - MARGIN, y), BESIDE);
    }

    /// The curve; what is zero to rounding comes last and is left out.
    fn draw(&self, canvas: &mut Canvas, place: &impl Fn(f64, f64) -> Point) {
        let values = &self.jacobian.log10_singular_values;
        let last = values.len().saturating_sub(1).max(1) as f64;
        let points: Vec<Point> =
            values.iter().enumerate().map_while(|(k, log)| Some(place(k as f64 / last, (*log)?))).collect();
        match points.as_slice() {
            [] => {}
            [point] => canvas.disc(*point, 4.0, &self.style.color),
            points => canvas.line(points, self.style.stroke(2.0)),
        }
    }
}

fn panel(canvas: &mut Canvas, spectra: &[Spectrum], area: Rect) {
    let plot = Rect::new((area.left + 84.0, area.top + 14.0), (area.right - 16.0, area.bottom - 54.0));
    let all = || {
        spectra
            .iter()
            .flat_map(|s| s.jacobian.log10_singular_values.iter().flatten().copied().chain(s.root()))
    };
    let most = all().fold(f64::NEG_INFINITY, f64::max);
    let axis = Axis::decades(all().map(|log| log.max(most - DECADES)));
    if axis.ticks.is_empty() {
        remark(canvas, plot, "no singular value is known");
    }
    let (low, high) = axis.range;
    let y = |log: f64| plot.bottom - (log.max(low) - low) / (high - low) * plot.height();
    let place = |part: f64, log: f64| (plot.left + part * plot.width(), y(log));
    levels(canvas, plot, axis.ticks.iter().map(|(log, label)| (y(*log), label.as_str())));
    let shares =
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| (place(part, low).0, format!("{:.0} %", 100.0 * part)));
    let ticks = shares.iter().map(|(x, label)| (*x, label.as_str()));
    below(canvas, plot, ticks, "rank, from the largest to the smallest, of all singular values");
    for (cell, spectrum) in spectra.iter().enumerate() {
        if let Some(log) = spectrum.root() {
            let first = 0.5 + (cell % 4) as f64 / 4.0;
            draw_theory(canvas, &[place(0.0, log), place(1.0, log)], spectrum.style.color, first);
        }
    }
    spectra.iter().for_each(|spectrum| spectrum.draw(canvas, &place));
}
