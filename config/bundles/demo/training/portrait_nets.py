"""The animation model's networks in PyTorch, written from the paper (Guo et al. 2024) and the node's own implementation.

Role: F (appearance), M (motion), W (warping), G (SPADE generator) and the three perceptrons, with the published tensor
names. Two things differ while training and are undone by `published()`: the mask convolution has a small kernel, which
is padded to the published 7x7x7, and spectrally normalised convolutions hold their plain weight, for which a u and a v
with u' W v = 1 are made. Batch norms never use their batch: their statistics are set once by `calibrate()`, since
batches here are few pictures.
No inputs or outputs of its own.
"""
import torch
import torch.nn.functional as F
from torch import nn

SPECTRAL = ("conv_0.weight", "conv_1.weight", "conv_s.weight")
MASK = "dense_motion_network.mask.weight"


class Conv3d(nn.Conv3d):
    """A volume of one slice is convolved as the picture that it is: quicker, and oneDNN's bf16 gradients of such volumes are wrong."""

    def forward(self, x):
        if x.shape[2] > 1:
            return super().forward(x)
        weight = self.weight[:, :, self.kernel_size[0] // 2]
        return F.conv2d(x[:, :, 0], weight, self.bias, padding=self.padding[1:])[:, :, None]


class Normed(nn.Module):
    """Convolution, batch norm, ReLU; then halves height and width where `pool`, or doubles them before where `grow`."""

    def __init__(self, inputs, outputs, dims, pool=False, grow=False, slope=0.0):
        super().__init__()
        conv, norm = ((nn.Conv2d, nn.BatchNorm2d), (Conv3d, nn.BatchNorm3d))[dims - 2]
        self.conv, self.norm = conv(inputs, outputs, 3, padding=1), norm(outputs)
        self.pool, self.grow, self.slope = pool, grow, slope
        self.step = (1, 2, 2)[3 - dims:] if dims == 3 else (2, 2)

    def forward(self, x):
        if self.grow:
            x = F.interpolate(x, scale_factor=self.step)
        x = F.leaky_relu(self.norm(self.conv(x)), self.slope)
        if self.pool:
            x = (F.avg_pool3d if len(self.step) == 3 else F.avg_pool2d)(x, self.step)
        return x


class Residual3d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = (Conv3d(channels, channels, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)

    def forward(self, x):
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class Appearance(nn.Module):
    """F: (B, 3, H, W) in 0..1 to a volume (B, channels, depth, h, w)."""

    def __init__(self, p):
        super().__init__()
        width = lambda level: min(p["max_features"], p["block_expansion"] << level)
        self.first = Normed(3, p["block_expansion"], 2)
        levels = range(p["num_down_blocks"])
        self.down_blocks = nn.ModuleList(Normed(width(n), width(n + 1), 2, pool=True) for n in levels)
        self.second = nn.Conv2d(width(len(levels)), p["max_features"], 1)
        self.shape = p["reshape_channel"], p["reshape_depth"]
        self.resblocks_3d = nn.Sequential()
        for block in range(p["num_resblocks"]):
            self.resblocks_3d.add_module(f"3dr{block}", Residual3d(p["reshape_channel"]))

    def forward(self, picture):
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        return self.resblocks_3d(self.second(x).contiguous().unflatten(1, self.shape))


class Encoder(nn.Module):
    def __init__(self, inputs, widths):
        super().__init__()
        sizes = [inputs, *widths[1:]]
        self.down_blocks = nn.ModuleList(Normed(a, b, 3, pool=True) for a, b in zip(sizes, sizes[1:]))


class Decoder(nn.Module):
    def __init__(self, inputs, widths):
        super().__init__()
        deepest = len(widths) - 2
        self.up_blocks = nn.ModuleList(
            Normed(widths[n + 1] * (1 if n == deepest else 2), widths[n], 3, grow=True) for n in range(deepest, -1, -1))
        self.conv, self.norm = Conv3d(widths[0] + inputs, widths[0] + inputs, 3, padding=1), nn.BatchNorm3d(widths[0] + inputs)


class Hourglass(nn.Module):
    def __init__(self, inputs, expansion, blocks, most):
        super().__init__()
        widths = [expansion] + [min(most, expansion << (n + 1)) for n in range(blocks)]
        self.encoder, self.decoder = Encoder(inputs, widths), Decoder(inputs, widths)
        self.outputs = expansion + inputs

    def forward(self, x):
        levels = [x]
        for block in self.encoder.down_blocks:
            levels.append(block(levels[-1]))
        x = levels.pop()
        for block in self.decoder.up_blocks:
            x = torch.cat([block(x), levels.pop()], 1)
        return F.relu(self.decoder.norm(self.decoder.conv(x)))


def grid(depth, height, width, device):
    """Coordinates -1..1 of every voxel, normalised by size - 1: (depth, height, width, 3) as x, y, z."""
    axis = lambda count: torch.linspace(-1, 1, count, device=device) if count > 1 else torch.zeros(1, device=device)
    axes = [axis(count) for count in (depth, height, width)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], -1)


class DenseMotion(nn.Module):
    def __init__(self, p, kernel):
        super().__init__()
        dense = p["dense_motion_params"]
        motions = p["num_kp"] + 1
        self.compress, self.norm = Conv3d(p["reshape_channel"], dense["compress"], 1), nn.BatchNorm3d(dense["compress"])
        self.hourglass = Hourglass(motions * (dense["compress"] + 1), dense["block_expansion"], dense["num_blocks"], dense["max_features"])
        outputs = self.hourglass.outputs
        self.mask = Conv3d(outputs, motions, kernel, padding=[side // 2 for side in kernel])
        self.occlusion = nn.Conv2d(outputs * dense["reshape_depth"], 1, 7, padding=3) if p.get("estimate_occlusion_map") else None

    def forward(self, feature, source, driving):
        x = F.relu(self.norm(self.compress(feature))).float()
        batch, channels, *size = x.shape
        identity = grid(*size, x.device)
        at = lambda points: points[:, :, None, None, None]
        heat = lambda points: torch.exp(-.5 * (identity - at(points)).square().sum(-1) / .01)
        difference = F.pad(heat(driving) - heat(source), (0, 0, 0, 0, 0, 0, 1, 0))
        grids = torch.cat([identity.expand(batch, 1, *size, 3), identity - at(driving) + at(source)], 1)
        motions = grids.shape[1]
        repeated = x[:, None].expand(batch, motions, channels, *size).reshape(batch * motions, channels, *size)
        shifted = F.grid_sample(repeated, grids.reshape(-1, *size, 3), align_corners=False).view(batch, motions, channels, *size)
        prediction = self.hourglass(torch.cat([difference[:, :, None], shifted], 2).flatten(1, 2))
        mask = self.mask(prediction).float().softmax(1)
        # The masks add up to one, so the shifts alone are weighted.
        shifts = torch.einsum("bkdhw,bkc->bdhwc", mask[:, 1:], source - driving)
        occlusion = None if self.occlusion is None else torch.sigmoid(self.occlusion(prediction.flatten(1, 2)).float())
        return identity + shifts, occlusion, prediction


class Warping(nn.Module):
    """W: the volume, moved from the source's key points to the driving ones, laid flat and reduced."""

    def __init__(self, p, kernel=(7, 7, 7)):
        super().__init__()
        channels = p["block_expansion"] << p["num_down_blocks"]
        self.dense_motion_network = DenseMotion(p, kernel)
        self.third = Normed(p["max_features"], channels, 2, slope=.01)
        self.fourth = nn.Conv2d(channels, channels, 1)

    def forward(self, feature, source, driving):
        deformation, occlusion, _ = self.dense_motion_network(feature, source, driving)
        warped = F.grid_sample(feature.float(), deformation, align_corners=False).flatten(1, 2)
        out = self.fourth(self.third(warped))
        return (out if occlusion is None else out * occlusion), deformation, occlusion


class Spade(nn.Module):
    def __init__(self, channels, features, hidden):
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(features, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = (nn.Conv2d(hidden, channels, 3, padding=1) for _ in range(2))

    def forward(self, normed, hidden):
        weight = torch.cat([self.mlp_gamma.weight, self.mlp_beta.weight])
        bias = torch.cat([self.mlp_gamma.bias + 1, self.mlp_beta.bias])
        gamma, beta = F.conv2d(hidden, weight, bias, padding=1).chunk(2, 1)
        return torch.addcmul(beta, normed, gamma)


def shared(spades, features):
    """The first layers of several SPADEs on the same features, as one convolution."""
    layers = [spade.mlp_shared[0] for spade in spades]
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    return F.relu(F.conv2d(features, weight, bias, padding=1)).chunk(len(layers), 1)


class SpadeBlock(nn.Module):
    def __init__(self, inputs, outputs, features, hidden):
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0, self.conv_1 = nn.Conv2d(inputs, middle, 3, padding=1), nn.Conv2d(middle, outputs, 3, padding=1)
        self.norm_0, self.norm_1 = Spade(inputs, features, hidden), Spade(middle, features, hidden)
        self.learned = inputs != outputs
        if self.learned:
            self.conv_s, self.norm_s = nn.Conv2d(inputs, outputs, 1, bias=False), Spade(inputs, features, hidden)

    def spades(self):
        return [self.norm_0, self.norm_1] + ([self.norm_s] if self.learned else [])

    def forward(self, x, hidden):
        normed = F.instance_norm(x)
        inner = self.conv_0(F.leaky_relu(self.norm_0(normed, hidden[0]), .2))
        inner = self.conv_1(F.leaky_relu(self.norm_1(F.instance_norm(inner), hidden[1]), .2))
        return inner + (self.conv_s(self.norm_s(normed, hidden[2])) if self.learned else x)


class Generator(nn.Module):
    """G: W's features to a picture in 0..1."""

    def __init__(self, p):
        super().__init__()
        inputs = min(p["max_features"], p["block_expansion"] << p["num_down_blocks"])
        hidden, out = p.get("nhidden", 128), p.get("out_channels", 64)
        self.active = 6  # blocks that do something
        self.fc = nn.Conv2d(inputs, 2 * inputs, 3, padding=1)
        for block in range(6):
            self.add_module(f"G_middle_{block}", SpadeBlock(2 * inputs, 2 * inputs, inputs, hidden))
        self.up_0, self.up_1 = SpadeBlock(2 * inputs, inputs, inputs, hidden), SpadeBlock(inputs, out, inputs, hidden)
        if p.get("upscale", 1) > 1:
            self.conv_img = nn.Sequential(nn.Conv2d(out, 12, 3, padding=1), nn.PixelShuffle(2))
        else:
            self.conv_img = nn.Conv2d(out, 3, 3, padding=1)

    def forward(self, features):
        if torch.is_autocast_enabled("cpu"):
            features = features.to(torch.bfloat16)  # once, not in every convolution
        x = self.fc(features)
        middle = [getattr(self, f"G_middle_{block}") for block in range(self.active)]
        hidden = shared([spade for block in middle for spade in block.spades()], features)
        for n, block in enumerate(middle):
            x = block(x, hidden[2 * n:2 * n + 2])
        for block in (self.up_0, self.up_1):
            x, features = F.interpolate(x, scale_factor=2), F.interpolate(features, scale_factor=2)
            x = block(x, shared(block.spades(), features))
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, .2)).float())


class LayerNorm(nn.LayerNorm):
    """Over the channels of (B, C, H, W)."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Grn(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.zeros(1, 1, 1, channels)) for _ in range(2))

    def forward(self, x):
        norm = x.float().norm(dim=(1, 2), keepdim=True)
        share = norm / (norm.mean(-1, keepdim=True) + 1e-6)
        return self.gamma * (x * share) + self.beta + x


class ConvNextBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dwconv, self.norm = nn.Conv2d(channels, channels, 7, padding=3, groups=channels), nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1, self.grn, self.pwconv2 = nn.Linear(channels, 4 * channels), Grn(4 * channels), nn.Linear(4 * channels, channels)

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        return x + self.pwconv2(self.grn(F.gelu(self.pwconv1(y)))).permute(0, 3, 1, 2)


class Motion(nn.Module):
    """M's `detector`: pose, canonical key points and expression of a picture, a ConvNeXt V2 with seven heads."""

    HEADS = ("kp", "scale", "pitch", "yaw", "roll", "t", "exp")

    def __init__(self, p):
        super().__init__()
        dims, bins, points = p["dims"], p.get("num_bins", 66), 3 * p["num_kp"]
        self.downsample_layers = nn.ModuleList([nn.Sequential(nn.Conv2d(3, dims[0], 4, stride=4), LayerNorm(dims[0], eps=1e-6))])
        for a, b in zip(dims, dims[1:]):
            self.downsample_layers.append(nn.Sequential(LayerNorm(a, eps=1e-6), nn.Conv2d(a, b, 2, stride=2)))
        self.stages = nn.ModuleList(nn.Sequential(*(ConvNextBlock(c) for _ in range(n))) for n, c in zip(p["depths"], dims))
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6)
        for name, outputs in zip(self.HEADS, (points, 1, bins, bins, bins, 3, points)):
            self.add_module(f"fc_{name}", nn.Linear(dims[-1], outputs))

    def maps(self, picture):
        """What every stage gives."""
        maps = [picture]
        for down, stage in zip(self.downsample_layers, self.stages):
            maps.append(stage(down(maps[-1])))
        return maps[1:]

    def forward(self, picture):
        return self.answers(self.maps(picture)[-1])

    def answers(self, last):
        x = self.norm(last.mean((-2, -1)))
        with torch.autocast("cpu", enabled=False):  # a sixtieth of a size is too coarse
            return {name: getattr(self, f"fc_{name}")(x.float()) for name in self.HEADS}


