//! What is laid over the measurement: theory, and where number formats end.

use super::canvas::{Canvas, Stroke, TextStyle};
use super::geometry::{Point, Rect};
use super::labels::crosses;
use super::panel::Frame;
use super::scales::sharp;
use super::series::{Line, runs, thinned};
use super::style::{GRAY, INK, Ruler, Style};
use crate::result::{Cell, FormatRange, Theory};
use crate::theory::formats::FORMATS;
use plotters::style::{Color, RGBColor};

/// More cells than this have no room for the edges of their bands.
const MOST_BANDS: usize = 6;
/// Marks on theory's line are as far apart, and reach as far from it.
const MARKS: (f64, f64) = (26.0, 3.2);
/// Labels of formats that are nearer than this share one, in pixels.
const NEAR: f64 = 15.0;
/// Nearly where a line of the scale is; and a label's room.
const FAINT: RGBColor = RGBColor(176, 176, 186);

/// Theory of one cell: its median, and the edges of the band of trials.
pub struct TheoryCurve {
    look: Style,
    pub line: Vec<(f64, Option<f64>)>,
    edges: [Vec<(f64, Option<f64>)>; 2],
}

/// A quantity of theory: the mean, the band, and the median where that is not the band's middle.
pub type Pick = fn(&Theory) -> (Option<f64>, Option<[Option<f64>; 2]>, Option<f64>);

/// The overlay of every line.
pub fn expected(lines: &[Line], pick: Pick) -> Vec<TheoryCurve> {
    let bands = lines.len() <= MOST_BANDS;
    let one = |line: &Line| {
        let at = |value: &dyn Fn(&Theory) -> Option<f64>| -> Vec<(f64, Option<f64>)> {
            thinned(&line.layers).map(|(at, l)| (*at as f64, l.theory.as_ref().and_then(value))).collect()
        };
        let edge = |side: usize| match bands {
            true => at(&move |t| pick(t).1.and_then(|band| band[side])),
            false => Vec::new(),
        };
        // The median is what is measured.
        let median = at(&|t| match pick(t) {
            (_, _, Some(median)) => Some(median),
            (_, Some([low, high]), None) => Some(f64::midpoint(low?, high?)),
            (mean, None, None) => mean,
        });
        TheoryCurve { look: line.look, line: median, edges: [edge(0), edge(1)] }
    };
    lines.iter().map(one).collect()
}

impl TheoryCurve {
    /// The edges of the band, beneath what is measured.
    pub fn draw_band(&self, canvas: &mut Canvas, cell: usize, frame: &Frame) {
        for points in self.edges.iter().flat_map(|edge| frame.points(edge, cell)) {
            canvas.line(&points, Stroke::new(self.look.color.mix(0.7), 1.0));
        }
    }

    /// The median, upon what is measured: a thin line with upright crosses, as no cell is drawn.
    pub fn draw_line(&self, canvas: &mut Canvas, cell: usize, frame: &Frame) {
        for points in frame.points(&self.line, cell) {
            let line = frame.plot.clip_line(&points).concat();
            draw_theory(canvas, &line, INK, 0.5 + (cell % 4) as f64 / 4.0);
        }
    }
}

impl Frame {
    /// A curve's stretches on the figure; a layer that stands alone is a level line.
    fn points(&self, curve: &[(f64, Option<f64>)], cell: usize) -> Vec<Vec<Point>> {
        let place = |(layer, value): &(f64, f64)| (self.x(*layer, cell), self.y(*value));
        let stretch = |run: &Vec<(f64, f64)>| match run.as_slice() {
            [single] => self.level(place(single).0, place(single).1).to_vec(),
            _ => run.iter().map(place).collect(),
        };
        runs(curve).iter().map(stretch).collect()
    }
}

/// Theory's line: thin, with crosses at equal steps across, the first behind a part of a step.
pub fn draw_theory(canvas: &mut Canvas, points: &[Point], color: RGBColor, first: f64) {
    canvas.line(points, Stroke::new(color, 0.8));
    let (Some(start), Some(end)) = (points.first(), points.last()) else { return };
    let (step, arm) = MARKS;
    let mut crosses: Vec<[Point; 2]> = Vec::new();
    let mut x = start.0 + step * first.min(((end.0 - start.0) / (2.0 * step)).max(0.0));
    for pair in points.windows(2) {
        let ((left, from), (right, to)) = (pair[0], pair[1]);
        while x <= right && right > left {
            let y = from + (x - left) / (right - left) * (to - from);
            crosses.extend([[(x - arm, y), (x + arm, y)], [(x, y - arm), (x, y + arm)]]);
            x += step;
        }
    }
    canvas.lines(crosses.iter().map(<[_; 2]>::as_slice), Stroke::new(color, 1.2));
}

/// A level that a format's normal range ends at, in the panel's unit.
pub struct Limit {
    value: f64,
    name: String,
    /// What is below it underflows; else what is above overflows.
    low: bool,
}

