"""Kokoro at demo sizes, built from the upstream modules, and its export.

Role: `Kokoro` holds the networks under the published names; `save_checkpoint`/`export` write them. Input: the folder
that holds the package `kokoro` (hexgrad/kokoro 0.9.4, unpacked wheel, none of its dependencies) in `KOKORO_SRC`.
Output of `export`: config.json, kokoro-v1_0.safetensors (f16) and voices/NAME.safetensors, as the node reads them.

Training keeps F0 in units of 100 Hz; export folds that into the first and last weights that see F0.
"""

import importlib
import json
import os
import re
import shutil
import sys
import types
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

import speech_render as render

F0_UNIT = 100.0

ALIKE = {"—": ",", "…": ",", '"': " ", "(": " ", ")": " ", "“": " ", "”": " ", "Q": "O", "ɒ": "ɑ", "a": "æ", "ɚ": "ə",
         "e": "ɛ", "o": "O", "r": "ɹ", "ɨ": "ᵻ", "x": "k", "y": "u", "c": "k", "q": "k", "ç": "h", "β": "b", "ɕ": "ʃ",
         "ʂ": "ʃ", "ʣ": "z", "ʦ": "s", "ʥ": "ʤ", "ʨ": "ʧ", "ɲ": "n", "ɳ": "n", "ɴ": "ŋ", "ɸ": "f", "ɻ": "ɹ", "ʁ": "ɹ",
         "ɽ": "ɾ", "ʈ": "t", "ɖ": "d", "ʋ": "v", "ɣ": "ɡ", "χ": "h", "ʎ": "l", "ø": "ɜ", "œ": "ɜ", "ɤ": "ʌ", "ɯ": "u",
         "ɰ": "w", "ɥ": "j", "ʝ": "j", "ɟ": "ɡ"}

SIZES = {
    "hidden_dim": 128, "style_dim": 32, "n_layer": 2, "max_dur": 50, "text_encoder_kernel_size": 5,
    "plbert": {"hidden_size": 96, "num_attention_heads": 4, "intermediate_size": 192, "max_position_embeddings": 512,
               "num_hidden_layers": 2, "embedding_size": 32},
    # The release's 10 x 6 x 5 samples as 10 x 3 x 10: half the work at the widest stage.
    "istftnet": {"upsample_kernel_sizes": [20, 7], "upsample_rates": [10, 3], "gen_istft_hop_size": 10,
                 "gen_istft_n_fft": 40, "resblock_dilation_sizes": [[1, 3, 5]],
                 "resblock_kernel_sizes": [7], "upsample_initial_channel": 96},
    "decoder_hidden": 192, "asr_res": 32,
}


def upstream():
    """The modules istftnet and modules of the package `kokoro`, without its pipeline."""
    if "kokoro" not in sys.modules:
        package = types.ModuleType("kokoro")
        package.__path__ = [str(Path(os.environ["KOKORO_SRC"]) / "kokoro")]
        sys.modules["kokoro"] = package
    return importlib.import_module("kokoro.istftnet"), importlib.import_module("kokoro.modules")


def vocabulary(node_config):
    """Symbol to id as published, read from the node's own source `src/models/kokoro/config.rs`."""
    text = Path(node_config).read_text(encoding="utf-8")
    table = text[text.index("const PUBLISHED_VOCABULARY"):]
    pairs = re.findall(r"\('(\\u\{([0-9a-f]+)\}|.)', (\d+)\)", table)
    return {chr(int(code, 16)) if code else symbol: int(token) for symbol, code, token in pairs}


class GivenSource(nn.Module):
    """Stands for the harmonic source: hands out an excitation made elsewhere, keeps the merging weights."""

    def __init__(self):
        super().__init__()
        self.l_linear = nn.Linear(render.HARMONICS, 1)
        nn.init.constant_(self.l_linear.weight, render.MERGE)
        nn.init.zeros_(self.l_linear.bias)
        self.l_linear.requires_grad_(False)
        self.excitation = None

    def forward(self, f0):
        return self.excitation[:, :, None], None, None


