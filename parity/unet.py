"""Golden values of tiny UNet2DConditionModels, and the layouts of the published ones.

    python parity/unet.py
"""
import diffusers
import torch
from diffusers import UNet2DConditionModel

import reference

torch.set_num_threads(1)
ORIGIN = f"diffusers {diffusers.__version__}, torch {torch.__version__}, parity/unet.py"
TIME = 436.5  # 1000 * 0.4375 - 1

# `attention_head_dim` is the number of heads, so it is no divisor of both widths by chance: read
# as a dimension, 8 would be 2 and 4 heads.
TINY = {
    "unet-sd15": dict(
        block_out_channels=[16, 32, 32], layers_per_block=2, cross_attention_dim=12,
        attention_head_dim=8, norm_num_groups=4,
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
    "unet-sdxl": dict(
        block_out_channels=[16, 24, 32], layers_per_block=1, cross_attention_dim=20,
        attention_head_dim=[1, 2, 4], norm_num_groups=8, use_linear_projection=True,
        transformer_layers_per_block=[1, 1, 2],
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=10 + 6 * 8),
}

PUBLISHED = {
    "sd15-unet": dict(
        block_out_channels=[320, 640, 1280, 1280], cross_attention_dim=768, attention_head_dim=8,
        down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3),
    "sdxl-unet": dict(
        block_out_channels=[320, 640, 1280], cross_attention_dim=2048,
        attention_head_dim=[5, 10, 20], use_linear_projection=True,
        transformer_layers_per_block=[1, 2, 10],
        down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
        up_block_types=["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
        addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816),
}


def complete(settings):
    return dict(dict(in_channels=4, out_channels=4, layers_per_block=2, norm_num_groups=32,
                     act_fn="silu", norm_eps=1e-5, flip_sin_to_cos=True, freq_shift=0,
                     mid_block_scale_factor=1), **settings)


def whole(model):
    """Every field that the model's `config.json` would have."""
    return {key: value for key, value in model.config.items() if not key.startswith("_")}


def tiny(name, settings):
    settings = complete(settings)
    unet = reference.filled(UNet2DConditionModel(**settings))
    taps = reference.Taps()

    def watch(module, tap):
        def hook(_module, _inputs, out):
            out = out[0] if isinstance(out, tuple) else out
            taps[tap] = out.permute(0, 2, 3, 1)
        module.register_forward_hook(hook)

    watch(unet.conv_in, "conv_in")
    for i, block in enumerate(unet.down_blocks):
        watch(block, f"down{i}")
    watch(unet.mid_block, "mid")
    for i, block in enumerate(unet.up_blocks):
        watch(block, f"up{i}")
    # An odd number of lines and columns at the coarsest resolution.
    x = reference.inputs("x", [2, 4, 10, 6])
    words = reference.inputs("words", [2, 7, settings["cross_attention_dim"]])
    added = None
    if settings.get("addition_embed_type"):
        pooled = reference.inputs("pooled", [2, 10])
        sizes = torch.tensor([[64.0, 48, 0, 0, 64, 48], [1024, 512, 8, 16, 128, 256]])
        added = {"text_embeds": pooled, "time_ids": sizes}
    with torch.no_grad():
        taps["out"] = unet(x, torch.tensor(TIME), words, added_cond_kwargs=added).sample
    reference.write(name, ORIGIN, whole(unet), reference.manifest(unet), taps)


def published(name, settings):
    settings = complete(settings)
    with torch.device("meta"):
        unet = UNet2DConditionModel(**settings)
    reference.write_manifest(name, ORIGIN, whole(unet), reference.manifest(unet))


for name, settings in TINY.items():
    tiny(name, settings)
for name, settings in PUBLISHED.items():
    published(name, settings)
