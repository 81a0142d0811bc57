//! What a module looks like from its tokens, before anything recursive touches it.
//!
//! The parser of the engine calls itself for every nested expression, and a chain of operators makes
//! a tree as deep as the chain is long. It reads array, set and object literals twice: once as a
//! comprehension, then as what they are; and so it reads the statements of a comprehension. So a
//! module of a few hundred bytes could exhaust the stack, which ends the process, or keep the parser
//! busy for hours. Both follow from the tokens alone, and are measured here with the lexer of the
//! engine itself. Where the tokens leave a doubt, the measure is the larger one.
//!
//! # Invariants
//!
//! * **H1** No expression of an accepted module nests deeper than [`NESTING_MAX`]: open brackets
//!   plus the operators between operands that stand in them.
//! * **H2** Parsing the modules of an accepted policy visits at most [`PARSE_VISITS_MAX`] tokens: a
//!   token inside `n` literals is visited `2^n` times.
//! * **H3** An accepted module has no NUL, which the lexer takes for the end of the file.

use regorus::{
    Source,
    unstable::{Lexer, Span, TokenKind},
};

use super::{ModuleError, Place};

/// Deepest nesting of an expression (H1).
pub const NESTING_MAX: u32 = 256;

/// Most tokens the parser may have to visit in all modules of a policy (H2): some seconds.
pub const PARSE_VISITS_MAX: u64 = 1 << 22;

/// One open bracket, or the module itself.
#[derive(Debug, Default)]
struct Level {
    /// Operators since the last operand that started an expression.
    operators: u32,
    /// Whether the last token ended an operand.
    after_operand: bool,
    /// Whether the parser reads what is inside twice.
    twice: bool,
}

