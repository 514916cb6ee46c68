//! The figure of `initdiag phase`: maps over (σ_w², σ_b²), the critical line, and the named initialisers by number.

use super::heat::{Frame, Heat, NONE, Palette, Side};
use super::style::{FAMILY, GREY, INK, Ruler};
use super::{Area, ChartError, Drawn, GAP, MARGIN, WIDTH, embedded, put};
use crate::report::phase::{Group, key};
use crate::theory::phase::{Diagram, Map};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const HEAD: i32 = 124;
const ROW: i32 = 430;
/// Of a line of the key.
const LINE_HEIGHT: i32 = 23;
const KEY: f64 = 15.0;
/// Radius of a numbered mark.
const MARK: f64 = 10.0;

/// The figure as SVG, its font embedded.
///
/// # Errors
/// When the drawing library refuses an element.
pub fn svg(diagram: &Diagram) -> Result<String, ChartError> {
    let mut text = String::new();
    let groups = groups(diagram);
    let ruler = Ruler::new();
    let lines = key_lines(diagram, &groups, &ruler);
    let rows = if diagram.measured.is_some() { 3 } else { 1 };
    let below = 34 + LINE_HEIGHT * lines.len() as i32;
    let height = HEAD + rows * ROW + below;
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height as u32)).into_drawing_area();
        let draw = |fault: DrawingAreaErrorKind<std::io::Error>| ChartError::Draw(fault.to_string());
        root.fill(&WHITE).map_err(draw)?;
        heading(&root, diagram, &ruler).map_err(draw)?;
        let across = Side { name: "σ_w² = n·Var(W)", nodes: diagram.sigma_w2.clone() };
        let up = Side { name: "σ_b² = Var(b)", nodes: diagram.sigma_b2.clone() };
        let panels = root.margin(HEAD, below, MARGIN, MARGIN).split_evenly((rows as usize, 2));
        for (index, (area, heat)) in panels.iter().zip(maps(diagram, &across, &up)).enumerate() {
            heat.draw(area).map_err(draw)?;
            overlay(area, diagram, &groups, &heat, index == 0).map_err(draw)?;
        }
        put(&root, "Named initialisers", (MARGIN, height - below + 4), 17.0, INK, HPos::Left)
            .map_err(draw)?;
        for (line, text) in lines.iter().enumerate() {
            let y = height - below + 30 + line as i32 * LINE_HEIGHT;
            put(&root, &text.1, (MARGIN + 30, y), KEY, INK, HPos::Left).map_err(draw)?;
            if let Some(number) = text.0 {
                mark(&root, (f64::from(MARGIN + 12), f64::from(y + 6)), number).map_err(draw)?;
            }
        }
        root.present().map_err(draw)?;
    }
    embedded(text)
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

fn heading(root: &Area, diagram: &Diagram, ruler: &Ruler) -> Drawn {
    let room = f64::from(WIDTH as i32 - 2 * MARGIN);
    let title = format!(
        "{} in the plane of weight and bias variance",
        ruler.fitting(&ruler.shown(&diagram.act), 24.0, 0.5 * room)
    );
    let mut facts = vec![format!("input of unit variance · initialisers at width {}", diagram.width)];
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
    for (text, top, size, color) in [(title, 22, 24.0, INK), (facts.join(" · "), 58, 16.0, GREY)] {
        put(root, &ruler.fitting(&text, size, room), (MARGIN, top), size, color, HPos::Left)?;
    }
    let mut x = MARGIN;
    let y = 96;
    let mut entry = |sample: &dyn Fn(i32) -> Drawn, text: &str| -> Drawn {
        sample(x)?;
        put(root, text, (x + 54, y - 8), 16.0, INK, HPos::Left)?;
        x += 54 + ruler.width(text, 16.0).ceil() as i32 + GAP;
        Ok(())
    };
    if !diagram.critical_line.is_empty() {
        let text = if diagram.unkept_at.is_some() { "critical point" } else { "critical line: χ₁ = 1" };
        let sample = |x: i32| match diagram.unkept_at {
            Some(_) => point(root, (x + 22, y)),
            None => cased(root, &[(f64::from(x), f64::from(y)), (f64::from(x + 44), f64::from(y))]),
        };
        entry(&sample, text)?;
    }
    if diagram.unkept_at.is_some() {
        let sample = |x: i32| dashed(root, (x, y), (x + 44, y));
        entry(&sample, "χ₁ = 1, lengths grow")?;
    }
    entry(&|x| mark(root, (f64::from(x + 30), f64::from(y)), 1), "named initialisers")?;
    entry(
        &|x| root.draw(&Rectangle::new([(x + 12, y - 8), (x + 44, y + 8)], NONE.filled())),
        "no such number",
    )
}

