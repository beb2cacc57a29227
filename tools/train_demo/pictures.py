"""Renders the training pictures: one 64x64 RGB emoji per label, on white."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = 64
STRIKE = 109  # the one bitmap size that Noto Color Emoji holds
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LABELS = Path(__file__).with_name("labels.txt")


def render_all(emojibase, font_path=FONT, chosen=None):
    """Returns (labels, pictures u8 [N,64,64,3]); `chosen` None means every emoji without skin tone.

    A label that the font has no picture for is left out.
    """
    font = ImageFont.truetype(str(font_path), STRIKE, layout_engine=ImageFont.Layout.RAQM)
    labels, pictures = [], []
    for label, text in read_emojibase(emojibase).items():
        if chosen is not None and label not in chosen:
            continue
        picture = render(font, text)
        if picture is not None:
            labels.append(label)
            pictures.append(picture)
    return labels, np.stack(pictures)


def read_emojibase(package):
    """Label to emoji, in Unicode's order, from the unpacked npm package emojibase-data."""
    entries = json.loads((Path(package) / "en" / "data.json").read_text())
    entries = [entry for entry in entries if "group" in entry]
    entries.sort(key=lambda entry: entry["order"])
    return {entry["label"]: entry["emoji"] for entry in entries}


def read_labels(path=LABELS):
    """The labels of labels.txt; lines that begin with # name the group that follows."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def render(font, text):
    """One picture, or None where the font lacks the emoji (nothing drawn, or not joined to one glyph)."""
    left, top, right, bottom = font.getbbox(text)
    if right - left > 1.3 * STRIKE or right <= left:
        return None
    canvas = Image.new("RGBA", (right - left, bottom - top), (255, 255, 255, 0))
    ImageDraw.Draw(canvas).text((-left, -top), text, font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None:
        return None
    return np.asarray(fit(canvas))


def fit(canvas):
    """Halves the middle 128x128 of the font's 136x128 bitmap: no emoji reaches into the rest."""
    side = min(canvas.size)
    square = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    square.alpha_composite(canvas, ((0, 0)), ((canvas.width - side) // 2, (canvas.height - side) // 2))
    return square.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
