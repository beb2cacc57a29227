"""A model folder's graphs in half precision, their weights in a file beside each.

    python -m export.half tests/models/tiny-sd tests/models/tiny-sd-f16

What an fp16 export looks like to a loader: f16 inputs, outputs and weights, and
external data. The UNet keeps its weights inside, so that both kinds occur.

    python -m export.half --bare tests/models/tiny-sd3 tests/models/tiny-sd3-f16 --without vae_decoder vae_encoder

writes the graphs alone, weights inside, to be laid over a copy of the folder.
"""

import argparse
import shutil
import sys
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import manifest

from .tiny import shorten

INSIDE = ("unet", "controlnet")
UNUSED = {"vae_encoder"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", metavar="PART", help="write OUT, one file: this part's graph with its weights inside")
    parser.add_argument("--bare", action="store_true", help="write graphs alone, their weights inside")
    parser.add_argument("--without", nargs="*", default=[], metavar="PART", help="parts that are left out")
    args = parser.parse_args()
    if args.bare:
        shutil.rmtree(args.out, ignore_errors=True)
        for path in sorted(args.folder.rglob("*.onnx")):
            if path.parent.name in args.without:
                continue
            (args.out / path.parent.name).mkdir(parents=True)
            halve(path, args.out / path.parent.name / path.name, external=False)
            shorten.shorten(args.out / path.parent.name / path.name)
        return
    if args.only:
        return halve(args.folder / args.only / "model.onnx", args.out, external=False)
    shutil.copytree(args.folder, args.out, ignore=shutil.ignore_patterns("*.onnx", "manifest.json", *UNUSED))
    for path in sorted(args.folder.rglob("*.onnx")):
        part = path.parent.name
        if part not in UNUSED:
            halve(path, args.out / part / path.name, external=not part.startswith(INSIDE))
    manifest.write(args.out)


def halve(path, out, external):
    model = convert_float_to_float16(onnx.load(path), keep_io_types=False, op_block_list=[])
    onnx.save_model(
        model, out, save_as_external_data=external, all_tensors_to_one_file=True,
        location=out.name + "_data", size_threshold=64,
    )


if __name__ == "__main__":
    main()
