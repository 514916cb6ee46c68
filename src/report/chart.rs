//! Figures: four panels against depth, the maps of theory, the phase diagram, and the curves of a training. Drawn as SVG by plotters; the PNG is that SVG rasterised with the same font.

mod axis;
mod heat;
mod maps;
mod overlay;
mod panel;
mod phase;
mod style;
mod train;

use crate::report::terminal::size;
use crate::result::Report;
use crate::scaling::{Scaling, ScalingCell, ScalingLayer};
use crate::spec::Experiment;
use base64::Engine as _;
pub use maps::svg as theory_svg;
use panel::{AgainstWidth, Panel};
pub use phase::svg as phase_svg;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use rayon::prelude::*;
use style::{FAMILY, FONT, GREY, Grid, INK, Look, Ruler};
pub use train::{curves as curves_svg, looks as looks_svg};

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
/// Length of a legend's sample: a whole period of every dash.
const SAMPLE: i32 = 44;
/// From the start of a sample to the start of its text.
const INDENT: i32 = SAMPLE + 10;
/// Between columns of the legend.
const GAP: i32 = 28;

/// The figure as SVG, its font embedded.
///
/// # Errors
/// When the drawing library refuses an element.
pub fn svg(report: &Report) -> Result<String, ChartError> {
    let grid = Grid::of(report);
    let looks = style::looks(&grid);
    let panels = panel::KINDS.map(|panel| panel(report, &looks));
    drawn(&grid, &looks, &facts(report), &panels)
}

/// The figure of a sweep over widths, likewise.
///
/// # Errors
/// When the drawing library refuses an element.
pub fn scaling_svg(scaling: &Scaling) -> Result<String, ChartError> {
    let experiment = &scaling.spec.experiment;
    let grid = Grid {
        inits: &experiment.init,
        acts: &experiment.act,
        cells: scaling.cells.iter().map(|c| (c.init.as_str(), c.act.as_str())).collect(),
    };
    let looks = style::looks(&grid);
    let titles = [
        "a · Mean square of the pre-activation Z",
        "b · Mean square of the activation H",
        "c · Mean square of the gradient ∂C/∂Z",
        "d · Mean square of the weight gradient ∂C/∂W",
    ];
    let panel = |(k, title): (usize, &str)| {
        let one = |(cell, look): (&ScalingCell, &Look)| {
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
        panel::against_width(title, &scaling.cells.iter().zip(&looks).map(one).collect::<Vec<_>>())
    };
    let panels: Vec<Panel> = titles.into_iter().enumerate().map(panel).collect();
    drawn(&grid, &looks, &scaling_facts(scaling), &panels)
}

/// Heading, legend and four panels.
fn drawn(grid: &Grid, looks: &[Look], facts: &[String], kinds: &[Panel]) -> Result<String, ChartError> {
    let mut text = String::new();
    let ruler = Ruler::new();
    let rows = legend_rows(grid, &ruler);
    let head = 92 + LEGEND_ROW * rows.len() as i32;
    let height = head as u32 + PANELS;
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        let draw = |fault: DrawingAreaErrorKind<std::io::Error>| ChartError::Draw(fault.to_string());
        root.fill(&WHITE).map_err(draw)?;
        heading(&root, grid, facts, &ruler).map_err(draw)?;
        legend(&root, &rows, looks).map_err(draw)?;
        let below = root.margin(head, 10, MARGIN, MARGIN);
        let panels = below.split_evenly((2, 2));
        for (area, panel) in panels.iter().zip(kinds) {
            panel.draw(area).map_err(draw)?;
        }
        root.present().map_err(draw)?;
    }
    embedded(text)
}

/// A drawing with the figures' font inside.
///
/// # Errors
/// When the text is no SVG.
pub fn embedded(text: String) -> Result<String, ChartError> {
    let mut text = own_opacity(&text);
    let font = base64::engine::general_purpose::STANDARD.encode(FONT);
    let face = format!(
        "<style>@font-face{{font-family:\"{FAMILY}\";src:url(data:font/otf;base64,{font}) format(\"opentype\");}}</style>"
    );
    let open = text.find("<svg").and_then(|start| text[start..].find('>').map(|end| start + end + 1));
    let at = open.ok_or_else(|| ChartError::Draw("no svg element".into()))?;
    text.insert_str(at, &face);
    Ok(text)
}

