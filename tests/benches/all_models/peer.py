"""The other side of `cargo bench --bench all-models`: each model in PyTorch, eager f32, and in ONNX Runtime, f32.

Reads one JSON request a line from standard input and answers each with one line, so that all sides are timed in turns:

    {"load": {"model": NAME, ...}}   random weights of the sizes given -> {"torch": null, "onnx": null, "gflop": ...}
    {"run": "torch" | "onnx"}        one forward pass                  -> {"seconds": ...}
    {"product": N}                   one N x N x N matrix product      -> {"seconds": ...}

In the place of null stands why a side lacks the model. ONNX Runtime gets what `torch.onnx.export` draws of the PyTorch
module, or the graph whose path is given. Operations are those that PyTorch
counts: products, convolutions and attention. With --cpu-time seconds are processor time of this process.

Flux' blocks have their modulation layers replaced by their outcome: the program computes it once per picture.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

# What libraries print goes where it does not disturb the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
warnings.filterwarnings("ignore")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch  # noqa: E402
from torch import nn  # noqa: E402

# As far as ONNX Runtime's processor kernels go that these models need: three-dimensional grid_sample came with 20.
OPSET = 20


class Calls(nn.Module):
    """A module whose forward pass is `work`, which uses `parts`."""

    def __init__(self, work, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.work = work

    def forward(self, *inputs):
        return self.work(self, *inputs)


class Fixed(nn.Module):
    """In the place of a layer: what comes out of it."""

    def __init__(self, width):
        super().__init__()
        self.value = nn.Parameter(torch.randn(1, width))

    def forward(self, _):
        return self.value


def clip(config, tower, batch):
    from transformers import CLIPConfig, CLIPModel
    model = CLIPModel(CLIPConfig(**config))
    if tower == "image":
        side = model.config.vision_config.image_size
        work = lambda own, pixels: own.projection(own.tower(pixel_values=pixels).pooler_output)
        return Calls(work, tower=model.vision_model, projection=model.visual_projection), (torch.randn(batch, 3, side, side),)
    text = model.config.text_config
    ids = torch.randint(3, 1000, (batch, text.max_position_embeddings))
    ids[:, -1] = text.vocab_size - 1
    work = lambda own, ids: own.projection(own.tower(input_ids=ids).pooler_output)
    return Calls(work, tower=model.text_model, projection=model.text_projection), (ids,)


def flux(layer, width, heads, text, image):
    from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock, FluxTransformerBlock
    angles = torch.rand(text + image, width // heads)
    inputs = (torch.randn(1, image, width), torch.randn(1, text, width), torch.randn(1, width), angles.cos(), angles.sin())
    if layer == "double":
        block = FluxTransformerBlock(width, heads, width // heads)
        block.norm1.linear, block.norm1_context.linear = Fixed(6 * width), Fixed(6 * width)
    else:
        block = FluxSingleTransformerBlock(width, heads, width // heads)
        block.norm.linear = Fixed(3 * width)
    return Calls(lambda own, image, text, time, cos, sin: own.block(image, text, time, (cos, sin)), block=block), inputs


def vae(channels, blocks, latent, side):
    from diffusers import AutoencoderKL
    levels = len(channels)
    model = AutoencoderKL(
        block_out_channels=channels, layers_per_block=blocks, latent_channels=latent,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        use_quant_conv=False, use_post_quant_conv=False,
    )
    return model.decoder, (torch.randn(1, latent, side, side),)


def t5(config, tokens):
    from transformers import T5Config, T5EncoderModel
    model = T5EncoderModel(T5Config(**config))
    return Calls(lambda own, ids: own.model(input_ids=ids).last_hidden_state, model=model), (
        torch.randint(2, config["vocab_size"], (1, tokens)),
    )


def liveportrait(parts, checkout):
    place = "src"
    if checkout:
        sys.path.insert(0, checkout)
    else:
        place = "mimic_head"  # the same modules, in the package index
    modules = lambda file, name: getattr(__import__(f"{place}.modules.{file}", fromlist=[name]), name)
    import yaml
    folder = Path(checkout, "src") if checkout else Path(__import__(place).__file__).parent
    sizes = yaml.safe_load((folder / "config/models.yaml").read_text())["model_params"]
    makers = {
        "F": ("appearance_feature_extractor", "AppearanceFeatureExtractor", "appearance_feature_extractor_params"),
        "M": ("motion_extractor", "MotionExtractor", "motion_extractor_params"),
        "W": ("warping_network", "WarpingNetwork", "warping_module_params"),
        "G": ("spade_generator", "SPADEDecoder", "spade_generator_params"),
    }
    made = {part: modules(*makers[part][:2])(**sizes[makers[part][2]]) for part in parts}
    picture, points = torch.rand(1, 3, 256, 256), torch.rand(1, 21, 3) * 0.2 - 0.1
    warp = lambda own, volume, driving, source: own.W(volume, kp_driving=driving, kp_source=source)["out"]
    moved = (torch.rand(1, 32, 16, 64, 64), points + 0.01, points)
    works = {
        "F": (lambda own, picture: own.F(picture), (picture,)),
        "M": (lambda own, picture: own.M(picture)["exp"], (picture,)),
        "W": (warp, moved),
        "G": (lambda own, features: own.G(features), (torch.rand(1, 256, 64, 64),)),
        "WG": (lambda own, *inputs: own.G(warp(own, *inputs)), moved),
    }
    work, inputs = works[parts]
    return Calls(work, **made), inputs


def kokoro(config, ids, style, durations, weights):
    """Durations, where given, take the place of the predicted ones."""
    from unittest import mock
    # The package imports a text front end, which nothing here needs.
    for name in ("loguru", "misaki", "misaki.en", "misaki.espeak"):
        with contextlib.suppress(ImportError):
            __import__(name)
            continue
        sys.modules[name] = mock.MagicMock()
    from kokoro.model import KModel
    parts = {}
    if weights:
        from safetensors.torch import load_file
        for name, tensor in load_file(weights).items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = tensor
    with tempfile.NamedTemporaryFile(suffix=".pth") as checkpoint:
        torch.save(parts, checkpoint.name)
        model = KModel(repo_id="hexgrad/Kokoro-82M", config=config, model=checkpoint.name)
    half = config["style_dim"]
    forced = torch.tensor(durations) if durations else None

    def speak(own, ids, style):
        model = own.model
        lengths, mask = torch.tensor([ids.shape[1]]), torch.zeros(ids.shape, dtype=torch.bool)
        bert = model.bert(ids, attention_mask=(~mask).int())
        encoded = model.predictor.text_encoder(model.bert_encoder(bert).transpose(-1, -2), style[:, half:], lengths, mask)
        hidden, _ = model.predictor.lstm(encoded)
        predicted = torch.sigmoid(model.predictor.duration_proj(hidden)).sum(-1)
        frames = forced if forced is not None else predicted.round().clamp(min=1).long().squeeze(0)
        index = torch.repeat_interleave(torch.arange(ids.shape[1]), frames)
        alignment = torch.zeros(1, ids.shape[1], index.shape[0])
        alignment[0, index, torch.arange(index.shape[0])] = 1
        f0, energy = model.predictor.F0Ntrain(encoded.transpose(-1, -2) @ alignment, style[:, half:])
        text = model.text_encoder(ids, lengths, mask) @ alignment
        return model.decoder(text, f0, energy, style[:, :half]).squeeze()

    return Calls(speak, model=model), (torch.tensor([ids]), torch.tensor([style]))


# Its exporter's graph is not what `torch.onnx.export` draws: the STFT is complex.
NOT_DRAWN = {"kokoro": "its graph comes with the real weights, by tests/real/fetch"}

MODELS = {"clip": clip, "flux": flux, "vae": vae, "t5": t5, "liveportrait": liveportrait, "kokoro": kokoro}


def reason(error):
    """An error's first line, as a reason that fits into one."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


