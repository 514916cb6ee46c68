//! `initdiag catalog`: what there is, what each draws, and what that comes to when drawn.

use super::error::Failure;
use super::nets;
use super::number;
use super::output::{self, When};
use crate::activation::{self, Activation};
use crate::initializer::{self, Group, Initializer, Site, nearest_proper};
use crate::law::short;
use crate::numeric::product::Threads;
use crate::numeric::stream::Key;
use crate::report::terminal::wrap::{shown, wrap};
use crate::report::terminal::{BOLD, DIM, padded};
use crate::weights::Dense;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

/// Options of `catalog`.
#[derive(Args)]
pub struct Arguments {
    /// Only the initializers, the activations, or the networks
    what: Option<What>,
    /// Fan-in of the layer that laws are shown for
    #[arg(long, value_name = "N", default_value = "512", value_parser = number::whole::<usize>(number::COUNT))]
    fan_in: usize,
    /// Fan-out of that layer
    #[arg(long, value_name = "N", default_value = "512", value_parser = number::whole::<usize>(number::COUNT))]
    fan_out: usize,
    /// The activation that follows it, for laws that depend on it
    #[arg(long, value_name = "A", default_value = "relu")]
    act: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// When to color
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: When,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Inits,
    Acts,
    Nets,
}

#[derive(Serialize)]
struct Catalog {
    #[serde(skip_serializing_if = "Option::is_none")]
    inits: Option<Vec<InitRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acts: Option<Vec<ActRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nets: Option<Vec<nets::Row>>,
}

