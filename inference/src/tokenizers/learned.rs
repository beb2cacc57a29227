//! Learned words of several vectors (Gal et al., An Image is Worth One Word, 2022): the vectors after
//! the first are tokens called `<word>_1`, `<word>_2` and so on, and stand behind the word wherever it
//! stands in a prompt, as diffusers' `maybe_convert_prompt` puts them there.

use std::collections::HashMap;

/// The further tokens of each learned word that has some, by its first.
#[derive(Debug, Default)]
pub(super) struct LearnedWords(HashMap<u32, Vec<u32>>);

impl LearnedWords {
    /// Those among a tokenizer's added tokens.
    pub(super) fn of<'a>(added: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let added: HashMap<_, _> = added.collect();
        let further = |(word, first): (&&str, &u32)| {
            let token = |number: usize| added.get(format!("{word}_{number}").as_str()).copied();
            let tokens: Vec<_> = (1..).map_while(token).collect();
            (!tokens.is_empty()).then_some((*first, tokens))
        };
        Self(added.iter().filter_map(further).collect())
    }

    /// The tokens with all vectors of each word. A word whose second vector stands behind it already
    /// was written out.
    pub(super) fn widen(&self, tokens: Vec<u32>) -> Vec<u32> {
        if self.0.is_empty() {
            return tokens;
        }
        let mut wide = Vec::with_capacity(tokens.len());
        for (place, token) in tokens.iter().enumerate() {
            wide.push(*token);
            let Some(further) = self.0.get(token) else { continue };
            if tokens.get(place + 1) != further.first() {
                wide.extend(further);
            }
        }
        wide
    }
}

#[cfg(test)]
mod tests {
    use super::LearnedWords;

    #[test]
    fn each_vector_of_a_word_stands_behind_it() {
        let added =
            [("<cat>", 10), ("<cat>_1", 11), ("<cat>_2", 12), ("<dog>", 20), ("<cat>_4", 14)];
        let words = LearnedWords::of(added.into_iter());
        for (tokens, wide) in [
            (vec![1, 2], vec![1, 2]),
            (vec![10], vec![10, 11, 12]),
            (vec![1, 10, 2, 10], vec![1, 10, 11, 12, 2, 10, 11, 12]),
            (vec![10, 11, 12], vec![10, 11, 12]),
            (vec![20, 10, 10], vec![20, 10, 11, 12, 10, 11, 12]),
        ] {
            assert_eq!(words.widen(tokens), wide);
        }
    }
}