/// Checks one module (H1–H3); `visits` counts for all of them together.
pub(super) fn check(file: &str, text: &str, visits: &mut u64) -> Result<(), ModuleError> {
    if let Some(at) = text.bytes().position(|it| it == 0) {
        return Err(ModuleError::Nul { file: file.to_owned(), offset: at });
    }
    // A source beyond the limits of the engine and a token that is none end the measurement: the
    // parser stops at the same place, and reports it better.
    let Ok(source) = Source::from_contents(file.to_owned(), text.to_owned()) else {
        return Ok(());
    };
    let mut lexer = Lexer::new(&source);
    let mut measure = Measure { visits: *visits, ..Measure::default() };
    while let Ok(token) = lexer.next_token() {
        if token.0 == TokenKind::Eof {
            break;
        }
        measure.add(&token.0, &token.1);
        let nesting = measure.nesting();
        if nesting > NESTING_MAX {
            return Err(ModuleError::TooNested { place: Place::of(&token.1) });
        }
        *visits = measure.visits;
        if *visits > PARSE_VISITS_MAX {
            return Err(ModuleError::TooEntangled { place: Place::of(&token.1) });
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Measure {
    module: Level,
    open: Vec<Level>,
    /// Operators in all of `open`.
    operators: u32,
    /// How many of `open` are read twice.
    twice: u32,
    visits: u64,
    /// Byte after the last token.
    end: u32,
    /// Whether the last token was `if` or `else`, after which `{` opens a body.
    before_body: bool,
}

impl Measure {
    fn add(&mut self, kind: &TokenKind, span: &Span) {
        self.visits = self.visits.saturating_add(1_u64.checked_shl(self.twice).unwrap_or(u64::MAX));
        let adjacent = self.end == span.start;
        let after_operand = self.level().after_operand;
        match (kind, span.text()) {
            (TokenKind::Symbol, "[") if after_operand && adjacent => self.postfix(),
            (TokenKind::Symbol, "(") if after_operand => self.postfix(),
            (TokenKind::Symbol, "{") if self.before_body => self.open(false),
            (TokenKind::Symbol, "[" | "{") => self.open(true),
            (TokenKind::Symbol, "(") | (TokenKind::Ident, "set(") => self.open(false),
            (TokenKind::Symbol, "]" | "}" | ")") => self.close(),
            (TokenKind::Symbol, "," | ";")
            | (TokenKind::Ident, "not" | "as" | "contains" | "with") => self.start(false),
            // A dot neither nests nor separates.
            (TokenKind::Symbol, ".") => self.level().after_operand = false,
            (TokenKind::Symbol, _) | (TokenKind::Ident, "in") => self.operator(),
            // In `1-1` the lexer sees two numbers and the parser a difference.
            (TokenKind::Number, text) if after_operand && text.starts_with('-') => {
                self.operator();
                self.level().after_operand = true;
            }
            _ if after_operand => self.start(true),
            _ => self.level().after_operand = true,
        }
        self.before_body = *kind == TokenKind::Ident && matches!(span.text(), "if" | "else");
        self.end = span.end;
    }

    fn level(&mut self) -> &mut Level {
        self.open.last_mut().unwrap_or(&mut self.module)
    }

    fn nesting(&self) -> u32 {
        let open = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        open.saturating_add(self.operators)
    }

    /// An index or a call: read once, but a link of the chain.
    fn postfix(&mut self) {
        self.operator();
        self.open(false);
    }

    fn open(&mut self, twice: bool) {
        if self.level().after_operand {
            self.start(false);
        }
        self.twice += u32::from(twice);
        self.open.push(Level { twice, ..Level::default() });
    }

    fn close(&mut self) {
        if let Some(level) = self.open.pop() {
            self.operators -= level.operators;
            self.twice -= u32::from(level.twice);
        }
        self.level().after_operand = true;
    }

    fn operator(&mut self) {
        let level = self.level();
        level.after_operand = false;
        level.operators += 1;
        self.operators += 1;
    }

    /// A new expression in the same brackets: nothing of the last one nests it.
    fn start(&mut self, after_operand: bool) {
        let level = self.level();
        level.after_operand = after_operand;
        let done = std::mem::take(&mut level.operators);
        self.operators -= done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(text: &str) -> Result<(), ModuleError> {
        check("x.rego", text, &mut 0)
    }

    #[track_caller]
    fn nesting(text: &str, want: u32) {
        let source = Source::from_contents("x.rego".to_owned(), text.to_owned()).unwrap();
        let mut lexer = Lexer::new(&source);
        let mut measure = Measure::default();
        let mut deepest = 0;
        loop {
            let token = lexer.next_token().unwrap();
            if token.0 == TokenKind::Eof {
                break;
            }
            measure.add(&token.0, &token.1);
            deepest = deepest.max(measure.nesting());
        }
        assert_eq!(deepest, want, "{text}");
        assert!(measure.open.is_empty() && measure.twice == 0, "{text}");
    }

    #[test]
    fn operators_nest_until_the_next_expression_starts() {
        nesting("x", 0);
        nesting("x := 1", 1);
        nesting("x := 1 + 1 + 1", 3);
        nesting("x := 1 + 1 + 1 y := 1 + 1", 3);
        nesting("x := 1 +\n1 +\n1", 3);
        nesting("x := input.a.b.c", 1);
        nesting("x := [1, 2 + 3, 4]", 3);
        nesting("x := a[0][0][0]", 5);
        nesting("x := f(g(h(1)))", 7);
        nesting("x := a in b in c", 3);
        nesting("x := set() | {1}", 3);
        nesting("allow if { input.a == 1; input.b == 2 } deny if { input.c == 3 }", 2);
        nesting("x := 5-1-1-1", 4);
        nesting("x := y\n[z] := w", 1);
        nesting("]]]", 0);
    }

    #[test]
    fn deep_chains_and_brackets_are_refused() {
        let chain = |link: &str| format!("package a\nx := 1{}", link.repeat(NESTING_MAX as usize));
        for link in ["\n+ 1", "[\n0]", "\n-1", "\n+\n1", "\nin [1]", "\n| {1}", "\n== 1"] {
            let got = shape_of(&chain(link));
            assert!(matches!(got, Err(ModuleError::TooNested { .. })), "{link}: {got:?}");
        }
        for open in ["(\n", "-\n", "f(\n", "[x |\nx := "] {
            let text = format!("package a\nx := {}", open.repeat(NESTING_MAX as usize + 1));
            let got = shape_of(&text);
            assert!(matches!(
                got,
                Err(ModuleError::TooNested { .. } | ModuleError::TooEntangled { .. })
            ));
        }
        shape_of(&format!("package a\nx := 1{}", " + 1".repeat(200))).unwrap();
    }

    #[test]
    fn literals_that_the_parser_would_read_for_hours_are_refused() {
        for (open, close) in [("[", "]"), ("{", "}"), ("{\"a\":", "}"), ("[{1:", "}]")] {
            let text = format!("package a\nx := {}1{}", open.repeat(24), close.repeat(24));
            let got = shape_of(&text);
            assert!(matches!(got, Err(ModuleError::TooEntangled { .. })), "{open}: {got:?}");
            let text = format!("package a\nx := {}1{}", open.repeat(4), close.repeat(4));
            shape_of(&text).unwrap();
        }
    }

    #[test]
    fn many_modules_together_have_the_limit_of_one() {
        let text = format!("package a\nx := {}1{}", "[".repeat(12), "]".repeat(12));
        let mut visits = 0;
        let accepted =
            (0..2000).take_while(|_| check("x.rego", &text, &mut visits).is_ok()).count();
        assert!((100..1000).contains(&accepted), "{accepted}");
    }

    #[test]
    fn what_follows_a_nul_is_not_overlooked() {
        let got = shape_of("package a\nallow := true\n\0deny contains 1");
        assert!(matches!(got, Err(ModuleError::Nul { offset: 24, .. })), "{got:?}");
    }
}
