"""What vectors.schedulers tries: chosen cases of every class, and random ones."""

import math

# What a scheduler_config.json holds: of the demo model, of Stable Diffusion 1.5 (which names PNDM and omits keys that
# came later), SDXL's noisier kin with v-prediction, Stable Diffusion 3, Flux dev, a latent consistency model and a consistency model.
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
    "sd3": {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0},
    "flux": {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "base_image_seq_len": 256,
        "base_shift": 0.5,
        "max_image_seq_len": 4096,
        "max_shift": 1.15,
        "num_train_timesteps": 1000,
        "shift": 3.0,
        "use_dynamic_shifting": True,
    },
    "lcm": {
        "_class_name": "LCMScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "original_inference_steps": 50,
        "rescale_betas_zero_snr": False,
        "set_alpha_to_one": True,
        "steps_offset": 1,
        "thresholding": False,
        "timestep_scaling": 10.0,
        "timestep_spacing": "leading",
    },
    "cm": {"_class_name": "CMStochasticIterativeScheduler", "num_train_timesteps": 40, "sigma_max": 80.0, "sigma_min": 0.002},
    "bare": {"_class_name": "DDPMScheduler"},
}
SOURCES["sd15_without_clip_sample"] = {k: v for k, v in SOURCES["sd15"].items() if k != "clip_sample"}

SPACINGS = [{"timestep_spacing": kind} for kind in ("leading", "trailing", "linspace")]
PREDICTIONS = [{"prediction_type": kind} for kind in ("epsilon", "v_prediction", "sample")]
BETAS = [{"beta_schedule": "squaredcos_cap_v2"}, {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}]
KARRAS, EXPONENTIAL, BETA = ({f"use_{kind}_sigmas": True} for kind in ("karras", "exponential", "beta"))
CURVES = [KARRAS, EXPONENTIAL, BETA]
LU = {"use_lu_lambdas": True}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
PRK = {"skip_prk_steps": False}
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
ENDS_LOW = {"final_sigmas_type": "sigma_min"}
TRAINED = {"num_train_timesteps": 10, "trained_betas": [round(0.02 * (i + 1), 3) for i in range(10)]}
# "Align Your Steps" (Sabour et al. 2024): Stable Diffusion 1.5's ten timesteps and noise levels
AYS_TIMESTEPS = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]
AYS_SIGMAS = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029]
FLUX_SIGMAS = [1.0, 0.75, 0.5, 0.25]


def case(source, steps, overrides=None, **args):
    return source, steps, overrides or {}, args


def common(*more):
    """Both sources, then the options on the second one at 10 steps."""
    lengths = [case("demo", 5), case("demo", 20), case("sd15", 5), case("sd15", 20)]
    return lengths + [case("sd15", 10, extra) for extra in [*SPACINGS, *PREDICTIONS, *BETAS, *more]]


def late(**args):
    """Runs that start in the middle, as image to image does."""
    return [case("sd15", 10, begin=4, **args), case("demo", 8, begin=1, **args)]


def dpm(*more):
    return [
        *common(*CURVES, THRESHOLD, {"beta_schedule": "squaredcos_cap_v2"} | KARRAS, TRAINED | {"steps_offset": 0}),
        *[case("sd15", 10, {"solver_order": order}) for order in (1, 3)],
        *[case("sd15", 20, {"solver_order": order}) for order in (1, 3)],
        case("sd15", 10, {"lower_order_final": False}),
        case("demo", 14), case("demo", 15), case("sd15", 1), case("sd15", 2),
        case("sd3", 8, FLOW), case("sd3", 8, FLOW | {"flow_shift": 1.0, "solver_order": 3}), case("flux", 6, FLOW, mu=1.15),
        case("sd15", 12, {"solver_order": 3}, begin=5),
        *late(), *[case("sd15", 10, extra) for extra in more],
    ]


