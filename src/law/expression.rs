//! Formulas that users write, in laws (`sqrt(2/fan_in)`) and as activations (`x*sigmoid(1.702*x)`).
//!
//! The reader brings the conventions of mathematics (`-x^2` is −(x²), `2^3^2` is 2^(3²)), knows which names are allowed, says
//! where a fault stands, and writes a program for a stack of numbers that carry their derivative. Simulations and integrals run
//! that program many millions of times.

mod dual;

use dual::{Dual, Step};

/// Longest formula read, in characters.
const MAX_LENGTH: usize = 1000;
/// Deepest nesting of parentheses, functions and signs.
const MAX_NESTING: usize = 64;

/// A formula in named variables.
#[derive(Clone, Debug)]
pub struct Formula {
    /// What takes numbers from a stack and puts their result there, in order; one number is left in the end.
    program: Vec<Step>,
    /// Numbers that the stack holds at most.
    stack: usize,
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
        let mut reader = Reader { tokens: tokens(text)?, at: 0, variables, depth: 0, program: Vec::new() };
        reader.sum()?;
        if let Some(token) = reader.tokens.get(reader.at) {
            return Err(token.unexpected());
        }
        let program = reader.program;
        let (mut height, mut stack) = (0usize, 0);
        for step in &program {
            height = height + 1 - step.takes();
            stack = stack.max(height);
        }
        Ok(Self { program, stack })
    }

    /// The value; NaN or infinite where the formula is not defined. `values` follows the order of the names in `parse`.
    pub fn value(&self, values: &[f64]) -> f64 {
        self.evaluate(&|place| Dual::constant(values[place])).value
    }

    /// Value and derivative of a formula in one variable. At a kink the derivative is the left one.
    pub fn differentiated(&self, x: f64) -> (f64, f64) {
        let result = self.evaluate(&|_| Dual { value: x, slope: 1.0 });
        (result.value, result.slope)
    }

    fn evaluate(&self, variable: &impl Fn(usize) -> Dual) -> Dual {
        // No memory is taken for formulas as people write them.
        const LOW: usize = 8;
        if self.stack <= LOW {
            self.run(&mut [Dual::default(); LOW], variable)
        } else {
            self.run(&mut vec![Dual::default(); self.stack], variable)
        }
    }

    fn run(&self, stack: &mut [Dual], variable: &impl Fn(usize) -> Dual) -> Dual {
        let mut height = 0;
        for step in &self.program {
            height -= step.takes();
            stack[height] = match *step {
                Step::Constant(value) => Dual::constant(value),
                Step::Variable(place) => variable(place),
                Step::Unary(apply) => apply(stack[height]),
                Step::Power(exponent) => dual::whole_power(stack[height], exponent),
                Step::Binary(apply) => apply(stack[height], stack[height + 1]),
            };
            height += 1;
        }
        stack[0]
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

/// Recursive descent; each rule appends the program of what it reads.
struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    variables: &'a [&'a str],
    depth: usize,
    program: Vec<Step>,
}

type Rule<'a> = fn(&mut Reader<'a>) -> Result<(), FormulaError>;

impl<'a> Reader<'a> {
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

    /// Appends a step; one whose operands are constants is taken at once.
    fn push(&mut self, step: Step) {
        let operands = self.program.len().saturating_sub(step.takes());
        let constant = match (step, &self.program[operands..]) {
            (Step::Unary(apply), [Step::Constant(u)]) => apply(Dual::constant(*u)),
            (Step::Power(n), [Step::Constant(u)]) => dual::whole_power(Dual::constant(*u), n),
            (Step::Binary(apply), [Step::Constant(u), Step::Constant(v)]) => {
                apply(Dual::constant(*u), Dual::constant(*v))
            }
            _ => return self.program.push(step),
        };
        self.program.truncate(operands);
        self.program.push(Step::Constant(constant.value));
    }

    /// What `part` reads, one level deeper.
    fn nested(&mut self, part: Rule<'a>) -> Result<(), FormulaError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(FormulaError { reason: format!("nested more than {MAX_NESTING} deep") });
        }
        part(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn chain(&mut self, operators: &[char], part: Rule<'a>) -> Result<(), FormulaError> {
        part(self)?;
        while let Some(operator) = self.take(operators) {
            part(self)?;
            self.push(dual::operator(operator));
        }
        Ok(())
    }

    fn sum(&mut self) -> Result<(), FormulaError> {
        self.nested(|reader| reader.chain(&['+', '-'], Self::product))
    }

    fn product(&mut self) -> Result<(), FormulaError> {
        self.chain(&['*', '/'], Self::signed)
    }

    fn signed(&mut self) -> Result<(), FormulaError> {
        let Some(sign) = self.take(&['+', '-']) else { return self.power() };
        self.nested(Self::signed)?;
        if sign == '-' {
            self.push(dual::MINUS);
        }
        Ok(())
    }

    fn power(&mut self) -> Result<(), FormulaError> {
        self.atom()?;
        if self.take(&['^']).is_none() {
            return Ok(());
        }
        let base = self.program.len();
        // `signed` comes back here, so the operator associates to the right.
        self.nested(Self::signed)?;
        let power = dual::power_of(&self.program[base..]);
        if matches!(power, Step::Power(_)) {
            self.program.truncate(base);
        }
        self.push(power);
        Ok(())
    }

    fn atom(&mut self) -> Result<(), FormulaError> {
        let Some(token) = self.tokens.get(self.at).cloned() else {
            let reason =
                if self.tokens.is_empty() { "the formula is empty" } else { "a value is missing at the end" };
            return Err(FormulaError { reason: reason.into() });
        };
        self.at += 1;
        match token.kind {
            TokenKind::Number => {
                // The tokens' reader has seen that it is one.
                self.program.push(Step::Constant(token.text.parse().unwrap_or(f64::NAN)));
                Ok(())
            }
            TokenKind::Symbol('(') => {
                self.sum()?;
                self.expect(')')
            }
            TokenKind::Symbol(_) => Err(token.unexpected()),
            TokenKind::Name => self.named(&token),
        }
    }

    fn named(&mut self, token: &Token) -> Result<(), FormulaError> {
        let name = token.text.as_str();
        if self.take(&['(']).is_some() {
            return self.call(name);
        }
        let variable = self.variables.iter().position(|v| *v == name).map(Step::Variable);
        let step = variable.or_else(|| dual::constant(name).map(Step::Constant)).ok_or_else(|| {
            let known = [self.variables, dual::CONSTANTS].concat().join(", ");
            FormulaError { reason: format!("`{name}` is not one of {known}") }
        })?;
        self.program.push(step);
        Ok(())
    }

    fn call(&mut self, name: &str) -> Result<(), FormulaError> {
        let function = dual::function(name).ok_or_else(|| FormulaError {
            reason: format!("`{name}` is not a function; there are {}", dual::names().join(", ")),
        })?;
        self.sum()?;
        let mut given = 1;
        while self.take(&[',']).is_some() {
            self.sum()?;
            given += 1;
        }
        self.expect(')')?;
        let arity = function.takes();
        if given != arity {
            let plural = if arity == 1 { "" } else { "s" };
            return Err(FormulaError {
                reason: format!("{name} takes {arity} argument{plural}, not {given}"),
            });
        }
        self.push(function);
        Ok(())
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
            let text = if dual::function(name).unwrap().takes() == 2 {
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
