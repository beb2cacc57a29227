"""torchsde's Brownian motion as diffusers' BrownianTreeNoiseSampler asks it.

    python -m vectors.noise_brownian
"""

import warnings

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

from . import files

ABOUT = """\
BrownianTreeNoiseSampler(torch.zeros(1, count), least, most, seed=seed)(from, to) for each entry [from, to, values] of `stretches`, \
one after the other; ends are f32 numbers. Values don't depend on what was asked before. (Ends that fall on one millionth run torchsde into its recursion limit.) `first` 16 values where there are more.\
"""


def main():
    warnings.simplefilter("ignore")
    levels = np.exp(np.linspace(np.log(14.6), np.log(0.03), 9))
    falling = list(zip(levels, levels[1:]))
    other = [(5.0, 1.0), (1.0, 5.0), (0.5, 0.03), (14.6, 0.03), (2.0, 1.999), (3.0, 2.99999)]
    beyond = [(20.0, 1.0), (0.05, 0.0), (30.0, 20.0)]
    cases = [case(seed, count, 0.03, 14.6, falling) for seed in (0, 42, 2**32 - 1, 2**40 + 7, 2**64 - 1) for count in (3, 18)]
    cases += [case(7, 18, 0.03, 14.6, other + beyond), case(7, 64, 0.3, 500.0, [(500.0, 250.0), (250.0, 0.31), (0.31, 0.3), (0.29999998, 0.0)])]
    files.write(files.OUT / "noise_brownian.json", {"about": ABOUT}, cases)


def case(seed, count, least, most, stretches):
    least, most = (float(np.float32(x)) for x in (least, most))
    sampler = BrownianTreeNoiseSampler(torch.zeros(1, count), least, most, seed=seed)
    asked = []
    for start, end in stretches:
        ends = torch.tensor([start, end])
        values = sampler(*ends).ravel()[:16]
        asked.append([*files.floats(ends), files.floats(values)])
    return {"seed": str(seed), "count": count, "least": files.floats(np.float32([least]))[0], "most": files.floats(np.float32([most]))[0], "stretches": asked}


if __name__ == "__main__":
    main()
