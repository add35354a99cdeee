"""Kokoro-82M's published checkpoint, and an f32 graph of it, from the int8 ONNX export that the package index carries.

    graph.py --int8 FILE.onnx --layout FILE.safetensors --vocabulary config.json --voices FOLDER -o OUT

The layout is any safetensors file with the published names (its sizes do not count), the vocabulary any config.json with
the published one; the voices are raw f32 packs.
Writes OUT/kokoro: config.json, kokoro-v1_0.safetensors and voices/*.safetensors, what the program reads; and
OUT/kokoro-f32.onnx, the same graph with its weights dequantised in place, which also gives durations, F0 and energy.

The checkpoint's names come from the module paths that the exporter left in the names of nodes and biases, never from an
order; each tensor must be filled once, from one place, and no learnt number may be left over. The graph keeps its own
structure and needs no names: a second reading of the same weights, by another program. Two tensors are lost, since
nothing uses them: the pooler of PLBERT, written as zeros.
"""

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.numpy import save_file

# The release's config.json, but for the vocabulary.
SIZES = {
    "istftnet": {
        "upsample_kernel_sizes": [20, 12], "upsample_rates": [10, 6], "gen_istft_hop_size": 5, "gen_istft_n_fft": 20,
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]], "resblock_kernel_sizes": [3, 7, 11],
        "upsample_initial_channel": 512,
    },
    "dim_in": 64, "dropout": 0.2, "hidden_dim": 512, "max_conv_dim": 512, "max_dur": 50, "multispeaker": True,
    "n_layer": 3, "n_mels": 80, "n_token": 178, "style_dim": 128, "text_encoder_kernel_size": 5,
    "plbert": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2048, "max_position_embeddings": 512,
               "num_hidden_layers": 12, "dropout": 0.1},
}
PARTS = ("bert_encoder", "bert", "predictor", "text_encoder")
LOST = {"bert.module.pooler.weight": (768, 768), "bert.module.pooler.bias": (768,)}
VOCODER = "/decoder/decoder/generator/"
# Results of the graph beside the sound: unrounded durations in frames, F0 in Hz, energy.
INNER = ("/encoder/Div_output_0", "/encoder/F0_proj/Conv_output_0", "/encoder/N_proj/Conv_output_0")
# Standard deviation of the source's noise under a voice, and without one.
NOISE = (0.003, 0.1 / 3)


class Graph:
    """The export: its nodes, its numbers, who makes and who uses what, and which numbers were read."""

    def __init__(self, path):
        self.model = onnx.load(path)
        self.nodes = list(self.model.graph.node)
        self.inits = {item.name: item for item in self.model.graph.initializer}
        self.maker = {out: node for node in self.nodes for out in node.output}
        self.users = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.users[name].append(node)
        self.read = set()

    def array(self, name):
        """The numbers of an initializer."""
        self.read.add(name)
        return numpy_helper.to_array(self.inits[name])

    def is_float(self, name):
        """Whether `name` is a stored f32 array."""
        return name in self.inits and self.inits[name].data_type == TensorProto.FLOAT

    def product(self, node):
        """Of an integer product: the weight in f32, the bias's name if it has one, and where it is in floats again."""
        name, bias = node.output[0], None
        while True:
            (user,) = self.users[name]
            if user.op_type == "Add":
                (other,) = (item for item in user.input if item != name)
                # A convolution's bias is scaled, rounded and shaped on its way.
                while other not in self.inits:
                    other = self.maker[other].input[0]
                bias = other
            elif user.op_type == "Mul":
                (other,) = (item for item in user.input if item != name)
                (scale,) = (item for item in self.maker[other].input if item in self.inits)
                break
            elif user.op_type != "Cast":
                raise ValueError(f"{user.op_type} {user.name} behind the integer product {node.name}")
            name = user.output[0]
        axis = 0 if node.op_type == "ConvInteger" else 1
        weight = dequantised(self.array(node.input[1]), self.array(scale), self.array(node.input[3]), axis)
        return weight, bias, user.output[0]

    def recurrent(self, node):
        """Of a quantised LSTM: input and recurrent weights of both directions, [4 · hidden, in], gates i, o, f, c."""
        def both(values, scales, zeros):
            values, scales, zeros = (self.array(node.input[at]) for at in (values, scales, zeros))
            per = lambda item, way: np.atleast_1d(item[way])
            return np.stack([dequantised(values[way], per(scales, way), per(zeros, way), 1).T for way in (0, 1)])
        return both(1, 8, 9), both(2, 10, 11)


