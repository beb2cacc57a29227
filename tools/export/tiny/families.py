"""One small random pipeline of each family, as diffusers' own objects."""

from pathlib import Path
from tempfile import mkdtemp

import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    ConsistencyModelPipeline,
    ControlNetModel,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    MultiControlNetModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)

from .. import tiny_sd
from . import parts


def build(name, seed=5):
    """The pipeline of that name, the same at each call."""
    folder = Path(mkdtemp(prefix=f"{name}-"))
    return parts.seeded(seed, lambda: (BUILDERS | {"tiny-sd": sd})[name](folder))


def lcm(folder):
    return LatentConsistencyModelPipeline(
        vae=parts.vae(4, 0.4), text_encoder=parts.clip(32), tokenizer=parts.clip_tokenizer(folder / "tokenizer"),
        unet=unet(32, time_cond_proj_dim=24),
        scheduler=LCMScheduler(clip_sample=False, set_alpha_to_one=True, original_inference_steps=50, **parts.SCALED_LINEAR),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def sd(folder):
    """The model of `export.tiny_sd`."""
    return tiny_sd.build(folder)


def lora(folder):
    """What the adapters of `adapters.py` are for, which `export.tiny` puts into its graphs; with a ControlNet."""
    return StableDiffusionControlNetPipeline(
        vae=parts.vae(4, 0.4), text_encoder=parts.clip(16), tokenizer=parts.clip_tokenizer(folder / "tokenizer"),
        unet=unet(16), controlnet=net(16), scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **parts.SCALED_LINEAR),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def inpaint(folder):
    return StableDiffusionInpaintPipeline(
        vae=parts.vae(4, 0.4), text_encoder=parts.clip(32), tokenizer=parts.clip_tokenizer(folder / "tokenizer"),
        unet=unet(32, in_channels=9), scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **parts.SCALED_LINEAR),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def sdxl(folder):
    return StableDiffusionXLPipeline(
        vae=parts.vae(4, 0.3), text_encoder=parts.clip(16), text_encoder_2=parts.clip(24, projection=20),
        tokenizer=parts.clip_tokenizer(folder / "tokenizer"),
        tokenizer_2=parts.clip_tokenizer(folder / "tokenizer_2", pad="!"),
        unet=unet_xl(16 + 24, 20, ids=6), scheduler=EulerDiscreteScheduler(**parts.SCALED_LINEAR),
        force_zeros_for_empty_prompt=True, add_watermarker=False,
    )


def sdxl_refiner(folder):
    return StableDiffusionXLImg2ImgPipeline(
        vae=parts.vae(4, 0.3), text_encoder=None, text_encoder_2=parts.clip(24, projection=20),
        tokenizer=None, tokenizer_2=parts.clip_tokenizer(folder / "tokenizer_2", pad="!"),
        unet=unet_xl(24, 20, ids=5), scheduler=EulerDiscreteScheduler(**parts.SCALED_LINEAR),
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False,
    )


def sd3(folder):
    return StableDiffusion3Pipeline(
        vae=parts.vae(16, 0.6, shift=0.06, quantized=False),
        text_encoder=parts.clip(16, projection=16), text_encoder_2=parts.clip(12, projection=12),
        text_encoder_3=parts.t5(40),
        tokenizer=parts.clip_tokenizer(folder / "tokenizer"),
        tokenizer_2=parts.clip_tokenizer(folder / "tokenizer_2", pad="!"),
        tokenizer_3=parts.t5_tokenizer(folder / "tokenizer_3"),
        transformer=SD3Transformer2DModel(
            sample_size=16, patch_size=2, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=8,
            num_attention_heads=4, joint_attention_dim=40, caption_projection_dim=32, pooled_projection_dim=28,
            pos_embed_max_size=24,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flux_schnell(folder):
    return flux(folder, False, FlowMatchEulerDiscreteScheduler(shift=1.0))


def flux_dev(folder):
    return flux(folder, True, FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256,
        max_image_seq_len=4096,
    ))


def flux(folder, guidance, scheduler):
    return FluxPipeline(
        vae=parts.vae(4, 0.36, shift=0.11, quantized=False), text_encoder=parts.clip(16), text_encoder_2=parts.t5(24),
        tokenizer=parts.clip_tokenizer(folder / "tokenizer"), tokenizer_2=parts.t5_tokenizer(folder / "tokenizer_2"),
        transformer=FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=24, pooled_projection_dim=16, guidance_embeds=guidance,
            axes_dims_rope=(4, 6, 6),
        ),
        scheduler=scheduler,
    )


def controlnet(folder):
    """Two ControlNets, the second of which has its channels the other way round and pools."""
    return StableDiffusionControlNetPipeline(
        vae=parts.vae(4, 0.4), text_encoder=parts.clip(32), tokenizer=parts.clip_tokenizer(folder / "tokenizer"),
        unet=unet(32), controlnet=MultiControlNetModel([
            net(32), net(32, controlnet_conditioning_channel_order="bgr", global_pool_conditions=True),
        ]),
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **parts.SCALED_LINEAR),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def inpaint_controlnet(folder):
    """One that pools, which makes diffusers guess; with a UNet for inpainting."""
    pipe = inpaint(folder)
    return StableDiffusionControlNetInpaintPipeline(
        **pipe.components, controlnet=net(32, global_pool_conditions=True), requires_safety_checker=False,
    )


def sdxl_controlnet(folder):
    pipe = sdxl(folder)
    return StableDiffusionXLControlNetPipeline(
        **pipe.components, controlnet=net_xl(16 + 24, 20, ids=6), force_zeros_for_empty_prompt=True, add_watermarker=False,
    )


def ddpm(folder):
    return DDPMPipeline(unet=unconditional(), scheduler=DDPMScheduler(clip_sample=True))


def ddpm_learned(folder):
    """Predicts its variance too: twice the channels."""
    return DDPMPipeline(
        unet=UNet2DModel(
            sample_size=16, in_channels=3, out_channels=6, layers_per_block=1, block_out_channels=(4,),
            down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), add_attention=False, norm_num_groups=2,
        ),
        scheduler=DDPMScheduler(clip_sample=True, variance_type="learned_range"),
    )


