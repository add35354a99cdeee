"""The other side of flux.rs: Flux' layers by diffusers and transformers on torch, f32, eager, two threads.

Reads one request a line from standard input and answers each with one line, so that both sides can be timed in turns:
    load double | single | vae | t5    random weights of the published sizes    -> ready
    run                                one forward pass of what was loaded      -> seconds
    product N                          one N x N x N matrix product             -> seconds

The blocks' modulation layers are replaced by their outcome: flux.rs computes them once per picture, not per block.
"""

import sys
import time

import torch
from diffusers import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock, FluxTransformerBlock
from transformers import T5Config, T5EncoderModel

WIDTH, HEADS, TEXT, IMAGE, SIDE = 3072, 24, 256, 256, 256


class Fixed(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.value = torch.randn(1, width)

    def forward(self, _):
        return self.value


def rotation():
    angles = torch.rand(TEXT + IMAGE, WIDTH // HEADS)
    return angles.cos(), angles.sin()


def tokens(count):
    return torch.randn(1, count, WIDTH)


def double():
    block = FluxTransformerBlock(WIDTH, HEADS, WIDTH // HEADS).eval()
    block.norm1.linear = Fixed(6 * WIDTH)
    block.norm1_context.linear = Fixed(6 * WIDTH)
    image, text, time_and_text, turned = tokens(IMAGE), tokens(TEXT), torch.randn(1, WIDTH), rotation()
    return lambda: block(image, text, time_and_text, turned)


def single():
    block = FluxSingleTransformerBlock(WIDTH, HEADS, WIDTH // HEADS).eval()
    block.norm.linear = Fixed(3 * WIDTH)
    image, text, time_and_text, turned = tokens(IMAGE), tokens(TEXT), torch.randn(1, WIDTH), rotation()
    return lambda: block(image, text, time_and_text, turned)


def vae():
    model = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=16,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()
    latent = torch.randn(1, 16, SIDE // 8, SIDE // 8)
    return lambda: model.decoder(latent)


def t5():
    config = T5Config(
        d_model=4096, d_kv=64, d_ff=10240, num_heads=64, num_layers=1, vocab_size=128, feed_forward_proj="gated-gelu"
    )
    model = T5EncoderModel(config).eval()
    ids = torch.randint(2, 100, (1, TEXT))
    return lambda: model(input_ids=ids)


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.inference_mode()
def main():
    torch.set_num_threads(2)
    work = None
    for line in sys.stdin:
        kind, _, rest = line.strip().partition(" ")
        if kind == "load":
            work = None  # frees the one before
            work = {"double": double, "single": single, "vae": vae, "t5": t5}[rest]()
            print("ready", flush=True)
        elif kind == "run":
            print(timed(work), flush=True)
        else:
            a, b = torch.randn(int(rest), int(rest)), torch.randn(int(rest), int(rest))
            print(timed(lambda: a @ b), flush=True)


main()
