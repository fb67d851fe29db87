"""Folders of whole pipelines in tiny configurations, as `save_pretrained` of diffusers and transformers writes them.

    parity/.venv/bin/python parity/folders.py

Writes goldens/folders.json: the files of every folder by their paths, each as its number in a list of different
contents. A content is the text of the file, or of a file of weights its metadata and, by number formats, names and
shapes of its tensors. Their values are those of `reference.fill` for their names or for those in `filled_as`.
"""
import base64
import json
import os
import tempfile

import diffusers
import safetensors
import torch
import transformers
from diffusers import PixArtAlphaPipeline
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor

import class_pipelines
import pipelines
import reference
import transformer_pipelines

torch.set_num_threads(1)
ORIGIN = (f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, "
          "parity/folders.py")
TINY = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
# Instead of the rules of normalisation, three quarters of T5's `tokenizer.json`, which are those of its SentencePiece
# model: where they lie there, first byte and number of bytes.
CHARSMAP = "<bytes {} + {} of t5-tokenizer/spiece.model>"


def with_checker():
    """Stable Diffusion with the parts of the published folder that this program goes without."""
    config = CLIPConfig(vision_config=dict(TINY, image_size=8, patch_size=4), projection_dim=4)
    return pipelines.stable_diffusion(
        safety_checker=reference.filled(StableDiffusionSafetyChecker(config)),
        feature_extractor=CLIPImageProcessor(), requires_safety_checker=True)


def saved(root):
    """Saves a folder of each; one in half precision and shards, as a variant, one in many small shards."""
    flux, pixart = transformer_pipelines.flux_parts, transformer_pipelines.pixart_parts
    for name, pipe, how in [
            ("sd15", with_checker(), {}),
            ("sd15-fp16", pipelines.stable_diffusion().to(torch.float16),
             dict(variant="fp16", max_shard_size="200KB")),
            ("sdxl", pipelines.stable_diffusion_xl(), {}),
            ("flux-dev", flux(True)[0], dict(max_shard_size="80KB")),
            ("flux-schnell", flux(False)[0], {}),
            ("pixart-sigma", pixart()[0], {}),
            ("pixart-alpha", pixart(PixArtAlphaPipeline, use_additional_conditions=True)[0], {}),
            ("dit", class_pipelines.dit_pipeline(), {})]:
        pipe.save_pretrained(os.path.join(root, name), **how)
        yield name


def filled_as(name, tensor):
    """The name by which a tensor was filled: transformers leaves out `text_model.` when it writes, and a DiT of
    diffusers has the embeddings of its first block in every block."""
    for one in (name, f"text_model.{name}", name.replace("blocks.1.norm1.emb.", "blocks.0.norm1.emb.")):
        if torch.equal(tensor, torch.from_numpy(reference.fill(one, tensor.shape)).to(tensor.dtype)):
            return one
    raise ValueError(f"{name} is not filled")


def weights(path):
    tensors, filled = {}, {}
    with safetensors.safe_open(path, "pt") as file:
        for name in file.keys():
            tensor = file.get_tensor(name)
            tensors.setdefault(file.get_slice(name).get_dtype(), {})[name] = list(tensor.shape)
            if (other := filled_as(name, tensor)) != name:
                filled[name] = other
        return {"metadata": file.metadata(), "tensors": tensors, "filled_as": filled}


def text(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if '"precompiled_charsmap"' not in text:
        return text
    with open(os.path.join(transformer_pipelines.T5_FOLDER, "spiece.model"), "rb") as file:
        model = file.read()
    rules = json.loads(text)["normalizer"]["precompiled_charsmap"]
    assert text.count(rules) == 1
    bytes_ = base64.b64decode(rules)
    return text.replace(rules, CHARSMAP.format(model.index(bytes_), len(bytes_)))


def write(contents, folders):
    """One content a line, and one file a line."""
    path = os.path.join(reference.GOLDENS, "folders.json")
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in contents)
    folders = ",\n".join(json.dumps(name) + ": {\n" + ",\n".join(f"  {json.dumps(k)}: {v}" for k, v in files.items())
                         + "\n}" for name, files in folders.items())
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'{{\n"origin": {json.dumps(ORIGIN)},\n"contents": [\n{lines}\n],\n'
                   f'"folders": {{\n{folders}\n}}\n}}\n')
    print(path, os.path.getsize(path), "bytes")


def main():
    contents, folders = [], {}
    with tempfile.TemporaryDirectory() as root:
        for name in saved(root):
            files = folders[name] = {}
            for folder, _, names in sorted(os.walk(os.path.join(root, name))):
                for one in sorted(names):
                    path = os.path.join(folder, one)
                    content = weights(path) if one.endswith(".safetensors") else text(path)
                    if content not in contents:
                        contents.append(content)
                    files[os.path.relpath(path, os.path.join(root, name))] = contents.index(content)
    write(contents, folders)


if __name__ == "__main__":
    main()
