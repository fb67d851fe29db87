"""Golden values of the metrics of sets, from pytorch-fid and torch-fidelity on shared features."""
import json
import os

import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_prc import calculate_precision_recall_full

from reference import GOLDENS, inputs

torch.set_num_threads(1)
ORIGIN = "pytorch-fid 0.3.0, torch-fidelity 0.4.0, scipy 1.16.3; parity/metrics.py"
# Name, samples of either set, features, a factor and a shift of the generated set.
SETS = [
    ("plain", 200, 150, 8, 1.0, 0.1),
    ("narrow", 300, 300, 16, 0.7, 0.0),
    ("one rank-deficient", 400, 30, 64, 1.0, 0.2),
    ("both rank-deficient", 24, 40, 64, 1.1, 0.3),
    ("no plane shared", 10, 12, 64, 1.0, 0.0),
]
SHIFTED, CLASSES, SPLITS = 37, 12, [1, 3]
NEIGHBOURS = [1, 3, 5]


def pair(name, real, generated, dim, factor, shift):
    """Two sets whose features are mixed alike, so that their covariances are not diagonal."""
    mix = inputs(f"{name} mix", [dim, dim]).double() / dim**0.5 + torch.eye(dim).double()
    a, b = (inputs(f"{name} {which}", [n, dim]).double()
            for which, n in (("real", real), ("generated", generated)))
    return (a @ mix).float(), ((b * factor + shift) @ mix).float()


def frechet(a, b):
    """pytorch-fid's distance and torch-fidelity's."""
    of = lambda x: (x.numpy().mean(0, dtype=np.float64),
                    np.cov(x.double().numpy(), rowvar=False))
    statistics = [fid_features_to_statistics(x) for x in (a, b)]
    other = fid_statistics_to_metric(*statistics, verbose=False)
    return [float(calculate_frechet_distance(*of(a), *of(b))),
            float(other["frechet_inception_distance"])]


def distances():
    cases = []
    for name, *sizes in SETS:
        a, b = pair(name, *sizes)
        prc = {k: calculate_precision_recall_full(b, a, k) for k in NEIGHBOURS
               if k < min(len(a), len(b))}
        cases.append({"name": name, "sizes": sizes, "first": a[0].tolist(),
                      "frechet": frechet(a, b), "precision_recall": prc})
    return cases


def archive():
    """Statistics of the first set as pytorch-fid and ADM keep them, pictures beside them."""
    real, _ = pair(*SETS[0])
    mu, sigma = real.numpy().mean(0, dtype=np.float64), np.cov(real.double().numpy(), rowvar=False)
    path = os.path.join(GOLDENS, "metrics.npz")
    np.savez_compressed(path, arr_0=np.zeros([2, 4, 4, 3], np.uint8), mu=mu, sigma=sigma)
    return path


def inception_scores():
    logits = inputs("logits", [SHIFTED, CLASSES]) * 2
    of = lambda splits: isc_features_to_metric(logits, splits, shuffle=False)
    return {"n": SHIFTED, "classes": CLASSES,
            "cases": [[splits, *of(splits).values()] for splits in SPLITS]}


def main():
    golden = {"origin": ORIGIN, "sets": distances(), "inception_score": inception_scores()}
    path = os.path.join(GOLDENS, "metrics.json")
    with open(path, "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")
    for path in (path, archive()):
        print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