SDE = [{"algorithm_type": "sde-dpmsolver++"}, {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"}]
OLD = [
    {"algorithm_type": "dpmsolver"} | ENDS_LOW,
    {"algorithm_type": "dpmsolver", "solver_type": "heun"} | ENDS_LOW,
    {"algorithm_type": "dpmsolver", "solver_order": 3} | ENDS_LOW,
    {"algorithm_type": "dpmsolver", "prediction_type": "v_prediction"} | ENDS_LOW,
    {"algorithm_type": "dpmsolver", "prediction_type": "sample"} | ENDS_LOW,
    {"algorithm_type": "dpmsolver", "final_sigmas_type": "zero"},
]

CASES = {
    "DDPMScheduler": [
        *common(ZERO_SNR, THRESHOLD, {"beta_schedule": "laplace"}, {"beta_schedule": "sigmoid"}, TRAINED | {"steps_offset": 0}),
        *[
            case("bare", 10, {"variance_type": kind})
            for kind in ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range")
        ],
        case("bare", 1000), case("bare", 1001), case("bare", 7, {"clip_sample_range": 2.5}),
        case("sd15", 10, timesteps=AYS_TIMESTEPS), case("sd15", 4, timesteps=[900, 500, 500, 1]), case("bare", 12, seed=5), *late(),
    ],
    "DDIMScheduler": [
        *common({"set_alpha_to_one": True}, {"steps_offset": 0}, ZERO_SNR, THRESHOLD),
        case("sd15_without_clip_sample", 10),
        case("demo", 10, {"clip_sample": True}),
        case("demo", 10, {"clip_sample": True, "clip_sample_range": 2.5}),
        case("sd15", 10, eta=0.5), case("sd15", 10, eta=1.0), case("demo", 10, eta=1.0), case("sd15", 10, eta=1.0, seed=9),
        case("sd15", 1), case("sd15", 999), case("sd15", 10, timesteps=AYS_TIMESTEPS), *late(), case("sd15", 10, begin=6, eta=1.0),
    ],
    # The demo's config says nothing of skip_prk_steps, so its first three steps are Runge-Kutta's.
    "PNDMScheduler": [
        *common({"set_alpha_to_one": True}, {"steps_offset": 0}),
        *[case("sd15", 10, PRK | extra) for extra in [{}, *SPACINGS, {"prediction_type": "v_prediction"}]],
        case("sd15", 10, PRK | {"set_alpha_to_one": True, "steps_offset": 0}),
        case("demo", 10, {"skip_prk_steps": True}),
        *[case("sd15", steps) for steps in (1, 2, 3, 7, 999)],
        *[case("sd15", steps, PRK) for steps in (3, 4, 7, 30)],
        case("sd15", 10, begin=4),
    ],
    "LMSDiscreteScheduler": [*common(*CURVES), case("sd15", 1), case("demo", 10, KARRAS), case("sd15", 10, KARRAS | EXPONENTIAL), *late()],
    "EulerDiscreteScheduler": [
        *common(*CURVES, ZERO_SNR, {"steps_offset": 0, "timestep_spacing": "leading"}, TRAINED | {"steps_offset": 0}),
        case("sd15", 10, ENDS_LOW),
        case("sd15", 10, {"interpolation_type": "log_linear"}),
        case("sd15", 10, {"interpolation_type": "log_linear"} | EXPONENTIAL),
        case("sd15", 10, {"timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": True}),
        case("demo", 10, KARRAS),
        case("demo", 10, KARRAS | {"sigma_min": 0.02, "sigma_max": 80.0}),
        case("sd15", 10, KARRAS | BETA),
        case("sd15", 1),
        case("sd15", 10, timesteps=AYS_TIMESTEPS), case("sd15", 10, sigmas=AYS_SIGMAS), case("sd15", 10, KARRAS, timesteps=AYS_TIMESTEPS),
        case("sd15", 10, {"timestep_type": "continuous", "prediction_type": "v_prediction"}, sigmas=AYS_SIGMAS), *late(),
    ],
    "EulerAncestralDiscreteScheduler": [*common(ZERO_SNR), case("sd15", 1), case("sd15", 10, seed=3), case("sd15", 10, timesteps=AYS_TIMESTEPS), *late()],
    "HeunDiscreteScheduler": [
        *common(*CURVES, {"beta_schedule": "exp"}, {"clip_sample": True}, {"clip_sample": True, "clip_sample_range": 2.5}),
        case("sd15", 1), case("sd15", 2), case("sd15", 10, timesteps=AYS_TIMESTEPS), case("sd15", 10, KARRAS, timesteps=AYS_TIMESTEPS), *late(),
        case("cm", 8, KARRAS), case("bare", 8),
    ],
    "KDPM2DiscreteScheduler": [*common(*CURVES), case("sd15", 1), case("sd15", 2), case("demo", 10, KARRAS), *late()],
    "KDPM2AncestralDiscreteScheduler": [*common(*CURVES), case("sd15", 1), case("sd15", 2), case("sd15", 10, KARRAS, seed=21), *late()],
    "DPMSolverMultistepScheduler": [
        *dpm(LU, ZERO_SNR, *SDE, *OLD, LU | {"beta_schedule": "squaredcos_cap_v2"}),
        *[case(source, 20, KARRAS) for source in ("demo", "sd15")],
        case("sd15", 10, {"solver_type": "heun"}),
        case("sd15", 10, ENDS_LOW),
        case("sd15", 20, {"euler_at_final": True} | ENDS_LOW),
        case("sd15", 20, {"lower_order_final": False} | ENDS_LOW),
        case("sd15", 10, {"lambda_min_clipped": -5.1}),
        case("sd15", 12, SDE[0] | KARRAS, seed=4), case("sd15", 20, SDE[0] | {"solver_order": 3}),
        case("sd15", 10, {"algorithm_type": "sde-dpmsolver"} | ENDS_LOW),
        case("sd15", 10, {"algorithm_type": "sde-dpmsolver", "solver_type": "heun"} | ENDS_LOW),
        case("sd15", 10, {"algorithm_type": "sde-dpmsolver", "solver_order": 3} | ENDS_LOW),
        case("sd15", 10, {"variance_type": "learned_range"}), case("sd15", 10, {"algorithm_type": "deis", "solver_type": "logrho"}), case("sd15", 10, {"algorithm_type": "deis"} | ENDS_LOW),
        case("sd15", 10, {"algorithm_type": "dpmsolver", "variance_type": "learned"} | ENDS_LOW),
        case("sd15", 10, timesteps=AYS_TIMESTEPS), case("sd15", 10, LU, timesteps=AYS_TIMESTEPS), case("sd15", 10, sigmas=AYS_SIGMAS),
        case("sd3", 8, FLOW | {"algorithm_type": "sde-dpmsolver++"}), case("sd15", 8, FLOW | KARRAS), case("sd15", 8, FLOW | {"algorithm_type": "dpmsolver"} | ENDS_LOW),
        case("flux", 6, FLOW), case("sd15", 6, FLOW, mu=1.0), case("demo", 10, THRESHOLD | OLD[0]),
    ],
    "DPMSolverSinglestepScheduler": [
        *dpm(*SDE, *OLD, SDE[0] | {"solver_order": 3}, SDE[1] | {"solver_order": 3}),
        *[case("sd15", steps, {"solver_order": order}) for order in (2, 3) for steps in (9, 11)],
        case("sd15", 10, {"solver_type": "heun"}), case("sd15", 12, {"solver_type": "heun", "solver_order": 3}),
        case("sd15", 12, {"lower_order_final": False, "solver_order": 3} | ENDS_LOW), case("sd15", 12, {"lower_order_final": True, "solver_order": 3}),
        case("sd15", 12, {"algorithm_type": "dpmsolver", "solver_order": 3, "solver_type": "heun"} | ENDS_LOW),
        case("sd15", 10, {"lambda_min_clipped": -5.1}), case("sd15", 10, timesteps=AYS_TIMESTEPS), case("sd15", 10, {"variance_type": "learned_range"}),
        case("sd15", 10, {"algorithm_type": "sde-dpmsolver"} | ENDS_LOW), case("sd15", 10, THRESHOLD | OLD[0]), case("sd15", 9, SDE[0], seed=8),
    ],
    "DPMSolverSDEScheduler": [*common(*CURVES), case("sd15", 1), case("sd15", 2), case("sd15", 8, KARRAS, seed=7), case("demo", 6, seed=2**40 + 3), *late()],
    "DEISMultistepScheduler": [*dpm(KARRAS | {"solver_order": 3}, {"algorithm_type": "sde-dpmsolver++"}, {"solver_type": "bh2"})],
    "UniPCMultistepScheduler": [
        *dpm(ZERO_SNR, ENDS_LOW, {"solver_type": "bh1"}, {"solver_type": "bh1"} | ENDS_LOW, {"predict_x0": False} | ENDS_LOW),
        case("sd15", 10, {"predict_x0": False, "solver_order": 3, "prediction_type": "v_prediction"} | ENDS_LOW), case("sd15", 10, {"predict_x0": False}),
        case("sd15", 10, {"solver_type": "bh1", "solver_order": 3} | ENDS_LOW), case("sd15", 10, {"disable_corrector": [0, 1, 5]}),
        case("sd15", 10, {"disable_corrector": list(range(10)), "solver_order": 3}), case("sd3", 8, FLOW | KARRAS), case("sd3", 8, FLOW | EXPONENTIAL),
        case("sd3", 8, FLOW | {"shift_terminal": 0.1}), case("sd15", 8, {"shift_terminal": 0.1}), case("flux", 6, FLOW),
        case("flux", 6, FLOW | {"time_shift_type": "linear"}, mu=1.15), case("sd3", 4, FLOW, sigmas=FLUX_SIGMAS), case("sd15", 4, sigmas=FLUX_SIGMAS),
        case("sd15", 10, KARRAS | {"sigma_min": 0.1, "sigma_max": 9.0}), case("sd15", 10, KARRAS | ENDS_LOW),
    ],
    "LCMScheduler": [
        *[case("lcm", steps) for steps in (1, 2, 4, 8, 50)], case("lcm", 51), case("sd15", 4), case("demo", 4),
        *[case("lcm", 4, extra) for extra in [*PREDICTIONS, THRESHOLD, {"clip_sample": True}, {"original_inference_steps": 100}, {"timestep_scaling": 3.0}]],
        case("lcm", 4, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}), case("lcm", 4, original_inference_steps=20),
        case("lcm", 4, original_inference_steps=2000), case("lcm", 4, strength=0.6), case("lcm", 4, strength=0.05), case("lcm", 4, seed=11),
        case("lcm", 4, timesteps=[999, 759, 499, 259]), case("lcm", 4, timesteps=[999, 759, 499, 259], strength=0.5), case("lcm", 4, timesteps=[1000, 3]),
        case("lcm", 6, begin=2),
    ],
    "TCDScheduler": [
        *[case("lcm", steps, eta=eta) for steps in (1, 4, 8) for eta in (0.0, 0.3, 1.0)], case("sd15", 4, eta=0.3), case("demo", 4, eta=0.3),
        *[case("lcm", 4, extra, eta=0.3) for extra in PREDICTIONS], case("lcm", 4, eta=0.3, original_inference_steps=20), case("lcm", 4, eta=0.3, strength=0.6),
        case("lcm", 4, eta=0.3, seed=11), case("lcm", 4, timesteps=[999, 759, 499, 259], eta=0.3), case("lcm", 6, begin=2, eta=0.3), case("lcm", 51, eta=0.3),
        case("lcm", 4, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, eta=0.3),
    ],
    "EDMEulerScheduler": [
        *[case("bare", steps) for steps in (1, 5, 18)], case("bare", 10, {"sigma_schedule": "exponential"}), case("bare", 10, {"prediction_type": "v_prediction"}),
        case("bare", 10, {"prediction_type": "sample"}), case("bare", 10, ENDS_LOW), case("bare", 10, {"rho": 5.0, "sigma_data": 1.0, "sigma_max": 40.0}),
        case("bare", 10, {"sigma_schedule": "linear"}), case("bare", 10, sigmas=AYS_SIGMAS), case("bare", 10, begin=4), case("cm", 10),
    ],
    "EDMDPMSolverMultistepScheduler": [
        *[case("bare", steps) for steps in (1, 5, 18)], *[case("bare", 10, {"solver_order": order}) for order in (1, 3)], case("bare", 10, SDE[0]),
        case("bare", 10, SDE[1]), case("bare", 10, SDE[0] | {"solver_order": 3}), case("bare", 10, {"sigma_schedule": "exponential"}), case("bare", 10, ENDS_LOW),
        case("bare", 10, {"prediction_type": "v_prediction", "solver_type": "heun"}), case("bare", 10, THRESHOLD), case("bare", 10, begin=4),
        case("bare", 10, {"algorithm_type": "dpmsolver"}), case("bare", 20, {"euler_at_final": True} | ENDS_LOW),
    ],
    "FlowMatchEulerDiscreteScheduler": [
        *[case("sd3", steps) for steps in (1, 4, 20)], *[case("sd3", 10, extra) for extra in CURVES], case("sd3", 10, {"shift_terminal": 0.1}),
        case("sd3", 10, {"stochastic_sampling": True}), case("sd3", 10, {"stochastic_sampling": True}, seed=6), case("sd3", 10, {"invert_sigmas": True}),
        case("sd3", 10, {"shift": 1.0}), case("sd3", 1, {"shift_terminal": 0.1}), case("flux", 8, mu=0.9), case("flux", 8, mu=1.15),
        case("flux", 8, {"time_shift_type": "linear"}, mu=1.15), case("flux", 8, {"shift_terminal": 0.02}, mu=1.15), case("flux", 8), case("sd3", 8, mu=1.0),
        case("flux", 4, mu=1.15, sigmas=FLUX_SIGMAS), case("sd3", 4, sigmas=FLUX_SIGMAS), case("sd3", 4, timesteps=[1000, 700, 400.5, 120]),
        case("sd3", 4, KARRAS, sigmas=FLUX_SIGMAS), case("flux", 6, BETA, mu=0.7), case("sd3", 10, begin=4), case("sd3", 10, KARRAS | BETA),
        case("sd3", 10, {"time_shift_type": "cubic"}), case("sd15", 10),
    ],
    "FlowMatchHeunDiscreteScheduler": [
        *[case("sd3", steps) for steps in (1, 2, 5, 12)], case("sd3", 6, {"shift": 1.0}), case("flux", 6), case("sd3", 6, begin=2), case("sd3", 4, sigmas=FLUX_SIGMAS),
        case("flux", 4, mu=1.15),
    ],
    "CMStochasticIterativeScheduler": [
        *[case("cm", steps) for steps in (1, 2, 8, 40, 41)], case("cm", 5, {"clip_denoised": False}), case("cm", 5, {"s_noise": 1.1, "rho": 5.0, "sigma_data": 1.0}),
        case("cm", 5, {"num_train_timesteps": 201}), case("cm", 2, timesteps=[22, 0]), case("cm", 2, timesteps=[22, 22]), case("cm", 2, timesteps=[40, 0]),
        case("cm", 4, seed=13), case("cm", 6, begin=2),
    ],
    "CosineDPMSolverMultistepScheduler": [
        *[case("bare", steps) for steps in (1, 2, 8, 20)], case("bare", 10, {"sigma_schedule": "karras"}), case("bare", 10, {"solver_type": "heun"}),
        case("bare", 10, {"solver_order": 1}), case("bare", 10, {"solver_order": 3}), case("bare", 10, {"prediction_type": "epsilon", "sigma_max": 80.0}),
        case("bare", 20, {"lower_order_final": False} | ENDS_LOW), case("bare", 20, {"euler_at_final": True} | ENDS_LOW), case("bare", 8, seed=17),
        case("bare", 10, {"prediction_type": "sample"}), case("bare", 10, begin=4),
    ],
}

# The values that random cases draw from; the first is the likeliest.
VALUES = {
    "num_train_timesteps": [1000, 1000, 1000, 1000, 500, 250, 40],
    "beta_start": [0.00085, 0.0001, 0.001],
    "beta_end": [0.012, 0.02, 0.05],
    "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2", "exp", "laplace", "sigmoid"],
    "prediction_type": ["epsilon", "v_prediction", "sample", "flow_prediction"],
    "timestep_spacing": ["leading", "trailing", "linspace", "even"],
    "steps_offset": [0, 1, 3],
    "use_karras_sigmas": [False, True],
    "use_exponential_sigmas": [False, False, True],
    "use_beta_sigmas": [False, False, True],
    "use_lu_lambdas": [False, True],
    "use_flow_sigmas": [False, False, True],
    "flow_shift": [1.0, 3.0, 0.7],
    "use_dynamic_shifting": [False, True],
    "time_shift_type": ["exponential", "linear", "exponential"],
    "final_sigmas_type": ["zero", "sigma_min", "sigma_min", "one"],
    "rescale_betas_zero_snr": [False, False, True],
    "thresholding": [False, False, True],
    "dynamic_thresholding_ratio": [0.995, 0.9, 0.5],
    "sample_max_value": [1.0, 1.5, 5.0],
    "clip_sample": [False, True],
    "clip_sample_range": [1.0, 2.5],
    "set_alpha_to_one": [True, False],
    "skip_prk_steps": [True, False],
    "variance_type": ["fixed_small", "fixed_small_log", "fixed_large", "learned", "learned_range", None],
    "algorithm_type": ["dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis"],
    "solver_type": ["midpoint", "heun", "bh1", "bh2", "logrho"],
    "solver_order": [2, 1, 3],
    "lower_order_final": [True, False],
    "euler_at_final": [False, True],
    "lambda_min_clipped": [-5.1, -3.0, -20.0],
    "predict_x0": [True, True, False],
    "disable_corrector": [[], [0], [0, 1, 2, 3], [4]],
    "shift_terminal": [None, 0.1, 0.02],
    "sigma_min": [0.002, 0.05, 0.3],
    "sigma_max": [80.0, 14.6, 500.0],
    "sigma_data": [0.5, 1.0],
    "sigma_schedule": ["karras", "exponential"],
    "rho": [7.0, 5.0],
    "interpolation_type": ["linear", "log_linear"],
    "timestep_type": ["discrete", "continuous"],
    "original_inference_steps": [50, 100, 20],
    "timestep_scaling": [10.0, 3.0],
    "clip_denoised": [True, False],
    "s_noise": [1.0, 1.1],
    "shift": [3.0, 1.0, 0.6],
    "invert_sigmas": [False, False, True],
    "stochastic_sampling": [False, True],
}
TAKES = {
    "timesteps": "DDPM EulerDiscrete HeunDiscrete DPMSolverMultistep DPMSolverSinglestep LCM TCD CMStochastic FlowMatchEuler LMS KDPM2Discrete",
    "sigmas": "EulerDiscrete UniPC FlowMatchEuler EulerAncestral DPMSolverMultistep",
    "mu": "FlowMatch DPMSolverMultistep DPMSolverSinglestep DEIS UniPC",
    "strength": "LCM TCD",
    "original_inference_steps": "LCM TCD",
    "eta": "DDIM TCD",
}


