"""Writes the files of a CLIP tokenizer: byte letters, the same letters at a word's end, merges, two specials."""

import json

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def alphabet():
    """The 256 letters that stand for bytes, in CLIP's order: printable ones first, "!" at 0."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    letters = [chr(byte) for byte in printable]
    letters += [chr(256 + i) for i in range(256 - len(letters))]
    assert sorted(letters) == sorted(pre_tokenizers.ByteLevel.alphabet())
    return letters


def room(size):
    """How many merges fit a vocabulary of `size`."""
    return size - 2 * 256 - 2


def write(folder, merges, size, positions, pad=END):
    """`merges` are pairs of tokens; ids that they leave free become unused tokens, the specials are last."""
    merges = list(merges)[: room(size)]
    tokens = alphabet() + [letter + "</w>" for letter in alphabet()]
    tokens += list(dict.fromkeys("".join(pair) for pair in merges))
    tokens += [f"<|unused{i}|>" for i in range(size - 2 - len(tokens))] + [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocab, table = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    table.write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    tokenizer = CLIPTokenizer(str(vocab), str(table), model_max_length=positions, pad_token=pad)
    tokenizer.save_pretrained(folder)
    return tokenizer


def read_merges(folder):
    lines = (folder / "merges.txt").read_text().splitlines()[1:]
    return [tuple(line.split()) for line in lines if line]
