//! Figures of a training: cost and accuracy along the way, and how the layers' variances move.

use super::axis::{Axis, whole_ticks};
use super::canvas::{Canvas, Stroke};
use super::geometry::{Point, Rect};
use super::legend::{self, FIRST, GAP, INDENT, Legend, SAMPLE};
use super::scales::{below, levels, remark, title};
use super::series::runs;
use super::style::{self, COLORS, ENTRY, Grid, Ruler, Style, TICK};
use super::{FOOT, MARGIN, WIDTH, panels, titled};
use crate::report::train::{beside_init, facts, names, percent};
use crate::study::train::outcome::{Epoch, LayerSnapshot, Spread, Trained, TrainedCell, TrainedRun};
use plotters::style::colors::colormaps::{ColorMap, DerivedColorMap};
use plotters::style::{Color, RGBColor};

/// Height of the panels of curves.
const CURVES: f64 = 430.0;
/// Height of a row of layers.
const ROW: f64 = 260.0;
/// Cells whose layers are drawn at most.
const MOST_ROWS: usize = 8;

/// A line with the range over seeds.
struct Curve {
    look: Style,
    /// x, and median.
    line: Vec<(f64, Option<f64>)>,
    /// x, least and most.
    band: Vec<(f64, Option<(f64, f64)>)>,
    /// A dot at each point.
    dotted: bool,
}

/// Some curves over the same axes.
struct Plot<'a> {
    title: String,
    across: &'a str,
    x: (f64, f64),
    ticks: Vec<(f64, String)>,
    axis: Axis,
    curves: Vec<Curve>,
    /// Said in the corner.
    note: String,
}

impl Plot<'_> {
    fn draw(&self, canvas: &mut Canvas, area: Rect) {
        let plot = Rect::new((area.left + 84.0, area.top + 40.0), (area.right - 20.0, area.bottom - 58.0));
        let x = |v: f64| plot.left + (v - self.x.0) / (self.x.1 - self.x.0).max(1e-300) * plot.width();
        let (low, high) = self.axis.range;
        let y = |v: f64| plot.bottom - (v - low) / (high - low) * plot.height();
        title(canvas, area, plot, &self.title);
        let ticks = self.axis.ticks.iter().map(|(value, label)| (y(*value), label.as_str()));
        levels(canvas, plot, ticks.filter(|(y, _)| (plot.top - 1.0..=plot.bottom + 1.0).contains(y)));
        if self.axis.ticks.is_empty() {
            remark(canvas, plot, "nothing to draw");
        }
        below(canvas, plot, self.ticks.iter().map(|(value, label)| (x(*value), label.as_str())), self.across);
        canvas.text(&self.note, (plot.right, area.top + 10.0), TICK.ending());
        canvas.clipped(plot.grown(4.0), |canvas| {
            for curve in &self.curves {
                for run in runs(&curve.band) {
                    let upper = run.iter().map(|(at, ends)| (x(*at), y(ends.1)));
                    let lower = run.iter().rev().map(|(at, ends)| (x(*at), y(ends.0)));
                    let outline: Vec<Point> = upper.chain(lower).collect();
                    canvas.area(&outline, &curve.look.color.mix(0.16));
                }
            }
            for curve in &self.curves {
                for run in runs(&curve.line) {
                    let points: Vec<Point> = run.iter().map(|(at, v)| (x(*at), y(*v))).collect();
                    canvas.line(&points, curve.look.stroke(2.0));
                    if curve.dotted || points.len() == 1 {
                        points.iter().for_each(|point| canvas.disc(*point, 4.0, &curve.look.color));
                    }
                }
            }
        });
    }
}

