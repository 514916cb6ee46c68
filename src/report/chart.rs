//! The figure: four panels against depth. Drawn as SVG by plotters; the PNG is that SVG rasterised with the same font.

mod axis;
mod style;

use crate::report::terminal::widths;
use crate::result::{Cell, Layer, Quantiles, Report};
use axis::{Axis, layer_ticks};
use base64::Engine as _;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use style::{Dash, FAMILY, FONT, GREY, INK, LINE, Look, text_width};

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ChartError {
    #[error("cannot draw the figure: {0}")]
    Draw(String),
    #[error("cannot rasterise the figure: {0}")]
    Raster(String),
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Size in SVG units; the PNG has twice as many pixels each way.
const WIDTH: u32 = 1200;
const PANELS: u32 = 820;
const MARGIN: i32 = 28;
const LEGEND_ROW: i32 = 24;
/// More layers than this are thinned: a line cannot show more.
const MAX_POINTS: usize = 1000;

/// The figure as SVG, its font embedded.
///
/// # Errors
/// When the drawing library refuses an element.
pub fn svg(report: &Report) -> Result<String, ChartError> {
    let mut text = String::new();
    let looks = style::looks(report);
    let rows = legend_rows(report);
    let head = 92 + LEGEND_ROW * rows.len() as i32;
    let height = head as u32 + PANELS;
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        let draw = |fault: DrawingAreaErrorKind<std::io::Error>| ChartError::Draw(fault.to_string());
        root.fill(&WHITE).map_err(draw)?;
        heading(&root, report).map_err(draw)?;
        legend(&root, &rows, &looks).map_err(draw)?;
        let below = root.margin(head, 10, MARGIN, MARGIN);
        let panels = below.split_evenly((2, 2));
        for (area, panel) in panels.iter().zip(PANEL_KINDS) {
            panel(report, &looks).draw(area).map_err(draw)?;
        }
        root.present().map_err(draw)?;
    }
    let font = base64::engine::general_purpose::STANDARD.encode(FONT);
    let face = format!(
        "<style>@font-face{{font-family:\"{FAMILY}\";src:url(data:font/otf;base64,{font}) format(\"opentype\");}}</style>"
    );
    let open = text.find("<svg").and_then(|start| text[start..].find('>').map(|end| start + end + 1));
    let at = open.ok_or_else(|| ChartError::Draw("no svg element".into()))?;
    text.insert_str(at, &face);
    Ok(text)
}

/// The same picture as PNG, from the text of [`svg`].
///
/// # Errors
/// When the SVG cannot be read back or encoded.
pub fn png(svg: &str) -> Result<Vec<u8>, ChartError> {
    use resvg::{tiny_skia, usvg};
    let mut options = usvg::Options { font_family: FAMILY.into(), ..usvg::Options::default() };
    options.fontdb_mut().load_font_data(FONT.to_vec());
    let raster = |reason: String| ChartError::Raster(reason);
    let tree = usvg::Tree::from_str(svg, &options).map_err(|fault| raster(fault.to_string()))?;
    let size =
        tree.size().to_int_size().scale_by(2.0).ok_or_else(|| raster("the picture is empty".into()))?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| raster("no memory for the pixels".into()))?;
    pixels.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(2.0, 2.0), &mut pixels.as_mut());
    encoded(&pixels).map_err(|fault| raster(fault.to_string()))
}

/// Without the alpha channel, for the picture is opaque, and with the fast compressor: the best took half of a picture's time.
fn encoded(pixels: &resvg::tiny_skia::Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let colours: Vec<u8> = pixels.data().as_chunks::<4>().0.iter().flat_map(|p| [p[0], p[1], p[2]]).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&colours)?;
    Ok(bytes)
}

/// From a panel's units to pixels.
type Pixel<'a> = &'a dyn Fn(&(f64, f64)) -> (i32, i32);

