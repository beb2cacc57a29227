"""What `vectors.families` asks of each small model."""

BASE = {"prompt": "red heart", "seed": 42, "num_inference_steps": 5}


def case(scheduler=None, without=(), pipeline=None, **request):
    return {"request": BASE | request, "scheduler": scheduler, "without": without, "pipeline": pipeline}


def plain(pipeline=None, scheduler=None, **request):
    """A request without words."""
    asked = {"seed": 42, "num_inference_steps": 5} | request
    return {"request": asked, "scheduler": scheduler, "without": (), "pipeline": pipeline}


def scheduler(name, cls, **overrides):
    return {"name": name, "class": cls, "overrides": overrides}


DDIM = scheduler("ddim", "DDIMScheduler")
DPM = scheduler("dpmpp_2m_karras", "DPMSolverMultistepScheduler", use_karras_sigmas=True)
LONG = "a red heart and a tiger face " * 6

CASES = {
    "tiny-lcm": [
        case(num_inference_steps=4, guidance_scale=8.5),
        case(prompt="tiger face", num_inference_steps=2, guidance_scale=1.0, seed=7, width=48, height=32),
        case(num_inference_steps=3, guidance_scale=4.0, original_inference_steps=30),
    ],
    "tiny-sdxl": [
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
    ],
    "tiny-sd3": [
        case(guidance_scale=7.0, max_sequence_length=24),
        case(guidance_scale=7.0, max_sequence_length=24, without=("text_encoder_3",), seed=1),
        case(guidance_scale=5.0, prompt_2="a tiger", prompt_3="green tree", negative_prompt="cat",
             negative_prompt_2="dog", negative_prompt_3="house", max_sequence_length=12, seed=2),
        case(guidance_scale=1.0, width=48, height=32, max_sequence_length=16, seed=3),
        case(guidance_scale=4.0, sigmas=[1.0, 0.8, 0.5, 0.2], max_sequence_length=16, seed=4),
        case(guidance_scale=4.0, clip_skip=1, max_sequence_length=16, seed=5),
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
    ],
    "tiny-ddpm": [
        plain(num_inference_steps=10),
        plain(pipeline="DDIMPipeline", scheduler=DDIM, seed=1),
        plain(pipeline="DDIMPipeline", scheduler=DDIM, seed=2, eta=0.6),
    ],
    "tiny-consistency": [
        plain(num_inference_steps=1, class_labels=3),
        plain(num_inference_steps=2, class_labels=7, timesteps=[22, 0], seed=1),
        plain(num_inference_steps=5, class_labels=0, seed=2),
    ],
}
