"""Lets a folder's UNet make pictures of any size that its VAE makes, as diffusers' does.

    python -m export.any_size FOLDER

An exported UNet doubles its latents exactly on the way up, so their sides must be
multiples of what it halves them by. diffusers makes them as large as those of the way
down instead. That is what each doubling is changed to here, where the graph stands;
`hearth.json` says so with `any_size`, and `manifest.json`, where there is one, is
written anew.
"""

import argparse
import json
import sys
from pathlib import Path

import onnx
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import manifest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    path = args.folder / "unet" / "model.onnx"
    if not path.is_file():
        raise SystemExit(f"{path} doesn't exist: give a folder of Stable Diffusion, XL or LCM, exported to ONNX")
    if (args.folder / "controlnet").exists():
        raise SystemExit(f"{args.folder} has ControlNets, which take sizes that are halved exactly")
    # what lies beside the graph stays there
    model = onnx.load(path, load_external_data=False)
    settings = args.folder / "hearth.json"
    own = json.loads(settings.read_text()) if settings.is_file() else {}
    changed = open_sizes(model.graph, str(path))
    onnx.save(model, path)
    settings.write_text(json.dumps(own | {"any_size": True}, indent=2) + "\n")
    if (args.folder / "manifest.json").is_file():
        manifest.write(args.folder)
    print(f"{args.folder}: {changed} doublings changed")


def open_sizes(graph, name):
    """Changes each doubling that a concatenation follows; returns how many there are."""
    users = {}
    for node in graph.node:
        for value in node.input:
            users.setdefault(value, []).append(node)
    doublings = [node for node in graph.node if node.op_type == "Resize" and len(node.input) > 2 and node.input[2]]
    for number, node in enumerate(doublings):
        beside = skip(node, users)
        if beside is None:
            raise SystemExit(f"{name}: what {node.name} doubles is not joined with anything; export it by optimum, without --optimize")
        resize(graph, node, beside, number)
    if not any(node.op_type == "Resize" for node in graph.node):
        raise SystemExit(f"{name} doubles nothing")
    return len(doublings)


def skip(node, users):
    """What the doubled latents are joined with: of the same sides, from the way down."""
    for _ in range(4):
        value = node.output[0]
        join = next((user for user in users.get(value, []) if user.op_type == "Concat"), None)
        if join is not None:
            return next(other for other in join.input if other != value)
        node = next((user for user in users.get(value, []) if user.op_type in ("Conv", "Cast")), None)
        if node is None:
            return None


def resize(graph, node, beside, number):
    """The batch and channels of what is doubled, the sides of what it is joined with."""
    own = lambda what: f"any_size.{number}.{what}"
    for what, values in (("from", [0]), ("between", [2]), ("to", [4])):
        graph.initializer.append(numpy_helper.from_array(onnx.numpy_helper.np.array(values, "int64"), own(what)))
    new = [
        helper.make_node("Shape", [node.input[0]], [own("shape")]),
        helper.make_node("Shape", [beside], [own("other")]),
        helper.make_node("Slice", [own("shape"), own("from"), own("between")], [own("batch")]),
        helper.make_node("Slice", [own("other"), own("between"), own("to")], [own("sides")]),
        helper.make_node("Concat", [own("batch"), own("sides")], [own("sizes")], axis=0),
    ]
    place = next(index for index, other in enumerate(graph.node) if other is node or other == node)
    for before in reversed(new):
        graph.node.insert(place, before)
    node.input[:] = [node.input[0], node.input[1], "", own("sizes")]


if __name__ == "__main__":
    sys.exit(main())