def dequantised(values, scale, zero, axis):
    """(values − zero) · scale, both for each channel along `axis` or for all."""
    shape = [1] * values.ndim
    shape[axis] = -1
    shaped = lambda item: item.reshape(()) if item.size == 1 else item.reshape(shape)
    whole = values.astype(np.int32) - shaped(zero).astype(np.int32)
    return whole.astype(np.float32) * shaped(scale).astype(np.float32)


def published(name):
    """The exporter's `encoder.bert.…` as the checkpoint's `bert.module.…`."""
    for part in PARTS:
        if name == f"encoder.{part}" or name.startswith(f"encoder.{part}."):
            return name.replace(f"encoder.{part}", f"{part}.module", 1)
    if name.startswith("decoder.decoder."):
        return name.replace("decoder.decoder.", "decoder.module.", 1)
    raise ValueError(f"{name} belongs to no part of the checkpoint")


def module_of(node):
    """The module whose weight a node holds: `/decoder/decoder/decode.0/conv1/Conv` is `decoder.module.decode.0.conv1`."""
    path = []
    for part in node.name.strip("/").split("/")[:-1]:
        if path and part.startswith(path[-1] + "."):
            path.pop()  # what is in a list of modules carries the list's name again
        path.append(part)
    if any("albert_layers" in part for part in path):
        path = [re.sub(r"_\d+$", "", part) for part in path]  # one layer, applied twelve times and counted
    # The export went round the predictor's own forward().
    return published(re.sub(r"^encoder\.(F0|N|F0_proj|N_proj|shared)(\.|$)", r"encoder.predictor.\1\2", ".".join(path)))


class Checkpoint:
    """What was found: tensors by their published names, weights by their modules, and where each came from."""

    def __init__(self):
        self.tensors, self.origin, self.weights = {}, {}, {}

    def put(self, name, values, source):
        """Files a tensor; only the shared ALBERT layer may come again, from the same place."""
        if name in self.tensors:
            assert ".albert_layers." in name and self.origin[name] == source, f"{name}: {self.origin[name]}, and {source}"
            return
        self.tensors[name], self.origin[name] = np.ascontiguousarray(values, dtype=np.float32), source

    def weigh(self, module, values, source):
        """Files a weight that may be stored as a direction and its norm."""
        if module in self.weights:
            assert ".albert_layers." in module and self.weights[module][1] == source, module
        self.weights[module] = (values, source)


def recover(graph):
    """Every learnt number of the graph, by name."""
    found = Checkpoint()
    for node in graph.nodes:
        kind, inputs = node.op_type, list(node.input)
        if kind in ("ConvInteger", "MatMulInteger") and inputs[1] in graph.inits:
            module, (weight, bias, floats) = module_of(node), graph.product(node)
            if kind == "MatMulInteger":
                weight = weight.T
                (after,) = graph.users[floats]
                (bias,) = (name for name in after.input if graph.is_float(name))
            if bias:
                assert published(bias) == f"{module}.bias", f"{bias} beside {module}"
                found.put(f"{module}.bias", graph.array(bias), bias)
            found.weigh(module, weight, inputs[1])
        elif kind in ("Conv", "ConvTranspose") and inputs[1] in graph.inits:
            weight = graph.array(inputs[1])
            if "/stft/" in node.name:
                continue  # the inverse transform's basis is computed
            found.weigh(module_of(node), weight, inputs[1])
            if len(inputs) > 2:
                found.put(f"{module_of(node)}.bias", graph.array(inputs[2]), inputs[2])
        elif kind == "MatMul" and any(graph.is_float(name) for name in inputs):
            found.weigh(module_of(node), graph.array(inputs[1]).T, inputs[1])
            (after,) = graph.users[node.output[0]]
            (bias,) = (name for name in after.input if graph.is_float(name))
            found.put(f"{module_of(node)}.bias", graph.array(bias), bias)
        elif kind == "DynamicQuantizeLSTM":
            lstm(graph, node, found)
        elif kind == "Gather" and inputs[0] in graph.inits and inputs[0].endswith("weight_quantized"):
            (after,) = graph.users[node.output[0]]
            scale, zero = (graph.array(after.input[at]) for at in (1, 2))
            name = published(inputs[0].removesuffix("_quantized"))
            found.put(name, dequantised(graph.array(inputs[0]), scale, zero, 0), inputs[0])
        elif kind in ("LayerNormalization", "SkipLayerNormalization"):
            gain, shift = inputs[-2:]
            if gain.endswith("Constant_7_output_0"):
                # An adaptive norm: gain and shift come from the style, these do nothing.
                assert (graph.array(gain) == 1).all() and (graph.array(shift) == 0).all()
                continue
            found.put(published(gain), graph.array(gain), gain)
            found.put(published(shift), graph.array(shift), shift)
    for name in graph.inits:
        if ".alpha" in name:
            found.put(published(name), graph.array(name), name)
    return found


