"""optimum's ONNX pipeline in Python: the same folder, prompt, steps and provider, a PNG at the end."""

import argparse
import io
import os
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
import torch
from optimum.onnxruntime import ORTStableDiffusionPipeline

import peer


class Timed:
    """A session that adds up the time spent in it."""

    spent = 0.0

    def __init__(self, session):
        self._session = session

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, *args, **kwargs):
        return self._timed(self._session.run, *args, **kwargs)

    def run_with_iobinding(self, *args, **kwargs):
        return self._timed(self._session.run_with_iobinding, *args, **kwargs)

    @staticmethod
    def _timed(run, *args, **kwargs):
        start = time.perf_counter()
        try:
            return run(*args, **kwargs)
        finally:
            Timed.spent += time.perf_counter() - start


def draw(pipeline, prompt, steps, guidance, seed):
    Timed.spent = 0.0
    start = time.perf_counter()
    image = pipeline(
        prompt,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images[0]
    image.save(io.BytesIO(), "png")
    wall = time.perf_counter() - start
    if not 0.0 < Timed.spent < wall:
        raise RuntimeError("the sessions' time is not known")
    return {"ms": wall * 1e3, "sessions_ms": Timed.spent * 1e3}


def draw_all(pipeline, prompts, steps, guidance, seed, batch):
    """All pictures as PNG, in one call of the pipeline or one after another."""
    groups = [prompts] if batch else [[prompt] for prompt in prompts]
    start = time.perf_counter()
    for group in groups:
        images = pipeline(
            group,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator("cpu").manual_seed(seed + i) for i in range(len(group))],
        ).images
        for image in images:
            image.save(io.BytesIO(), "png")
    return {"ms": (time.perf_counter() - start) * 1e3}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--own-network", action="store_true")
    parser.add_argument("--dir")
    parser.parse_args()
    answers = peer.take_stdout()
    pipeline = ORTStableDiffusionPipeline.from_pretrained(
        "models/emoji", provider="CPUExecutionProvider"
    )
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae_decoder):
        part.session = Timed(part.session)
    commands = {
        "draw": lambda **wanted: draw(pipeline, **wanted),
        "draw_all": lambda **wanted: draw_all(pipeline, **wanted),
    }
    peer.serve(answers, commands, {"version": f"ONNX Runtime {onnxruntime.__version__}"})


main()
