"""What long and weighted prompts become, computed apart from Hearth: embeddings for diffusers' `prompt_embeds`.

The syntax is that of AUTOMATIC1111's web UI ("Attention/emphasis" in its wiki); the
arithmetic that of its "Original" emphasis (modules/sd_emphasis.py). Here weights are
found by matching each bracket with its partner and multiplying over all pairs around
a text, which is another way than Hearth's.
"""

import inspect
import math
import re

import torch

TOKENS = re.compile(r"\\[()\[\]\\]|\\|[(\[\])]|:\s*[+-]?[.\d]+\s*\)|:|[^\\()\[\]:]+")
BREAK = re.compile(r"\s*\bBREAK\b\s*")
FIELDS = ("long_prompt", "prompt_weights")


def asked(request):
    """Takes the fields out of a request; none of them, none asked."""
    return {field: request.pop(field) for field in FIELDS if field in request}


def sections(text, weights):
    """The text's parts between BREAKs: lists of words with their weight."""
    if not weights:
        return [[(text, 1.0)]]
    tokens = TOKENS.findall(text)
    pairs, opened = [], {"(": [], "[": []}
    literal = set()
    for at, token in enumerate(tokens):
        stated = token.startswith(":") and token.endswith(")")
        kind = "(" if token == ")" or stated else "[" if token == "]" else None
        if token in opened:
            opened[token].append(at)
        elif kind and opened[kind]:
            factor = float(token[1:-1]) if stated else 1.1 if kind == "(" else 1 / 1.1
            pairs.append((opened[kind].pop(), at, factor))
        elif kind:
            literal.add(at)
    end = len(tokens)
    pairs += [(at, end, 1.1) for at in opened["("]] + [(at, end, 1 / 1.1) for at in opened["["]]
    marks = {at for first, last, _ in pairs for at in (first, last)}
    parts = [[]]
    for at, token in enumerate(tokens):
        if at in marks and at not in literal:
            continue
        weight = math.prod(factor for first, last, factor in pairs if first < at < last)
        plain = not token.startswith("\\") and at not in literal
        words = BREAK.split(token) if plain else [token[1:] if token.startswith("\\") else token]
        for index, piece in enumerate(words):
            if index:
                parts.append([])
            if parts[-1] and math.isclose(parts[-1][-1][1], weight, rel_tol=1e-9, abs_tol=1e-12):
                parts[-1][-1] = (parts[-1][-1][0] + piece, parts[-1][-1][1])
            else:
                parts[-1].append((piece, weight))
    return parts


def chunks(tokenizer, text, long_prompt=False, prompt_weights=False):
    """Lists of (token, weight), each for one run of the encoder."""
    room = tokenizer.model_max_length - 2
    made = []
    for section in sections(text, prompt_weights):
        tokens = [(token, weight) for words, weight in section
                  for token in tokenizer(words, add_special_tokens=False)["input_ids"]]
        made += [tokens[at : at + room] for at in range(0, max(len(tokens), 1), room)]
    while len(made) > 1 and not made[-1]:
        made.pop()
    return made if long_prompt else made[:1]


def encoded(tokenizer, encode, parts, count):
    """The hidden states of all chunks and the first one's pooled, up to `count` of them with empty ones."""
    length = tokenizer.model_max_length
    hidden, pooled = [], None
    for part in parts + [[]] * (count - len(parts)):
        ids = [tokenizer.bos_token_id, *(token for token, _ in part), tokenizer.eos_token_id]
        weights = [1.0, *(weight for _, weight in part), 1.0]
        ids += [tokenizer.pad_token_id] * (length - len(ids))
        weights += [1.0] * (length - len(weights))
        z, summary = encode(torch.tensor([ids]))
        pooled = summary if pooled is None else pooled
        weights = torch.tensor(weights)
        if (weights != 1).any():
            before = z.mean()
            z = z * weights[None, :, None]
            z = z * (before / z.mean())
        hidden.append(z)
    return torch.cat(hidden, dim=1), pooled


def last(encoder, skip=None):
    """Stable Diffusion's choice of layers: the last, or an earlier one normalised as the last is."""

    def encode(ids):
        if not skip:
            return encoder(ids)[0], None
        states = encoder(ids, output_hidden_states=True).hidden_states
        return encoder.text_model.final_layer_norm(states[-(skip + 1)]), None

    return encode


def penultimate(encoder, skip=None):
    """XL's: the last but one, as it is, and the first output as the pooled."""

    def encode(ids):
        out = encoder(ids, output_hidden_states=True)
        return out.hidden_states[-((skip or 0) + 2)], out[0]

    return encode


@torch.no_grad()
def embeds(pipe, request, **reading):
    """Takes the prompts out of `request` and returns diffusers' arguments in their place."""
    prompt, negative = request.pop("prompt"), request.pop("negative_prompt", None)
    second, negative_2 = request.pop("prompt_2", None), request.pop("negative_prompt_2", None)
    skip = request.pop("clip_skip", None)
    if getattr(pipe, "text_encoder_2", None) is not None:
        both = [(pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)]
        texts = {"": [prompt, second or prompt], "negative_": [negative or "", negative_2 or negative or ""]}
        choose = penultimate
    else:
        both, texts, choose = [(pipe.tokenizer, pipe.text_encoder)], {"": [prompt], "negative_": [negative or ""]}, last
    if "negative_prompt_embeds" not in inspect.signature(pipe.__call__).parameters:
        del texts["negative_"]
    parts = {
        key: [chunks(tokenizer, text, **reading) for (tokenizer, _), text in zip(both, pair)]
        for key, pair in texts.items()
    }
    zeros = choose is penultimate and negative is None and pipe.config.force_zeros_for_empty_prompt
    counted = [part for key, pair in parts.items() for part in pair if not (zeros and key)]
    count = max(len(part) for part in counted)
    arguments = {}
    for key, pair in parts.items():
        layers = [choose(encoder, None if key else skip) for _, encoder in both]
        made = [encoded(tokenizer, encode, part, count) for (tokenizer, _), encode, part in zip(both, layers, pair, strict=True)]
        hidden = torch.cat([hidden for hidden, _ in made], dim=-1)
        pooled = made[-1][1]
        if zeros and key:
            hidden, pooled = torch.zeros_like(arguments["prompt_embeds"]), torch.zeros_like(pooled)
        arguments[f"{key}prompt_embeds"] = hidden
        if choose is penultimate:
            arguments[f"{key}pooled_prompt_embeds"] = pooled
    return arguments
