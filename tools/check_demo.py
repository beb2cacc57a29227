"""Does the demo model draw what it is asked for?

    python check_demo.py models/emoji --emojibase DIR [--sheet FILE] [--all]

For 20 known prompts and 4 seeds each, the nearest training picture (mean squared
difference of pixels) must bear the prompt's label in at least 60 % of the cases.
`--all` asks for every label once instead, which is the figure on the card.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from optimum.onnxruntime import ORTStableDiffusionPipeline
from PIL import Image, ImageDraw

from train_demo import pictures

PROMPTS = [
    "red heart", "blue heart", "broken heart", "grinning face", "face with tears of joy", "dog face", "cat face",
    "tiger face", "panda", "unicorn", "owl", "octopus", "sunflower", "red apple", "strawberry", "pizza", "hamburger",
    "house", "rocket", "soccer ball",
]
PASS = 0.6
STEPS, GUIDANCE, SEEDS = 20, 2.0, 4
CELL = 96


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--emojibase", type=Path, required=True, help="the unpacked npm package emojibase-data")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet: seeds beside the training picture")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    known = json.loads((args.model / "labels.json").read_text())
    labels, training = pictures.render_all(args.emojibase, chosen=set(known))
    prompts, seeds = (labels, 1) if args.all else (PROMPTS, SEEDS)
    pipe = load(args.model, args.threads)
    rows, right = [], 0
    for prompt in prompts:
        drawn = draw(pipe, prompt, seeds)
        hits = [labels[nearest(picture, training)] == prompt for picture in drawn]
        right += sum(hits)
        rows.append((prompt, drawn, training[labels.index(prompt)] if prompt in labels else None))
        print(f"{prompt}: {sum(hits)}/{seeds}", flush=True)
    share = right / (len(prompts) * seeds)
    print(f"{share:.1%} of {len(prompts)} prompts x {seeds} seeds are nearest to their label's picture")
    if args.sheet:
        sheet(rows).save(args.sheet)
    sys.exit(0 if share >= PASS else 1)


def load(folder, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    pipe = ORTStableDiffusionPipeline.from_pretrained(folder, session_options=options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, prompt, seeds):
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in range(seeds)]
    images = pipe(
        prompt, num_images_per_prompt=seeds, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generators
    ).images
    return [np.asarray(image.convert("RGB")) for image in images]


def nearest(picture, training):
    difference = training.astype(np.float32) - picture.astype(np.float32)
    return int(np.square(difference).mean((1, 2, 3)).argmin())


def sheet(rows, columns=4):
    """`columns` prompts side by side; each shows its pictures, then the training one, then its name."""
    wide = (len(rows[0][1]) + 1) * CELL + 16
    high = CELL + 24
    out = Image.new("RGB", (columns * wide, -(-len(rows) // columns) * high), "white")
    pen = ImageDraw.Draw(out)
    for index, (prompt, drawn, original) in enumerate(rows):
        x, y = index % columns * wide, index // columns * high
        for i, picture in enumerate([*drawn, original]):
            if picture is not None:
                image = Image.fromarray(picture).resize((CELL - 4, CELL - 4), Image.Resampling.BICUBIC)
                out.paste(image, (x + i * CELL, y))
        pen.text((x + 4, y + CELL), prompt, fill="black", font_size=14)
    return out


if __name__ == "__main__":
    main()