#[derive(Serialize)]
struct InitRow {
    name: &'static str,
    aliases: &'static [&'static str],
    group: Group,
    parameters: Vec<String>,
    law: &'static str,
    source: &'static str,
    /// n·Var that the source states; for folklore entries, that of the initializer whose name it goes by.
    nominal_n_var: Option<f64>,
    /// n·Var of the law that is drawn.
    exact_n_var: Option<f64>,
    /// n·Var of one drawn matrix.
    realized_n_var: Option<f64>,
    /// n·mean of the law that is drawn.
    n_mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct ActRow {
    name: &'static str,
    aliases: &'static [&'static str],
    parameters: Vec<String>,
    formula: &'static str,
    source: &'static str,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    /// A larger matrix shows nothing more and takes long to draw for every entry.
    const LARGEST: usize = 1 << 24;
    if arguments.fan_in.saturating_mul(arguments.fan_out) > LARGEST {
        return Err(Failure::Usage(format!("--fan-in times --fan-out is at most {LARGEST} in the catalog")));
    }
    let act = Activation::parse(&arguments.act).map_err(|f| Failure::catalog("--act", &arguments.act, &f))?;
    let site = Site::dense(arguments.fan_in, arguments.fan_out, 1, 50, &act);
    let is_wanted = |what: What| arguments.what.is_none_or(|only| only == what);
    let inits = is_wanted(What::Inits).then(|| initializer::entries().map(|e| init_row(e, &site)).collect());
    let acts = is_wanted(What::Acts).then(|| activation::entries().iter().map(act_row).collect());
    let nets = is_wanted(What::Nets).then(nets::rows).transpose()?;
    let catalog = Catalog { inits, acts, nets };
    if arguments.json {
        let mut text =
            serde_json::to_string_pretty(&catalog).expect("a catalog holds strings and finite numbers only");
        text.push('\n');
        output::print_plain(|to| to.write_all(text.as_bytes()))?;
    } else {
        output::print(&table(&catalog, &site, output::columns()), arguments.color)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn init_row(entry: &'static initializer::Entry, site: &Site) -> InitRow {
    let parameters = entry.parameters.iter().map(initializer::Parameter::usage).collect();
    let mut row = InitRow {
        name: entry.name,
        aliases: entry.aliases,
        group: entry.group,
        parameters,
        law: entry.law,
        source: entry.source,
        nominal_n_var: None,
        exact_n_var: None,
        realized_n_var: None,
        n_mean: None,
        nearest: None,
        note: entry.not_dense.map(str::to_string),
    };
    let Ok(init) = Initializer::parse(entry.name) else { return row };
    let law = match init.weights(site) {
        Ok(law) => law,
        Err(fault) => {
            row.note = Some(fault.to_string());
            return row;
        }
    };
    let n = site.fan_in as f64;
    let moments = law.moments(site.fan_in, site.fan_out);
    let drawn = Dense::<f32>::new(law, site.fan_in, site.fan_out, Key { seed: 0, trial: 0, layer: 1 })
        .matrix(Threads::One);
    row.nominal_n_var = init.nominal(site).filter(|x| x.is_finite());
    row.exact_n_var = Some(n * moments.variance);
    row.realized_n_var = Some(n * variance(drawn.as_slice()));
    row.n_mean = Some(n * moments.mean);
    if entry.group == Group::Folklore {
        row.nearest = Some(nearest(&init, site, moments.mean));
    }
    row
}

/// The proper law behind a folklore one, in words.
fn nearest(init: &Initializer, site: &Site, mean: f64) -> String {
    let Some(near) = nearest_proper(init, site) else { return "none: all units stay identical".into() };
    let factor = match (near.ratio - 1.0).abs() < 1e-9 {
        true => String::new(),
        false => format!(" × {} in variance", short(near.ratio)),
    };
    let shape = if near.any_shape { "" } else { " at this shape" };
    let shift = match mean {
        0.0 => String::new(),
        mean => format!(", and a mean of {}: a rank-one map on top", short(mean)),
    };
    format!("{}{factor}{shape}{shift}", near.name)
}

/// Population variance; exactly zero for equal numbers, whose mean need not be one of them.
fn variance(values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or(0.0);
    let count = values.len() as f64;
    let (total, squares) =
        values.iter().map(|v| v - first).fold((0.0, 0.0), |(total, squares), d| (total + d, squares + d * d));
    (squares / count - (total / count).powi(2)).max(0.0)
}

fn act_row(entry: &'static activation::Entry) -> ActRow {
    let parameters = entry.parameters.iter().map(|(name, default)| format!("{name}={default}")).collect();
    ActRow {
        name: entry.name,
        aliases: entry.aliases,
        parameters,
        formula: entry.formula,
        source: entry.source,
    }
}

/// Cells that a law needs beside the numbers; with fewer it goes below them.
const LEAST: usize = 44;

fn table(catalog: &Catalog, site: &Site, columns: Option<usize>) -> String {
    let inits = catalog.inits.as_ref().map(|inits| init_lines(inits, site, columns));
    let acts = catalog.acts.as_ref().map(|acts| act_lines(acts, columns));
    let nets = catalog.nets.as_ref().map(|nets| nets::lines(nets, columns));
    let parts: Vec<String> =
        [inits, acts, nets].into_iter().flatten().map(|lines| lines.join("\n")).collect();
    parts.join("\n\n") + "\n"
}

fn init_lines(inits: &[InitRow], site: &Site, columns: Option<usize>) -> Vec<String> {
    let mut lines = vec![
        wrap(
            &format!(
                "{BOLD}Initializers{BOLD:#}: n·Var at fan_in {}, fan_out {}, {}: stated by the source, and realized by one drawn matrix",
                site.fan_in, site.fan_out, site.act.name
            ),
            columns,
            2,
        ),
        wrap(
            "Arguments may be formulas in fan_in, fan_out, depth, layer, layers (of the residual branch), branches, groups, heads, width, \
             gain (PyTorch's for the activation; gain=torch) and pi.",
            columns,
            2,
        ),
    ];
    let name_width = inits.iter().map(|r| r.name.width()).max().unwrap_or(0);
    let column = name_width + 26;
    let beside = columns.is_none_or(|c| c >= column + LEAST);
    let column = if beside { column } else { 6 };
    for (group, title) in [
        (Group::Classic, "From the literature"),
        (Group::Framework, "What frameworks draw"),
        (
            Group::Folklore,
            "Folklore: as written in widely copied articles (stated: n·Var of the initializer whose name it goes by)",
        ),
    ] {
        lines.push(String::new());
        lines.push(wrap(&format!("{BOLD}{title}{BOLD:#}"), columns, 2));
        let titles = format!("  {}  {:>9}  {:>9}", padded("name", name_width), "stated", "realized");
        lines.push(format!("{DIM}{titles}{}{DIM:#}", if beside { "  law" } else { "" }));
        for row in inits.iter().filter(|r| r.group == group) {
            let number = |x: Option<f64>| right(&x.map_or("–".into(), four), 9);
            let numbers = format!(
                "  {BOLD}{}{BOLD:#}  {}  {}",
                padded(row.name, name_width),
                number(row.nominal_n_var),
                number(row.realized_n_var)
            );
            if beside {
                lines.push(wrap(&format!("{numbers}  {}", row.law), columns, column));
            } else {
                lines.push(numbers);
                lines.push(wrap(&format!("{}{}", " ".repeat(column), row.law), columns, column));
            }
            let facts = facts(row).join(" · ");
            lines.push(wrap(&format!("{}{DIM}{facts}{DIM:#}", " ".repeat(column)), columns, column));
        }
    }
    lines
}

fn facts(row: &InitRow) -> Vec<String> {
    let mut facts = Vec::new();
    if !row.parameters.is_empty() {
        facts.push(signature(row.name, &row.parameters));
    }
    if !row.aliases.is_empty() {
        facts.push(format!("also {}", row.aliases.join(", ")));
    }
    facts.push(row.source.to_string());
    facts.extend(row.nearest.iter().map(|n| format!("nearest proper law: {n}")));
    facts.extend(row.note.iter().cloned());
    facts
}

fn act_lines(acts: &[ActRow], columns: Option<usize>) -> Vec<String> {
    let title = format!(
        "{BOLD}Activations{BOLD:#}: a name, or an expression in x such as 'x*sigmoid(1.702*x)'; where φ′(0) is infinite, 0 is taken"
    );
    let mut lines = vec![wrap(&title, columns, 2)];
    let name_width = acts.iter().map(|r| signature(r.name, &r.parameters).width()).max().unwrap_or(0);
    let formula_width = acts.iter().map(|r| r.formula.width()).max().unwrap_or(0);
    for row in acts {
        let also = match row.aliases {
            [] => String::new(),
            aliases => format!("also {} · ", aliases.join(", ")),
        };
        let name = padded(&signature(row.name, &row.parameters), name_width);
        let source = format!("{DIM}{also}{}{DIM:#}", row.source);
        let whole = format!("  {BOLD}{name}{BOLD:#}  {}  {source}", padded(row.formula, formula_width));
        if columns.is_none_or(|c| shown(&whole) <= c) {
            lines.push(whole);
        } else {
            let indent = name_width + 4;
            lines.push(wrap(&format!("  {BOLD}{name}{BOLD:#}  {}", row.formula), columns, indent));
            lines.push(wrap(&format!("{}{source}", " ".repeat(indent)), columns, indent));
        }
    }
    lines
}

fn signature(name: &str, parameters: &[String]) -> String {
    if parameters.is_empty() { name.into() } else { format!("{name}({})", parameters.join(", ")) }
}

fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

fn four(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return short(x);
    }
    let scale = 10f64.powf(3.0 - x.abs().log10().floor());
    short(if scale.is_finite() { (x * scale).round() / scale } else { x })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_terminal() {
        let act = Activation::parse("relu").unwrap();
        let site = Site::dense(16, 16, 1, 50, &act);
        let inits = initializer::entries().map(|e| init_row(e, &site)).collect();
        let acts = activation::entries().iter().map(act_row).collect();
        let catalog = Catalog { inits: Some(inits), acts: Some(acts), nets: None };
        for columns in [60, 80, 120] {
            let text = table(&catalog, &site, Some(columns));
            let wide: Vec<&str> = text.lines().filter(|l| shown(l) > columns).collect();
            assert!(wide.is_empty(), "{columns}: {wide:?}");
        }
        assert!(table(&catalog, &site, None).lines().any(|l| shown(l) > 120));
    }
}
