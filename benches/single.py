"""Measurements that have no peer: each gives the lines of the page that say what was measured."""
import os
import shutil
import statistics
import subprocess
import tempfile
import time

from sides import PROGRAM, PROMPT, ROOT, example

# Runs of which the page says minimum, median and maximum.
RUNS = 7


def overhead():
    """What a candidate costs beside denoiser, decoder and verifiers."""
    yield "With a denoiser and a verifier that answer at once (`--example overhead`):\n"
    yield "| candidates | microseconds each | peak memory, MB | journal on |"
    yield "|---|---|---|---|"
    places = [("memory", "/dev/shm")] if os.path.isdir("/dev/shm") else []
    fixed = []
    for name, place in places + [("disk", tempfile.gettempdir())]:
        seconds = {}
        for candidates in (10**3, 10**4, 10**5, 10**6):
            last = example("overhead", candidates, place).splitlines()[-2].split()
            seconds[candidates] = 1e-6 * candidates * float(last[2])
            yield f"| {candidates:,} | {last[2]} | {last[7]} | {name} |"
        fewest, most = min(seconds), max(seconds)
        each = (seconds[most] - seconds[fewest]) / (most - fewest)
        once = seconds[fewest] - fewest * each
        where = "in memory" if name == "memory" else "on disk"
        fixed.append(f"{1e3 * once:.0f} ms and {1e6 * each:.1f} us a candidate {where}")
    yield ("\nA line through the shortest and the longest run: " + ", ".join(fixed)
           + ". What a run costs once (its directory, pictures and report) is most of the short ones.")


def engine_share():
    yield f"Of a real best of 64 on scenes: {example('engine_share', 64).strip()}."


def spread(values, unit):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:.0f} - {middle:.0f} - {high:.0f} {unit}"


def start():
    """From the start of the process until the run directory is there and, at the latest, until a
    run of one candidate and one step is over. The first call of the denoiser lies between."""
    begun, over = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as out:
            command = [PROGRAM, "generate", PROMPT, "--budget", "1evals", "--steps", "1", "--out", out]
            before, clock = time.time(), time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            over.append(1e3 * (time.perf_counter() - clock))
            (run,) = os.scandir(out)
            begun.append(1e3 * (os.stat(os.path.join(run, "run.toml")).st_mtime - before))
    yield (f"Start of the program to the run directory, with the lab's model and verifiers loaded: "
           f"{spread(begun, 'ms')}; to the end of a run of one candidate and one step, pictures and "
           f"report included: {spread(over, 'ms')}. The first call of the denoiser lies between.")


def first_command():
    """Seconds of the README's first command until its first picture and until its end."""
    with tempfile.TemporaryDirectory() as out:
        begun = time.perf_counter()
        process = subprocess.Popen([PROGRAM, "generate", PROMPT, "--out", out],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = None
        while process.poll() is None:
            if first is None and any("best.png" in files for _, _, files in os.walk(out)):
                first = time.perf_counter() - begun
            time.sleep(0.01)
        whole = time.perf_counter() - begun
    yield (f"First picture after {first:.2f} s, end after {whole:.1f} s (64 candidates of 16 guided "
           "steps, report included).")


def size():
    yield f"The program has {os.path.getsize(PROGRAM) / 1e6:.1f} MB, the lab's models included."


def build():
    """Of the program from nothing, with what it depends on already downloaded."""
    cargo = ["cargo", "build", "--release", "--locked", "--bin", "noisesearch"]
    subprocess.run(["cargo", "fetch", "--locked"], cwd=ROOT, check=True)
    target = tempfile.mkdtemp()
    try:
        begun = time.perf_counter()
        subprocess.run(cargo, cwd=ROOT, check=True, env={**os.environ, "CARGO_TARGET_DIR": target})
        taken = time.perf_counter() - begun
    finally:
        shutil.rmtree(target, ignore_errors=True)
    yield f"A clean `{' '.join(cargo)}` takes {taken:.0f} s."


def products():
    yield "```text"
    yield example("peak").strip()
    yield "```"


def lines(measure):
    return lambda: list(measure())


MEASURES = {name: lines(measure) for name, measure in {
    "engine-share": engine_share, "overhead": overhead, "first-command": first_command,
    "start": start, "size": size, "build": build, "products": products}.items()}
