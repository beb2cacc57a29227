"""Token ids of awkward text: CLIP's from transformers' slow CLIPTokenizer without ftfy, T5's from its fast one.

    python -m vectors.tokenizer
    python -m vectors.tokenizer --random 4000 DIR     as many random texts, of every script, for HEARTH_TOKENIZER_VECTORS

The slow tokenizer is the reference since folders hold vocab.json and merges.txt
but no tokenizer.json. With ftfy installed it would repair text first; pipelines
in production rarely have it, so here it must be absent.
"""

import argparse
import importlib.util
import random
import unicodedata
from pathlib import Path

from transformers import CLIPTokenizer, T5TokenizerFast

from . import files

ABOUT = """\
text -> ids as CLIPTokenizer (slow, no ftfy) gives them with its special tokens and no truncation or padding; \
padded: padding="max_length", truncation=True, max_length = model_max_length of the folder, as pipelines call it. \
The vocabulary is the folder's `model`. Without ftfy the text goes through BERT's basic tokenizer first \
(U+0000, U+FFFD, control and format characters dropped, CJK ideographs set apart by spaces, NFC, split at whitespace, \
lowercased with accents kept, punctuation not split), \
then words by CLIP's pattern, bytes to letters, merges with the last letter marked </w>.\
"""

TEXTS = [
    "", " ", "red heart", "Red Heart", "RED HEART", "  red   heart  ", "red\theart\n", "red\u00a0heart", "red\u3000heart",
    "red heart, blue heart", "red-heart", "red_heart", "(red heart)", "[red] {heart}", "red heart!", "red heart!!!",
    "what?!", "hi! there", "a!b", "!a", "! a", "…", "a.b.c", "3.14", "100%", "#1", "@home", "1234567890", "12 34", "2nd", "x2", "20-step", "1,000,000",
    "don't", "I'm", "we've they'll you'd it's", "DON'T", "'quoted'", "rock 'n' roll", "'s", "’s", "don’t", "`tick`",
    "\"double\"", "a/b\\c", "a|b", "a&b", "a+b=c", "<b>bold</b>", "<|startoftext|>", "<|endoftext|>", "a <|endoftext|> b",
    "<|STARTOFTEXT|>", "café", "cafe\u0301", "naïve façade", "ÀÉÎÕÜ", "straße", "STRASSE ß", "İstanbul", "ﬁne ﬂow", "Ω ohm",
    "ΣΊΣΥΦΟΣ", "привет мир", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "你好世界", "hello你好world", "日本語のテキスト",
    "カタカナ", "ｶﾀｶﾅ", "ｆｕｌｌ ｗｉｄｔｈ", "한국어 문장", "𠀀𠀁", "😀", "😀😀", "red ❤️ heart", "❤", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "a😀b", "☃ snowman", "™ © ®", "½ ² Ⅷ ①", "٣ ५",
    "a\u200bb", "a\u200db", "a\u00adb", "\ufeffbom", "a\u0000b", "a\u0007b", "a\ufffdb", "a\u2028b", "zero\u2060width", "tab\tand\rreturn\n\n",
    "cheese wedge", "tiger face", "smiling face with heart-eyes", "Mount Fuji", "twelve o’clock", "piñata", "Côte d’Ivoire",
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis", "a" * 100, "ab" * 60, "w" * 300, "é" * 40, "😀" * 30,
    "hmmmmmmmm", "aaaa bbbb cccc", "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c",
    "a very long prompt that goes on and on about a red heart and a blue heart and a tiger face until no model could hold it all",
    " ".join(["heart"] * 90), "!" * 50, "- " * 40, ".,;:!?", "–—−", "„deutsch“ «français»", "¿Qué?", "e\u0301\u0302\u0303", "α\u0345 a\u0345b", "'ſ 'LL don'T", "I\u0307", "ǅ ǆ Ǆ",
    "(word:1.2)", "((masterpiece)), [bad]", "a:b:c", "https://example.org/a?b=c&d=e", "name@example.org", "C++ & C#", "snake_case CamelCase", "\\n literal",
]


# The second one pads with "!", which makes it a special token wherever it stands in a text.
MODELS = {"clip_tokenizer": "models/emoji", "clip_tokenizer_tiny_sd": "tests/models/tiny-sd"}


T5, T5_LENGTH = "tests/models/tiny-sd3", 24
ABOUT_T5 = """\
text -> ids as T5TokenizerFast gives them with its end token and no truncation or padding; \
padded: padding="max_length", truncation=True, max_length = `length`.\
"""


def main():
    if importlib.util.find_spec("ftfy"):
        raise SystemExit("ftfy is installed here and changes the ids: remove it")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=files.OUT)
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N random texts instead, written to FOLDER")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    texts = [random_text(chance) for _ in range(args.random)] or TEXTS
    for name, folder in MODELS.items():
        write_model(args.folder / f"{name}.json", folder, texts)
    if not args.random:
        write_t5()


# Letters of many scripts, spaces, signs, controls, private ones, emoji.
RANGES = [
    (0x00, 0x24F), (0x250, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0x1100, 0x11FF), (0x1E00, 0x206F), (0x2070, 0x2BFF),
    (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xAD00), (0xE000, 0xE010), (0xF900, 0xFFFF), (0x10000, 0x10FFF),
    (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x20100),
]


def random_text(chance):
    """Pieces of the texts above and of any script, with and without spaces between."""
    pieces = [word for text in TEXTS for word in text.split()]
    out = []
    for _ in range(chance.randint(1, 8)):
        plain = chance.random() < 0.35
        out.append(chance.choice(pieces) if plain else "".join(letter(chance) for _ in range(chance.randint(1, 6))))
        out.append(chance.choice(["", "", " ", "  ", "\t", ", "]))
    return "".join(out)


def letter(chance):
    """Not an unassigned one: which are differs between versions of Unicode. No half of a pair either."""
    while True:
        found = chr(chance.randint(*chance.choice(RANGES)))
        if unicodedata.category(found) not in ("Cn", "Cs"):
            return found


def write_model(path, folder, texts):
    tokenizer = CLIPTokenizer.from_pretrained(files.ROOT / folder / "tokenizer")
    head = {
        "about": ABOUT,
        "model": folder,
        "model_max_length": tokenizer.model_max_length,
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "pad": tokenizer.pad_token_id,
    }
    files.write(path, head, [case(tokenizer, text) for text in texts])


def write_t5():
    tokenizer = T5TokenizerFast.from_pretrained(files.ROOT / T5 / "tokenizer_3")
    head = {"about": ABOUT_T5, "model": f"{T5}/tokenizer_3", "length": T5_LENGTH}
    files.write(files.OUT / "t5_tokenizer.json", head, [case(tokenizer, text, T5_LENGTH) for text in TEXTS])


def case(tokenizer, text, length=None):
    length = length or tokenizer.model_max_length
    padded = tokenizer(text, padding="max_length", truncation=True, max_length=length)
    return {"text": text, "ids": tokenizer(text)["input_ids"], "padded": padded["input_ids"]}


if __name__ == "__main__":
    main()