/// What drawing on an area gives back.
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn heading(root: &Area, report: &Report) -> Drawn {
    let spec = &report.spec;
    let (inits, acts) = (&spec.init, &spec.act);
    let list = |names: &[String], many: &str| {
        let joined = names.join(", ");
        if names.len() <= 5 && text_width(&joined, 24.0) < 500.0 {
            joined
        } else {
            format!("{} {many}", names.len())
        }
    };
    let title = format!("{} × {}", list(inits, "initialisers"), list(acts, "activations"));
    let run = format!(
        "depth {} · width {} · batch {} · {} trial{} · input {} · seed {}{}",
        spec.depth,
        widths(&spec.widths),
        spec.batch,
        spec.trials,
        if spec.trials == 1 { "" } else { "s" },
        spec.input,
        spec.seed,
        if report.interrupted { " · interrupted" } else { "" }
    );
    let bands = if spec.trials > 1 { " — line: median, band: 5–95 % of trials" } else { "" };
    put(root, &style::fitting(&title, 24.0, 1140.0), (MARGIN, 22), 24.0, INK, HPos::Left)?;
    put(root, &style::fitting(&format!("{run}{bands}"), 16.0, 1140.0), (MARGIN, 58), 16.0, GREY, HPos::Left)
}

fn put(area: &Area, text: &str, at: (i32, i32), size: f64, color: RGBColor, side: HPos) -> Drawn {
    let font = (FAMILY, size).into_font().color(&color).pos(Pos::new(side, VPos::Top));
    area.draw_text(text, &font, at)
}

/// Cells in rows that fit the width, above the panels where they can cover nothing.
fn legend_rows(report: &Report) -> Vec<Vec<(usize, String, i32)>> {
    let names: Vec<String> = report.cells.iter().map(|c| name(report, c)).collect();
    let widest = names.iter().map(|n| text_width(n, 16.0)).fold(0.0, f64::max).min(520.0) as i32 + 64;
    let columns = ((WIDTH as i32 - 2 * MARGIN) / widest).max(1) as usize;
    let place = |(k, text): (usize, &String)| {
        (k, style::fitting(text, 16.0, 520.0), MARGIN + (k % columns) as i32 * widest)
    };
    let all: Vec<_> = names.iter().enumerate().map(place).collect();
    all.chunks(columns).map(<[_]>::to_vec).collect()
}

/// What tells a cell from the others.
fn name(report: &Report, cell: &Cell) -> String {
    match (report.spec.init.len(), report.spec.act.len()) {
        (_, 1) => cell.init.clone(),
        (1, _) => cell.act.clone(),
        _ => format!("{} × {}", cell.init, cell.act),
    }
}

fn legend(root: &Area, rows: &[Vec<(usize, String, i32)>], looks: &[Look]) -> Drawn {
    for (row, entries) in rows.iter().enumerate() {
        let y = 88 + row as i32 * LEGEND_ROW;
        for (cell, text, x) in entries {
            let line = [(f64::from(*x), f64::from(y + 8)), (f64::from(*x + 36), f64::from(y + 8))];
            for piece in looks[*cell].dash.pieces(&line) {
                let points: Vec<(i32, i32)> =
                    piece.iter().map(|p| (p.0.round() as i32, p.1.round() as i32)).collect();
                root.draw(&PathElement::new(points, looks[*cell].color.stroke_width(3)))?;
            }
            put(root, text, (x + 46, y), 16.0, INK, HPos::Left)?;
        }
    }
    Ok(())
}

/// One value a layer, or a gap.
struct Series {
    look: Look,
    /// (layer, value); `None` where there is none to draw.
    line: Vec<(f64, Option<f64>)>,
    /// (layer, low, high).
    band: Vec<(f64, f64, f64)>,
    /// Small circles along the line, and no dashes: a second quantity of the same cell.
    marked: bool,
    /// The first layer at which the quantity is exactly zero.
    zero: Option<f64>,
}

struct Panel {
    title: String,
    series: Vec<Series>,
    axis: Axis,
    depth: usize,
}

const PANEL_KINDS: [fn(&Report, &[Look]) -> Panel; 4] = [
    |report, looks| {
        log_panel(report, looks, "a · Activation variance, Var(H)", |l| &l.activation.log10_variance)
    },
    |report, looks| {
        log_panel(report, looks, "b · Gradient variance, Var(∂C/∂Z)", |l| &l.gradient.log10_variance)
    },
    |report, looks| {
        let title = "c · Weight gradient, mean square of ∂C/∂W";
        log_panel(report, looks, title, |l| &l.weight_gradient.log10_second_moment)
    },
    share_panel,
];