fn point(area: &Area, at: (i32, i32)) -> Drawn {
    area.draw(&Circle::new(at, 7, WHITE.filled()))?;
    area.draw(&Circle::new(at, 5, INK.filled()))
}

fn dashed(area: &Area, from: (i32, i32), to: (i32, i32)) -> Drawn {
    let length = f64::from(to.0 - from.0).hypot(f64::from(to.1 - from.1));
    let pieces = (length / 12.0).ceil() as i32;
    let at = |share: f64| {
        let mix = |a: i32, b: i32| (f64::from(a) + share * f64::from(b - a)).round() as i32;
        (mix(from.0, to.0), mix(from.1, to.1))
    };
    for k in 0..pieces {
        let start = f64::from(k) * 12.0 / length;
        let end = (start + 7.0 / length).min(1.0);
        area.draw(&PathElement::new(vec![at(start), at(end)], INK.stroke_width(2)))?;
    }
    Ok(())
}

fn cased(area: &Area, line: &[(f64, f64)]) -> Drawn {
    let points = super::traced(line);
    area.draw(&PathElement::new(points.clone(), WHITE.stroke_width(6)))?;
    area.draw(&PathElement::new(points, INK.stroke_width(3)))
}

fn mark(area: &Area, (x, y): (f64, f64), number: usize) -> Drawn {
    let at = (x.round() as i32, y.round() as i32);
    area.draw(&Circle::new(at, MARK as i32, WHITE.filled()))?;
    area.draw(&Circle::new(at, MARK as i32, INK.stroke_width(1)))?;
    let font = (FAMILY, 13.0).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw_text(&number.to_string(), &font, at)
}

/// Critical line, phases and marks over a map.
fn overlay(area: &Area, diagram: &Diagram, groups: &[Group], heat: &Heat, named: bool) -> Drawn {
    let frame = Frame::of(area);
    let place = |p: (f64, f64)| frame.place(heat.across, heat.up, p);
    let inside = |(x, y): (f64, f64)| {
        (f64::from(frame.left) - 0.5..=f64::from(frame.right) + 0.5).contains(&x)
            && (f64::from(frame.top) - 0.5..=f64::from(frame.bottom) + 0.5).contains(&y)
    };
    if let Some(w) = diagram.unkept_at {
        let foot = place((w, diagram.sigma_b2[0]));
        if inside(foot) {
            let x = foot.0.round() as i32;
            dashed(area, (x, frame.top), (x, frame.bottom))?;
            if diagram.sigma_b2[0] == 0.0 {
                point(area, (x, frame.bottom))?;
            }
        }
    } else {
        let line = diagram.critical_line.iter().map(|p| place((p.sigma_w2, p.sigma_b2))).collect::<Vec<_>>();
        for run in clipped(&line, frame) {
            cased(area, &run)?;
        }
    }
    if named {
        phases(area, diagram, frame)?;
        marks(area, groups, &place, frame)?;
    }
    Ok(())
}

/// The parts of a line within a frame, cut at its sides.
fn clipped(line: &[(f64, f64)], frame: Frame) -> Vec<Vec<(f64, f64)>> {
    let (left, right) = (f64::from(frame.left), f64::from(frame.right));
    let (top, bottom) = (f64::from(frame.top), f64::from(frame.bottom));
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    for ends in line.windows(2) {
        let (a, b) = (ends[0], ends[1]);
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        // Liang & Barsky: the part of the segment on the inner side of each edge.
        let (mut from, mut to) = (0.0f64, 1.0f64);
        for (p, q) in [(-dx, a.0 - left), (dx, right - a.0), (-dy, a.1 - top), (dy, bottom - a.1)] {
            if p == 0.0 {
                if q < 0.0 {
                    to = -1.0;
                }
            } else if p < 0.0 {
                from = from.max(q / p);
            } else {
                to = to.min(q / p);
            }
        }
        if from > to || !(dx.is_finite() && dy.is_finite()) {
            continue;
        }
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        match runs.last_mut() {
            Some(run) if from == 0.0 && run.last() == Some(&a) => run.push(at(to)),
            _ => runs.push(vec![at(from), at(to)]),
        }
    }
    runs
}

