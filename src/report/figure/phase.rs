//! The figure of `initdiag phase`: maps over (σ_w², σ_b²), the critical line, and the named initializers by number.

use super::canvas::{Canvas, Stroke, TextStyle};
use super::geometry::{Point, Rect};
use super::heat::{self, Heat, NONE, Palette, Side};
use super::legend::{FIRST, GAP, INDENT, SAMPLE};
use super::style::{ENTRY, HEADING, INK, Ruler, TITLE};
use super::{CONTENT, MARGIN, WIDTH, panels, titled};
use crate::report::phase::{Group, key};
use crate::theory::phase::{Diagram, Map};
use plotters::style::{Color, RGBColor};

const HEAD: f64 = 124.0;
const ROW: f64 = 430.0;
/// Of a line of the key.
const LINE_HEIGHT: f64 = 23.0;
const KEY: TextStyle = TextStyle::new(12.5, INK).level();
/// Radius of a numbered mark.
const MARK: f64 = 10.0;
/// Pixels drawn and left out where lengths are not kept.
const DASHED: &[f64] = &[7.0, 5.0];
const WHITE: RGBColor = RGBColor(255, 255, 255);

/// The figure as SVG, its font embedded.
pub fn svg(diagram: &Diagram) -> String {
    let groups = groups(diagram);
    let ruler = Ruler::new();
    let lines = key_lines(diagram, &groups, &ruler);
    let rows = if diagram.measured.is_some() { 3 } else { 1 };
    let foot = HEAD + ROW * rows as f64;
    let mut canvas = Canvas::new(WIDTH, foot + 34.0 + LINE_HEIGHT * lines.len() as f64);
    heading(&mut canvas, diagram, &ruler);
    let across = Side { name: "σ_w² = n·Var(W)", nodes: diagram.sigma_w2.clone() };
    let up = Side { name: "σ_b² = Var(b)", nodes: diagram.sigma_b2.clone() };
    let areas = panels(HEAD, foot, rows, 2);
    for (index, (area, heat)) in areas.into_iter().zip(maps(diagram, &across, &up)).enumerate() {
        heat.draw(&mut canvas, area);
        overlay(&mut canvas, area, diagram, &groups, &heat, index == 0);
    }
    canvas.text("Named initializers", (MARGIN, foot + 4.0), TITLE);
    for (line, (number, text)) in lines.iter().enumerate() {
        let y = foot + 36.0 + line as f64 * LINE_HEIGHT;
        canvas.text(text, (MARGIN + 30.0, y), KEY);
        if let Some(number) = number {
            mark(&mut canvas, (MARGIN + 12.0, y), *number);
        }
    }
    canvas.finish()
}

fn logs(map: &Map) -> Map {
    // An exact zero is below every range.
    let log = |v: &Option<f64>| v.map(|x| if x > 0.0 { x.log10() } else { -1e3 });
    map.iter().map(|row| row.iter().map(log).collect()).collect()
}

/// A range about zero that holds nine tenths of the values, so that a corner does not bleach the rest.
fn about_zero(maps: &[&Map]) -> (f64, f64) {
    let values = maps.iter().flat_map(|map| map.iter().flatten());
    let mut sizes: Vec<f64> = values.flatten().map(|v| v.abs()).filter(|v| *v < 900.0).collect();
    sizes.sort_by(f64::total_cmp);
    let most = sizes.get(sizes.len() * 9 / 10).copied().unwrap_or(1.0).clamp(0.1, 300.0);
    (-most, most)
}

fn maps<'a>(diagram: &Diagram, across: &'a Side, up: &'a Side) -> Vec<Heat<'a>> {
    let heat = |title: &str, values: Map, palette, range, scale| Heat {
        title: title.into(),
        across,
        up,
        values,
        palette,
        range,
        scale,
    };
    let chi = logs(&diagram.chi1);
    let range = about_zero(&[&chi]);
    let mut all = vec![
        heat("a · χ₁: factor on squared gradients a layer", chi, Palette::Diverging, range, "χ₁"),
        heat(
            "b · ξ_c: layers over which angles settle",
            logs(&diagram.xi_c),
            Palette::Rising,
            (0.0, 3.0),
            "layers",
        ),
    ];
    if let Some(m) = &diagram.measured {
        let layers = format!("layers {} to {}", m.window.first, m.window.last);
        let back = about_zero(&[&m.gradient, &m.expected_gradient]);
        let forth = about_zero(&[&m.signal, &m.expected_signal]);
        for (letter, what, map, range) in [
            ("c", "gradient a layer, theory", &m.expected_gradient, back),
            ("d", "gradient a layer, simulated", &m.gradient, back),
            ("e", "signal a layer, theory", &m.expected_signal, forth),
            ("f", "signal a layer, simulated", &m.signal, forth),
        ] {
            let title = format!("{letter} · Squared {what}, {layers}");
            all.push(heat(&title, map.clone(), Palette::Diverging, range, "factor"));
        }
    }
    all
}

