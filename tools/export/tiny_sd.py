"""A Stable Diffusion of random weights that shares no size with the demo model, exported by optimum.

    python -m export.tiny_sd tests/models/tiny-sd

It stands for the folder that a loader has never seen: 8 latent channels, a VAE
factor of 2, epsilon prediction, a scaling factor, a tokenizer that pads with "!"
(which thereby is a special token in prompts too, as in Stable Diffusion 2),
other widths throughout.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from optimum.exporters.onnx import main_export
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import clip_bpe
import manifest
from export import clip_skip

VOCABULARY, POSITIONS, WIDTH, LATENT = 700, 20, 40, 8
MERGES = "h e,r e,re d</w>,t h,th e</w>,a n,i n,he a,hea r,hear t</w>,t i,ti g,tig er</w>,e r</w>,f a,fa c,fac e</w>"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory() as source:
        build(Path(source)).save_pretrained(source)
        main_export(source, args.out, task="text-to-image", library_name="diffusers", opset=18)
    clip_skip.extend(args.out / "text_encoder" / "model.onnx")
    for path in args.out.rglob("*.json"):
        forget_source(path)
    manifest.write(args.out)


def forget_source(path):
    """diffusers notes the folder it loaded from, which is nobody's business and differs each time."""
    config = json.loads(path.read_text())
    if config.pop("_name_or_path", None) is not None:
        path.write_text(json.dumps(config, indent=2) + "\n")


def build(folder):
    merges = [tuple(pair.split(" ")) for pair in MERGES.split(",")]
    return StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_encoder(),
        tokenizer=clip_bpe.write(folder / "tokenizer", merges, VOCABULARY, POSITIONS, pad="!"),
        unet=unet(),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
            set_alpha_to_one=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def text_encoder():
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=96, projection_dim=WIDTH, num_hidden_layers=2,
            num_attention_heads=5, max_position_embeddings=POSITIONS, hidden_act="gelu", initializer_range=0.3,
            bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1, pad_token_id=0,
        )
    )


def unet():
    return UNet2DConditionModel(
        sample_size=16, in_channels=LATENT, out_channels=LATENT, layers_per_block=1, block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=4, norm_num_groups=8,
    )


def vae():
    return AutoencoderKL(
        latent_channels=LATENT, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1, sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.4,
    )


if __name__ == "__main__":
    main()
