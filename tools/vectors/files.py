"""Where vectors go, and how they are written: JSON with one case per line, so that diffs stay readable."""

import base64
import json
import math
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "inference" / "tests" / "vectors"


def write(path, head, cases):
    """A JSON object: the keys of `head`, then "cases", a list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(key)}: {dump(value)}," for key, value in head.items()]
    body = ",\n".join(dump(case) for case in cases)
    path.write_text("{\n" + "\n".join(lines) + '\n"cases": [\n' + body + "\n]\n}\n")
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    print(f"{shown}: {len(cases)} cases, {path.stat().st_size / 1000:.0f} kB")


def dump(value):
    return json.dumps(value, allow_nan=False)


def floats(array):
    """f32 numbers in the fewest digits that read back as the same f32; doubles stay doubles."""
    array = np.asarray(array)
    if array.dtype == np.float64:
        return [number(x) for x in array.ravel().tolist()]
    return [number(float(str(x))) for x in array.astype(np.float32).ravel()]


def number(x):
    if not math.isfinite(x):
        raise ValueError(f"{x} has no place in JSON")
    return int(x) if x == int(x) and abs(x) < 1e15 else x


def packed(array):
    """Shape, dtype, and the bytes (little endian, C order) through zlib and base64."""
    array = np.ascontiguousarray(array)
    data = base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "zlib_base64": data}
