"""The other side of clip.rs: CLIP by transformers and torch, f32, eager, two threads (one with --cpu-time).

Reads one request a line from standard input and answers each with one line, so that both sides can be timed in turns:
    load {config.json}         random weights of these sizes         -> ready
    image N | text N TOKENS    one forward pass of a batch of N      -> seconds
    product N                  one N x N x N matrix product          -> seconds
"""

import json
import sys
import time

import torch
from transformers import CLIPConfig, CLIPModel


def load(text):
    config = CLIPConfig(**json.loads(text), attn_implementation="eager")
    return CLIPModel(config).eval()


CPU_TIME = "--cpu-time" in sys.argv  # one thread, time of this process alone


def timed(work):
    clock = time.process_time if CPU_TIME else time.perf_counter
    start = clock()
    work()
    return clock() - start


def images(model, batch):
    side = model.config.vision_config.image_size
    pixels = torch.randn(batch, 3, side, side)
    return lambda: model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)


def texts(model, batch, tokens):
    ids = torch.randint(3, 1000, (batch, tokens))
    ids[:, -1] = model.config.text_config.vocab_size - 1
    return lambda: model.text_projection(model.text_model(input_ids=ids).pooler_output)


def product(size):
    a, b = torch.randn(size, size), torch.randn(size, size)
    return lambda: a @ b


@torch.inference_mode()
def main():
    torch.set_num_threads(1 if CPU_TIME else 2)
    model = None
    for line in sys.stdin:
        kind, _, rest = line.strip().partition(" ")
        if kind == "load":
            model = None  # frees the one before
            model = load(rest)
            print("ready", flush=True)
            continue
        numbers = [int(number) for number in rest.split()]
        work = {"image": lambda n: images(model, n), "text": lambda n, t: texts(model, n, t), "product": product}
        print(timed(work[kind](*numbers)), flush=True)


main()
