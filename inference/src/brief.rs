//! Texts that somebody else wrote, as they stand in messages: whole where they are short.

/// Bytes of a key, a name or a value in a message.
pub(crate) const VALUE: usize = 200;
/// Bytes of all that is said of one fault.
pub(crate) const MESSAGE: usize = 2000;
/// Names of a list that stand in a message.
const NAMES: usize = 24;

/// The text, without its middle where it has more than `most` bytes: what is wrong stands at its
/// start, the remedy at its end.
pub(crate) fn brief(mut text: String, most: usize) -> String {
    const LEFT_OUT: &str = " … ";
    if text.len() > most {
        let half = most.saturating_sub(LEFT_OUT.len()) / 2;
        let (head, tail) =
            (text.floor_char_boundary(half), text.ceil_char_boundary(text.len() - half));
        text.replace_range(head..tail, LEFT_OUT);
    }
    text
}

/// The names, separated by commas, and how many are left out.
pub(crate) fn names<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let first: Vec<_> =
        names.by_ref().take(NAMES).map(|name| brief(name.to_owned(), VALUE)).collect();
    match names.count() {
        0 if first.is_empty() => "none".to_owned(),
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_their_ends() {
        assert_eq!(brief("as it is".to_owned(), 8), "as it is");
        let long = brief("é".repeat(10_000), 100);
        assert!(long.len() <= 100 && long.starts_with('é') && long.ends_with('é'), "{long}");
        assert!(long.contains(" … "));
    }

    #[test]
    fn long_lists_say_how_many_there_are() {
        assert_eq!(names(std::iter::empty()), "none");
        assert_eq!(names(["a", "b"].into_iter()), "a, b");
        let many = names(std::iter::repeat_n("x", NAMES + 7));
        assert!(many.ends_with("x, x and 7 more"), "{many}");
    }
}
