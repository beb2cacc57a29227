"""Writes the trained parts as the ONNX folder that optimum would make of a Stable Diffusion model."""

import json

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from . import codec, model

OPSET = 18


class TextEncoder(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.text_model = inner.text_model

    def forward(self, input_ids):
        out = self.text_model(input_ids=input_ids)
        return out.last_hidden_state, out.pooler_output


class Unet(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.inner(sample, timestep, encoder_hidden_states).sample


class Encoder(nn.Module):
    """The analysis as a VAE encoder: its mean is the latent, its spread nothing."""

    def __init__(self, analysis):
        super().__init__()
        kernel = analysis.forward_basis.reshape(codec.CHANNELS, 3, codec.PATCH, codec.PATCH)
        self.analyse = nn.Conv2d(3, codec.CHANNELS, codec.PATCH, stride=codec.PATCH)
        with torch.no_grad():
            self.analyse.weight.copy_(kernel)
            self.analyse.bias.copy_(-(analysis.forward_basis @ analysis.mean))

    def forward(self, sample):
        mean = self.analyse(sample)
        return torch.cat([mean, torch.full_like(mean, -30.0)], 1)


def write_folder(out, nets, analysis, decoder, tokenizer, labels):
    encoder, unet = nets["text_encoder"], nets["unet"]
    tokenizer.save_pretrained(out / "tokenizer")
    write_scheduler(out / "scheduler")
    (out / "labels.json").write_text(json.dumps(labels, indent=0, ensure_ascii=False) + "\n")
    write_json(out / "model_index.json", INDEX)
    write_json(out / "hearth.json", DEFAULTS)
    config = encoder.config.to_diff_dict() | {"architectures": ["CLIPTextModel"]}
    write_json(out / "text_encoder" / "config.json", config)
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
    write_json(out / "unet" / "config.json", UNET | config)
    write_json(out / "vae_decoder" / "config.json", VAE)
    write_json(out / "vae_encoder" / "config.json", VAE)

    ids = torch.zeros(2, model.POSITIONS, dtype=torch.int64)
    write_graph(
        out / "text_encoder", TextEncoder(encoder), {"input_ids": ids},
        {"input_ids": ["batch_size", "sequence_length"]}, ["last_hidden_state", "pooler_output"],
    )
    sample = torch.randn(2, codec.CHANNELS, 16, 16)
    write_graph(
        out / "unet", Unet(unet),
        {"sample": sample, "timestep": torch.tensor(1.0), "encoder_hidden_states": torch.randn(2, model.POSITIONS, 128)},
        {"sample": ["batch_size", None, "height", "width"], "encoder_hidden_states": ["batch_size", "sequence_length"]},
        ["out_sample"],
    )
    write_graph(
        out / "vae_decoder", decoder, {"latent_sample": sample},
        {"latent_sample": ["batch_size", None, "latent_height", "latent_width"]}, ["sample"],
    )
    write_graph(
        out / "vae_encoder", Encoder(analysis).eval(), {"sample": torch.randn(2, 3, 64, 64)},
        {"sample": ["batch_size", None, "height", "width"]}, ["latent_parameters"],
    )


def write_scheduler(folder):
    """The two keys are not of this class; DDIM, built from the same file, would otherwise clip latents at 1."""
    model.scheduler().save_pretrained(folder)
    path = folder / "scheduler_config.json"
    config = json.loads(path.read_text()) | {"clip_sample": False, "set_alpha_to_one": False}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_graph(folder, module, inputs, dynamic, outputs):
    folder.mkdir(parents=True, exist_ok=True)
    axes = {name: {i: axis for i, axis in enumerate(names) if axis} for name, names in dynamic.items()}
    axes |= {name: {0: "batch_size"} for name in outputs}
    for name in outputs:
        if name != "pooler_output":
            axes[name] |= {1: "sequence_length"} if name == "last_hidden_state" else {2: "out_height", 3: "out_width"}
    path = folder / "model.onnx"
    torch.onnx.export(
        module.eval(), tuple(inputs.values()), str(path), input_names=list(inputs), output_names=outputs,
        dynamic_axes=axes, opset_version=OPSET, do_constant_folding=True, dynamo=False,
    )
    onnx.checker.check_model(str(path))


def read_analysis(folder):
    """The codec basis of an exported folder: of its encoder, or of a decoder that is one linear layer."""
    encoder = folder / "vae_encoder" / "model.onnx"
    if encoder.exists():
        weight, bias = (torch.from_numpy(numpy_helper.to_array(t).copy()) for t in stored(encoder))
        forward = weight.reshape(codec.CHANNELS, 48)
        backward = torch.linalg.pinv(forward)
        # The bias holds only the mean's part within the basis; the rest is in the decoder's linear layer.
        return codec.Analysis(forward, backward, -(backward @ bias))
    weight, bias = (torch.from_numpy(numpy_helper.to_array(t).copy()) for t in stored(folder / "vae_decoder" / "model.onnx"))
    return codec.Analysis.from_linear_decoder(weight, bias)


def stored(path):
    """The only weight and bias of a graph, weight first."""
    return sorted(onnx.load(path).graph.initializer, key=lambda tensor: -len(tensor.dims))


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.39.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

# What suits the model; diffusers has no file for it.
DEFAULTS = {"num_inference_steps": 20, "guidance_scale": 2.0}

UNET = {"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.39.0"}

# Three blocks make pipelines count a factor of 4; the widths say nothing about the graph.
VAE = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.39.0",
    "act_fn": "silu",
    "block_out_channels": [8, 8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": codec.CHANNELS,
    "latents_mean": None,
    "latents_std": None,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "out_channels": 3,
    "sample_size": 64,
    "scaling_factor": 1.0,
    "shift_factor": None,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}
