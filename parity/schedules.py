#!/usr/bin/env python3
"""Golden tables of noise paths and step spacings -> parity/goldens/schedules.json.

Re-derived, in exact rational or 50-digit arithmetic, from the formulas of
  * diffusers v0.31 `schedulers/scheduling_ddim.py`: betas "linear", "scaled_linear",
    "squaredcos_cap_v2" (`betas_for_alpha_bar`), `alphas_cumprod`, "trailing" timesteps;
  * DPM-Solver `dpm_solver_pytorch.py`, `NoiseScheduleVP('discrete')`: time (k + 1) / T and
    linear interpolation of ln alpha;
  * Stable Diffusion 3 (arXiv 2403.03206): the shift of flow times.
Whole indices of "trailing" steps are those of diffusers v0.42.1 itself: its DDIM, DPM-Solver++ and
Euler schedulers, which agree; "flow" is its scheduler of FLUX.1 as its pipeline calls it.
Run: parity/.venv/bin/python parity/schedules.py
"""

import json
import math
from decimal import Decimal, getcontext
from pathlib import Path

getcontext().prec = 50
T = 1000
LEVELS = [0.0, 0.00025, 0.001, 0.0015, 0.01, 0.11, 0.25, 0.4, 0.5, 0.78125, 0.89, 0.999, 1.0]


def spaced(start, end):
    """numpy.linspace(start, end, T)."""
    return [start + (end - start) * k / (T - 1) for k in range(T)]


def cosine():
    """betas_for_alpha_bar(T, max_beta=0.999)."""
    bar = lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return [Decimal(min(1 - bar((k + 1) / T) / bar(k / T), 0.999)) for k in range(T)]


def table(betas):
    """alpha and sigma at LEVELS; a level is exactly the f32 nearest to the decimal."""
    logs, total = [Decimal(0)], Decimal(0)
    for beta in betas:
        total += (1 - beta).ln() / 2
        logs.append(total)
    rows = []
    for level in LEVELS:
        t = Decimal(f32(level)) * T
        k = min(int(t), T - 1)
        log_alpha = logs[k] + (logs[k + 1] - logs[k]) * (t - k)
        alpha = log_alpha.exp()
        rows.append({"level": level, "alpha": float(alpha), "sigma": float((1 - alpha**2).sqrt())})
    return rows


def f32(x):
    """The f32 nearest to x, as a float."""
    import struct

    return struct.unpack("f", struct.pack("f", x))[0]


def shifted(shift, steps):
    """FlowMatchEulerDiscreteScheduler: sigma = s u / (1 + (s - 1) u), u from 1 to 0."""
    u = [1 - i / steps for i in range(steps + 1)]
    return [shift * v / (1 + (shift - 1) * v) for v in u]


def trailing(steps):
    """diffusers "trailing": round(arange(T, 0, -T / steps)) - 1, as levels (index + 1) / T."""
    return [round(T - i * T / steps) / T for i in range(steps)] + [0.0]


def indices(steps):
    """The timesteps of diffusers' schedulers with "trailing" spacing, as levels (index + 1) / T."""
    import diffusers

    kinds = [diffusers.DDIMScheduler, diffusers.DPMSolverMultistepScheduler,
             diffusers.EulerDiscreteScheduler]
    found = []
    for kind in kinds:
        scheduler = kind(timestep_spacing="trailing")
        scheduler.set_timesteps(steps)
        found.append([(int(t) + 1) / T for t in scheduler.timesteps])
    assert found[0] == found[1] == found[2], steps
    return found[0] + [0.0]


def flow(side, steps, dev=True):
    """The sigmas of FLUX.1 for a square image, as diffusers' pipeline asks for them."""
    import diffusers
    import numpy
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    # scheduler_config.json of FLUX.1-dev, and of -schnell.
    config = {"base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096,
              "max_shift": 1.15, "num_train_timesteps": 1000, "shift": 3.0 if dev else 1.0,
              "use_dynamic_shifting": dev}
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**config)
    mu = calculate_shift((side // 16) ** 2, 256, 4096, 0.5, 1.15)
    scheduler.set_timesteps(sigmas=numpy.linspace(1, 1 / steps, steps), mu=mu)
    return {"config": config, "side": side, "steps": steps, "sigmas": scheduler.sigmas.tolist()}


def main():
    root = lambda x: Decimal(x).sqrt()
    betas = {
        "linear": spaced(Decimal("0.0001"), Decimal("0.02")),
        "scaled_linear": [b * b for b in spaced(root("0.00085"), root("0.012"))],
        "cosine": cosine(),
    }
    goldens = {
        "origin": "parity/schedules.py",
        "paths": {name: table(values) for name, values in betas.items()},
        "shift": {str(s): shifted(s, 8) for s in (1.0, 3.0, 0.5)},
        "trailing": {str(n): trailing(n) for n in (1, 4, 10, 50)},
        "indices": {str(n): indices(n) for n in (3, 7, 16, 30, 48)},
        "flow": [flow(512, 4), flow(512, 28), flow(768, 15), flow(1024, 4), flow(1024, 28),
                 flow(1024, 50), flow(1536, 28), flow(512, 4, False), flow(1024, 4, False)],
    }
    out = Path(__file__).parent / "goldens" / "schedules.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main()