def decoder(sizes, n_hidden):
    """Upstream's Decoder, whose constructor fixes the release's widths, at ours."""
    net, _ = upstream()
    style, wide, side, cut = sizes["style_dim"], sizes["decoder_hidden"], sizes["asr_res"], sizes["istftnet"]
    out = net.Decoder.__new__(net.Decoder)
    nn.Module.__init__(out)
    block = net.AdainResBlk1d
    initial = cut["upsample_initial_channel"]
    norm = net.weight_norm
    out.encode = block(n_hidden + 2, wide, style)
    out.decode = nn.ModuleList([block(wide + 2 + side, wide, style) for _ in range(3)])
    out.decode.append(block(wide + 2 + side, initial, style, upsample=True))
    out.F0_conv = norm(nn.Conv1d(1, 1, 3, stride=2, padding=1))
    out.N_conv = norm(nn.Conv1d(1, 1, 3, stride=2, padding=1))
    out.asr_res = nn.Sequential(norm(nn.Conv1d(n_hidden, side, 1)))
    out.generator = net.Generator(
        style, cut["resblock_kernel_sizes"], cut["upsample_rates"], initial, cut["resblock_dilation_sizes"],
        cut["upsample_kernel_sizes"], cut["gen_istft_n_fft"], cut["gen_istft_hop_size"])
    out.generator.m_source = GivenSource()
    return out


class Catch(nn.Module):
    """Stands for the vocoder and keeps what it is given."""

    def __init__(self, caught):
        super().__init__()
        self.caught = caught

    def forward(self, x, style, f0):
        self.caught.append(x)
        return x


def aligned(features, index):
    """[B, channels, tokens] at the frames' tokens `index` [B, frames]."""
    return torch.gather(features, 2, index[:, None].expand(-1, features.shape[1], -1))


