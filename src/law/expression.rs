//! Formulas that users write, in laws (`sqrt(2/fan_in)`) and as activations (`x*sigmoid(1.702*x)`).
//!
//! exmex evaluates; the reader in front of it brings the conventions of mathematics (`-x^2` is −(x²), `2^3^2` is
//! 2^(3²)), knows which names are allowed and says where a fault stands.

mod dual;

use dual::{Dual, Functions, Literal};
use exmex::{Express, FlatEx};
use std::fmt::Write;

/// Longest formula read, in characters.
const MAX_LENGTH: usize = 1000;
/// Deepest nesting of parentheses, functions and signs.
const MAX_NESTING: usize = 64;

/// A formula in named variables.
#[derive(Clone, Debug)]
pub struct Formula {
    compiled: FlatEx<Dual, Functions, Literal>,
    /// For each variable that occurs, its place among the names that the formula was parsed with.
    places: Vec<usize>,
}

/// Where and why a formula cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FormulaError {
    /// In words, for the user.
    pub reason: String,
}

impl Formula {
    /// Reads a formula in which these variables may occur.
    ///
    /// # Errors
    /// Faulty syntax, an unknown name, or a formula that is too long or too deeply nested.
    pub fn parse(text: &str, variables: &[&str]) -> Result<Self, FormulaError> {
        if text.chars().count() > MAX_LENGTH {
            return Err(FormulaError { reason: format!("longer than {MAX_LENGTH} characters") });
        }
        let mut reader = Reader { tokens: tokens(text)?, at: 0, variables, depth: 0 };
        let explicit = reader.sum()?;
        if let Some(token) = reader.tokens.get(reader.at) {
            return Err(token.unexpected());
        }
        let compiled = FlatEx::<Dual, Functions, Literal>::parse(&explicit)
            .map_err(|fault| FormulaError { reason: fault.to_string() })?;
        let places = compiled
            .var_names()
            .iter()
            .map(|name| variables.iter().position(|v| v == name).unwrap_or(0))
            .collect();
        Ok(Self { compiled, places })
    }

    /// The value; NaN or infinite where the formula is not defined. `values` follows the order of the names in `parse`.
    pub fn value(&self, values: &[f64]) -> f64 {
        let arguments: Vec<_> = self.places.iter().map(|i| Dual::constant(values[*i])).collect();
        self.evaluate(&arguments).value
    }

    /// Value and derivative of a formula in one variable. At a kink the derivative is the left one.
    pub fn differentiated(&self, x: f64) -> (f64, f64) {
        // Integrals ask for millions of these: no memory is taken for them.
        const FEW: usize = 4;
        let argument = Dual { value: x, slope: 1.0 };
        let result = match self.places.len() {
            count @ ..=FEW => self.evaluate(&[argument; FEW][..count]),
            count => self.evaluate(&vec![argument; count]),
        };
        (result.value, result.slope)
    }

    fn evaluate(&self, arguments: &[Dual]) -> Dual {
        self.compiled.eval(arguments).unwrap_or(Dual { value: f64::NAN, slope: f64::NAN })
    }
}

/// Whether a name occurs in a text as a word of its own.
pub fn mentions(text: &str, name: &str) -> bool {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
}

#[derive(Clone, Debug, PartialEq)]
enum TokenKind {
    Number,
    Name,
    Symbol(char),
}

#[derive(Clone, Debug)]
struct Token {
    kind: TokenKind,
    text: String,
    /// 1-based character position.
    position: usize,
}

impl Token {
    fn unexpected(&self) -> FormulaError {
        FormulaError { reason: format!("unexpected `{}` at character {}", self.text, self.position) }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, FormulaError> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let kind = match chars[at] {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            c if c.is_ascii_digit() || c == '.' => {
                at = end_of_number(&chars, at);
                TokenKind::Number
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                while at < chars.len() && (chars[at].is_ascii_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
                TokenKind::Name
            }
            '*' if chars.get(at + 1) == Some(&'*') => {
                at += 2;
                TokenKind::Symbol('^')
            }
            c @ ('+' | '-' | '*' | '/' | '^' | '(' | ')' | ',') => {
                at += 1;
                TokenKind::Symbol(c)
            }
            c => {
                let reason = format!("unexpected `{}` at character {}", c.escape_debug(), at + 1);
                return Err(FormulaError { reason });
            }
        };
        let text: String = chars[start..at].iter().collect();
        if kind == TokenKind::Number && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(FormulaError {
                reason: format!("`{text}` at character {} is not a number", start + 1),
            });
        }
        found.push(Token { kind, text, position: start + 1 });
    }
    Ok(found)
}

