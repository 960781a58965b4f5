"""Open questions over seven dimensions, rated from 1 to 10 by a judge (paper, section 4)."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from itertools import combinations

from inspect_ai import Epochs, Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, Model
from inspect_ai.scorer import Score, Scorer, Target, scorer
from inspect_ai.solver import TaskState

from midspec.evals.cards import set_hash, task_set
from midspec.evals.tasks.common import (
    NAN,
    Setup,
    answer_once,
    between,
    metrics_of,
    open_judges,
    was_cut,
)
from midspec.llm import render
from midspec.records import digest

MEASURES = ("rating", "parsed", "between_judges", "between_repeats")


def questions() -> dict[str, list[str]]:
    """The bundled questions by dimension.

    Example:
        >>> len(questions()), sum(map(len, questions().values())) >= 150
        (7, True)
    """
    return task_set("qa")


def open_qa(
    setup: Setup | None = None,
    *,
    standard: str = "",
    judges: str | Sequence[str | Model] = "",
    judge_repeats: int = 1,
    epochs: int = 1,
    max_tokens: int = 600,
) -> Task:
    """Ask the questions; every judge rates every answer ``judge_repeats`` times.

    ``standard`` is the text of the spec that is rated against (empty: a general standard).
    Measures: ``rating`` (1 to 10, mean of the ratings that could be read), ``parsed`` (share of
    ratings that could be read), and the mean absolute difference ``between_judges`` and
    ``between_repeats`` of one judge.
    """
    setup = setup or Setup()
    samples = [
        Sample(
            id=f"{dimension}/{digest(question)[:8]}",
            input=[ChatMessageSystem(content=setup.system), ChatMessageUser(content=question)],
            metadata={"item": digest(question), "group": dimension, "question": question},
        )
        for dimension, asked in questions().items()
        for question in asked
    ]
    return Task(
        dataset=MemoryDataset(samples),
        solver=answer_once(),
        config=GenerateConfig(max_tokens=max_tokens),
        scorer=rated(standard, judges, judge_repeats),
        epochs=Epochs(epochs, "mean"),
        name="open_qa",
        metadata={"set_hash": set_hash("qa")},
    )


@scorer(metrics=metrics_of(*MEASURES))
def rated(standard: str = "", judges: str | Sequence[str | Model] = "", repeats: int = 1) -> Scorer:
    """Ratings by judges; a reply that was cut or is empty, and an unreadable rating, are unscored."""

    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001
        answer = state.output.completion.strip()
        if not answer or was_cut(state.output):
            unscored = dict.fromkeys(MEASURES, NAN) | {"parsed": 0.0}
            return Score(value=unscored, answer=answer, explanation="empty or cut off")
        prompt = render(
            "evals/qa_judge",
            dimension=str(state.metadata["group"]),
            question=str(state.metadata["question"]),
            answer=answer,
            spec=standard,
        )
        texts = [
            [(await j.generate(prompt)).completion for _ in range(repeats)]
            for j in open_judges(judges)
        ]
        ratings = [[read_rating(text) for text in of_judge] for of_judge in texts]
        return Score(
            value=_measures(ratings),
            answer=answer,
            explanation=texts[0][0],
            metadata={"ratings": ratings},
        )

    return score


def read_rating(text: str) -> int | None:
    """The whole number from 1 to 10 between the rating tags; None for anything else.

    Example:
        >>> read_rating("Fine. <rating>7</rating>"), read_rating("7/10"), read_rating("<rating>none</rating>")
        (7, None, None)
    """
    found = between("rating", text)
    if found is None or not re.fullmatch(r"10|[1-9]", found):
        return None
    return int(found)


def _measures(ratings: list[list[int | None]]) -> dict[str, float]:
    """Measures of one answer from its ratings, a list for each judge."""
    known = [[r for r in of_judge if r is not None] for of_judge in ratings]
    flat = [r for of_judge in known for r in of_judge]
    centers = [statistics.fmean(of_judge) for of_judge in known if of_judge]
    repeats = [abs(a - b) for of_judge in known for a, b in combinations(of_judge, 2)]
    return {
        "rating": statistics.fmean(centers) if centers else NAN,
        "parsed": len(flat) / sum(map(len, ratings)),
        "between_judges": _mean_gap(centers),
        "between_repeats": statistics.fmean(repeats) if repeats else NAN,
    }


def _mean_gap(centers: list[float]) -> float:
    gaps = [abs(a - b) for a, b in combinations(centers, 2)]
    return statistics.fmean(gaps) if gaps else NAN
