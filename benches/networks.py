"""The networks that are timed, in PyTorch and in diffusers and transformers where these have them.

Weights and inputs are generated from names (`parity/reference.py`), as on our side
(`crates/noisesearch/examples/bench`). A subject is a module, what it is called with, and what of
its output is compared with ours.
"""
import json
import os
import sys
from dataclasses import dataclass, field

import torch
from torch import nn

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
# The lab first: both have a file unet.py.
sys.path[:0] = [os.path.join(ROOT, folder) for folder in ("lab/scenes", "parity")]

import reference

# Where every network is asked. bf16 holds it, and the times and guidance that are made of it.
LEVEL, GUIDANCE = 0.5, 4.0


@dataclass
class Subject:
    module: nn.Module
    arguments: list
    keywords: dict = field(default_factory=dict)
    result: callable = lambda out: out


def manifest(name):
    with open(f"{reference.MANIFESTS}/{name}.json") as file:
        return json.load(file)["config"]


def lab_weights(name):
    from safetensors.torch import load_file

    return load_file(os.path.join(ROOT, f"lab/weights/{name}.safetensors"))


class LikeNext(nn.Module):
    """Casts sinusoids, which are always made in f32, to the format of the layer after it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.to(self.layer.weight.dtype))


def sit(config, batch):
    import sit as published

    time, sign = {"data_at_one": (1 - LEVEL, -1), "noise_at_one": (LEVEL, 1)}[config["time"]]
    model = reference.filled(published.Transformer(config))
    model.t_embedder.mlp[0] = LikeNext(model.t_embedder.mlp[0])
    channels, size = config["channels"], config["input_size"]
    x = reference.inputs("x", (batch, channels, size, size))
    return Subject(model, [x, torch.full((batch,), time), torch.full((batch,), 3)],
                   result=lambda out: sign * out[:, :channels])


def flux(double, single, side):
    from diffusers import FluxTransformer2DModel

    config = {**manifest("flux-dev-transformer"), "num_layers": double, "num_single_layers": single}
    model = reference.filled(FluxTransformer2DModel.from_config(config))
    half, channels = side // 2, config["in_channels"]
    x = reference.inputs("x", (1, channels // 4, side, side))
    patches = x.reshape(1, channels // 4, half, 2, half, 2).permute(0, 2, 4, 1, 3, 5)
    lines, columns = torch.meshgrid(torch.arange(half), torch.arange(half), indexing="ij")
    places = torch.stack([torch.zeros_like(lines), lines, columns], dim=-1).reshape(-1, 3)

    def image(out):
        out = out.sample.reshape(1, half, half, channels // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return out.reshape(1, channels // 4, side, side)

    return Subject(model, [], dict(
        hidden_states=patches.reshape(1, half * half, channels),
        encoder_hidden_states=reference.inputs("text", (1, 512, config["joint_attention_dim"])),
        pooled_projections=reference.inputs("pooled", (1, config["pooled_projection_dim"])),
        timestep=torch.tensor([LEVEL]), guidance=torch.tensor([GUIDANCE]),
        img_ids=places.float(), txt_ids=torch.zeros(512, 3)), image)


def clip(batch):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = manifest("clip-vit-l-14")
    sizes = {**config["vision_config"], "projection_dim": config["projection_dim"]}
    model = reference.filled(CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes)))
    return Subject(model, [reference.inputs("x", (batch, 3, 224, 224))],
                   result=lambda out: out.image_embeds)


class Layer(nn.Module):
    def __init__(self, channels, normed):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(32, channels)
        self.normed = normed

    def forward(self, x):
        y = self.conv(x)
        return nn.functional.silu(self.norm(y)) if self.normed else y


def conv(channels, side, batch, norm):
    x = reference.inputs("x", (batch, channels, side, side))
    # Our images have their channels last.
    return Subject(reference.filled(Layer(channels, norm)), [x],
                   result=lambda y: y.permute(0, 2, 3, 1))


def sd15():
    from diffusers import UNet2DConditionModel

    return reference.filled(UNet2DConditionModel.from_config(manifest("sd15-unet")))


def unet(batch, side):
    x, words = reference.inputs("x", (batch, 4, side, side)), reference.inputs("words", (77, 768))
    return Subject(sd15(), [x, torch.tensor(round(1000 * LEVEL - 1)), words.expand(batch, 77, 768)],
                   result=lambda out: out.sample)


def autoencoder():
    """The layers of Stable Diffusion 1.5 and XL are the same."""
    from diffusers import AutoencoderKL

    return reference.filled(AutoencoderKL.from_config(manifest("sdxl-vae")))


class Decode(nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, x):
        return self.vae.decode(x / self.vae.config.scaling_factor).sample


def vae(side):
    return Subject(Decode(autoencoder()), [reference.inputs("x", (1, 4, side, side))])


class Scenes(nn.Module):
    """The lab's scenes model, guided by `guidance`."""

    PROMPT = [2, 9, 17, 23, 1, 11, 18]  # two red circles and a blue square

    def __init__(self, guidance=2.0):
        super().__init__()
        from unet import TOKENS, UNet

        self.net, self.guidance = UNet().eval(), guidance
        self.net.load_state_dict(lab_weights("scenes"))
        tokens = torch.tensor([self.PROMPT + [0] * (TOKENS - len(self.PROMPT)), [0] * TOKENS])
        with torch.no_grad():
            self.words, self.pooled = self.net.text(tokens)

    def forward(self, x, level):
        """x [b, 3, 64, 64] -> velocity noise - x0."""
        b = len(x)
        words, pooled = (c.repeat_interleave(b, dim=0).to(x.dtype) for c in (self.words, self.pooled))
        levels = torch.full((2 * b,), level, dtype=x.dtype)
        v = self.net.denoise(torch.cat([x, x]), levels, words, pooled)
        with_words, without = v.chunk(2)
        return without + self.guidance * (with_words - without)


def scenes(batch):
    x = reference.inputs("x", (batch, 3, 64, 64))
    return Subject(Scenes(), [x, LEVEL], result=lambda v: x - LEVEL * v.float())


SUBJECTS = {made.__name__: made for made in (sit, flux, clip, conv, unet, vae, scenes)}