fn heading(canvas: &mut Canvas, diagram: &Diagram, ruler: &Ruler) {
    let title = format!(
        "{} in the plane of weight and bias variance",
        ruler.fitting(&ruler.shown(&diagram.act), HEADING.size, 0.5 * CONTENT)
    );
    let mut facts = vec![format!("input of unit variance · initializers at width {}", diagram.width)];
    if diagram.unresolved > 0 {
        facts.push("ξ_c is left out where two samples are not resolved".into());
    }
    if let Some(m) = &diagram.measured {
        facts.push(format!("simulated: width {}, batch {}, {} trials", m.width, m.batch, m.trials));
        let miss = [(&m.largest_gradient, "gradient"), (&m.largest_signal, "signal")].map(|(d, name)| {
            d.map(|d| format!("{name} {:.1} %", 100.0 * (10f64.powf((d.measured - d.expected).abs()) - 1.0)))
        });
        let miss: Vec<String> = miss.into_iter().flatten().collect();
        if !miss.is_empty() {
            facts.push(format!("largest deviation a layer: {}", miss.join(", ")));
        }
    }
    titled(canvas, &title, &facts, ruler);
    let (mut x, y) = (MARGIN, FIRST);
    let mut entry = |sample: &dyn Fn(&mut Canvas, f64), text: &str| {
        sample(canvas, x);
        canvas.text(text, (x + INDENT, y), ENTRY);
        x += INDENT + ruler.width(text, ENTRY.size).ceil() + GAP;
    };
    if !diagram.critical_line.is_empty() {
        match diagram.unkept_at {
            Some(_) => entry(&|c, x| point(c, (x + 0.5 * SAMPLE, y)), "critical point"),
            None => entry(&|c, x| cased(c, &[(x, y), (x + SAMPLE, y)]), "critical line: χ₁ = 1"),
        }
    }
    if diagram.unkept_at.is_some() {
        entry(&|c, x| unkept(c, (x, y), (x + SAMPLE, y)), "χ₁ = 1, lengths grow");
    }
    entry(&|c, x| mark(c, (x + 30.0, y), 1), "named initializers");
    let sample = |c: &mut Canvas, x: f64| {
        c.fill(Rect::new((x + 12.0, y - 8.0), (x + SAMPLE, y + 8.0)), &NONE);
    };
    entry(&sample, "no such number");
}

fn point(canvas: &mut Canvas, at: Point) {
    canvas.disc(at, 7.0, &WHITE);
    canvas.disc(at, 5.0, &INK);
}

fn unkept(canvas: &mut Canvas, from: Point, to: Point) {
    canvas.line(&[from, to], Stroke::new(INK, 2.0).dashed(DASHED));
}

/// A line that shows upon any color.
fn cased(canvas: &mut Canvas, line: &[Point]) {
    canvas.line(line, Stroke::new(WHITE, 6.0));
    canvas.line(line, Stroke::new(INK, 3.0));
}

fn mark(canvas: &mut Canvas, at: Point, number: usize) {
    canvas.ring(at, MARK, Stroke::new(INK, 1.0));
    canvas.text(&number.to_string(), at, TextStyle::new(10.5, INK).centered().level());
}

/// Critical line, phases and marks over a map.
fn overlay(canvas: &mut Canvas, area: Rect, diagram: &Diagram, groups: &[Group], heat: &Heat, named: bool) {
    let plot = heat::plot(area);
    let place = |p: (f64, f64)| heat::place(plot, heat.across, heat.up, p);
    if let Some(w) = diagram.unkept_at {
        let foot = place((w, diagram.sigma_b2[0]));
        if plot.grown(0.5).contains(foot) {
            unkept(canvas, (foot.0, plot.top), (foot.0, plot.bottom));
            if diagram.sigma_b2[0] == 0.0 {
                point(canvas, (foot.0, plot.bottom));
            }
        }
    } else {
        let line: Vec<Point> =
            diagram.critical_line.iter().map(|p| place((p.sigma_w2, p.sigma_b2))).collect();
        canvas.clipped(plot, |canvas| cased(canvas, &line));
    }
    if named {
        phases(canvas, diagram, plot);
        marks(canvas, groups, &place, plot);
    }
}

/// The words `ordered` and `chaotic` where the widest stretch of each phase is.
fn phases(canvas: &mut Canvas, diagram: &Diagram, plot: Rect) {
    let ruler = Ruler::new();
    let (rows, columns) = (diagram.sigma_b2.len(), diagram.sigma_w2.len());
    for (name, is) in
        [("ordered", (|chi: f64| chi < 1.0) as fn(f64) -> bool), ("chaotic", |chi: f64| chi > 1.0)]
    {
        // (width, row, first, last), in the upper half, away from the marks.
        let mut best = (0, 0, 0);
        for row in rows * 2 / 5..=rows * 4 / 5 {
            let mut start = 0;
            for column in 0..=columns {
                let here = diagram.chi1.get(row).and_then(|r| *r.get(column)?).is_some_and(is);
                if !here {
                    if column - start > best.0 {
                        best = (column - start, row, start);
                    }
                    start = column + 1;
                }
            }
        }
        let (count, row, start) = best;
        let cell = plot.width() / (columns.max(2) - 1) as f64;
        let room = (count.max(1) - 1) as f64 * cell;
        let width = ruler.width(name, ENTRY.size);
        if room < width + 16.0 {
            continue;
        }
        let x = plot.left + (start as f64 + 0.5 * (count - 1) as f64) * cell;
        let y = plot.bottom - row as f64 / (rows.max(2) - 1) as f64 * plot.height();
        let half = 0.5 * width + 7.0;
        canvas.fill(Rect::new((x - half, y - 12.0), (x + half, y + 12.0)), &WHITE.mix(0.8));
        canvas.text(name, (x, y), ENTRY.centered());
    }
}

