//! Chunks of the demo model's tokens: 22 of a prompt's fit into one.

use std::path::Path;

use super::*;

const ROOM: usize = 22;
const WEIGHTS: Syntax = Syntax { weights: true, long: false };
const LONG: Syntax = Syntax { weights: false, long: true };
const BOTH: Syntax = Syntax { weights: true, long: true };

fn clip() -> Clip {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Clip::load(&root.join("models/emoji/tokenizer")).unwrap()
}

fn prompt(text: &str, syntax: Syntax) -> Prompt {
    read(&clip(), "prompt", text, syntax).unwrap()
}

/// `n` words of one token each.
fn words(n: usize) -> String {
    vec!["heart"; n].join(" ")
}

#[test]
fn a_plain_prompt_is_what_the_tokenizer_makes_of_it() {
    for text in ["", "red heart", "(red:1.2) [heart]", &words(40)] {
        let read = prompt(text, Syntax::default());
        let encoded = clip().encode(text);
        assert_eq!(read.chunks.len(), 1);
        assert_eq!(read.chunks[0].ids, encoded.ids, "{text}");
        assert_eq!(read.cut.map_or(0, |cut| cut.tokens), encoded.truncated);
    }
}

#[test]
fn a_mask_leaves_padding_out() {
    let mask = |text: &str| prompt(text, Syntax::default()).chunks[0].mask();
    let ones = |count: usize| [vec![1; count], vec![0; ROOM + 2 - count]].concat();
    assert_eq!(mask(""), ones(2));
    assert_eq!(mask("heart heart"), ones(4));
    assert_eq!(mask(&words(40)), ones(ROOM + 2));
}

#[test]
fn what_is_cut_is_named() {
    let text = format!("{} blue cat", words(ROOM));
    let cut = prompt(&text, Syntax::default()).cut.unwrap();
    assert_eq!(cut.text, "blue cat");
    let mut warnings = Vec::new();
    cut.warn(&mut warnings, "prompt", 24, "; set long_prompt");
    assert_eq!(
        warnings,
        [format!(
            "prompt is cut: its last {} tokens, \"blue cat\", are left out, as the model reads 24; \
             set long_prompt",
            cut.tokens
        )]
    );
}

#[test]
fn a_long_prompt_goes_on_in_further_chunks() {
    for (count, chunks) in [(0, 1), (1, 1), (ROOM, 1), (ROOM + 1, 2), (2 * ROOM, 2), (50, 3)] {
        let read = prompt(&words(count), LONG);
        assert_eq!((read.chunks.len(), read.cut), (chunks, None), "{count}");
        let framed = |count| clip().encode(&words(count)).ids;
        assert_eq!(read.chunks[0].ids, framed(count.min(ROOM)));
        let last = count - ROOM * (chunks - 1);
        assert_eq!(read.chunks[chunks - 1].ids, framed(last));
    }
    assert_eq!(prompt(&words(MAX_CHUNKS * ROOM), LONG).chunks.len(), MAX_CHUNKS);
    let error = read(&clip(), "negative_prompt", &words(MAX_CHUNKS * ROOM + 1), LONG).unwrap_err();
    assert_eq!(error.field, "negative_prompt");
    let shown = "negative_prompt \"heart heart heart heart heart heart hear\"…";
    let message = format!("{shown}: it takes 9 chunks of 22 tokens; shorten it to 8 or fewer");
    assert_eq!(error.message, message);
}

#[test]
fn breaks_end_chunks_and_need_further_ones() {
    let ids = |text| clip().encode(text).ids;
    let read_ids = |text| {
        let chunks = prompt(text, BOTH).chunks.into_iter();
        chunks.map(|chunk| chunk.ids).collect::<Vec<_>>()
    };
    assert_eq!(read_ids("red BREAK heart"), [ids("red"), ids("heart")]);
    assert_eq!(read_ids("BREAK heart BREAK"), [ids(""), ids("heart")]);
    assert_eq!(prompt("red BREAK heart", LONG).chunks.len(), 1, "a word like others");
    let error = read(&clip(), "prompt", "red BREAK heart", WEIGHTS).unwrap_err();
    let message = "prompt \"red BREAK heart\": BREAK begins another chunk; set long_prompt as well";
    assert_eq!(error.message, message);
    let many = "a BREAK ".repeat(9);
    assert!(read(&clip(), "prompt", &many, BOTH).unwrap_err().message.contains("9 chunks"));
}

#[test]
fn each_token_has_its_words_weight() {
    let read = prompt("(red:1.5) heart [blue:0.5)]", WEIGHTS);
    let weights = &read.chunks[0].weights;
    assert_eq!(weights.len(), 24);
    assert_eq!(weights[..3], [1.0, 1.5, 1.0]);
    assert_eq!(weights[23], 1.0, "the end and its padding weigh nothing");
    assert!(weights.iter().any(|weight| (weight - 1.0 / 1.1).abs() < 1e-6));
    let cut = prompt(&format!("({}:2) ({} blue:3)", words(20), words(2)), WEIGHTS);
    assert_eq!(cut.chunks[0].weights[20..24], [2.0, 3.0, 3.0, 1.0]);
    assert_eq!(cut.cut.unwrap().text, "blue");
}

#[test]
fn weighing_multiplies_and_gives_the_mean_back() {
    let chunk = Chunk { ids: vec![0, 1], weights: vec![1.0, 3.0], own: 2 };
    let mut hidden = [1.0, 2.0, 3.0, 6.0];
    chunk.weigh(&mut hidden);
    // 1 2 9 18 has the mean 7.5, and it was 3
    let wanted = [0.4, 0.8, 3.6, 7.2];
    assert!(hidden.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{hidden:?}");

    let mut balanced = [1.0, -1.0, 1.0, -1.0];
    chunk.weigh(&mut balanced);
    assert_eq!(balanced, [1.0, -1.0, 3.0, -3.0], "no mean to give back");
    let mut same = [1.0, 2.0];
    Chunk { ids: vec![0, 1], weights: vec![1.0, 1.0], own: 2 }.weigh(&mut same);
    assert_eq!(same, [1.0, 2.0]);
}