class Kokoro(nn.Module):
    """All networks, and the linear map from a voice's values to its style vector."""

    def __init__(self, sizes=SIZES, tokens=178):
        super().__init__()
        from transformers import AlbertConfig
        net, modules = upstream()
        hidden, style = sizes["hidden_dim"], sizes["style_dim"]
        self.sizes = sizes
        self.bert = modules.CustomAlbert(AlbertConfig(
            vocab_size=tokens, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **sizes["plbert"]))
        self.bert_encoder = nn.Linear(sizes["plbert"]["hidden_size"], hidden)
        self.predictor = modules.ProsodyPredictor(style, hidden, sizes["n_layer"], sizes["max_dur"], dropout=0.0)
        self.text_encoder = modules.TextEncoder(hidden, sizes["text_encoder_kernel_size"], sizes["n_layer"], tokens)
        self.decoder = decoder(sizes, hidden)
        self.timbre = nn.Linear(5, style)
        self.probe = nn.Conv1d(sizes["istftnet"]["upsample_initial_channel"], render.BANDS, 1)
        self.prosody = nn.Linear(5, style)
        for module in self.modules():
            if isinstance(module, net.AdaIN1d):
                module.norm.requires_grad_(False)
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        with torch.no_grad():
            # Starts: quiet sound, tokens of a tenth of the bins.
            self.decoder.generator.conv_post.bias[: sizes["istftnet"]["gen_istft_n_fft"] // 2 + 1] = -3.0
            self.predictor.duration_proj.linear_layer.bias.fill_(-2.6)

    def speaking_parts(self):
        """What makes the sound from symbols, durations and curves."""
        return nn.ModuleList([self.text_encoder, self.decoder, self.timbre, self.probe])

    def planning_parts(self):
        """What makes durations and curves from symbols."""
        return nn.ModuleList([self.bert, self.bert_encoder, self.predictor, self.prosody])

    def features(self, ids, lengths):
        """The text encoder's, [B, hidden, tokens]."""
        mask = torch.arange(ids.shape[1])[None] >= lengths[:, None]
        return self.text_encoder(ids, lengths, mask)

    def shaped(self, features, index, f0, energy, style):
        """What the decoder hands to its vocoder, [B, channels, 2 frames]."""
        whole, caught = self.decoder.generator, []
        self.decoder.generator = Catch(caught)
        try:
            self.decoder(aligned(features, index), f0 / F0_UNIT, energy, style)
        finally:
            self.decoder.generator = whole
        return caught[0]

    def sound(self, features, index, f0, energy, style, excitation):
        """Sound [B, samples] of features at the frames' tokens `index` [B, frames]; F0 in Hz."""
        self.decoder.generator.m_source.excitation = excitation
        self.decoder.generator.f0_upsamp = nn.Identity()
        return self.decoder(aligned(features, index), f0 / F0_UNIT, energy, style)[:, 0]

    def encoded(self, ids, lengths, style):
        """The duration encoder's output [B, tokens, hidden + style] and the bins' logits."""
        mask = torch.arange(ids.shape[1])[None] >= lengths[:, None]
        plain = self.bert_encoder(self.bert(ids, attention_mask=(~mask).int())).transpose(1, 2)
        eye = torch.eye(ids.shape[1])[None].expand(len(ids), -1, -1)
        bins, encoded = self.predictor(plain, style, lengths, eye, mask)
        return encoded.transpose(1, 2), bins

    def curves(self, encoded, index, style):
        """F0 in units of `F0_UNIT` and energy, [B, 2 frames] each."""
        return self.predictor.F0Ntrain(aligned(encoded.transpose(1, 2), index), style)

    @torch.no_grad()
    def speak(self, ids, values, speed=1.0, shift=0.0, gain=1.0, generator=None):
        """As the node does it: ids without ends, a voice's values to (sound, frames, F0, energy)."""
        ids = torch.tensor([[0, *ids, 0]])
        lengths = torch.tensor([ids.shape[1]])
        values = torch.tensor([values])
        encoded, bins = self.encoded(ids, lengths, self.prosody(values))
        frames = torch.clamp(torch.round(torch.sigmoid(bins).sum(-1)[0] / speed), min=1).long()
        index = torch.repeat_interleave(torch.arange(len(frames)), frames)[None]
        f0, energy = self.curves(encoded, index, self.prosody(values))
        f0 = f0 * F0_UNIT
        f0 = torch.where(f0 > 10, (f0 + shift).clamp(min=10.001), f0)
        energy = energy + torch.log(torch.tensor(gain))
        excitation, _ = render.sources(f0, generator)
        sound = self.sound(self.features(ids, lengths), index, f0, energy, self.timbre(values), excitation)
        return sound[0], frames, f0[0], energy[0]


def published(model):
    """The state under the published names, F0 in Hz, norms without their idle affine weights."""
    state = {}
    with torch.no_grad():
        for part in ("bert", "bert_encoder", "predictor", "text_encoder", "decoder"):
            for name, value in getattr(model, part).state_dict().items():
                if re.search(r"(norm\d|adain\d\.\d)\.norm\.", name):
                    continue
                value = value.clone()
                if (part, name) in (("predictor", "F0_proj.weight"), ("predictor", "F0_proj.bias")):
                    value = value * F0_UNIT
                if (part, name) == ("decoder", "F0_conv.weight_g"):
                    value = value / F0_UNIT
                state[f"{part}.module.{name}"] = value.contiguous()
    return state


def spread(state, vocab, known=()):
    """Symbols that no line holds take a trained one's place in both embeddings, so that nothing is read at random."""
    for name in ("text_encoder.module.embedding.weight", "bert.module.embeddings.word_embeddings.weight"):
        for symbol, like in ((symbol, like) for symbol, like in ALIKE.items() if symbol not in known):
            state[name][vocab[symbol]] = state[name][vocab[like]]


def export(model, folder, vocab, voices=None, known=()):
    """Writes the bundle's files aside and puts them in place of `folder`'s; `voices` are names and their values."""
    voices = voices or {name: voice.values() for name, voice in render.VOICES.items()}
    folder = Path(folder)
    aside = folder.with_name(folder.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "voices").mkdir(parents=True)
    state = published(model)
    spread(state, vocab, known)
    state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file(state, aside / "kokoro-v1_0.safetensors")
    with torch.no_grad():
        for name, values in voices.items():
            values = torch.tensor([values])
            style = torch.cat([model.timbre(values), model.prosody(values)], 1)
            pack = style[None].expand(510, 1, -1).contiguous().half()
            save_file({"voice": pack}, aside / "voices" / f"{name}.safetensors")
    sizes = model.sizes
    config = {key: sizes[key] for key in ("istftnet", "hidden_dim", "max_dur", "n_layer", "style_dim",
                                          "text_encoder_kernel_size", "plbert")}
    config |= {"dim_in": 64, "dropout": 0.2, "max_conv_dim": sizes["hidden_dim"], "multispeaker": True, "n_mels": 80,
               "n_token": 178, "vocab": vocab}
    config["_tiny"] = {"decoder_hidden": sizes["decoder_hidden"], "asr_res": sizes["asr_res"],
                       "decoder_out": sizes["istftnet"]["upsample_initial_channel"]}
    (aside / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return sum(v.numel() for v in state.values())