/// A dot at every group, and its number beside it where no other is.
fn marks(canvas: &mut Canvas, groups: &[Group], place: &dyn Fn((f64, f64)) -> Point, plot: Rect) {
    let dots: Vec<Point> = groups.iter().map(|g| place(g.at)).collect();
    let mut taken: Vec<Point> = Vec::new();
    let room = Rect { bottom: plot.bottom - 3.0, ..plot }.grown(-MARK);
    for dot in &dots {
        let free = |p: &Point| {
            let apart = |o: &Point, least: f64| (p.0 - o.0).hypot(p.1 - o.1) >= least;
            room.contains(*p)
                && taken.iter().all(|o| apart(o, 2.0 * MARK + 2.0))
                && dots.iter().all(|o| apart(o, MARK + 5.0))
        };
        let spot = spiral(*dot).find(free).unwrap_or((dot.0, dot.1 - 24.0));
        taken.push(spot);
    }
    for (dot, spot) in dots.iter().zip(&taken) {
        canvas.line(&[*dot, *spot], Stroke::new(WHITE, 3.0));
        canvas.line(&[*dot, *spot], Stroke::new(INK, 1.0));
    }
    for ((dot, spot), group) in dots.iter().zip(&taken).zip(groups) {
        canvas.disc(*dot, 5.0, &WHITE);
        canvas.disc(*dot, 4.0, &INK);
        mark(canvas, *spot, group.number);
    }
}

/// Places about a point, nearer first, above before beside.
fn spiral((x, y): (f64, f64)) -> impl Iterator<Item = (f64, f64)> {
    (1..14).flat_map(move |ring| {
        [0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.57, -1.57, 2.2, -2.2, 3.1].into_iter().map(
            move |angle: f64| {
                let r = 10.0 + 12.0 * f64::from(ring);
                (x + r * angle.sin(), y - r * angle.cos())
            },
        )
    })
}

/// Initializers within the plane; those that no mark could tell apart are one group.
fn groups(diagram: &Diagram) -> Vec<Group> {
    let side = |nodes: &[f64]| Side { name: "", nodes: nodes.to_vec() };
    let (across, up) = (side(&diagram.sigma_w2), side(&diagram.sigma_b2));
    let plot = Rect::new((0.0, 0.0), (390.0, 330.0));
    crate::report::phase::groups(diagram, |a, b| {
        let (p, q) = (heat::place(plot, &across, &up, a), heat::place(plot, &across, &up, b));
        (p.0 - q.0).hypot(p.1 - q.1) < 4.0
    })
}

/// The key, a number where an entry begins.
fn key_lines(diagram: &Diagram, groups: &[Group], ruler: &Ruler) -> Vec<(Option<usize>, String)> {
    let room = CONTENT - 30.0;
    let mut lines = Vec::new();
    for (number, text) in key(diagram, groups) {
        let mut number = number;
        let mut line = String::new();
        // A number stays with its name.
        let text = ["σ_w² ", "σ_b² ", "χ₁ "]
            .iter()
            .fold(text, |text, name| text.replace(name, &name.replace(' ', "\0")));
        for word in text.split(' ') {
            let word = &word.replace('\0', " ");
            let longer = if line.is_empty() { word.to_string() } else { format!("{line} {word}") };
            if ruler.width(&longer, KEY.size) > room && !line.is_empty() {
                lines.push((number.take(), std::mem::take(&mut line)));
                line.clone_from(word);
            } else {
                line = longer;
            }
        }
        lines.push((number, line));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::png;
    use super::*;
    use crate::activation::Activation;
    use crate::report::phase::brief;
    use crate::theory::phase::grid;

    #[test]
    fn every_activation_has_a_picture() {
        for name in ["tanh", "relu", "sigmoid", "softplus", "0*x", "x*x", "exp(x)"] {
            let act = Activation::parse(name).unwrap();
            let (w, b) = crate::theory::phase::ranges(&act, &crate::theory::phase::walk(&act));
            let diagram = Diagram::new(&act, grid(w, 9), grid(b, 7), 512);
            let svg = svg(&diagram);
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{name}");
            assert!(png(&svg).is_ok());
        }
        assert_eq!(brief(103.0076), "103");
    }
}