def lstm(graph, node, found):
    """PyTorch keeps the gates i, f, g (the graph's c), o, and both biases apart."""
    module = module_of(node)
    hidden = next(item.i for item in node.attribute if item.name == "hidden_size")
    order = np.concatenate([np.arange(hidden) + gate * hidden for gate in (0, 2, 3, 1)])
    weights, biases = graph.recurrent(node), graph.array(node.input[3])
    for way, suffix in enumerate(("", "_reverse")):
        halves = biases[way].reshape(2, 4 * hidden)
        for values, half, kind, place in zip(weights, halves, ("ih", "hh"), (1, 2)):
            found.put(f"{module}.weight_{kind}_l0{suffix}", values[way][order], (node.input[place], way))
            found.put(f"{module}.bias_{kind}_l0{suffix}", half[order], (node.input[3], way, kind))
    for at in (5, 6):
        assert node.input[at] not in graph.inits or not graph.array(node.input[at]).any(), "a state to begin with"


def checkpoint(graph, layout):
    """The tensors that the layout names, each filled once."""
    found = recover(graph)
    with safe_open(layout, "np") as file:
        wanted = {name: len(file.get_slice(name).get_shape()) for name in file.keys()}
    for module, (weight, source) in found.weights.items():
        if f"{module}.weight_v" not in wanted:
            found.put(f"{module}.weight", weight, source)
            continue
        norm = np.sqrt((weight.astype(np.float64) ** 2).sum(axis=tuple(range(1, weight.ndim)), keepdims=True))
        # A row that eight bits made zero has any direction and no length; 0 / 0 has none.
        direction = np.where(norm == 0, np.float32(1), weight)
        found.put(f"{module}.weight_v", direction, source)
        found.put(f"{module}.weight_g", norm, (source, "norm"))
    tensors = found.tensors | {name: np.zeros(shape, np.float32) for name, shape in LOST.items()}
    tensors["bert.module.embeddings.position_ids"] = np.arange(512, dtype=np.int64)[None]
    missing, more = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    assert not missing and not more, f"missing: {missing}; not in the layout: {more}"
    assert all(tensors[name].ndim == dims and np.isfinite(tensors[name]).all() for name, dims in wanted.items())
    sources = list(found.origin.values())
    assert len(sources) == len(set(sources)), "one stored array filled two tensors"
    learnt = {TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8}
    left = [name for name, item in graph.inits.items()
            if item.data_type in learnt and name not in graph.read and np.prod(item.dims, dtype=int) > 1]
    left = [name for name in left if not computed(graph, name, tensors)]
    assert not left, f"left over: {left}"
    return tensors


def computed(graph, name, tensors):
    """Whether an array that nothing has read is a table that no training made."""
    values, users = numpy_helper.to_array(graph.inits[name]), {node.op_type for node in graph.users[name]}
    if "Reciprocal" in name:  # 1 / alpha, folded
        return any(np.allclose(1 / alpha, values, rtol=1e-5) for key, alpha in tensors.items()
                   if ".alpha" in key and alpha.shape == values.shape)
    if users == {"STFT"}:  # the window
        return np.allclose(values, np.hanning(len(values) + 1)[:-1], atol=1e-6)
    if name.endswith("l_sin_gen/Constant_output_0"):  # which multiple of F0
        return (values.ravel() == np.arange(1, 10)).all()
    return users <= {"Resize", "Concat"} or name.endswith("stft.window_sum")


