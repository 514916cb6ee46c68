//! The options of a run's figure.

use super::error::{Failure, note};
use crate::report::figure::{Facet, FigureOptions, PanelName, WIDTHS};

/// How the figure of a run is drawn.
#[derive(clap::Args)]
#[command(next_help_heading = "Figure options")]
pub struct FigureArguments {
    /// Small multiples: a panel for each initializer, or for each role of a network's layers [default: init where a network has several]
    #[arg(long, value_name = "init|role", ignore_case = true, conflicts_with = "widths_sweep")]
    facet: Option<Facet>,
    /// Width of the figure in print, from 8 to 100 cm; text has 6.5 points at least [default: 17 for a network]
    #[arg(long, value_name = "CM", value_parser = centimeters, allow_hyphen_values = true, conflicts_with = "widths_sweep")]
    figure_width: Option<f64>,
    /// Title of the figure; an empty one leaves out the heading
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "widths_sweep")]
    title: Option<String>,
    /// Panels of the figure, in this order [default: all]
    #[arg(
        long,
        value_name = "P[,P…]",
        value_delimiter = ',',
        ignore_case = true,
        conflicts_with = "widths_sweep"
    )]
    panels: Vec<PanelName>,
}

impl FigureArguments {
    /// The options that are given, by name.
    fn given(&self) -> Vec<&'static str> {
        let options = [
            ("--facet", self.facet.is_some()),
            ("--figure-width", self.figure_width.is_some()),
            ("--title", self.title.is_some()),
            ("--panels", !self.panels.is_empty()),
        ];
        options.into_iter().filter(|option| option.1).map(|option| option.0).collect()
    }

    /// Says which options have no effect where no figure is drawn.
    pub fn say_without_effect(&self) {
        if let [first, rest @ ..] = self.given().as_slice() {
            let names = rest.iter().fold((*first).to_string(), |names, name| format!("{names}, {name}"));
            let verb = if rest.is_empty() { "has" } else { "have" };
            note(&format!("{names} {verb} no effect: no figure is written"));
        }
    }

    /// What is asked for; a plain stack has no roles.
    pub fn options(&self, network: bool) -> Result<FigureOptions, Failure> {
        if self.facet == Some(Facet::Role) && !network {
            let reason = "needs --net: the layers of a plain stack have no roles";
            return Err(Failure::option("--facet", Facet::Role.name(), reason));
        }
        Ok(FigureOptions {
            facet: self.facet,
            width: self.figure_width,
            title: self.title.clone(),
            panels: self.panels.clone(),
        })
    }
}

fn centimeters(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|width| WIDTHS.contains(width));
    number.ok_or_else(|| format!("a width from {} to {} cm is needed", WIDTHS.start(), WIDTHS.end()))
}

by_name!(Facet, PanelName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_that_no_page_has_are_refused() {
        assert_eq!(centimeters("8.5"), Ok(8.5));
        assert_eq!(centimeters(" 17 "), Ok(17.0));
        for text in ["", "0", "-3", "7.9", "101", "nan", "inf", "17cm"] {
            assert!(centimeters(text).unwrap_err().contains("from 8 to 100 cm"), "{text}");
        }
    }
}
