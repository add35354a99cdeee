"""Names of tensors: diffusers' (which training uses) and Black Forest Labs' (which the node's bundle holds), both ways."""

import torch

# diffusers name, BFL name; each has .weight and .bias.
OUTER = [("x_embedder", "img_in"), ("context_embedder", "txt_in"), ("proj_out", "final_layer.linear"),
         ("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"),
         ("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"),
         ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"),
         ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer")]
DOUBLE = [("norm1.linear", "img_mod.lin"), ("norm1_context.linear", "txt_mod.lin"), ("attn.to_out.0", "img_attn.proj"),
          ("attn.to_add_out", "txt_attn.proj"), ("ff.net.0.proj", "img_mlp.0"), ("ff.net.2", "img_mlp.2"),
          ("ff_context.net.0.proj", "txt_mlp.0"), ("ff_context.net.2", "txt_mlp.2")]
DOUBLE_NORMS = [("norm_q", "img_attn.norm.query_norm"), ("norm_k", "img_attn.norm.key_norm"),
                ("norm_added_q", "txt_attn.norm.query_norm"), ("norm_added_k", "txt_attn.norm.key_norm")]
SINGLE = [("norm.linear", "modulation.lin"), ("proj_out", "linear2")]
SINGLE_NORMS = [("norm_q", "norm.query_norm"), ("norm_k", "norm.key_norm")]
PARTS = ("weight", "bias")


def swap(tensor):
    """diffusers keeps the last modulation as (scale, shift), BFL as (shift, scale)."""
    first, second = tensor.chunk(2)
    return torch.cat([second, first])


def depth(names, prefix):
    return len({name[len(prefix):].split(".")[0] for name in names if name.startswith(prefix)})


def single_parts(width):
    """Rows of BFL's linear1: query, key, value and the first half of the feed-forward network."""
    return [("attn.to_q", width), ("attn.to_k", width), ("attn.to_v", width), ("proj_mlp", 4 * width)]


def pairs(doubles, singles):
    """Every tensor that only changes its name: (diffusers, BFL)."""
    for ours, theirs in OUTER:
        yield from ((f"{ours}.{part}", f"{theirs}.{part}") for part in PARTS)
    for i in range(doubles):
        a, b = f"transformer_blocks.{i}.", f"double_blocks.{i}."
        yield from ((f"{a}{ours}.{part}", f"{b}{theirs}.{part}") for ours, theirs in DOUBLE for part in PARTS)
        yield from ((f"{a}attn.{ours}.weight", f"{b}{theirs}.scale") for ours, theirs in DOUBLE_NORMS)
    for i in range(singles):
        a, b = f"single_transformer_blocks.{i}.", f"single_blocks.{i}."
        yield from ((f"{a}{ours}.{part}", f"{b}{theirs}.{part}") for ours, theirs in SINGLE for part in PARTS)
        yield from ((f"{a}attn.{ours}.weight", f"{b}{theirs}.scale") for ours, theirs in SINGLE_NORMS)


def stacks(doubles, singles, width):
    """Every BFL tensor that is several of diffusers' in one: (BFL, [(diffusers, rows)])."""
    for part in PARTS:
        for i in range(doubles):
            for theirs, ours in (("img_attn", "to_{}"), ("txt_attn", "add_{}_proj")):
                rows = [(f"transformer_blocks.{i}.attn.{ours.format(c)}.{part}", width) for c in "qkv"]
                yield f"double_blocks.{i}.{theirs}.qkv.{part}", rows
        for i in range(singles):
            rows = [(f"single_transformer_blocks.{i}.{name}.{part}", n) for name, n in single_parts(width)]
            yield f"single_blocks.{i}.linear1.{part}", rows


def transformer_to_bfl(state):
    width = state["x_embedder.weight"].shape[0]
    doubles, singles = depth(state, "transformer_blocks."), depth(state, "single_transformer_blocks.")
    out = {theirs: state[ours] for ours, theirs in pairs(doubles, singles)}
    out |= {theirs: torch.cat([state[name] for name, _ in rows]) for theirs, rows in stacks(doubles, singles, width)}
    for part in PARTS:
        out[f"final_layer.adaLN_modulation.1.{part}"] = swap(state[f"norm_out.linear.{part}"])
    return out


def transformer_from_bfl(state):
    width = state["img_in.weight"].shape[0]
    doubles, singles = depth(state, "double_blocks."), depth(state, "single_blocks.")
    out = {ours: state[theirs] for ours, theirs in pairs(doubles, singles)}
    for theirs, rows in stacks(doubles, singles, width):
        out |= dict(zip([name for name, _ in rows], state[theirs].split([n for _, n in rows])))
    for part in PARTS:
        out[f"norm_out.linear.{part}"] = swap(state[f"final_layer.adaLN_modulation.1.{part}"])
    return out


def autoencoder_names(names, levels):
    """{diffusers name: `ae.safetensors` name}; attention's matrices are 1 x 1 convolutions there."""
    plain = [("conv_norm_out", "norm_out"), ("conv_shortcut", "nin_shortcut"), ("mid_block.resnets.0", "mid.block_1"),
             ("mid_block.resnets.1", "mid.block_2"), ("mid_block.attentions.0", "mid.attn_1"), ("group_norm", "norm"),
             ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]
    out = {}
    for name in names:
        new = name
        for ours, theirs in plain:
            new = new.replace(ours, theirs)
        if "down_blocks" in new:
            new = new.replace("down_blocks", "down").replace("downsamplers.0", "downsample").replace("resnets", "block")
        if "up_blocks" in new:  # counted from the smallest here, from the largest there
            level = int(new.split("up_blocks.")[1].split(".")[0])
            new = new.replace(f"up_blocks.{level}", f"up.{levels - 1 - level}")
            new = new.replace("upsamplers.0", "upsample").replace("resnets", "block")
        out[name] = new
    return out


def autoencoder_to_bfl(state, levels):
    out = {}
    for ours, theirs in autoencoder_names(state, levels).items():
        matrix = ".attn_1." in theirs and state[ours].ndim == 2
        out[theirs] = state[ours][:, :, None, None] if matrix else state[ours]
    return out


def autoencoder_from_bfl(state, like):
    """`like`: a state dict in diffusers' names, for the names and shapes."""
    levels = depth(like, "decoder.up_blocks.")
    return {ours: state[theirs].reshape(like[ours].shape) for ours, theirs in autoencoder_names(like, levels).items()}
