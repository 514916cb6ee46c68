//! Figures: four panels against depth, the maps of theory, the phase diagram, and the curves of a training. Drawn as SVG; the PNG is
//! that SVG rasterized with the same font.

mod axis;
pub mod canvas;
pub mod geometry;
mod heat;
mod jacobian;
mod legend;
mod maps;
mod overlay;
mod panel;
mod path;
mod phase;
mod raster;
mod scales;
mod series;
mod style;
mod train;

use crate::report::run::size;
use crate::result::Report;
use crate::spec::Experiment;
use crate::study::scaling::{Scaling, ScalingCell, ScalingLayer};
use canvas::Canvas;
use geometry::Rect;
pub use jacobian::svg as jacobian_svg;
use legend::Legend;
pub use maps::svg as theory_svg;
use panel::Panel;
pub use phase::svg as phase_svg;
pub use raster::{ChartError, png};
use series::AgainstWidth;
use style::{FACTS, Grid, HEADING, Ruler, Style};
pub use train::{curves as curves_svg, looks as looks_svg};

/// A drawing, and the name of its file without the ending.
pub struct Figure {
    /// The name.
    pub name: &'static str,
    /// The drawing, its font embedded.
    pub svg: String,
}

/// Of a figure in SVG units; the PNG has twice as many pixels each way.
const WIDTH: f64 = 1200.0;
/// Height of the four panels.
const PANELS: f64 = 820.0;
const MARGIN: f64 = 28.0;
/// Width between the margins.
const CONTENT: f64 = WIDTH - 2.0 * MARGIN;
/// Below the last panels.
const FOOT: f64 = 10.0;

/// The figure as SVG, its font embedded.
pub fn svg(report: &Report) -> String {
    let grid = Grid::of(report);
    let looks = style::looks(&grid);
    let panels = series::KINDS.map(|panel| panel(report, &looks));
    drawn(&grid, &looks, &facts(report), &panels)
}

/// The figure of a sweep over widths, likewise.
pub fn scaling_svg(scaling: &Scaling) -> String {
    let experiment = &scaling.spec.experiment;
    let cells = scaling.cells.iter().map(|c| (c.init.clone(), c.act.as_str())).collect();
    let grid = Grid::new(cells, &experiment.act);
    let looks = style::looks(&grid);
    let titles = [
        "a · Mean square of the pre-activation Z",
        "b · Mean square of the activation H",
        "c · Mean square of the gradient ∂C/∂Z",
        "d · Mean square of the weight gradient ∂C/∂W",
    ];
    let panel = |(k, title): (usize, &str)| {
        let one = |(cell, look): (&ScalingCell, &Style)| {
            let points = |layer: Option<&ScalingLayer>| {
                let Some(layer) = layer else { return Vec::new() };
                let exponent = layer.quantities()[k].1;
                exponent
                    .log10_mean_square
                    .iter()
                    .copied()
                    .zip(exponent.standard_error.iter().copied())
                    .collect()
            };
            let first = if cell.layers.len() > 1 { points(cell.layers.first()) } else { Vec::new() };
            let widths = &scaling.spec.hidden_widths;
            AgainstWidth { look: *look, last: points(cell.layers.last()), first, widths }
        };
        series::against_width(title, &scaling.cells.iter().zip(&looks).map(one).collect::<Vec<_>>())
    };
    let panels: Vec<Panel> = titles.into_iter().enumerate().map(panel).collect();
    drawn(&grid, &looks, &scaling_facts(scaling), &panels)
}

/// Heading, legend and four panels.
fn drawn(grid: &Grid, looks: &[Style], facts: &[String], kinds: &[Panel]) -> String {
    let ruler = Ruler::new();
    let legend = Legend::new(grid, &ruler);
    let height = legend.foot() + PANELS;
    let mut canvas = Canvas::new(WIDTH, height);
    heading(&mut canvas, grid, facts, &ruler);
    legend.draw(&mut canvas, looks);
    for (area, panel) in panels(legend.foot(), height - FOOT, 2, 2).into_iter().zip(kinds) {
        panel.draw(&mut canvas, area);
    }
    canvas.finish()
}

