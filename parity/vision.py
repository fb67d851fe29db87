"""Golden values of DINOv2 and SigLIP: towers, scores from 8-bit images, published layouts."""
import torch
import transformers
from transformers import (Dinov2Config, Dinov2ForImageClassification, Dinov2Model, SiglipConfig,
                          SiglipModel)
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from clip import agreement, images_of
from reference import Taps, filled, inputs, manifest, write, write_manifest

torch.set_num_threads(1)

ORIGIN = f"transformers {transformers.__version__} %s; parity/vision.py"
DINO = dict(hidden_size=32, num_hidden_layers=5, num_attention_heads=2, image_size=70,
            patch_size=14, mlp_ratio=4)
LABELS = ["tench, Tinca tinca", "goldfish", "great white shark, white shark", "hammerhead",
          "cock", "hen", "ostrich"]
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
# Cut to 4x4 patches, for which the 5x5 positions are interpolated.
STEPS = dict(do_resize=True, size={"shortest_edge": 60}, do_center_crop=True, resample=3,
             crop_size={"height": 56, "width": 56}, do_rescale=True, do_normalize=True, **IMAGENET)


def published(model):
    """A model's tensors under the names of its published files, which transformers 5 renames in
    memory."""
    return revert_weight_conversion(model, model.state_dict())


class Published:
    """What `reference` asks a module for, under those names."""

    def __init__(self, model):
        self.state_dict, self.eval = lambda: published(model), model.eval


@torch.no_grad()
def dinov2(layers):
    """The classifier on the class tokens of one or four blocks; dino-self for the backbone."""
    labels = dict(enumerate(LABELS))
    config = Dinov2Config(**DINO, id2label=labels)
    model = Dinov2ForImageClassification(config)
    model.classifier = torch.nn.Linear((layers + 1) * config.hidden_size, len(labels))
    filled(Published(model))
    images = images_of(BitImageProcessorPil(**STEPS))

    def features(images):
        states = model.dinov2(images, output_hidden_states=True).hidden_states[-layers:]
        normed = [model.dinov2.layernorm(state) for state in states]
        return torch.cat([x[:, 0] for x in normed] + [normed[-1][:, 1:].mean(1)], dim=1)

    logits = model.classifier(features(images))
    if layers == 1:
        torch.testing.assert_close(logits, model(images).logits)
    taps = Taps()
    taps["pixels"] = images
    taps.watch(model.dinov2.embeddings, "stem")
    for i, block in enumerate(model.dinov2.encoder.layer):
        taps.watch(block, f"block{i}")
    taps["features"] = features(inputs("image", [2, 3, 56, 56]))
    fields = {**DINO, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True,
              "use_swiglu_ffn": False, "id2label": labels, "classifier_layers": layers}
    write(f"dinov2-class-{layers}", ORIGIN % "Dinov2ForImageClassification, BitImageProcessorPil",
          fields, manifest(Published(model)), taps, processor=STEPS,
          scores={"dinov2-class": logits[:, 2].tolist()})


@torch.no_grad()
def dino_self():
    model = Dinov2Model(Dinov2Config(**DINO))
    filled(Published(model))
    scores = agreement(lambda images: model(images).pooler_output, BitImageProcessorPil(**STEPS))
    write("dino-self", ORIGIN % "Dinov2Model, BitImageProcessorPil", DINO,
          manifest(Published(model)), Taps(), processor=STEPS, scores={"dino-self": scores})


@torch.no_grad()
def siglip():
    vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                  num_attention_heads=2, image_size=47, patch_size=14)
    text = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
                num_attention_heads=2)
    model = filled(SiglipModel(SiglipConfig(vision_config=vision, text_config=text)))
    tower = model.vision_model
    steps = dict(do_resize=True, size={"height": 47, "width": 47}, resample=3, do_rescale=True,
                 do_normalize=True, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor = SiglipImageProcessorPil(**steps)
    scores = agreement(lambda images: tower(images).pooler_output, processor)
    taps = Taps()
    taps["pixels"] = images_of(processor)
    taps.watch(tower.embeddings, "stem")
    for i, layer in enumerate(tower.encoder.layers):
        taps.watch(layer, f"block{i}")
    taps.watch(tower.post_layernorm, "norm")
    taps["pooled"] = tower(inputs("image", [2, 3, 47, 47])).pooler_output
    write("siglip", ORIGIN % "SiglipModel, SiglipImageProcessorPil",
          {"vision_config": vision}, manifest(model), taps, processor=steps,
          scores={"siglip-self": scores})


def layouts():
    base = dict(image_size=518)
    large = dict(image_size=518, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16)
    with torch.device("meta"):
        for name, sizes in (("b", base), ("l", large)):
            config = Dinov2Config(**sizes, num_labels=1000)
            write_manifest(f"dinov2-{name}-14-class", ORIGIN % "Dinov2ForImageClassification",
                           sizes, manifest(Published(Dinov2ForImageClassification(config))))
            write_manifest(f"dinov2-{name}-14", ORIGIN % "Dinov2Model", sizes,
                           manifest(Published(Dinov2Model(config))))
        so400m = dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27,
                      num_attention_heads=16, image_size=384, patch_size=14)
        text = dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27,
                    num_attention_heads=16)
        full = SiglipModel(SiglipConfig(vision_config=so400m, text_config=text))
        write_manifest("siglip-so400m-14-384", ORIGIN % "SiglipModel", {"vision_config": so400m},
                       manifest(Published(full)))


if __name__ == "__main__":
    dinov2(1)
    dinov2(4)
    dino_self()
    siglip()
    layouts()
