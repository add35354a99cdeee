"""Pictures from captions by the exported f16 weights, in float32: what the node paints, up to its own noise."""

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from common import to_bytes
from image import autoencoder
from image.layouts import autoencoder_from_bfl, transformer_from_bfl
from image.tiny_flux import TinyFlux, decode
from image.tokens import END, Tokens


class Painter:
    """Flux as exported in a folder, see `image/export.py`."""

    def __init__(self, folder):
        self.vae = autoencoder.build().eval()
        tensors = floats(folder + "/ae.safetensors")
        self.vae.load_state_dict(autoencoder_from_bfl(tensors, self.vae.state_dict()))
        self.tokens = exported_tokens(folder + "/tokenizer", folder + "/tokenizer_2")
        self.flux = TinyFlux(self.tokens).eval()
        self.flux.dit.load_state_dict(transformer_from_bfl(floats(folder + "/flux1-schnell.safetensors")))
        load_all_but(self.flux.t5, floats(folder + "/text_encoder_2/model.safetensors"), "encoder.embed_tokens.weight")
        clip = floats(folder + "/text_encoder/model.safetensors")
        own = self.flux.clip.state_dict()
        clip = {name if name in own else name.removeprefix("text_model."): tensor for name, tensor in clip.items()}
        load_all_but(self.flux.clip, clip, "position_ids")

    @torch.no_grad()
    def paint(self, captions, seed=0, batch=8):
        """(N, 256, 256, 3) uint8; every batch has noise of its own."""
        parts = [captions[i:i + batch] for i in range(0, len(captions), batch)]
        latents = [self.flux.generate(self.tokens, part, seed=seed + i) for i, part in enumerate(parts)]
        return to_bytes(torch.cat([decode(self.vae, part) for part in latents]))

    @torch.no_grad()
    def round_trip(self, pictures):
        """Pictures through the autoencoder: the softest that true drawings get on their way."""
        from image.tiny_flux import SCALE, SHIFT

        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = torch.cat([self.vae.encode(part).latent_dist.mean for part in x.split(4)])
        return to_bytes(decode(self.vae, (latents - SHIFT) * SCALE))


def floats(path):
    return {name: tensor.float() for name, tensor in load_file(path).items()}


def load_all_but(module, state, tied):
    """Strict, but for what is tied to something else or no weight."""
    outcome = module.load_state_dict(state, strict=False)
    missing = [name for name in outcome.missing_keys if not name.endswith(tied)]
    if missing or outcome.unexpected_keys:
        raise ValueError(f"missing {missing}, unexpected {outcome.unexpected_keys}")


def exported_tokens(clip_folder, t5_folder):
    """The tokenizers of an export, T5's only where there is one."""
    tokens = Tokens.__new__(Tokens)
    tokens.clip_tokenizer = Tokenizer.from_file(clip_folder + "/tokenizer.json")
    tokens.t5_tokenizer = Tokenizer.from_file(t5_folder + "/tokenizer.json") if t5_folder else None
    tokens.end = tokens.clip_tokenizer.token_to_id(END)
    return tokens
