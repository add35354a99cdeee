"""The demo's two CLIPs: sizes, what they see, and their embeddings."""

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel

MEAN, STD = (.48145466, .4578275, .40821073), (.26862954, .26130258, .27577711)
PREPROCESSOR = dict(crop_size=224, size=224, do_center_crop=True, do_normalize=True, do_resize=True, resample=3,
                    image_mean=list(MEAN), image_std=list(STD), feature_extractor_type="CLIPFeatureExtractor")
# Patch size, width and layers of the picture tower.
SIZES = dict(b=(32, 128, 4), l=(14, 96, 3))
# A score is 2.5 times the cosine; these are the node's default thresholds as cosines.
THRESHOLD = dict(b=.70 / 2.5, l=.72 / 2.5)
SIDE = 224


def clip_config(kind, vocabulary, joint=128):
    patch, width, layers = SIZES[kind]
    text = dict(model_type="clip_text_model", hidden_size=128, intermediate_size=512, num_attention_heads=4,
                num_hidden_layers=2, max_position_embeddings=77, vocab_size=vocabulary, hidden_act="quick_gelu",
                layer_norm_eps=1e-5, projection_dim=joint, bos_token_id=0, eos_token_id=2, pad_token_id=1,
                attention_dropout=0.0)
    vision = dict(model_type="clip_vision_model", hidden_size=width, intermediate_size=4 * width,
                  num_attention_heads=width // 32, num_hidden_layers=layers, image_size=SIDE, patch_size=patch,
                  hidden_act="quick_gelu", layer_norm_eps=1e-5, projection_dim=joint, attention_dropout=0.0)
    return CLIPConfig(projection_dim=joint, logit_scale_init_value=2.6592, text_config=text, vision_config=vision)


def build(kind, tokens):
    return CLIPModel(clip_config(kind, tokens.clip_tokenizer.get_vocab_size()))


def prepare(pictures):
    """(N, H, W, 3) uint8 to what the picture tower sees."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (x - mean) / std


def features(output):
    """transformers 5 answers with an object, earlier versions with the tensor."""
    return output.pooler_output if hasattr(output, "pooler_output") else output


def embed_texts(model, tokens, texts, length=36):
    """Unit vectors. The towers are causal and pool at the end token: any length that holds the text gives the same."""
    ids = torch.tensor(tokens.clip(texts, length))
    return F.normalize(features(model.get_text_features(input_ids=ids)).float(), dim=-1)


def embed_pictures(model, prepared):
    return F.normalize(features(model.get_image_features(pixel_values=prepared)).float(), dim=-1)
