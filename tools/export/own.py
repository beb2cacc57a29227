"""Exports what optimum can't: UNets without text (DDPM, DDIM and consistency models).

The layout is that of `docs/model-folders.md`: `model_index.json`, `scheduler/` and
`unet/` with `config.json` and `model.onnx`, whose inputs are `sample` [B,C,h,w],
`timestep` [B] and, for class-conditional models, `class_labels` [B].
"""

import json

import torch
from torch import nn

PLAIN = {"DDPMPipeline", "DDIMPipeline", "ConsistencyModelPipeline"}


def exports(pipeline):
    return type(pipeline).__name__ in PLAIN


def export(pipeline, out):
    pipeline.save_pretrained(out)
    for weights in out.rglob("*.safetensors"):
        weights.unlink()
    unet = pipeline.unet
    side = unet.config.sample_size
    rows, columns = (side, side) if isinstance(side, int) else side
    inputs = {
        "sample": torch.randn(2, unet.config.in_channels, rows, columns),
        "timestep": torch.tensor([7.0, 3.0]),
    }
    if unet.config.num_class_embeds or unet.config.class_embed_type:
        inputs["class_labels"] = torch.tensor([0, 1])
    axes = {name: {0: "batch_size"} for name in inputs} | {"out_sample": {0: "batch_size"}}
    axes["sample"] |= {2: "height", 3: "width"}
    axes["out_sample"] |= {2: "height", 3: "width"}
    graph(Unet(unet), out / "unet" / "model.onnx", inputs, ["out_sample"], axes)


class Unet(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, sample, timestep, class_labels=None):
        return self.inner(sample, timestep, class_labels=class_labels).sample


def graph(module, path, inputs, outputs, axes):
    """Traces `module`; beyond 2 GB torch puts the weights into files beside the graph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        module.eval(), tuple(inputs.values()), str(path), input_names=list(inputs), output_names=outputs,
        dynamic_axes=axes, opset_version=18, do_constant_folding=True, dynamo=False,
    )


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")
