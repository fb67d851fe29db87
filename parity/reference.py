"""What the scripts that make golden values share: deterministic weights, taps, and the file.

A golden file holds where it comes from, the configuration, every tensor's name and shape, and
samples of what the reference computed. Weights are not stored: both sides fill every tensor from
its name (the Rust side is crates/noisesearch-models/src/parity.rs).
"""
import json
import math
import os

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDENS = os.path.join(HERE, "goldens")
MANIFESTS = os.path.join(HERE, "manifests")
SAMPLES = 256
# Numbers made at a time, which stay in the cache.
BLOCK = 1 << 14


def uniform(name, count):
    """`count` numbers in [-1, 1): splitmix64 of (FNV-1a of the name) + index, exact in f32."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    out = np.empty(count, np.float32)
    for begin in range(0, count, BLOCK):
        places = np.arange(begin + 1, min(begin + BLOCK, count) + 1, dtype=np.uint64)
        z = np.uint64(seed) + places * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        u = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23)
        out[begin:begin + BLOCK] = u - np.float32(1)
    return out


def fill(name, shape):
    """A tensor's values: matrices keep the variance of what they multiply, one-dimensional
    weights are about one, everything else is small."""
    shape = list(shape)
    u = uniform(name, math.prod(shape)).reshape(shape)
    if len(shape) >= 2:
        return u * np.float32(math.sqrt(3 / math.prod(shape[1:])))
    about_one = (".weight", ".scale", "_norm", "layer_norm", ".running_var")
    if name.endswith(about_one) or name == "weight":
        return 1 + np.float32(0.1) * u
    return np.float32(0.1) * u


def inputs(name, shape):
    """An input of unit variance."""
    values = uniform(name, math.prod(shape)).reshape(list(shape)) * np.float32(math.sqrt(3))
    return torch.from_numpy(values)


def filled(module):
    """Fills every floating tensor of a module's state and returns the module in eval mode."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(np.asarray(fill(name, tensor.shape))))
    return module.eval()


# The number format of every floating tensor of the references, and its name in safetensors.
DTYPE, DTYPE_NAME = torch.float32, "F32"


def manifest(module, skip=()):
    """Names and shapes of the floating tensors that a checkpoint of the module holds; counters of
    batches and numbers of positions, which are integers, nobody reads."""
    tensors = {name: tensor for name, tensor in module.state_dict().items()
               if tensor.is_floating_point() and not name.endswith(tuple(skip))}
    for name, tensor in tensors.items():
        if tensor.dtype != DTYPE:
            raise TypeError(f"{name} is {tensor.dtype}; manifests have one format for all")
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def sampled(tensor):
    """Shape and at most SAMPLES elements, evenly spread over the row-major order."""
    flat = tensor.detach().float().contiguous().flatten()
    count = len(flat)
    if count > SAMPLES:
        flat = flat[[i * count // SAMPLES for i in range(SAMPLES)]]
    return {"shape": list(tensor.shape), "values": [float(f"{v:.8g}") for v in flat.tolist()]}


class Taps:
    """Records what modules return: `taps.watch(module, "name")`, or `taps["name"] = tensor`."""

    def __init__(self):
        self.values = {}

    def __setitem__(self, name, tensor):
        self.values[name] = sampled(tensor)

    def watch(self, module, name):
        first = lambda out: out[0] if isinstance(out, tuple) else out
        module.register_forward_hook(lambda _m, _i, out: self.__setitem__(name, first(out)))


def write(name, origin, config, tensors, taps, **more):
    """Writes goldens/NAME.json, one tap a line."""
    os.makedirs(GOLDENS, exist_ok=True)
    golden = {"origin": origin, "config": config, "tensors": tensors,
              "taps": taps.values if isinstance(taps, Taps) else taps, **more}
    path = os.path.join(GOLDENS, name + ".json")
    with open(path, "w") as file:
        file.write("{\n")
        for i, (key, value) in enumerate(golden.items()):
            comma = "," if i + 1 < len(golden) else ""
            if isinstance(value, dict) and key in ("taps", "tensors"):
                rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
                file.write(f"{json.dumps(key)}: {{\n" + ",\n".join(rows) + f"\n}}{comma}\n")
            else:
                file.write(f"{json.dumps(key)}: {json.dumps(value)}{comma}\n")
        file.write("}\n")
    print(path, os.path.getsize(path), "bytes")


def write_manifest(name, origin, config, tensors):
    """Writes manifests/NAME.json: number format, names and shapes of a published checkpoint, one a
    line."""
    os.makedirs(MANIFESTS, exist_ok=True)
    path = os.path.join(MANIFESTS, name + ".json")
    rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(tensors.items())]
    with open(path, "w") as file:
        file.write(f'{{\n"origin": {json.dumps(origin)},\n"config": {json.dumps(config)},\n')
        file.write(f'"dtype": {json.dumps(DTYPE_NAME)},\n')
        file.write('"tensors": {\n' + ",\n".join(rows) + "\n}\n}\n")
    print(path, os.path.getsize(path), "bytes")
