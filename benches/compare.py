"""Measures this program beside PyTorch (eager, f32) in one run and writes docs/performance.md.

Both sides are started once, warmed, then asked in turn, so that a busy machine slows both; each
figure is minimum - median - maximum of the rounds, and the ratio is the median of paired ratios.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PEER = [sys.executable, os.path.join(ROOT, "benches/torch_peer.py")]
PROMPT = "two red circles and a blue square"


class Asked:
    """A process that prints one time in seconds for every line it reads."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.once()

    def once(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Search:
    """A whole run of the program, by the seconds that it reports."""

    def once(self):
        command = [os.path.join(TARGET, "release/noisesearch"), "generate", PROMPT, "--json",
                   "--budget", "64evals", "--steps", "20", "--guidance", "2", "--solver", "euler",
                   "--verifier", "clip", "--out", os.path.join(TARGET, "bench-runs")]

        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return json.loads(out)["seconds"]

    def end(self):
        pass


def paired(ours, peer, rounds):
    times = [(ours.once(), peer.once()) for _ in range(rounds)]
    ours.end()
    peer.end()
    ratio = statistics.median(p / o for o, p in times)
    spread = lambda ts: f"{min(ts):.4f} - {statistics.median(ts):.4f} - {max(ts):.4f}"
    return spread([o for o, _ in times]), spread([p for _, p in times]), ratio


def rows(rounds):
    example = os.path.join(TARGET, "release/examples/denoise_speed")
    for batch in (1, 16, 64):
        ours, peer = Asked([example, str(batch)]), Asked(PEER + ["denoise", "scenes", str(batch)])
        yield (f"scenes, one guided evaluation of {batch}", *paired(ours, peer, rounds))
    for batch in (1, 16):
        peer = Asked(PEER + ["search", str(batch), "64"])
        yield (f"whole best of 64; the peer {batch} at a time", *paired(Search(), peer, max(3, rounds // 2)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default=os.path.join(ROOT, "docs/performance.md"))
    p.add_argument("--rounds", type=int, default=7)
    args = p.parse_args()
    import torch

    lines = ["# Performance", "",
             "Written by `cargo xtask bench`: seconds, minimum - median - maximum; the last column "
             "is how many times faster than the peer, the median of paired ratios.", "",
             f"Machine: {platform.machine()}, {os.cpu_count()} cores. Peer: PyTorch "
             f"{torch.__version__}, eager, f32, two threads, same weights. {args.rounds} rounds.", "",
             "| what | noisesearch, s | PyTorch, s | faster |", "|---|---|---|---|"]
    for what, ours, peer, ratio in rows(args.rounds):
        lines.append(f"| {what} | {ours} | {peer} | {ratio:.2f}x |")
        print(lines[-1], flush=True)
    with open(args.out, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
