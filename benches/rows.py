"""What is measured against PyTorch: a row is its data.

A mode of PyTorch is what `peer.py` reads: a precision, then how it is run. Each of its figures is
compared with ours of the same precision, where we have that one.
"""
from dataclasses import dataclass

# What `--example bench` can compute in.
PRECISIONS = ("f32", "bf16", "int8")

EAGER = ("f32", "bf16")
IMAGES = ("f32", "f32 channels_last", "bf16 channels_last")
ALL = ("f32", "f32 inductor", "autocast", "bf16", "bf16 inductor")


@dataclass
class Row:
    name: str
    section: str
    what: str
    # What both sides load, and the same for each of our precisions and PyTorch's modes.
    subject: str
    how: dict
    modes: tuple = EAGER
    # Whether the two results must be the same numbers.
    same: bool = True
    # Where both sides are; what is not on the CPU is measured when it is asked for by name.
    device: str = "cpu"
    precisions: tuple = PRECISIONS
    # Where the time goes that is missing to the fastest peer, as measured; a line of the page.
    note: str = ""


@dataclass
class SearchRow:
    """A whole run of the program beside a plain loop in PyTorch, in several sizes of batch."""

    name: str
    section: str
    what: str
    algorithm: str
    count: int
    batches: tuple
    note: str = ""


def transformer(hidden, depth, heads, **more):
    published = dict(input_size=32, patch=2, channels=4, mlp_ratio=4, classes=1000,
                     learn_sigma=False, time="data_at_one")
    return {**published, "hidden": hidden, "depth": depth, "heads": heads, **more}


YARDSTICK = transformer(384, 12, 6)
GLYPHS = transformer(128, 5, 4, patch=4, channels=1, classes=36, time="noise_at_one")

SAMPLES = "Of the samples of a profiler (`perf record -e cpu-clock`) over all threads"
CONV = ("The loop alone, on one core with its operands at hand (`nn/gemm.rs`, `nn/bf16/dot.rs`): 242 to 249 "
        "GFLOP/s in f32, 91 % of its unit, and 490 to 499 in bf16, 92 %; PyTorch's whole convolution reaches "
        f"94 to 96 %. {SAMPLES}, in f32: 92 % products, 4 % waiting for threads, 3 % copies and zeroing. "
        "PyTorch keeps activations in bf16 and moves half as many bytes.")
CONV_NORM = (f"{SAMPLES}, in bf16: 71 % products, 10 % waiting for threads, 7 % norm and SiLU, 6 % statistics and "
             "rounding, 3 % copies and zeroing. PyTorch's norm reads and writes half as many bytes.")

ROUNDING = ("In bf16 the error is the rounding of operands to 8 bits. With only one kind of product in bf16, "
            "simulated in PyTorch, it is 1.9e-3 by the MLPs, 1.5e-3 by the modulations, 1.3e-3 by the layers "
            "around attention and 0.4e-3 by attention; without the MLPs, which are two thirds of the work, "
            "2.0e-3 are left.")

SEARCH = ("All but 2 to 4 % of the time is the denoiser's, so that a search gains what its evaluations "
          "gain. In f32, five times the speed of PyTorch's loop one at a time would be 1.6 times what this "
          "processor's unit can do, twice that of its best batch 96 %. Beside PyTorch in f32, which is what "
          "its users run, candidates in bf16 are 3.8 and 2.5 times as fast, in int8 4.7 and 3.1 times.")

T, C, L, S = "Transformers", "Convolutional networks", "The lab's scenes model", "Whole searches"
G = "On a GPU"
STACK = "12 blocks, hidden 384, 6 heads, 256 tokens, adaLN-zero"

ROWS = [
    Row("yardstick", T, f"Yardstick: {STACK}, batch 16", "sit", dict(config=YARDSTICK, batch=16), ALL,
        note=ROUNDING),
    Row("yardstick-1", T, "The same, batch 1", "sit", dict(config=YARDSTICK, batch=1), ALL),
    Row("sit-xl", T, "SiT-XL/2: 28 blocks, hidden 1152, 16 heads, 256 tokens, batch 1", "sit",
        dict(config=transformer(1152, 28, 16, learn_sigma=True), batch=1)),
    Row("glyphs", T, "The lab's glyphs, base: 5 blocks, hidden 128, 4 heads, 64 tokens, batch 16",
        "sit", dict(config=GLYPHS, batch=16), ("f32", "f32 inductor", "bf16")),
    Row("flux-double", T, "FLUX.1's double block: hidden 3072, 24 heads, 4096 tokens of an image "
        "and 512 of text", "flux", dict(double=1, single=0, side=128)),
    Row("flux-single", T, "FLUX.1's single block, the same tokens", "flux",
        dict(double=0, single=1, side=128)),
    Row("clip", T, "CLIP ViT-L/14's vision tower, 16 images", "clip", dict(batch=16)),
    Row("conv", C, "3x3 convolution of 128 to 128 channels at 64x64, batch 4", "conv",
        dict(channels=128, side=64, batch=4, norm=False), IMAGES, note=CONV),
    Row("conv-norm", C, "The same, then group norm and SiLU", "conv",
        dict(channels=128, side=64, batch=4, norm=True), (*IMAGES, "f32 inductor channels_last"),
        note=CONV_NORM),
    Row("unet", C, "U-Net of Stable Diffusion 1.5 at 64x64 latents, batch 1", "unet",
        dict(batch=1, side=64), IMAGES),
    Row("vae", C, "Autoencoder of Stable Diffusion, decoding one image of 512x512", "vae",
        dict(side=64), IMAGES),
    *(Row(f"scenes-{batch}", L, f"One guided evaluation of {batch}", "scenes", dict(batch=batch),
          ("f32", "f32 channels_last", "bf16 channels_last")) for batch in (1, 16, 64)),
    SearchRow("random", S, "Best of 64 on the lab's scenes, 20 guided Euler steps", "random", 64, (1, 16),
              note=SEARCH),
    SearchRow("zero-order", S, "Zero-order search, 17 evaluations", "zero-order", 17, (1, 4)),
    SearchRow("paths", S, "Search over paths, 32 evaluations (ours also makes the baseline picture)",
              "paths", 32, (1, 8)),
    Row("best-of", S, "Best of 4 with the networks of Stable Diffusion 1.5: 4 guided DDIM steps at "
        "128x128, in PyTorch by diffusers", "best-of", dict(count=4, steps=4, side=128), same=False),
    Row("gpu-flux", G, "FLUX.1-dev at 1024x1024, one evaluation, the peer's by diffusers", "flux",
        dict(double=19, single=38, side=128), ("bf16", "bf16 compiled"), device="cuda:0",
        precisions=("bf16",)),
    Row("gpu-sdxl-vae", G, "Autoencoder of Stable Diffusion XL, decoding one image of 1024x1024", "vae",
        dict(side=128), ("bf16", "bf16 compiled"), device="cuda:0", precisions=("bf16",)),
]
