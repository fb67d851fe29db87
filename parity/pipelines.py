"""Golden values of whole pipelines in tiny configurations: from a prompt and latents to an image.

    python parity/pipelines.py
"""
import copy
import json
import os
import tempfile

import diffusers
import torch
import transformers
from diffusers import (AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler,
                       StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import reference

torch.set_num_threads(1)
ORIGIN = (f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, "
          f"torch {torch.__version__}, parity/pipelines.py")
PROMPT = "a cat on a mat"
HEIGHT, WIDTH, STEPS = 48, 32, 4

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MERGES = ["a t</w>", "o n</w>", "c at</w>"]
TOKENS = (["!", *LETTERS, *(letter + "</w>" for letter in LETTERS)]
          + [merge.replace(" ", "") for merge in MERGES] + ["<|startoftext|>", "<|endoftext|>"])
VOCABULARY = {token: number for number, token in enumerate(TOKENS)}

UNET = dict(in_channels=4, out_channels=4, layers_per_block=1, norm_num_groups=4)
SD15 = dict(UNET, block_out_channels=[16, 32], attention_head_dim=4, cross_attention_dim=16,
            down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
            up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"])
SDXL = dict(UNET, block_out_channels=[16, 32], attention_head_dim=[2, 4], cross_attention_dim=28,
            transformer_layers_per_block=[1, 2], use_linear_projection=True,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
            addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=10 + 6 * 8)
# Four resolutions, as the published ones have, so that a pixel of the latent is 8 of the image.
VAE = dict(latent_channels=4, block_out_channels=[8, 8, 16, 16], layers_per_block=1,
           norm_num_groups=4, down_block_types=["DownEncoderBlock2D"] * 4,
           up_block_types=["UpDecoderBlock2D"] * 4, scaling_factor=0.18215)
CLIP = dict(vocab_size=len(TOKENS), hidden_size=16, intermediate_size=32, num_hidden_layers=3,
            num_attention_heads=2, projection_dim=10, bos_token_id=VOCABULARY["<|startoftext|>"],
            eos_token_id=VOCABULARY["<|endoftext|>"], pad_token_id=VOCABULARY["<|endoftext|>"])
BIG = dict(CLIP, hidden_size=12, hidden_act="gelu")
NOISE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)


def tokenizer(pad):
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = (os.path.join(folder, n) for n in ("vocab.json", "merges.txt"))
        with open(vocabulary, "w") as file:
            json.dump(VOCABULARY, file)
        with open(merges, "w") as file:
            file.write("\n".join(["#version: 0.2", *MERGES, ""]))
        return CLIPTokenizer.from_pretrained(folder, pad_token=pad, model_max_length=77)


def scheduler(kind, prediction):
    extra = dict(clip_sample=False, set_alpha_to_one=True) if kind is DDIMScheduler else {}
    return kind(timestep_spacing="trailing", prediction_type=prediction, **NOISE, **extra)


def golden(name, pipe, prediction, configs):
    pipe.set_progress_bar_config(disable=True)
    taps = reference.Taps()
    start = reference.inputs("latents", [1, 4, HEIGHT // 8, WIDTH // 8])

    def run(guidance, kind="latent", pipe=pipe):
        with torch.no_grad():
            return pipe(PROMPT, height=HEIGHT, width=WIDTH, num_inference_steps=STEPS,
                        guidance_scale=guidance, latents=start.to(pipe.dtype, copy=True),
                        output_type=kind).images

    for guidance in (1.0, 7.5):
        taps[f"latents-{guidance:g}"] = run(guidance)
        taps[f"image-{guidance:g}"] = run(guidance, "pt")
    half = copy.deepcopy(pipe).to(torch.bfloat16)
    taps["bf16-latents"] = run(7.5, pipe=half)
    taps["bf16-image"] = run(7.5, "pt", half)
    if name == "pipeline-sdxl":
        pipe.register_to_config(force_zeros_for_empty_prompt=False)
        taps["latents-words"] = run(7.5)
    # Euler in diffusers' scaling is the same walk, from a start divided by its first alpha.
    ddim = run(7.5)
    pipe.scheduler = scheduler(EulerDiscreteScheduler, prediction)
    pipe.scheduler.set_timesteps(STEPS)
    first = pipe.scheduler.sigmas[0]
    start = start * (first**2 + 1) ** 0.5 / pipe.scheduler.init_noise_sigma
    error = (run(7.5) - ddim).abs().max() / ddim.abs().max()
    print(f"{name}: Euler and DDIM differ by {error:.1e}")
    assert error < 1e-4
    tensors = {}
    for part in configs:
        if part != "scheduler":
            name_of = published if part.startswith("text") else str
            for key, shape in reference.manifest(getattr(pipe, part)).items():
                tensors[f"{part}/{name_of(key)}"] = shape
    reference.write(name, ORIGIN, configs, tensors, taps, vocabulary=VOCABULARY,
                    merges=MERGES)


def published(name):
    """Files name everything but the projection under `text_model`; transformers 5 does not."""
    return name if name.startswith("text_") else "text_model." + name


def text(config, kind):
    encoder = kind(CLIPTextConfig(**config)).eval()
    with torch.no_grad():
        for name, tensor in encoder.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(reference.fill(published(name), tensor.shape)))
    return encoder


def stable_diffusion(**parts):
    """With `safety_checker` and `feature_extractor` from `parts`, where they are given."""
    return StableDiffusionPipeline(
        vae=reference.filled(AutoencoderKL(**VAE)), text_encoder=text(CLIP, CLIPTextModel),
        tokenizer=tokenizer("<|endoftext|>"), unet=reference.filled(UNet2DConditionModel(**SD15)),
        scheduler=scheduler(DDIMScheduler, "epsilon"),
        **dict(dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False), **parts))


def stable_diffusion_xl():
    return StableDiffusionXLPipeline(
        vae=reference.filled(AutoencoderKL(**VAE)), text_encoder=text(CLIP, CLIPTextModel),
        text_encoder_2=text(BIG, CLIPTextModelWithProjection),
        tokenizer=tokenizer("<|endoftext|>"), tokenizer_2=tokenizer("!"),
        unet=reference.filled(UNet2DConditionModel(**SDXL)),
        scheduler=scheduler(DDIMScheduler, "v_prediction"), add_watermarker=False)


def main():
    golden("pipeline-sd15", stable_diffusion(), "epsilon",
           dict(unet=SD15, vae=VAE, text_encoder=CLIP,
                scheduler=dict(NOISE, prediction_type="epsilon")))
    golden("pipeline-sdxl", stable_diffusion_xl(), "v_prediction",
           dict(unet=SDXL, vae=VAE, text_encoder=CLIP, text_encoder_2=BIG,
                scheduler=dict(NOISE, prediction_type="v_prediction")))


if __name__ == "__main__":
    main()
