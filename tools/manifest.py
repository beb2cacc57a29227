"""Writes MODEL/manifest.json: size and SHA-256 of every other file of a model folder.

    python tools/manifest.py models/emoji            write it
    python tools/manifest.py --check models/emoji    compare; exit 1 on any difference

The digests let a reader of the repository, or a worker, tell a damaged folder
from a good one before ONNX Runtime is asked to parse it.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

NAME = "manifest.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        sys.exit(check(args.folder))
    write(args.folder)


def write(folder):
    """Computes and writes the manifest; keys are sorted, so equal folders give equal bytes."""
    text = json.dumps(compute(folder), indent=1, sort_keys=True) + "\n"
    (folder / NAME).write_text(text)


def compute(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != NAME)
    return {
        "algorithm": "sha256",
        "files": {
            p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": digest(p)}
            for p in files
        },
    }


def digest(path):
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check(folder):
    """Prints every difference; returns the exit status."""
    wanted = json.loads((folder / NAME).read_text())["files"]
    found = compute(folder)["files"]
    bad = [path for path in sorted(wanted | found) if wanted.get(path) != found.get(path)]
    for path in bad:
        state = "missing" if path not in found else "unlisted" if path not in wanted else "differs"
        print(f"{path}: {state}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    main()