def as_released(graph, weights):
    """Two things that the export changed, as the release has them; nodes by the name of what they make.

    The source's noise was left out. And the angle of what is real and negative was −π in place of π, which colours the
    sound by a decibel.
    """
    (merge,) = (node for node in graph.nodes if node.name == f"{VOCODER}m_source/l_linear/MatMul")
    sines = merge.input[0]
    (voiced,) = (name for name in graph.maker[sines].input if graph.maker[name].op_type == "Cast")
    numbers = {"noise_slope": NOISE[0] - NOISE[1], "noise_level": NOISE[1], "almost_nothing": -1e-6}
    for name, value in numbers.items():
        weights[name] = numpy_helper.from_array(np.array(value, np.float32), name)
    steps = [("RandomNormalLike", [sines], "noise_drawn"), ("Mul", [voiced, "noise_slope"], "noise_less"),
             ("Add", ["noise_less", "noise_level"], "noise_amplitude"), ("Mul", ["noise_drawn", "noise_amplitude"], "noise"),
             ("Add", [sines, "noise"], "sines_and_noise")]
    made = {output: helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps}
    made["noise_drawn"].attribute.append(helper.make_attribute("seed", 7.0))
    made[merge.output[0]] = helper.make_node("MatMul", ["sines_and_noise", merge.input[1]], [merge.output[0]])
    (above,) = (node for node in graph.nodes if node.name == f"{VOCODER}Greater")
    made[above.output[0]] = helper.make_node("Greater", [above.input[0], "almost_nothing"], list(above.output))
    return made


def in_floats(graph):
    """The graph with f32 weights in the place of the quantised ones, and what it computes on the way as results."""
    behind = {node.output[0]: node.input[0] for node in graph.nodes if node.op_type == "DynamicQuantizeLinear"}
    weights, instead = {}, {}

    def stored(values, name):
        weights[name] = numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
        return name

    for node in graph.nodes:
        if node.op_type in ("ConvInteger", "MatMulInteger") and node.input[1] in graph.inits:
            weight, bias, floats = graph.product(node)
            inputs = [behind[node.input[0]], stored(weight, node.input[1] + "_f32")] + ([bias] if bias else [])
            kind = "Conv" if node.op_type == "ConvInteger" else "MatMul"
            made = helper.make_node(kind, inputs, [floats], name=node.name + "_f32")
            made.attribute.extend(node.attribute if kind == "Conv" else [])
            instead[floats] = made
        elif node.op_type == "DynamicQuantizeLSTM":
            inputs = list(node.input)[:8]
            for at, values in zip((1, 2), graph.recurrent(node)):
                inputs[at] = stored(values, inputs[at] + "_f32")
            made = helper.make_node("LSTM", inputs, list(node.output), name=node.name + "_f32")
            made.attribute.extend(item for item in node.attribute if item.name != "input_forget")
            instead |= dict.fromkeys(node.output, made)
    instead |= as_released(graph, weights)
    outputs = list(graph.model.graph.output)
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in INNER]
    # What has no node of its own in the export goes before the one that uses it.
    names, nodes = {name for node in graph.nodes for name in node.output}, []
    for node in graph.nodes:
        nodes += [made for name, made in instead.items() if name not in names] if node.name.endswith("l_linear/MatMul") else []
        nodes.append(node)
    needed, kept = {item.name for item in outputs}, []
    for node in reversed(nodes):
        node = next((instead[name] for name in node.output if name in instead), node)
        if any(name in needed for name in node.output):
            kept.append(node)
            needed.update(node.input)
    assert not any("Integer" in node.op_type or "Quantize" in node.op_type for node in kept if node.input[0] in behind)
    inits = [item for item in graph.model.graph.initializer if item.name in needed] + list(weights.values())
    body = helper.make_graph(kept[::-1], "kokoro", graph.model.graph.input, outputs, inits)
    return helper.make_model(body, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)


def main():
    """Reads the arguments, writes everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for flag in ("--int8", "--layout", "--vocabulary", "--voices"):
        parser.add_argument(flag, type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    folder = args.out / "kokoro"
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    graph = Graph(args.int8)
    tensors = checkpoint(graph, args.layout)
    save_file(tensors, folder / "kokoro-v1_0.safetensors")
    config = SIZES | {"vocab": json.loads(args.vocabulary.read_text(encoding="utf-8"))["vocab"]}
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False) + "\n", encoding="utf-8")
    packs = sorted(args.voices.glob("*.bin"))
    for pack in packs:
        values = np.fromfile(pack, "<f4")
        assert values.size == 510 * 256 and np.isfinite(values).all(), pack
        save_file({"voice": values.reshape(510, 1, 256)}, folder / "voices" / f"{pack.stem}.safetensors")
    onnx.save(in_floats(graph), args.out / "kokoro-f32.onnx")
    print(f"{args.out}: {sum(item.size for item in tensors.values()):,} numbers in {len(tensors)} tensors, {len(packs)} voices")


if __name__ == "__main__":
    main()
