"""Golden values of SiT and DiT in tiny forms, and the published sizes' manifests.

    parity/.venv/bin/python parity/sit.py

Neither is on PyPI, so the network is written here from the papers (Peebles and Xie, arXiv
2212.09748; Ma et al., arXiv 2401.08740) on timm's patch embedding, attention and MLP, in the
published key layout.
"""
import math

import timm
import torch
from timm.layers import Attention, Mlp, PatchEmbed
from torch import nn

import reference

torch.set_num_threads(1)

ORIGIN = f"timm {timm.__version__}, torch {torch.__version__}, f32 CPU; parity/sit.py"
TIME_FEATURES = 256
CLASSES = 1000


def modulated(x, shift, scale):
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


def modulation(hidden, parts):
    return nn.Sequential(nn.SiLU(), nn.Linear(hidden, parts * hidden))


def bare_norm(hidden):
    return nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)


class TimeEmbedder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_FEATURES, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, t):
        half = TIME_FEATURES // 2
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1))


class ClassEmbedder(nn.Module):
    def __init__(self, classes, hidden):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, hidden)


class Block(nn.Module):
    def __init__(self, hidden, heads, mlp_ratio):
        super().__init__()
        self.norm1, self.norm2 = bare_norm(hidden), bare_norm(hidden)
        self.attn = Attention(hidden, num_heads=heads, qkv_bias=True)
        self.mlp = Mlp(hidden, mlp_ratio * hidden, act_layer=lambda: nn.GELU(approximate="tanh"))
        self.adaLN_modulation = modulation(hidden, 6)

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate1.unsqueeze(1) * self.attn(modulated(self.norm1(x), shift1, scale1))
        return x + gate2.unsqueeze(1) * self.mlp(modulated(self.norm2(x), shift2, scale2))


class FinalLayer(nn.Module):
    def __init__(self, hidden, outputs):
        super().__init__()
        self.norm_final = bare_norm(hidden)
        self.linear = nn.Linear(hidden, outputs)
        self.adaLN_modulation = modulation(hidden, 2)

    def forward(self, x, c):
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulated(self.norm_final(x), shift, scale))


class Transformer(nn.Module):
    """`config` is a `SitConfig` as its `config.json` has it."""

    def __init__(self, config):
        super().__init__()
        size, patch, hidden = config["input_size"], config["patch"], config["hidden"]
        self.patch, self.out_channels = patch, config["channels"] * (2 if config["learn_sigma"] else 1)
        self.x_embedder = PatchEmbed(size, patch, config["channels"], hidden, bias=True)
        self.t_embedder = TimeEmbedder(hidden)
        self.y_embedder = ClassEmbedder(config["classes"], hidden)
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // patch) ** 2, hidden), requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(hidden, config["heads"], config["mlp_ratio"]) for _ in range(config["depth"]))
        self.final_layer = FinalLayer(hidden, patch * patch * self.out_channels)

    def forward(self, x, t, y):
        b, _, h, w = x.shape
        x = self.x_embedder(x) + self.pos_embed
        c = self.t_embedder(t) + self.y_embedder.embedding_table(y)
        for block in self.blocks:
            x = block(x, c)
        x = self.final_layer(x, c).reshape(b, h // self.patch, w // self.patch, self.patch, self.patch, -1)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(b, self.out_channels, h, w)


TINY = dict(input_size=8, patch=2, channels=4, hidden=32, depth=2, heads=2, mlp_ratio=4, classes=5,
            learn_sigma=True)
LEVEL = 0.625


def tiny(name, time):
    config = dict(TINY, time=time)
    model = reference.filled(Transformer(config))
    taps = reference.Taps()
    for i, block in enumerate(model.blocks):
        taps.watch(block, f"block.{i}")
    # Small latents, so that the eps of the norms shows. Class 5 is no class.
    x = 0.1 * reference.inputs("x", (2, 4, 8, 8))
    t = torch.full([2], {"data_at_one": 1 - LEVEL, "training_index": 1000 * LEVEL - 1}[time])
    with torch.no_grad():
        out = model(x, t, torch.tensor([3, 5]))[:, :4]
    # SiT predicts x0 - noise.
    taps["out"] = -out if time == "data_at_one" else out
    reference.write(name, ORIGIN, config, reference.manifest(model), taps)


SIZES = {"b": dict(hidden=768, depth=12, heads=12), "l": dict(hidden=1024, depth=24, heads=16),
         "xl": dict(hidden=1152, depth=28, heads=16)}


def published(size, pixels):
    """SiT and DiT of one size have the same tensors."""
    config = {**TINY, "input_size": pixels // 8, "classes": CLASSES, **SIZES[size]}
    with torch.device("meta"):
        model = Transformer(config)
    reference.write_manifest(f"sit-{size}-2-{pixels}", ORIGIN, config, reference.manifest(model))


if __name__ == "__main__":
    tiny("sit", "data_at_one")
    tiny("dit", "training_index")
    for size in SIZES:
        for pixels in (256, 512):
            published(size, pixels)
