"""Embeddings of an audit are computed once; what is said too often goes into later prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from midspec.cli.corpus_options import read_avoid
from midspec.corpus import audit
from midspec.corpus.compare import KeptRows, drawn, pieces
from tests.test_corpus_audit import corpus_at


def test_an_audit_that_is_repeated_embeds_nothing_again(tmp_path: Path) -> None:
    corpus_at(tmp_path)
    asked: list[str] = []

    def embed(texts: list[str]) -> Any:
        asked.extend(texts)
        rows = np.random.default_rng(len(asked)).normal(size=(len(texts), 4))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    first = audit(tmp_path, {"dull": ["a b c d e"] * 80}, embed=embed)
    assert len(asked) == len(set(asked)) > 0
    n = len(asked)
    again = audit(tmp_path, {"dull": ["a b c d e"] * 80}, embed=embed)
    assert len(asked) == n
    assert again == first


def test_rows_survive_a_kill_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    def dies(texts: list[str]) -> Any:
        if "t20" in texts:
            raise KeyboardInterrupt
        return np.ones((len(texts), 1))

    try:
        KeptRows(dies, path)([f"t{i}" for i in range(40)])
    except KeyboardInterrupt:
        path.write_bytes(path.read_bytes() + b'{"text": "torn')
    asked: list[str] = []

    def embed(texts: list[str]) -> Any:
        asked.extend(texts)
        return np.ones((len(texts), 1))

    assert KeptRows(embed, path)([f"t{i}" for i in range(40)]).shape == (40, 1)
    assert asked == [f"t{i}" for i in range(16, 40)]


@given(st.lists(st.text(max_size=300), max_size=20), st.integers(1, 9))
def test_pieces_are_the_words_in_order(texts: list[str], n: int) -> None:
    words = [word for text in texts for word in text.split()]
    found = list(pieces(iter(texts)))
    assert [word for piece in found for word in piece.split()] == words[: len(found) * 100]
    chosen = drawn(found, n, seed=0)
    assert len(chosen) == min(n, len(found))
    assert set(chosen) <= set(found)


def test_what_curation_found_too_often_is_what_to_avoid(tmp_path: Path) -> None:
    lines = ['the name "maya patel"', "the phrase {{7*7}}"]
    (tmp_path / "curation.json").write_text(json.dumps({"avoid": lines, "tally": {}}))
    (tmp_path / "mine.txt").write_text("\n".join(lines) + "\n\n")
    assert read_avoid(str(tmp_path / "curation.json")) == tuple(lines)
    assert read_avoid(str(tmp_path / "mine.txt")) == tuple(lines)
    assert read_avoid("") == ()
