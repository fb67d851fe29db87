"""Golden values of files in the layouts of the models' authors, as diffusers converts them.

The names of an original file follow from those of diffusers by the rules below; that they are
right is shown by diffusers' own conversion, which must give every tensor of the model back. The
golden file holds the original names and shapes, and two values of every converted tensor. The
manifests hold the same for the published sizes, without values.

    parity/.venv/bin/python parity/single_file.py
"""
import inspect
import json
import os
import re

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL, FluxTransformer2DModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils as conversion
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from reference import GOLDENS, fill

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
ORIGIN = (f"diffusers {diffusers.__version__} loaders.single_file_utils, "
          f"transformers {transformers.__version__}; parity/single_file.py")


def renamed(name, table):
    for old, new in table:
        if name.startswith(old):
            return new + name[len(old):]
    return name


RESIDUAL = [("norm1.", "in_layers.0."), ("conv1.", "in_layers.2."),
            ("time_emb_proj.", "emb_layers.1."), ("norm2.", "out_layers.0."),
            ("conv2.", "out_layers.3."), ("conv_shortcut.", "skip_connection.")]
UNET = [("time_embedding.linear_1.", "time_embed.0."), ("time_embedding.linear_2.", "time_embed.2."),
        ("add_embedding.linear_1.", "label_emb.0.0."),
        ("add_embedding.linear_2.", "label_emb.0.2."), ("conv_in.", "input_blocks.0.0."),
        ("conv_norm_out.", "out.0."), ("conv_out.", "out.2.")]


def unet(names):
    """Original names of the tensors of a UNet2DConditionModel with two layers a block."""
    result = {}
    for name in names:
        if m := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
            way, block, kind, layer, rest = m.groups()
            at = 3 * int(block) + int(layer) + (way == "down")
            rest = renamed(rest, RESIDUAL) if kind == "resnets" else rest
            side = "input" if way == "down" else "output"
            new = f"{side}_blocks.{at}.{int(kind == 'attentions')}.{rest}"
        elif m := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", name):
            new = f"input_blocks.{3 * int(m[1]) + 3}.0.op.{m[2]}"
        elif m := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.(.*)", name):
            attended = any(n.startswith(f"up_blocks.{m[1]}.attentions.") for n in names)
            new = f"output_blocks.{3 * int(m[1]) + 2}.{1 + attended}.{m[2]}"
        elif m := re.match(r"mid_block\.resnets\.(\d)\.(.*)", name):
            new = f"middle_block.{2 * int(m[1])}.{renamed(m[2], RESIDUAL)}"
        elif m := re.match(r"mid_block\.attentions\.0\.(.*)", name):
            new = f"middle_block.1.{m[1]}"
        else:
            new = renamed(name, UNET)
        result[name] = new
    return result


ATTENTION = [("group_norm.", "norm."), ("to_q.", "q."), ("to_k.", "k."), ("to_v.", "v."),
             ("to_out.0.", "proj_out.")]


def vae(names):
    """Original names of the tensors of an AutoencoderKL of four levels."""
    result = {}
    for name in names:
        new = name.replace("conv_norm_out.", "norm_out.").replace("conv_shortcut.", "nin_shortcut.")
        if m := re.match(r"(\w+)\.mid_block\.attentions\.0\.(.*)", new):
            new = f"{m[1]}.mid.attn_1.{renamed(m[2], ATTENTION)}"
        elif m := re.match(r"(\w+)\.mid_block\.resnets\.(\d)\.(.*)", new):
            new = f"{m[1]}.mid.block_{int(m[2]) + 1}.{m[3]}"
        elif m := re.match(r"(\w+)\.(down|up)_blocks\.(\d)\.(.*)", new):
            level = int(m[3]) if m[2] == "down" else 3 - int(m[3])
            rest = re.sub(r"(down|up)samplers\.0\.", r"\1sample.", m[4])
            new = f"{m[1]}.{m[2]}.{level}.{rest.replace('resnets.', 'block.')}"
        result[name] = new
    return result


def vae_shape(name, shape):
    """The projections of the attention are 1x1 convolutions in the original."""
    convolution = ".mid.attn_1." in name and name.endswith("weight") and ".norm." not in name
    return [*shape, 1, 1] if convolution else shape


