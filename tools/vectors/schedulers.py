"""Every step of diffusers' schedulers on 16 numbers, with made-up model outputs.

    python -m vectors.schedulers [CLASS ...]

A case costs little, so options are tried one at a time and in the pairs that
meet in practice. To cover another class, add it to CASES.
"""

import argparse
import importlib
import math

import diffusers
import numpy as np
import torch

from . import files

SHAPE = (1, 1, 4, 4)

# What a scheduler_config.json holds: of the demo model, and of Stable Diffusion 1.5 (which names PNDM and omits
# keys that came later). Cases are Class.from_config(source | overrides).
SOURCES = {
    "demo": {
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "dpmsolver++",
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "beta_start": 0.0001,
        "clip_sample": False,
        "final_sigmas_type": "zero",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "set_alpha_to_one": False,
        "solver_order": 2,
        "solver_type": "midpoint",
        "steps_offset": 1,
        "timestep_spacing": "trailing",
    },
    "sd15": {
        "_class_name": "PNDMScheduler",
        "_diffusers_version": "0.6.0",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "trained_betas": None,
    },
}
SOURCES["sd15_without_clip_sample"] = {k: v for k, v in SOURCES["sd15"].items() if k != "clip_sample"}

SPACINGS = [{"timestep_spacing": kind} for kind in ("leading", "trailing", "linspace")]
PREDICTIONS = [{"prediction_type": kind} for kind in ("epsilon", "v_prediction", "sample")]
BETAS = [{"beta_schedule": "squaredcos_cap_v2"}, {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}]
KARRAS, EXPONENTIAL, BETA = {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
PRK = {"skip_prk_steps": False}
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}


def case(source, steps, overrides=None, step_args=None):
    return source, steps, overrides or {}, step_args or {}


def common(*more):
    """Both sources at three lengths, then the options on the second one at 10 steps."""
    lengths = [case(source, steps) for source in ("demo", "sd15") for steps in (5, 10, 20)]
    return lengths + [case("sd15", 10, extra) for extra in [*SPACINGS, *PREDICTIONS, *BETAS, *more]]