def random_case(chance):
    """A class and a case of it: up to six keys of the class, often a list, a late start or a shift."""
    import inspect

    import diffusers

    name = chance.choice(list(CASES))
    own = inspect.signature(getattr(diffusers, name).__init__).parameters
    keys = [key for key in VALUES if key in own]
    chosen = chance.sample(keys, min(len(keys), chance.choice([0, 1, 2, 3, 4, 6])))
    overrides = {key: chance.choice(VALUES[key]) for key in sorted(chosen)}
    source = chance.choice([key for key in SOURCES if key not in ("cm", "sd15_without_clip_sample")])
    if name == "CMStochasticIterativeScheduler":
        source = "cm"
    steps = chance.choice([1, 2, 3, 4, 5, 7, 10, 10, 14, 15, 20, 25, 33, 50])
    args = {}
    may = lambda key, share: chance.random() < share and any(name.startswith(start) for start in TAKES[key].split())
    if may("eta", 0.6):
        args["eta"] = chance.choice([0.0, 0.3, 1.0])
    if may("timesteps", 0.2):
        top = overrides.get("num_train_timesteps", 40 if source == "cm" else 1000)
        count = chance.choice([1, 2, 5, 9])
        args["timesteps"] = sorted(chance.sample(range(1, top), min(count, top - 2)), reverse=True)
        steps = len(args["timesteps"])
    elif may("sigmas", 0.2):
        top = 1.0 if "Flow" in name or "UniPC" in name else chance.choice([14.6, 80.0])
        count = chance.choice([2, 4, 8])
        args["sigmas"] = [round(top * (1 - i / count) ** 2, 5) for i in range(count)] + ([0.0] if top > 1 else [])
        steps = count
    if may("mu", 0.3) or (overrides.get("use_dynamic_shifting") and chance.random() < 0.5):
        args["mu"] = chance.choice([0.5, 0.9, 1.15])
    if may("strength", 0.3):
        args["strength"] = chance.choice([0.3, 0.6, 1.0])
    if may("original_inference_steps", 0.3):
        args["original_inference_steps"] = chance.choice([10, 25, 100])
    if chance.random() < 0.3:
        args["begin"] = chance.randrange(0, max(1, math.ceil(steps * 0.8)))
    if chance.random() < 0.15:
        args["seed"] = chance.randrange(2**33)
    return name, (source, steps, overrides, args)
