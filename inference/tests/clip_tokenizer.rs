//! CLIP's token ids, against transformers' slow tokenizer without ftfy
//! (`vectors/clip_tokenizer.json`), on the demo model's vocabulary.

#![expect(clippy::unwrap_used, reason = "a test stops at what it doesn't expect")]

use std::fs;
use std::path::{Path, PathBuf};

use hearth_inference::tokenizers::{Clip, Error};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Vectors {
    model: String,
    model_max_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<i64>,
    padded: Vec<i64>,
}

#[test]
fn every_text_has_the_slow_tokenizers_ids() {
    for vectors in all_vectors() {
        let clip = Clip::load(&vectors.tokenizer()).unwrap();
        assert_eq!(clip.max_length(), vectors.model_max_length);
        assert!(vectors.cases.len() > 100);
        for case in &vectors.cases {
            let encoded = clip.encode(&case.text);
            assert_eq!(encoded.ids, case.padded, "{:?}", case.text);
            let cut = case.ids.len().saturating_sub(vectors.model_max_length);
            assert_eq!(encoded.truncated, cut, "{:?}", case.text);
        }
    }
}

/// Between start and end, without padding and with nothing cut.
#[test]
fn long_texts_have_the_slow_tokenizers_ids() {
    for vectors in all_vectors() {
        let clip = Clip::load(&vectors.tokenizer()).unwrap();
        for case in &vectors.cases {
            let tokens: Vec<_> = clip.tokenize(&case.text).into_iter().map(i64::from).collect();
            assert_eq!(tokens, case.ids[1..case.ids.len() - 1], "{:?}", case.text);
        }
    }
}

/// As diffusers' `maybe_convert_prompt` reads them.
#[test]
fn a_learned_word_stands_for_all_of_its_vectors() {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(tokenizer_folder()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let path = folder.path().join("tokenizer_config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for (word, id) in [("<cat>", 5000), ("<cat>_1", 5001), ("<cat>_2", 5002), ("<dog>", 5003)] {
        config["added_tokens_decoder"][id.to_string()] = json!({"content": word, "special": false});
    }
    fs::write(&path, config.to_string()).unwrap();
    let clip = Clip::load(folder.path()).unwrap();
    let heart = clip.tokenize("heart");
    assert_eq!(clip.tokenize("<cat>"), [5000, 5001, 5002]);
    assert_eq!(
        clip.tokenize("heart<cat>heart"),
        [&heart[..], &[5000, 5001, 5002], &heart].concat()
    );
    assert_eq!(clip.tokenize("<cat> <cat>_1 <cat>_2"), [5000, 5001, 5002]);
    assert_eq!(clip.tokenize("<dog> <cat>"), [5003, 5000, 5001, 5002]);
}

#[test]
fn tokens_are_words_again() {
    let clip = Clip::load(&tokenizer_folder()).unwrap();
    for (text, again) in [
        ("red heart", "red heart"),
        ("  A Tiger,  face ", "a tiger , face"),
        ("❤️ 猫 café", "❤\u{fe0f} 猫 café"),
        ("a <|endoftext|> b", "a <|endoftext|>b"),
        ("", ""),
    ] {
        assert_eq!(clip.text(&clip.tokenize(text)), again);
    }
    let halved = clip.text(&clip.tokenize("😀")[..1]);
    assert!(halved.contains('\u{fffd}'), "a letter's half is shown as such: {halved:?}");
}

/// Stable Diffusion 2 pads with `!`, id 0, and finds it in prompts as the token that it is.
#[test]
fn the_pad_token_is_the_folders() {
    let folder = changed_copy(|config| {
        config["pad_token"] = json!("!");
        config["added_tokens_decoder"]["0"] = json!({"content": "!", "special": true});
    });
    let clip = Clip::load(folder.path()).unwrap();
    let encoded = clip.encode("red heart!");
    assert_eq!(encoded.ids[..5], [2046, 756, 591, 0, 2047]);
    assert!(encoded.ids[5..].iter().all(|id| *id == 0));
}

/// Older folders list no added tokens; their map has the last word.
#[test]
fn older_folders_are_read_by_their_map() {
    let folder = changed_copy(|config| {
        config.as_object_mut().unwrap().remove("added_tokens_decoder");
        config["pad_token"] = json!("<|endoftext|>");
    });
    let map = folder.path().join("special_tokens_map.json");
    fs::write(map, r#"{"pad_token": "!", "bos_token": {"content": "<|startoftext|>"}}"#).unwrap();
    let clip = Clip::load(folder.path()).unwrap();
    assert_eq!(clip.encode("red heart").ids[..5], [2046, 756, 591, 2047, 0]);
}

/// Newer versions of transformers save no more than `tokenizer.json`, and run it.
#[test]
fn a_folder_with_tokenizer_json_alone_is_run_as_it_says() {
    let folder = changed_copy(|config| {
        config.as_object_mut().unwrap().remove("added_tokens_decoder");
    });
    let whole = whole_tokenizer(folder.path());
    fs::remove_file(folder.path().join("vocab.json")).unwrap();
    fs::remove_file(folder.path().join("merges.txt")).unwrap();
    let refusal = Clip::load(folder.path()).unwrap_err().to_string();
    assert!(refusal.contains("vocab.json"), "{refusal}");
    fs::write(folder.path().join("tokenizer.json"), whole.to_string()).unwrap();

    let clip = Clip::load(folder.path()).unwrap();
    let plain = |case: &&Case| case.text.chars().all(|char| matches!(char, ' '..='~'));
    let vectors = vectors();
    let cases: Vec<_> = vectors.cases.iter().filter(plain).collect();
    assert!(cases.len() > 50, "{}", cases.len());
    for case in cases {
        assert_eq!(clip.encode(&case.text).ids, case.padded, "{:?}", case.text);
    }
    assert_eq!(clip.text(&clip.tokenize("  A Tiger,  face ")), "a tiger , face");
}

/// The `tokenizer.json` that transformers makes of the folder's vocabulary and merges.
fn whole_tokenizer(folder: &Path) -> Value {
    let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let vocab: Value = serde_json::from_str(&text("vocab.json")).unwrap();
    let merges = text("merges.txt");
    let merges: Vec<Vec<_>> =
        merges.lines().skip(1).map(|line| line.split(' ').collect()).collect();
    let special = |content: &str| {
        let id = &vocab[content];
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": true, "special": true})
    };
    let words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    json!({
        "version": "1.0", "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0,
            "direction": "Right"}, "padding": null,
        "added_tokens": [special("<|startoftext|>"), special("<|endoftext|>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": true},
        ]},
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<|endoftext|>",
            "continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges},
    })
}

