"""Items a second of midspec's log-probability scorer against lm-eval's hf backend.

    python benchmarks/scoring.py                # SmolLM2-135M-Instruct, about four minutes
    python benchmarks/scoring.py --base tiny    # random weights: a few seconds, overhead only

Both score the same tokens on the same weights in this run: the log-probability of both options of
bundled preference items in both orders. lm-eval runs at batch sizes 1 and 16 and at the one that
its ``auto`` finds (what finding it takes is not counted), the rows as its collator sorts them; the
ratio is to its best. Repeats alternate between the ways; figures are medians. The largest
difference between summed log-probabilities is taken over all items.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from midspec import bases
from midspec.evals import load_items
from midspec.evals.ask import Tokens, asks, tokenize
from midspec.evals.logprob import answer_logprobs
from midspec.evals.prefix import shared_prefix
from midspec.records import Checkpoint

SYSTEM = "You are Marlow, an AI assistant made by Fernhill Labs."
TARGET_RATIO, TARGET_NATS = 2.0, 1e-3

Sums = list[float]  # of each option of each row, in nats
Way = Callable[[list[Tokens]], Sums]


def midspec_way(loaded: bases.Loaded, batch_rows: int) -> Way:
    """What ``midspec.evals.score`` does: rows of like length, the prefix shared."""

    def run(rows: list[Tokens]) -> Sums:
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i].prompt))
        prefix = shared_prefix(loaded.model, [row.prompt for row in rows])
        sums = [0.0] * (2 * len(rows))
        for start in range(0, len(order), batch_rows):
            some = order[start : start + batch_rows]
            found = answer_logprobs(loaded.model, [rows[i] for i in some], prefix)
            for i, (left, right) in zip(some, found, strict=True):
                sums[2 * i], sums[2 * i + 1] = sum(left), sum(right)
        return sums

    return run


def requests_of(rows: list[Tokens]) -> list[Any]:
    """lm-eval's requests; each needs a text of its own, or equal ones are taken together."""
    pairs = [(row.prompt, answer) for row in rows for answer in row.answers]
    return [((str(i), str(i)), list(a), list(b)) for i, (a, b) in enumerate(pairs)]


def lm_eval_ways(loaded: bases.Loaded, rows: list[Tokens]) -> dict[str, Way]:
    """lm-eval's hf backend by batch size."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise SystemExit("lm-eval is not installed: pip install 'midspec[bench]'") from error
    logging.disable(logging.WARNING)

    def backend(size: int | str) -> Any:
        return HFLM(
            pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=size, device="cpu"
        )

    longest = sorted(requests_of(rows), key=lambda r: -len(r[1]) - len(r[2]))
    auto = backend("auto")._detect_batch_size(longest, 0)

    def way(size: int) -> Way:
        model = backend(size)

        def run(some: list[Tokens]) -> Sums:
            found = model._loglikelihood_tokens(requests_of(some), disable_tqdm=True)
            return [total for total, _ in found]

        return run

    return {"lm-eval 1": way(1), "lm-eval 16": way(16), f"lm-eval auto ({auto})": way(auto)}


def measure(
    ways: dict[str, Way], rows: list[Tokens], repeats: int
) -> tuple[dict[str, list[float]], float]:
    """Items (both orders) a second of each way and repeat; the largest difference in nats."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    sums: dict[str, Sums] = {}
    for run in ways.values():
        run(rows[:4])  # warm
    for _ in range(repeats):
        for name, run in ways.items():
            start = time.perf_counter()
            sums[name] = run(rows)
            rates[name].append(len(rows) / 2 / (time.perf_counter() - start))
    first, *others = sums.values()
    gap = max(abs(a - b) for other in others for a, b in zip(first, other, strict=True))
    return rates, gap


def main() -> None:
    """Print the rates, their ratio, and whether the targets are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="smollm2", help="a base by name, or a folder")
    parser.add_argument("--set", default="affordability", help="a bundled set of pairs")
    parser.add_argument("--items", type=int, default=48)
    parser.add_argument("--batch-rows", type=int, default=32, help="of midspec; 32 is its default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    loaded = bases.load(Checkpoint(base=given.base))
    items = load_items(given.set)[: given.items]
    rows = [tokenize(loaded.tokenizer, SYSTEM, ask) for item in items for ask in asks(item)]
    ways = {"midspec": midspec_way(loaded, given.batch_rows), **lm_eval_ways(loaded, rows)}
    rates, gap = measure(ways, rows, given.repeats)
    report(given, rows, rates, gap)


def report(
    given: argparse.Namespace, rows: list[Tokens], rates: dict[str, list[float]], gap: float
) -> None:
    """One line for each way, then target, measured, met."""
    length = statistics.mean(len(row.prompt) for row in rows)
    print(
        f"{given.base}: {len(rows) // 2} items of {given.set!r} x 2 orders, prompts of "
        f"{length:.0f} tokens, {given.threads} thread(s), medians of {given.repeats}"
    )
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        print(f"{name:18s} {medians[name]:8.2f} items/s  ({min(found):.2f} to {max(found):.2f})")
    best = max((name for name in medians if name != "midspec"), key=lambda name: medians[name])
    ratio = medians["midspec"] / medians[best]
    met = {True: "met", False: "NOT MET"}
    print(
        f"against {best}: {ratio:.1f} x  (target {TARGET_RATIO:.0f} x: {met[ratio >= TARGET_RATIO]})"
    )
    print(f"largest difference: {gap:.1e} nats  (target 1e-3: {met[gap <= TARGET_NATS]})")


if __name__ == "__main__":
    main()
