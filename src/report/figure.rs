//! Figures: panels against depth, or for a network against its blocks; the maps of theory, the phase diagram, and the curves of a
//! training. Drawn as SVG; the PNG is that SVG rasterized with the same font.

mod across;
mod axis;
pub mod canvas;
mod cells;
pub mod geometry;
mod heat;
mod jacobian;
mod labels;
mod legend;
mod maps;
mod network;
mod overlay;
mod page;
mod panel;
mod path;
mod phase;
mod raster;
mod scales;
mod sections;
mod series;
mod style;
mod train;

use crate::report::outline::Outline;
use crate::report::run::size;
use crate::result::{Cell, Report};
use crate::spec::Experiment;
use crate::study::scaling::{Scaling, ScalingCell, ScalingLayer};
use canvas::Canvas;
use cells::{MOST_LINES, Maps};
use geometry::Rect;
pub use jacobian::svg as jacobian_svg;
use legend::Legend;
pub use maps::svg as theory_svg;
use page::Heading;
pub use page::{Facet, FigureOptions, Page, PanelName, TEXT_WIDTH, WIDTHS};
use panel::Panel;
pub use phase::svg as phase_svg;
pub use raster::{ChartError, png};
use sections::{Kind, Section};
use series::{
    AgainstWidth, FEW_TRIALS, Line, Measured, Shown, depth, layers, logarithmic, samples, with_judged,
};
use style::{FACTS, Grid, HEADING, INK, Ruler, Style};
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
const MARGIN: f64 = 28.0;
/// Width between the margins.
const CONTENT: f64 = WIDTH - 2.0 * MARGIN;
/// Below the last panels.
const FOOT: f64 = 10.0;

/// The figure as SVG, its font embedded.
pub fn svg(report: &Report) -> String {
    styled_svg(report, &FigureOptions::default())
}

/// The figure as a user wants it.
pub fn styled_svg(report: &Report, options: &FigureOptions) -> String {
    let grid = Grid::of(report);
    let outline = report.cells.first().and_then(Outline::with_norms);
    let page = match options.width {
        Some(centimeters) => Page::printed(centimeters),
        None if outline.is_some() => Page::printed(TEXT_WIDTH),
        None => Page::SCREEN,
    };
    let ruler = Ruler::new();
    let maps = report.cells.len() > MOST_LINES && options.facet.is_none();
    let title = title(report, &grid, outline.is_some(), page, &ruler);
    let facts = facts(report, options, outline.as_ref(), maps, page);
    let (title, facts) = match options.title.as_deref() {
        None => (title, facts),
        Some("") => (String::new(), String::new()),
        Some(given) => (given.into(), facts),
    };
    let heading = Heading::new(page, &title, &facts, &ruler);
    let panels = lettered(&options.panels);
    if maps {
        let cells: Vec<&Cell> = report.cells.iter().collect();
        let names = legend::names(&grid, &ruler, page.content());
        let maps = Maps::new(&cells, &names, &panels, page, &ruler);
        let mut canvas = page.canvas(heading.foot() + maps.height(&ruler) + FOOT);
        heading.draw(&mut canvas);
        maps.draw(&mut canvas, heading.foot(), &ruler);
        return canvas.finish();
    }
    let looks = style::looks(&grid);
    let shown: Vec<Shown> =
        report.cells.iter().zip(&looks).map(|(cell, look)| Shown { cell, look: *look }).collect();
    let sections = match &outline {
        None => of_stacks(&shown, &grid, options.facet, &panels),
        Some(outline) => of_networks(&shown, &grid, outline, options.facet, &panels),
    };
    let lines_are_roles = |outline: &Outline| match options.facet {
        Some(Facet::Role) => false,
        Some(Facet::Init) => true,
        None => shown.len() == 1 || !outline.is_one_line(),
    };
    let by_role = outline.as_ref().is_some_and(lines_are_roles);
    let legend = (!by_role).then_some(&looks);
    drawn(page, &heading, (&grid, legend.map(Vec::as_slice)), &sections, &ruler)
}

