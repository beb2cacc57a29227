"""A folder of Stable Diffusion 1.5's sizes in fp16, with random weights: about 2 GB, never committed.

    python -m export.random_sd15 OUT [--vae-dtype f32]

For measuring how long loading and stepping take and how much memory they need;
pictures are noise. Layout and types are those of an fp16 export by optimum:
every input and output is f16 except `input_ids`, weights lie in
`model.onnx_data` beside the graph. Needs about 8 GB of memory.
"""

import argparse
import gc
import json
import math
import sys
from pathlib import Path

import onnx
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import clip_bpe

MERGES = Path(__file__).resolve().parents[2] / "models" / "emoji" / "tokenizer"
VOCABULARY, POSITIONS, WIDTH = 49408, 77, 768
EXTERNAL = 1024  # bytes from which a tensor goes into the data file


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--vae-dtype", choices=["f16", "f32"], default="f16")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(15)
    write_configs(args.out)
    half = torch.float16
    ids = torch.zeros(1, POSITIONS, dtype=torch.int64)
    export(
        args.out / "text_encoder", TextEncoder, half, {"input_ids": ids},
        {"input_ids": ["batch_size", "sequence_length"]}, ["last_hidden_state", "pooler_output"],
    )
    export(
        args.out / "vae_decoder", Decoder, half if args.vae_dtype == "f16" else torch.float32,
        {"latent_sample": torch.randn(1, 4, 8, 8)},
        {"latent_sample": ["batch_size", None, "latent_height", "latent_width"]}, ["sample"],
    )
    export(
        args.out / "unet", Unet, half,
        {
            "sample": torch.randn(1, 4, 8, 8),
            "timestep": torch.tensor(1.0),
            "encoder_hidden_states": torch.randn(1, POSITIONS, WIDTH),
        },
        {"sample": ["batch_size", None, "height", "width"], "encoder_hidden_states": ["batch_size", "sequence_length"]},
        ["out_sample"],
    )
    total = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {total / 1e9:.2f} GB")


class TextEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = CLIPTextModel(CLIPTextConfig(**TEXT))

    def forward(self, input_ids):
        out = self.inner(input_ids=input_ids)
        return out.last_hidden_state, out.pooler_output


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        full = AutoencoderKL(**VAE)
        self.post, self.decoder = full.post_quant_conv, full.decoder

    def forward(self, latent_sample):
        return self.decoder(self.post(latent_sample))


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = UNet2DConditionModel(**UNET)

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.inner(sample, timestep, encoder_hidden_states).sample


def export(folder, part, dtype, inputs, dynamic, outputs):
    """Traces one network on a small input and moves its weights beside the graph."""
    module = materialise(part, dtype)
    count = sum(p.numel() for p in module.parameters())
    inputs = {name: x.to(dtype) if x.is_floating_point() else x for name, x in inputs.items()}
    axes = {name: {i: axis for i, axis in enumerate(names) if axis} for name, names in dynamic.items()}
    axes |= {name: {0: "batch_size"} for name in outputs}
    if "last_hidden_state" in outputs:
        axes["last_hidden_state"][1] = "sequence_length"
    else:
        axes[outputs[0]] |= {2: "out_height", 3: "out_width"}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    torch.onnx.export(
        module, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=outputs,
        dynamic_axes=axes, opset_version=18, do_constant_folding=True, dynamo=False,
    )
    del module
    gc.collect()
    move_weights(path)
    print(f"{folder.name}: {count / 1e6:.0f} M parameters, {dtype}", flush=True)


def materialise(part, dtype):
    """Builds the network without f32 weights, then fills it so that activations keep their size."""
    with torch.device("meta"):
        module = part()
    module = module.to(dtype).to_empty(device="cpu").eval().requires_grad_(False)
    for name, value in module.named_parameters():
        if value.ndim > 1:
            value.normal_(0, 0.5 / math.sqrt(value[0].numel()))
        else:
            value.fill_(1.0 if name.endswith("weight") else 0.0)
    for name, value in module.named_buffers():
        if name.endswith("position_ids"):
            value.copy_(torch.arange(value.shape[-1]).expand_as(value))
    return module


def move_weights(path):
    model = onnx.load(path)
    for stray in path.parent.iterdir():  # beyond 2 GB torch writes a file per tensor
        if stray.suffix != ".json":
            stray.unlink()
    onnx.save_model(
        model, path, save_as_external_data=True, all_tensors_to_one_file=True,
        location="model.onnx_data", size_threshold=EXTERNAL,
    )


def write_configs(out):
    write_json(out / "model_index.json", INDEX)
    write_json(out / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(out / "text_encoder" / "config.json", {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"} | TEXT)
    write_json(out / "unet" / "config.json", {"_class_name": "UNet2DConditionModel"} | UNET)
    write_json(out / "vae_decoder" / "config.json", {"_class_name": "AutoencoderKL"} | VAE)
    clip_bpe.write(out / "tokenizer", clip_bpe.read_merges(MERGES), VOCABULARY, POSITIONS)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 3072, "projection_dim": WIDTH,
    "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": POSITIONS, "hidden_act": "quick_gelu",
    "bos_token_id": VOCABULARY - 2, "eos_token_id": VOCABULARY - 1, "pad_token_id": VOCABULARY - 1,
}
UNET = {
    "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
    "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": WIDTH, "attention_head_dim": 8,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
VAE = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 2, "sample_size": 512,
    "block_out_channels": [128, 256, 512, 512], "scaling_factor": 0.18215,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SCHEDULER = {
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True,
    "steps_offset": 1, "trained_betas": None, "clip_sample": False,
}
INDEX = {
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.39.0", "feature_extractor": [None, None],
    "image_encoder": [None, None], "requires_safety_checker": False, "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


if __name__ == "__main__":
    main()
