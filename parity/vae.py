"""Golden values of tiny AutoencoderKL decoders, and the layouts of the published ones.

    python parity/vae.py
"""
import diffusers
import torch
from diffusers import AutoencoderKL

import reference

torch.set_num_threads(1)
ORIGIN = f"diffusers {diffusers.__version__}, torch {torch.__version__}, parity/vae.py"
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

TINY = {
    # Two resolutions, with a shortcut between them; the published SD 1.5 file spells the
    # attention's tensors in the old way.
    "vae-4": dict(latent_channels=4, block_out_channels=[16, 32], layers_per_block=1,
                  norm_num_groups=4, scaling_factor=0.18215),
    "vae-16": dict(latent_channels=16, block_out_channels=[8, 16, 16], layers_per_block=2,
                   norm_num_groups=4, scaling_factor=0.3611, shift_factor=0.1159,
                   use_quant_conv=False, use_post_quant_conv=False),
}

PUBLISHED = {
    "sd15-vae": (dict(latent_channels=4, scaling_factor=0.18215, sample_size=512), True),
    "sdxl-vae": (dict(latent_channels=4, scaling_factor=0.13025, sample_size=1024), False),
    "flux-vae": (dict(latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159,
                      use_quant_conv=False, use_post_quant_conv=False, sample_size=1024), False),
}


def config(settings, depth):
    return dict(down_block_types=["DownEncoderBlock2D"] * depth,
                up_block_types=["UpDecoderBlock2D"] * depth, **settings)


def whole(model):
    """Every field that the model's `config.json` would have."""
    return {key: value for key, value in model.config.items() if not key.startswith("_")}


def old_names(tensors):
    """The tensors as files from before diffusers 0.15 name them."""
    def old(name):
        for new, spelling in OLD.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{spelling}.")
        return name
    return {old(name): shape for name, shape in tensors.items()}


def fill_old(vae):
    """Fills a network from the old names of its tensors."""
    with torch.no_grad():
        for name, tensor in vae.state_dict().items():
            (old,) = old_names({name: None})
            tensor.copy_(torch.from_numpy(reference.fill(old, tensor.shape)))
    return vae.eval()


def tiny(name, settings, old):
    settings = config(settings, len(settings["block_out_channels"]))
    vae = AutoencoderKL(**settings)
    vae = fill_old(vae) if old else reference.filled(vae)
    tensors = reference.manifest(vae)
    taps = reference.Taps()
    last = lambda out: out.permute(0, 2, 3, 1)

    def watch(module, tap):
        module.register_forward_hook(lambda _m, _i, out: taps.__setitem__(tap, last(out)))

    watch(vae.decoder.conv_in, "conv_in")
    watch(vae.decoder.mid_block, "mid")
    for i, block in enumerate(vae.decoder.up_blocks):
        watch(block, f"up{i}")
    latents = reference.inputs("latents", [2, settings["latent_channels"], 6, 5])
    with torch.no_grad():
        z = latents / settings["scaling_factor"] + settings.get("shift_factor", 0.0)
        taps["pixels"] = vae.decode(z).sample
    reference.write(name, ORIGIN, whole(vae), old_names(tensors) if old else tensors, taps)


def published(name, settings, old):
    settings = config(dict(settings, block_out_channels=[128, 256, 512, 512],
                           layers_per_block=2), 4)
    with torch.device("meta"):
        vae = AutoencoderKL(**settings)
    tensors = reference.manifest(vae)
    reference.write_manifest(name, ORIGIN, whole(vae), old_names(tensors) if old else tensors)


for name, settings in TINY.items():
    tiny(name, settings, old=name == "vae-4")
for name, (settings, old) in PUBLISHED.items():
    published(name, settings, old)
