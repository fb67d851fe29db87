"""Golden values of whole class-conditional pipelines in tiny configurations, from a class and latents to an image:
diffusers' DiTPipeline, and loops around the SiT and DiT of parity/sit.py.

    parity/.venv/bin/python parity/class_pipelines.py
"""
import diffusers
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from diffusers.pipelines.dit import pipeline_dit

import reference
import sit
from transformer_pipelines import PIXART_VAE

torch.set_num_threads(1)
ORIGIN = f"diffusers {diffusers.__version__}, torch {torch.__version__}, f32 CPU; parity/class_pipelines.py"
SIDE, STEPS = 8, 5
NOISE = dict(beta_schedule="linear", beta_start=0.0001, beta_end=0.02)
# As facebook/DiT-XL-2-256 has it, but for `norm_eps`, of which it says nothing and which is large enough here to show.
DIT = dict(num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8, num_layers=2, sample_size=SIDE,
           patch_size=2, num_embeds_ada_norm=1000, norm_type="ada_norm_zero", activation_fn="gelu-approximate",
           attention_bias=True, norm_elementwise_affine=False, norm_eps=1e-3)
LABEL = 207


def scheduler():
    return DDIMScheduler(timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True, **NOISE)


def start():
    return reference.inputs("latents", [1, 4, SIDE, SIDE])


def tied(model):
    """Every block has the embeddings of the first, as in the published file."""
    first = model.transformer_blocks[0].norm1.emb.state_dict()
    for block in model.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first)
    return model


def dit_pipeline():
    transformer = tied(reference.filled(DiTTransformer2DModel(**DIT)))
    vae = reference.filled(AutoencoderKL(**PIXART_VAE))
    return DiTPipeline(transformer=transformer, vae=vae, scheduler=scheduler())


def dit_of_diffusers():
    pipe = dit_pipeline()
    transformer, vae = pipe.transformer, pipe.vae
    pipe.set_progress_bar_config(disable=True)
    pipeline_dit.randn_tensor = lambda **_: start()
    taps, decode = reference.Taps(), vae.decode

    def watched(latents):
        taps[f"latents-{guidance:g}"] = latents * vae.config.scaling_factor
        return decode(latents)

    vae.decode = watched
    for guidance in (1.0, 4.0):
        taps[f"image-{guidance:g}"] = pipe([LABEL], guidance_scale=guidance, num_inference_steps=STEPS,
                                           output_type="pt").images
    parts = dict(transformer=transformer, vae=vae)
    tensors = {f"{part}/{key}": shape for part, module in parts.items()
               for key, shape in reference.manifest(module).items()}
    reference.write("pipeline-dit-diffusers", ORIGIN, dict(transformer=DIT, vae=PIXART_VAE, scheduler=NOISE), tensors,
                    taps)


def guided(model, x, t, guidance):
    """The prediction for class 3, away from that for no class (all channels)."""
    both = model(torch.cat([x, x]), torch.full([2], float(t)), torch.tensor([3, sit.TINY["classes"]]))[:, :4]
    cond, uncond = both.chunk(2)
    return uncond + guidance * (cond - uncond)


def euler_and_heun(model, x, guidance, second_order):
    """From t = 0, which is noise, to t = 1; the last step is Euler's."""
    for i in range(STEPS):
        t, dt = i / STEPS, 1 / STEPS
        v = guided(model, x, t, guidance)
        if second_order and i + 1 < STEPS:
            v = (v + guided(model, x + dt * v, t + dt, guidance)) / 2
        x = x + dt * v
    return x


def ddim(model, x, guidance):
    steps = scheduler()
    steps.set_timesteps(STEPS)
    for t in steps.timesteps:
        x = steps.step(guided(model, x, t, guidance), t, x).prev_sample
    return x


def loops(name, time, solvers):
    config = dict(sit.TINY, time=time)
    model = reference.filled(sit.Transformer(config))
    vae = reference.filled(AutoencoderKL(**PIXART_VAE))
    taps = reference.Taps()
    with torch.no_grad():
        for solver, solve in solvers.items():
            latents = solve(model, start(), 2.0)
            image = vae.decode(latents / vae.config.scaling_factor).sample
            taps[f"latents-{solver}"] = latents
            taps[f"image-{solver}"] = (image / 2 + 0.5).clamp(0, 1)
    tensors = {f"{part}/{key}": shape for part, module in dict(transformer=model, vae=vae).items()
               for key, shape in reference.manifest(module).items()}
    reference.write(name, ORIGIN, dict(transformer=config, vae=PIXART_VAE), tensors, taps)


def published():
    """The tensors of facebook/DiT-XL-2-256."""
    config = dict(DIT, num_attention_heads=16, attention_head_dim=72, num_layers=28, sample_size=32)
    del config["norm_eps"]
    with torch.device("meta"):
        model = DiTTransformer2DModel(**config)
    reference.write_manifest("dit-xl-2-256-diffusers", ORIGIN, config, reference.manifest(model))


if __name__ == "__main__":
    dit_of_diffusers()
    published()
    loops("pipeline-sit", "data_at_one", {
        "euler": lambda *args: euler_and_heun(*args, False), "heun": lambda *args: euler_and_heun(*args, True)})
    loops("pipeline-dit", "training_index", {"ddim": ddim})
