//! What other publishers call the tensors that the networks here ask for.
//!
//! Layers are asked for without `.weight` and `.bias`, other tensors by their full name; a name that is the same
//! everywhere comes back as it went in. Owns no tensors.

/// diffusers' names for the transformer's layers; fused ones in parts.
pub(crate) fn diffusers_transformer(name: &str) -> Vec<String> {
    let one = |name: String| vec![name];
    let embed = |part: &str, layer: &str| {
        let number = if layer == "in_layer" { 1 } else { 2 };
        one(format!("time_text_embed.{part}.linear_{number}"))
    };
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["img_in"] => one("x_embedder".to_owned()),
        ["txt_in"] => one("context_embedder".to_owned()),
        ["time_in", layer] => embed("timestep_embedder", layer),
        ["vector_in", layer] => embed("text_embedder", layer),
        ["guidance_in", layer] => embed("guidance_embedder", layer),
        ["final_layer", "linear"] => one("proj_out".to_owned()),
        ["final_layer", "adaLN_modulation", "1"] => one("norm_out.linear".to_owned()),
        ["double_blocks", block, rest @ ..] => {
            let at = |names: &[&str]| {
                names.iter().map(|name| format!("transformer_blocks.{block}.{name}")).collect()
            };
            match rest {
                ["img_mod", "lin"] => at(&["norm1.linear"]),
                ["txt_mod", "lin"] => at(&["norm1_context.linear"]),
                ["img_attn", "qkv"] => at(&["attn.to_q", "attn.to_k", "attn.to_v"]),
                ["txt_attn", "qkv"] => at(&["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"]),
                ["img_attn", "proj"] => at(&["attn.to_out.0"]),
                ["txt_attn", "proj"] => at(&["attn.to_add_out"]),
                ["img_attn", "norm", "query_norm", "scale"] => at(&["attn.norm_q.weight"]),
                ["img_attn", "norm", "key_norm", "scale"] => at(&["attn.norm_k.weight"]),
                ["txt_attn", "norm", "query_norm", "scale"] => at(&["attn.norm_added_q.weight"]),
                ["txt_attn", "norm", "key_norm", "scale"] => at(&["attn.norm_added_k.weight"]),
                ["img_mlp", "0"] => at(&["ff.net.0.proj"]),
                ["img_mlp", "2"] => at(&["ff.net.2"]),
                ["txt_mlp", "0"] => at(&["ff_context.net.0.proj"]),
                ["txt_mlp", "2"] => at(&["ff_context.net.2"]),
                _ => one(name.to_owned()),
            }
        }
        ["single_blocks", block, rest @ ..] => {
            let at = |names: &[&str]| {
                names.iter().map(|name| format!("single_transformer_blocks.{block}.{name}")).collect()
            };
            match rest {
                ["modulation", "lin"] => at(&["norm.linear"]),
                ["linear1"] => at(&["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"]),
                ["linear2"] => at(&["proj_out"]),
                ["norm", "query_norm", "scale"] => at(&["attn.norm_q.weight"]),
                ["norm", "key_norm", "scale"] => at(&["attn.norm_k.weight"]),
                _ => one(name.to_owned()),
            }
        }
        _ => one(name.to_owned()),
    }
}

/// diffusers' names for the autoencoder's decoder. Its up blocks count from the smallest picture, Black Forest Labs'
/// from the largest, so the number of levels must be known.
pub(crate) fn diffusers_decoder(name: &str, levels: usize) -> String {
    let Some(rest) = name.strip_prefix("decoder.") else { return name.to_owned() };
    let parts: Vec<&str> = rest.split('.').collect();
    let inner = match parts.as_slice() {
        ["norm_out", kind] => format!("conv_norm_out.{kind}"),
        ["mid", "block_1", tail @ ..] => format!("mid_block.resnets.0.{}", shortcut(tail)),
        ["mid", "block_2", tail @ ..] => format!("mid_block.resnets.1.{}", shortcut(tail)),
        ["mid", "attn_1", layer, kind] => {
            let layer = match *layer {
                "norm" => "group_norm",
                "q" => "to_q",
                "k" => "to_k",
                "v" => "to_v",
                "proj_out" => "to_out.0",
                other => other,
            };
            format!("mid_block.attentions.0.{layer}.{kind}")
        }
        ["up", level, "block", block, tail @ ..] => {
            format!("up_blocks.{}.resnets.{block}.{}", opposite(level, levels), shortcut(tail))
        }
        ["up", level, "upsample", tail @ ..] => {
            format!("up_blocks.{}.upsamplers.0.{}", opposite(level, levels), tail.join("."))
        }
        _ => rest.to_owned(),
    };
    format!("decoder.{inner}")
}

fn opposite(level: &str, levels: usize) -> usize {
    levels.saturating_sub(1).saturating_sub(level.parse().unwrap_or(0))
}

fn shortcut(tail: &[&str]) -> String {
    tail.join(".").replace("nin_shortcut", "conv_shortcut")
}

/// llama.cpp's name for a tensor of T5's encoder; its own for others.
pub(crate) fn llama_t5_tensor(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let found = match parts.as_slice() {
        ["shared", "weight"] => Some("token_embd.weight".to_owned()),
        ["encoder", "final_layer_norm", "weight"] => Some("enc.output_norm.weight".to_owned()),
        ["encoder", "block", block, "layer", layer, part @ .., "weight"] => {
            let part = match (*layer, part) {
                ("0", ["layer_norm"]) => Some("attn_norm"),
                ("0", ["SelfAttention", "relative_attention_bias"]) => Some("attn_rel_b"),
                ("0", ["SelfAttention", "q"]) => Some("attn_q"),
                ("0", ["SelfAttention", "k"]) => Some("attn_k"),
                ("0", ["SelfAttention", "v"]) => Some("attn_v"),
                ("0", ["SelfAttention", "o"]) => Some("attn_o"),
                ("1", ["layer_norm"]) => Some("ffn_norm"),
                ("1", ["DenseReluDense", "wi_0"]) => Some("ffn_gate"),
                ("1", ["DenseReluDense", "wi_1"]) => Some("ffn_up"),
                ("1", ["DenseReluDense", "wo"]) => Some("ffn_down"),
                _ => None,
            };
            part.map(|part| format!("enc.blk.{block}.{part}.weight"))
        }
        _ => None,
    };
    found.unwrap_or_else(|| name.to_owned())
}

/// What a tensor of T5's encoder is called elsewhere: the token table in files that store it only where it is used, and
/// everything in llama.cpp's files.
pub(crate) fn t5_elsewhere(name: &str) -> Vec<String> {
    let tied = (name == "shared.weight").then(|| "encoder.embed_tokens.weight".to_owned());
    let llama = Some(llama_t5_tensor(name)).filter(|llama| llama != name);
    tied.into_iter().chain(llama).collect()
}
