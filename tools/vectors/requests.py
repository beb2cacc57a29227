"""What `vectors.families` asks of each small model."""

import numpy as np


def picture(height, width):
    """Slopes of red and green, and squares of blue."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x // (width - 1), 255 * y // (height - 1), 255 * ((x // 8 + y // 8) % 2)], 2).astype(np.uint8)


def mask(height, width):
    """White in the middle, black around it."""
    grey = np.zeros((height, width), np.uint8)
    grey[height // 4 : -height // 4, width // 4 : -width // 4] = 255
    return grey


def edges(height, width):
    """White lines on black, as a control image has them."""
    y, x = np.mgrid[:height, :width]
    return np.repeat(255 * ((x * 3 == y * 2) | (x + y == width) | (y == height // 3))[:, :, None], 3, 2).astype(np.uint8)


def depth(height, width):
    """Colours that fall off from a corner, of a size that goes into no other."""
    y, x = np.mgrid[:height, :width]
    far = np.hypot(y / height, x / width)
    return np.stack([255 * np.exp(-far), 128 + 127 * np.sin(9 * far), 255 * (far % 0.3 < 0.1)], 2).astype(np.uint8)


INPUTS = {
    "image": picture(32, 32), "mask": mask(32, 32), "edges": edges(32, 32), "depth": depth(45, 37),
    "latents": np.random.default_rng(3).standard_normal((4, 16, 16), np.float32),
    "latents_sd3": np.random.default_rng(4).standard_normal((16, 8, 8), np.float32),
    "latents_packed": np.random.default_rng(5).standard_normal((64, 16), np.float32),
}
BASE = {"prompt": "red heart", "seed": 42, "num_inference_steps": 5}


def case(scheduler=None, without=(), pipeline=None, attention_scale=None, nets=None, **request):
    asked = {"request": BASE | request, "scheduler": scheduler, "without": without, "pipeline": pipeline}
    return asked | ({"attention_scale": attention_scale} if attention_scale else {}) | ({"nets": nets} if nets else {})


def plain(pipeline=None, scheduler=None, **request):
    """A request without words."""
    asked = {"seed": 42, "num_inference_steps": 5} | request
    return {"request": asked, "scheduler": scheduler, "without": (), "pipeline": pipeline}


def scheduler(name, cls, **overrides):
    return {"name": name, "class": cls, "overrides": overrides}


DDIM = scheduler("ddim", "DDIMScheduler")
EULER = scheduler("euler", "EulerDiscreteScheduler")
DPM = scheduler("dpmpp_2m_karras", "DPMSolverMultistepScheduler", use_karras_sigmas=True)
LONG = "a red heart and a tiger face " * 6

A = scheduler("euler_a", "EulerAncestralDiscreteScheduler")
CHANGE = {"image": "image"}
FILL = {"image": "image", "mask_image": "mask"}
HEUN = scheduler("heun", "HeunDiscreteScheduler")
PNDM = scheduler("pndm", "PNDMScheduler", skip_prk_steps=True)
UNIPC = scheduler("unipc", "UniPCMultistepScheduler")
ONE, BOTH = {"control_image": ["edges"]}, {"control_image": ["edges", "depth"], "width": 32, "height": 32}
ALONE = ("controlnet_1",)


def adapted(**request):
    """By the pipeline without ControlNets, in few steps."""
    return case(**{"pipeline": "StableDiffusionPipeline", "num_inference_steps": 3} | request)


def steered(kind, **request):
    """By the pipeline with ControlNets of that kind."""
    return case(pipeline=f"StableDiffusion{kind}Pipeline", **request)


# The first for Stable Diffusion of Align Your Steps (Sabour et al. 2024), and as many timesteps.
SIGMAS = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0]
TIMESTEPS = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]

# Long and weighted prompts are read, not drawn: few steps will do.
READ = {"num_inference_steps": 2, "guidance_scale": 5.0}
WEIGHTS = READ | {"prompt_weights": True}

CASES = {
    "tiny-sd": [
        case(clip_skip=1, seed=20, **READ),
        case(clip_skip=2, negative_prompt="tiger", seed=21, **READ),
        case(prompt=LONG, negative_prompt="cat", long_prompt=True, seed=22, **READ),
        case(negative_prompt=LONG, long_prompt=True, clip_skip=1, seed=23, **READ),
        case(pipeline="StableDiffusionImg2ImgPipeline", strength=0.8, guidance_scale=5.0, **CHANGE),
        case(pipeline="StableDiffusionImg2ImgPipeline", strength=0.5, guidance_scale=3.0, scheduler=A, seed=1, **CHANGE),
        case(pipeline="StableDiffusionImg2ImgPipeline", strength=0.7, num_inference_steps=10, scheduler=DPM, seed=2, **CHANGE),
        case(pipeline="StableDiffusionImg2ImgPipeline", strength=0.3, sigmas=SIGMAS, scheduler=EULER, seed=3, **CHANGE),
        case(pipeline="StableDiffusionImg2ImgPipeline", strength=0.7, timesteps=TIMESTEPS, scheduler=HEUN, seed=4, **CHANGE),
        case(guidance_scale=7.5, guidance_interval=[0.0, 0.5], negative_prompt="tiger", seed=5),
        case(guidance_scale=7.5, guidance_interval=[0.25, 0.7], num_inference_steps=10, scheduler=A, seed=6),
        case(guidance_scale=6.0, guidance_interval=[0.4, 1.0], scheduler=HEUN, seed=7),
        case(pipeline="StableDiffusionImg2ImgPipeline", strength=0.8, guidance_scale=5.0, guidance_interval=[0.3, 0.8], seed=8, **CHANGE),
    ],
    "tiny-inpaint": [
        case(pipeline="StableDiffusionInpaintPipeline", strength=1.0, guidance_scale=5.0, **FILL),
        case(pipeline="StableDiffusionInpaintPipeline", strength=0.6, guidance_scale=1.0, scheduler=A, seed=1, **FILL),
        case(pipeline="StableDiffusionInpaintPipeline", seed=2, **FILL),
    ],
    "tiny-lora": [
        adapted(guidance_scale=5.0),
        adapted(guidance_scale=5.0, lora={"ink": 0.0}),
        adapted(guidance_scale=5.0, lora={"ink": 0.5}),
        adapted(guidance_scale=5.0, lora={"ink": 1.0}, negative_prompt="tiger", seed=1),
        adapted(guidance_scale=1.0, lora={"glow": 1.0}, width=48, height=32, seed=2),
        adapted(guidance_scale=5.0, lora={"ink": 0.8, "glow": -0.6}, scheduler=A, seed=3),
        adapted(pipeline="StableDiffusionImg2ImgPipeline", strength=0.7, lora={"glow": 0.5, "ink": -1.0}, seed=4, **CHANGE),
        adapted(guidance_scale=5.0, lora={"ink": 0.5, "glow": 0.25}, attention_scale=0.5, seed=5),
        case(guidance_scale=5.0, num_inference_steps=3, lora={"ink": 0.8, "glow": -0.6}, seed=6, **ONE),
        case(guidance_scale=4.0, num_inference_steps=3, lora={"ink": 1.0}, controlnet_conditioning_scale=[0.6],
             control_guidance_end=[0.7], negative_prompt="tiger", seed=7, **ONE),
        steered("ControlNetImg2Img", strength=0.7, num_inference_steps=3, lora={"glow": 1.0}, seed=8, **ONE, **CHANGE),
    ],
    "tiny-sdxl-lora": [
        case(guidance_scale=5.0, num_inference_steps=3, lora={"ink": 0.0}),
        case(guidance_scale=5.0, num_inference_steps=3, lora={"ink": 1.0}, seed=1),
        case(guidance_scale=4.0, num_inference_steps=3, lora={"glow": 0.5, "ink": -0.5}, negative_prompt="cat", clip_skip=1, seed=2),
    ],
    "tiny-sd3-lora": [
        case(guidance_scale=5.0, num_inference_steps=3, lora={"ink": 0.8}, max_sequence_length=16, width=16, height=16),
        case(guidance_scale=1.0, num_inference_steps=3, lora={"ink": -0.5}, max_sequence_length=16, width=24, height=16, seed=1),
        case(pipeline="StableDiffusion3Img2ImgPipeline", strength=0.7, num_inference_steps=3, lora={"ink": 1.0}, max_sequence_length=16,
             width=16, height=16, seed=2, **CHANGE),
    ],
    "tiny-flux-lora": [
        case(guidance_scale=3.5, num_inference_steps=3, lora={"ink": 0.0}, max_sequence_length=16, width=32, height=32),
        case(guidance_scale=3.5, num_inference_steps=3, lora={"ink": 1.0}, max_sequence_length=16, width=48, height=32, seed=1),
        case(guidance_scale=3.5, num_inference_steps=3, lora={"ink": -0.5}, max_sequence_length=16, width=32, height=32, seed=2),
    ],
    "tiny-controlnet": [
        case(guidance_scale=5.0, without=ALONE, **ONE),
        case(guidance_scale=5.0, **BOTH),
        case(guidance_scale=1.0, controlnet_conditioning_scale=[0.6], scheduler=A, seed=1, **BOTH),
        case(guidance_scale=4.0, controlnet_conditioning_scale=[1.3, 0.4], control_guidance_start=[0.0, 0.25],
             control_guidance_end=[0.5, 0.9], num_inference_steps=6, scheduler=HEUN, seed=2, **BOTH),
        case(guidance_scale=4.0, guess_mode=True, scheduler=DPM, seed=3, **BOTH),
        case(guidance_scale=1.0, guess_mode=True, controlnet_conditioning_scale=[0.8], seed=4, without=ALONE, **ONE),
        case(guidance_scale=3.0, control_guidance_start=[0.3], scheduler=PNDM, seed=5, without=ALONE, **ONE),
        case(guidance_scale=5.0, controlnet_conditioning_scale=[0.0, 1.0], seed=6, negative_prompt="tiger", **BOTH),
        case(guidance_scale=5.0, scheduler=UNIPC, seed=7, **BOTH | {"width": 48}),
        case(guidance_scale=5.0, without=ALONE, width=32, height=48, seed=8, control_image=["depth"]),
        case(pipeline="StableDiffusionPipeline", guidance_scale=5.0, seed=9),
        steered("ControlNetImg2Img", strength=0.6, guidance_scale=5.0, seed=10, **BOTH, **CHANGE),
        steered("ControlNetImg2Img", strength=0.8, guidance_scale=3.0, control_guidance_end=[0.6], scheduler=HEUN,
                num_inference_steps=6, seed=11, without=ALONE, **ONE, **CHANGE),
        steered("ControlNetInpaint", strength=0.7, guidance_scale=5.0, seed=12, **BOTH, **FILL),
        steered("ControlNetInpaint", strength=1.0, guidance_scale=1.0, scheduler=A, seed=13, without=ALONE, **ONE, **FILL),
        case(guidance_scale=5.0, nets=[1, 1], num_inference_steps=2, seed=14, **BOTH),
        case(guidance_scale=4.0, nets=[1, 1], controlnet_conditioning_scale=[0.7, 1.2], control_guidance_start=[0.5, 0.0],
             num_inference_steps=2, scheduler=A, seed=15, **BOTH),
        case(guidance_scale=6.0, guidance_interval=[0.2, 0.8], guess_mode=True, seed=16, **BOTH),
    ],
    "tiny-inpaint-controlnet": [
        case(strength=1.0, guidance_scale=5.0, **ONE, **FILL),
        case(strength=0.6, guidance_scale=1.0, controlnet_conditioning_scale=[0.5], scheduler=A, seed=1, **ONE, **FILL),
    ],
    "tiny-sdxl-controlnet": [
        case(guidance_scale=5.0, **ONE),
        case(guidance_scale=5.0, negative_prompt="tiger", guess_mode=True, original_size=[64, 48], seed=1, **ONE),
        case(guidance_scale=4.0, denoising_end=0.6, control_guidance_end=[0.5], num_inference_steps=8, seed=2, **ONE),
        steered("XLControlNetImg2Img", strength=0.6, guidance_scale=5.0, scheduler=A, seed=3, **ONE, **CHANGE),
        steered("XLControlNetInpaint", strength=0.7, guidance_scale=5.0, seed=4, width=32, height=32, **ONE, **FILL),
    ],
    "tiny-sdxl-refiner": [
        case(num_inference_steps=10, strength=0.3, guidance_scale=5.0, **CHANGE),
        case(num_inference_steps=10, strength=0.5, negative_prompt="tiger", aesthetic_score=7.5,
             negative_aesthetic_score=1.0, original_size=[64, 48], seed=1, **CHANGE),
        case(num_inference_steps=10, denoising_start=0.6, latents="latents", seed=2),
        case(num_inference_steps=10, strength=0.4, image_latents="latents", seed=3),
        case(num_inference_steps=10, strength=0.5, crops_coords_top_left=[3, 5], seed=4, **CHANGE),
    ],
    "tiny-lcm": [
        case(prompt=LONG, long_prompt=True, num_inference_steps=2, guidance_scale=8.5, seed=20),
        case(clip_skip=1, num_inference_steps=2, guidance_scale=8.5, seed=21),
        case(num_inference_steps=4, guidance_scale=8.5),
        case(prompt="tiger face", num_inference_steps=2, guidance_scale=1.0, seed=7, width=48, height=32),
        case(num_inference_steps=3, guidance_scale=4.0, original_inference_steps=30),
        case(pipeline="LatentConsistencyModelImg2ImgPipeline", num_inference_steps=4, strength=0.5, guidance_scale=8.5,
             seed=1, **CHANGE),
        case(pipeline="LatentConsistencyModelImg2ImgPipeline", timesteps=[999, 759, 499, 259], strength=0.5,
             guidance_scale=8.5, seed=2, **CHANGE),
    ],
    "tiny-sdxl": [
        case(prompt="a (red:1.4) [tiger], ((heart))", seed=20, **WEIGHTS),
        case(prompt="(猫:1.3) 😀 [red ((heart:0.5) (zero:0)", negative_prompt=r"\(blue\] c:1.2) :)", seed=21, **WEIGHTS),
        case(prompt="(fox:1.2) BREAK [house]", prompt_2=LONG, negative_prompt="(dog:-0.5)", long_prompt=True, clip_skip=1,
             seed=22, **WEIGHTS),
        case(prompt=LONG, long_prompt=True, seed=23, **READ),
        case(prompt="(red heart) [cat]", negative_prompt=LONG, negative_prompt_2="tree", long_prompt=True, seed=24, **READ),
        case(guidance_scale=5.0),
        case(guidance_scale=5.0, negative_prompt="", seed=1),
        case(guidance_scale=4.0, negative_prompt="tiger", negative_prompt_2="face", prompt_2="a heart", seed=2),
        case(guidance_scale=1.0, width=48, height=32, seed=3),
        case(guidance_scale=6.0, original_size=[64, 48], target_size=[32, 32], crops_coords_top_left=[4, 6], seed=4),
        case(guidance_scale=7.5, guidance_rescale=0.7, seed=5, scheduler=DDIM),
        case(guidance_scale=5.0, denoising_end=0.6, seed=6),
        case(guidance_scale=5.0, clip_skip=1, seed=7),
        case(guidance_scale=5.0, timesteps=[900, 650, 333, 100], seed=8),
        case(guidance_scale=5.0, sigmas=[12.0, 6.0, 2.5, 0.7, 0.0], seed=9),
        case(prompt=LONG, guidance_scale=5.0, seed=10, scheduler=DPM),
        case(guidance_scale=5.0, latents="latents", seed=11),
        case(pipeline="StableDiffusionXLImg2ImgPipeline", strength=0.6, guidance_scale=5.0, seed=12, **CHANGE),
        case(pipeline="StableDiffusionXLInpaintPipeline", strength=0.9999, guidance_scale=5.0, seed=13, **FILL),
        case(pipeline="StableDiffusionXLInpaintPipeline", strength=0.7, guidance_scale=5.0, scheduler=A, seed=14, **FILL),
        case(pipeline="StableDiffusionXLInpaintPipeline", strength=1.0, guidance_scale=5.0, seed=15, **FILL),
        case(guidance_scale=6.0, original_size=[64, 48], crops_coords_top_left=[4, 6], negative_original_size=[128, 96],
             negative_target_size=[16, 24], negative_crops_coords_top_left=[2, 3], seed=16),
        case(pipeline="StableDiffusionXLImg2ImgPipeline", strength=0.6, original_size=[64, 48], crops_coords_top_left=[4, 6],
             seed=17, **CHANGE),
        case(pipeline="StableDiffusionXLInpaintPipeline", seed=19, **FILL),
        case(pipeline="StableDiffusionXLInpaintPipeline", num_inference_steps=10, denoising_start=0.6, seed=20, **FILL),
        case(pipeline="StableDiffusionXLImg2ImgPipeline", strength=0.6, negative_target_size=[8, 8], seed=18, **CHANGE),
        case(guidance_scale=7.0, guidance_rescale=0.7, guidance_interval=[0.2, 0.8], seed=24),
    ],
    "tiny-sd3": [
        case(guidance_scale=7.0, max_sequence_length=24),
        case(guidance_scale=7.0, max_sequence_length=24, without=("text_encoder_3",), seed=1),
        case(guidance_scale=5.0, prompt_2="a tiger", prompt_3="green tree", negative_prompt="cat",
             negative_prompt_2="dog", negative_prompt_3="house", max_sequence_length=12, seed=2),
        case(guidance_scale=1.0, width=48, height=32, max_sequence_length=16, seed=3),
        case(guidance_scale=4.0, sigmas=[1.0, 0.8, 0.5, 0.2], max_sequence_length=16, seed=4),
        case(guidance_scale=4.0, clip_skip=1, max_sequence_length=16, seed=5),
        case(pipeline="StableDiffusion3Img2ImgPipeline", strength=0.5, max_sequence_length=16, seed=6, **CHANGE),
        case(pipeline="StableDiffusion3InpaintPipeline", strength=0.7, max_sequence_length=16, width=32, height=32, seed=7, **FILL),
        case(max_sequence_length=16, width=16, height=16, latents="latents_sd3", seed=8),
        case(guidance_scale=7.0, guidance_interval=[0.2, 0.8], max_sequence_length=16, width=32, height=32, seed=9),
    ],
    "tiny-flux-schnell": [
        case(num_inference_steps=4, guidance_scale=0.0, max_sequence_length=24, width=32, height=32),
        case(num_inference_steps=1, guidance_scale=0.0, max_sequence_length=16, width=48, height=32, prompt_2="a tiger", seed=1),
        case(prompt=LONG, num_inference_steps=3, max_sequence_length=20, width=32, height=32, seed=2),
    ],
    "tiny-flux-dev": [
        case(guidance_scale=3.5, max_sequence_length=24, width=32, height=32),
        case(guidance_scale=2.0, true_cfg_scale=3.0, negative_prompt="cat", max_sequence_length=16, width=32, height=32, seed=1),
        case(guidance_scale=3.5, sigmas=[1.0, 0.75, 0.4, 0.1], max_sequence_length=16, width=48, height=64, seed=2),
        case(pipeline="FluxImg2ImgPipeline", strength=0.5, guidance_scale=3.5, max_sequence_length=16, width=32, height=32,
             seed=3, **CHANGE),
        case(pipeline="FluxInpaintPipeline", strength=0.7, guidance_scale=3.5, max_sequence_length=16, width=32, height=32,
             seed=4, **FILL),
        case(pipeline="FluxImg2ImgPipeline", max_sequence_length=16, width=32, height=32, seed=5, **CHANGE),
        case(latents="latents_packed", guidance_scale=2.0, true_cfg_scale=3.0, prompt_2="a tiger", negative_prompt="cat",
             negative_prompt_2="dog", max_sequence_length=16, width=32, height=32, seed=6),
        case(guidance_scale=2.0, true_cfg_scale=3.0, negative_prompt="cat", guidance_interval=[0.2, 0.6], max_sequence_length=16,
             width=32, height=32, seed=7),
    ],
    "tiny-ddpm": [
        plain(num_inference_steps=10),
        plain(pipeline="DDIMPipeline", scheduler=DDIM, seed=1),
        plain(pipeline="DDIMPipeline", scheduler=DDIM, seed=2, eta=0.6),
    ],
    "tiny-ddpm-learned": [
        plain(num_inference_steps=4),
        plain(num_inference_steps=4, scheduler=scheduler("dpmpp_2m", "DPMSolverMultistepScheduler"), seed=1),
    ],
    "tiny-consistency": [
        plain(num_inference_steps=1, class_labels=3),
        plain(num_inference_steps=2, class_labels=7, timesteps=[22, 0], seed=1),
        plain(num_inference_steps=5, class_labels=0, seed=2),
    ],
}
