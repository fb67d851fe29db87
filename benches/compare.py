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
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
RELEASE = os.path.join(TARGET, "release")
PROGRAM = os.path.join(RELEASE, "noisesearch")
PEER = [sys.executable, os.path.join(ROOT, "benches/torch_peer.py")]
PROMPT = "two red circles and a blue square"
# Of one evaluation of one row without guidance.
SCENES_GFLOP = 0.52


def example(name, *arguments):
    command = [os.path.join(RELEASE, "examples", name), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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

    def __init__(self, out):
        self.command = [PROGRAM, "generate", PROMPT, "--json", "--budget", "64evals", "--steps", "20",
                        "--guidance", "2", "--solver", "euler", "--verifier", "clip", "--out", out]

    def once(self):
        out = subprocess.run(self.command, check=True, capture_output=True, text=True).stdout
        return json.loads(out)["seconds"]

    def end(self):
        pass


def spread(times):
    return f"{min(times):.4f} - {statistics.median(times):.4f} - {max(times):.4f}"


def paired(ours, peer, rounds):
    times = [(ours.once(), peer.once()) for _ in range(rounds)]
    ours.end()
    peer.end()
    return [o for o, _ in times], [p for _, p in times]


def against_pytorch(rounds, peak, out):
    """The rows of the table against PyTorch; the best ratio of whole searches is quoted below it."""
    yield "| what | noisesearch, s | PyTorch, s | faster | share of the peak |"
    yield "|---|---|---|---|---|"
    row = lambda what, o, p, share: (f"| {what} | {spread(o)} | {spread(p)} "
                                     f"| {statistics.median(b / a for a, b in zip(o, p)):.2f}x | {share} |")
    for batch in (1, 16, 64):
        ours = Asked([os.path.join(RELEASE, "examples/denoise_speed"), str(batch)])
        o, p = paired(ours, Asked(PEER + ["denoise", "scenes", str(batch)]), rounds)
        share = 2 * batch * SCENES_GFLOP / statistics.median(o) / peak
        yield row(f"scenes, one guided evaluation of {batch}", o, p, f"{100 * share:.0f} %")
    for batch in (1, 4, 16, 64):
        peer = Asked(PEER + ["search", str(batch), "64"])
        o, p = paired(Search(out), peer, max(3, rounds // 2))
        share = 64 * 20 * 2 * SCENES_GFLOP / statistics.median(o) / peak
        yield row(f"whole best of 64, the peer {batch} at a time", o, p, f"{100 * share:.0f} %")


def overhead():
    """Rows of what a candidate costs beside denoiser, decoder and verifiers."""
    yield "| candidates | microseconds each | peak memory, MB | journal on |"
    yield "|---|---|---|---|"
    places = [("memory", "/dev/shm")] if os.path.isdir("/dev/shm") else []
    for name, place in places + [("disk", tempfile.gettempdir())]:
        for candidates in (10**3, 10**4, 10**5, 10**6):
            last = example("overhead", candidates, place).splitlines()[-2].split()
            yield f"| {candidates:,} | {last[2]} | {last[7]} | {name} |"


def first_command(out):
    """Seconds of the README's first command until its first picture and until its end."""
    start = time.perf_counter()
    process = subprocess.Popen([PROGRAM, "generate", PROMPT, "--out", out],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = None
    while process.poll() is None:
        if first is None and any("best.png" in files for _, _, files in os.walk(out)):
            first = time.perf_counter() - start
        time.sleep(0.01)
    return first, time.perf_counter() - start


def processor():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def page(rounds):
    import torch

    peak = float(example("peak", "all"))
    yield "# Performance\n"
    yield ("Written by `cargo xtask bench`: seconds, minimum - median - maximum; \"faster\" is the "
           "median of paired ratios.\n")
    yield (f"Machine: {processor()}, {os.cpu_count()} cores, measured peak of all threads "
           f"{peak:.0f} GFLOP/s in f32. Peer: PyTorch {torch.__version__}, eager, f32, two threads, "
           f"same weights, written for this bench (`benches/torch_peer.py`). {rounds} rounds; whole "
           f"searches {max(3, rounds // 2)}.\n")
    with tempfile.TemporaryDirectory() as out:
        yield from against_pytorch(rounds, peak, out)
    yield "\n## Besides denoiser, decoder and verifiers\n"
    yield f"Of a real best of 64 on scenes: {example('engine_share', 64).strip()}.\n"
    yield "With a denoiser and a verifier that answer at once (`--example overhead`):\n"
    yield from overhead()
    with tempfile.TemporaryDirectory() as out:
        first, whole = first_command(out)
    yield (f"\n## The README's first command\n\nFirst picture after {first:.2f} s, end after "
           f"{whole:.1f} s (64 candidates of 16 guided steps, report included).\n")
    yield "## Matrix products\n\n```text"
    yield example("peak").strip()
    yield "```"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default=os.path.join(ROOT, "docs/performance.md"))
    p.add_argument("--rounds", type=int, default=7)
    args = p.parse_args()
    lines = []
    for line in page(args.rounds):
        print(line, flush=True)
        lines.append(line)
    with open(args.out, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