/// Says the opacity of shapes as that of their fill and stroke, of which ours have one each: what is said of the shape as a whole
/// makes a layer of its own for each, and took a third of the time of a PNG.
fn own_opacity(text: &str) -> String {
    const NAME: &str = " opacity=\"";
    let mut parts = text.split(NAME);
    let mut own = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (value, rest) = part.split_once('"').unwrap_or((part, ""));
        if value != "1" {
            own.push_str(&format!(" fill-opacity=\"{value}\" stroke-opacity=\"{value}\""));
        }
        own.push_str(rest);
    }
    own
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
    let (width, height) = (size.width(), size.height());
    let mut colours = vec![0; 3 * width as usize * height as usize];
    let band = |(index, colours): (usize, &mut [u8])| {
        let rows = colours.len() / (3 * width as usize);
        let mut pixels = tiny_skia::Pixmap::new(width, rows as u32)
            .ok_or_else(|| raster("no memory for the pixels".into()))?;
        pixels.fill(tiny_skia::Color::WHITE);
        let up = -((index * BAND) as f32);
        resvg::render(
            &tree,
            tiny_skia::Transform::from_row(2.0, 0.0, 0.0, 2.0, 0.0, up),
            &mut pixels.as_mut(),
        );
        // Without the alpha channel, for the picture is opaque.
        for (colour, pixel) in colours.as_chunks_mut::<3>().0.iter_mut().zip(pixels.data().as_chunks::<4>().0)
        {
            *colour = [pixel[0], pixel[1], pixel[2]];
        }
        Ok(())
    };
    colours.par_chunks_mut(3 * width as usize * BAND).enumerate().try_for_each(band)?;
    encoded(&colours, width, height).map_err(|fault| raster(fault.to_string()))
}

/// Rows of a picture that are rasterised together, beside others: few, to share them among threads and to touch little memory;
/// many, for each band looks at all shapes.
const BAND: usize = 256;

/// With the fast compressor and one filter for all rows: a file is a sixth larger than with the best filter of each row, which
/// took a third of a picture's time.
fn encoded(colours: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Sub);
    encoder.write_header()?.write_image_data(colours)?;
    Ok(bytes)
}

/// What drawing on an area gives back.
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

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

fn common(spec: &Experiment) -> [String; 4] {
    let ruler = Ruler::new();
    [
        format!("batch {}", spec.batch),
        format!("{} trial{}", spec.trials, if spec.trials == 1 { "" } else { "s" }),
        // A path's end says more than its beginning, but neither may push out the rest.
        format!("input {}", ruler.fitting(&spec.input, 16.0, 0.25 * ROOM)),
        format!("seed {}", spec.seed),
    ]
}

/// Width that a heading has.
const ROOM: f64 = (WIDTH as i32 - 2 * MARGIN) as f64;

/// The last fact may be a remark that begins with a dash.
fn heading(root: &Area, grid: &Grid, facts: &[String], ruler: &Ruler) -> Drawn {
    let list = |names: &[String], many: &str| {
        let joined = names.join(", ");
        if names.len() == 1 || (names.len() <= 5 && ruler.width(&joined, 24.0) < 0.5 * ROOM) {
            joined
        } else {
            format!("{} {many}", names.len())
        }
    };
    let title = format!("{} × {}", list(grid.inits, "initialisers"), list(grid.acts, "activations"));
    let (remarks, mut facts): (Vec<String>, Vec<String>) =
        facts.iter().cloned().partition(|fact| fact.starts_with(" —"));
    if grid.cells.len() > style::LOOKS {
        facts.push(format!("looks repeat after {} lines", style::LOOKS));
    }
    facts.extend(remarks);
    titled(root, &title, &facts, ruler)
}

/// A title, and facts below it; those that begin with a dash are remarks at its end.
fn titled(root: &Area, title: &str, facts: &[String], ruler: &Ruler) -> Drawn {
    let (remarks, facts): (Vec<&str>, Vec<&str>) =
        facts.iter().map(String::as_str).partition(|fact| fact.starts_with(" —"));
    let run = facts.join(" · ") + &remarks.concat();
    for (text, top, size, color) in [(title, 22, 24.0, INK), (&run, 58, 16.0, GREY)] {
        put(root, &ruler.fitting(&ruler.shown(text), size, ROOM), (MARGIN, top), size, color, HPos::Left)?;
    }
    Ok(())
}

fn put(area: &Area, text: &str, at: (i32, i32), size: f64, color: RGBColor, side: HPos) -> Drawn {
    let font = (FAMILY, size).into_font().color(&color).pos(Pos::new(side, VPos::Top));
    area.draw_text(text, &font, at)
}

/// A cell of the legend: its place among the cells, its text, and where its sample begins.
type LegendEntry = (usize, String, i32);

