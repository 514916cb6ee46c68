//! Draws `plots/cost-of-width.csv`, which `benches/compare --cost` measures, as SVG and PNG beside it.
//!
//!     cargo bench --bench cost_figure

use initdiag::report::figure::{embedded, png};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

const SIZE: (u32, u32) = (1000, 640);
const INK: RGBColor = RGBColor(30, 30, 34);
const GREY: RGBColor = RGBColor(96, 96, 104);
const LINE: RGBColor = RGBColor(226, 226, 230);
/// Okabe & Ito 2008.
const TOOLS: [(&str, &str, RGBColor); 5] = [
    ("lazy", "initdiag, lazy", RGBColor(0, 114, 178)),
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
    let mut text = String::new();
    draw(&mut text, &curves).map_err(|fault| fault.to_string())?;
    let svg = embedded(text)?;
    std::fs::write(plots.join("cost-of-width.svg"), &svg)?;
    std::fs::write(plots.join("cost-of-width.png"), png(&svg)?)?;
    Ok(())
}

fn draw(
    text: &mut String,
    curves: &BTreeMap<String, Vec<(f64, f64)>>,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let put = |text: &str, at: (i32, i32), size: f64, color: RGBColor, side: HPos, level: VPos| {
        let font = ("Inter", size).into_font().color(&color).pos(Pos::new(side, level));
        root.draw_text(text, &font, at)
    };
    put("Seconds of a whole process against width", (28, 22), 24.0, INK, HPos::Left, VPos::Top)?;
    let facts = "depth 10 · batch 16 · 1 trial · forward and backward · two cores; both axes logarithmic";
    put(facts, (28, 58), 16.0, GREY, HPos::Left, VPos::Top)?;
    let points = || curves.values().flatten();
    let bounds = |pick: fn(&(f64, f64)) -> f64| {
        points().map(pick).fold((f64::INFINITY, f64::NEG_INFINITY), |b, v| (b.0.min(v), b.1.max(v)))
    };
    let (across, up) = (bounds(|p| p.0), bounds(|p| p.1));
    let (low, high) = (up.0 - 0.15, up.1 + 0.15);
    let (left, right, top, foot) = (90.0, f64::from(SIZE.0) - 190.0, 110.0, f64::from(SIZE.1) - 70.0);
    let x = |v: f64| (left + (v - across.0) / (across.1 - across.0) * (right - left)).round() as i32;
    let y = |v: f64| (foot - (v - low) / (high - low) * (foot - top)).round() as i32;
    for decade in low.ceil() as i32..=high.floor() as i32 {
        let at = y(decade.into());
        root.draw(&PathElement::new(vec![(left as i32, at), (right as i32, at)], LINE.stroke_width(1)))?;
        let label = if decade < 0 {
            format!("{:.*}", -decade as usize, 10f64.powi(decade))
        } else {
            format!("{}", 10f64.powi(decade))
        };
        put(&format!("{label} s"), (left as i32 - 8, at), 15.0, GREY, HPos::Right, VPos::Center)?;
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
        root.draw(&PathElement::new(vec![(at, foot as i32), (at, foot as i32 + 5)], GREY.stroke_width(1)))?;
        put(label, (at, foot as i32 + 9), 15.0, GREY, HPos::Center, VPos::Top)?;
    }
    root.draw(&PathElement::new(
        vec![(left as i32, foot as i32), (right as i32, foot as i32)],
        GREY.stroke_width(1),
    ))?;
    put(
        "units a layer",
        (((left + right) / 2.0) as i32, foot as i32 + 32),
        15.0,
        GREY,
        HPos::Center,
        VPos::Top,
    )?;
    // Names behind the ends of lines, but beside the start where other lines go on through the end.
    for (tool, name, color) in TOOLS {
        let Some(curve) = curves.get(tool) else { continue };
        let line: Vec<(i32, i32)> = curve.iter().map(|p| (x(p.0), y(p.1))).collect();
        for at in &line {
            root.draw(&Circle::new(*at, 4, color.filled()))?;
        }
        let above = |at: (i32, i32), by: i32| (at.0 + 8, at.1 + by);
        let (first, last) = (line[0], line[line.len() - 1]);
        let at = match tool {
            "torch" => above(first, -18),
            "jax" => above(first, 18),
            _ => (last.0 + 12, last.1),
        };
        put(name, at, 16.0, color, HPos::Left, VPos::Center)?;
        root.draw(&PathElement::new(line, color.stroke_width(3)))?;
    }
    root.present()
}
