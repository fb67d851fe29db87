"""The processes that are measured in turn."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
RELEASE = os.path.join(TARGET, "release")
PROGRAM = os.path.join(RELEASE, "noisesearch")
PROMPT = "two red circles and a blue square"
# Rayon on our side and OpenMP on the peer's take this many threads.
THREADS = os.cpu_count()


def example(name, *arguments):
    command = [os.path.join(RELEASE, "examples", name), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Server:
    """A process that answers each line it reads with a line.

    It is made when its subject is loaded: loading takes more memory than what is loaded, so sides
    load one after the other.
    """

    def __init__(self, name, precision, command):
        self.name, self.precision = name, precision
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with {self.process.wait()}; what it said is above")
        return line.strip()

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def seconds(self):
        return float(self.ask("run"))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Program:
    """Whole runs of the program, started anew for each, by the seconds that it reports."""

    def __init__(self, row, precision):
        self.name, self.precision = f"noisesearch {precision}", precision
        self.out = tempfile.TemporaryDirectory()
        self.command = [PROGRAM, "generate", PROMPT, "--json", "--budget", f"{row.count}evals",
                        "--steps", "20", "--guidance", "2", "--solver", "euler", "--seed", "1",
                        "--dtype", precision,
                        "--search", row.algorithm, "--verifier", "clip", "--out", self.out.name]

    def seconds(self):
        out = subprocess.run(self.command, check=True, capture_output=True, text=True).stdout
        return json.loads(out)["seconds"]

    def end(self):
        self.out.cleanup()


def ours(subject, how, precision, device="cpu"):
    # One that `scripts/build-cuda.sh` made, where it is asked for a GPU.
    program = os.environ.get("NOISESEARCH_BENCH", os.path.join(RELEASE, "examples/bench"))
    command = [program, subject, f"{precision} {device}", json.dumps(how)]
    return Server(f"noisesearch {precision}", precision, command)


def peer(subject, how, mode, name=None, device="cpu"):
    command = [sys.executable, os.path.join(ROOT, "benches/peer.py"), subject, f"{mode} {device}",
               json.dumps(how)]
    precision = "f32" if "f32" in mode else "bf16"
    return Server(f"PyTorch {name or mode}", precision, command)