/// The layers to draw: all, or so many that a line cannot show more.
fn thinned(layers: &[Layer]) -> impl Iterator<Item = &Layer> {
    let step = layers.len().div_ceil(MAX_POINTS).max(1);
    let last = layers.len() - 1;
    layers.iter().enumerate().filter(move |(k, _)| k % step == 0 || *k == last).map(|(_, l)| l)
}

fn log_panel(report: &Report, looks: &[Look], title: &str, quantity: fn(&Layer) -> &Quantiles) -> Panel {
    let mut series = Vec::new();
    for (cell, look) in report.cells.iter().zip(looks) {
        let line = thinned(&cell.layers).map(|l| (l.layer as f64, quantity(l).median)).collect();
        let band = if cell.trials > 1 {
            let ends = |l: &Layer| Some((l.layer as f64, quantity(l).q05?, quantity(l).q95?));
            thinned(&cell.layers).filter_map(ends).collect()
        } else {
            Vec::new()
        };
        let zero = cell.layers.iter().find(|l| quantity(l).median.is_none()).map(|l| l.layer as f64);
        series.push(Series { look: *look, line, band, marked: false, zero });
    }
    let values = series
        .iter()
        .flat_map(|s| s.line.iter().filter_map(|p| p.1).chain(s.band.iter().flat_map(|b| [b.1, b.2])));
    let axis = Axis::decades(values);
    Panel { title: title.into(), series, axis, depth: report.spec.depth }
}

fn share_panel(report: &Report, looks: &[Look]) -> Panel {
    let mut series = Vec::new();
    let (mut dead, mut saturated) = (false, false);
    for (cell, look) in report.cells.iter().zip(looks) {
        let correlation: Vec<_> = thinned(&cell.layers).map(|l| (l.layer as f64, l.correlation)).collect();
        // A bounded activation saturates; another can only die.
        let bounded = crate::activation::Activation::parse(&cell.act).is_ok_and(|act| act.shape.bounded);
        let share = |l: &Layer| if bounded { l.saturated_fraction } else { Some(l.dead_fraction) };
        if bounded {
            saturated = true;
        } else {
            dead = true;
        }
        let shares: Vec<_> = thinned(&cell.layers).map(|l| (l.layer as f64, share(l))).collect();
        series.push(Series { look: *look, line: correlation, band: Vec::new(), marked: false, zero: None });
        series.push(Series { look: *look, line: shares, band: Vec::new(), marked: true, zero: None });
    }
    let lowest = series.iter().flat_map(|s| s.line.iter().filter_map(|p| p.1)).fold(0.0, f64::min);
    let units = match (dead, saturated) {
        (true, true) => "dead or saturated units",
        (false, true) => "saturated units",
        _ => "dead units",
    };
    Panel {
        title: format!("d · Lines: mean cosine of samples; circles: {units}"),
        series,
        axis: Axis::shares(lowest),
        depth: report.spec.depth,
    }
}

