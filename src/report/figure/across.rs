//! The horizontal axis of a panel: labelled places, blocks with their edges, and stages.

use super::canvas::{Canvas, Stroke};
use super::geometry::{Point, Rect};
use super::scales::sharp;
use super::style::{GRAY, LINE, Ruler, TICK};

/// From the axis to the text below it.
const DROP: f64 = 9.0;
/// Two texts side by side are as far apart.
const APART: f64 = 7.0;
/// A text reaches as far beyond the ends of the axis.
const OVERHANG: f64 = 9.0;
/// Two upright texts are as far apart, from middle to middle.
const UPRIGHT: f64 = 14.0;
/// Most length of an upright text.
const LONGEST: f64 = 96.0;
/// Height of a row of text.
const ROW: f64 = 17.0;

/// A labelled place.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Middle of the text, from 1 to the extent.
    pub at: f64,
    pub text: String,
    /// A count, of which those that are not round may be left out.
    pub number: Option<usize>,
    /// Where its block begins and ends; `None` of a place alone.
    pub block: Option<(f64, f64)>,
}

/// What a panel's horizontal axis shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Across {
    pub name: String,
    pub ticks: Vec<Tick>,
    /// Stretches with a name, in a row of their own.
    pub stages: Vec<(f64, f64, String)>,
    /// The ends of the axis.
    pub reach: (f64, f64),
}

/// The labels that there is room for.
struct Chosen<'a> {
    ticks: Vec<&'a Tick>,
    /// Texts read upward.
    upright: bool,
}

impl Across {
    /// An axis with a mark at each label.
    pub fn marks(name: &str, ticks: Vec<(f64, String)>, extent: f64) -> Self {
        let tick = |(at, text): (f64, String)| Tick { at, number: text.parse().ok(), text, block: None };
        Self {
            name: name.into(),
            ticks: ticks.into_iter().map(tick).collect(),
            stages: Vec::new(),
            reach: (1.0, extent),
        }
    }

    /// Where a text begins and ends: about its place, but not far beyond the ends of the axis, where the next panel is.
    fn ends(&self, tick: &Tick, place: &dyn Fn(f64) -> f64, ruler: &Ruler) -> (f64, f64) {
        let half = 0.5 * ruler.width(&tick.text, TICK.size);
        let (low, high) = (place(self.reach.0) - OVERHANG + half, place(self.reach.1) + OVERHANG - half);
        let middle = if low < high { place(tick.at).clamp(low, high) } else { place(tick.at) };
        (middle - half, middle + half)
    }

    /// All labels where they fit. Of those that count, every second, fifth and so on, with the names at both ends and as many of the names
    /// between as have room; names alone stand upright where they would be too wide.
    fn chosen(&self, place: &dyn Fn(f64) -> f64, ruler: &Ruler) -> Chosen<'_> {
        const STEPS: [usize; 13] = [1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
        let ends = |tick: &Tick| self.ends(tick, place, ruler);
        let apart = |a: &Tick, b: &Tick| {
            let (a, b) = if a.at <= b.at { (ends(a), ends(b)) } else { (ends(b), ends(a)) };
            a.1 + APART <= b.0
        };
        let fits = |ticks: &[&Tick]| ticks.windows(2).all(|two| apart(two[0], two[1]));
        let all: Vec<&Tick> = self.ticks.iter().collect();
        if fits(&all) {
            return Chosen { ticks: all, upright: false };
        }
        let counts = || all.iter().copied().filter(|tick| tick.number.is_some());
        if counts().next().is_none() {
            let far = |a: &Tick, b: &Tick| place(b.at) - place(a.at) >= UPRIGHT;
            return Chosen { ticks: thinned(&all, &far), upright: true };
        }
        let free = |kept: &[&Tick], tick: &Tick| kept.iter().all(|other| apart(other, tick));
        let mut names: Vec<&Tick> = Vec::new();
        for end in [all.first(), all.last()].into_iter().flatten().filter(|tick| tick.number.is_none()) {
            if free(&names, end) {
                names.push(end);
            }
        }
        let round = |step: usize| -> Vec<&Tick> {
            counts().filter(|tick| tick.number.is_some_and(|n| n.is_multiple_of(step))).collect()
        };
        // Names at the ends may cover a count or two, but not more: else the counts say more.
        let between = STEPS.into_iter().map(round).filter(|ticks| fits(ticks)).find_map(|ticks| {
            let kept: Vec<&Tick> = ticks.iter().copied().filter(|tick| free(&names, tick)).collect();
            (ticks.len() - kept.len() <= 2 && kept.len() > 1).then_some(kept)
        });
        let mut kept = match between {
            Some(counts) => names.into_iter().chain(counts).collect::<Vec<_>>(),
            None => STEPS.into_iter().map(round).find(|ticks| fits(ticks)).unwrap_or_default(),
        };
        let first = counts().find(|tick| tick.number == Some(1));
        let names = all.iter().copied().filter(|tick| tick.number.is_none());
        for tick in first.into_iter().chain(names) {
            if free(&kept, tick) {
                kept.push(tick);
            }
        }
        kept.sort_by(|a, b| a.at.total_cmp(&b.at));
        Chosen { ticks: kept, upright: false }
    }