/// The panels asked for, each once, with the letters that tell them apart.
fn lettered(asked: &[PanelName]) -> Vec<(PanelName, String)> {
    let mut names: Vec<PanelName> = Vec::new();
    asked.iter().for_each(|name| {
        if !names.contains(name) {
            names.push(*name);
        }
    });
    if names.is_empty() {
        names = PanelName::ALL.to_vec();
    }
    let alone = names.len() == 1;
    let letter = |k: usize| if alone { String::new() } else { format!("{} · ", char::from(b'a' + k as u8)) };
    names.into_iter().enumerate().map(|(k, name)| (name, letter(k))).collect()
}

/// One panel of plain stacks.
fn of_stack(name: PanelName, shown: &[Shown], depth: usize) -> Panel {
    let lines: Vec<Line> = shown.iter().map(Line::whole).collect();
    let cells: Vec<&Cell> = shown.iter().map(|s| s.cell).collect();
    match Measured::of(name) {
        Some(measured) => {
            let panel = logarithmic(&lines, &cells, measured.title.into(), measured, (depth, layers(depth)));
            with_judged(panel, shown, measured, (&|layer| layer, false))
        }
        None => samples(&lines, (depth, layers(depth))),
    }
}

/// All cells in each panel, or a panel for each initializer.
fn of_stacks(
    shown: &[Shown],
    grid: &Grid,
    facet: Option<Facet>,
    panels: &[(PanelName, String)],
) -> Vec<Section> {
    let cells: Vec<&Cell> = shown.iter().map(|s| s.cell).collect();
    let depth = depth(&cells);
    if facet.is_none() {
        let panel = |(name, letter): &(PanelName, String)| {
            let panel = of_stack(*name, shown, depth);
            Panel { title: format!("{letter}{}", panel.title), ..panel }
        };
        return vec![Section::new(Kind::Panels, panels.iter().map(panel).collect())];
    }
    let section = |(name, letter): &(PanelName, String)| {
        let title = format!("{letter}{}", of_stack(*name, &shown[..shown.len().min(1)], depth).title);
        let one = |init: &String| {
            let cells: Vec<Shown> = shown.iter().copied().filter(|s| s.cell.label() == *init).collect();
            Panel { title: init.clone(), ..of_stack(*name, &cells, depth) }
        };
        Section::facets(Kind::Stacks, title, grid.inits.iter().map(one).collect())
    };
    panels.iter().map(section).collect()
}