/// Equal areas between the margins, row by row.
fn panels(top: f64, bottom: f64, rows: usize, columns: usize) -> Vec<Rect> {
    Rect::new((MARGIN, top), (WIDTH - MARGIN, bottom)).grid(rows, columns)
}

/// What a run was, for its heading; a path is cut where it is drawn.
fn facts(report: &Report) -> Vec<String> {
    let spec = &report.spec;
    let mut facts = size(spec).to_vec();
    facts.extend(common(spec));
    if report.cells.iter().any(|c| c.layers.iter().any(|l| l.branch)) {
        facts.push("dots: in branches".into());
    }
    if report.interrupted {
        facts.push("interrupted".into());
    }
    // Short: a long path must leave room for it.
    let band = if spec.trials > 1 { ", 5–95 % band" } else { "" };
    let known = report.cells.iter().any(|c| c.layers.iter().any(|l| l.theory.is_some()));
    let theory = if known { "; theory: dashed, thin band" } else { "" };
    let bands = if known || spec.trials > 1 { format!(" — median{band}{theory}") } else { String::new() };
    facts.extend((!bands.is_empty()).then(|| bands.to_string()));
    facts
}

fn scaling_facts(scaling: &Scaling) -> Vec<String> {
    let spec = &scaling.spec.experiment;
    let mut facts =
        vec![format!("depth {}", spec.depth), format!("input width {}", scaling.spec.input_width)];
    facts.extend(common(spec));
    if scaling.interrupted {
        facts.push("interrupted".into());
    }
    facts.push(match (spec.depth, spec.trials) {
        (1, 1) => " — mean".into(),
        (1, _) => " — mean, band: its 95 % interval".into(),
        (depth, 1) => format!(" — line: layer {depth}, circles: layer 1"),
        (depth, _) => format!(" — line: layer {depth}, with the 95 % interval of its mean; circles: layer 1"),
    });
    facts
}

fn common(spec: &Experiment) -> Vec<String> {
    let ruler = Ruler::new();
    // A path's end says more than its beginning, but neither may push out the rest.
    let fact = |name: &str, text: &str| format!("{name} {}", ruler.fitting(text, FACTS.size, 0.25 * CONTENT));
    let mut facts = vec![
        format!("batch {}", spec.batch),
        format!("{} trial{}", spec.trials, if spec.trials == 1 { "" } else { "s" }),
        fact("input", &spec.input),
        format!("seed {}", spec.seed),
    ];
    facts.extend(spec.bias.iter().map(|law| fact("bias", law)));
    match spec.set.as_slice() {
        [] => {}
        [one] => facts.push(fact("set", one)),
        many => facts.push(format!("{} laws set", many.len())),
    }
    facts
}

/// The last fact may be a remark that begins with a dash.
fn heading(canvas: &mut Canvas, grid: &Grid, facts: &[String], ruler: &Ruler) {
    let list = |names: &[String], many: &str| {
        let joined = names.join(", ");
        if names.len() == 1 || (names.len() <= 5 && ruler.width(&joined, HEADING.size) < 0.5 * CONTENT) {
            joined
        } else {
            format!("{} {many}", names.len())
        }
    };
    let title = format!("{} × {}", list(&grid.inits, "initializers"), list(grid.acts, "activations"));
    let (remarks, mut facts): (Vec<String>, Vec<String>) =
        facts.iter().cloned().partition(|fact| fact.starts_with(" —"));
    if grid.cells.len() > style::LOOKS {
        facts.push(format!("looks repeat after {} lines", style::LOOKS));
    }
    facts.extend(remarks);
    titled(canvas, &title, &facts, ruler);
}

/// A title, and facts below it; those that begin with a dash are remarks at its end.
fn titled(canvas: &mut Canvas, title: &str, facts: &[String], ruler: &Ruler) {
    let (remarks, facts): (Vec<&str>, Vec<&str>) =
        facts.iter().map(String::as_str).partition(|fact| fact.starts_with(" —"));
    let run = facts.join(" · ") + &remarks.concat();
    for (text, top, style) in [(title, 22.0, HEADING), (&run, 58.0, FACTS)] {
        canvas.text(&ruler.fitting(&ruler.shown(text), style.size, CONTENT), (MARGIN, top), style);
    }
}
