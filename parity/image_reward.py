"""Golden values of ImageReward: BERT's tokenizer on a small vocabulary, and the network in a tiny
configuration; the manifest of the published one.

The published package (image-reward 1.5) builds its network from a copy of timm's vision
transformer, BLIP's text encoder and a stack of linear layers; here they come from timm and
transformers, under the names that the package gives them."""
import json

import timm
import torch
import transformers
from PIL import Image
from torch import nn
from torchvision import transforms
from transformers import BertTokenizer
from transformers.models.blip.configuration_blip import BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextModel

from reference import Taps, filled, inputs, manifest, uniform, write, write_manifest

torch.set_num_threads(1)
ORIGIN = (f"timm {timm.__version__} VisionTransformer and transformers {transformers.__version__} "
          "BlipTextModel, BertTokenizer in image-reward 1.5's arrangement; parity/image_reward.py")
PUBLISHED = dict(side=224, patch=16, width=1024, depth=24, heads=16, vocabulary=30524,
                 positions=512, text_width=768, layers=12, text_heads=12, hidden=3072,
                 head=[1024, 128, 64, 16, 1])
TINY = dict(side=32, patch=8, width=32, depth=2, heads=4, vocabulary=None, positions=40,
            text_width=24, layers=2, text_heads=3, hidden=40, head=[20, 12, 8, 6, 1])


class ImageReward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.blip = nn.Module()
        self.blip.visual_encoder = timm.models.VisionTransformer(
            img_size=c["side"], patch_size=c["patch"], embed_dim=c["width"], depth=c["depth"],
            num_heads=c["heads"], num_classes=0, global_pool="")
        self.blip.text_encoder = BlipTextModel(BlipTextConfig(
            vocab_size=c["vocabulary"], hidden_size=c["text_width"],
            encoder_hidden_size=c["width"], intermediate_size=c["hidden"],
            num_hidden_layers=c["layers"], num_attention_heads=c["text_heads"],
            max_position_embeddings=c["positions"], hidden_act="gelu", layer_norm_eps=1e-12,
            is_decoder=True), add_pooling_layer=False)
        self.blip.vision_proj = nn.Linear(c["width"], 256)
        self.blip.text_proj = nn.Linear(c["text_width"], 256)
        layers, before = [], c["text_width"]
        for i, after in enumerate(c["head"]):
            layers += [nn.Linear(before, after)] + [nn.Dropout(0.1)] * (i < 3)
            before = after
        self.mlp = nn.Module()
        self.mlp.layers = nn.Sequential(*layers)


PIECES = ("[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e r o u n p h t i s red cro ##ss blue ##ish "
          "square ##s un ##afford ##able ##a ##b ##c ##d ##e ##n ##r ##t ##u ##h ##i ##g ##o ##l "
          "photograph ##er . , ! ? ( ) [ ] - ' \" ¿ 。 中 国 ß ##ß ø strasse cafe naive 12 ##3 "
          "$ ` ^ 한 i̇ ﬁ ﬀ resume").split()
TINY["vocabulary"] = len(PIECES) + 2
TEXTS = [
    "", "a red cross", "A RED Cross, on a blueish square!", "unaffordable photographers",
    "café NAÏVE résumé", "cafe\u0301 na\u00efve", "中国 a中b国。", "12 123 1234 $12^3`",
    "\ta\u00a0b\u2003c\u3000d\u200be\x00r\x7fo\ufffdu\ufeffn", "[MASK] a [ENC] red[SEP]cross [enc]",
    "un" * 60, "a" * 100, "a" * 101, "¿a? (b) [c] 'd' \"e\"", "Straße ø Ø ẞ", "İ ﬁ ﬀ",
    "한국 한", "a\r\nb\u2028c\u0085d", "red\u0301 \u0301 \u20dd a\u0903b", "🙂 a🙂b",
    " ".join(["red"] * 50), "--a--b--", "[ MASK ] [", "\u1d2ca \u00aab", "a\u00adb \ue000",
]


def tokenizer():
    words = BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)})
    words.add_special_tokens({"bos_token": "[DEC]"})
    words.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    return words


def tokens():
    words = tokenizer()
    return [[text, words(text, truncation=True, max_length=35)["input_ids"]] for text in TEXTS]


def score(model, text, picture):
    """ImageReward.score of the package, step by step."""
    c = TINY
    steps = transforms.Compose([
        transforms.Resize(c["side"], interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(c["side"]), transforms.ToTensor(),
        transforms.Normalize((0.48145466, 0.4578275, 0.40821073),
                             (0.26862954, 0.26130258, 0.27577711))])
    words = tokenizer()(text, padding="max_length", truncation=True, max_length=35,
                        return_tensors="pt")
    with torch.no_grad():
        seen = model.blip.visual_encoder(steps(picture)[None])
        out = model.blip.text_encoder(
            input_ids=words.input_ids, attention_mask=words.attention_mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long)).last_hidden_state
        reward = model.mlp.layers(out[:, 0]).item()
    return (reward - 0.16717362830052426) / 1.0333394966054072


def scores(model):
    """Text, name and size of a picture, score."""
    cases = []
    for text, (h, w) in [("a red cross", (47, 32)), ("A blueish photograph?", (61, 90)),
                         ("un " * 40, (20, 25))]:
        name = f"picture {h}x{w}"
        pixels = ((uniform(name, h * w * 3) + 1) * 127.5).astype("uint8").reshape(h, w, 3)
        cases.append([text, name, h, w, score(model, text, Image.fromarray(pixels))])
    return cases


def network():
    model = filled(ImageReward(TINY))
    blip, taps = model.blip, Taps()
    for i, block in enumerate(blip.visual_encoder.blocks):
        taps.watch(block, f"vision.{i}")
    for i, layer in enumerate(blip.text_encoder.encoder.layer):
        taps.watch(layer, f"text.{i}")
    real = [2, 21, 40, 7, 33, 66, 3]
    ids = torch.tensor([real + [0] * 5] * 2)
    mask = torch.tensor([[1] * len(real) + [0] * 5] * 2)
    with torch.no_grad():
        seen = blip.visual_encoder(inputs("image", [2, 3, TINY["side"], TINY["side"]]))
        taps["vision"] = seen
        out = blip.text_encoder(
            input_ids=ids, attention_mask=mask, encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long)).last_hidden_state
        taps["text"] = out[:, : len(real)]
        taps["reward"] = model.mlp.layers(out[:, 0]).flatten()
    # Of the layers, too, only the part without padding.
    for i in range(TINY["layers"]):
        taps.values.pop(f"text.{i}")
    write("image_reward", ORIGIN, TINY, manifest(model), taps, pieces=PIECES, tokens=tokens(),
          ids=real, scores=scores(model))


def main():
    network()
    with torch.device("meta"):
        write_manifest("image_reward", ORIGIN, PUBLISHED, manifest(ImageReward(PUBLISHED)))


if __name__ == "__main__":
    main()
