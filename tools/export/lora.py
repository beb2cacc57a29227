"""A diffusers model with LoRA adapters whose strengths are inputs of its graphs.

    python -m export.lora MODEL OUT --lora NAME=FILE [--lora NAME=FILE …]

MODEL is a folder or a hub's name; FILE is a `.safetensors` file of any form that diffusers reads
(its own, peft's with a component's prefix, kohya's), or a folder that peft saved. optimum exports
the model; each part that an adapter changes is then traced again with the adapters' low-rank
branches beside its weights, and one more input per adapter: `lora_scale.NAME`, a scalar. Other
inputs and outputs stay as they are. At last each such part is run at scale 0 beside the one without
adapters, which must say the same. An OUT that `export.controlnet` made of MODEL is taken as it is,
in place of optimum's export: its UNet then has both.
"""

import argparse
import contextlib
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from diffusers import DiffusionPipeline
from diffusers.models.transformers import transformer_flux
from optimum.exporters.onnx import main_export, model_patcher
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import manifest

PREFIX = "lora_scale."
DOWN, MID = "down_block_additional_residuals", "mid_block_additional_residual"
NAME = re.compile(r"[\w.-]{1,64}")
BATCH = ("batch_size", "batch", "step")  # names of the batch's axis
EXTERNAL = 1 << 30  # bytes of weights from which they go into a file beside the graph
TORCH = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.INT64: torch.int64, onnx.TensorProto.INT32: torch.int32,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--lora", action="append", required=True, type=named, metavar="NAME=FILE")
    args = parser.parse_args()
    adapters = dict(args.lora)
    if len(adapters) < len(args.lora):
        parser.error("--lora: a name is given twice")
    pipeline = DiffusionPipeline.from_pretrained(args.model)
    own = load(pipeline, adapters)  # before the export, which takes minutes
    if not (args.out / "model_index.json").exists():
        main_export(args.model, args.out, task="text-to-image", library_name="diffusers", opset=18)
    export(pipeline, own, args.out)
    manifest.write(args.out)


def named(text):
    name, _, path = text.partition("=")
    if not NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{text}: NAME has 1 to 64 letters, digits, _, - and .")
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{text}: there is no file {path}")
    return name, Path(path)


def load(pipeline, adapters):
    """Loads `adapters`, file by name, and returns their names by those that peft has for them."""
    own = {f"lora_{index}": name for index, name in enumerate(adapters)}  # names of modules have no dots
    for (name, path), adapter in zip(adapters.items(), own, strict=True):
        try:
            load_one(pipeline, path, adapter)
        except (RuntimeError, ValueError, KeyError) as error:
            sys.exit(f"{path} doesn't fit the model, or is no adapter: {str(error).splitlines()[0]}")
        if not any(adapter in layer.scaling for part in adapted(pipeline).values() for layer in layers(part)):
            sys.exit(f"{path}: no layer of the model fits {name}; is it for another model?")
    return own


def adapted(pipeline):
    return {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module) and layers(part)}


def load_one(pipeline, path, adapter):
    if not path.is_dir():
        return pipeline.load_lora_weights(str(path.resolve().parent), weight_name=path.name, adapter_name=adapter)
    config = json.loads((path / "adapter_config.json").read_text())
    state = load_file(path / "adapter_model.safetensors")
    state = {key.removeprefix("base_model.model."): value for key, value in state.items()}
    layer = next(iter(state)).split(".lora_")[0]
    for part in pipeline.components.values():
        if isinstance(part, nn.Module) and layer in dict(part.named_modules()):
            if hasattr(part, "load_lora_adapter"):
                return part.load_lora_adapter(state, prefix=None, adapter_name=adapter, metadata=config)
            return part.load_adapter(str(path), adapter_name=adapter)
    sys.exit(f"{path}: no part of the model has a layer {layer}; is it for another model?")


def layers(part):
    return [module for module in part.modules() if isinstance(module, BaseTunerLayer)]


def export(pipeline, own, out):
    """Exports the parts that have adapters over those in `out`."""
    for name, part in adapted(pipeline).items():
        export_part(name, part, own, out / name)


