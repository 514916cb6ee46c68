//! What an entry of the catalog states, and how one is found.

use super::{Initializer, Site, Values, classic, defaults, folklore, framework, orthogonal, scheme};
use crate::law::Law;
use crate::law::call::CatalogError;
use crate::law::named::named;

/// The law at a layer, from the arguments there.
pub type LawAt = fn(&Values, &Site) -> Result<Law, String>;

named! {
    /// Where an entry comes from.
    #[non_exhaustive]
    pub enum Group {
        /// Papers and common use.
        Classic = "classic",
        /// What a framework's layer gets, or what its own initializer of that name draws.
        Framework = "framework",
        /// Formulas of widely copied articles, as they stand.
        Folklore = "folklore",
    }
}

/// A parameter of an entry.
#[derive(Debug)]
pub struct Parameter {
    /// As on the command line.
    pub name: &'static str,
    /// What it takes, and its default.
    pub kind: ParameterKind,
}

impl Parameter {
    /// `name=default`, or `name` alone where it may be left out.
    pub fn usage(&self) -> String {
        match self.kind {
            ParameterKind::Number(default) => format!("{}={default}", self.name),
            ParameterKind::Word(choices) => format!("{}={}", self.name, choices[0]),
            ParameterKind::Optional => self.name.into(),
        }
    }
}

/// What a parameter takes.
#[derive(Debug)]
pub enum ParameterKind {
    /// A formula, with its default.
    Number(&'static str),
    /// A formula that may be left out.
    Optional,
    /// One of several words, the first by default.
    Word(&'static [&'static str]),
}

/// What an initializer does beside drawing weights: a pass through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Procedure {
    /// Layer after layer, the weights are divided by the standard deviation of the layer's first output (LSUV, Mishkin & Matas
    /// 2016, algorithm 1; one division is enough, for the output is linear in them).
    UnitVariance,
}

/// A parameter that is a vector, as an initializer may ask about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorSite {
    /// What it is: `gain`, `shift`, `slope`, `factor`.
    pub kind: &'static str,
    /// It is the last of its kind in a residual branch, behind the branch's last weights.
    pub ends_branch: bool,
}

/// What an initializer does to vectors.
#[derive(Debug)]
pub struct Vectors {
    /// The constant that a vector gets, in place of its usual one; `None` for a vector that is left alone.
    pub constant: fn(&VectorSite) -> Option<f64>,
    /// It holds where the network's file gives the vector a number too.
    pub above_file: bool,
    /// Where it is what the initializer is about: vectors of which a network must have one.
    pub needs: Option<&'static str>,
}

/// An initializer of the catalog.
#[derive(Debug)]
pub struct Entry {
    /// As on the command line.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// Which table of the catalog it stands in.
    pub group: Group,
    /// In the order in which they may be given without a name.
    pub parameters: &'static [Parameter],
    /// The law in words and formulas.
    pub law: &'static str,
    /// Paper and equation, or framework and file.
    pub source: &'static str,
    /// The law of the weight matrix at a layer.
    pub weights: LawAt,
    /// Law of the biases where the entry brings one.
    pub bias: Option<LawAt>,
    /// It gives tables of tokens and positions a law too, which stay at N(0, 1) otherwise.
    pub tables: bool,
    /// What it does to gains, shifts, slopes and factors.
    pub vectors: Option<Vectors>,
    /// n·Var that the source states (for folklore entries: that of the initializer whose name it goes by).
    pub nominal: Option<fn(&Values, &Site) -> f64>,
    /// The law changes with the layer's number whatever the arguments.
    pub depends_on_layer: bool,
    /// What is done to the network once its weights are drawn.
    pub procedure: Option<Procedure>,
    /// On a convolution the law is that of the center tap, and all other taps are zero.
    pub center: bool,
    /// Why it has no meaning for a dense layer of a plain stack, and what to use.
    pub not_dense: Option<&'static str>,
}

fn not_available(_: &Values, _: &Site) -> Result<Law, String> {
    Err("is not defined for a dense layer".into())
}

impl Entry {
    /// Fields that most entries leave alone.
    pub const BASE: Self = Self {
        name: "",
        aliases: &[],
        group: Group::Classic,
        parameters: &[],
        law: "",
        source: "",
        weights: not_available,
        bias: None,
        tables: false,
        vectors: None,
        nominal: None,
        depends_on_layer: false,
        procedure: None,
        center: false,
        not_dense: None,
    };
}