/// The words `ordered` and `chaotic` where the widest stretch of each phase is.
fn phases(area: &Area, diagram: &Diagram, frame: Frame) -> Drawn {
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
        let cell = f64::from(frame.right - frame.left) / (columns.max(2) - 1) as f64;
        let room = (count.max(1) - 1) as f64 * cell;
        let width = ruler.width(name, 16.0);
        if room < width + 16.0 {
            continue;
        }
        let x = f64::from(frame.left) + (start as f64 + 0.5 * (count - 1) as f64) * cell;
        let y = f64::from(frame.bottom)
            - row as f64 / (rows.max(2) - 1) as f64 * f64::from(frame.bottom - frame.top);
        let (x, y, half) = (x.round() as i32, y.round() as i32, (0.5 * width).ceil() as i32 + 7);
        area.draw(&Rectangle::new([(x - half, y - 12), (x + half, y + 12)], WHITE.mix(0.8).filled()))?;
        let font = (FAMILY, 16.0).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw_text(name, &font, (x, y))?;
    }
    Ok(())
}

/// A dot at every group, and its number beside it where no other is.
fn marks(area: &Area, groups: &[Group], place: &dyn Fn((f64, f64)) -> (f64, f64), frame: Frame) -> Drawn {
    let dots: Vec<(f64, f64)> = groups.iter().map(|g| place(g.at)).collect();
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for dot in &dots {
        let free = |p: &(f64, f64)| {
            let apart = |o: &(f64, f64), least: f64| (p.0 - o.0).hypot(p.1 - o.1) >= least;
            p.0 >= f64::from(frame.left) + MARK
                && p.0 <= f64::from(frame.right) - MARK
                && p.1 >= f64::from(frame.top) + MARK
                && p.1 <= f64::from(frame.bottom) - MARK - 3.0
                && taken.iter().all(|o| apart(o, 2.0 * MARK + 2.0))
                && dots.iter().all(|o| apart(o, MARK + 5.0))
        };
        let spot = spiral(*dot).find(free).unwrap_or((dot.0, dot.1 - 24.0));
        taken.push(spot);
    }
    for (dot, spot) in dots.iter().zip(&taken) {
        let ends = [*dot, *spot].iter().map(super::pixel).collect::<Vec<_>>();
        area.draw(&PathElement::new(ends.clone(), WHITE.stroke_width(3)))?;
        area.draw(&PathElement::new(ends, INK.stroke_width(1)))?;
    }
    for ((dot, spot), group) in dots.iter().zip(&taken).zip(groups) {
        let at = super::pixel(dot);
        area.draw(&Circle::new(at, 5, WHITE.filled()))?;
        area.draw(&Circle::new(at, 4, INK.filled()))?;
        mark(area, *spot, group.number)?;
    }
    Ok(())
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

/// Initialisers within the plane; those that no mark could tell apart are one group.
fn groups(diagram: &Diagram) -> Vec<Group> {
    let side = |nodes: &[f64]| Side { name: "", nodes: nodes.to_vec() };
    let (across, up) = (side(&diagram.sigma_w2), side(&diagram.sigma_b2));
    let frame = Frame { left: 0, right: 390, top: 0, bottom: 330 };
    crate::report::phase::groups(diagram, |a, b| {
        let (p, q) = (frame.place(&across, &up, a), frame.place(&across, &up, b));
        (p.0 - q.0).hypot(p.1 - q.1) < 4.0
    })
}

/// The key, a number where an entry begins.
fn key_lines(diagram: &Diagram, groups: &[Group], ruler: &Ruler) -> Vec<(Option<usize>, String)> {
    let room = f64::from(WIDTH as i32 - 2 * MARGIN - 30);
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
            if ruler.width(&longer, KEY) > room && !line.is_empty() {
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
            let svg = svg(&diagram).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{name}");
            assert!(png(&svg).is_ok());
        }
        assert_eq!(brief(103.0076), "103");
    }

    #[test]
    fn a_line_is_cut_at_the_frame() {
        let frame = Frame { left: 0, right: 10, top: 0, bottom: 10 };
        let line = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (8.0, 15.0), (8.0, 5.0)];
        let runs = clipped(&line, frame);
        assert_eq!(runs, [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 5.0)]]);
    }
}
