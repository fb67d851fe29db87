"""Writes docs/performance.md from the results of all rows."""
import json
import os
import statistics

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs/performance.md")
SINGLE = {"Beside denoiser, decoder and verifiers": ["engine-share", "overhead"],
          "The program": ["first-command", "start", "size", "build"], "Matrix products": ["products"]}


def spread(values, digits):
    shown = (min(values), statistics.median(values), max(values))
    return " - ".join(f"{value:.{digits}f}" for value in shown)


def span(values, name):
    """From the smallest to the largest, where they differ."""
    ends = [f"{end:.0f}" for end in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends)) + f" in {name}"


def times(seconds):
    """Minimum - median - maximum in a unit that suits them."""
    middle = statistics.median(seconds)
    if middle >= 1:
        return spread(seconds, 2) + " s"
    return spread([1e3 * s for s in seconds], 1 if middle >= 0.01 else 2) + " ms"


def peak_of(precision, result):
    """That of f32, or else of the only one, where this one was not measured."""
    peaks = result["peak_gflops"]
    return peaks.get(precision, peaks.get("f32", peaks.get("bf16")))


def table(row, result):
    sides = result["sides"]
    own = {side["precision"]: side for side in sides if side["name"].startswith("noisesearch")}
    yield f"**{row.what}**, {result['gflop']:.4g} GFLOP\n"
    yield "| | time | GFLOP/s | share of peak | noisesearch faster | error |"
    yield "|---|---|---|---|---|---|"
    for side in sides:
        rate = result["gflop"] / statistics.median(side["seconds"])
        mine = own.get(side["precision"], own["f32"])
        peak = peak_of(side["precision"], result)
        faster = "" if side in own.values() else spread(
            [peer / us for us, peer in zip(mine["seconds"], side["seconds"])], 2) + " x"
        error = "" if side["error"] is None else f"{side['error']:.1e}"
        yield (f"| {side['name']} | {times(side['seconds'])} | {rate:.0f} "
               f"| {100 * rate / peak:.0f} % | {faster} | {error} |")
    yield ""
    if row.note:
        yield row.note + "\n"


def machine(result):
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"{result['processor']}, {result['threads']} threads; {versions}"


def introduction(results):
    yield "# Performance\n"
    yield ("Written by `cargo xtask bench` from `benches/results`. Times and ratios are minimum - "
           "median - maximum; \"noisesearch faster\" is the peer's time over ours of the same "
           "precision (of f32 where there is none), paired run by run. Rates count a multiply-add "
           "as two, as PyTorch's counter does; shares are of the measured peak of all threads in the "
           "same precision, multiply-adds of registers alone (`--example peak`), or in f32 where that "
           "was not measured; on a GPU of its measured rate of bf16 products. The error is the root "
           "mean square of the difference from PyTorch in f32, eager (on a GPU in bf16, eager), as a "
           "part of that of its result. Weights are generated, except the lab's; both sides make the "
           "same ones. PyTorch's modes: eager unless it says `inductor` (`torch.compile`, weights "
           "frozen); `autocast` runs f32 weights in bf16, `bf16` has all of them in it.\n")
    measured = {}
    for name, result in results.items():
        rounds = [len(side["seconds"]) for side in result.get("sides", [])]
        figures = result["peak_gflops"], result["load"], rounds
        measured.setdefault(machine(result), []).append((name, *figures))
    for where, rows in measured.items():
        peaks = ", ".join(span([peak[name] for _, peak, _, _ in rows if name in peak], name)
                          for name in rows[0][1])
        load = max(load for _, _, load, _ in rows)
        rounds = [count for *_, counts in rows for count in counts]
        runs = f"; {min(rounds)} to {max(rounds)} runs" if rounds else ""
        names = "" if len(measured) == 1 else f" ({', '.join(name for name, *_ in rows)})"
        yield (f"- {where}; measured peak in GFLOP/s {peaks}; load "
               f"before {load:.1f}{runs}{names}")
    yield ""


def lines(rows, results):
    yield from introduction(results)
    section = None
    for row in rows:
        if row.name in results:
            if row.section != section:
                section = row.section
                yield f"## {section}\n"
            yield from table(row, results[row.name])
    for title, names in SINGLE.items():
        found = [name for name in names if name in results]
        if found:
            yield f"## {title}\n"
        for name in found:
            yield from results[name]["lines"]
            yield ""


def write(rows, measures, folder):
    results = {}
    for name in [row.name for row in rows] + list(measures):
        file = os.path.join(folder, f"{name}.json")
        if os.path.exists(file):
            with open(file) as text:
                results[name] = json.load(text)
    with open(PAGE, "w") as page:
        page.write("\n".join(lines(rows, results)).rstrip("\n") + "\n")
