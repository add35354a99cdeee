"""The demo's Flux: T5's encoder, CLIP's text encoder and the flow transformer, as transformers and diffusers define them.

Every dimension of the published model is shrunk, no structure left out. `generate` is the node's sampling: even Euler
steps from pure noise at t = 1, no guidance.
"""

import torch
from diffusers import FluxTransformer2DModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from .tokens import T5_LENGTH

# Flux's constants: the autoencoder's latents are folded so that (z - SHIFT) * SCALE has mean 0 and variance 1.
SCALE, SHIFT = 0.3611, 0.1159
GRID = 16  # 16 x 16 packed tokens make 256 x 256 pixels
SIZES = dict(heads=3, double=2, single=4, t5=128, clip=128)


def pack(latents):
    """(B, 16, H, W) to tokens of 2 x 2 latent pixels, (B, H·W/4, 64)."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, c * 4)


def unpack(tokens, h=2 * GRID, w=2 * GRID):
    b = len(tokens)
    return tokens.view(b, h // 2, w // 2, 16, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, 16, h, w)


class TinyFlux(nn.Module):
    def __init__(self, tokens, sizes=None):
        super().__init__()
        s = SIZES | (sizes or {})
        td, cd, pieces = s["t5"], s["clip"], tokens.clip_tokenizer.get_vocab_size()
        self.t5_config = T5Config(
            d_model=td, d_kv=32, d_ff=2 * td, num_heads=td // 32, num_layers=2, num_decoder_layers=2,
            vocab_size=tokens.t5_tokenizer.get_vocab_size(), feed_forward_proj="gated-gelu", dense_act_fn="gelu_new",
            is_gated_act=True, relative_attention_num_buckets=32, relative_attention_max_distance=128, dropout_rate=0.0,
            tie_word_embeddings=False, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)
        self.clip_config = CLIPTextConfig(
            hidden_size=cd, intermediate_size=4 * cd, num_attention_heads=cd // 32, num_hidden_layers=2,
            vocab_size=pieces, max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=cd, bos_token_id=0,
            eos_token_id=2, pad_token_id=1, attention_dropout=0.0)
        self.t5, self.clip = T5EncoderModel(self.t5_config), CLIPTextModel(self.clip_config)
        self.dit = FluxTransformer2DModel(
            patch_size=1, in_channels=64, num_layers=s["double"], num_single_layers=s["single"], attention_head_dim=64,
            num_attention_heads=s["heads"], joint_attention_dim=td, pooled_projection_dim=cd, guidance_embeds=False,
            axes_dims_rope=(16, 24, 24))
        with torch.no_grad():  # gates and output start at zero, as in DiT
            for name, p in self.dit.named_parameters():
                if "norm" in name and ".linear." in name or name.startswith("proj_out."):
                    p.zero_()
            self.t5.shared.weight.normal_(0, .5)
        y, x = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
        self.image_ids = torch.stack([torch.zeros(GRID * GRID), y.flatten().float(), x.flatten().float()], -1)
        self.text_ids = torch.zeros(T5_LENGTH, 3)

    def text(self, tokens, texts):
        """T5's sequence and CLIP's pooled vector. CLIP is causal and pools at the first end token: 40 do as well as 77."""
        sequence = self.t5(input_ids=torch.tensor(tokens.t5(texts))).last_hidden_state
        pooled = self.clip(input_ids=torch.tensor(tokens.clip(texts, 40))).pooler_output
        return sequence, pooled

    def forward(self, x, t, sequence, pooled, ids=None, transformer=None):
        """The velocity at `x` of time `t`. ids: the places of a part of the tokens; transformer: a compiled one."""
        run = self.dit if transformer is None else transformer  # a compiled module has no truth value
        return run(
            hidden_states=x, timestep=t, encoder_hidden_states=sequence, pooled_projections=pooled,
            img_ids=self.image_ids if ids is None else ids, txt_ids=self.text_ids, return_dict=False)[0]

    @torch.no_grad()
    def generate(self, tokens, texts, steps=4, seed=0):
        """Latents of one picture per text."""
        noise = torch.randn(len(texts), 16, 2 * GRID, 2 * GRID, generator=torch.Generator().manual_seed(seed))
        x, (sequence, pooled) = pack(noise), self.text(tokens, texts)
        times = torch.linspace(1, 0, steps + 1)
        for now, then in zip(times[:-1], times[1:]):
            velocity = self(x, torch.full((len(texts),), float(now)), sequence, pooled)
            x = x + (then - now).item() * velocity.float()
        return unpack(x)


@torch.no_grad()
def decode(vae, latents):
    """Pictures (N, 3, 256, 256) in [-1, 1]."""
    return torch.cat([vae.decode(part / SCALE + SHIFT).sample for part in latents.split(4)])
