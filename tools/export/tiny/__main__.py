"""Random models of every family, each under a megabyte or two, exported to ONNX.

    python -m export.tiny [NAME ...]      writes ../tests/models/NAME

What optimum can't export (plain UNets) `export.own` does, ControlNets `export.controlnet`,
and LoRA adapters `export.lora`.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import onnx
from optimum.exporters.onnx import main_export

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import manifest

from .. import clip_skip, controlnet, lora, own
from . import adapters, families, shorten

ADAPTED = {"tiny-lora", "tiny-sdxl-lora", "tiny-sd3-lora", "tiny-flux-lora"}
OUT = Path(__file__).resolve().parents[3] / "tests" / "models"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(families.BUILDERS))
    args = parser.parse_args()
    for name in args.names or families.BUILDERS:
        export(name, OUT / name)


def export(name, out):
    shutil.rmtree(out, ignore_errors=True)
    pipeline = families.build(name)
    if own.exports(pipeline):
        own.export(pipeline, out)
    elif controlnet.exports(pipeline):
        controlnet.export(pipeline, out)
    else:
        with tempfile.TemporaryDirectory() as source:
            pipeline.save_pretrained(source)
            main_export(source, out, task="text-to-image", library_name="diffusers", opset=18)
    if name in ADAPTED:
        adapt(name, pipeline, out)
    if name in families.CLIP_SKIP:
        clip_skip.extend(out / "text_encoder" / "model.onnx")
    for graph in out.rglob("*.onnx"):
        shorten.shorten(graph)
    if name in families.OVER:
        return keep_own(out, OUT / families.OVER[name])
    for path in out.rglob("*.json"):
        forget_source(path)
    manifest.write(out)
    print(f"{name}: {sum(path.stat().st_size for path in out.rglob('*') if path.is_file()) / 1e6:.2f} MB")


def adapt(name, pipeline, out):
    """Puts LoRA adapters into the graphs in `out`."""
    with tempfile.TemporaryDirectory() as folder:
        names = lora.load(pipeline, adapters.write(families.build(name), Path(folder)))
        lora.export(pipeline, names, out)


def keep_own(out, other):
    """Leaves what is laid over a copy of `other`: parts that it hasn't, and graphs with more inputs."""
    for part in out.iterdir():
        if part.is_dir() and (other / part.name).is_dir() and inputs(part) == inputs(other / part.name):
            shutil.rmtree(part)
    for path in out.rglob("*.json"):
        forget_source(path)
    print(f"{out.name}: {sum(path.stat().st_size for path in out.rglob('*') if path.is_file()) / 1e6:.2f} MB over {other.name}")


def inputs(part):
    path = part / "model.onnx"
    return [port.name for port in onnx.load(path).graph.input] if path.exists() else None


def forget_source(path):
    """diffusers notes the folder it loaded from, which is nobody's business and differs each time."""
    config = json.loads(path.read_text())
    if config.pop("_name_or_path", None) is not None:
        path.write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
