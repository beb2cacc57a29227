//! Texts of a request as they stand in messages.

/// A text as a value in a message: quoted, its end left out where it is long.
pub(super) fn quoted(text: &str) -> String {
    quoted_to(40, text)
}

/// The same, of so many characters at most.
pub(super) fn quoted_to(shown: usize, text: &str) -> String {
    match text.char_indices().nth(shown) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