class Perceptron(nn.Module):
    def __init__(self, p):
        super().__init__()
        sizes, layers = [p["input_size"], *p["hidden_sizes"], p["output_size"]], []
        for a, b in zip(sizes, sizes[1:]):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.mlp(x)


def degrees(bins):
    """The angle that a distribution over bins means."""
    return (bins.softmax(1) * torch.arange(bins.shape[1], device=bins.device)).sum(1) * 3 - 97.5


def rotation(angles):
    """(B, 3) pitch, yaw, roll in degrees to (R_z R_y R_x)', (B, 3, 3)."""
    (sx, sy, sz), (cx, cy, cz) = (f(angles.deg2rad()).unbind(1) for f in (torch.sin, torch.cos))
    rows = [cz * cy, sz * cy, -sy, cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx,
            cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx]
    return torch.stack(rows, 1).view(-1, 3, 3)


def place(canonical, angles, expression, size, shift):
    """x = s (x_c R + delta) + t, without t_z: (B, K, 3)."""
    x = size[:, None, None] * (canonical @ rotation(angles) + expression)
    return x + F.pad(shift, (0, 3 - shift.shape[1]))[:, None] * x.new_tensor([1., 1., 0.])


@torch.no_grad()
def calibrate(modules, run):
    """Sets the batch norms' statistics from the batches that `run` sends through, then fixes them."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train(), norm.reset_running_stats()
        norm.momentum = None
    run()
    for norm in norms:
        norm.eval()


def published(module):
    """The state of `module` under published names and shapes."""
    state = {name: tensor.detach().float() if tensor.is_floating_point() else tensor for name, tensor in module.state_dict().items()}
    if MASK in state:
        weight = state[MASK]
        pads = [(7 - side) // 2 for side in reversed(weight.shape[2:]) for _ in range(2)]
        state[MASK] = F.pad(weight, pads)
    if isinstance(module, Generator):
        for name in [name for name in state if name.endswith(SPECTRAL)]:
            weight = state.pop(name)
            matrix = weight.flatten(1)
            left, values, right = torch.linalg.svd(matrix, full_matrices=False)
            # Loaders divide by u' W v; a u and a v of the same length make that 1.
            length = values[0].rsqrt()
            state[name + "_orig"], state[name + "_u"], state[name + "_v"] = weight, left[:, 0] * length, right[0] * length
    return state


def unpublished(state):
    """The reverse of `published()` for spectral norms; masks keep the published kernel."""
    state = dict(state)
    for name in [name for name in state if name.endswith("_orig")]:
        base = name.removesuffix("_orig")
        weight = state.pop(name).float()
        u, v = state.pop(base + "_u").float(), state.pop(base + "_v").float()
        state[base] = weight / (u @ weight.flatten(1) @ v)
    return state
