"""Short names inside a graph: in a small one they are half of the file."""

import onnx


def shorten(path):
    model = onnx.load(path)
    graph = model.graph
    kept = {port.name for port in (*graph.input, *graph.output)} | {""}
    short = {}

    def name(long):
        return long if long in kept else short.setdefault(long, f"v{len(short)}")

    for weight in graph.initializer:
        weight.name = name(weight.name)
    for node in graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ValueError(f"{path}: {node.name} has a graph of its own")
        node.name = ""
        node.input[:] = map(name, node.input)
        node.output[:] = map(name, node.output)
    del graph.value_info[:]
    onnx.save_model(model, path)
