//! T5's token ids, against transformers' fast tokenizer (`vectors/t5_tokenizer.json`).

#![expect(clippy::unwrap_used, reason = "a test stops at what it doesn't expect")]

use std::fs;
use std::path::{Path, PathBuf};

use hearth_inference::tokenizers::T5;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    model: String,
    length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<i64>,
    padded: Vec<i64>,
}

fn vectors() -> (Vectors, PathBuf) {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/t5_tokenizer.json")).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&vectors.model);
    (vectors, folder)
}

#[test]
fn every_text_has_the_fast_tokenizers_ids() {
    let (vectors, folder) = vectors();
    let t5 = T5::load(&folder).unwrap();
    assert!(vectors.cases.len() > 100);
    for case in &vectors.cases {
        let encoded = t5.encode(&case.text, vectors.length).unwrap();
        assert_eq!(encoded.ids, case.padded, "{:?}", case.text);
        let cut = case.ids.len().saturating_sub(vectors.length);
        assert_eq!(encoded.truncated, cut, "{:?}", case.text);
        let whole = t5.encode(&case.text, 1000).unwrap();
        assert_eq!(whole.ids[..case.ids.len()], case.ids, "{:?}", case.text);
    }
}

#[test]
fn a_learned_word_stands_for_all_of_its_vectors() {
    let (_, original) = vectors();
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(original.join("tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let added = json["added_tokens"].as_array_mut().unwrap();
    for (word, id) in [("<cat>", 90_000), ("<cat>_1", 90_001)] {
        added.push(serde_json::json!({
            "id": id, "content": word, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": false,
        }));
    }
    fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let t5 = T5::load(folder.path()).unwrap();
    let ids = t5.encode("<cat>", 4).unwrap().ids;
    // Numbers of added tokens are the tokenizer's own.
    assert_eq!(ids[1], ids[0] + 1);
    assert_eq!(ids, t5.encode("<cat><cat>_1", 4).unwrap().ids);
}

#[test]
fn a_folder_with_sentencepiece_alone_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let message = || T5::load(folder.path()).unwrap_err().to_string();
    assert!(message().contains("tokenizer.json"), "{}", message());
    fs::write(folder.path().join("spiece.model"), "a model").unwrap();
    assert!(message().contains("holds spiece.model but no tokenizer.json"), "{}", message());
    assert!(message().contains("AutoTokenizer.from_pretrained"), "{}", message());
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(message().contains("restore it from the model's export"), "{}", message());
}
