"""Trains text encoder and UNet together, by the clock: rates follow the share of the minutes that passed."""

import json
import math
import time

import numpy as np
import torch
from torch.nn import functional as F

DROPPED = 0.1  # share of empty captions, which is what guidance needs
WAYS = ["{}", "{}", "{}", "{}", "{}", "a {}", "{} emoji"]  # how a label becomes a caption
AVERAGING = 0.999


class Trainer:
    """The two networks, their averages, and everything that a checkpoint holds."""

    def __init__(self, encoder, unet, rate):
        self.nets = torch.nn.ModuleDict({"text_encoder": encoder, "unet": unet})
        self.averages = {name: value.detach().clone() for name, value in self.nets.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.nets.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.rate, self.step, self.seconds = rate, 0, 0.0

    def save(self, path):
        state = {
            "nets": self.nets.state_dict(),
            "averages": self.averages,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path):
        state = torch.load(path, map_location="cpu")
        self.nets.load_state_dict(state["nets"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averages, self.step, self.seconds = state["averages"], state["step"], state["seconds"]

    def average(self):
        """Early on the average follows faster, so that it doesn't remember the start."""
        keep = min(AVERAGING, (1 + self.step) / (10 + self.step))
        for name, value in self.nets.state_dict().items():
            self.averages[name].lerp_(value, 1 - keep)

    def use_averages(self):
        self.nets.load_state_dict(self.averages)
        return self.nets.eval()


def run(trainer, latents, captions, alphas, weights, minutes, checkpoint, batch=64, say=print):
    """Trains until `minutes` of training time are used up; saves every four minutes.

    latents f32 [N,12,16,16]; captions i64 [N,len(WAYS)+1,S], the last one empty;
    alphas f64 [1000], the schedule's cumulative products; weights [N], how often each picture comes.
    """
    trainer.nets.train()
    root, rest = alphas.sqrt().float(), (1 - alphas).sqrt().float()
    saved, running = time.monotonic(), None
    while trainer.seconds < 60 * minutes:
        began = time.monotonic()
        done = trainer.seconds / (60 * minutes)
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.rate * min(1, (trainer.step + 1) / 100) * rate_at(done)
        loss = step(trainer, latents, captions, root, rest, weights, batch)
        running = loss if running is None else 0.98 * running + 0.02 * loss
        trainer.step += 1
        trainer.seconds += time.monotonic() - began
        if trainer.step % 50 == 0:
            say(json.dumps({"step": trainer.step, "done": round(done, 3), "loss": round(running, 4)}))
        if time.monotonic() - saved > 240:
            trainer.save(checkpoint)
            saved = time.monotonic()
    trainer.save(checkpoint)


def rate_at(done):
    """Cosine decay to a fiftieth."""
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, done)))


def step(trainer, latents, captions, root, rest, weights, batch):
    picked = torch.multinomial(weights, batch, replacement=True)
    ways = torch.randint(len(WAYS), (batch,))
    ways[torch.rand(batch) < DROPPED] = len(WAYS)
    # One time from each of `batch` equal slices: the same distribution, a calmer gradient.
    times = ((torch.arange(batch) + torch.rand(batch)) / batch * len(root)).long()
    a, s = root[times][:, None, None, None], rest[times][:, None, None, None]
    clean, noise = latents[picked], torch.randn(batch, *latents.shape[1:])
    with torch.autocast("cpu", torch.bfloat16):
        context = trainer.nets["text_encoder"](captions[picked, ways]).last_hidden_state
        guess = trainer.nets["unet"](a * clean + s * noise, times, context).sample
    loss = F.mse_loss(guess.float(), a * noise - s * clean)
    trainer.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainer.nets.parameters(), 1.0)
    trainer.optimizer.step()
    trainer.average()
    return float(loss.detach())


def tokenize(tokenizer, labels):
    """All captions of all labels, as `run` takes them."""
    texts = [way.format(label.lower()) for label in labels for way in WAYS]
    ids = tokenizer(texts + [""], padding="max_length", truncation=True, return_tensors="np")["input_ids"]
    empty = np.broadcast_to(ids[-1], (len(labels), 1, ids.shape[1]))
    return torch.from_numpy(np.concatenate([ids[:-1].reshape(len(labels), len(WAYS), -1), empty], 1))
