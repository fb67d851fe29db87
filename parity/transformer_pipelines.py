"""Golden values of whole FLUX and PixArt pipelines in tiny configurations: from a prompt and
latents to an image, with the vocabularies of parity/tokens.py.

    parity/.venv/bin/python parity/transformer_pipelines.py
"""
import copy
import os

import diffusers
import torch
import transformers
from diffusers import (AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler,
                       FluxPipeline, FluxTransformer2DModel, PixArtSigmaPipeline, PixArtTransformer2DModel)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

import flux
import pixart
import reference

torch.set_num_threads(1)
ORIGIN = (f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
          "f32 CPU; parity/transformer_pipelines.py")
PROMPT = "A Photo of two small dogs, and the red car."
HEIGHT, WIDTH = 64, 96

CLIP_FOLDER, T5_FOLDER = (os.path.join(reference.GOLDENS, name) for name in ("clip-tokenizer", "t5-tokenizer"))
# Four resolutions, as the published ones have, so that a pixel of the latent is 8 of the image.
VAE = dict(latent_channels=4, block_out_channels=[8, 8, 16, 16], layers_per_block=1, norm_num_groups=4,
           down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4)
FLUX_VAE = dict(VAE, scaling_factor=0.3611, shift_factor=0.1159, use_post_quant_conv=False, use_quant_conv=False)
PIXART_VAE = dict(VAE, scaling_factor=0.13025)
NOISE = dict(beta_schedule="linear", beta_start=0.0001, beta_end=0.02, timestep_spacing="trailing")
T5 = dict(d_kv=8, d_ff=32, num_layers=2, num_heads=3, feed_forward_proj="gated-gelu")


def clip_encoder(tokenizer, width):
    """Files name everything under `text_model`; transformers 5 does not."""
    config = dict(vocab_size=len(tokenizer), hidden_size=width, intermediate_size=32, num_hidden_layers=2,
                  num_attention_heads=2, projection_dim=width, bos_token_id=tokenizer.bos_token_id,
                  eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model = CLIPTextModel(CLIPTextConfig(**config)).eval()
    published = lambda name: name if name.startswith("text_model.") else f"text_model.{name}"
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(reference.fill(published(name), tensor.shape)))
    tensors = {published(name): shape for name, shape in reference.manifest(model).items()}
    return model, config, tensors


def t5_encoder(tokenizer, width):
    config = dict(T5, vocab_size=len(tokenizer), d_model=width)
    model = reference.filled(T5EncoderModel(T5Config(**config)))
    with torch.no_grad():
        table = model.shared.weight
        table.copy_(torch.from_numpy(reference.fill("shared.weight", table.shape)))
    return model, config, reference.manifest(model, skip=["embed_tokens.weight"])


def write(name, configs, tensors, taps):
    named = {f"{part}/{key}": shape for part, shapes in tensors.items() for key, shape in shapes.items()}
    reference.write(name, ORIGIN, configs, named, taps, prompt=PROMPT)


def flux_parts(guided):
    """The pipeline, its configurations, and the tensors of each part."""
    config = dict(flux.CONFIG, guidance_embeds=guided, axes_dims_rope=list(flux.CONFIG["axes_dims_rope"]))
    scheduler = dict(num_train_timesteps=1000, shift=3.0 if guided else 1.0, use_dynamic_shifting=guided,
                     base_shift=0.5, max_shift=1.15, base_image_seq_len=256, max_image_seq_len=4096)
    clip, t5 = CLIPTokenizer.from_pretrained(CLIP_FOLDER), T5Tokenizer.from_pretrained(T5_FOLDER)
    text, text_config, text_tensors = clip_encoder(clip, config["pooled_projection_dim"])
    text2, text2_config, text2_tensors = t5_encoder(t5, config["joint_attention_dim"])
    parts = dict(transformer=reference.filled(FluxTransformer2DModel(**config)),
                 vae=reference.filled(AutoencoderKL(**FLUX_VAE)))
    pipe = FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(**scheduler), text_encoder=text, tokenizer=clip,
                        text_encoder_2=text2, tokenizer_2=t5, **parts)
    tensors = {part: reference.manifest(module) for part, module in parts.items()}
    return (pipe, dict(transformer=config, vae=FLUX_VAE, scheduler=scheduler, text_encoder=text_config,
                       text_encoder_2=text2_config),
            dict(tensors, text_encoder=text_tensors, text_encoder_2=text2_tensors))


