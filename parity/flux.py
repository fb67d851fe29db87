"""Golden values of FLUX.1: diffusers' FluxTransformer2DModel in tiny dev and schnell forms.

    parity/.venv/bin/python parity/flux.py
"""
import diffusers
import torch
from diffusers import FluxTransformer2DModel

import reference

torch.set_num_threads(1)

ORIGIN = f"diffusers {diffusers.__version__} FluxTransformer2DModel, torch {torch.__version__}, f32 CPU; parity/flux.py"
CONFIG = dict(patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16,
              num_attention_heads=3, joint_attention_dim=24, pooled_projection_dim=20, axes_dims_rope=(4, 6, 6))
HEIGHT, WIDTH, TEXT = 6, 8, 5


def pack(x):
    """[b, c, h, w] -> [b, h/2 * w/2, 4 c], features in the order channel, line, column."""
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def unpack(x, h, w):
    b, _, c = x.shape
    return x.reshape(b, h // 2, w // 2, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, h, w)


def image_ids(h, w):
    ids = torch.zeros(h // 2, w // 2, 3)
    ids[..., 1] += torch.arange(h // 2)[:, None]
    ids[..., 2] += torch.arange(w // 2)[None, :]
    return ids.reshape(-1, 3)


def watch_blocks(model, taps):
    def pair(name):
        def hook(_module, _inputs, out):
            taps[f"{name}.text"], taps[f"{name}.image"] = out
        return hook
    for i, block in enumerate(model.transformer_blocks):
        block.register_forward_hook(pair(f"double.{i}"))
    for i, block in enumerate(model.single_transformer_blocks):
        block.register_forward_hook(pair(f"single.{i}"))


def network(name, guided):
    config = dict(CONFIG, guidance_embeds=guided)
    model = reference.filled(FluxTransformer2DModel(**config))
    taps = reference.Taps()
    taps.watch(model.time_text_embed, "condition")
    watch_blocks(model, taps)
    # Two rows with different texts: a row must not see its neighbour. Small, so that the eps of
    # the norms shows.
    x = 0.1 * reference.inputs("x", (2, 4, HEIGHT, WIDTH))
    text = 0.1 * reference.inputs("text", (2, TEXT, CONFIG["joint_attention_dim"]))
    pooled = reference.inputs("pooled", (2, CONFIG["pooled_projection_dim"]))
    with torch.no_grad():
        out = model(hidden_states=pack(x), encoder_hidden_states=text, pooled_projections=pooled,
                    timestep=torch.full([2], 0.625), img_ids=image_ids(HEIGHT, WIDTH),
                    txt_ids=torch.zeros(TEXT, 3), guidance=torch.full([2], 3.5) if guided else None).sample
    taps["out"] = unpack(out, HEIGHT, WIDTH)
    config["axes_dims_rope"] = list(config["axes_dims_rope"])
    reference.write(name, ORIGIN, config, reference.manifest(model), taps)


def published(name, guided):
    """The configuration of black-forest-labs' repositories, which is the class's default."""
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=guided)
    config = {key: model.config[key] for key in [*CONFIG, "guidance_embeds"]}
    reference.write_manifest(name, ORIGIN, config, reference.manifest(model))


if __name__ == "__main__":
    network("flux-dev", True)
    network("flux-schnell", False)
    published("flux-dev-transformer", True)
    published("flux-schnell-transformer", False)