CLIP_G = [("text_model.embeddings.token_embedding.", "token_embedding."),
          ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
          ("text_model.final_layer_norm.", "ln_final."), ("text_projection.weight", "text_projection")]
CLIP_G_BLOCK = [("layer_norm1.", "ln_1."), ("layer_norm2.", "ln_2."), ("mlp.fc1.", "mlp.c_fc."),
                ("mlp.fc2.", "mlp.c_proj."), ("self_attn.out_proj.", "attn.out_proj.")]


def open_clip(shapes):
    """Names and shapes of OpenCLIP's text encoder."""
    result = {}
    for name, shape in shapes.items():
        if m := re.match(r"text_model\.encoder\.layers\.(\d+)\.(.*)", name):
            block = f"transformer.resblocks.{m[1]}."
            if q := re.match(r"self_attn\.[qkv]_proj\.(.*)", m[2]):
                result[f"{block}attn.in_proj_{q[1]}"] = [3 * shape[0], *shape[1:]]
            else:
                result[block + renamed(m[2], CLIP_G_BLOCK)] = shape
        else:
            new = renamed(name, CLIP_G)
            result[new] = shape[::-1] if new == "text_projection" else shape
    return result | {"logit_scale": []}


FLUX = [("x_embedder.", "img_in."), ("context_embedder.", "txt_in."),
        ("time_text_embed.timestep_embedder.linear_1.", "time_in.in_layer."),
        ("time_text_embed.timestep_embedder.linear_2.", "time_in.out_layer."),
        ("time_text_embed.text_embedder.linear_1.", "vector_in.in_layer."),
        ("time_text_embed.text_embedder.linear_2.", "vector_in.out_layer."),
        ("time_text_embed.guidance_embedder.linear_1.", "guidance_in.in_layer."),
        ("time_text_embed.guidance_embedder.linear_2.", "guidance_in.out_layer."),
        ("proj_out.", "final_layer.linear."), ("norm_out.linear.", "final_layer.adaLN_modulation.1.")]
FLUX_DOUBLE = [("norm1.linear.", "img_mod.lin."), ("norm1_context.linear.", "txt_mod.lin."),
               ("attn.norm_q.weight", "img_attn.norm.query_norm.scale"),
               ("attn.norm_k.weight", "img_attn.norm.key_norm.scale"),
               ("attn.norm_added_q.weight", "txt_attn.norm.query_norm.scale"),
               ("attn.norm_added_k.weight", "txt_attn.norm.key_norm.scale"),
               ("attn.to_out.0.", "img_attn.proj."), ("attn.to_add_out.", "txt_attn.proj."),
               ("ff.net.0.proj.", "img_mlp.0."), ("ff.net.2.", "img_mlp.2."),
               ("ff_context.net.0.proj.", "txt_mlp.0."), ("ff_context.net.2.", "txt_mlp.2.")]
FLUX_SINGLE = [("norm.linear.", "modulation.lin."), ("proj_out.", "linear2."),
               ("attn.norm_q.weight", "norm.query_norm.scale"),
               ("attn.norm_k.weight", "norm.key_norm.scale")]


def flux(shapes):
    """Names and shapes of the original FLUX.1."""
    result = {}
    for name, shape in shapes.items():
        if m := re.match(r"transformer_blocks\.(\d+)\.(.*)", name):
            block, rest = f"double_blocks.{m[1]}.", m[2]
            if q := re.match(r"attn\.(?:to_[qkv]|(add)_[qkv]_proj)\.(.*)", rest):
                side = "txt" if q[1] else "img"
                result[f"{block}{side}_attn.qkv.{q[2]}"] = [3 * shape[0], *shape[1:]]
            else:
                result[block + renamed(rest, FLUX_DOUBLE)] = shape
        elif m := re.match(r"single_transformer_blocks\.(\d+)\.(.*)", name):
            block, rest = f"single_blocks.{m[1]}.", m[2]
            if q := re.match(r"(?:attn\.to_[qkv]|proj_mlp)\.(.*)", rest):
                width = shape[0] // 4 if rest.startswith("proj_mlp") else shape[0]
                result[f"{block}linear1.{q[1]}"] = [7 * width, *shape[1:]]
            else:
                result[block + renamed(rest, FLUX_SINGLE)] = shape
        else:
            result[renamed(name, FLUX)] = shape
    return result