#[test]
fn unusable_folders_say_what_is_wrong() {
    let message = |folder: &Path| Clip::load(folder).unwrap_err().to_string();
    assert!(message(Path::new("/nowhere")).contains("/nowhere/vocab.json"));

    let folder = changed_copy(|config| config["model_max_length"] = json!(1e30));
    assert!(
        message(folder.path()).contains("`model_max_length` is 1e+30; give the model's length")
    );

    let folder = changed_copy(|config| config["padding_side"] = json!("left"));
    assert!(message(folder.path()).contains("`padding_side` is \"left\""));

    let folder = changed_copy(|config| config["pad_token"] = json!("[PAD]"));
    assert!(message(folder.path()).contains("`pad_token` is \"[PAD]\""));

    let folder = changed_copy(|_| {});
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\ni n\nŽŽ q\n").unwrap();
    assert!(message(folder.path()).contains("line 3, `ŽŽ q`: `ŽŽ` is not in vocab.json"));

    fs::write(folder.path().join("vocab.json"), "[1]").unwrap();
    assert!(matches!(Clip::load(folder.path()), Err(Error::Malformed { .. })));
}

impl Vectors {
    fn tokenizer(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&self.model).join("tokenizer")
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/clip_tokenizer.json")).unwrap()
}

/// The second one's tokenizer pads with a letter. `HEARTH_TOKENIZER_VECTORS` is a folder of more
/// (`python -m vectors.tokenizer --random N DIR`).
fn all_vectors() -> Vec<Vectors> {
    let padded = include_str!("vectors/clip_tokenizer_tiny_sd.json");
    let mut all = vec![vectors(), serde_json::from_str(padded).unwrap()];
    if let Some(folder) = std::env::var_os("HEARTH_TOKENIZER_VECTORS") {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                all.push(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap());
            }
        }
    }
    all
}

fn tokenizer_folder() -> PathBuf {
    vectors().tokenizer()
}

/// The demo model's tokenizer in a folder of its own, with its config changed.
fn changed_copy(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(tokenizer_folder().join(name), folder.path().join(name)).unwrap();
    }
    let text = fs::read_to_string(tokenizer_folder().join("tokenizer_config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    change(&mut config);
    fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    folder
}
