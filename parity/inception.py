"""Golden values of Inception-v3 as FID uses it: every kind of block on its own, and the whole
network on a small image; the manifest of the published checkpoint."""
import numpy as np
import pytorch_fid.inception as fid
import torch
import torch.nn.functional as F
from pytorch_fid.fid_score import calculate_frechet_distance

from reference import Taps, filled, inputs, manifest, write, write_manifest

torch.set_num_threads(1)
ORIGIN = "pytorch-fid 0.3.0 fid_inception_v3, torchvision; parity/inception.py"
# One of each kind, with the inputs it gets in the network.
BLOCKS = {"Mixed_5b": 192, "Mixed_6a": 288, "Mixed_6b": 768, "Mixed_7a": 768, "Mixed_7b": 1280,
          "Mixed_7c": 2048}
SIDE, IMAGE = 5, 79


def reference():
    """The network without its weights, which would be downloaded."""
    load, fid.load_state_dict_from_url = fid.load_state_dict_from_url, lambda *_, **__: {}
    strict, torch.nn.Module.load_state_dict = torch.nn.Module.load_state_dict, lambda *_: None
    try:
        return fid.fid_inception_v3()
    finally:
        fid.load_state_dict_from_url, torch.nn.Module.load_state_dict = load, strict


def whole(model, taps):
    x = inputs("image", [2, 3, IMAGE, IMAGE])
    for name, module in model.named_children():
        if name.startswith(("avgpool", "dropout", "fc", "AuxLogits")):
            continue
        x = module(x)
        if name in ("Conv2d_4a_3x3", "Mixed_5b", "Mixed_6e", "Mixed_7c"):
            taps[name] = x.permute(0, 2, 3, 1)
    features = F.adaptive_avg_pool2d(x, 1).flatten(1)
    taps["features"] = features
    taps["logits"] = model.fc(features)


def frechet():
    """Distances of numpy's estimates, with pytorch-fid's own function."""
    import scipy
    rows = inputs("frechet", [40, 6]).double().numpy() @ inputs("mix", [6, 6]).double().numpy()
    mean, covariance = rows.mean(0), np.cov(rows, rowvar=False)
    cases = []
    for count in (7, 12, 30):
        some = inputs(f"some{count}", [count, 6]).double().numpy() + 0.3
        distance = calculate_frechet_distance(some.mean(0), np.cov(some, rowvar=False),
                                              mean, covariance)
        cases.append([count, float(distance)])
    return {"scipy": scipy.__version__, "mean": mean.tolist(),
            "covariance": covariance.tolist(), "cases": cases}


def main():
    model, taps = filled(reference()), Taps()
    with torch.no_grad():
        for name, channels in BLOCKS.items():
            y = getattr(model, name)(inputs(name, [1, channels, SIDE, SIDE]).relu())
            taps[name + " alone"] = y.permute(0, 2, 3, 1)
        whole(model, taps)
        small = inputs("picture", [1, 3, 24, 17]).abs()
        taps["resized"] = F.interpolate(small, (299, 299), mode="bilinear", align_corners=False)
    config = {"side": SIDE, "image": IMAGE, "blocks": BLOCKS}
    write("inception", ORIGIN, config, manifest(model), taps, frechet=frechet())
    with torch.device("meta"):
        write_manifest("inception", ORIGIN, {}, manifest(reference()))


if __name__ == "__main__":
    main()
