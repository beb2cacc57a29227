"""The codec between 64x64 pixels and 12x16x16 latents.

Analysis is linear: the 12 main components of 4x4 patches, each divided by its
variance to the power 1/4, which evens the channels out without making noise of
the faint ones. It costs nothing, so the UNet can train before any decoder
exists. Synthesis is a small convolutional network: it sees neighbouring
patches, hence no checkerboard.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

PATCH = 4
CHANNELS = 12


def to_unit(pictures):
    """u8 [N,H,W,3] to f32 [N,3,H,W] in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


class Analysis(nn.Module):
    """Pixels to latents: one convolution with a stride of a patch."""

    def __init__(self, forward, backward, mean):
        super().__init__()
        self.register_buffer("forward_basis", forward)  # [12,48], column order of pixel_unshuffle
        self.register_buffer("backward_basis", backward)  # [48,12]
        self.register_buffer("mean", mean)  # [48]

    @classmethod
    def fit(cls, pictures):
        """Principal components of the pictures' patches."""
        patches = F.pixel_unshuffle(to_unit(pictures), PATCH).permute(0, 2, 3, 1).reshape(-1, 48)
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
        basis, scale = vectors[:, -CHANNELS:].flip(1), values[-CHANNELS:].flip(0) ** 0.25
        return cls(basis.T / scale[:, None], basis * scale, mean)

    @classmethod
    def from_linear_decoder(cls, weight, bias):
        """The analysis that belongs to a linear decoder (1x1 convolution [48,12], then pixel shuffle)."""
        backward = torch.as_tensor(weight).reshape(48, CHANNELS)
        return cls(torch.linalg.pinv(backward), backward, torch.as_tensor(bias))

    def forward(self, pixels):
        patches = F.pixel_unshuffle(pixels, PATCH) - self.mean[:, None, None]
        return torch.einsum("cp,nphw->nchw", self.forward_basis, patches)

    def synthesis(self, latents):
        """The best linear inverse, the decoder's starting point."""
        patches = torch.einsum("pc,nchw->nphw", self.backward_basis, latents)
        return F.pixel_shuffle(patches + self.mean[:, None, None], PATCH)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x + self.second(F.silu(self.first(F.silu(x))))


class Decoder(nn.Module):
    """Latents to pixels: the linear synthesis plus what convolutions at 16x16 and 32x32 add to it."""

    def __init__(self, analysis, coarse=64, fine=32):
        super().__init__()
        self.linear = nn.Conv2d(CHANNELS, 48, 1)
        with torch.no_grad():
            self.linear.weight.copy_(analysis.backward_basis[:, :, None, None])
            self.linear.bias.copy_(analysis.mean)
        self.coarse = nn.Sequential(
            nn.Conv2d(CHANNELS, coarse, 3, padding=1), Block(coarse), Block(coarse), Block(coarse)
        )
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine = nn.Sequential(Block(fine), Block(fine))
        self.out = nn.Conv2d(fine, 12, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, latent_sample):
        base = F.pixel_shuffle(self.linear(latent_sample), PATCH)
        x = F.pixel_shuffle(F.silu(self.up(self.coarse(latent_sample))), 2)
        detail = F.pixel_shuffle(self.out(F.silu(self.fine(x))), 2)
        return base + detail


def train_decoder(analysis, pictures, minutes, checkpoint=None, batch=24, rate=3e-3, noise=0.3, say=print):
    """Fits the decoder for so many minutes.

    Latents get up to `noise` of Gaussian noise: a small UNet's are that far off,
    and a decoder that saw only clean ones turns it into texture.
    """
    torch.manual_seed(1)
    pixels = to_unit(pictures)
    decoder = Decoder(analysis)
    if checkpoint and checkpoint.exists():
        decoder.load_state_dict(torch.load(checkpoint))
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=1e-4)
    averaged = torch.optim.swa_utils.AveragedModel(
        decoder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998)
    )
    start, step = time.monotonic(), 0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * 0.5 * (1 + np.cos(np.pi * done))
        target = shifted(pixels[torch.randint(len(pixels), (batch,))])
        latents = analysis(target)
        latents = latents + noise * torch.rand(batch, 1, 1, 1) * torch.randn_like(latents)
        with torch.autocast("cpu", torch.bfloat16):
            error = decoder(latents).float() - target
        loss = error.abs().mean() + 2 * error.square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(decoder)
        step += 1
        if step % 200 == 0:
            say(f"decoder step {step} ({done:.0%}): {psnr(averaged.module, analysis, pixels[:150]):.2f} dB")
            if checkpoint:
                torch.save(averaged.module.state_dict(), checkpoint)
    if checkpoint:
        torch.save(averaged.module.state_dict(), checkpoint)
    return averaged.module


def shifted(pixels):
    """Moves the batch by up to half a patch, so that a patch's phase teaches nothing."""
    dy, dx = np.random.randint(-2, 3, 2)
    return torch.roll(pixels, (int(dy), int(dx)), (2, 3))


@torch.no_grad()
def psnr(decode, analysis, pixels):
    """Mean over pictures, in dB, of pixels that went through the codec."""
    out = torch.cat([decode(analysis(part)).clamp(-1, 1) for part in pixels.split(100)])
    mse = (out - pixels).square().mean((1, 2, 3)) / 4
    return float((-10 * mse.log10()).mean())
