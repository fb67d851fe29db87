"""Compares golden values and manifests that were made again with the committed ones.

    parity/.venv/bin/python parity/compare.py

Prints every file that differs, by how much, and ends with 1 if one differs by more than rounding:
a reference of another version computes something else.
"""
import json
import subprocess
import sys

FOLDERS = ["parity/goldens", "parity/manifests"]
# Of a list's largest number: another processor sums in another order. The reference in bf16 was
# seen to differ by 2e-2 between two makers' processors where it differed by 1e-5 in f32.
ROUNDING, ROUNDING_BF16 = 1e-4, 4e-2


def allowed(at):
    return ROUNDING_BF16 if "/bf16-" in at else ROUNDING


def git(*arguments):
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


def numbers(value):
    return isinstance(value, list) and value and all(type(x) in (int, float) for x in value)


def differences(old, new, at=""):
    """Where two documents differ, and by how much; infinitely if not in numbers alone."""
    if numbers(old) and numbers(new) and len(old) == len(new):
        largest = max(map(abs, old)) or 1.0
        yield at, max(abs(a - b) for a, b in zip(old, new)) / largest
    elif isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            yield from differences(old[key], new[key], f"{at}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new)):
            yield from differences(a, b, f"{at}/{index}")
    elif type(old) is float and type(new) is float:
        yield at, abs(old - new) / (abs(old) or 1.0)
    elif old != new:
        yield at, float("inf")


def compared(path):
    old = git("show", f"HEAD:{path}")
    with open(path, "rb") as file:
        new = file.read()
    if not path.endswith(".json"):
        return [("", 0.0 if old == new else float("inf"))]
    return list(differences(json.loads(old), json.loads(new)))


def main():
    wrong = []
    paths = git("diff", "--name-only", "HEAD", "--", *FOLDERS).decode().split()
    for path in paths:
        found = compared(path)
        wrong += [path for at, by in found if by > allowed(at)]
        at, most = max(found, key=lambda found: found[1] / allowed(found[0]), default=("", 0.0))
        print(f"{path}: {most:.1e} of the largest number at {at or 'its whole'}")
    count = len(git("ls-files", *FOLDERS).decode().split())
    print(f"{count - len(paths)} of {count} files came out byte for byte as committed")
    if wrong:
        sys.exit(f"more than rounding: {', '.join(dict.fromkeys(wrong))}")


if __name__ == "__main__":
    main()
