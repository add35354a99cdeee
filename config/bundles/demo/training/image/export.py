"""Writes the picture half of the demo bundle: Flux in Black Forest Labs' names, and both CLIPs, all f16.

python -m image.export --run run --out out/image [--only flux clip_b clip_l] [--raw]

in:  run/flux/ckpt.pt, run/vae/f32, run/tokenizer*, run/clip-{b,l}/ckpt.pt
out: OUT/flux/{flux1-schnell,ae}.safetensors, config.json, vae/config.json, text_encoder{,_2}/, tokenizer{,_2}/, scheduler/
     OUT/clip_{b,l}/{model.safetensors,config.json,preprocessor_config.json,tokenizer.json,tokenizer_config.json}
Each folder is written aside and renamed, so that a reader never sees half of one. Takes the averaged weights (EMA) unless
--raw says otherwise.
"""

import argparse
import json
import os
import shutil

import torch
from diffusers import AutoencoderKL

from common import write_json, write_tensors

from .layouts import autoencoder_to_bfl, transformer_to_bfl
from .tiny_clip import PREPROCESSOR, clip_config
from .tiny_flux import SCALE, SHIFT, SIZES, TinyFlux
from .tokens import Tokens, share_embeddings

HALF = torch.float16


def published(config, architecture):
    """A transformers configuration as its JSON file."""
    return json.loads(json.dumps(config.to_dict(), default=str)) | dict(architectures=[architecture])


def write_flux(run, out, raw):
    tokens, saved = Tokens(run), torch.load(run + "/flux/ckpt.pt", map_location="cpu", weights_only=False)
    model = TinyFlux(tokens)
    model.load_state_dict(saved["m"] if raw else saved["ema"])
    with torch.no_grad():
        share_embeddings(model.t5.shared.weight, tokens.t5_tokenizer, "▁{}")
        share_embeddings(model.clip.get_input_embeddings().weight, tokens.clip_tokenizer, "{}</w>")
    vae = AutoencoderKL.from_pretrained(run + "/vae/f32")
    channels = vae.config.block_out_channels
    write_tensors(out + "/flux1-schnell.safetensors", transformer_to_bfl(model.dit.state_dict()), HALF)
    write_tensors(out + "/ae.safetensors", autoencoder_to_bfl(vae.state_dict(), len(channels)), HALF)
    clip = {name if name.startswith("text_model.") else "text_model." + name: tensor
            for name, tensor in model.clip.state_dict().items() if not name.endswith("position_ids")}
    write_tensors(out + "/text_encoder/model.safetensors", clip, HALF)
    t5 = {name: tensor for name, tensor in model.t5.state_dict().items() if name != "encoder.embed_tokens.weight"}
    write_tensors(out + "/text_encoder_2/model.safetensors", t5, HALF)
    write_json(out + "/text_encoder/config.json", published(model.clip_config, "CLIPTextModel"))
    write_json(out + "/text_encoder_2/config.json", published(model.t5_config, "T5EncoderModel"))
    shutil.copyfile(run + "/vae/f32/config.json", os.path.join(make(out + "/vae"), "config.json"))
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(f"{run}/{name}", f"{out}/{name}")
    write_json(out + "/scheduler/scheduler_config.json", dict(
        _class_name="FlowMatchEulerDiscreteScheduler", base_image_seq_len=256, base_shift=.5, max_image_seq_len=4096,
        max_shift=1.15, num_train_timesteps=1000, shift=1.0, use_dynamic_shifting=False))
    write_json(out + "/config.json", dict(
        flux=dict(in_channels=64, out_channels=64, vec_in_dim=SIZES["clip"], context_in_dim=SIZES["t5"],
                  hidden_size=64 * SIZES["heads"], mlp_ratio=4.0, num_heads=SIZES["heads"], depth=SIZES["double"],
                  depth_single_blocks=SIZES["single"], axes_dim=[16, 24, 24], theta=10000, qkv_bias=True,
                  guidance_embed=False),
        autoencoder=dict(resolution=256, in_channels=3, ch=channels[0], out_ch=3,
                         ch_mult=[c // channels[0] for c in channels], num_res_blocks=vae.config.layers_per_block,
                         z_channels=16, scale_factor=SCALE, shift_factor=SHIFT,
                         num_groups=vae.config.norm_num_groups)))
    print(f"flux: step {saved['step']}, {'last' if raw else 'averaged'} weights")


def write_clip(run, out, kind):
    saved = torch.load(f"{run}/clip-{kind}/ckpt.pt", map_location="cpu", weights_only=False)
    tokenizer = Tokens(run).clip_tokenizer
    config = clip_config(kind, tokenizer.get_vocab_size())
    share_embeddings(saved["m"]["text_model.embeddings.token_embedding.weight"], tokenizer, "{}</w>")
    write_tensors(out + "/model.safetensors", saved["m"], HALF)
    write_json(out + "/config.json", published(config, "CLIPModel"))
    write_json(out + "/preprocessor_config.json", PREPROCESSOR)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(f"{run}/tokenizer/{name}", f"{out}/{name}")
    print(f"clip_{kind}: step {saved['step']}")


def make(folder):
    os.makedirs(folder, exist_ok=True)
    return folder


def replace(folder, write):
    """`write` into a new folder, which then takes the place of `folder`."""
    aside, old = folder + ".new", folder + ".old"
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    make(aside)
    write(aside)
    if os.path.exists(folder):
        os.rename(folder, old)
    os.rename(aside, folder)
    shutil.rmtree(old, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="run")
    parser.add_argument("--out", default="out/image")
    parser.add_argument("--only", nargs="+", default=["flux", "clip_b", "clip_l"])
    parser.add_argument("--raw", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.only:
        if name == "flux":
            replace(f"{args.out}/flux", lambda folder: write_flux(args.run, folder, args.raw))
        else:
            replace(f"{args.out}/{name}", lambda folder, kind=name[-1]: write_clip(args.run, folder, kind))


if __name__ == "__main__":
    main()
