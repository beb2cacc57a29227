//! Weights in a prompt's text, in the syntax of AUTOMATIC1111's web UI ("Attention/emphasis" in its
//! wiki): `(words)` weigh 1.1 times as much, `[words]` as much less, `(words:1.2)` what is said;
//! brackets nest; `\(`, `\)`, `\[`, `\]` and `\\` are the letters themselves; `BREAK` ends a chunk.
//!
//! What it has for uneven texts holds here too: a bracket that isn't closed reaches to the end, a
//! closing one by itself is a letter, as is a colon without a number and `)` behind it, and any
//! other backslash is left out. Unlike there, `BREAK` inside of brackets is one as well. Prompt
//! editing (`[from:to:when]`, `[one|other]`) and `AND` are not known: they are read as plain text.

use std::sync::LazyLock;

use regex::Regex;

/// What a pair of brackets multiplies by, or divides by.
const STEP: f64 = 1.1;
/// Brackets that may be open at once: more of one kind give weights beyond use.
const MAX_DEPTH: usize = 64;
/// The largest weight, and the least below nought. Usual ones are 0.5 to 1.5.
const MAX_WEIGHT: f64 = 100.0;

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::diffusion) enum Piece {
    /// Words of one weight.
    Text { text: String, weight: f64 },
    /// The chunk ends here.
    Break,
}

/// Why a prompt's weights can't be used: what is wrong, and the remedy.
pub(in crate::diffusion) type Fault = String;

/// The pieces of `text`, in order; neighbours differ in weight.
///
/// # Errors
/// Brackets that nest too deep, a weight that is out of bounds.
pub(in crate::diffusion) fn parse(text: &str) -> Result<Vec<Piece>, Fault> {
    let mut parser = Parser::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[parser.take(first, rest)?..];
    }
    parser.end()
}

#[derive(Default)]
struct Parser {
    pieces: Vec<Piece>,
    /// Where the brackets that are open begin, among the pieces.
    round: Vec<usize>,
    square: Vec<usize>,
}

impl Parser {
    /// Takes what `rest` begins with, and says how many bytes that is.
    fn take(&mut self, first: char, rest: &str) -> Result<usize, Fault> {
        match first {
            '\\' => match rest[1..].chars().next() {
                Some(letter @ ('(' | ')' | '[' | ']' | '\\')) => {
                    self.push(letter);
                    return Ok(2);
                }
                // left out, but what it stands between stays apart
                _ => self.push(""),
            },
            '(' => {
                self.round.push(self.pieces.len());
                self.check_depth()?;
            }
            '[' => {
                self.square.push(self.pieces.len());
                self.check_depth()?;
            }
            ')' => match self.round.pop() {
                Some(from) => self.multiply(from, STEP),
                None => self.push(')'),
            },
            ']' => match self.square.pop() {
                Some(from) => self.multiply(from, 1.0 / STEP),
                None => self.push(']'),
            },
            ':' => {
                if let Some((weight, bytes)) = stated(rest) {
                    match self.round.pop() {
                        Some(from) => self.multiply(from, weight),
                        None => self.push(&rest[..bytes]),
                    }
                    return Ok(bytes);
                }
                self.push(':');
            }
            _ => {
                let end = rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len());
                self.push_words(&rest[..end]);
                return Ok(end);
            }
        }
        Ok(1)
    }

    fn push(&mut self, text: impl Into<String>) {
        self.pieces.push(Piece::Text { text: text.into(), weight: 1.0 });
    }

    fn push_words(&mut self, words: &str) {
        static BREAK: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"\s*\bBREAK\b\s*").ok());
        let Some(separator) = BREAK.as_ref() else { return self.push(words) };
        for (index, part) in separator.split(words).enumerate() {
            if index > 0 {
                self.pieces.push(Piece::Break);
            }
            self.push(part);
        }
    }

    fn multiply(&mut self, from: usize, factor: f64) {
        for piece in &mut self.pieces[from..] {
            if let Piece::Text { weight, .. } = piece {
                *weight *= factor;
            }
        }
    }

    fn check_depth(&self) -> Result<(), Fault> {
        if self.round.len() + self.square.len() <= MAX_DEPTH {
            return Ok(());
        }
        Err(format!("more than {MAX_DEPTH} brackets are open; close them, or write \\( and \\["))
    }

    /// Closes what is open, and joins neighbours of one weight.
    fn end(mut self) -> Result<Vec<Piece>, Fault> {
        for from in std::mem::take(&mut self.round) {
            self.multiply(from, STEP);
        }
        for from in std::mem::take(&mut self.square) {
            self.multiply(from, 1.0 / STEP);
        }
        let mut joined: Vec<Piece> = Vec::new();
        for piece in self.pieces {
            match (joined.last_mut(), piece) {
                (_, Piece::Text { text, weight })
                    if weight.is_nan() || weight.abs() > MAX_WEIGHT =>
                {
                    return Err(format!(
                        "{} would weigh {weight}; give weights from -{MAX_WEIGHT} to {MAX_WEIGHT}",
                        crate::diffusion::quoted::quoted(&text)
                    ));
                }
                (
                    Some(Piece::Text { text: before, weight: same }),
                    Piece::Text { text, weight },
                ) if *same == weight => before.push_str(&text),
                (_, piece) => joined.push(piece),
            }
        }
        Ok(joined)
    }
}

