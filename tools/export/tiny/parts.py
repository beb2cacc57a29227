"""Small networks and tokenizers that the families are put together from."""

import torch
from diffusers import AutoencoderKL
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

import clip_bpe

VOCABULARY, POSITIONS = 600, 16
MERGES = "h e,r e,re d</w>,a n,i n,he a,hea r,hear t</w>,t i,ti g,tig er</w>,e r</w>,f a,fa c,fac e</w>"
WORDS = "red green blue heart tiger face cat dog house tree moon sun fox apple"

SCALED_LINEAR = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
    "timestep_spacing": "leading",
}


def clip_tokenizer(folder, pad=clip_bpe.END):
    merges = [tuple(pair.split(" ")) for pair in MERGES.split(",")]
    return clip_bpe.write(folder, merges, VOCABULARY, POSITIONS, pad=pad)


def clip(width, projection=None, layers=2):
    """A CLIP text encoder; with `projection` it has SDXL's second head."""
    config = CLIPTextConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=2 * width, projection_dim=projection or width,
        num_hidden_layers=layers, num_attention_heads=4, max_position_embeddings=POSITIONS, hidden_act="gelu",
        initializer_range=0.3, bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1, pad_token_id=VOCABULARY - 1,
    )
    return CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)


def t5_tokenizer(folder):
    """A unigram tokenizer with T5's special tokens; transformers saves it as `tokenizer.json`."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -4.0)]
    pieces += [(f"▁{word}", -5.0 - i / 10) for i, word in enumerate(WORDS.split())]
    pieces += [(letter, -8.0 - i / 10) for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz0123456789.,!?'-é")]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    wrapped = T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0, model_max_length=512)
    wrapped.save_pretrained(folder)
    return wrapped


def t5(width):
    config = T5Config(
        vocab_size=64, d_model=width, d_kv=8, d_ff=2 * width, num_layers=1, num_heads=2, initializer_factor=1.0,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False, use_cache=False,
    )
    return T5EncoderModel(config)


def vae(latent, scaling, shift=None, quantized=True):
    """Two levels, so that a latent cell is two pixels wide."""
    return AutoencoderKL(
        latent_channels=latent, block_out_channels=(4, 8), norm_num_groups=2, layers_per_block=1, sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=scaling, shift_factor=shift, use_quant_conv=quantized, use_post_quant_conv=quantized,
    )


def seeded(seed, build):
    """What `build` makes, always the same."""
    torch.manual_seed(seed)
    pipeline = build()
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