def consistency(folder):
    return ConsistencyModelPipeline(
        unet=unconditional(num_class_embeds=10, resnet_time_scale_shift="scale_shift"),
        scheduler=CMStochasticIterativeScheduler(num_train_timesteps=40, sigma_min=0.002, sigma_max=80.0),
    )


def unet(width, **more):
    return UNet2DConditionModel(**{
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": width, "attention_head_dim": 2,
        "norm_num_groups": 4,
    } | more)


def unet_xl(width, pooled, ids):
    return unet(width, **sizes(pooled, ids))


def sizes(pooled, ids):
    return {
        "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": pooled + 8 * ids, "use_linear_projection": True,
        "transformer_layers_per_block": (1, 1),
    }


def net(width, **more):
    """A ControlNet that says something: what diffusers sets to zero is random."""
    model = ControlNetModel(**{
        "in_channels": 4, "layers_per_block": 1, "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": width,
        "attention_head_dim": 2, "norm_num_groups": 4, "conditioning_embedding_out_channels": (4, 8),
    } | more)
    zero = [model.controlnet_cond_embedding.conv_out, *model.controlnet_down_blocks, model.controlnet_mid_block]
    for layer in zero:
        torch.nn.init.normal_(layer.weight, std=0.3)
        torch.nn.init.normal_(layer.bias, std=0.3)
    return model


def net_xl(width, pooled, ids):
    return net(width, **sizes(pooled, ids))


def unconditional(**more):
    return UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4, norm_num_groups=4, **more,
    )


# Laid over another folder, of which they have the other parts.
OVER = {"tiny-inpaint-controlnet": "tiny-inpaint", "tiny-sdxl-controlnet": "tiny-sdxl", "tiny-sd3-lora": "tiny-sd3"}
BUILDERS = {
    "tiny-lcm": lcm,
    "tiny-inpaint": inpaint,
    "tiny-lora": lora,
    "tiny-sdxl-lora": sdxl,
    "tiny-sd3-lora": sd3,
    "tiny-flux-lora": flux_dev,
    "tiny-controlnet": controlnet,
    "tiny-inpaint-controlnet": inpaint_controlnet,
    "tiny-sdxl": sdxl,
    "tiny-sdxl-controlnet": sdxl_controlnet,
    "tiny-sdxl-refiner": sdxl_refiner,
    "tiny-sd3": sd3,
    "tiny-flux-schnell": flux_schnell,
    "tiny-flux-dev": flux_dev,
    "tiny-ddpm": ddpm,
    "tiny-ddpm-learned": ddpm_learned,
    "tiny-consistency": consistency,
}
# Those of which diffusers is asked for other layers than the last.
CLIP_SKIP = {"tiny-lcm"}
