"""Measures this program beside PyTorch and writes docs/performance.md: `cargo xtask bench`.

All sides of a row are started once and warmed, then asked in turn, so that a busy machine slows all
of them. Raw results are kept in benches/results, one file a row; the page is made of all of them,
so that a row can be measured again alone.
"""
import argparse
import json
import os
import platform
import subprocess
import tempfile
import time

import numpy as np

import page
import single
from rows import PRECISIONS, ROWS, SearchRow
from sides import ROOT, THREADS, Program, example, ours, peer

RESULTS = os.path.join(ROOT, "benches/results")
# Above this average of waiting processes, something else is using the processor.
QUIET_LOAD = 0.5
# Threads of a side that has just worked may spin for a while.
PAUSE_S = 0.05


def processor():
    """Its name, with the numbers that tell apart those that share one."""
    try:
        with open("/proc/cpuinfo") as lines:
            pairs = (line.split(":", 1) for line in lines if ":" in line)
            facts = {name.strip(): value.strip() for name, value in pairs}
        return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"
    except (OSError, KeyError):
        return platform.machine()


def matrix_rate(device):
    """GFLOP/s of large bf16 products on a device."""
    import torch

    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    rounds = 20
    for _ in range(2):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(rounds):
            a @ b
        torch.cuda.synchronize(device)
    return 2e-9 * rounds * 8192**3 / (time.perf_counter() - start)


def peaks(device):
    """GFLOP/s of all threads by number format, those that are known."""
    if device != "cpu":
        return {"bf16": matrix_rate(device)}
    rates = zip(PRECISIONS, example("peak", "all").split())
    return {precision: float(rate) for precision, rate in rates if rate != "-"}


def name_of(device):
    import torch

    return processor() if device == "cpu" else torch.cuda.get_device_name(device)


def surroundings(device):
    """What a figure belongs to."""
    import diffusers
    import torch
    import transformers

    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True,
                         text=True).stdout.strip()
    return {"processor": name_of(device), "threads": THREADS, "load": os.getloadavg()[0],
            "peak_gflops": peaks(device),
            "versions": {"noisesearch": git, "torch": torch.__version__,
                         "diffusers": diffusers.__version__,
                         "transformers": transformers.__version__}}


def started(row):
    """The sides of a row, ours first; the first peer counts operations."""
    if isinstance(row, SearchRow):
        how = {"algorithm": row.algorithm, "count": row.count}
        return ([Program(row, precision) for precision in PRECISIONS]
                + [peer("search", {**how, "batch": batch}, mode, f"{mode}, batch {batch}")
                   for mode in ("f32", "bf16") for batch in row.batches])
    return ([ours(row.subject, row.how, precision, row.device) for precision in row.precisions]
            + [peer(row.subject, row.how, mode, device=row.device) for mode in row.modes])


def results(sides):
    """What each side computes, which also warms it."""
    with tempfile.TemporaryDirectory() as folder:
        for number, side in enumerate(sides):
            path = os.path.join(folder, str(number))
            side.ask(f"save {path}")
            yield np.fromfile(path, "<f4").astype(np.float64)


def errors(row, sides):
    """How far each result is from PyTorch's first, as a part of its root mean square."""
    everything = list(results(sides))
    reference = everything[[side.name.startswith("PyTorch") for side in sides].index(True)]
    rms = lambda x: float(np.sqrt(np.mean(np.square(x))))
    for side, result in zip(sides, everything):
        if result.shape != reference.shape:
            raise SystemExit(f"{row.name}: {side.name} gave {result.shape}, not {reference.shape}")
        yield rms(result - reference) / rms(reference)


def measured(row, rounds):
    sides = started(row)
    compared = not isinstance(row, SearchRow) and row.same
    error = list(errors(row, sides)) if compared else [None] * len(sides)
    first = next(side for side in sides if side.name.startswith("PyTorch"))
    gflop = float(first.ask("flop")) * 1e-9
    times = []
    for _ in range(rounds):
        times.append([])
        for side in sides:
            time.sleep(PAUSE_S)
            times[-1].append(side.seconds())
    for side in sides:
        side.end()
    return {"gflop": gflop, "sides": [
        {"name": side.name, "precision": side.precision, "seconds": list(seconds), "error": wrong}
        for side, seconds, wrong in zip(sides, zip(*times), error)]}


def keep(name, result):
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, f"{name}.json"), "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


def main():
    names = [row.name for row in ROWS] + list(single.MEASURES)
    devices = {row.name: getattr(row, "device", "cpu") for row in ROWS}
    usual = [name for name in names if name != "build" and devices.get(name, "cpu") == "cpu"]
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("names", nargs="*", metavar="ROW", help="rows to measure; all but `build` and those of a GPU")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--list", action="store_true", help="print the names of all rows")
    p.add_argument("--page", action="store_true", help="measure nothing, only write the page")
    args = p.parse_args()
    unknown = set(args.names) - set(names)
    if unknown:
        p.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if args.list:
        print("\n".join(names))
        return
    wanted = [] if args.page else args.names or usual
    around = {}
    for name in wanted:
        print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)
        device = devices.get(name, "cpu")
        if device not in around:
            around[device] = surroundings(device)
            if around[device]["load"] > QUIET_LOAD:
                print(f"this machine is not quiet (load {around[device]['load']:.1f}): no figure "
                      "will mean much")
        row = next((row for row in ROWS if row.name == name), None)
        result = measured(row, args.rounds) if row else {"lines": single.MEASURES[name]()}
        keep(name, {**around[device], **result})
        page.write(ROWS, single.MEASURES, RESULTS)
    page.write(ROWS, single.MEASURES, RESULTS)


if __name__ == "__main__":
    main()
