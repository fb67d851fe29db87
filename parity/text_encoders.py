"""Golden values of tiny CLIP text encoders and a tiny T5 v1.1 encoder, and the layouts of the
published ones.

    python parity/text_encoders.py
"""

import torch
import transformers
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config,
                          T5EncoderModel)
from transformers.models.t5.modeling_t5 import T5Attention

import reference

torch.set_num_threads(1)
ORIGIN = (f"transformers {transformers.__version__}, torch {torch.__version__}, "
          "parity/text_encoders.py")

# As in Stable Diffusion 1.5: the end token is said to be 2, so the largest id ends a text.
CLIP_L = dict(vocab_size=99, hidden_size=32, intermediate_size=128, num_hidden_layers=3,
              num_attention_heads=4, max_position_embeddings=77, hidden_act="quick_gelu",
              projection_dim=24, bos_token_id=0, eos_token_id=2)
# As the second encoder of SDXL, but for the end token, which is told right in other files.
CLIP_G = dict(vocab_size=99, hidden_size=40, intermediate_size=96, num_hidden_layers=4,
              num_attention_heads=5, max_position_embeddings=77, hidden_act="gelu",
              projection_dim=24, bos_token_id=97, eos_token_id=98)
T5 = dict(vocab_size=70, d_model=32, d_kv=12, d_ff=48, num_layers=3, num_heads=4,
          feed_forward_proj="gated-gelu", relative_attention_num_buckets=32,
          relative_attention_max_distance=128)

PUBLISHED_CLIP = {
    "clip-vit-l-text": (CLIPTextModel, dict(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, hidden_act="quick_gelu", projection_dim=768)),
    "clip-vit-bigg-text": (CLIPTextModelWithProjection, dict(
        vocab_size=49408, hidden_size=1280, intermediate_size=5120, num_hidden_layers=32,
        num_attention_heads=20, hidden_act="gelu", projection_dim=1280)),
    "clip-vit-h-text": (CLIPTextModelWithProjection, dict(
        vocab_size=49408, hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
        num_attention_heads=16, hidden_act="gelu", projection_dim=1024)),
}
PUBLISHED_T5 = dict(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24,
                    num_heads=64, feed_forward_proj="gated-gelu")


def published(tensors):
    """Names as every published file has them: transformers 5 drops a prefix."""
    inner = lambda name: name.startswith(("text_model.", "text_projection."))
    return {name if inner(name) else f"text_model.{name}": shape
            for name, shape in tensors.items()}


def refill(module):
    """Fills a module from the published names."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            (name,) = published({name: None})
            tensor.copy_(torch.from_numpy(reference.fill(name, tensor.shape)))
    return module.eval()


def clip(name, kind, settings, pad):
    model = refill(kind(CLIPTextConfig(**settings)))
    text = getattr(model, "text_model", model)
    taps = reference.Taps()
    text.embeddings.register_forward_hook(lambda _m, _i, out: taps.__setitem__("embed", out))
    for i, layer in enumerate(text.encoder.layers):
        taps.watch(layer, f"block.{i}")
    tokens = [97] + [(7 * i * i + 3 * i) % 95 + 1 for i in range(20)] + [98]
    tokens += [pad] * (77 - len(tokens))
    with torch.no_grad():
        out = model(torch.tensor([tokens]), output_hidden_states=True)
    taps["last"] = out.last_hidden_state[0]
    taps["penultimate"] = out.hidden_states[-2][0]
    taps["pooled"] = (out.text_embeds if "text_embeds" in out else out.pooler_output)[0]
    tensors = published(reference.manifest(model))
    reference.write(name, ORIGIN, settings, tensors, taps, tokens=tokens)


def t5():
    model = reference.filled(T5EncoderModel(T5Config(**T5)))
    with torch.no_grad():
        table = model.shared.weight
        table.copy_(torch.from_numpy(reference.fill("shared.weight", table.shape)))
    taps = reference.Taps()
    taps.watch(model.encoder.embed_tokens, "embed")
    for i, block in enumerate(model.encoder.block):
        taps.watch(block, f"block.{i}")
    tokens = [(11 * i * i + 5 * i) % 67 + 3 for i in range(150)] + [1]
    with torch.no_grad():
        taps["last"] = model(torch.tensor([tokens])).last_hidden_state[0]
        known = dict(taps.values)
        padded = tokens[:13] + [1] + [0] * 10
        mask = torch.tensor([[1] * 14 + [0] * 10])
        out = model(torch.tensor([padded]), attention_mask=mask).last_hidden_state[0]
        unmasked = model(torch.tensor([padded])).last_hidden_state[0]
    taps.values = known
    taps["masked"], taps["unmasked"] = out[:14], unmasked[:14]
    distances = torch.arange(-300, 301)
    buckets = T5Attention._relative_position_bucket(distances).tolist()
    tensors = reference.manifest(model, skip=["embed_tokens.weight"])
    reference.write("t5-encoder", ORIGIN, T5, tensors, taps, tokens=tokens, padded=padded,
                    buckets=buckets)


def manifests():
    for name, (kind, settings) in PUBLISHED_CLIP.items():
        with torch.device("meta"):
            model = kind(CLIPTextConfig(**settings))
        tensors = published(reference.manifest(model))
        reference.write_manifest(name, ORIGIN, settings, tensors)
    with torch.device("meta"):
        model = T5EncoderModel(T5Config(**PUBLISHED_T5))
    tensors = reference.manifest(model, skip=["embed_tokens.weight"])
    reference.write_manifest("t5-v1_1-xxl-encoder", ORIGIN, PUBLISHED_T5, tensors)


if __name__ == "__main__":
    clip("clip-l-text", CLIPTextModel, CLIP_L, pad=98)
    clip("clip-g-text", CLIPTextModelWithProjection, CLIP_G, pad=0)
    t5()
    manifests()