CASES = {
    "DDIMScheduler": [
        *common({"set_alpha_to_one": True}, {"steps_offset": 0}, ZERO_SNR, THRESHOLD),
        case("sd15_without_clip_sample", 10),
        case("demo", 10, {"clip_sample": True}),
        case("demo", 10, {"clip_sample": True, "clip_sample_range": 2.5}),
        case("sd15", 10, step_args={"eta": 0.5}),
        case("sd15", 10, step_args={"eta": 1.0}),
        case("demo", 10, step_args={"eta": 1.0}),
        case("sd15", 10, {"clip_sample": True}, {"eta": 1.0, "use_clipped_model_output": True}),
        case("sd15", 1),
        case("sd15", 999),
    ],
    "EulerDiscreteScheduler": [
        *common(KARRAS, EXPONENTIAL, BETA, ZERO_SNR, {"steps_offset": 0, "timestep_spacing": "leading"}),
        case("sd15", 10, {"final_sigmas_type": "sigma_min"}),
        case("sd15", 10, {"interpolation_type": "log_linear"}),
        case("sd15", 10, {"timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": True}),
        case("demo", 10, KARRAS),
        case("demo", 10, KARRAS | {"sigma_min": 0.02, "sigma_max": 80.0}),
        case("sd15", 10, step_args={"s_churn": 0.5, "s_tmin": 0.1, "s_tmax": 20.0, "s_noise": 1.003}),
        case("sd15", 1),
    ],
    "EulerAncestralDiscreteScheduler": [*common(ZERO_SNR), case("sd15", 1)],
    "DPMSolverMultistepScheduler": [
        *common(KARRAS, EXPONENTIAL, BETA, {"use_lu_lambdas": True}, ZERO_SNR, THRESHOLD),
        case("demo", 5, KARRAS),
        case("demo", 10, KARRAS),
        case("demo", 20, KARRAS),
        case("sd15", 20, KARRAS),
        *[case("sd15", 10, {"solver_order": order}) for order in (1, 3)],
        *[case("sd15", 20, {"solver_order": order}) for order in (1, 3)],
        case("sd15", 10, {"solver_type": "heun"}),
        case("sd15", 10, {"final_sigmas_type": "sigma_min"}),
        case("sd15", 10, {"euler_at_final": True}),
        case("sd15", 20, {"euler_at_final": True}),
        case("sd15", 10, {"lower_order_final": False}),
        case("sd15", 10, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
        case("sd15", 20, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
        case("sd15", 10, {"lambda_min_clipped": -5.1}),
        case("sd15", 10, {"algorithm_type": "sde-dpmsolver++"}),
        case("sd15", 10, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
        case("sd15", 10, {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"} | KARRAS),
        case("sd15", 10, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
        case("sd15", 10, {"algorithm_type": "dpmsolver", "final_sigmas_type": "zero"}),
        case("sd15", 10, {"variance_type": "learned_range"}),
        case("sd15", 1),
        case("sd15", 2),
        case("demo", 14),
        case("demo", 15),
    ],
    # The demo's config says nothing of skip_prk_steps, so its first three steps are Runge-Kutta's.
    "PNDMScheduler": [
        *common({"set_alpha_to_one": True}, {"steps_offset": 0}),
        *[case("sd15", 10, PRK | extra) for extra in [{}, *SPACINGS, {"prediction_type": "v_prediction"}]],
        case("sd15", 10, PRK | {"set_alpha_to_one": True, "steps_offset": 0}),
        case("demo", 10, {"skip_prk_steps": True}),
        case("demo", 20, {"skip_prk_steps": True}),
        *[case("sd15", steps) for steps in (1, 2, 3, 7, 999)],
        *[case("sd15", steps, PRK) for steps in (3, 4, 7, 30)],
    ],
}

ABOUT = """\
One run of a diffusers scheduler per case: Class.from_config(sources[source] | overrides), set_timesteps(num_inference_steps), \
then step by step. All arrays are 16 f32 numbers. `config`: the resolved configuration; lambda_min_clipped is left out where it is \
minus infinity (scheduler_config.json files hold the bare token -Infinity there, which is no JSON, and some the string "-Infinity"). \
`sample` is the first input, init_noise_sigma already in it. In each step: `timestep`; `scaled` = scale_model_input(sample, timestep); \
`model_output`, made up; `noise`, one array per draw, where diffusers draws; `prev_sample`, the next step's sample. \
`step_args` go to step(). Runs of 100 steps and more are recorded for their first 10. `rejected`: what diffusers refuses, and where (from_config, set_timesteps or step).\
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", default=list(CASES))
    for name in parser.parse_args().classes:
        write_class(name)


def write_class(name):
    done, rejected = [], []
    for spec in CASES[name]:
        record = run(name, *spec)
        (rejected if "error" in record else done).append(record)
    names = [record["name"] for record in done + rejected]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
    head = {"about": ABOUT, "class": name, "diffusers": diffusers.__version__, "sources": SOURCES, "rejected": rejected}
    files.write(files.OUT / "schedulers" / f"{name}.json", head, done)


def run(name, source, count, overrides, step_args):
    """The record of one case: its steps, or the error it ends with."""
    title = "_".join([source, str(count), *map(label, (overrides | step_args).items())])
    record = {
        "name": title, "class": name, "source": source, "overrides": overrides,
        "num_inference_steps": count, "step_args": step_args,
    }
    phase = "from_config"
    try:
        scheduler = build(name, SOURCES[source] | overrides)
        phase = "set_timesteps"
        scheduler.set_timesteps(count)
        phase = "step"
        with np.errstate(all="ignore"):
            return record | trace(scheduler, step_args)
    except (ValueError, NotImplementedError, AssertionError) as error:
        return record | {"where": phase, "error": str(error).strip().splitlines()[0]}


def label(item):
    key, value = item
    return key if value is True else f"no_{key}" if value is False else f"{key}={value}"


def build(name, config):
    return getattr(diffusers, name).from_config(config)


def trace(scheduler, step_args):
    random = np.random.default_rng(16)
    draw = lambda: torch.from_numpy(random.standard_normal(SHAPE).astype(np.float32))
    sample = draw() * scheduler.init_noise_sigma
    out = {
        "config": plain(scheduler.config),
        "timesteps": files.floats(scheduler.timesteps.double().numpy()),
        "init_noise_sigma": float(scheduler.init_noise_sigma),
        "sample": files.floats(sample),
        "steps": [],
    }
    if getattr(scheduler, "sigmas", None) is not None:
        out["sigmas"] = files.floats(scheduler.sigmas)
    timesteps = scheduler.timesteps if len(scheduler.timesteps) < 100 else scheduler.timesteps[:10]
    for timestep in timesteps:
        scaled = scheduler.scale_model_input(sample, timestep)
        output = draw()
        given = torch.cat([output, draw()], 1) if scheduler.config.get("variance_type") else output
        with recorded_noise(scheduler, draw) as noise:
            sample = scheduler.step(given, timestep, sample, **step_args).prev_sample
        if not torch.isfinite(sample).all():
            raise ValueError("not finite")
        step = {"timestep": number(timestep), "scaled": files.floats(scaled), "model_output": files.floats(output)}
        if noise.drawn:
            step["noise"] = [files.floats(part) for part in noise.drawn]
        out["steps"].append(step | {"prev_sample": files.floats(sample)})
    return out


class recorded_noise:
    """Replaces the randn_tensor that the scheduler's module imported; keeps what it gave."""

    def __init__(self, scheduler, draw):
        self.module = importlib.import_module(type(scheduler).__module__)
        self.draw, self.drawn = draw, []

    def __enter__(self):
        self.original = getattr(self.module, "randn_tensor", None)
        self.module.randn_tensor = self.give
        return self

    def __exit__(self, *_):
        self.module.randn_tensor = self.original

    def give(self, shape, **_):
        assert tuple(shape) == SHAPE, shape
        self.drawn.append(self.draw())
        return self.drawn[-1]


def plain(config):
    """The resolved config as JSON: without diffusers' own bookkeeping and without infinities."""
    return {
        key: value
        for key, value in sorted(dict(config).items())
        if not key.startswith("_") and not (isinstance(value, float) and math.isinf(value))
    }


def number(timestep):
    return files.number(float(timestep))


if __name__ == "__main__":
    main()
