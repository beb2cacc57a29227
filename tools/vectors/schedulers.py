"""Every step of diffusers' schedulers on 18 numbers, with made-up model outputs.

    python -m vectors.schedulers [CLASS ...]             the committed vectors
    python -m vectors.schedulers --random 4000 OUT       as many random cases, for a look by hand

A case costs little, so options are tried one at a time and in the pairs that meet in practice.
What is tried of a class is in scheduler_cases.py.
"""

import argparse
import importlib
import math
import random
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch

from . import files, scheduler_cases

# Three channels, as rules that drop a predicted variance keep that many; 18 numbers, so that torch's normal numbers
# come in a block and a tail.
SHAPE = (1, 3, 2, 3)
BANK = np.random.default_rng(16).standard_normal((64, 18)).astype(np.float32)
NOISE = np.random.default_rng(17).standard_normal((64, 18)).astype(np.float32)
VARIANCES = np.random.default_rng(18).uniform(0.01, 1, (64, 18)).astype(np.float32)
RECORDED_CALLS = 10

ABOUT = """\
One run of a diffusers scheduler per case: Class.from_config(sources[source] | overrides), set_timesteps(`steps`, or what \
`run` holds instead), then call by call from `begin` (0) on. Samples are 18 f32 numbers, the shape is (1, 3, 2, 3). bank.json holds \
what every run is fed: the first sample is outputs[0] times init_noise_sigma, call i is given outputs[(i + 1) % 64] as the model's \
output (followed by variances[i % 64] where variance_type is learned), and draw j of noise is noise[j % 64]; unless the case has a \
`seed`: then torch.Generator("cpu").manual_seed(seed) draws first the sample, then the steps' noise, and seeds the Brownian motion. \
`noisy`: add_noise(outputs[0], outputs[1]) at call `noisy_at`. `scale`: by how much scale_model_input shrank each call's sample (1 \
where left out). `draws`: whether a call drew noise, as a string of 0 and 1 (none where left out). `stretches`: least and greatest \
level of the Brownian motion, and the levels that it was asked between, call by call. `samples`: the sample after each call. \
Runs of 100 calls and more are recorded for their first 10. `rejected`: what diffusers refuses, or runs into NaN with, and where.\
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", default=None)
    parser.add_argument("--random", type=int, default=0, help="this many random cases, into the one folder named")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    diffusers.logging.set_verbosity_error()
    if given.random:
        return write_random(Path(given.classes[0]), given.random, given.seed)
    bank = {"outputs": BANK, "noise": NOISE, "variances": VARIANCES}
    lines = [f'"{key}": [\n' + ",\n".join(files.dump(files.floats(row)) for row in rows) + "\n]" for key, rows in bank.items()]
    (files.OUT / "schedulers" / "bank.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    for name in given.classes or scheduler_cases.CASES:
        write(files.OUT / "schedulers" / f"{name}.json", name, scheduler_cases.CASES[name])


def write_random(folder, count, seed):
    chance = random.Random(seed)
    cases = {}
    for _ in range(count):
        name, case = scheduler_cases.random_case(chance)
        cases.setdefault(name, []).append(case)
    for name, drawn in cases.items():
        write(folder / f"{name}.json", name, drawn)


def write(path, name, cases):
    done, rejected, seen = [], [], set()
    for case in cases:
        record = run(name, *case)
        if record is None or record["name"] in seen:
            continue
        seen.add(record["name"])
        (rejected if "error" in record else done).append(record)
    sources = {key: scheduler_cases.SOURCES[key] for key in sorted({case[0] for case in cases})}
    head = {"about": ABOUT, "class": name, "diffusers": diffusers.__version__, "sources": sources}
    lines = ["[\n" + ",\n".join(files.dump(record) for record in part) + "\n]" for part in (rejected, done)]
    head = [f"{files.dump(key)}: {files.dump(value)}," for key, value in head.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + "\n".join(head) + f'\n"rejected": {lines[0]},\n"cases": {lines[1]}\n' + "}\n")
    print(f"{path.name}: {len(done)} cases, {len(rejected)} rejected, {path.stat().st_size / 1000:.0f} kB")


def run(name, source, steps, overrides, args):
    """The record of one case: its steps, or the error it ends with; none where diffusers leaves the schedule."""
    title = "_".join([source, str(steps), *map(label, (overrides | args).items())])
    record = {"name": title, "source": source, "overrides": overrides, "steps": steps}
    kept = {key: args[key] for key in ("begin", "seed", "eta") if key in args}
    lists = {key: value for key, value in args.items() if key not in kept}
    record |= kept | ({"run": lists} if lists else {})
    phase = "from_config"
    torch.manual_seed(0)
    try:
        with np.errstate(all="ignore"):
            scheduler = getattr(diffusers, name).from_config(scheduler_cases.SOURCES[source] | overrides)
            phase = "set_timesteps"
            if name == "UniPCMultistepScheduler" and "sigmas" in lists:  # a list fails where pipelines give an array
                lists = lists | {"sigmas": np.array(lists["sigmas"])}
            counted = not ("timesteps" in lists or "sigmas" in lists)
            scheduler.set_timesteps(**({"num_inference_steps": steps} if counted else {}), **lists)
            if len(scheduler.timesteps) == 0:
                raise ValueError("no step is left")
            if not torch.isfinite(scheduler.timesteps.double()).all():
                raise ValueError("a timestep is not finite")
            trained = "BetaSchedule" not in name and getattr(scheduler, "alphas_cumprod", None) is not None
            if trained and (scheduler.timesteps < 0).any() and scheduler.config.get("timestep_type") != "continuous":
                return None  # numpy.arange's extra value, timestep -1
            phase = "step"
            return record | trace(scheduler, args)
    except Exception as error:  # diffusers refuses with whatever its code runs into
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        return record | {"where": phase, "error": message[:120]}


def label(item):
    key, value = item
    if isinstance(value, list) and len(value) > 4:
        value = f"{len(value)}from{value[0]}"
    return key if value is True else f"no_{key}" if value is False else f"{key}={value}"


def trace(scheduler, args):
    begin = min(args.get("begin", 0) * scheduler.order, len(scheduler.timesteps) - 1)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    scale = getattr(scheduler, "init_noise_sigma", 1.0)
    out = {
        "timesteps": files.floats(scheduler.timesteps.float().numpy()),
        "init_noise_sigma": float(scale),
        "noisy_at": begin,
        "noisy": files.floats(noised(scheduler, begin)),
    }
    if getattr(scheduler, "sigmas", None) is not None:
        out["sigmas"] = files.floats(scheduler.sigmas.float())
    generator = torch.Generator("cpu").manual_seed(args["seed"]) if "seed" in args else None
    sample = tensor(BANK[0]) if generator is None else torch.randn(SHAPE, generator=generator)
    sample = sample * scale
    takes = type(scheduler).step.__code__.co_varnames
    # pipelines give their eta, 0, also to TCD, whose own default is 0.3
    step_args = {"eta": args.get("eta", 0.0)} if "eta" in takes else {}
    if generator is not None and "generator" in takes:
        step_args["generator"] = generator
    if generator is not None and hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = args["seed"]
    calls = scheduler.timesteps[begin:]
    calls = calls if len(calls) < 100 else calls[:RECORDED_CALLS]
    scales, drawn, samples = [], "", []
    with recorded_noise(scheduler, generator) as noise:
        for index, timestep in enumerate(calls):
            scaled = scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
            scales.append(float(scaled.double().norm() / sample.double().norm()))
            output = tensor(BANK[(index + 1) % 64])
            if str(scheduler.config.get("variance_type")).startswith("learned"):
                output = torch.cat([output, tensor(VARIANCES[index % 64])], 1)
            noise.drew = False
            sample = scheduler.step(output, timestep, sample, **step_args).prev_sample
            if sample.shape != SHAPE or not torch.isfinite(sample).all():
                raise ValueError("not finite, or of another shape")
            drawn += "01"[noise.drew]
            samples.append(files.floats(sample))
    if any(scale != 1 for scale in scales):
        out["scale"] = [float(np.float32(scale)) for scale in scales]
    if "1" in drawn:
        out["draws"] = drawn
    if noise.stretches:
        out["stretches"] = noise.stretches
    return out | {"samples": samples}


def tensor(numbers):
    return torch.from_numpy(numbers).reshape(SHAPE)


def noised(scheduler, call):
    timestep = scheduler.timesteps[call : call + 1]
    add = getattr(scheduler, "add_noise", None) or scheduler.scale_noise
    if type(scheduler).__name__ == "FlowMatchHeunDiscreteScheduler":
        timestep = timestep[0]
        noisy = add(tensor(BANK[0]), timestep, tensor(BANK[1]))
        scheduler._step_index = None
        return noisy
    if add.__name__ == "scale_noise":
        return add(tensor(BANK[0]), timestep, tensor(BANK[1]))
    return add(tensor(BANK[0]), tensor(BANK[1]), timestep)


class recorded_noise:
    """Gives the bank's noise instead of drawn one, unless there is a generator; notes when it is asked."""

    def __init__(self, scheduler, generator):
        self.module = importlib.import_module(type(scheduler).__module__)
        self.own = generator is not None
        self.count, self.drew, self.stretches = 0, False, []

    def __enter__(self):
        self.randn, self.sampler = (getattr(self.module, name, None) for name in ("randn_tensor", "BrownianTreeNoiseSampler"))
        self.module.randn_tensor = self.give
        if self.sampler is not None:
            self.module.BrownianTreeNoiseSampler = self.motion
        return self

    def __exit__(self, *_):
        self.module.randn_tensor = self.randn
        if self.sampler is not None:
            self.module.BrownianTreeNoiseSampler = self.sampler

    def next(self):
        self.count += 1
        return tensor(NOISE[(self.count - 1) % 64])

    def give(self, shape, **kwargs):
        assert tuple(shape) == SHAPE, shape
        self.drew = True
        return self.randn(shape, **kwargs) if self.own else self.next()

    def motion(self, x, sigma_min, sigma_max, seed=None):
        ends = files.floats(np.float32([sigma_min, sigma_max]))
        motion = self.sampler(x, sigma_min, sigma_max, seed) if self.own else None

        def between(sigma, sigma_next):
            self.drew = True
            if abs(sigma - sigma_next) < 1e-6:  # torchsde never comes to an end
                raise ValueError("noise over no stretch")
            self.stretches.append(ends + files.floats(np.float32([sigma, sigma_next])))
            return motion(sigma, sigma_next) if self.own else self.next()

        return between


if __name__ == "__main__":
    main()
