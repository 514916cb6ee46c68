//! Draws `plots/cost-of-width.csv`, which `benches/compare --cost` measures, as SVG and PNG beside it.
//!
//!     cargo bench --bench cost_figure

use initdiag::report::figure::canvas::{Canvas, Stroke, TextStyle};
use initdiag::report::figure::geometry::Point;
use initdiag::report::figure::png;
use plotters::style::RGBColor;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

const SIZE: (f64, f64) = (1000.0, 640.0);
const INK: RGBColor = RGBColor(30, 30, 34);
const GRAY: RGBColor = RGBColor(96, 96, 104);
const LINE: RGBColor = RGBColor(226, 226, 230);
/// Okabe & Ito 2008.
const TOOLS: [(&str, &str, RGBColor); 5] = [
    ("lazy", "initdiag, implicit", RGBColor(0, 114, 178)),
    ("dense", "initdiag, dense", RGBColor(213, 94, 0)),
    ("torch", "PyTorch", RGBColor(0, 158, 115)),
    ("numpy", "NumPy", RGBColor(204, 121, 167)),
    ("jax", "JAX", RGBColor(120, 120, 120)),
];

fn main() -> Result<(), Box<dyn Error>> {
    let plots = Path::new(env!("CARGO_MANIFEST_DIR")).join("plots");
    let mut curves: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for row in csv::Reader::from_path(plots.join("cost-of-width.csv"))?.deserialize() {
        let (tool, width, seconds): (String, f64, f64) = row?;
        curves.entry(tool).or_default().push((width.log10(), seconds.log10()));
    }
    let svg = drawn(&curves);
    std::fs::write(plots.join("cost-of-width.svg"), &svg)?;
    std::fs::write(plots.join("cost-of-width.png"), png(&svg)?)?;
    Ok(())
}

fn drawn(curves: &BTreeMap<String, Vec<(f64, f64)>>) -> String {
    let mut canvas = Canvas::new(SIZE.0, SIZE.1);
    let tick = TextStyle::new(12.0, GRAY);
    canvas.text("Seconds of a whole process against width", (28.0, 22.0), TextStyle::new(20.0, INK));
    let facts = "depth 10 · batch 16 · 1 trial · forward and backward · two cores; both axes logarithmic";
    canvas.text(facts, (28.0, 58.0), TextStyle::new(13.0, GRAY));
    let points = || curves.values().flatten();
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        points().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |b, v| (b.0.min(v), b.1.max(v)))
    };
    let (across, up) = (bounds(|p| p.0), bounds(|p| p.1));
    let (low, high) = (up.0 - 0.15, up.1 + 0.15);
    let (left, right, top, foot) = (90.0, SIZE.0 - 190.0, 110.0, SIZE.1 - 69.5);
    let x = |v: f64| left + (v - across.0) / (across.1 - across.0) * (right - left);
    let y = |v: f64| foot - (v - low) / (high - low) * (foot - top);
    let sharp = |v: f64| v.floor() + 0.5;
    for decade in low.ceil() as i32..=high.floor() as i32 {
        let at = y(decade.into());
        canvas.line(&[(left, sharp(at)), (right, sharp(at))], Stroke::new(LINE, 1.0));
        let digits = usize::try_from(-decade).unwrap_or(0);
        let label = format!("{:.digits$} s", 10f64.powi(decade));
        canvas.text(&label, (left - 8.0, at), tick.ending().level());
    }
    for (width, label) in [
        (256.0, "256"),
        (1024.0, "1024"),
        (4096.0, "4096"),
        (16_384.0, "16 384"),
        (65_536.0, "65 536"),
        (1e6, "1 million"),
    ] {
        let at = x(f64::log10(width));
        canvas.line(&[(sharp(at), foot), (sharp(at), foot + 5.0)], Stroke::new(GRAY, 1.0));
        canvas.text(label, (at, foot + 9.0), tick.centered());
    }
    canvas.line(&[(left, foot), (right, foot)], Stroke::new(GRAY, 1.0));
    canvas.text("units a layer", (f64::midpoint(left, right), foot + 32.0), tick.centered());
    // Names behind the ends of lines, but beside the start where other lines go on through the end.
    for (tool, name, color) in TOOLS {
        let Some(curve) = curves.get(tool) else { continue };
        let line: Vec<Point> = curve.iter().map(|p| (x(p.0), y(p.1))).collect();
        canvas.line(&line, Stroke::new(color, 3.0));
        line.iter().for_each(|at| canvas.disc(*at, 4.0, &color));
        let (first, last) = (line[0], line[line.len() - 1]);
        let at = match tool {
            "torch" => (first.0 + 8.0, first.1 - 18.0),
            "jax" => (first.0 + 8.0, first.1 + 18.0),
            _ => (last.0 + 12.0, last.1),
        };
        canvas.text(name, at, TextStyle::new(13.0, color).level());
    }
    canvas.finish()
}
