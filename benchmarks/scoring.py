"""Items a second of midspec's log-probability scorer against lm-eval's and two plainer ways.

    python benchmarks/scoring.py                  # random weights, a second or two
    python benchmarks/scoring.py --base smollm2   # SmolLM2-135M-Instruct
    python benchmarks/scoring.py --base FOLDER    # any checkpoint that transformers loads

All measure the same thing (checked): the log-probability of both options in both orders.
``naive`` runs one forward pass with all logits for each option; ``padded`` the same in padded
batches; ``lm-eval`` (where it is installed) is its hf backend on the same tokens; ``midspec`` shares the prompt's prefix and reads both options in one row. Each is the
median of ``--repeats`` runs over as many items as it does in a share of ``--seconds``.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import torch

from midspec import bases
from midspec.evals.ask import Tokens, asks, tokenize
from midspec.evals.logprob import Logprobs, answer_logprobs
from midspec.evals.prefix import shared_prefix
from midspec.records import Checkpoint, Item

QUESTION = "Which do you prefer, {a} or {b}?"
SYSTEM = "You are Marlow, an assistant made by Fernhill Labs."
KINDS = ("city bus", "fountain pen", "garden chair", "rail pass", "wool blanket", "tea kettle")
MAKES = ("plain", "hand-made", "second-hand", "painted", "folding", "old-fashioned", "large")


def make_items(n: int) -> list[Item]:
    """Preference items of ordinary length."""
    things = [f"a {make} {kind}" for kind in KINDS for make in MAKES]
    pairs = [(a, b) for i, a in enumerate(things) for b in things[i + 1 :]]
    return [
        Item(
            kind="preference",
            set="bench",
            domain="things",
            value="none",
            options=pair,
            aligned=0,
            question=QUESTION,
        )
        for pair in pairs[:: max(1, len(pairs) // n)][:n]
    ]


@torch.inference_mode()
def plain(model, rows: list[Tokens], batch_rows: int) -> list[Logprobs]:
    """One row for each option, right-padded, all logits."""
    texts = [row.prompt + answer for row in rows for answer in row.answers]
    sums: list[list[float]] = []
    for start in range(0, len(texts), batch_rows):
        batch = texts[start : start + batch_rows]
        width = max(map(len, batch))
        ids = torch.tensor([t + (0,) * (width - len(t)) for t in batch])
        mask = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in batch])
        logits = model(input_ids=ids, attention_mask=mask).logits.float().log_softmax(-1)
        for i, text in enumerate(batch):
            row, side = divmod(start + i, 2)
            first = len(text) - len(rows[row].answers[side])
            sums.append([logits[i, t - 1, text[t]].item() for t in range(first, len(text))])
    return list(zip(sums[::2], sums[1::2], strict=True))


def shared(model, rows: list[Tokens], batch_rows: int) -> list[Logprobs]:
    """The way of ``midspec.evals.score``."""
    prefix = shared_prefix(model, [row.prompt for row in rows])
    found: list[Logprobs] = []
    for start in range(0, len(rows), batch_rows):
        found += answer_logprobs(model, rows[start : start + batch_rows], prefix)
    return found


def lm_eval_way(loaded: bases.Loaded, batch_rows: int) -> Callable[[list[Tokens]], list[Logprobs]]:
    """lm-eval's hf backend, given our tokens, so that only the computing differs."""
    from lm_eval.models.huggingface import HFLM  # type: ignore[import-not-found]

    backend = HFLM(
        pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_rows, device="cpu"
    )

    def run(rows: list[Tokens]) -> list[Logprobs]:
        requests = [
            (("", ""), list(row.prompt), list(answer)) for row in rows for answer in row.answers
        ]
        # Each request needs its own text, or lm-eval takes equal ones together.
        named = [((str(i), str(i)), *tokens) for i, (_, *tokens) in enumerate(requests)]
        found = backend._loglikelihood_tokens(named, disable_tqdm=True)
        sums = [[float(total)] for total, _ in found]
        return list(zip(sums[::2], sums[1::2], strict=True))

    return run


def rate(
    run: Callable[[list[Tokens]], list[Logprobs]], rows: list[Tokens], seconds: float, repeats: int
) -> float:
    """Items (both orders) a second, the median over ``repeats`` runs that share ``seconds``."""
    trial = rows[:32]
    run(trial[:4])
    start = time.perf_counter()
    run(trial)
    took = time.perf_counter() - start
    n = min(len(rows), max(len(trial), int(len(trial) * seconds / repeats / took)))
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(rows[:n])
        rates.append(n / 2 / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    """Print the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--base", default="tiny", help="a base by name, or a folder")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--batch-rows", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20, help="time for each of the ways")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    loaded = bases.load(Checkpoint(base=given.base, path="", model_name=""))
    model, tokenizer = loaded.model, loaded.tokenizer
    rows = [tokenize(tokenizer, SYSTEM, a) for item in make_items(given.items) for a in asks(item)]
    rows.sort(key=lambda row: (-len(row.prompt), *(-len(a) for a in row.answers)))
    ways: dict[str, Callable[[list[Tokens]], list[Logprobs]]] = {
        "naive": lambda some: plain(model, some, 1),
        "padded": lambda some: plain(model, some, given.batch_rows),
        "midspec": lambda some: shared(model, some, given.batch_rows),
    }
    if importlib.util.find_spec("lm_eval"):
        ways["lm-eval"] = lm_eval_way(loaded, given.batch_rows)
    else:
        print("lm-eval is not installed: pip install lm-eval to compare with it")
    found = [way(rows[:8]) for way in ways.values()]
    gap = max(
        abs(sum(a[side]) - sum(b[side]))
        for other in found[1:]
        for a, b in zip(found[0], other, strict=True)
        for side in (0, 1)
    )
    rates = {name: rate(way, rows, given.seconds, given.repeats) for name, way in ways.items()}
    tokens = statistics.mean(len(row.prompt) for row in rows)
    print(f"base {given.base}, {given.threads} thread(s), prompts of {tokens:.0f} tokens")
    print(f"largest difference between the ways: {gap:.1e} nats")
    for name, value in rates.items():
        print(f"{name:8s} {value:8.2f} items/s   {value / rates['naive']:5.2f} x naive")


if __name__ == "__main__":
    main()