    /// A row of marks without texts, where the panel below has them.
    pub fn draw_marks(&self, canvas: &mut Canvas, plot: Rect, place: &dyn Fn(f64) -> f64, ruler: &Ruler) {
        self.lines(canvas, plot, place, &self.chosen(place, ruler));
    }

    /// Height that it takes below a plot from `left` to `right` where places are put by `place`.
    pub fn height(&self, place: &dyn Fn(f64) -> f64, ruler: &Ruler) -> f64 {
        let chosen = self.chosen(place, ruler);
        let texts = match chosen.upright {
            true => {
                chosen.ticks.iter().map(|t| ruler.width(&t.text, TICK.size)).fold(0.0, f64::max).min(LONGEST)
                    + 8.0
            }
            false => ROW,
        };
        let stages = if self.stages.is_empty() { 0.0 } else { ROW + 4.0 };
        DROP + texts + stages + if self.name.is_empty() { 2.0 } else { ROW + 2.0 }
    }

    /// Draws it below the plot.
    pub fn draw(&self, canvas: &mut Canvas, plot: Rect, place: &dyn Fn(f64) -> f64, ruler: &Ruler) {
        let chosen = self.chosen(place, ruler);
        self.lines(canvas, plot, place, &chosen);
        let foot = sharp(plot.bottom);
        let mut y = foot + DROP;
        for tick in &chosen.ticks {
            if chosen.upright {
                let text = ruler.fitting(&tick.text, TICK.size, LONGEST);
                canvas.text(&text, (place(tick.at), y - 1.0), TICK.ending().level().upward());
            } else {
                let (start, end) = self.ends(tick, place, ruler);
                canvas.text(&tick.text, (f64::midpoint(start, end), y), TICK.centered());
            }
        }
        y += match chosen.upright {
            true => {
                chosen.ticks.iter().map(|t| ruler.width(&t.text, TICK.size)).fold(0.0, f64::max).min(LONGEST)
                    + 8.0
            }
            false => ROW,
        };
        if !self.stages.is_empty() {
            self.spans(canvas, y, place, ruler);
            y += ROW + 4.0;
        }
        let name = match self.stages.is_empty() || self.named_stages(place, ruler) {
            true => self.name.clone(),
            false => format!("{}, and stage below", self.name),
        };
        canvas.text(&name, (plot.center().0, y + 3.0), TICK.centered());
    }

