"""torch's CPU normal numbers, with the algorithm written out in numpy and checked against them.

    python -m vectors.noise
"""

import numpy as np
import torch

from . import files

ABOUT = """\
torch.Generator("cpu").manual_seed(seed), then each entry of `draws` in turn from that one generator: \
torch.randn(shape, dtype=float32). A draw has all `values` (f32) or, when large, `first` and `last` 32, \
and always `sum` and `sum_of_squares` in double. \
Engine: mt19937 seeded by init_genrand(seed mod 2^32); a seed may be negative (two's complement, 64 bits). \
numel >= 16: (1) each element in order takes one 32-bit output x as the f32 uniform (x mod 2^24) * 2^-24. \
(2) In place, for every full block of 16 at 0, 16, 32, ...: for j in 0..8, u1 = 1 - block[j], u2 = block[j+8], \
r = sqrt(-2 ln u1), block[j] = r cos(2 pi u2), block[j+8] = r sin(2 pi u2), all in f32. \
(3) If numel is no multiple of 16, the last 16 elements are drawn anew: 16 further outputs as in (1), then (2) \
on that block; so the tail of the last full block is overwritten too. The second-normal cache is neither used nor cleared. \
numel < 16: each element in order, in double. If the generator holds a cached normal it is taken and cleared. \
Else u1, then u2, each from two outputs a, b as ((a * 2^32 + b) mod 2^53) * 2^-53; r = sqrt(-2 log1p(-u2)), \
theta = 2 pi u1; r sin(theta) is cached in the generator, r cos(theta) is the value; rounded to f32 at the end. \
The cache outlives the call and manual_seed clears it. \
dtype=float16 gives these numbers rounded, as long as numel is below 16 or a multiple of 16. \
torch evaluates (2) with vector approximations of log, sin and cos, so values agree to about 1e-6 absolute, not to the bit.\
"""
TOLERANCE = 2e-6
SEEDS = [0, 1, 42, 1234567, 2**31, 2**32 - 1, 2**32, 2**32 + 42, 2**63 - 25, 2**63, 2**64 - 1]
SMALL = [[n] for n in range(1, 18)] + [[31], [32], [33], [2, 3], [1, 4, 5, 5]]


def main():
    cases = [case(seed, [[5], [16], [100]]) for seed in SEEDS]
    cases += [case(42, [shape]) for shape in SMALL]
    cases += [case(seed, [[1000], [1, 4, 64, 64]]) for seed in (0, 42, 2**32 - 1)]
    cases += [
        case(7, [[1, 4, 8, 8], [1, 4, 8, 8]]),
        case(7, [[3], [3], [1]]),
        case(7, [[3], [17], [1], [16], [2]]),
        case(7, [[17], [1], [1]]),
        case(2024, [[1, 12, 16, 16], [1, 12, 16, 16], [1, 12, 16, 16]]),
    ]
    files.write(files.OUT / "noise.json", {"about": ABOUT, "torch": torch.__version__.split("+")[0]}, cases)


def case(seed, shapes):
    generator = torch.Generator("cpu").manual_seed(seed)
    ours = Generator(seed)
    draws = []
    for shape in shapes:
        values = torch.randn(shape, generator=generator).numpy().ravel()
        error = np.abs(values - ours.randn(values.size)).max()
        if error > TOLERANCE:
            raise AssertionError(f"seed {seed}, {shapes}: the written algorithm is off by {error}")
        draws.append(record(shape, values))
    check_half(seed, shapes[0])
    # Seeds are strings: a JSON number above 2^53 is not safe everywhere.
    return {"seed": str(seed), "draws": draws}


def check_half(seed, shape):
    full, half = (
        torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=dtype)
        for dtype in (torch.float32, torch.float16)
    )
    if full.numel() < 16 or full.numel() % 16 == 0:
        assert torch.equal(full.half(), half), (seed, shape)


def record(shape, values):
    wide = values.astype(np.float64)
    out = {"shape": shape, "sum": float(wide.sum()), "sum_of_squares": float((wide**2).sum())}
    if values.size <= 100:
        return out | {"values": files.floats(values)}
    return out | {"first": files.floats(values[:32]), "last": files.floats(values[-32:])}


class Generator:
    """ABOUT as code."""

    def __init__(self, seed):
        # RandomState(int) is init_genrand; random_raw gives the tempered 32-bit outputs.
        self.engine = np.random.RandomState(seed % 2**32)._bit_generator
        self.cached = None

    def randn(self, count):
        return self.blocks(count) if count >= 16 else np.array([self.one() for _ in range(count)], np.float32)

    def blocks(self, count):
        out = self.uniform(count)
        for start in range(0, count - 15, 16):
            out[start : start + 16] = box_muller(out[start : start + 16])
        if count % 16:
            out[-16:] = box_muller(self.uniform(16))
        return out

    def uniform(self, count):
        low = self.engine.random_raw(count) & np.uint64(2**24 - 1)
        return low.astype(np.float32) * np.float32(2.0**-24)

    def one(self):
        if self.cached is not None:
            value, self.cached = self.cached, None
            return value
        u1, u2 = self.wide(), self.wide()
        radius, angle = np.sqrt(-2 * np.log1p(-u2)), 2 * np.pi * u1
        self.cached = radius * np.sin(angle)
        return radius * np.cos(angle)

    def wide(self):
        high, low = (int(x) for x in self.engine.random_raw(2))
        return (((high << 32) | low) & (2**53 - 1)) * 2.0**-53


def box_muller(block):
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - block[:8]))
    angle = np.float32(2 * np.pi) * block[8:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])


if __name__ == "__main__":
    main()
