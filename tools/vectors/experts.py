"""A picture that Stable Diffusion XL's base begins and its refiner ends, by diffusers.

    python -m vectors.experts
"""

import json
import sys

import diffusers
import numpy as np
import torch

from export.tiny import families

from . import files
from .families import record_steps

BASE, REFINER = "tiny-sdxl", "tiny-sdxl-refiner"
ABOUT = """\
diffusers' ensemble of experts, in torch, on the weights of the ONNX folders `base` and `refiner`: the base's pipeline with `first` and \
output_type="latent" gives `latents`, f32 [1, channels, rows, columns]; the refiner's with `second` and image=latents gives `image`, \
u8 [height, width, 3] RGB. Both have torch.Generator("cpu").manual_seed(seed), and DDIM or the folder's scheduler as `scheduler` says. \
`step_latents`: f32 [steps, ...], the refiner's latents after each step. Arrays are {shape, dtype, zlib_base64}: little endian, C order, \
zlib, base64.\
"""
PROMPT = {"prompt": "red heart", "num_inference_steps": 10}
CASES = [
    (PROMPT | {"seed": 1, "denoising_end": 0.8}, PROMPT | {"seed": 1, "denoising_start": 0.8}, None),
    (PROMPT | {"seed": 2, "denoising_end": 0.6, "width": 48, "height": 32}, PROMPT | {"seed": 3, "denoising_start": 0.6}, "ddim"),
    # Not an ensemble: what the base has ended is changed by the refiner.
    (PROMPT | {"seed": 4}, PROMPT | {"seed": 4, "strength": 0.4}, None),
]


def main():
    torch.set_num_threads(1)
    head = {"about": ABOUT, "base": f"tests/models/{BASE}", "refiner": f"tests/models/{REFINER}", "diffusers": diffusers.__version__}
    files.write(files.OUT / "pipelines" / "experts.json", head, [answer(*case) for case in CASES])


def answer(first, second, scheduler):
    latents = run(pipeline(BASE, scheduler), first, output_type="latent")
    refiner = pipeline(REFINER, scheduler)
    given = {}
    steps = record_steps(refiner, given)
    image = run(refiner, second, output_type="pil", image=latents, **given)[0]
    return {
        "first": first, "second": second, "scheduler": scheduler,
        "latents": files.packed(latents.numpy()),
        "image": files.packed(np.asarray(image.convert("RGB"))),
        "step_latents": files.packed(np.stack(steps)),
    }


def pipeline(name, scheduler):
    pipe = families.build(name)
    config = json.loads((files.ROOT / "tests/models" / name / "scheduler/scheduler_config.json").read_text())
    if scheduler == "ddim":
        pipe.scheduler = diffusers.DDIMScheduler.from_config(config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe, request, **kwargs):
    request = dict(request)
    generator = torch.Generator("cpu").manual_seed(request.pop("seed"))
    return pipe(generator=generator, **request, **kwargs).images


if __name__ == "__main__":
    sys.exit(main())