/// The runs of a cell as one curve; `of` gives a run's points.
fn curve(
    cell: &TrainedCell,
    look: Style,
    dotted: bool,
    of: impl Fn(&TrainedRun) -> Vec<(f64, Option<f64>)>,
) -> Curve {
    let all: Vec<Vec<(f64, Option<f64>)>> = cell.runs.iter().map(of).collect();
    let longest = all.iter().max_by_key(|points| points.len()).cloned().unwrap_or_default();
    let at = |(k, (x, _)): (usize, &(f64, Option<f64>))| {
        let values = all.iter().filter_map(|points| points.get(k).and_then(|p| p.1)).collect();
        (*x, Spread::of(values))
    };
    let points: Vec<_> = longest.iter().enumerate().map(at).collect();
    Curve {
        look,
        line: points.iter().map(|(x, s)| (*x, s.map(|s| s.median))).collect(),
        band: points.iter().map(|(x, s)| (*x, s.map(|s| (s.least, s.most)))).collect(),
        dotted,
    }
}

/// Cost and accuracy.
pub fn curves(trained: &Trained) -> String {
    let beside = beside_init(trained);
    let mut rests: Vec<String> = Vec::new();
    beside.iter().filter(|rest| !rest.is_empty()).for_each(|rest| {
        if !rests.contains(rest) {
            rests.push(rest.clone());
        }
    });
    if rests.is_empty() {
        rests.push(String::new());
    }
    let cells = trained.cells.iter().zip(&beside).map(|(cell, rest)| (cell.init.clone(), rest.as_str()));
    let grid = Grid::new(cells.collect(), &rests);
    let looks = style::looks(&grid);
    let epochs = trained.spec.epochs as f64;
    let per_epoch = trained.steps_per_epoch.max(1) as f64;
    let cells = || trained.cells.iter().zip(&looks);
    let log = |v: f64| (v > 0.0).then(|| v.log10());
    let loss = |run: &TrainedRun| {
        run.points.iter().map(|p| (p.step as f64 / per_epoch, log(p.loss))).collect::<Vec<_>>()
    };
    let costs: Vec<Curve> = cells().map(|(cell, look)| curve(cell, *look, false, loss)).collect();
    // All right is half a sample wrong.
    let least = 0.5 / trained.spec.data.test.max(1) as f64;
    let accuracy = |run: &TrainedRun| {
        let point = |e: &Epoch| (e.epoch as f64, Some(-(1.0 - e.test_accuracy).max(least).log10()));
        run.epochs.iter().map(point).collect::<Vec<_>>()
    };
    let hits: Vec<Curve> = cells().map(|(cell, look)| curve(cell, *look, epochs <= 30.0, accuracy)).collect();
    let values = |curves: &[Curve]| -> Vec<f64> {
        curves.iter().flat_map(|c| c.band.iter().filter_map(|p| p.1).flat_map(|b| [b.0, b.1])).collect()
    };
    let of_costs = Axis::decades(values(&costs).into_iter());
    let ticks = epoch_ticks(trained.spec.epochs);
    let kind = match trained.spec.loss {
        crate::study::train::Objective::CrossEntropy => "cross-entropy",
        crate::study::train::Objective::Mse => "mean squared error",
    };
    let plots = [
        Plot {
            title: format!("a · Training {kind}"),
            across: "epoch",
            x: (0.0, epochs),
            ticks: ticks.clone(),
            axis: of_costs,
            curves: costs,
            note: String::new(),
        },
        Plot {
            title: "b · Accuracy on the test samples, by the log of the error".into(),
            across: "epoch",
            x: (0.0, epochs),
            ticks,
            axis: accuracies(&values(&hits)),
            curves: hits,
            note: String::new(),
        },
    ];
    let many = trained.spec.seeds > 1;
    let mut facts = about(trained);
    facts.extend(trained.interrupted.then(|| "interrupted".to_string()));
    facts.extend(many.then(|| " — median, band: least to most over seeds".to_string()));
    let ruler = Ruler::new();
    let legend = Legend::new(&grid, &ruler);
    let height = legend.foot() + CURVES;
    let mut canvas = Canvas::new(WIDTH, height);
    titled(&mut canvas, &subject(trained), &facts, &ruler);
    legend.draw(&mut canvas, &looks);
    for (area, plot) in panels(legend.foot(), height - FOOT, 1, 2).into_iter().zip(&plots) {
        plot.draw(&mut canvas, area);
    }
    canvas.finish()
}