class Loaded:
    """One model on both sides; `why` says for each what is missing."""

    def __init__(self, name, graph, threads, **sizes):
        self.why = {"torch": None, "onnx": None}
        self.runs, self.gflop = {}, None
        try:
            module, inputs = MODELS[name](**sizes)
        except Exception as error:
            self.why = dict.fromkeys(self.why, reason(error))
            return
        module.eval().requires_grad_(False)
        self.runs["torch"] = lambda: module(*inputs)
        with torch.no_grad():
            self.gflop = operations(module, inputs)
            if not graph and name in NOT_DRAWN:
                self.why["onnx"] = NOT_DRAWN[name]
                return
            try:
                self.runs["onnx"] = session(module, inputs, graph, threads)
            except Exception as error:
                self.why["onnx"] = reason(error)

    @property
    def answer(self):
        return {**self.why, "gflop": self.gflop}


def operations(module, inputs):
    """In units of 1e9: a multiplication and an addition are two."""
    from torch.utils.flop_counter import FlopCounterMode
    counter = FlopCounterMode(display=False)
    with counter:
        module(*inputs)
    return counter.get_total_flops() / 1e9


def session(module, inputs, graph, threads):
    """A forward pass in ONNX Runtime."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    open_graph = lambda path: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if graph:
        made = open_graph(graph)
        # Kokoro's as it is published: tokens, style, speed.
        feed = dict(zip((given.name for given in made.get_inputs()), [*(item.numpy() for item in inputs), torch.ones(1).numpy()]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/graph.onnx"
            # The newer exporter knows more operators, takes many times as long, and needs onnxscript.
            draw = lambda newer: torch.onnx.export(module, inputs, path, dynamo=newer, opset_version=OPSET)
            with contextlib.redirect_stdout(sys.stderr):
                try:
                    draw(False)
                except torch.onnx.errors.UnsupportedOperatorError:
                    draw(True)
            made = open_graph(path)
        feed = {given.name: item.numpy() for given, item in zip(made.get_inputs(), inputs)}
    return lambda: made.run(None, feed)


def main():
    parser = argparse.ArgumentParser(description="Answers requests of the benchmark, a line each.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="processor time of this process, not time elapsed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    loaded = None
    for line in sys.stdin:
        request = json.loads(line)
        torch.manual_seed(options.seed)
        if sizes := request.get("load"):
            loaded = None  # frees the one before
            loaded = Loaded(sizes.pop("model"), sizes.pop("graph", None), options.threads, **sizes)
            answer = loaded.answer
        else:
            with torch.inference_mode():
                if size := request.get("product"):
                    a, b = torch.randn(size, size), torch.randn(size, size)
                    run = lambda: a @ b
                else:
                    run = loaded.runs[request["run"]]
                start = clock()
                run()
                answer = {"seconds": clock() - start}
        print(json.dumps(answer), file=ANSWERS, flush=True)


main()
