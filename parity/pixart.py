"""Golden values of PixArt: diffusers' PixArtTransformer2DModel in tiny Sigma and Alpha forms.

    parity/.venv/bin/python parity/pixart.py
"""
import diffusers
import torch
from diffusers import PixArtTransformer2DModel

import reference

torch.set_num_threads(1)

ORIGIN = f"diffusers {diffusers.__version__} PixArtTransformer2DModel, torch {torch.__version__}, f32 CPU; parity/pixart.py"
CONFIG = dict(num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=8, num_layers=2,
              cross_attention_dim=24, sample_size=8, patch_size=2, caption_channels=20, interpolation_scale=2,
              use_additional_conditions=False, norm_eps=1e-3)
# Neither as large nor as square as sample_size, so that positions are interpolated.
HEIGHT, WIDTH, TEXT, REAL = 8, 12, 6, [6, 2]


def network(name, sized):
    config = dict(CONFIG, use_additional_conditions=sized)
    model = reference.filled(PixArtTransformer2DModel(**config))
    taps = reference.Taps()
    taps.watch(model.pos_embed, "patches")
    taps.watch(model.adaln_single, "modulation")
    # Of the first row, all of whose tokens are real.
    model.caption_projection.register_forward_hook(lambda _m, _i, out: taps.__setitem__("caption", out[0]))
    for i, block in enumerate(model.transformer_blocks):
        taps.watch(block, f"block.{i}")
    x = 0.1 * reference.inputs("x", (2, 4, HEIGHT, WIDTH))
    text = reference.inputs("text", (2, TEXT, CONFIG["caption_channels"]))
    mask = torch.tensor([[float(i < real) for i in range(TEXT)] for real in REAL])
    size = torch.tensor([[8.0 * HEIGHT, 8.0 * WIDTH]] * 2)
    sizes = {"resolution": size, "aspect_ratio": torch.tensor([[HEIGHT / WIDTH]] * 2)} if sized else {}
    with torch.no_grad():
        out = model(x, encoder_hidden_states=text, encoder_attention_mask=mask, timestep=torch.full([2], 624),
                    added_cond_kwargs=sizes or {"resolution": None, "aspect_ratio": None}).sample
    taps["out"] = out[:, :4]
    reference.write(name, ORIGIN, config, reference.manifest(model), taps)


def published():
    """The configuration of PixArt-alpha/PixArt-Sigma-XL-2-1024-MS."""
    config = dict(num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8, num_layers=28,
                  cross_attention_dim=1152, sample_size=128, patch_size=2, caption_channels=4096,
                  interpolation_scale=2, use_additional_conditions=False, norm_eps=1e-6)
    with torch.device("meta"):
        model = PixArtTransformer2DModel(**config)
    reference.write_manifest("pixart-sigma-transformer", ORIGIN, config, reference.manifest(model))


if __name__ == "__main__":
    network("pixart-sigma", False)
    network("pixart-alpha", True)
    published()
