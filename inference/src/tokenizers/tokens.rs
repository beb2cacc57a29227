//! A text in tokens.

/// A prompt as the text encoder takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids: start, prompt, end, then padding up to [`Clip::max_length`].
    pub ids: Vec<i64>,
    /// How many of the prompt's tokens didn't fit and were cut off at its end.
    pub truncated: usize,
}
