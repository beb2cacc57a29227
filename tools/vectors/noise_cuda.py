"""torch's CUDA normal numbers, from a numpy model of the kernel, checked against what people's GPUs printed.

    python -m vectors.noise_cuda

No GPU is needed: the model is written from torch's and cuRAND's sources, and stands or falls with PUBLISHED.
"""

import numpy as np

from . import files

ABOUT = """\
torch.Generator("cuda").manual_seed(seed), then each entry of `draws` in turn from that one generator: torch.randn(count), \
on a device that runs `threads` threads at once. `places` and `values`: some of the numbers. Engine: Philox 4x32-10 with \
the seed as its key; thread t of a grid has the counter (offset / 4 + round, t). The grid has ceil(count / 256) blocks of 256 threads, \
but no more threads than the device runs at once. Each thread makes four numbers per round, which land a grid apart, until all are \
made; then the generator's offset grows by 4 per round. Numbers: cuRAND's Box-Muller, u = x * 2^-32 + 2^-33, v = (y * 2^-32 + 2^-33) * 2 pi, \
sqrt(-2 ln u) * (sin v, cos v), in single precision. A GPU's logarithm, sine and cosine differ from these in their last bits.\
"""
H100 = 132 * 2048
SEEDS = [0, 42, 2**32 + 5, 2**64 - 1]


# Printed to four digits. (seed, threads, counts of the draws before, count, scale and shift, {first place: numbers from there on})
PUBLISHED = [
    # github.com/pytorch/pytorch/issues/158398: torch.randn([1, 64, 2048]), seed 42; the numbers are an RTX 3060's
    (42, 28 * 1536, [], 64 * 2048, (1, 0), {
        0: [0.1940, 2.1614, -0.1721], 2045: [1.4540, -2.7733, -0.8932],
        2048: [-0.4574, 0.8063, 0.1580], 4093: [0.1124, 0.2769, -1.2535],
        61 * 2048: [-0.4861, 0.3358, 1.0578], 62 * 2048 - 3: [-0.7282, 0.5087, 0.1318],
        62 * 2048: [0.7881, 0.8339, -1.1424], 63 * 2048: [-1.2356, -0.4083, -0.4695], 64 * 2048 - 3: [-0.4841, 1.2850, -0.0282],
    }),
    # github.com/pytorch/pytorch/issues/97097: an RTX A4000 (48 multiprocessors of 1536 threads), normal_(5, 5**.5), seed 14
    (14, 48 * 1536, [], 100_000, (5**0.5, 5), {
        0: [2.8731, 5.2727, 2.9889], 97: [1.6853, 9.6331, 6.6319], 100: [3.9968, 3.8097, 5.7328], 200: [6.5552, 4.0857, 4.2315],
        99_700: [8.6297, 2.3137, 6.2596], 99_797: [7.9358, 4.4697, 2.7475], 99_800: [7.0551, 7.8583, 3.9990], 99_897: [4.1139, 8.9315, 4.2042],
        99_900: [2.7337, 2.2106, 7.7815], 99_997: [8.2207, 6.5395, 4.2604],
    }),
    # github.com/pytorch/pytorch/issues/143086: torch.randn(1, 49 * 12 * 112 * 144), seed 1, on an H100 and on an A100
    (1, H100, [], 9_483_264, (1, 0), {0: [-0.2963, 2.6764, -0.1408], 9_483_261: [-0.6970, -0.7780, 0.3267]}),
    (1, 108 * 2048, [], 9_483_264, (1, 0), {0: [-0.2963, 2.6764, -0.1408], 9_483_261: [0.1549, -0.6797, -0.1656]}),
    # github.com/pytorch/pytorch/issues/79496
    (10, H100, [], 3, (1, 0), {0: [-0.1029, 1.6810, -0.2708]}),
    # a torch.compile bug report's inputs, seed 42: six draws of four numbers, one after another
    (42, H100, [4], 4, (1, 0), {0: [0.1391, -0.1082, -0.7174, 0.7566]}),
    (42, H100, [4, 4], 4, (1, 0), {0: [-0.5187, 1.2268, 0.6255, -0.9117]}),
    (42, H100, [4, 4, 4], 4, (1, 0), {0: [-0.6974, -1.8688, -0.8832, -1.6627]}),
    # a fused kernel's documentation, seed 0: rows of eight
    (0, H100, [], 64, (1, 0), {
        0: [-0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284],
        8: [-1.0745, -0.3631, -1.6711, 2.2655, 0.3117, -0.1842, 1.2866, 1.1820],
    }),
]