/// A line for each role, in a panel for each cell; or a line for each cell, in a panel for each role; of a network that is one line, all
/// cells in one panel.
fn of_networks(
    shown: &[Shown],
    grid: &Grid,
    outline: &Outline,
    facet: Option<Facet>,
    panels: &[(PanelName, String)],
) -> Vec<Section> {
    let axis = || (outline.extent, network::across(outline));
    let place = |layer: usize| outline.places.get(layer - 1).map_or(outline.extent, |place| place.at);
    let of_cell = |name: PanelName, shown: &Shown| match Measured::of(name) {
        Some(measured) => {
            let lines = network::roles(shown.cell, outline);
            let panel = logarithmic(&lines, &[shown.cell], measured.title.into(), measured, axis());
            let trunk = Shown { look: Style { color: INK, dash: &[] }, ..*shown };
            let panel = with_judged(panel, &[trunk], measured, (&place, true));
            Panel { alike: false, ..panel }
        }
        None => network::samples(shown.cell, outline),
    };
    let single = shown.len() == 1;
    if single && facet != Some(Facet::Role) {
        let panel = |(name, letter): &(PanelName, String)| {
            let panel = of_cell(*name, &shown[0]);
            Panel { title: format!("{letter}{}", panel.title), ..panel }
        };
        return vec![Section::new(Kind::Roles, panels.iter().map(panel).collect())];
    }
    let cells: Vec<&Cell> = shown.iter().map(|s| s.cell).collect();
    if facet.is_none() && outline.is_one_line() {
        let panel = |(name, letter): &(PanelName, String)| {
            let lines = network::whole(shown, outline);
            let panel = match Measured::of(*name) {
                Some(measured) => {
                    let panel = logarithmic(&lines, &cells, measured.title.into(), measured, axis());
                    with_judged(panel, shown, measured, (&place, false))
                }
                None => samples(&lines, axis()),
            };
            Panel { title: format!("{letter}{}", panel.title), ..panel }
        };
        return vec![Section::new(Kind::Panels, panels.iter().map(panel).collect())];
    }
    let cell_name = |cell: &Cell| match (grid.inits.len(), grid.acts.len()) {
        (_, 1) => cell.label(),
        (1, _) => cell.act.clone(),
        _ => format!("{} × {}", cell.label(), cell.act),
    };
    let section = |(name, letter): &(PanelName, String)| {
        let measured = Measured::of(*name);
        if facet != Some(Facet::Role) {
            let one = |shown: &Shown| {
                let mut panel = of_cell(*name, shown);
                panel.series.iter_mut().for_each(|s| s.label = short(&s.label));
                Panel { title: cell_name(shown.cell), ..panel }
            };
            let panels: Vec<Panel> = shown.iter().map(one).collect();
            let title = measured.map_or_else(|| network::SAMPLES.to_string(), |m| m.title.into());
            return Section::facets(Kind::Roles, format!("{letter}{title}"), panels);
        }
        let one = |role: usize| {
            let lines = network::role(shown, outline, role);
            let panel = match measured {
                Some(measured) => logarithmic(&lines, &cells, String::new(), measured, axis()),
                None => samples(&lines, axis()),
            };
            Panel { title: short(&outline.roles[role].name), limits: Vec::new(), ..panel }
        };
        // One layer is no line.
        let many = |role: &usize| outline.count(*role) > 1 || outline.roles.len() == 1;
        let panels: Vec<Panel> = (0..outline.roles.len()).filter(many).map(one).collect();
        let title = measured.map_or_else(
            || "Lines: mean cosine of samples; circles: dead or saturated units".to_string(),
            |m| m.title.into(),
        );
        Section::facets(Kind::Cells, format!("{letter}{title}"), panels)
    };
    panels.iter().map(section).collect()
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
    let (page, ruler) = (Page::SCREEN, Ruler::new());
    let facts = joined(&with_repeats(&grid, scaling_facts(scaling)));
    let heading = Heading::new(page, &cells_of(&grid, page, &ruler), &facts, &ruler);
    drawn(page, &heading, (&grid, Some(&looks)), &[Section::new(Kind::Panels, panels)], &ruler)
}

/// Heading, legend and panels.
fn drawn(
    page: Page,
    heading: &Heading,
    (grid, looks): (&Grid, Option<&[Style]>),
    sections: &[Section],
    ruler: &Ruler,
) -> String {
    let legend = looks.map(|looks| (Legend::on(page, heading.foot() + 16.0, grid, ruler), looks));
    let top = legend.as_ref().map_or(heading.foot(), |(legend, _)| legend.foot());
    let placed: Vec<(f64, sections::Layout)> = sections
        .iter()
        .scan(top, |y, section| {
            let layout = section.layout(page, ruler);
            let at = *y;
            *y += layout.height();
            Some((at, layout))
        })
        .collect();
    let foot = placed.last().map_or(top, |(at, layout)| at + layout.height());
    let mut canvas = page.canvas(foot + FOOT);
    heading.draw(&mut canvas);
    if let Some((legend, looks)) = &legend {
        legend.draw(&mut canvas, looks);
    }
    for (section, (at, layout)) in sections.iter().zip(&placed) {
        section.draw(&mut canvas, layout, *at, ruler);
    }
    canvas.finish()
}

/// Equal areas between the margins, row by row.
fn panels(top: f64, bottom: f64, rows: usize, columns: usize) -> Vec<Rect> {
    Rect::new((MARGIN, top), (WIDTH - MARGIN, bottom)).grid(rows, columns)
}

/// The name of a role where small multiples have less room.
fn short(role: &str) -> String {
    role.replace("attention output", "attn out").replace("gradient × signal", "grad × sig")
}