/// Every initializer, in the order in which the catalog is printed.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        classic::ENTRIES,
        orthogonal::ENTRIES,
        scheme::ENTRIES,
        framework::ENTRIES,
        defaults::ENTRIES,
        folklore::ENTRIES,
    ]
    .into_iter()
    .flatten()
}

pub fn find(name: &str) -> Result<&'static Entry, CatalogError> {
    named(name).or_else(|| pasted(name)).ok_or_else(|| {
        let known = entries().flat_map(|e| std::iter::once(e.name).chain(e.aliases.iter().copied()));
        // A module's path would hide what is misspelt.
        let bare = name.rsplit('.').next().unwrap_or(name).trim_end_matches('-');
        CatalogError::unknown("initializer", if bare.is_empty() { name } else { bare }, known)
    })
}

fn named(name: &str) -> Option<&'static Entry> {
    entries().find(|e| e.name == name || e.aliases.contains(&name))
}

/// A name as code of a framework has it, in lower case and with hyphens: `nn.init.kaiming-uniform-`, `tf.keras.initializers.henormal`.
/// Where the framework's own law has an entry it is that one, for defaults differ: `normal-` has std 1 in PyTorch and 0.05 in Keras.
fn pasted(name: &str) -> Option<&'static Entry> {
    let (path, last) = name.rsplit_once('.').unwrap_or(("", name));
    let in_path = |word: &str| path.split('.').any(|part| part == word);
    let framework = match last.strip_suffix('-') {
        _ if in_path("keras") => "keras",
        _ if in_path("jax") || in_path("flax") => "jax",
        // What PyTorch does in place ends in an underscore, and nothing else does.
        Some(_) => "torch",
        None => return None,
    };
    let plain = |name: &str| name.replace('-', "");
    let bare = plain(last);
    let is = |wanted: &str| {
        entries().find(|e| plain(e.name) == wanted || e.aliases.iter().any(|a| plain(a) == wanted))
    };
    is(&format!("{framework}{bare}")).or_else(|| is(&bare))
}

/// The proper law that an initializer is nearest to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Its name in the catalog.
    pub name: &'static str,
    /// The initializer's variance over its variance, at the site that was asked for.
    pub ratio: f64,
    /// The ratio is the same in layers of every shape.
    pub any_shape: bool,
}

/// The proper law of which an initializer's variance is a fixed multiple in square, widening and narrowing layers, the one
/// nearest to 1; where there is none, the law whose variance is nearest over these shapes. `None` for equal weights,
/// which are near to no law that breaks symmetry.
pub fn nearest_proper(init: &Initializer, site: &Site) -> Option<Nearest> {
    let law = init.weights(site).ok()?;
    if law.is_point_mass() {
        return None;
    }
    let candidates = match law {
        Law::Uniform { .. } => ["glorot-standard", "lecun-uniform", "xavier-uniform", "he-uniform"],
        _ => ["glorot-standard", "lecun-normal", "xavier-normal", "he-normal"],
    };
    let variance = |init: &Initializer, site: &Site| -> Option<f64> {
        Some(init.weights(site).ok()?.moments(site.fan_in, site.fan_out).variance)
    };
    let sites = [(1, 1), (2, 1), (1, 2), (4, 1), (1, 4)].map(|(i, o)| Site {
        fan_in: site.fan_in * i,
        fan_out: site.fan_in * o,
        ..*site
    });
    let mut found: Vec<(Nearest, f64)> = Vec::new();
    for name in candidates {
        let proper = Initializer::parse(name).ok()?;
        let log = |site: &Site| Some((variance(init, site)? / variance(&proper, site)?).ln());
        let logs = sites.iter().map(log).collect::<Option<Vec<f64>>>()?;
        let any_shape = logs.iter().all(|l| (l - logs[0]).abs() < 1e-9);
        let ratio = log(site)?.exp();
        found.push((Nearest { name, ratio, any_shape }, logs.iter().map(|l| l * l).sum()));
    }
    let fixed = found.iter().any(|(near, _)| near.any_shape);
    found.retain(|(near, _)| near.any_shape == fixed);
    found.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(near, _)| near)
}
