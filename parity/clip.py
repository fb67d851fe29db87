"""Golden values of the CLIP family: towers, verifiers' scores from 8-bit images, and the layouts of
the published models."""

import open_clip
import torch
import torchvision.transforms.functional as F
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig,
                          CLIPVisionModelWithProjection)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import transformers
from preprocess import mirrored, pictures
from reference import Taps, filled, inputs, manifest, write, write_manifest

torch.set_num_threads(1)

PROMPTS = ["snow", "two dogs, watercolour"]
# open_clip mends quotes and references of HTML; transformers does not.
MENDED = "\u201ccurly\u201d fish &amp; chips"
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
TOKENIZER = open_clip.SimpleTokenizer()


def units(x):
    return x / x.norm(dim=-1, keepdim=True)


def cosines(images, texts):
    """`[images][texts]`."""
    return units(images) @ units(texts).T


VISION = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
              image_size=28, patch_size=14, projection_dim=24)


def config(act, end):
    text = CLIPTextConfig(vocab_size=49408, hidden_size=16, intermediate_size=32,
                          num_hidden_layers=2, num_attention_heads=2, hidden_act=act,
                          eos_token_id=end, projection_dim=24)
    vision = CLIPVisionConfig(hidden_act=act, **VISION)
    return CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24)


def published(config):
    """The parts of a configuration that are read, as a `config.json` holds them."""
    text = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "hidden_act",
            "num_attention_heads", "eos_token_id", "layer_norm_eps", "max_position_embeddings"]
    vision = [*VISION, "hidden_act", "layer_norm_eps"]
    return {"projection_dim": config.projection_dim,
            "text_config": {k: getattr(config.text_config, k) for k in text},
            "vision_config": {k: getattr(config.vision_config, k) for k in vision}}


PROCESSOR = {"do_resize": True, "size": {"shortest_edge": 28}, "do_center_crop": True,
             "crop_size": {"height": 28, "width": 28}, "resample": 3, "do_rescale": True,
             "do_normalize": True, "image_mean": list(MEAN), "image_std": list(STD)}


def tap_vision(model, taps):
    taps.watch(model.pre_layrnorm, "stem")
    for i, layer in enumerate(model.encoder.layers):
        taps.watch(layer, f"block{i}")
    taps.watch(model.post_layernorm, "pool")


def images_of(processor, originals=pictures):
    return torch.cat([processor(image, return_tensors="pt")["pixel_values"]
                      for image in originals()])


def agreement(features, processor):
    """The self-supervised score of every picture, whose mirror image is the early prediction."""
    both = [features(images_of(processor, originals)) for originals in (pictures, mirrored)]
    return cosines(*both).diagonal().tolist()


@torch.no_grad()
def clip(name, act, end):
    """CLIPModel with CLIPImageProcessor: clipscore, pickscore, clip-class, clip-self."""
    model = filled(CLIPModel(config(act, end)))
    processor = CLIPImageProcessorPil(**PROCESSOR)
    images = images_of(processor)
    embeddings = model.get_image_features(pixel_values=images).pooler_output
    texts = model.get_text_features(input_ids=TOKENIZER(PROMPTS)).pooler_output
    own = agreement(lambda x: model.get_image_features(pixel_values=x).pooler_output, processor)
    taps = Taps()
    taps["pixels"], taps["text"] = images, texts
    tap_vision(model.vision_model, taps)
    of_input = model.get_image_features(pixel_values=inputs("image", [2, 3, 28, 28]))
    taps["embedding"] = of_input.pooler_output
    cos = cosines(embeddings, texts)
    with open("crates/noisesearch-verifiers/src/image/templates.txt") as file:
        templates = [line for line in file.read().splitlines() if line]
    classes = TOKENIZER([line.replace("{}", "tree frog") for line in templates])
    mean = units(model.get_text_features(input_ids=classes).pooler_output).mean(0, keepdim=True)
    scale = model.logit_scale.exp()
    write(name, f"transformers {transformers.__version__} CLIPModel, CLIPImageProcessorPil; "
          f"open_clip {open_clip.__version__} SimpleTokenizer; parity/clip.py",
          published(model.config), manifest(model), taps, processor=PROCESSOR, prompts=PROMPTS,
          scores={"clipscore": (2.5 * cos.clamp(min=0)).tolist(),
                  "pickscore": (scale * cos).tolist(),
                  "clip-class": (scale * cosines(embeddings, mean)).flatten().tolist(),
                  "clip-self": own})
    assert (cos > 0).any() and (cos < 0).any()