/// What a run was, for its heading; a path is cut where it is drawn.
fn facts(
    report: &Report,
    options: &FigureOptions,
    outline: Option<&Outline>,
    maps: bool,
    page: Page,
) -> String {
    let spec = &report.spec;
    let mut facts = size(spec).to_vec();
    if outline.is_some() && options.title.is_none() {
        // The network's name is in the title.
        facts.remove(0);
    }
    facts.extend(common(spec, page));
    if report.interrupted {
        facts.push("interrupted".into());
    }
    if maps {
        let where_to = if outline.is_some() { " along the trunk, of weights at every layer" } else { "" };
        facts.push(format!(" — median{where_to}; gray: exactly 0"));
        return joined(&facts);
    }
    let by_role = options.facet != Some(Facet::Role);
    let is_branch = |name: &str| !matches!(name, "head" | "embedding");
    let branches = |outline: &Outline| outline.roles.iter().any(|role| !role.trunk && is_branch(&role.name));
    let trunk = |outline: &Outline| outline.roles.iter().any(|role| role.trunk);
    let thick = outline.is_some_and(|outline| by_role && trunk(outline) && branches(outline));
    // Short: a long path must leave room for it.
    let band = match spec.trials {
        1 => "",
        2..=FEW_TRIALS => ", band: least to most",
        _ => ", 5–95 % band",
    };
    let known = report.cells.iter().any(|c| c.layers.iter().any(|l| l.theory.is_some()));
    let theory = if known { "; theory: thin line with crosses, and its band" } else { "" };
    let trunk = if thick { "; thick: what every signal passes" } else { "" };
    if known || thick || spec.trials > 1 {
        facts.push(format!(" — median{band}{theory}{trunk}"));
    }
    joined(&with_repeats(&Grid::of(report), facts))
}

/// Facts, and behind them remarks that begin with a dash.
fn joined(facts: &[String]) -> String {
    let (remarks, facts): (Vec<&str>, Vec<&str>) =
        facts.iter().map(String::as_str).partition(|fact| fact.starts_with(" —"));
    facts.join(" · ") + &remarks.concat()
}

fn with_repeats(grid: &Grid, mut facts: Vec<String>) -> Vec<String> {
    if grid.cells.len() > style::LOOKS {
        facts.push(format!("looks repeat after {} lines", style::LOOKS));
    }
    facts
}

fn scaling_facts(scaling: &Scaling) -> Vec<String> {
    let spec = &scaling.spec.experiment;
    let mut facts =
        vec![format!("depth {}", spec.depth), format!("input width {}", scaling.spec.input_width)];
    facts.extend(common(spec, Page::SCREEN));
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

fn common(spec: &Experiment, page: Page) -> Vec<String> {
    let ruler = Ruler::new();
    // A path's end says more than its beginning, but neither may push out the rest.
    let fact =
        |name: &str, text: &str| format!("{name} {}", ruler.fitting(text, FACTS.size, 0.25 * page.content()));
    let mut facts = vec![
        format!("batch {}", spec.batch),
        format!("{} trial{}", spec.trials, if spec.trials == 1 { "" } else { "s" }),
        fact("input", &spec.input_in_words()),
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

/// The title of a run's figure.
fn title(report: &Report, grid: &Grid, network: bool, page: Page, ruler: &Ruler) -> String {
    let cells = cells_of(grid, page, ruler);
    let [name, _] = size(&report.spec);
    if network { format!("{name}: {cells}") } else { cells }
}

/// The cells of a grid in few words.
fn cells_of(grid: &Grid, page: Page, ruler: &Ruler) -> String {
    let list = |names: &[String], many: &str| {
        let joined = names.join(", ");
        if names.len() == 1 || (names.len() <= 5 && ruler.width(&joined, HEADING.size) < 0.5 * page.content())
        {
            joined
        } else {
            format!("{} {many}", names.len())
        }
    };
    format!("{} × {}", list(&grid.inits, "initializers"), list(grid.acts, "activations"))
}

/// A title, and facts below it; those that begin with a dash are remarks at its end.
fn titled(canvas: &mut Canvas, title: &str, facts: &[String], ruler: &Ruler) {
    Heading::new(Page::SCREEN, title, &joined(facts), ruler).draw(canvas);
}