def flux_pipeline(name, guided):
    """FlowMatchEuler. Its sigmas are f32 and its steps sums in f32; ours are f64 in between."""
    pipe, configs, tensors = flux_parts(guided)
    pipe.set_progress_bar_config(disable=True)
    start = reference.inputs("latents", [1, 4, HEIGHT // 8, WIDTH // 8])

    def run(kind, pipe):
        images = pipe(PROMPT, height=HEIGHT, width=WIDTH, num_inference_steps=4, guidance_scale=3.5,
                      latents=flux.pack(start).to(pipe.dtype), output_type=kind,
                      max_sequence_length=512 if guided else 256).images
        return flux.unpack(images, HEIGHT // 8, WIDTH // 8) if kind == "latent" else images

    taps = reference.Taps()
    for prefix, one in (("", pipe), ("bf16-", copy.deepcopy(pipe).to(torch.bfloat16))):
        taps[prefix + "latents"] = run("latent", one)
        taps[prefix + "image"] = run("pt", one)
    write(name, configs, tensors, taps)


def pixart_parts(kind=PixArtSigmaPipeline, **more):
    """The pipeline, its configurations, and the tensors of each part."""
    config = dict(pixart.CONFIG, **more)
    t5 = T5Tokenizer.from_pretrained(T5_FOLDER)
    text, text_config, text_tensors = t5_encoder(t5, config["caption_channels"])
    parts = dict(transformer=reference.filled(PixArtTransformer2DModel(**config)),
                 vae=reference.filled(AutoencoderKL(**PIXART_VAE)))
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **NOISE)
    pipe = kind(tokenizer=t5, text_encoder=text, scheduler=scheduler, **parts)
    tensors = {part: reference.manifest(module) for part, module in parts.items()}
    return (pipe, dict(transformer=config, vae=PIXART_VAE, scheduler=NOISE, text_encoder=text_config),
            dict(tensors, text_encoder=text_tensors))


def pixart_pipeline():
    """DDIM and DPM-Solver++(2M) in their settings that are the published algorithms: steps at the end of their
    intervals, down to no noise. Other settings (`linspace` steps, `use_lu_lambdas`) step elsewhere than ours."""
    pipe, configs, tensors = pixart_parts()
    solvers = {
        "ddim": pipe.scheduler,
        "dpmpp-2m": DPMSolverMultistepScheduler(solver_order=2, algorithm_type="dpmsolver++",
                                                final_sigmas_type="zero", **NOISE),
    }
    pipe.set_progress_bar_config(disable=True)
    start = reference.inputs("latents", [1, 4, HEIGHT // 8, WIDTH // 8])

    def run(pipe, guidance, kind):
        return pipe(PROMPT, height=HEIGHT, width=WIDTH, num_inference_steps=5, guidance_scale=guidance,
                    latents=start.to(pipe.dtype, copy=True), output_type=kind, clean_caption=False,
                    use_resolution_binning=False).images

    taps = reference.Taps()
    for solver, scheduler in solvers.items():
        pipe.scheduler = scheduler
        for guidance in (1.0, 4.5):
            taps[f"{solver}-{guidance:g}-latents"] = run(pipe, guidance, "latent")
            taps[f"{solver}-{guidance:g}-image"] = run(pipe, guidance, "pt")
    pipe.scheduler = solvers["ddim"]
    half = copy.deepcopy(pipe).to(torch.bfloat16)
    taps["bf16-latents"] = run(half, 4.5, "latent")
    taps["bf16-image"] = run(half, 4.5, "pt")
    write("pipeline-pixart", configs, tensors, taps)


if __name__ == "__main__":
    flux_pipeline("pipeline-flux-dev", True)
    flux_pipeline("pipeline-flux-schnell", False)
    pixart_pipeline()
