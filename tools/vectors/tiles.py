"""Pictures of diffusers' torch pipelines whose VAE works in tiles, on the small models of `export.tiny`.

    python -m vectors.tiles
"""

import json
import sys

import diffusers
import numpy as np
import torch
from PIL import Image

from export.tiny import families

from . import files
from .families import shared
from .requests import mask, picture

ABOUT = """\
diffusers' picture, in torch, for each `request` to the folder `model`, with the folder's scheduler. The VAE works in tiles of \
`tile` pixels a side, which share `overlap` of it with the next. The image has torch.Generator("cpu").manual_seed(seed). \
`inputs`: what requests name as `image` and `mask_image`. `image`: u8 [height, width, 3] RGB. \
Arrays are {shape, dtype, zlib_base64}: little endian, C order, zlib, base64.\
"""
INPUTS = {"image": picture(64, 96), "mask": mask(64, 96)}
BASE = {"prompt": "red heart", "num_inference_steps": 2, "guidance_scale": 3.0}
T5 = {"max_sequence_length": 16}
CHANGE = {"image": "image", "strength": 0.5, "height": 64, "width": 96}
FILL = {"image": "image", "mask_image": "mask", "strength": 0.9, "height": 64, "width": 96}

CASES = [
    ("tiny-sd", None, 32, 0.25, {"seed": 1, "width": 96, "height": 80}),
    ("tiny-sd", None, 32, 0.5, {"seed": 2, "width": 104, "height": 56}),
    ("tiny-sd", "StableDiffusionImg2ImgPipeline", 48, 0.25, {"seed": 3, **CHANGE}),
    ("tiny-sdxl", "StableDiffusionXLInpaintPipeline", 32, 0.25, {"seed": 4, **FILL}),
    ("tiny-sd3", None, 32, 0.25, {"seed": 5, "width": 48, "height": 40, **T5}),
    ("tiny-flux-dev", "FluxImg2ImgPipeline", 32, 0.375, {"seed": 6, **CHANGE, **T5}),
]


def main():
    torch.set_num_threads(1)
    inputs = {key: files.packed(value) for key, value in INPUTS.items()}
    head = {"about": ABOUT, "diffusers": diffusers.__version__, "inputs": inputs}
    files.write(files.OUT / "pipelines" / "tiles.json", head, [answer(*case) for case in CASES])


def answer(name, pipeline, tile, overlap, request):
    pipe = families.build(name)
    if pipeline:
        pipe = getattr(diffusers, pipeline)(**shared(pipe, pipeline))
        pipe.set_progress_bar_config(disable=True)
    config = json.loads((files.ROOT / "tests/models" / name / "scheduler/scheduler_config.json").read_text())
    pipe.scheduler = type(pipe.scheduler).from_config(config)
    cell = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    pipe.vae.enable_tiling()
    pipe.vae.tile_sample_min_size, pipe.vae.tile_latent_min_size = tile, tile // cell
    pipe.vae.tile_overlap_factor = overlap
    given = BASE | request
    arguments = {key: Image.fromarray(INPUTS[value]) if value in INPUTS else value for key, value in given.items()}
    generator = torch.Generator("cpu").manual_seed(arguments.pop("seed"))
    image = pipe(generator=generator, output_type="pil", **arguments).images[0]
    return {
        "model": f"tests/models/{name}", "tile": tile, "overlap": overlap, "request": given,
        "image": files.packed(np.asarray(image.convert("RGB"))),
    }


if __name__ == "__main__":
    sys.exit(main())
