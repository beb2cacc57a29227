"""Exports ControlNets beside a Stable Diffusion pipeline, and a UNet that takes what they give.

    python -m export.controlnet PIPELINE OUT --controlnet CONTROLNET [--controlnet CONTROLNET ...]

PIPELINE and each CONTROLNET are folders (or names on the hub) as diffusers saves
them: Stable Diffusion 1.x, 2.x or XL. optimum exports all but the UNet and the
ControlNets; those are traced here. `docs/model-folders.md` says what their graphs
take and give.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import diffusers
import torch
from diffusers import ControlNetModel, DiffusionPipeline, MultiControlNetModel
from optimum.exporters.onnx import main_export
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import manifest

from . import own

# Of each of the pipelines, diffusers' own with ControlNets.
CLASSES = {
    f"{family}{task}Pipeline": f"{family}ControlNet{task}Pipeline"
    for family in ("StableDiffusion", "StableDiffusionXL") for task in ("", "Img2Img", "Inpaint")
}
DOWN, MID = "down_block_additional_residuals", "mid_block_additional_residual"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline")
    parser.add_argument("out", type=Path)
    parser.add_argument("--controlnet", action="append", required=True, help="may be given several times")
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty; name another folder, or remove it first")
    nets = [load(net) for net in args.controlnet]
    pipeline = DiffusionPipeline.from_pretrained(args.pipeline)
    for name, net in zip(args.controlnet, nets):
        check(name, net, pipeline)
    export(controlled(pipeline, nets), args.out)
    manifest.write(args.out)


def load(name):
    """The ControlNet of that name or folder."""
    kind = ControlNetModel.load_config(name)["_class_name"]
    if kind != "ControlNetModel":
        sys.exit(f"{name} is a {kind}, which can't be exported; give a ControlNetModel for each kind of picture")
    return ControlNetModel.from_pretrained(name)


def check(name, net, pipeline):
    """Stops at a ControlNet that was made for another model."""
    if kind(pipeline) is None:
        sys.exit(f"{type(pipeline).__name__} takes no ControlNets here; known: {', '.join(CLASSES)}")
    fields = ("block_out_channels", "layers_per_block", "cross_attention_dim", "addition_embed_type")
    for field in fields:
        own, other = net.config[field], pipeline.unet.config[field]
        own, other = (list(value) if isinstance(value, tuple) else value for value in (own, other))
        if own != other:
            sys.exit(f"{name}: its {field} is {own}, the UNet's is {other}; give one that was made for this model")
    if net.config.in_channels != pipeline.vae.config.latent_channels:
        sys.exit(f"{name}: its in_channels are {net.config.in_channels}, the latents have {pipeline.vae.config.latent_channels}")
    if net.config.conditioning_channels != 3:
        sys.exit(f"{name}: its picture has {net.config.conditioning_channels} channels; give one for red, green and blue")


def kind(pipeline):
    name = type(pipeline).__name__
    return name if name in CLASSES.values() else CLASSES.get(name)


def controlled(pipeline, nets):
    """The pipeline with `nets`, as diffusers' own class for it."""
    components = pipeline.components | {"controlnet": nets[0] if len(nets) == 1 else MultiControlNetModel(nets)}
    if "safety_checker" in components:
        components |= {"safety_checker": None, "requires_safety_checker": False}
    signature = getattr(diffusers, kind(pipeline))._get_signature_keys(getattr(diffusers, kind(pipeline)))[1]
    flags = {key: value for key, value in pipeline.config.items() if isinstance(value, bool) and key in signature}
    return getattr(diffusers, kind(pipeline))(**flags | components)


def exports(pipeline):
    return "ControlNet" in type(pipeline).__name__


def export(pipeline, out):
    """Writes the folder of `pipeline`, one of diffusers' pipelines with ControlNets."""
    nets = list(getattr(pipeline.controlnet, "nets", [pipeline.controlnet]))
    with tempfile.TemporaryDirectory() as source:
        pipeline.save_pretrained(source)
        main_export(source, out, task="text-to-image", library_name="diffusers", opset=18)
        index = Path(source, "model_index.json").read_text()
    (out / "model_index.json").write_text(index)
    for weights in (out / "unet").glob("*.onnx*"):
        weights.unlink()
    unet(pipeline.unet, out / "unet" / "model.onnx")
    for number, net in enumerate(nets):
        folder = out / ("controlnet" if number == 0 else f"controlnet_{number}")
        net.save_config(folder)
        controlnet(net, folder / "model.onnx", first=number == 0)


def unet(unet, path):
    """The UNet, with a residual after each layer of its down blocks and one in the middle."""
    inputs = conditions(unet) | residuals(unet)
    given = dict(inputs)
    with torch.no_grad():
        own.graph(Unet(unet, list(given)), path, given, ["out_sample"], axes(given) | axes({"out_sample": given["sample"]}))