/// The ends of formats that some cell leaves: of the root mean square, and of the mean square where `squares` are kept too.
pub fn limits(cells: &[&Cell], leaves: fn(&FormatRange) -> (bool, bool)) -> Vec<Limit> {
    let mut limits = Vec::new();
    for format in &FORMATS {
        let range = |cell: &Cell| {
            cell.formats.iter().find(|r| r.format == format.name).map_or((false, false), leaves)
        };
        let (root, square) =
            cells.iter().map(|c| range(c)).fold((false, false), |a, b| (a.0 | b.0, a.1 | b.1));
        let (least, most) = format.decades();
        for (end, low) in [(least, true), (most, false)] {
            if root {
                limits.push(Limit { value: 2.0 * end, name: format.name.to_string(), low });
            }
            if square {
                limits.push(Limit { value: end, name: format!("{}²", format.name), low });
            }
        }
    }
    limits.sort_by(|a, b| a.value.total_cmp(&b.value));
    limits
}

/// Labels of formats are set in this size.
const LABEL: f64 = 10.0;
/// Height of a line of them.
const LINE: f64 = 12.0;
/// Among curves of more points than this no place away from a limit is sought: it would take long.
const MOST_POINTS: usize = 20_000;
/// Places along a limit that are tried for its label.
const TRIES: usize = 12;

fn visible<'l>(limits: &'l [Limit], frame: &Frame) -> impl Iterator<Item = &'l Limit> {
    let (low, high) = frame.range;
    limits.iter().filter(move |l| l.value > low && l.value < high)
}

/// Thin lines where formats end.
pub fn draw_limits(canvas: &mut Canvas, limits: &[Limit], frame: &Frame) {
    for limit in visible(limits, frame) {
        let y = sharp(frame.y(limit.value));
        canvas.line(&[(frame.plot.left, y), (frame.plot.right, y)], Stroke::new(FAINT, 1.0));
    }
}

/// Their names, those that nearly coincide together, upon all curves. Each stands at its line where no curve is, in one row or in two; where
/// there is no such place, at the nearest one that is free, with a thin line to its own; else it has a white edge, so that it can be read.
pub fn name_limits(
    canvas: &mut Canvas,
    limits: &[Limit],
    curves: &[Vec<Point>],
    frame: &Frame,
    ruler: &Ruler,
) {
    // The lowest and the highest line of each, and its names.
    let mut groups: Vec<(f64, f64, Vec<&Limit>)> = Vec::new();
    for low in [true, false] {
        let start = groups.len();
        for limit in visible(limits, frame).filter(|limit| limit.low == low) {
            let y = sharp(frame.y(limit.value));
            match groups[start..].last_mut() {
                Some((_, highest, names)) if (*highest - y).abs() < NEAR => {
                    names.push(limit);
                    *highest = highest.min(y);
                }
                _ => groups.push((y, y, vec![limit])),
            }
        }
    }
    let lines: Vec<f64> = visible(limits, frame).map(|limit| frame.y(limit.value)).collect();
    let points: usize = curves.iter().map(Vec::len).sum();
    let mut taken: Vec<Rect> = Vec::new();
    for (lowest, highest, limits) in groups {
        let whole = named(&limits, 0.7 * frame.plot.width(), ruler);
        let broken = whole.rsplit_once(' ').map(|(names, side)| vec![names.to_string(), side.to_string()]);
        let forms: Vec<Vec<String>> = [Some(vec![whole.clone()]), broken].into_iter().flatten().collect();
        let cost = |rect: &Rect| {
            let near = rect.grown(1.0);
            let crossed = curves.iter().filter(|curve| crosses(near, curve)).count();
            let hidden = taken.iter().filter(|other| overlap(near, **other)).count();
            let struck = lines.iter().filter(|y| (rect.top + 2.0..rect.bottom - 2.0).contains(*y)).count();
            let outside = rect.top < frame.plot.top - 2.0 || rect.bottom > frame.plot.bottom + 2.0;
            3 * crossed + 60 * hidden + struck + 30 * usize::from(outside)
        };
        let placed = |form: &[String], k: usize, top: f64| {
            let width = form.iter().map(|line| ruler.width(line, LABEL)).fold(0.0, f64::max) + 4.0;
            // From the right to the left.
            let room = (frame.plot.width() - width).max(0.0);
            let left = frame.plot.right - width - room * k as f64 / (TRIES - 1) as f64;
            Rect::new((left, top), (left + width, top + height(form)))
        };
        let mut best: Option<(usize, Rect, &Vec<String>)> = None;
        for form in &forms {
            for (above, k) in [true, false].into_iter().flat_map(|above| (0..TRIES).map(move |k| (above, k)))
            {
                let rect = placed(form, k, if above { highest - height(form) } else { lowest + 1.0 });
                let cost = cost(&rect);
                if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                    best = Some((cost, rect, form));
                }
            }
        }
        let Some((mut least, mut rect, mut form)) = best else { continue };
        let middle = f64::midpoint(lowest, highest);
        let mut led = false;
        if least >= 3 && points <= MOST_POINTS {
            // Somewhere else, the nearer the better, and led to its line.
            let rows = ((frame.plot.height() / 6.0) as usize).max(1);
            let tops = (0..rows).map(|row| frame.plot.top + 2.0 + 6.0 * row as f64);
            let mut free: Vec<(f64, Rect, &Vec<String>)> = Vec::new();
            for top in tops {
                for form in &forms {
                    let rects = (0..TRIES).map(|k| placed(form, k, top));
                    free.extend(
                        rects
                            .filter(|rect| cost(rect) == 0)
                            .map(|rect| ((rect.center().1 - middle).abs(), rect, form)),
                    );
                }
            }
            if let Some((_, place, lines)) = free.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)) {
                (least, rect, form, led) = (0, place, lines, true);
            }
        }
        let right = rect.right >= frame.plot.right - 1.0;
        if led {
            let x = sharp(if right { rect.right - 8.0 } else { rect.left + 8.0 });
            let (from, to) = if rect.top > lowest { (rect.top, lowest) } else { (rect.bottom, highest) };
            canvas.line(&[(x, from), (x, to)], Stroke::new(GRAY, 0.8));
            canvas.disc((x, to), 1.8, &GRAY);
        }
        for (k, line) in form.iter().enumerate() {
            let style = TextStyle::new(LABEL, GRAY).above();
            let style = if least > 0 { style.edged() } else { style };
            let y = rect.top + LINE * (k + 1) as f64 - 1.5;
            match right {
                true => canvas.text(line, (rect.right - 2.0, y), style.ending()),
                false => canvas.text(line, (rect.left + 2.0, y), style),
            }
        }
        taken.push(rect);
    }
}

