"""What diffusers' pipelines take, and their defaults, by family and task.

    python -m vectors.signatures

One case per pipeline class: the arguments of its `__call__` with those defaults that are plain
values. Tests hold our defaults and our request's fields against it.
"""

import inspect
import sys

import diffusers

from . import files

ABOUT = """\
The arguments of diffusers' pipelines, from inspect.signature of their __call__: `defaults` by name, `required` those without one. \
`family` and `task` are ours.\
"""
PIPELINES = {
    "stable-diffusion": {
        "text-to-image": "StableDiffusionPipeline",
        "image-to-image": "StableDiffusionImg2ImgPipeline",
        "inpainting": "StableDiffusionInpaintPipeline",
    },
    "latent-consistency": {
        "text-to-image": "LatentConsistencyModelPipeline",
        "image-to-image": "LatentConsistencyModelImg2ImgPipeline",
    },
    "stable-diffusion-xl": {
        "text-to-image": "StableDiffusionXLPipeline",
        "image-to-image": "StableDiffusionXLImg2ImgPipeline",
        "inpainting": "StableDiffusionXLInpaintPipeline",
    },
    "stable-diffusion-3": {
        "text-to-image": "StableDiffusion3Pipeline",
        "image-to-image": "StableDiffusion3Img2ImgPipeline",
        "inpainting": "StableDiffusion3InpaintPipeline",
    },
    "flux": {
        "text-to-image": "FluxPipeline",
        "image-to-image": "FluxImg2ImgPipeline",
        "inpainting": "FluxInpaintPipeline",
    },
    "unconditional": {"DDPMPipeline": "DDPMPipeline", "DDIMPipeline": "DDIMPipeline",
                      "ConsistencyModelPipeline": "ConsistencyModelPipeline"},
}
CONTROL = {
    "stable-diffusion": {
        "text-to-image": "StableDiffusionControlNetPipeline",
        "image-to-image": "StableDiffusionControlNetImg2ImgPipeline",
        "inpainting": "StableDiffusionControlNetInpaintPipeline",
    },
    "stable-diffusion-xl": {
        "text-to-image": "StableDiffusionXLControlNetPipeline",
        "image-to-image": "StableDiffusionXLControlNetImg2ImgPipeline",
        "inpainting": "StableDiffusionXLControlNetInpaintPipeline",
    },
    "stable-diffusion-3": {
        "text-to-image": "StableDiffusion3ControlNetPipeline",
        "inpainting": "StableDiffusion3ControlNetInpaintingPipeline",
    },
    "flux": {
        "text-to-image": "FluxControlNetPipeline",
        "image-to-image": "FluxControlNetImg2ImgPipeline",
        "inpainting": "FluxControlNetInpaintPipeline",
    },
}


def main():
    cases = [case(family, task, name, False) for family, tasks in PIPELINES.items() for task, name in tasks.items()]
    cases += [case(family, task, name, True) for family, tasks in CONTROL.items() for task, name in tasks.items()]
    head = {"about": ABOUT, "diffusers": diffusers.__version__}
    files.write(files.OUT / "pipelines" / "signatures.json", head, cases)


def case(family, task, name, controlnet):
    arguments = inspect.signature(getattr(diffusers, name).__call__).parameters.values()
    arguments = [argument for argument in arguments if argument.name != "self"]
    empty = inspect.Parameter.empty
    # Class-less models do one thing; their defaults differ by class.
    task = "general" if task == name else task
    return {
        "class": name, "family": family, "task": task, "controlnet": controlnet,
        "defaults": {a.name: plain(a.default) for a in arguments if a.default is not empty},
        "required": [a.name for a in arguments if a.default is empty and a.kind is not a.VAR_KEYWORD],
    }


def plain(value):
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, (bool, int, float, str, list, type(None))) else str(value)


if __name__ == "__main__":
    sys.exit(main())