    /// The line of the axis with its marks.
    fn lines(&self, canvas: &mut Canvas, plot: Rect, place: &dyn Fn(f64) -> f64, chosen: &Chosen) {
        let foot = sharp(plot.bottom);
        let mut lines: Vec<[Point; 2]> = vec![[(plot.left, foot), (plot.right, foot)]];
        let mut mark = |x: f64, length: f64| {
            let x = sharp(x.clamp(plot.left, plot.right));
            if lines.last().is_none_or(|line| line[0].0 < x) || lines.len() == 1 {
                lines.push([(x, foot), (x, foot + length)]);
            }
        };
        let edges = self.ticks.iter().filter(|tick| tick.block.is_some());
        let close = 3.0 * self.ticks.len() as f64 > plot.width();
        for (start, end) in edges.filter(|_| !close).filter_map(|tick| tick.block) {
            mark(place(start), 5.0);
            mark(place(end), 5.0);
        }
        for tick in &chosen.ticks {
            if tick.block.is_none() || close {
                mark(place(tick.at), 5.0);
            }
        }
        canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(GRAY, 1.0));
    }

    /// Every stage has room for its name.
    fn named_stages(&self, place: &dyn Fn(f64) -> f64, ruler: &Ruler) -> bool {
        let room = |(from, to, _): &(f64, f64, String)| place(*to) - place(*from);
        self.stages.iter().all(|s| ruler.width(&s.2, TICK.size) + 1.0 <= room(s))
    }

    /// A line below each stage with its name, or its number alone where that is wider.
    fn spans(&self, canvas: &mut Canvas, y: f64, place: &dyn Fn(f64) -> f64, ruler: &Ruler) {
        let fits = self.named_stages(place, ruler);
        for stage in &self.stages {
            let ends = [(place(stage.0) + 1.5, sharp(y)), (place(stage.1) - 1.5, sharp(y))];
            canvas.line(&ends, Stroke::new(GRAY, 1.0));
            let number = stage.2.rsplit(' ').next().unwrap_or_default();
            let text = if fits { &stage.2 } else { number };
            canvas.text(text, (f64::midpoint(ends[0].0, ends[1].0), y + 4.0), TICK.centered());
        }
    }

    /// Thin lines where a stage ends, over the height of the plot.
    pub fn edges(&self, canvas: &mut Canvas, plot: Rect, place: &dyn Fn(f64) -> f64) {
        let mut places: Vec<f64> = self.stages.iter().flat_map(|s| [place(s.0), place(s.1)]).collect();
        places.dedup_by(|a, b| (*a - *b).abs() < 1.0);
        let line = |x: f64| [(sharp(x), plot.top), (sharp(x), plot.bottom)];
        let lines: Vec<[Point; 2]> =
            places.into_iter().filter(|x| plot.left < *x && *x < plot.right).map(line).collect();
        canvas.lines(lines.iter().map(<[_; 2]>::as_slice), Stroke::new(LINE, 1.0));
    }
}

/// The first, the last, and those between that keep apart.
fn thinned<'t>(ticks: &[&'t Tick], apart: &dyn Fn(&Tick, &Tick) -> bool) -> Vec<&'t Tick> {
    let Some((last, rest)) = ticks.split_last() else { return Vec::new() };
    let mut kept: Vec<&Tick> = Vec::new();
    for tick in rest {
        if kept.last().is_none_or(|before| apart(before, tick)) && apart(tick, last) {
            kept.push(tick);
        }
    }
    kept.push(last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(count: usize) -> Across {
        let end = |at: f64, text: &str| Tick { at, text: text.into(), number: None, block: None };
        let block = |k: usize| Tick {
            at: k as f64 + 1.0,
            text: k.to_string(),
            number: Some(k),
            block: Some((k as f64 + 0.5, k as f64 + 1.5)),
        };
        let mut ticks = vec![end(1.0, "embedding")];
        ticks.extend((1..=count).map(block));
        ticks.push(end(count as f64 + 2.0, "head"));
        Across { name: "block".into(), ticks, stages: Vec::new(), reach: (1.0, count as f64 + 2.0) }
    }

    fn texts(across: &Across, width: f64) -> Vec<String> {
        let extent = across.ticks.len() as f64;
        let place = |at: f64| (at - 1.0) / (extent - 1.0) * width;
        let chosen = across.chosen(&place, &Ruler::new());
        chosen.ticks.iter().map(|tick| tick.text.clone()).collect()
    }

    #[test]
    fn counts_are_thinned_to_round_numbers_between_names() {
        let wide = texts(&blocks(12), 900.0);
        assert_eq!(wide.len(), 14);
        let narrow = texts(&blocks(32), 240.0);
        assert!(narrow.first().unwrap() == "embedding" && narrow.last().unwrap() == "head", "{narrow:?}");
        assert!((4..14).contains(&narrow.len()), "{narrow:?}");
        let inner: Vec<usize> =
            narrow[1..narrow.len() - 1].iter().map(|text| text.parse().unwrap()).collect();
        let round = inner.iter().filter(|n| **n > 1).all(|n| n.is_multiple_of(5));
        assert!(round, "{narrow:?}");
    }

    #[test]
    fn names_that_do_not_fit_side_by_side_stand_upright() {
        let names = ["down1", "down2", "down3", "down4", "middle", "up4", "up3", "up2", "up1", "head"];
        let ticks = names.iter().enumerate().map(|(k, name)| ((k + 1) as f64, (*name).to_string())).collect();
        let across = Across::marks("layer", ticks, names.len() as f64);
        let ruler = Ruler::new();
        let narrow = |at: f64| 20.0 * at;
        let chosen = across.chosen(&narrow, &ruler);
        assert!(chosen.upright && chosen.ticks.len() == names.len());
        assert!(!across.chosen(&|at: f64| 90.0 * at, &ruler).upright);
        assert!(across.height(&narrow, &ruler) > across.height(&|at: f64| 90.0 * at, &ruler));
    }
}
