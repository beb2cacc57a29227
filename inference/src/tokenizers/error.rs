//! What can be wrong with a tokenizer folder; each message names file, field and remedy.

use std::path::PathBuf;

/// Why no tokenizer could be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that can't be read.
    #[error("can't read {}; a tokenizer's folder holds tokenizer_config.json with vocab.json and merges.txt or tokenizer.json (CLIP), or tokenizer.json (T5)", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    /// A file that is not what its name says.
    #[error("{}: {problem}; restore it from the model's export", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// T5's sentencepiece model without the file that is read.
    #[error(
        "{0} holds spiece.model but no tokenizer.json; make it in Python: \
         transformers.AutoTokenizer.from_pretrained({0:?}).save_pretrained({0:?})",
        folder.display()
    )]
    SentencePiece {
        /// The tokenizer's folder.
        folder: PathBuf,
    },

    /// A prompt that the tokenizer can't take.
    #[error("the prompt can't be tokenized: {problem}")]
    Text {
        /// The tokenizer's words.
        problem: String,
    },

    /// A setting that makes no usable tokenizer.
    #[error("{}: `{key}` is {value}; give {expected}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What would do.
        expected: String,
    },
}