impl Panel {
    fn draw(&self, area: &Area) -> Drawn {
        let (width, height) = area.dim_in_pixel();
        let (left, right, top, bottom) = (84, width as i32 - 16, 40, height as i32 - 54);
        let x = |layer: f64| {
            // A single layer stands in the middle.
            let part = if self.depth > 1 { (layer - 1.0) / (self.depth as f64 - 1.0) } else { 0.5 };
            f64::from(left) + part * f64::from(right - left)
        };
        let (low, high) = self.axis.range;
        let y = |value: f64| f64::from(bottom) - (value - low) / (high - low) * f64::from(bottom - top);
        put(area, &self.title, (left, 8), 17.0, INK, HPos::Left)?;
        for (value, label) in &self.axis.ticks {
            let height = y(*value).round() as i32;
            area.draw(&PathElement::new(vec![(left, height), (right, height)], LINE.stroke_width(1)))?;
            let font = (FAMILY, 15.0).into_font().color(&GREY).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw_text(label, &font, (left - 8, height))?;
        }
        for layer in layer_ticks(self.depth) {
            let place = x(layer as f64).round() as i32;
            area.draw(&PathElement::new(vec![(place, bottom), (place, bottom + 5)], GREY.stroke_width(1)))?;
            put(area, &layer.to_string(), (place, bottom + 9), 15.0, GREY, HPos::Center)?;
        }
        area.draw(&PathElement::new(vec![(left, bottom), (right, bottom)], GREY.stroke_width(1)))?;
        put(area, "layer", (i32::midpoint(left, right), bottom + 29), 15.0, GREY, HPos::Center)?;
        let pixel = |p: &(f64, f64)| (x(p.0).round() as i32, y(p.1).round() as i32);
        for series in &self.series {
            self.band(area, series, &pixel)?;
        }
        for (place, series) in self.series.iter().enumerate() {
            self.line(area, series, place, (&x, &y), bottom)?;
        }
        Ok(())
    }

    fn band(&self, area: &Area, series: &Series, pixel: Pixel) -> Drawn {
        if series.band.len() < 2 {
            return Ok(());
        }
        let up = series.band.iter().map(|b| pixel(&(b.0, b.2)));
        let down = series.band.iter().rev().map(|b| pixel(&(b.0, b.1)));
        area.draw(&Polygon::new(up.chain(down).collect::<Vec<_>>(), series.look.color.mix(0.16).filled()))
    }

    fn line(
        &self,
        area: &Area,
        series: &Series,
        place: usize,
        (x, y): (&dyn Fn(f64) -> f64, &dyn Fn(f64) -> f64),
        bottom: i32,
    ) -> Drawn {
        let color = series.look.color;
        for run in runs(&series.line) {
            let points: Vec<(f64, f64)> = run.iter().map(|p| (x(p.0), y(p.1))).collect();
            let round = |p: &(f64, f64)| (p.0.round() as i32, p.1.round() as i32);
            if let [single] = points.as_slice() {
                area.draw(&Circle::new(round(single), 4, color.filled()))?;
                continue;
            }
            let dash = if series.marked { Dash::Solid } else { series.look.dash };
            let width = if series.marked { 1 } else { 3 };
            for piece in dash.pieces(&points) {
                area.draw(&PathElement::new(
                    piece.iter().map(round).collect::<Vec<_>>(),
                    color.stroke_width(width),
                ))?;
            }
            if series.marked {
                // About ten circles, those of different cells side by side.
                let step = points.len().div_ceil(10).max(1);
                for point in points.iter().skip((place * 2) % step).step_by(step) {
                    area.draw(&Circle::new(round(point), 4, WHITE.filled()))?;
                    area.draw(&Circle::new(round(point), 4, color.stroke_width(2)))?;
                }
            }
        }
        if let Some(layer) = series.zero {
            // Cells that are zero at the same layer stand side by side.
            let at = x(layer).round() as i32 + 14 * (place as i32);
            let arm = 5;
            let foot = bottom - 10;
            area.draw(&PathElement::new(
                vec![(at - arm, foot - arm), (at + arm, foot + arm)],
                color.stroke_width(3),
            ))?;
            area.draw(&PathElement::new(
                vec![(at - arm, foot + arm), (at + arm, foot - arm)],
                color.stroke_width(3),
            ))?;
            if self.series.iter().take(place).all(|s| s.zero.is_none()) {
                let count = self.series.iter().filter(|s| s.zero.is_some()).count() as i32;
                put(area, "exactly 0 from here", (at + 14 * count, foot - 9), 14.0, GREY, HPos::Left)?;
            }
        }
        Ok(())
    }
}

/// Stretches of a line between gaps.
fn runs(line: &[(f64, Option<f64>)]) -> Vec<Vec<(f64, f64)>> {
    let mut found = vec![Vec::new()];
    for (layer, value) in line {
        match (value, found.last_mut()) {
            (Some(value), Some(run)) => run.push((*layer, *value)),
            _ => found.push(Vec::new()),
        }
    }
    found.retain(|run| !run.is_empty());
    found
}
