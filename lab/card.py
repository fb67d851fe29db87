#!/usr/bin/env python3
"""Measures the scenes model on held-out prompts and writes the numbers of its card.

For each prompt one run of the program draws 64 candidates by random search; its journal holds
the score of every candidate by every verifier, so what each verifier would have chosen among the
first n is read off afterwards: all comparisons are paired and cost the same.

    cargo xtask card                 200 prompts, continues where it was stopped
"""
import argparse
import json
import os
import random
import subprocess

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BUDGETS = [1, 2, 4, 8, 16, 32, 64]
VERIFIERS = ["clip", "looks", "grader"]
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def held_out(count):
    command = [os.path.join(ROOT, "target/release/noisesearch-lab"), "held-out", str(count)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def scores_of(journal):
    """Scores of every candidate, in job order: [candidate][verifier]."""
    rows = []
    with open(journal) as lines:
        for line in lines:
            entry = json.loads(line.split(" ", 1)[1])
            for told in entry.get("told", []):
                rows.append(told["outcome"]["scores"])
    return rows


def measure(prompt, seed, args):
    command = [os.path.join(ROOT, "target/release/noisesearch"), "generate", prompt, "--json",
               "--search", "random", "--budget", f"{max(BUDGETS)}evals", "--seed", str(seed),
               "--verifier", "clip", "--watch", "looks", "--watch", "grader", "--out", args.runs]
    if args.steps:
        command += ["--steps", str(args.steps)]
    if args.guidance:
        command += ["--guidance", str(args.guidance)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    run = json.loads(result.stdout)["run"]
    return scores_of(os.path.join(run, "journal.jsonl"))


def ranks(values):
    """1 for the best; equal values share their mean rank."""
    return [1 + sum(w > v for w in values) + (sum(w == v for w in values) - 1) / 2 for v in values]


def chosen(rows, guide):
    """Index of the candidate that `guide` prefers; ties go to the earlier one."""
    if guide == "rank(clip,looks)":
        both = [ranks([r[VERIFIERS.index(v)] for r in rows]) for v in ("clip", "looks")]
        keys = [-sum(pair) for pair in zip(*both)]
    else:
        keys = [r[VERIFIERS.index(guide)] for r in rows]
    return keys.index(max(keys))


def interval(values, draws=4000):
    """Mean and 95 % bootstrap interval over prompts."""
    rng = random.Random(0)
    n = len(values)
    means = sorted(sum(rng.choices(values, k=n)) / n for _ in range(draws))
    return sum(values) / n, means[int(0.025 * draws)], means[int(0.975 * draws)]


def passes(rows, guide, n):
    return float(rows[chosen(rows[:n], guide)][VERIFIERS.index("grader")] >= 1.0)


def percent(triple):
    return "{:.1f} % [{:.1f}, {:.1f}]".format(*(100 * v for v in triple))


def table(cases):
    guides = ["clip", "looks", "rank(clip,looks)", "grader"]
    lines = [f"{len(cases)} held-out prompts, one seed each; 95 % bootstrap intervals over prompts.", "",
             "Share of answers that pass the exact grader, by number of candidates and by what chose "
             "among them (in the first three rows the grader was only watched):", "",
             "| chosen by | " + " | ".join(f"n = {n}" for n in BUDGETS) + " |",
             "|---|" + "---|" * len(BUDGETS)]
    for guide in guides:
        cells = [percent(interval([passes(c["rows"], guide, n) for c in cases])).split(" [")[0] for n in BUDGETS]
        lines.append(f"| {guide} | " + " | ".join(cells) + " |")
    lines += ["", "| what | best of 64 minus no search, paired |", "|---|---|"]
    base = [passes(c["rows"], "clip", 1) for c in cases]
    lines.append(f"| no search passes | {percent(interval(base))} |")
    for guide in guides:
        gain = [passes(c["rows"], guide, 64) - b for c, b in zip(cases, base)]
        lines.append(f"| gain when {guide} chooses | {percent(interval(gain))} |")
    lines += ["", "By category (no search, then best of 64 by clip, then by grader):", "",
              "| category | prompts | no search | clip | grader |", "|---|---|---|---|---|"]
    for category in sorted({c["category"] for c in cases}):
        part = [c for c in cases if c["category"] == category]
        share = lambda guide, n: f"{100 * sum(passes(c['rows'], guide, n) for c in part) / len(part):.0f} %"
        lines.append(f"| {category} | {len(part)} | {share('clip', 1)} | {share('clip', 64)} | {share('grader', 64)} |")
    return lines


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--prompts", type=int, default=200)
    p.add_argument("--runs", default=os.path.join(ROOT, "target/card-runs"))
    p.add_argument("--scores", default=os.path.join(ROOT, "target/card.jsonl"))
    p.add_argument("--card", default=os.path.join(ROOT, "lab/README.md"))
    p.add_argument("--steps", type=int)
    p.add_argument("--guidance", type=float)
    args = p.parse_args()
    done = {}
    if os.path.exists(args.scores):
        done = {c["prompt"]: c for c in map(json.loads, open(args.scores))}
    cases = []
    for seed, (category, prompt) in enumerate(held_out(args.prompts)):
        if prompt not in done:
            case = {"category": category, "prompt": prompt, "rows": measure(prompt, seed, args)}
            with open(args.scores, "a") as f:
                f.write(json.dumps(case) + "\n")
            done[prompt] = case
        cases.append(done[prompt])
    text = open(args.card).read()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    with open(args.card, "w") as f:
        f.write(before + BEGIN + "\n" + "\n".join(table(cases)) + "\n" + END + after)


if __name__ == "__main__":
    main()