def longest(image, side):
    """The steps of the package `hpsv2` 1.2.0, by torchvision."""
    x = F.to_tensor(image)
    scale = side / max(x.shape[1:])
    height, width = (round(n * scale) for n in x.shape[1:])
    x = F.resize(x, [height, width], InterpolationMode.BICUBIC)
    h, w = side - height, side - width
    x = F.pad(x, [w // 2, h // 2, w - w // 2, h - h // 2], fill=0)
    return F.normalize(x, MEAN, STD)


@torch.no_grad()
def hpsv2():
    """open_clip's CLIP with the steps of `hpsv2`."""
    vision = dict(layers=2, width=32, head_width=16, patch_size=14, image_size=28)
    text = dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=2)
    model = filled(open_clip.CLIP(embed_dim=24, vision_cfg=vision, text_cfg=text))
    taps = Taps()
    images = torch.stack([longest(image, 28) for image in pictures()])
    prompts = [*PROMPTS, MENDED]
    embeddings, texts = model.encode_image(images), model.encode_text(TOKENIZER(prompts))
    taps["pixels"] = images
    same = published(config("gelu", 49407))
    same["vision_config"]["intermediate_size"] = 128
    same["text_config"]["intermediate_size"] = 64
    write("hpsv2", f"open_clip {open_clip.__version__}, the steps of hpsv2 1.2.0; parity/clip.py",
          same, manifest(model), taps, prompts=prompts,
          scores={"hpsv2": cosines(embeddings, texts).tolist()})


class Predictor(CLIPVisionModelWithProjection):
    """The published predictors: a head on the unit embedding."""

    def __init__(self, config, deep):
        super().__init__(config)
        if deep:
            widths = [config.projection_dim, 1024, 128, 64, 16, 1]
            layers = [torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:])]
            for place in (1, 3, 5):
                layers.insert(place, torch.nn.Dropout())
            self.layers = torch.nn.Sequential(*layers)
        else:
            self.predictor = torch.nn.Linear(config.projection_dim, 1)

    def head(self, x):
        return (self.layers if hasattr(self, "layers") else self.predictor)(units(x))


@torch.no_grad()
def aesthetic(deep):
    model = filled(Predictor(CLIPVisionConfig(**VISION), deep))
    steps = [Resize(28, InterpolationMode.BICUBIC), CenterCrop(28)]
    images = []
    for image in pictures():
        for step in steps:
            image = step(image)
        images.append(F.normalize(F.to_tensor(image), MEAN, STD))
    images = torch.stack(images)
    taps = Taps()
    embeddings = model(pixel_values=images).image_embeds
    taps["pixels"] = images
    fields = {k: getattr(model.config, k) for k in [*VISION, "hidden_act", "layer_norm_eps"]}
    write("aesthetic-mlp" if deep else "aesthetic-linear",
          f"transformers {transformers.__version__} CLIPVisionModelWithProjection, torchvision's "
          "steps of OpenAI's CLIP; parity/clip.py", fields, manifest(model), taps,
          scores={"aesthetic": model.head(embeddings).flatten().tolist()})


def layouts():
    """The published models at full size, without their values."""
    base = dict(projection_dim=512)
    large = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
                 num_attention_heads=16, patch_size=14, projection_dim=768)
    huge = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32,
                num_attention_heads=16, patch_size=14, projection_dim=1024, hidden_act="gelu")
    text = {"clip-vit-b-32": dict(hidden_size=512, intermediate_size=2048, num_attention_heads=8),
            "clip-vit-l-14": dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12),
            "clip-vit-h-14": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
                                  num_attention_heads=16, hidden_act="gelu")}
    with torch.device("meta"):
        for (name, text), vision in zip(text.items(), [base, large, huge]):
            full = CLIPConfig(text_config=text, vision_config=vision,
                              projection_dim=vision["projection_dim"])
            sizes = {"projection_dim": full.projection_dim, "text_config": text,
                     "vision_config": vision}
            write_manifest(name, f"transformers {transformers.__version__} CLIPModel", sizes,
                           manifest(CLIPModel(full)))
        model = open_clip.create_model("ViT-H-14", device="meta", load_weights=False)
        write_manifest("open-clip-vit-h-14", f"open_clip {open_clip.__version__} ViT-H-14", {},
                       manifest(model))
        for name, deep in (("aesthetic-linear", False), ("aesthetic-mlp", True)):
            write_manifest(name, f"transformers {transformers.__version__} "
                           "CLIPVisionModelWithProjection with LAION's head", large,
                           manifest(Predictor(CLIPVisionConfig(**large), deep)))


if __name__ == "__main__":
    clip("clip", "quick_gelu", 2)
    clip("clip-gelu", "gelu", 49407)
    hpsv2()
    aesthetic(False)
    aesthetic(True)
    layouts()