def shapes_of(module):
    """Names and shapes of a module's floating tensors."""
    return {n: list(t.shape) for n, t in module.state_dict().items() if t.is_floating_point()}


def stable_diffusion(parts, xl):
    """Names and shapes of one file, from those of its components."""
    file = {}
    for name, new in unet(list(parts["unet"])).items():
        file["model.diffusion_model." + new] = parts["unet"][name]
    for name, new in vae(list(parts["vae"])).items():
        file["first_stage_model." + new] = vae_shape(new, parts["vae"][name])
    clip = "conditioner.embedders.0.transformer." if xl else "cond_stage_model.transformer."
    file |= {clip + name: shape for name, shape in parts["text_encoder"].items()}
    if xl:
        second = open_clip(parts["text_encoder_2"])
        file |= {"conditioner.embedders.1.model." + name: shape for name, shape in second.items()}
    # What the published files hold besides.
    extras = {"denoiser.sigmas": [5]} if xl else {"alphas_cumprod": [5], "betas": [5],
                                                 "model_ema.decay": []}
    return file | extras


def converted(file, modules, xl):
    """Components of a Stable Diffusion file, as diffusers converts it."""
    config = lambda name: dict(modules[name].config)
    clip = "conditioner.embedders.0.transformer." if xl else "cond_stage_model.transformer."
    parts = {
        "unet": conversion.convert_ldm_unet_checkpoint(dict(file), config("unet")),
        "vae": conversion.convert_ldm_vae_checkpoint(dict(file), config("vae")),
        "text_encoder": {k[len(clip):]: v for k, v in file.items() if k.startswith(clip)},
    }
    if xl:
        prefix = "conditioner.embedders.1.model."
        second = modules["text_encoder_2"]
        parts["text_encoder_2"] = conversion.convert_open_clip_checkpoint(second, dict(file), prefix)
    return parts


def flux_converted(file, width):
    """The conversion, with the width of this model in the place of the published one."""
    text = inspect.getsource(conversion.convert_flux_transformer_checkpoint_to_diffusers)
    scope = {"torch": torch}
    exec(text.replace("inner_dim = 3072", f"inner_dim = {width}"), scope)
    return {"transformer": scope["convert_flux_transformer_checkpoint_to_diffusers"](dict(file))}


def tensors(names, make):
    return {name: torch.from_numpy(np.asarray(make(name, shape))) for name, shape in names.items()}


def compare(parts, wanted):
    """Every tensor of every component, in its shape, and nothing else."""
    for component, shapes in wanted.items():
        got = {name: list(tensor.shape) for name, tensor in parts[component].items()}
        assert got == shapes, (component, set(got.items()) ^ set(shapes.items()))


def rows(items):
    return ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}"
                      for k, v in sorted(items.items()))


def values(tensor):
    """Shape, and the elements at a third and at the end."""
    flat = tensor.contiguous().flatten()
    picked = [flat[len(flat) // 3], flat[-1]]
    return [list(tensor.shape), [float(f"{v:.8g}") for v in picked]]


def write(folder, name, sections):
    path = os.path.join(HERE, folder, name + ".json")
    body = ",\n".join(f"{json.dumps(k)}: {{\n{rows(v)}\n}}" for k, v in sections.items())
    with open(path, "w") as file:
        file.write(f'{{\n"origin": {json.dumps(ORIGIN)},\n{body}\n}}\n')
    print(path, os.path.getsize(path), "bytes")


def golden(name, file, convert, wanted):
    """Fills a file, converts it, and writes what came out."""
    parts = convert(tensors(file, fill))
    compare(parts, wanted)
    sections = {"tensors": file}
    for component, converted_tensors in parts.items():
        sections[component] = {n: values(t) for n, t in converted_tensors.items()}
    write("goldens", name, sections)


def tiny_unet(xl):
    more = dict(addition_embed_type="text_time", addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=30, use_linear_projection=True,
                transformer_layers_per_block=[1, 2]) if xl else {}
    kinds = ("DownBlock2D", "CrossAttnDownBlock2D") if xl else ("CrossAttnDownBlock2D", "DownBlock2D")
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 8), layers_per_block=2, norm_num_groups=2,
        down_block_types=kinds, up_block_types=[k.replace("Down", "Up") for k in kinds[::-1]],
        cross_attention_dim=6, attention_head_dim=2, **more)


