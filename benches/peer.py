"""PyTorch's side of the comparison: `peer.py SUBJECT MODE ARGUMENTS`, the last as JSON.

Loads its subject once, then answers every line on stdin with a line on stdout: `run` with the
seconds of one run, `save PATH` after writing the result's numbers there as little-endian f32, and
`flop` with the operations of one run. MODE is words: `f32`, `bf16` or `autocast`, maybe
`channels_last`, `inductor` or `compiled`, then a device.
"""
import contextlib
import json
import os
import sys
import time

import torch

import networks
import searches

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
# A time is the mean of runs that take at least this long together.
SECONDS_MIN = 0.2


def cast(value, kind):
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.to(kind)
    return value


def moved(value, device):
    return value.to(device) if isinstance(value, torch.Tensor) else value


def wait(device):
    """Until a GPU has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def network(name, mode, how):
    """A function that runs a network once."""
    subject = networks.SUBJECTS[name](**how)
    module, arguments, keywords = subject.module.eval(), subject.arguments, subject.keywords
    if "bf16" in mode:
        module = module.bfloat16()
        arguments = [cast(value, torch.bfloat16) for value in arguments]
        keywords = {name: cast(value, torch.bfloat16) for name, value in keywords.items()}
    if (device := mode[-1]) != "cpu":
        module = module.to(device)
        arguments = [moved(value, device) for value in arguments]
        keywords = {name: moved(value, device) for name, value in keywords.items()}
    if "channels_last" in mode:
        module = module.to(memory_format=torch.channels_last)
        arguments = [value.to(memory_format=torch.channels_last)
                     if isinstance(value, torch.Tensor) and value.dim() == 4 else value
                     for value in arguments]
    if "inductor" in mode:
        # Weights are packed once, which is the best that PyTorch does for inference.
        module = torch.compile(module, options={"freezing": True})
    if "compiled" in mode:
        module = torch.compile(module)
    precision = contextlib.nullcontext()
    if "autocast" in mode:
        precision = torch.autocast("cpu", torch.bfloat16)

    def run():
        with precision:
            return subject.result(module(*arguments, **keywords))

    return run


def loaded(name, mode, how):
    if name == "search":
        return searches.search(**how, bf16="bf16" in mode)
    if name == "best-of":
        return searches.best_of(**how, bf16="bf16" in mode)
    return network(name, mode, how)


def seconds(work, device):
    start, runs = time.perf_counter(), 0
    while True:
        work()
        wait(device)
        runs += 1
        taken = time.perf_counter() - start
        if taken >= SECONDS_MIN:
            return taken / runs


def operations(work):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@torch.no_grad()
def main():
    name, mode, how = sys.argv[1:]
    work = loaded(name, mode.split(), json.loads(how))
    # Modules of references set another number when they are imported.
    torch.set_num_threads(THREADS)
    print("ready", flush=True)
    for line in sys.stdin:
        what, _, path = line.strip().partition(" ")
        if what == "save":
            work().float().contiguous().cpu().numpy().astype("<f4").tofile(path)
            answer = "saved"
        elif what == "flop":
            answer = operations(work)
        else:
            answer = seconds(work, mode.split()[-1])
        print(answer, flush=True)


if __name__ == "__main__":
    main()