def main():
    for seed, threads, before, count, (scale, shift), places in PUBLISHED:
        generator = Generator(seed, threads)
        for earlier in before:
            generator.randn(earlier)
        values = generator.randn(count).astype(np.float64) * scale + shift
        for place, numbers in places.items():
            found = values[place : place + len(numbers)]
            if np.abs(found - numbers).max() > 6e-5 * max(1, scale):
                raise AssertionError(f"seed {seed}, place {place}: {found} for a GPU's {numbers}")
    print(f"{len(PUBLISHED)} published draws agree")
    published = [
        {"seed": str(seed), "threads": threads, "before": before, "count": count, "scale": scale, "shift": shift,
         "places": [[place, *numbers] for place, numbers in places.items()]}
        for seed, threads, before, count, (scale, shift), places in PUBLISHED
        if count < 1_000_000  # the others take a test too long
    ]
    cases = [case(seed, H100, [5, 16, 1000]) for seed in SEEDS]
    cases += [case(42, H100, [1, 255, 256, 257, 4 * 64 * 64]), case(7, H100, [4 * 128 * 128, 3])]
    # a tensor that is larger than one round of the grid on small devices, and larger than all four of its numbers
    cases += [case(3, 2048, [2048, 2049, 8192, 8193, 100_000]), case(3, H100, [H100 + 1, 17])]
    head = {"about": ABOUT, "published": published}
    files.write(files.OUT / "noise_cuda.json", head, cases)


def case(seed, threads, counts):
    generator = Generator(seed, threads)
    draws = []
    for count in counts:
        values = generator.randn(count)
        places = np.unique(np.linspace(0, count - 1, min(count, 24)).astype(int))
        draws.append({"count": count, "places": places.tolist(), "values": files.floats(values[places])})
    return {"seed": str(seed), "threads": threads, "draws": draws}


class Generator:
    """ABOUT as code."""

    def __init__(self, seed, threads):
        self.key, self.threads, self.offset = seed, threads, 0

    def randn(self, count):
        grid = min(-(-count // 256) * 256, self.threads // 256 * 256)
        rounds = -(-count // (grid * 4))
        out = np.zeros(rounds * 4 * grid, np.float32)
        for index in range(rounds):
            numbers = self.four(np.arange(grid, dtype=np.uint64), self.offset // 4 + index)
            out[index * 4 * grid : (index + 1) * 4 * grid] = np.concatenate(numbers)
        self.offset += 4 * rounds
        return out[:count]

    def four(self, thread, counter):
        low, high = np.uint64(counter % 2**32), np.uint64(counter >> 32)
        zero = np.zeros_like(thread)
        a, b, c, d = philox([zero + low, zero + high, thread % 2**32, thread >> np.uint64(32)], self.key)
        return [*box_muller(a, b), *box_muller(c, d)]


def philox(counter, key):
    low, high = key % 2**32, key >> 32
    mask, half = np.uint64(2**32 - 1), np.uint64(32)
    a, b, c, d = counter
    for _ in range(10):
        first, second = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = (second >> half) ^ b ^ np.uint64(low), second & mask, (first >> half) ^ d ^ np.uint64(high), first & mask
        low, high = (low + 0x9E3779B9) % 2**32, (high + 0xBB67AE85) % 2**32
    return a, b, c, d


def box_muller(x, y):
    single = np.float32
    # a fused multiplication and addition: exact in double, then rounded once
    fused = lambda word, unit: (single(word).astype(np.float64) * unit + unit / 2).astype(single)
    u, v = fused(x, float(single(2.0**-32))), fused(y, float(single(2.0**-32) * single(2 * np.pi)))
    radius = np.sqrt(single(-2) * np.log(u, dtype=single))
    return radius * np.sin(v, dtype=single), radius * np.cos(v, dtype=single)


if __name__ == "__main__":
    main()