def tiny_vae(latents=4, quant=True):
    return AutoencoderKL(
        block_out_channels=(2, 4, 4, 8), norm_num_groups=2, latent_channels=latents,
        layers_per_block=1, down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4, use_quant_conv=quant, use_post_quant_conv=quant)


def clip(width, layers, projection=None):
    config = CLIPTextConfig(hidden_size=width, intermediate_size=2 * width, num_attention_heads=2,
                            num_hidden_layers=layers, vocab_size=12, max_position_embeddings=7,
                            projection_dim=projection or width)
    return CLIPTextModelWithProjection(config)


def goldens():
    for xl in (False, True):
        modules = {"unet": tiny_unet(xl), "vae": tiny_vae(), "text_encoder": clip(6, 1)}
        if xl:
            modules["text_encoder_2"] = clip(8, 2, 8)
        wanted = {name: shapes_of(module) for name, module in modules.items()}
        wanted["text_encoder"].pop("text_projection.weight")
        file = stable_diffusion(wanted, xl)
        golden("single-sdxl" if xl else "single-sd15", file,
               lambda f: converted(f, modules, xl), wanted)
    transformer = FluxTransformer2DModel(
        in_channels=8, num_layers=2, num_single_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=6, pooled_projection_dim=5,
        guidance_embeds=True, axes_dims_rope=(2, 2, 4))
    wanted = {"transformer": shapes_of(transformer)}
    golden("single-flux", flux(wanted["transformer"]), lambda f: flux_converted(f, 16), wanted)
    autoencoder = tiny_vae(3, quant=False)
    wanted = {"vae": shapes_of(autoencoder)}
    names = vae(list(wanted["vae"]))
    file = {new: vae_shape(new, wanted["vae"][name]) for name, new in names.items()}
    convert = lambda f: {"vae": conversion.convert_ldm_vae_checkpoint(f, dict(autoencoder.config))}
    golden("single-vae", file, convert, wanted)


def flux_pipeline():
    """The transformer of parity/transformer_pipelines.py in its authors' layout."""
    with open(os.path.join(HERE, "goldens", "pipeline-flux-dev.json")) as file:
        tensors = json.load(file)["tensors"]
    prefix = "transformer/"
    shapes = {name[len(prefix):]: shape for name, shape in tensors.items() if name.startswith(prefix)}
    write("goldens", "single-flux-pipeline", {"config": {}, "tensors": flux(shapes), "taps": {}})


def sdxl_pipeline():
    """The pipeline of parity/pipelines.py in one file of its authors' layout, with the two layers
    a block that this layout has. diffusers' own conversion gives every tensor back."""
    with open(os.path.join(HERE, "goldens", "pipeline-sdxl.json")) as file:
        published = json.load(file)
    configs = published["config"]
    configs["unet"]["layers_per_block"] = 2
    texts = {name: CLIPTextModelWithProjection(CLIPTextConfig(
        **configs[name], max_position_embeddings=published["tensors"][
            f"{name}/text_model.embeddings.position_embedding.weight"][0]))
        for name in ("text_encoder", "text_encoder_2")}
    modules = {"unet": UNet2DConditionModel(sample_size=8, **configs["unet"]),
               "vae": AutoencoderKL(**configs["vae"]), **texts}
    wanted = {name: shapes_of(module) for name, module in modules.items()}
    wanted["text_encoder"].pop("text_projection.weight")
    file = stable_diffusion(wanted, True)
    compare(converted(tensors(file, fill), modules, True), wanted)
    write("goldens", "single-sdxl-pipeline", {
        "config": configs["unet"], "tensors": file, "taps": {}, "unet": wanted["unet"]})


if __name__ == "__main__":
    goldens()
    flux_pipeline()
    sdxl_pipeline()
