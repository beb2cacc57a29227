//! The text clean-up before CLIP's tokens: what transformers' slow tokenizer does without ftfy.
//!
//! It is BERT's basic tokenizer with accents kept and punctuation left alone. With ftfy installed
//! transformers repairs the text instead; pipelines rarely have it, and it is not followed here.
//! Unassigned code points are dropped, so emoji newer than the reference's Unicode tables (14.0 in
//! Python 3.11) are kept here and dropped there.

use std::sync::LazyLock;

use regex::Regex;
use tokenizers::NormalizedString;

/// Drops control and format characters, sets CJK ideographs apart, composes (NFC), lower-cases,
/// and leaves single spaces between words.
pub(super) fn clean(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '\t' | '\n' | '\r') || matches_class(&SPACE, char) {
            spaced.push(' ');
        } else if is_ideograph(char) {
            spaced.extend([' ', char, ' ']);
        } else if !matches_class(&DROPPED, char) {
            spaced.push(char);
        }
    }
    let mut composed = NormalizedString::from(spaced);
    composed.nfc();
    // word by word: a final Σ is one at the end of a word
    let words: Vec<_> = composed.get().split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// Unicode's "separator, space".
static SPACE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Zs}$").ok());

/// Unicode's "other": control, format, private, unassigned; and the replacement character.
static DROPPED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{C}\x{FFFD}]$").ok());

fn matches_class(class: &Option<Regex>, char: char) -> bool {
    let mut buffer = [0; 4];
    let text = char.encode_utf8(&mut buffer);
    class.as_ref().is_some_and(|class| class.is_match(text))
}

/// The blocks of CJK unified and compatibility ideographs; kana and hangul are words like others.
fn is_ideograph(char: char) -> bool {
    matches!(
        u32::from(char),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B820..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn text_is_cleaned_as_the_slow_tokenizer_does() {
        for (text, cleaned) in [
            ("", ""),
            ("  Red\t\u{a0}HEART\u{3000}\n", "red heart"),
            ("a\u{200b}b\u{0}c\u{fffd}d\u{ad}e", "abcde"),
            ("hello你好world", "hello 你 好 world"),
            ("cafe\u{301}", "café"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("👩‍👩‍👧 ❤️", "👩👩👧 ❤\u{fe0f}"),
            ("a\u{2028}b", "a b"),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
    }
}