/// Height of a label of so many lines.
fn height(form: &[String]) -> f64 {
    LINE * form.len() as f64 + 2.0
}

/// `bf16, f32 underflow`; in few words where the names are wider than `room`.
fn named(limits: &[&Limit], room: f64, ruler: &Ruler) -> String {
    let side = if limits.iter().all(|limit| limit.low) { "underflow" } else { "overflow" };
    let names = limits.iter().map(|limit| limit.name.as_str()).collect::<Vec<_>>().join(", ");
    match limits.len() > 5 || ruler.width(&names, LABEL) > room {
        true => format!("number formats {side}"),
        false => format!("{names} {side}"),
    }
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_on_which_side_a_format_ends() {
        let limit = |name: &str, low| Limit { value: 0.0, name: name.into(), low };
        let (f16, bf16, f32) = (limit("f16", false), limit("bf16²", true), limit("f32²", true));
        let ruler = Ruler::new();
        assert_eq!(named(&[&f16], 300.0, &ruler), "f16 overflow");
        assert_eq!(named(&[&bf16, &f32], 300.0, &ruler), "bf16², f32² underflow");
        assert_eq!(named(&[&bf16, &f32], 30.0, &ruler), "number formats underflow");
        let many: Vec<Limit> = (0..6).map(|k| limit(&k.to_string(), true)).collect();
        assert_eq!(named(&many.iter().collect::<Vec<_>>(), 300.0, &ruler), "number formats underflow");
    }

    #[test]
    fn a_label_leaves_its_line_where_curves_are_everywhere_along_it() {
        let ruler = Ruler::new();
        let plot = Rect::new((0.0, 0.0), (300.0, 200.0));
        let frame = Frame::whole(plot, (0.0, 20.0));
        let limit = Limit { value: 10.0, name: "f16".into(), low: true };
        // A zigzag about the line leaves room far above and below it alone.
        let zigzag: Vec<Point> =
            (0..150).map(|k| (2.0 * f64::from(k), if k % 2 == 0 { 70.0 } else { 130.0 })).collect();
        let mut canvas = Canvas::new(300.0, 200.0);
        name_limits(&mut canvas, &[limit], &[zigzag], &frame, &ruler);
        let text = canvas.finish();
        let y: f64 = text.split(" y=\"").nth(1).and_then(|t| t.split('"').next()?.parse().ok()).unwrap();
        assert!(
            text.contains(">f16 underflow<") && !text.contains("paint-order") && text.contains("<circle")
        );
        assert!(!(72.0..=130.0).contains(&y), "{y}");
    }

    #[test]
    fn theory_is_a_thin_line_with_crosses() {
        let mut canvas = Canvas::new(200.0, 50.0);
        draw_theory(&mut canvas, &[(0.0, 10.0), (104.0, 10.0)], INK, 0.5);
        let text = canvas.finish();
        let shapes = text.split_once("</style>").map_or("", |both| both.1);
        assert!(!shapes.contains("dasharray"));
        assert_eq!(shapes.matches('M').count(), 1 + 1 + 2 * 4, "{shapes}");
    }
}
