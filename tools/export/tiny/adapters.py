"""Small random LoRA adapters for the small models, as the files that people download.

Two forms of file and two of scale: `ink` is diffusers' own, with its alpha in the metadata, and
changes every kind of layer of the denoiser and of the text encoders; `glow` is kohya's, with an
alpha per layer, and changes the denoiser's attention alone.
"""

import torch
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file

ATTENTION = ["to_k", "to_v"]
DENOISER = [*ATTENTION, "to_q", "to_out.0", "conv1", "ff.net.0.proj", "time_emb_proj"]
TEXT = ["q_proj", "v_proj", "out_proj", "fc1"]


def write(pipeline, folder, seed=11):
    """Files of adapters for `pipeline`, by name; it is of no other use afterwards."""
    torch.manual_seed(seed)
    parts = {name: part for name, part in pipeline.components.items() if name in ("unet", "transformer")}
    denoiser = next(iter(parts))
    texts = [name for name in ("text_encoder", "text_encoder_2") if hasattr(pipeline.components.get(name), "text_model")]
    if denoiser == "transformer":
        texts = texts[:1]
    for name in texts:
        parts[name] = pipeline.components[name]

    ink = {name: train(part, "ink", 2, 3, TEXT if name in texts else DENOISER) for name, part in parts.items()}
    states = {f"{name}_lora_layers": state for name, (state, _) in ink.items()}
    configs = {f"{name}_lora_adapter_metadata": config for name, (_, config) in ink.items()}
    pipeline.save_lora_weights(folder, weight_name="ink.safetensors", **states, **configs)
    files = {"ink": folder / "ink.safetensors"}
    if denoiser == "unet":
        state, config = train(parts[denoiser], "glow", 1, 2, ATTENTION)
        state = convert_state_dict_to_kohya({f"{denoiser}.{key}": value for key, value in state.items()})
        for key in [key for key in state if key.endswith(".alpha")]:
            state[key] = torch.tensor(float(config["lora_alpha"]))
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "glow.safetensors")
        files["glow"] = folder / "glow.safetensors"
    return files


def train(part, name, rank, alpha, layers):
    """As training would leave it: an adapter on these layers, its weights random, B's too."""
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers, init_lora_weights=False)
    part.add_adapter(config, name)
    for module in part.modules():
        if isinstance(module, BaseTunerLayer) and name in module.lora_A:
            for weights in (module.lora_A[name].weight, module.lora_B[name].weight):
                torch.nn.init.normal_(weights, std=0.3)
    return get_peft_model_state_dict(part, adapter_name=name), part.peft_config[name].to_dict()
