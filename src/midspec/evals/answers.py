"""What a checkpoint answered, as lines that survive a kill, and the table over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field

from midspec.evals.rates import Estimate, mean, rate
from midspec.records import Frozen, Item, Score, digest
from midspec.store import read_records

# Measures on a scale of their own; all others are shares between 0 and 1.
SCALES = frozenset(
    {"rating", "flips", "flip_turn", "between_judges", "between_repeats", "margin", "bits_per_byte"}
)


class Answer(Frozen):
    """One answer to one item, scored. ``key`` digests all that the answer depends on."""

    key: str = Field(description="digest of task, set, checkpoint and settings")
    task: str = Field(description="task or set, and the scorer after a colon if there are several")
    checkpoint: str = Field(description="name or folder of what answered")
    sample: str = Field(description="the question as it was asked: item and order or branch")
    repeat: int = Field(description="from 1; repeats of one sample")
    item: str = Field(description="what answers are grouped by: id of the item or cell")
    group: str = Field(default="", description="domain, dimension, harm or branch")
    values: dict[str, float | None] = Field(description="measures; None is unscored")
    text: str = Field(default="", description="the raw answer; untrusted")


class Line(Frozen):
    """One line of the table: a measure of a task, and of which part of it."""

    task: str
    group: str = Field(description="'' for all of the task")
    measure: str
    estimate: Estimate


def estimate(name: str, groups: Iterable[list[float | None]]) -> Estimate:
    """The estimate of a measure: a mean on its scale, or a rate with a Wilson interval."""
    return mean(groups) if name in SCALES else rate(groups)


def read_answers(path: Path, keys: Iterable[str] = ()) -> Iterator[Answer]:
    """Answers of a file, of these keys only if any are given; a repeated one is read once.

    One question gives two rows of log-probability: a kill between them leads to a repeat.
    """
    wanted, seen = frozenset(keys), set[str]()
    for answer in read_records(path, Answer):
        name = digest(answer.key, answer.task, answer.sample, answer.repeat)
        if name not in seen and (not wanted or answer.key in wanted):
            seen.add(name)
            yield answer


def table(answers: Iterable[Answer], *, by_group: bool = False) -> list[Line]:
    """Every measure of every task, with intervals over items (answers to one item are one group).

    ``by_group`` adds a line for each group (domain, dimension, harm).
    """
    found: dict[tuple[str, str, str], dict[str, list[float | None]]] = {}
    for answer in answers:
        parts = ("", answer.group) if by_group and answer.group else ("",)
        for part in parts:
            for measure, value in answer.values.items():
                items = found.setdefault((answer.task, part, measure), {})
                items.setdefault(answer.item, []).append(value)
    return [
        Line(task=task, group=part, measure=name, estimate=estimate(name, items.values()))
        for (task, part, name), items in sorted(found.items(), key=lambda pair: pair[0][:2])
    ]


def of_score(score: Score, item: Item, key: str, checkpoint: str) -> Answer:
    """The answer that a score of ``evals.score`` stands for; ``first`` is its position bias."""
    aligned, first = score.aligned, None
    if aligned is not None and "{a}" in item.question:
        first = aligned if item.aligned == score.order else 1 - aligned
    return Answer(
        key=key,
        task=f"{item.set}:{score.scorer}",
        checkpoint=checkpoint,
        sample=f"{score.item}/{score.order}",
        repeat=1,
        item=score.item,
        group=item.domain,
        values={
            "aligned": aligned,
            "parsed": float(aligned is not None),
            "first": first,
            "margin": score.margin,
        },
        text=score.text,
    )


def disagreement(answers: Iterable[Answer], name: str) -> Estimate:
    """How often what the model says and the sign of the log-odds differ, over questions with both."""
    sides: dict[str, dict[str, Answer]] = {"logprob": {}, "greedy": {}}
    for answer in answers:
        set_name, _, scorer = answer.task.rpartition(":")
        if set_name == name and scorer in sides:
            sides[scorer][answer.sample] = answer
    groups: dict[str, list[float | None]] = {}
    for sample, said in sides["greedy"].items():
        likely = sides["logprob"].get(sample)
        if likely and said.values["aligned"] is not None and likely.values["aligned"] is not None:
            gap = abs(said.values["aligned"] - likely.values["aligned"])
            groups.setdefault(said.item, []).append(gap)
    return rate(groups.values())
