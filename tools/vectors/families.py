"""Pictures and latents of diffusers' torch pipelines, for every family, on the small models of `export.tiny`.

    python -m vectors.families [NAME ...]

The networks run in torch from the weights that the exported graphs hold, so that
an error of the export would show as well.
"""

import argparse
import inspect
import json
import sys
import tempfile
from pathlib import Path

import diffusers
import numpy as np
import torch
from PIL import Image

from export.tiny import adapters, families

from . import files, prompts
from .requests import CASES, INPUTS

ABOUT = """\
diffusers' answer, in torch, to each `request`, on the weights of the ONNX folder `model`, with the folder's scheduler or \
Class.from_config(its config | overrides) where `scheduler` names another. The image has torch.Generator("cpu").manual_seed(seed). \
`without`: parts that the pipeline was made without; `nets`: which of the folder's ControlNets it has, in order; `over`: the folder that `model` is laid over. `lora`: adapters of `export.tiny.adapters` and their scales, by \
`set_adapters` or in part by `cross_attention_kwargs`; where there is none, none is loaded. `inputs`: what requests name as `image`, `mask_image`, `control_image` and `latents`; \
`image_latents` are latents that stand for the image. \
`image`: u8 [height, width, 3] RGB; `step_latents`: f32 [steps, ...], the \
latents after each step, without the batch axis; `timesteps` are the scheduler's. \
Where `long_prompt` or `prompt_weights` is asked for, diffusers is given the embeddings of vectors/prompts.py. \
Arrays are {shape, dtype, zlib_base64}: little endian, C order, zlib, base64.\
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.names or CASES:
        inputs = {key: files.packed(INPUTS[key]) for key in used(CASES[name])}
        head = {"about": ABOUT, "model": f"tests/models/{name}", "diffusers": diffusers.__version__, "inputs": inputs}
        if name in families.OVER:
            head["over"] = f"tests/models/{families.OVER[name]}"
        path = files.OUT / "pipelines" / "families" / f"{name}.json"
        files.write(path, head, [answer(name, **case) for case in CASES[name]])


def used(cases):
    """The inputs that the requests name, in their order."""
    fields = ("image", "mask_image", "latents", "image_latents")
    named = {case["request"].get(field) for case in cases for field in fields}
    named |= {image for case in cases for image in case["request"].get("control_image", ())}
    return [key for key in INPUTS if key in named]


def answer(name, request, scheduler=None, pipeline=None, without=(), attention_scale=None, nets=None):
    pipe = families.build(name)
    if nets:
        pipe.register_modules(controlnet=diffusers.MultiControlNetModel([pipe.controlnet.nets[net] for net in nets]))
    if "controlnet_1" in without:
        pipe.register_modules(controlnet=pipe.controlnet.nets[0])
    for part in set(without) - {"controlnet_1"}:
        setattr(pipe, part, None)
        pipe.register_modules(**{part: None})
    if pipeline:
        pipe = getattr(diffusers, pipeline)(**shared(pipe, pipeline))
        pipe.set_progress_bar_config(disable=True)
    # The folder's own file: a pipeline in memory knows besides which keys nobody set.
    folder = files.ROOT / "tests/models" / families.OVER.get(name, name)
    config = json.loads((folder / "scheduler/scheduler_config.json").read_text())
    if scheduler:
        pipe.scheduler = getattr(diffusers, scheduler["class"]).from_config(config, **scheduler["overrides"])
    given = dict(request)
    seed = given.pop("seed")
    if "lora" in given:
        given |= adapt(pipe, name, given.pop("lora"), attention_scale)
    if reading := prompts.asked(given):
        given |= prompts.embeds(pipe, given, **reading)
    steps = record_steps(pipe, given)
    if interval := given.pop("guidance_interval", None):
        given |= guide_within(pipe, given, interval, steps)
    if "control_image" in given:
        given |= control(pipe, given)
    image = pipe(generator=torch.Generator("cpu").manual_seed(seed), output_type="pil", **kwargs(given)).images[0]
    return {
        "request": request, "without": list(without), **({"nets": nets} if nets else {}),
        **({"scheduler": scheduler["name"]} if scheduler else {}),
        "timesteps": files.floats(np.asarray(pipe.scheduler.timesteps, dtype=np.float64)),
        "image": files.packed(np.asarray(image.convert("RGB"))),
        "step_latents": files.packed(np.stack(steps)),
    }


def adapt(pipe, name, lora, attention_scale):
    """Loads and scales the adapters; `attention_scale` of each scale is left to the call."""
    with tempfile.TemporaryDirectory() as folder:
        files = adapters.write(families.build(name), Path(folder))
        for adapter in lora:
            pipe.load_lora_weights(folder, weight_name=files[adapter].name, adapter_name=adapter)
    if attention_scale is None:
        pipe.set_adapters(list(lora), list(lora.values()))
        return {}
    pipe.set_adapters(list(lora), [scale / attention_scale for scale in lora.values()])
    return {"cross_attention_kwargs": {"scale": attention_scale}}


def control(pipe, given):
    """A request's control images and numbers, one by one where there is one ControlNet."""
    images = [Image.fromarray(INPUTS[name]) for name in given.pop("control_image")]
    several = hasattr(pipe.controlnet, "nets")
    field = "control_image" if "control_image" in inspect.signature(type(pipe).__call__).parameters else "image"
    numbers = ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end")
    lists = {key: given.pop(key) for key in numbers if key in given}
    lists = {key: value if len(value) > 1 else value[0] for key, value in lists.items()}
    return lists | {field: images if several else images[0]}