def controlnet(net, path, first):
    """A ControlNet; all but the first add to the residuals of the one before."""
    count = len(net.controlnet_down_blocks) + 1
    cells = SIDE * 2 ** sum(layer.stride[0] == 2 for layer in net.controlnet_cond_embedding.blocks)
    inputs = conditions(net) | {
        "controlnet_cond": torch.rand(1, net.config.conditioning_channels, cells, cells),
        "conditioning_scale": torch.rand(2, count),
    }
    if not first:
        inputs |= residuals(net)
    outputs = [f"down_block_res_samples.{i}" for i in range(count - 1)] + ["mid_block_res_sample"]
    sides = {name: torch.zeros(1, 1, 1, 1) for name in outputs}
    with torch.no_grad():
        own.graph(Net(net, list(inputs)), path, inputs, outputs, axes(inputs) | axes(sides))


SIDE = 16
TOKENS = 8


def conditions(model):
    """What a UNet and its ControlNets take alike."""
    config = model.config
    inputs = {
        "sample": torch.randn(2, config.in_channels, SIDE, SIDE),
        "timestep": torch.tensor([7.0, 3.0]),
        "encoder_hidden_states": torch.randn(2, TOKENS, config.cross_attention_dim),
    }
    if config.get("time_cond_proj_dim"):
        inputs["timestep_cond"] = torch.randn(2, config.time_cond_proj_dim)
    if config.addition_embed_type == "text_time":
        ids = 6 if config.projection_class_embeddings_input_dim != 2560 else 5
        pooled = config.projection_class_embeddings_input_dim - ids * config.addition_time_embed_dim
        inputs |= {"text_embeds": torch.randn(2, pooled), "time_ids": torch.rand(2, ids)}
    return inputs


def residuals(model):
    """Random residuals, in the shapes that `model` takes or gives."""
    channels, layers = model.config.block_out_channels, model.config.layers_per_block
    shapes = [(channels[0], SIDE)]
    for level, width in enumerate(channels):
        side = SIDE >> level
        shapes += [(width, side)] * (layers if isinstance(layers, int) else layers[level])
        if level < len(channels) - 1:
            shapes.append((width, side // 2))
    down = {f"{DOWN}.{i}": torch.randn(2, width, side, side) for i, (width, side) in enumerate(shapes)}
    return down | {MID: torch.randn(2, channels[-1], side, side)}


def axes(inputs):
    """What stays open. A residual's sides may differ from the sample's: one value can stand for all."""
    names = {
        "timestep": {0: "batch"}, "encoder_hidden_states": {0: "batch", 1: "tokens"}, "text_embeds": {0: "batch"},
        "time_ids": {0: "batch"}, "timestep_cond": {0: "batch"}, "conditioning_scale": {0: "batch"},
        "controlnet_cond": {2: "pixel_rows", 3: "pixel_columns"},
    }
    sides = lambda name: {0: "batch", 2: f"{name}.rows", 3: f"{name}.columns"}
    sample = {0: "batch", 2: "rows", 3: "columns"}
    return {name: sample if name in ("sample", "out_sample") else names.get(name) or sides(name) for name in inputs}


class Given(nn.Module):
    """A model called with tensors in the order of `names`."""

    def __init__(self, inner, names):
        super().__init__()
        self.inner, self.names = inner, names

    def taken(self, tensors):
        given = dict(zip(self.names, tensors))
        down = [given[name] for name in self.names if name.startswith(DOWN)]
        added = {name: given[name] for name in ("text_embeds", "time_ids") if name in given}
        return given, down, given.get(MID), {"added_cond_kwargs": added} if added else {}


class Unet(Given):
    def forward(self, *tensors):
        given, down, mid, added = self.taken(tensors)
        return self.inner(
            given["sample"], given["timestep"], given["encoder_hidden_states"], timestep_cond=given.get("timestep_cond"),
            down_block_additional_residuals=tuple(down), mid_block_additional_residual=mid, **added,
        ).sample


class Net(Given):
    """Scales are an input, one for each residual of each copy; so diffusers' own are left at one."""

    def forward(self, *tensors):
        given, down, mid, added = self.taken(tensors)
        found, middle = self.inner(
            given["sample"], given["timestep"], given["encoder_hidden_states"], given["controlnet_cond"],
            conditioning_scale=1.0, return_dict=False, **added,
        )
        scales = given["conditioning_scale"][:, :, None, None, None]
        scaled = [one * scales[:, place] for place, one in enumerate([*found, middle])]
        before = [*down, mid] if down else []
        return tuple(a + b for a, b in zip(before, scaled)) if before else tuple(scaled)


if __name__ == "__main__":
    main()
