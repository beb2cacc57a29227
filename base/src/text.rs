//! Text from outside as it may be shown: on a terminal, in a table, in a log.
//!
//! A peer, a registry's record, a file or a program's output may hold characters that move the
//! cursor, rename the window, begin a line of their own, hide what follows or turn its direction.
//! Here they become visible escapes, as in `\u{1b}`. What is written for machines keeps its meaning:
//! [`escape_json`] uses JSON's own escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text on one line: what is no part of it is escaped, the ends of lines too.
#[must_use]
pub fn escape_line(text: &str) -> Cow<'_, str> {
    escape(text, is_hazardous, |out, c| out.extend(c.escape_default()))
}

/// The text with its lines and tabs; all else that is no part of it is escaped.
#[must_use]
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    let hazardous = |c| is_hazardous(c) && !matches!(c, '\n' | '\t');
    escape(text, hazardous, |out, c| out.extend(c.escape_default()))
}

/// As [`escape_lines`], and selections of a style (`ESC [ … m`) stay: they colour text, and move nothing.
/// For text that this program has coloured, of parts that are escaped already.
#[must_use]
pub fn escape_styled(text: &str) -> String {
    const START: &str = "\u{1b}[";
    let mut parts = text.split(START);
    let mut escaped = escape_lines(parts.next().unwrap_or_default()).into_owned();
    for part in parts {
        let digits = part.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
        let selects = part.as_bytes().get(digits) == Some(&b'm');
        escaped += if selects { START } else { r"\u{1b}[" };
        escaped += &escape_lines(part);
    }
    escaped
}

/// A JSON document that says the same: a serializer leaves what JSON allows in a string as it is,
/// and not all of that may reach a terminal.
#[must_use]
pub fn escape_json(document: &str) -> Cow<'_, str> {
    let hazardous = |c: char| !c.is_ascii_control() && is_hazardous(c) || c == '\u{7f}';
    escape(document, hazardous, |out, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escape(
    text: &str,
    is_hazardous: impl Fn(char) -> bool,
    put: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let Some(first) = text.find(&is_hazardous) else { return Cow::Borrowed(text) };
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(&text[..first]);
    for c in text[first..].chars() {
        if is_hazardous(c) {
            put(&mut escaped, c);
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Control characters, and those of Unicode that show nothing themselves and change how other text is
/// shown: line and paragraph ends, marks, embeddings, overrides and isolates of direction (UAX #9),
/// invisible spaces and operators, annotations, tags. The joiners of scripts and emoji are text.
fn is_hazardous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_terminal_is_shown_and_text_stays() {
        for (text, shown) in [
            ("ready", "ready"),
            ("grün 心 👩\u{200d}🚀", "grün 心 👩\u{200d}🚀"),
            ("\u{1b}[2J\u{1b}]0;pwn\u{7}", r"\u{1b}[2J\u{1b}]0;pwn\u{7}"),
            ("a\u{9b}31mb", r"a\u{9b}31mb"),
            ("a\r\nerror: forged", r"a\r\nerror: forged"),
            ("x\ty\u{8}\0\u{7f}", r"x\ty\u{8}\u{0}\u{7f}"),
            ("\u{202e}txt.exe\u{2066}", r"\u{202e}txt.exe\u{2066}"),
            ("a\u{2028}b\u{feff}\u{e0041}", r"a\u{2028}b\u{feff}\u{e0041}"),
        ] {
            assert_eq!(escape_line(text), shown);
        }
        assert_eq!(escape_lines("a\n\tb\r\u{1b}"), "a\n\tb\\r\\u{1b}");
        assert_eq!(escape_styled("a\u{1b}[31mred\u{1b}[2J\r\n"), "a\u{1b}[31mred\\u{1b}[2J\\r\n");
        assert!(matches!(escape_line("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_document_keeps_its_meaning() {
        assert_eq!(
            escape_json("{\n  \"a\": \"\u{9b}\u{202e}\u{e0041}\u{7f}é\"\n}"),
            "{\n  \"a\": \"\\u009b\\u202e\\udb40\\udc41\\u007fé\"\n}"
        );
    }
}