/// The facts without what stands in the title.
fn about(trained: &Trained) -> Vec<String> {
    let data = &trained.spec.data;
    let mut facts = facts(trained);
    facts.splice(..2, [format!("{} training, {} test samples", data.train, data.test)]);
    facts
}

fn subject(trained: &Trained) -> String {
    let net = trained.spec.net.name.as_deref().unwrap_or("network");
    let name =
        trained.spec.data.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_string();
    format!("{net} on {name}")
}

fn epoch_ticks(epochs: usize) -> Vec<(f64, String)> {
    whole_ticks(epochs, 11).into_iter().map(|k| (k as f64, k.to_string())).collect()
}

/// Over −log₁₀ of errors: from a little below the least to a little above the largest, with round accuracies as ticks.
fn accuracies(values: &[f64]) -> Axis {
    let Some(Spread { least, most, .. }) = Spread::of(values.to_vec()) else {
        return Axis { range: (0.0, 1.0), ticks: Vec::new() };
    };
    let room = (0.08 * (most - least)).max(0.02);
    let range = (least - room, most + room);
    let inside = |errors: &[f64]| -> Vec<(f64, String)> {
        let ticks = errors.iter().map(|error| (-(error / 100.0).log10(), percent(1.0 - error / 100.0)));
        ticks.filter(|tick| (range.0..=range.1).contains(&tick.0)).collect()
    };
    let coarse = [100.0, 90.0, 80.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];
    let mut ticks = inside(&coarse);
    if ticks.len() < 3 {
        let fine: Vec<f64> = (1..100).map(f64::from).chain((1..100).map(|k| f64::from(k) / 100.0)).collect();
        ticks = inside(&fine);
        let step = ticks.len().div_ceil(6).max(1);
        ticks = ticks.into_iter().step_by(step).collect();
    }
    // From the best down, none upon another.
    let mut last = f64::INFINITY;
    ticks.sort_by(|a, b| b.0.total_cmp(&a.0));
    ticks.retain(|(value, _)| {
        let apart = last - value > 0.045 * (range.1 - range.0);
        last = if apart { *value } else { last };
        apart
    });
    Axis { range, ticks }
}

/// How the layers' variances move: a row a cell, activations on the left and gradients on the right.
pub fn looks(trained: &Trained) -> String {
    let names = names(trained);
    let shown: Vec<(&TrainedCell, &String)> = trained
        .cells
        .iter()
        .zip(&names)
        .filter(|(cell, _)| cell.runs.iter().any(|run| !run.snapshots.is_empty()))
        .take(MOST_ROWS)
        .collect();
    let paths = shown.first().map_or(&[][..], |(cell, _)| cell.layers.as_slice());
    let colors = ramp(paths.len());
    let rows: Vec<[Plot; 2]> = shown
        .iter()
        .map(|(cell, name)| {
            [("activation H", 0), ("gradient ∂C/∂Z", 1)].map(|(quantity, which)| {
                let of = |layer: &LayerSnapshot| if which == 0 { layer.activation } else { layer.gradient };
                moving(
                    cell,
                    &colors,
                    &of,
                    format!("{name} · {} of the {quantity}", ["variance", "mean square"][which]),
                )
            })
        })
        .collect();
    let ruler = Ruler::new();
    let legend = layer_legend(paths, &colors, &ruler);
    let head = legend.iter().map(|entry| entry.1.1).fold(FIRST, f64::max) + legend::ROW - 4.0;
    let height = head + ROW * rows.len() as f64;
    let mut canvas = Canvas::new(WIDTH, height);
    let title = format!("Layers during training: {}", subject(trained));
    let mut about = about(trained);
    let left = trained.cells.len() - shown.len();
    about.extend((left > 0).then(|| format!("{left} more cells are in train-layers.csv")));
    titled(&mut canvas, &title, &about, &ruler);
    for (name, (x, y), color) in &legend {
        canvas.line(&[(*x, *y), (x + SAMPLE, *y)], Stroke::new(*color, 3.0));
        canvas.text(name, (x + INDENT, *y), ENTRY);
    }
    let areas = panels(head, height - FOOT, rows.len().max(1), 2);
    for (area, plot) in areas.into_iter().zip(rows.iter().flatten()) {
        plot.draw(&mut canvas, area);
    }
    canvas.finish()
}

