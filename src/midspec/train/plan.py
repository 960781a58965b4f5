"""The rows on disk, and the plan: what would be trained, known before any step."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from midspec.errors import TrainError
from midspec.records import Frozen
from midspec.store import write_atomic
from midspec.train.config import TrainConfig
from midspec.train.examples import IGNORE, Examples
from midspec.train.packing import Row, pack


class TrainPlan(Frozen):
    """What a training stage is about to do; ``plan.json`` in its folder."""

    settings: str = Field(description="digest of start, data kind, config and seed")
    data: str = Field(description="digest of all rows")
    documents: int = Field(description="texts and chats in the rows")
    split_documents: int = Field(description="texts longer than a row, continued in another")
    left_out: dict[str, int] = Field(description="chats left out, by reason")
    rows: int
    tokens: int = Field(description="tokens in the rows, without padding")
    supervised_tokens: int = Field(description="tokens that carry loss")
    padding_share: float = Field(description="padding over all places in the rows")
    masked_share: float = Field(description="tokens without loss over tokens")
    steps: int = Field(description="optimizer steps")
    rows_seen: int = Field(description="rows over all steps")
    plain_documents: int = Field(default=0, description="documents that are plain text mixed in")
    plain_tokens: int = Field(default=0, description="tokens of them; among ``tokens``")

    def check(self, config: TrainConfig) -> None:
        """Refuse what cannot teach.

        Raises:
            TrainError: no row, no supervised token, or fewer steps than ``min_steps``.
        """
        if not self.supervised_tokens:
            raise TrainError(
                f"nothing to train on ({self.documents} documents, left out: {self.left_out}); "
                "check the data and row_tokens"
            )
        if self.steps < config.min_steps and not config.force:
            raise TrainError(
                f"{self.steps} optimizer steps planned, fewer than {config.min_steps}: a null "
                "result would mean nothing; lower batch_rows or row_tokens, raise epochs, add "
                "data, or set force=true"
            )


def write_plan(
    examples: Examples, config: TrainConfig, out: Path, *, settings: str, pad: int
) -> TrainPlan:
    """Pack the examples into ``out/rows.bin`` (int32 [rows, 3, row_tokens]) and plan the stage.

    Nothing but one row and the packer's buffer is held in memory.
    """
    counts = _Counts()
    scratch = out / f".rows.bin.{os.getpid()}"
    rows = pack(examples, config.row_tokens, together=config.packing)
    with scratch.open("wb") as file:
        for block in counts.watch(rows, pad):
            file.write(block)
    os.replace(scratch, out / "rows.bin")
    steps, rows_seen = schedule(counts.rows, config)
    plan = TrainPlan(
        settings=settings,
        data=counts.hash.hexdigest(),
        documents=counts.documents,
        split_documents=counts.split,
        left_out=dict(examples.left_out),
        rows=counts.rows,
        tokens=counts.tokens,
        supervised_tokens=counts.supervised,
        padding_share=1 - counts.tokens / max(1, counts.rows * config.row_tokens),
        masked_share=1 - counts.supervised / max(1, counts.tokens),
        steps=steps,
        rows_seen=rows_seen,
        plain_documents=counts.plain_documents,
        plain_tokens=counts.plain_tokens,
    )
    write_atomic(out / "plan.json", json.dumps(plan.model_dump(), indent=1))
    return plan


def rescheduled(
    fields: dict[str, Any], config: TrainConfig, out: Path, *, settings: str
) -> TrainPlan:
    """The plan of rows that were packed before, for another stage; writes ``out/plan.json``."""
    steps, rows_seen = schedule(fields["rows"], config)
    now = {"settings": settings, "steps": steps, "rows_seen": rows_seen}
    plan = TrainPlan.model_validate(fields | now)
    write_atomic(out / "plan.json", json.dumps(plan.model_dump(), indent=1))
    return plan


class _Counts:
    """Sums over the rows as they pass by."""

    def __init__(self) -> None:
        self.rows = self.tokens = self.supervised = self.documents = self.split = 0
        self.plain_documents = self.plain_tokens = 0
        self.hash = hashlib.blake2b(digest_size=8)

    def watch(self, rows: Iterable[Row], pad: int) -> Iterable[bytes]:
        """The rows as bytes."""
        for row in rows:
            arrays = row.arrays(pad)
            self.rows += 1
            self.tokens += row.used
            self.supervised += int((arrays[1] != IGNORE).sum())
            self.documents += sum(piece.start == 0 for piece in row.pieces)
            self.split += sum(piece.start == row.size for piece in row.pieces)
            plain = [piece for piece in row.pieces if piece.plain]
            self.plain_documents += sum(piece.start == 0 for piece in plain)
            self.plain_tokens += sum(len(piece.ids) for piece in plain)
            block = arrays.tobytes()
            self.hash.update(block)
            yield block


def schedule(rows: int, config: TrainConfig) -> tuple[int, int]:
    """Optimizer steps, and rows over all of them.

    Example:
        >>> schedule(10, TrainConfig(batch_rows=4, epochs=1.5)), schedule(0, TrainConfig())
        ((4, 15), (0, 0))
    """
    if not rows:
        return 0, 0
    if config.max_steps:
        return config.max_steps, config.max_steps * config.batch_rows
    seen = math.ceil(rows * config.epochs)
    return math.ceil(seen / config.batch_rows), seen


def warmup_steps(steps: int, config: TrainConfig) -> int:
    """Steps with a rising learning rate."""
    return math.ceil(steps * config.warmup_share)


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """The rate of a step (from 1): it rises linearly from zero, then falls as a cosine to zero.

    Example:
        >>> config = TrainConfig(learning_rate=1.0, warmup_share=0.1)
        >>> [round(learning_rate(step, 20, config), 3) for step in (1, 2, 3, 12, 20)]
        [0.0, 0.5, 1.0, 0.5, 0.008]
    """
    done, rising = step - 1, warmup_steps(steps, config)
    if done < rising:
        return config.learning_rate * done / rising
    share = (done - rising) / max(1, steps - rising)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def open_rows(out: Path, plan: TrainPlan, config: TrainConfig) -> np.ndarray:
    """The rows as a memory map, int32 [rows, 3, row_tokens]."""
    shape = (plan.rows, 3, config.row_tokens)
    return np.memmap(out / "rows.bin", dtype=np.int32, mode="r", shape=shape)


def row_order(plan: TrainPlan, seed: int) -> np.ndarray:
    """Which row is seen when, int64 [rows_seen]: a fresh permutation for every epoch."""
    rng = np.random.default_rng(seed)
    epochs = math.ceil(plan.rows_seen / plan.rows)
    return np.concatenate([rng.permutation(plan.rows) for _ in range(epochs)])[: plan.rows_seen]