fn end_of_number(chars: &[char], mut at: usize) -> usize {
    let digits = |mut at: usize| {
        while at < chars.len() && (chars[at].is_ascii_digit() || chars[at] == '.') {
            at += 1;
        }
        at
    };
    at = digits(at);
    if matches!(chars.get(at), Some('e' | 'E')) {
        let sign = usize::from(matches!(chars.get(at + 1), Some('+' | '-')));
        if chars.get(at + 1 + sign).is_some_and(char::is_ascii_digit) {
            return digits(at + 1 + sign);
        }
    }
    at
}

/// Recursive descent; each rule returns the same formula with every parenthesis written out.
struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    variables: &'a [&'a str],
    depth: usize,
}

impl Reader<'_> {
    fn symbol(&self) -> Option<char> {
        match self.tokens.get(self.at)?.kind {
            TokenKind::Symbol(c) => Some(c),
            _ => None,
        }
    }

    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let found = self.symbol().filter(|c| wanted.contains(c))?;
        self.at += 1;
        Some(found)
    }

    fn expect(&mut self, wanted: char) -> Result<(), FormulaError> {
        if self.take(&[wanted]).is_some() {
            return Ok(());
        }
        Err(match self.tokens.get(self.at) {
            Some(token) => token.unexpected(),
            None => FormulaError { reason: format!("`{wanted}` is missing at the end") },
        })
    }

    fn chain(
        &mut self,
        operators: &[char],
        part: fn(&mut Self) -> Result<String, FormulaError>,
    ) -> Result<String, FormulaError> {
        let mut text = part(self)?;
        let mut several = false;
        while let Some(operator) = self.take(operators) {
            several = true;
            let _ = write!(text, "{operator}{}", part(self)?);
        }
        Ok(if several { format!("({text})") } else { text })
    }

    fn sum(&mut self) -> Result<String, FormulaError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(FormulaError { reason: format!("nested more than {MAX_NESTING} deep") });
        }
        let text = self.chain(&['+', '-'], |reader| reader.chain(&['*', '/'], Self::signed));
        self.depth -= 1;
        text
    }

    fn signed(&mut self) -> Result<String, FormulaError> {
        match self.take(&['+', '-']) {
            None => self.power(),
            Some(sign) => {
                self.depth += 1;
                if self.depth > MAX_NESTING {
                    return Err(FormulaError { reason: format!("nested more than {MAX_NESTING} deep") });
                }
                let operand = self.signed()?;
                self.depth -= 1;
                Ok(if sign == '-' { format!("(0-{operand})") } else { operand })
            }
        }
    }

    fn power(&mut self) -> Result<String, FormulaError> {
        let base = self.atom()?;
        if self.take(&['^']).is_none() {
            return Ok(base);
        }
        // `signed` comes back here, so the operator associates to the right.
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(FormulaError { reason: format!("nested more than {MAX_NESTING} deep") });
        }
        let exponent = self.signed()?;
        self.depth -= 1;
        Ok(format!("({base}^{exponent})"))
    }

    fn atom(&mut self) -> Result<String, FormulaError> {
        let Some(token) = self.tokens.get(self.at).cloned() else {
            let reason =
                if self.tokens.is_empty() { "the formula is empty" } else { "a value is missing at the end" };
            return Err(FormulaError { reason: reason.into() });
        };
        self.at += 1;
        match token.kind {
            TokenKind::Number => Ok(token.text),
            TokenKind::Symbol('(') => {
                let inner = self.sum()?;
                self.expect(')')?;
                Ok(format!("({inner})"))
            }
            TokenKind::Symbol(_) => Err(token.unexpected()),
            TokenKind::Name => self.named(&token),
        }
    }

    fn named(&mut self, token: &Token) -> Result<String, FormulaError> {
        let name = token.text.as_str();
        if self.symbol() == Some('(') {
            self.at += 1;
            return self.call(token);
        }
        if self.variables.contains(&name) {
            return Ok(format!("{{{name}}}"));
        }
        match dual::constant(name) {
            Some(value) => Ok(format!("{value}")),
            None => {
                let known = [self.variables, dual::CONSTANTS].concat().join(", ");
                Err(FormulaError { reason: format!("`{name}` is not one of {known}") })
            }
        }
    }

    fn call(&mut self, token: &Token) -> Result<String, FormulaError> {
        let name = token.text.as_str();
        let arity = dual::arity(name).ok_or_else(|| FormulaError {
            reason: format!("`{name}` is not a function; there are {}", dual::names().join(", ")),
        })?;
        let mut arguments = vec![self.sum()?];
        while self.take(&[',']).is_some() {
            arguments.push(self.sum()?);
        }
        self.expect(')')?;
        match (arity, arguments.as_slice()) {
            (1, [x]) => Ok(format!("({name}({x}))")),
            (2, [x, y]) => Ok(format!("(({x}) {name} ({y}))")),
            (_, given) => {
                let reason = format!(
                    "{name} takes {arity} argument{}, not {}",
                    if arity == 1 { "" } else { "s" },
                    given.len()
                );
                Err(FormulaError { reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        Formula::parse(text, &["fan_in", "fan_out"]).unwrap().value(&[4.0, 9.0])
    }

    #[test]
    fn conventions_of_mathematics() {
        for (text, expected) in [
            ("-2^2", -4.0),
            ("2^-1", 0.5),
            ("2^3^2", 512.0),
            ("2**3", 8.0),
            ("1-2-3", -4.0),
            ("8/4/2", 1.0),
            ("2*-3", -6.0),
            ("--2", 2.0),
            ("1e-5*1E5", 1.0),
            ("2-1e0", 1.0),
            (".5+5.", 5.5),
            ("sqrt(fan_in*fan_out)", 6.0),
            ("max(fan_in, fan_out) + min(1, 2)", 10.0),
            ("cos(2*pi)+ln(e)", 2.0),
            ("log10(100)+log2(8)+log(1)", 5.0),
            ("exp(0)", 1.0),
        ] {
            assert!((value(text) - expected).abs() < 1e-12, "{text}: {}", value(text));
        }
    }

    #[test]
    fn faults_say_where() {
        let deep = "(".repeat(500);
        let signs = "-".repeat(500);
        let powers = "2^".repeat(300);
        for (text, words) in [
            ("", "empty"),
            ("1+", "missing at the end"),
            ("(1", "`)` is missing"),
            ("1 2", "unexpected `2` at character 3"),
            ("foo(1)", "not a function"),
            ("foo", "not one of fan_in, fan_out, pi, e"),
            ("max(1)", "takes 2 arguments, not 1"),
            ("1.2.3", "not a number"),
            ("1e999", "not a number"),
            ("fan_in;", "unexpected `;`"),
            ("2π", "unexpected"),
            (deep.as_str(), "nested"),
            (signs.as_str(), "nested"),
            (powers.as_str(), "nested"),
        ] {
            let fault = Formula::parse(text, &["fan_in", "fan_out"]).unwrap_err();
            assert!(fault.reason.contains(words), "{text}: {fault}");
        }
        assert!(Formula::parse(&"1+".repeat(600), &[]).is_err());
    }

    #[test]
    fn every_function_is_differentiated() {
        for name in dual::names() {
            let text = if dual::arity(name) == Some(2) {
                format!("{name}(x*x, 2*x)")
            } else {
                format!("{name}(x*0.7)")
            };
            let f = Formula::parse(&text, &["x"]).unwrap();
            for x in [0.3, 1.1, 2.7] {
                let h = 1e-5;
                let difference = (f.differentiated(x + h).0 - f.differentiated(x - h).0) / (2.0 * h);
                let slope = f.differentiated(x).1;
                assert!(
                    (slope - difference).abs() < 1e-8 * (1.0 + slope.abs()),
                    "{text} at {x}: {slope} {difference}"
                );
            }
        }
        for (text, x, slope) in [
            ("x^3", -2.0, 12.0),
            ("x^x", 2.0, 4.0 * (1.0 + 2f64.ln())),
            ("2^x", 0.0, 2f64.ln()),
            ("x/(1+x)", 1.0, 0.25),
            ("abs(x)", 0.0, -1.0),
            ("relu(x)", 0.0, 0.0),
            ("max(x, 0)", 0.0, 0.0),
            ("min(x, 0)", 0.0, 1.0),
            ("x^2", 0.0, 0.0),
        ] {
            let f = Formula::parse(text, &["x"]).unwrap();
            assert!((f.differentiated(x).1 - slope).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn long_chains_and_deep_nesting_within_the_limits() {
        let chain = vec!["1"; 400].join("+");
        assert_eq!(value(&chain), 400.0);
        let nested = format!("{}1{}", "(".repeat(60), ")".repeat(60));
        assert_eq!(value(&nested), 1.0);
    }
}