/// The median over seeds of every layer at each look.
fn moving<'a>(
    cell: &TrainedCell,
    colors: &[RGBColor],
    of: &dyn Fn(&LayerSnapshot) -> Option<f64>,
    title: String,
) -> Plot<'a> {
    let longest = cell.runs.iter().max_by_key(|run| run.snapshots.len());
    let steps: Vec<u64> = longest.map_or(Vec::new(), |run| run.snapshots.iter().map(|l| l.step).collect());
    let one = |(layer, color): (usize, &RGBColor)| {
        let at = |k: usize| {
            let value =
                |run: &TrainedRun| run.snapshots.get(k).and_then(|l| l.layers.get(layer)).and_then(of);
            Spread::of(cell.runs.iter().filter_map(value).collect()).map(|s| s.median)
        };
        Curve {
            look: Style { color: *color, dash: &[] },
            line: (0..steps.len()).map(|k| (k as f64, at(k))).collect(),
            band: Vec::new(),
            dotted: true,
        }
    };
    let curves: Vec<Curve> = colors.iter().enumerate().map(one).collect();
    let values = curves.iter().flat_map(|c| c.line.iter().filter_map(|p| p.1));
    let axis = Axis::decades(values);
    let silent: Vec<&str> = curves
        .iter()
        .zip(&cell.layers)
        .filter(|(curve, _)| curve.line.iter().all(|point| point.1.is_none()))
        .map(|(_, path)| path.as_str())
        .collect();
    let note = match silent[..] {
        [] => String::new(),
        [only] => format!("{only} exactly 0"),
        _ => format!("{} layers exactly 0", silent.len()),
    };
    Plot {
        title,
        across: "steps taken",
        x: (-0.15, steps.len().max(2) as f64 - 0.85),
        ticks: steps.iter().enumerate().map(|(k, step)| (k as f64, step.to_string())).collect(),
        axis,
        curves,
        note,
    }
}

/// A color for each layer: the palette while it lasts, else from light to dark.
fn ramp(layers: usize) -> Vec<RGBColor> {
    if layers <= COLORS.len() {
        return COLORS[..layers].to_vec();
    }
    let map = DerivedColorMap::new(&[RGBColor(86, 180, 233), RGBColor(40, 10, 60)]);
    (0..layers).map(|k| map.get_color(k as f64 / (layers - 1) as f64)).collect()
}

/// Name, place and color; first and last of a ramp.
fn layer_legend(paths: &[String], colors: &[RGBColor], ruler: &Ruler) -> Vec<(String, Point, RGBColor)> {
    let all: Vec<(String, RGBColor)> = paths.iter().cloned().zip(colors.iter().copied()).collect();
    let chosen = match all.as_slice() {
        [first, .., last] if all.len() > COLORS.len() => {
            vec![(format!("{} (first layer)", first.0), first.1), (format!("{} (last)", last.0), last.1)]
        }
        _ => all,
    };
    let (mut x, mut y) = (MARGIN, FIRST);
    let mut placed = Vec::new();
    for (name, color) in chosen {
        let name = ruler.fitting(&ruler.shown(&name), ENTRY.size, 400.0);
        let width = INDENT + ruler.width(&name, ENTRY.size).ceil() + GAP;
        if x + width > WIDTH - MARGIN && x > MARGIN {
            (x, y) = (MARGIN, y + legend::ROW);
        }
        placed.push((name, (x, y), color));
        x += width;
    }
    placed
}