def kwargs(request):
    """Fields of a request as diffusers' arguments."""
    request = dict(request)
    for key in ("image", "mask_image"):
        if isinstance(request.get(key), str):
            request[key] = Image.fromarray(INPUTS[request[key]])
    if "image_latents" in request:
        request["image"] = torch.from_numpy(INPUTS[request.pop("image_latents")])[None]
    if "latents" in request:
        latents = torch.from_numpy(INPUTS[request.pop("latents")])[None]
        request["image" if "denoising_start" in request else "latents"] = latents
    sizes = ("_size", "_top_left")
    return {key: tuple(value) if key.endswith(sizes) else value for key, value in request.items()}


def shared(pipe, pipeline):
    """The components of `pipe` that the other pipeline class takes as well."""
    names = getattr(diffusers, pipeline)._get_signature_keys(getattr(diffusers, pipeline))[0]
    config = {key: value for key, value in pipe.config.items() if isinstance(value, bool) and key in names}
    return config | {name: component for name, component in pipe.components.items() if name in names}


def record_steps(pipe, given):
    """Collects the latents after each step, whatever the pipeline."""
    steps = []

    def keep(pipe, step, timestep, tensors):
        # Latent consistency pipelines return what their last step takes for clean.
        last = "denoised" in tensors and step + 1 == pipe.num_timesteps
        steps.append(tensors["denoised" if last else "latents"][0].numpy().copy())
        return {}

    if "callback_on_step_end" in inspect.signature(type(pipe).__call__).parameters:
        given["callback_on_step_end"] = keep
        if "denoised" in pipe._callback_tensor_inputs:
            given["callback_on_step_end_tensor_inputs"] = ["latents", "denoised"]
        return steps
    take = pipe.scheduler.step

    def step(*args, **kwargs):
        out = take(*args, **kwargs)
        steps.append((out[0] if isinstance(out, tuple) else out.prev_sample)[0].numpy().copy())
        return out

    pipe.scheduler.step = step
    return steps


class Guidance(float):
    """A guidance scale that is 1, which is none, but where `is_on`."""

    def __mul__(self, other):
        return other * (float(self) if self.is_on() else 1.0)


def guide_within(pipe, given, interval, steps):
    """The request's scale, on within the interval alone: counted as the guiders of diffusers count `start` and `stop`."""
    key = "true_cfg_scale" if "true_cfg_scale" in given else "guidance_scale"
    scale = Guidance(given[key])
    first, end = interval
    scale.is_on = lambda: int(first * pipe.num_timesteps) <= len(steps) < int(end * pipe.num_timesteps)
    return {key: scale}


if __name__ == "__main__":
    sys.exit(main())