/// The weight in a text like `:1.2)`, and the bytes that it takes. None for anything else.
fn stated(rest: &str) -> Option<(f64, usize)> {
    let after = rest.strip_prefix(':')?.trim_start();
    let digits = after.strip_prefix(['+', '-']).unwrap_or(after);
    let behind = digits.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let number = &after[..after.len() - behind.len()];
    let end = behind.trim_start().strip_prefix(')')?;
    Some((number.parse().ok()?, rest.len() - end.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words with weights, `|` for a break.
    fn parsed(text: &str) -> Vec<(String, f64)> {
        let pieces = parse(text).unwrap().into_iter();
        pieces
            .map(|piece| match piece {
                Piece::Text { text, weight } => (text, weight),
                Piece::Break => ("|".to_owned(), 0.0),
            })
            .collect()
    }

    #[track_caller]
    fn check(text: &str, wanted: &[(&str, f64)]) {
        let got = parsed(text);
        let words: Vec<_> = got.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(words, wanted.iter().map(|(text, _)| *text).collect::<Vec<_>>(), "{text}");
        for ((words, weight), (_, wanted)) in got.iter().zip(wanted) {
            assert!((weight - wanted).abs() < 1e-9, "{text}: {words:?} weighs {weight}");
        }
    }

    #[test]
    fn brackets_weigh() {
        check("", &[]);
        check("a red heart", &[("a red heart", 1.0)]);
        check("a (red) heart", &[("a ", 1.0), ("red", 1.1), (" heart", 1.0)]);
        check("a [red] heart", &[("a ", 1.0), ("red", 1.0 / 1.1), (" heart", 1.0)]);
        check("(red:1.5)", &[("red", 1.5)]);
        check("(red : .5 )", &[("red ", 0.5)]);
        check("(red:-2)(blue:+0)", &[("red", -2.0), ("blue", 0.0)]);
        check("((red))", &[("red", 1.21)]);
        check("((a) b:1.3)c", &[("a", 1.1 * 1.3), (" b", 1.3), ("c", 1.0)]);
        check("([a])b", &[("ab", 1.0)]);
        check("(a)(b)", &[("ab", 1.1)]);
    }

    #[test]
    fn uneven_texts_are_read_all_the_same() {
        check("(red", &[("red", 1.1)]);
        check("a [[b", &[("a ", 1.0), ("b", 1.0 / 1.21)]);
        check("a) b] c:1.2)", &[("a) b] c:1.2)", 1.0)]);
        check("(a[b)c]", &[("a", 1.1), ("b", 1.0), ("c", 1.0 / 1.1)]);
        check("(a:b)", &[("a:b", 1.1)]);
        check("(a:1.2", &[("a:1.2", 1.1)]);
        check("(a:1.2.3)", &[("a:1.2.3", 1.1)]);
        check("(a:)", &[("a:", 1.1)]);
        check("[a:1.2]", &[("a:1.2", 1.0 / 1.1)]);
        check("[a:1.2)", &[("a:1.2)", 1.0 / 1.1)]);
        check("()[]", &[]);
        check("(:2)", &[]);
        check(":)", &[(":)", 1.0)]);
    }

    #[test]
    fn escaped_letters_are_themselves() {
        check(r"\(a\) \[b\]", &[("(a) [b]", 1.0)]);
        check(r"(\(a\):1.5)", &[("(a)", 1.5)]);
        check(r"a\\(b)", &[(r"a\", 1.0), ("b", 1.1)]);
        check(r"a\b\", &[("ab", 1.0)]);
    }

    #[test]
    fn other_scripts_are_words_too() {
        check("(猫:1.2)、[❤️]", &[("猫", 1.2), ("、", 1.0), ("❤️", 1.0 / 1.1)]);
        check("（全角）", &[("（全角）", 1.0)]);
    }

    #[test]
    fn a_break_stands_by_itself() {
        check("a BREAK b", &[("a", 1.0), ("|", 0.0), ("b", 1.0)]);
        check("BREAKFAST, a_BREAK, break", &[("BREAKFAST, a_BREAK, break", 1.0)]);
        check("(a BREAK b:2)", &[("a", 2.0), ("|", 0.0), ("b", 2.0)]);
        assert_eq!(parsed("BREAK").iter().filter(|(text, _)| text == "|").count(), 1);
    }

    #[test]
    fn what_is_beyond_use_is_refused() {
        let refused = |text: &str| parse(text).unwrap_err();
        assert!(refused(&"(".repeat(65)).contains("64 brackets are open"));
        assert!(refused(&"([".repeat(5_000)).contains("64 brackets are open"));
        assert_eq!(
            refused("a (red:101) b"),
            "\"red\" would weigh 101; give weights from -100 to 100"
        );
        let huge = format!("(a:{})", "9".repeat(400));
        assert!(refused(&huge).contains("would weigh inf"));
        assert!(refused(&format!("((a:{}):0)", "9".repeat(400))).contains("would weigh NaN"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r"[a-z \\()\[\]:.\d+\-BREAK猫]{0,60}") {
            if let Ok(pieces) = parse(&text) {
                for pair in pieces.windows(2) {
                    if let [Piece::Text { weight: a, .. }, Piece::Text { weight: b, .. }] = pair {
                        prop_assert!(a != b);
                    }
                }
            }
        }

        #[test]
        fn an_escaped_text_is_itself(text in r"\PC{0,60}") {
            prop_assume!(!text.contains("BREAK"));
            let escaped: String = text.chars().flat_map(|letter| {
                let escape = matches!(letter, '(' | ')' | '[' | ']' | '\\').then_some('\\');
                escape.into_iter().chain([letter])
            }).collect();
            let whole: String = parsed(&escaped).iter().map(|(text, _)| text.as_str()).collect();
            prop_assert_eq!(whole, text);
        }

        #[test]
        fn a_stated_weight_is_the_words_weight(word in "[a-z]{1,8}", weight in -100.0..100.0_f64) {
            prop_assert_eq!(parsed(&format!("({word}:{weight:.3})")).len(), 1);
            let (text, got) = parsed(&format!("({word}:{weight:.3})")).remove(0);
            prop_assert_eq!(text, word);
            prop_assert!((got - weight).abs() < 1e-3);
        }
    }
}
