"""The training as one command with resumable stages; see tools/README.md.

    python -m train_demo all --emojibase DIR --work DIR --out models/emoji

Stages: `unet` and `decoder` can run in any order or side by side, `export`
writes the folder from whatever checkpoints there are, `all` does the three.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from . import codec, export, model, pictures, train, warm


def main():
    parser = argparse.ArgumentParser(prog="python -m train_demo", description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=["unet", "decoder", "export", "all"])
    parser.add_argument("--emojibase", type=Path, required=True, help="the unpacked npm package emojibase-data")
    parser.add_argument("--font", type=Path, default=pictures.FONT)
    parser.add_argument("--work", type=Path, required=True, help="checkpoints; continued if they exist")
    parser.add_argument("--out", type=Path, help="the model folder that `export` writes")
    parser.add_argument("--init-from", type=Path, help="start from an exported folder: tokenizer, codec basis, weights")
    parser.add_argument("--minutes", type=float, default=180, help="training time of the UNet")
    parser.add_argument("--decoder-minutes", type=float, default=15)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.stage in ("export", "all") and args.out is None:
        parser.error("--out is needed to export")
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    say = partial(print, flush=True)

    labels, drawn = pictures.render_all(args.emojibase, args.font, set(pictures.read_labels()))
    everything = pictures.render_all(args.emojibase, args.font)[1]
    say(f"{len(labels)} pictures of {len(everything)}")
    tokenizer = get_tokenizer(args, labels)
    analysis = get_analysis(args, everything)
    trainer = get_trainer(args)
    if args.stage in ("unet", "all"):
        train_unet(args, trainer, tokenizer, analysis, labels, drawn, say)
    if args.stage in ("decoder", "all"):
        # It sees every emoji, for breadth, and most often those that it will be asked for.
        mixed = np.concatenate([everything, drawn, drawn])
        codec.train_decoder(analysis, mixed, args.decoder_minutes, args.work / "decoder.pt", say=say)
    if args.stage in ("export", "all"):
        decoder = codec.Decoder(analysis)
        decoder.load_state_dict(torch.load(args.work / "decoder.pt"))
        export.write_folder(args.out, trainer.use_averages(), analysis, decoder.eval(), tokenizer, labels)
        pixels = codec.to_unit(drawn)
        say(f"codec: {codec.psnr(decoder, analysis, pixels):.2f} dB, ", end="")
        say(f"linear: {codec.psnr(analysis.synthesis, analysis, pixels):.2f} dB")
        say(f"{trainer.step} steps, {trainer.seconds / 60:.0f} minutes")


def get_tokenizer(args, labels):
    folder = args.work / "tokenizer"
    if not folder.exists():
        if args.init_from:
            CLIPTokenizer.from_pretrained(args.init_from / "tokenizer").save_pretrained(folder)
        else:
            model.train_tokenizer([label.lower() for label in labels], folder)
    return CLIPTokenizer.from_pretrained(folder)


def get_analysis(args, everything):
    path = args.work / "analysis.pt"
    if not path.exists():
        found = export.read_analysis(args.init_from) if args.init_from else codec.Analysis.fit(everything)
        torch.save(list(found.buffers()), path)
    return codec.Analysis(*torch.load(path))


def get_trainer(args):
    torch.manual_seed(0)
    encoder, unet = model.text_encoder(), model.unet()
    path = args.work / "unet.pt"
    if args.init_from and not path.exists():
        warm.load_weights(encoder, args.init_from / "text_encoder" / "model.onnx")
        warm.load_weights(unet, args.init_from / "unet" / "model.onnx")
    trainer = train.Trainer(encoder, unet, args.rate)
    if path.exists():
        trainer.load(path)
    return trainer


def train_unet(args, trainer, tokenizer, analysis, labels, drawn, say):
    """A picture that the starting model knows comes half as often as a new one."""
    known = set(json.loads((args.init_from / "labels.json").read_text())) if args.init_from else set()
    weights = torch.tensor([1.0 if label in known else 2.0 for label in labels])
    with torch.no_grad():
        latents = analysis(codec.to_unit(np.asarray(drawn)))
    captions = train.tokenize(tokenizer, labels)
    alphas = model.scheduler().alphas_cumprod.double()
    torch.manual_seed(trainer.step)
    train.run(trainer, latents, captions, alphas, weights, args.minutes, args.work / "unet.pt", say=say)


if __name__ == "__main__":
    main()
