"""Reads the weights of an exported folder back into PyTorch modules, to continue a training.

torch.onnx keeps a parameter's name where it uses the tensor as it is. Linear
weights are stored transposed and the affine parts of group norms reshaped, both
under made-up names; there the node's name ("/down_blocks.0/…/to_q/MatMul") tells
whose they are.
"""

import onnx
import torch
from onnx import numpy_helper

MADE_UP = "onnx::"
KIND = {"MatMul": "weight", "Mul": "weight", "Add": "bias"}


def load_weights(module, path):
    """Fills every parameter of `module` from the graph at `path`; raises if one is missing."""
    found = read(path)
    wanted = module.state_dict()
    state = {name: found[name].reshape(value.shape) for name, value in wanted.items() if name in found}
    missing = [name for name in wanted if name not in state and not name.endswith("position_ids")]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} parameters, the first is {missing[0]}")
    module.load_state_dict(state, strict=False)


def read(path):
    graph = onnx.load(path).graph
    stored = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    found = {name: value for name, value in stored.items() if not name.startswith(MADE_UP)}
    for node in graph.node:
        scope = ".".join(node.name.strip("/").split("/")[:-1])
        for name in node.input:
            if name.startswith(MADE_UP) and name in stored and node.op_type in KIND:
                value = stored[name]
                found[f"{scope}.{KIND[node.op_type]}"] = value.T if node.op_type == "MatMul" else value
    return found
