//! Prompt tokenizers.
