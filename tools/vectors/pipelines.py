"""Pictures and latents of diffusers' pipeline code over an ONNX folder.

    python -m vectors.pipelines emoji [tiny-sd] [--only SCHEDULER ...]

optimum's ORTStableDiffusionPipeline runs diffusers' own prompt encoding,
guidance loop and post-processing; only the networks go through ONNX Runtime, as
in Rust. So whatever differs later is ours.
"""

import argparse

import diffusers
import numpy as np
import onnxruntime
import torch
from optimum.onnxruntime import ORTStableDiffusionPipeline

from . import files, prompts

MODELS = {"emoji": "models/emoji", "tiny-sd": "tests/models/tiny-sd"}
SCHEDULERS = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
}

# Requests that every scheduler answers. `keep_steps`: latents after each step are kept as well.
REQUESTS = [
    {"prompt": "red heart", "seed": 42, "num_inference_steps": 20, "guidance_scale": 3.0},
    {"prompt": "tiger face", "negative_prompt": "blue heart", "seed": 7, "num_inference_steps": 10,
     "guidance_scale": 5.0, "keep_steps": True},
]
WORDS = "a red heart and " * 12
# Requests for one scheduler each: two images, no guidance, a wide picture, a long prompt, a large seed, noise in DDIM.
MORE = {
    "ddim": [
        {"prompt": "pizza", "seed": 3, "num_inference_steps": 10, "guidance_scale": 3.0, "eta": 1.0},
        {"prompt": "house", "seed": 11, "num_inference_steps": 50, "guidance_scale": 7.5},
    ],
    "euler": [{"prompt": "cheese wedge", "seed": 5, "num_inference_steps": 10, "guidance_scale": 1.0}],
    "euler_a": [
        {"prompt": "panda", "seed": 100, "num_inference_steps": 10, "guidance_scale": 3.0, "num_images": 2},
        {"prompt": "panda", "seed": 101, "num_inference_steps": 10, "guidance_scale": 3.0},
    ],
    "dpmpp_2m": [
        {"prompt": "Green Apple!", "seed": 100, "num_inference_steps": 20, "guidance_scale": 3.0, "num_images": 2},
        {"prompt": "", "seed": 1, "num_inference_steps": 5, "guidance_scale": 3.0},
        {"prompt": "fox", "seed": 2**32 + 9, "num_inference_steps": 8, "guidance_scale": 3.0, "width": 96, "height": 64},
        {"prompt": "a red heart and " * 12, "negative_prompt": "dog face, cat face", "seed": 8,
         "num_inference_steps": 6, "guidance_scale": 4.0},
        {"prompt": "lion", "seed": 12, "num_inference_steps": 1, "guidance_scale": 3.0},
        {"prompt": "(red:1.5) [heart]", "negative_prompt": "((blue)) face", "seed": 13, "num_inference_steps": 3,
         "guidance_scale": 3.0, "prompt_weights": True},
        {"prompt": WORDS, "seed": 14, "num_inference_steps": 3, "guidance_scale": 3.0, "long_prompt": True},
        {"prompt": f"(tiger face:0.7) BREAK {WORDS}", "negative_prompt": "[dog", "seed": 15, "num_inference_steps": 3,
         "guidance_scale": 3.0, "long_prompt": True, "prompt_weights": True},
    ],
    "dpmpp_2m_karras": [],
    "pndm": [{"prompt": "dog face", "seed": 21, "num_inference_steps": 4, "guidance_scale": 3.0}],
}

ABOUT = """\
diffusers' answer to each `request`, over the ONNX folder `model`, with Class.from_config(the folder's scheduler config | overrides). \
Image i has its own torch.Generator("cpu").manual_seed(seed + i); absent fields: negative_prompt "", num_images 1, eta 0, \
width and height the folder's (sample_size times the VAE's factor). \
Where `long_prompt` or `prompt_weights` is asked for, diffusers is given the embeddings of vectors/prompts.py. `images`: one u8 [height, width, 3] RGB per image; \
`latents`: f32 [num_images, channels, h, w] after the last step, before the division by the VAE's scaling_factor; \
`step_latents`, where present: f32 [steps, num_images, channels, h, w] after each step. Arrays are {shape, dtype, zlib_base64}: \
little endian, C order, zlib, base64. `timesteps` are the scheduler's. \
DDIM without eta and Euler solve the same equation the same way, so over equal timesteps their pictures differ only by DDIM's last \
step, which set_alpha_to_one=false ends at the first alpha: about 60 dB apart, where every other pair is under 50.\
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(MODELS))
    parser.add_argument("--only", nargs="+", choices=list(SCHEDULERS), default=list(SCHEDULERS), metavar="SCHEDULER",
                        help="leave the other schedulers' files as they are")
    args = parser.parse_args()
    for name in args.names:
        write_model(name, args.only)


def write_model(name, schedulers):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    pipe = ORTStableDiffusionPipeline.from_pretrained(files.ROOT / MODELS[name], session_options=options)
    pipe.set_progress_bar_config(disable=True)
    config = dict(pipe.scheduler.config)
    head = {"about": ABOUT, "model": MODELS[name], "diffusers": diffusers.__version__, "onnxruntime": onnxruntime.__version__}
    for short in schedulers:
        cls, overrides = SCHEDULERS[short]
        requests = REQUESTS + MORE[short]
        cases = []
        for request in requests:
            pipe.scheduler = getattr(diffusers, cls).from_config(config | overrides)
            cases.append({"request": request} | answer(pipe, **request))
        naming = {"scheduler": short, "class": cls, "overrides": overrides}
        files.write(files.OUT / "pipelines" / name / f"{short}.json", head | naming, cases)


def answer(pipe, seed, num_images=1, keep_steps=False, **request):
    steps = []
    if reading := prompts.asked(request):
        request |= prompts.embeds(pipe, request, **reading)

    def keep(pipe, step, timestep, tensors):
        steps.append(tensors["latents"].numpy().copy())
        return tensors

    images = pipe(
        generator=[torch.Generator("cpu").manual_seed(seed + i) for i in range(num_images)],
        num_images_per_prompt=num_images,
        callback_on_step_end=keep,
        output_type="pil",
        **request,
    ).images
    out = {
        "timesteps": files.floats(pipe.scheduler.timesteps.double().numpy()),
        "images": [files.packed(np.asarray(image.convert("RGB"))) for image in images],
        "latents": files.packed(steps[-1]),
    }
    return out | ({"step_latents": files.packed(np.stack(steps))} if keep_steps else {})


if __name__ == "__main__":
    main()
