"""Gives a folder's CLIP text encoder the outputs that `clip_skip` reads.

    python -m export.clip_skip FOLDER

Stable Diffusion's exports hold the last layer alone. diffusers takes an earlier
one through the last normalisation, so that is what is added: `final_layer_norm.I`
for each layer I but the last, counted from the embeddings, 0. The graph is changed
where it stands, its weights are not touched, and `manifest.json`, where there is
one, is written anew.
"""

import argparse
import re
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import manifest

PREFIX = "final_layer_norm."
# The normalisation that a layer begins with reads what the layer before it made.
FIRST = re.compile(r"encoder\.layers\.(\d+)\.layer_norm1\.weight$")
LAST = "final_layer_norm.weight"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    added = extend(args.folder / "text_encoder" / "model.onnx")
    if (args.folder / "manifest.json").is_file():
        manifest.write(args.folder)
    print(f"{args.folder}: clip_skip up to {added}")


def extend(path):
    """Adds the outputs to the graph in a file; returns how many there are."""
    if not path.is_file():
        raise SystemExit(f"{path} doesn't exist: give a folder of Stable Diffusion or LCM, exported to ONNX")
    # what lies beside the graph stays there
    model = onnx.load(path, load_external_data=False)
    added = add_layers(model.graph, str(path))
    onnx.save(model, path)
    return added


def add_layers(graph, name):
    """Adds the outputs to `graph`; returns how many there are."""
    if any(output.name.startswith((PREFIX, "hidden_states.")) for output in graph.output):
        raise SystemExit(f"{name} gives its layers already")
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"]
    layers = {int(found[1]): node for node in norms if (found := FIRST.search(node.input[1]))}
    last = [node for node in norms if node.input[1].endswith(LAST)]
    if len(last) != 1 or sorted(layers) != list(range(len(layers))) or not layers:
        raise SystemExit(
            f"{name} has no LayerNormalization of its own for each layer: export it by optimum with opset 17 or newer, "
            "and without --optimize"
        )
    [last] = last
    result = next(output for output in graph.output if output.name == last.output[0] or output.name == "last_hidden_state")
    kind = result.type.tensor_type.elem_type or TensorProto.FLOAT
    for index in sorted(layers):
        output = f"{PREFIX}{index}"
        node = onnx.NodeProto()
        node.CopyFrom(last)
        node.name, node.output[:] = f"/{output}/LayerNormalization", [output]
        node.input[0] = layers[index].input[0]
        graph.node.append(node)
        graph.output.append(helper.make_tensor_value_info(output, kind, ["batch_size", "sequence_length", None]))
    return len(layers)


if __name__ == "__main__":
    sys.exit(main())