/// Cells in rows that fit the width, above the panels where they can cover nothing.
fn legend_rows(grid: &Grid, ruler: &Ruler) -> Vec<Vec<LegendEntry>> {
    let all = WIDTH as i32 - 2 * MARGIN;
    let width =
        |names: &[String]| names.iter().map(|n| ruler.width(n, 16.0)).fold(0.0, f64::max).ceil() as i32;
    let names = legend_names(grid, ruler, (all - INDENT).into());
    let mut columns = ((all + GAP) / (width(&names) + INDENT + GAP)).max(1) as usize;
    let (inits, acts) = (grid.inits.len(), grid.acts.len());
    if inits > 1 && acts > 1 && columns > acts {
        // The activations of an initialiser stay in one row.
        columns -= columns % acts;
    }
    let step = if columns > 1 { width(&names) + INDENT + GAP } else { 0 };
    let place = |(k, text): (usize, &String)| (k, text.clone(), MARGIN + (k % columns) as i32 * step);
    let all: Vec<_> = names.iter().enumerate().map(place).collect();
    all.chunks(columns).map(<[_]>::to_vec).collect()
}

/// What tells each cell from the others, in at most `room` pixels; numbered where that does not.
fn legend_names(grid: &Grid, ruler: &Ruler, room: f64) -> Vec<String> {
    let name = |(init, act): &(&str, &str), room: f64| {
        let part = |text: &str, room: f64| ruler.fitting(&ruler.shown(text), 16.0, room);
        match (grid.inits.len(), grid.acts.len()) {
            (_, 1) => part(init, room),
            (1, _) => part(act, room),
            _ => {
                let act = format!(" × {}", part(act, 0.45 * room));
                part(init, room - ruler.width(&act, 16.0)) + &act
            }
        }
    };
    let names: Vec<String> = grid.cells.iter().map(|c| name(c, room)).collect();
    let distinct: std::collections::HashSet<&String> = names.iter().collect();
    if distinct.len() == names.len() {
        return names;
    }
    let numbered = |(k, cell): (usize, &(&str, &str))| format!("{}: {}", k + 1, name(cell, 0.95 * room));
    grid.cells.iter().enumerate().map(numbered).collect()
}

fn legend(root: &Area, rows: &[Vec<LegendEntry>], looks: &[Look]) -> Drawn {
    for (row, entries) in rows.iter().enumerate() {
        let y = 88 + row as i32 * LEGEND_ROW;
        for (cell, text, x) in entries {
            let line = [(f64::from(*x), f64::from(y + 8)), (f64::from(*x + SAMPLE), f64::from(y + 8))];
            stroke(root, &looks[*cell], &line, 3)?;
            put(root, text, (x + INDENT, y), 16.0, INK, HPos::Left)?;
        }
    }
    Ok(())
}

/// A line through points in pixels, in a cell's colour and dash.
fn stroke(area: &Area, look: &Look, line: &[(f64, f64)], width: u32) -> Drawn {
    for (piece, _) in look.dash.pieces(line) {
        let points: Vec<(i32, i32)> = piece.iter().map(pixel).collect();
        area.draw(&PathElement::new(points, look.color.stroke_width(width)))?;
    }
    Ok(())
}

/// A smooth curve through whole pixels, which is all that plotters draws between: of every stretch the pixel that the curve comes
/// nearest to. Places closer together, each rounded, would show as a wobble.
fn traced(curve: &[(f64, f64)]) -> Vec<(i32, i32)> {
    /// Pixels between two places, at least and at most.
    const APART: (f64, f64) = (6.0, 18.0);
    let mut places = Vec::new();
    let mut so_far = 0.0;
    for ends in curve.windows(2) {
        let ((x, y), (dx, dy)) = (ends[0], (ends[1].0 - ends[0].0, ends[1].1 - ends[0].1));
        let length = dx.hypot(dy);
        let (from, step) = if dx.abs() >= dy.abs() { (x, dx) } else { (y, dy) };
        let (low, high) = (from.min(from + step).ceil() as i32, from.max(from + step).floor() as i32);
        let mut within: Vec<f64> = (low..=high).map(|k| (f64::from(k) - from) / step).collect();
        within.retain(|t| t.is_finite());
        within.sort_by(f64::total_cmp);
        places.extend(within.into_iter().map(|t| (so_far + t * length, (x + t * dx, y + t * dy))));
        so_far += length;
    }
    let miss = |(x, y): (f64, f64)| (x - x.round()).hypot(y - y.round());
    let mut found: Vec<(i32, i32)> = curve.first().map(pixel).into_iter().collect();
    let mut last = 0.0;
    loop {
        let near = |s: f64| (last + APART.0..=last + APART.1).contains(&s) && s < so_far - APART.0;
        let next = places.iter().filter(|p| near(p.0)).min_by(|a, b| miss(a.1).total_cmp(&miss(b.1)));
        let Some((s, place)) = next else { break };
        last = *s;
        found.push(pixel(place));
    }
    found.extend(curve.last().map(pixel));
    found
}

fn pixel(point: &(f64, f64)) -> (i32, i32) {
    (point.0.round() as i32, point.1.round() as i32)
}