def export_part(name, part, own, folder):
    """Traces `part` in place of the graph in `folder`, whose inputs and outputs it keeps."""
    path = folder / "model.onnx"
    base = onnx.load(path, load_external_data=False).graph
    ports = [port for port in base.input if port.name not in {weight.name for weight in base.initializer}]
    dtype = next((TORCH[port.type.tensor_type.elem_type] for port in ports if port.type.tensor_type.elem_type != onnx.TensorProto.INT64), None)
    dtype = dtype or TORCH[base.output[0].type.tensor_type.elem_type]
    part = part.to(dtype).eval().requires_grad_(False)
    adapters = [adapter for adapter in own if any(adapter in layer.scaling for layer in layers(part))]
    traced = Adapted(part, [port.name for port in ports], [port.name for port in base.output], adapters)
    inputs = example(ports, {name: 2 for name in BATCH}) | {PREFIX + own[adapter]: torch.tensor(1.0, dtype=dtype) for adapter in adapters}
    axes = {
        port.name: {i: dim.dim_param for i, dim in enumerate(port.type.tensor_type.shape.dim) if dim.dim_param}
        for port in [*ports, *base.output]
    }
    with tempfile.TemporaryDirectory(dir=folder) as scratch, traceable():
        graph = Path(scratch) / "model.onnx"
        torch.onnx.export(
            traced, tuple(inputs.values()), str(graph), input_names=list(inputs), output_names=traced.outputs,
            dynamic_axes=axes, opset_version=18, do_constant_folding=True, dynamo=False,
        )
        compare(path, graph, ports, own, adapters)
        model = onnx.load(graph)
        for old in folder.glob("*.onnx*"):
            old.unlink()
        large = sum(weight.ByteSize() for weight in model.graph.initializer) > EXTERNAL
        onnx.save_model(model, path, save_as_external_data=large, location="model.onnx_data")
    print(f"{name}: {', '.join(PREFIX + own[adapter] for adapter in adapters)}", flush=True)


@contextlib.contextmanager
def traceable():
    """What optimum puts in the place of operators that can't be traced."""
    specs = [(spec.o, spec.name, spec.custom_op) for spec in model_patcher.UNSUPPORTED_OPS_PATCHING_SPEC]
    specs.append((transformer_flux, "apply_rotary_emb", model_patcher.patched_apply_rotary_emb))
    originals = [getattr(module, name) for module, name, _ in specs]
    for module, name, operator in specs:
        setattr(module, name, operator)
    try:
        yield
    finally:
        for (module, name, _), operator in zip(specs, originals, strict=True):
            setattr(module, name, operator)


class Adapted(nn.Module):
    """A part whose inputs are a graph's, and after them each adapter's strength."""

    def __init__(self, inner, inputs, outputs, adapters):
        super().__init__()
        self.inner, self.inputs, self.outputs, self.adapters = inner, inputs, outputs, adapters
        self.trained = [(layer, dict(layer.scaling)) for layer in layers(inner)]
        for layer, _ in self.trained:
            layer.set_adapter([adapter for adapter in adapters if adapter in layer.scaling])

    def forward(self, *tensors):
        count = len(self.inputs)
        scales = dict(zip(self.adapters, tensors[count:], strict=True))
        for layer, trained in self.trained:
            layer.scaling.update({adapter: scales[adapter] * alpha for adapter, alpha in trained.items()})
        given = dict(zip(self.inputs, tensors[:count], strict=True))
        if "input_ids" in given:
            answer = self.inner(**given, output_hidden_states=True)
            return tuple(named_output(answer, name) for name in self.outputs)
        added = {key: given.pop(key) for key in ("text_embeds", "time_ids") if key in given}
        down = [given.pop(name) for name in self.inputs if name.startswith(DOWN)]
        more = ({"added_cond_kwargs": added} if added else {}) | ({DOWN: down} if down else {})
        return self.inner(**given, **more, return_dict=False)[0]


def named_output(answer, name):
    layer = name.removeprefix("hidden_states.")
    return answer.hidden_states[int(layer)] if layer != name else answer[name]


def example(ports, sizes):
    """Inputs for the graph; open dimensions are 16 long, or as `sizes` says, and a residual's sides 1."""
    random = torch.Generator().manual_seed(0)
    inputs = {}
    for port in ports:
        tensor = port.type.tensor_type
        side = 1 if port.name == MID or port.name.startswith(DOWN) else 16
        shape = [sizes.get(dim.dim_param, side) if dim.dim_param else dim.dim_value for dim in tensor.shape.dim]
        dtype = TORCH[tensor.elem_type]
        if dtype.is_floating_point:
            inputs[port.name] = torch.randn(shape, generator=random).abs().to(dtype)
        else:
            inputs[port.name] = torch.randint(0, 10, shape, generator=random, dtype=dtype)
    return inputs


def compare(base, new, ports, own, adapters):
    """Both graphs say the same at scale 0, at another size than the traced one."""
    sizes = {name: 1 for name in BATCH} | {"width": 24, "columns": 24, "sequence_length": 11, "tokens": 11}
    inputs = {name: tensor.numpy() for name, tensor in example(ports, sizes).items()}
    sessions = [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (base, new)]
    wanted = sessions[0].run(None, inputs)
    dtype = next((array.dtype for array in inputs.values() if array.dtype.kind == "f"), wanted[0].dtype)
    got = sessions[1].run(None, inputs | {PREFIX + own[adapter]: np.zeros((), dtype) for adapter in adapters})
    for port, a, b in zip(sessions[0].get_outputs(), wanted, got, strict=True):
        off = np.abs(a.astype(np.float64) - b).max() / max(np.abs(a).max(), 1e-6)
        if not off < (1e-2 if a.dtype == np.float16 else 1e-4):
            sys.exit(f"{new}: {port.name} differs by {off:.1e} of its largest value from {base} at scale 0")


if __name__ == "__main__":
    main()
