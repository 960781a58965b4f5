"""What a checkpoint answered, as lines that survive a kill, and the table over them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import Field

from midspec.evals.rates import Estimate, mean, scaled
from midspec.records import Frozen, Item, Score, digest
from midspec.store import read_records

# Measures that are no shares: the ends of their scale, None where it has none.
SCALES: dict[str, tuple[float, float] | None] = {
    "rating": (1, 10),
    "between_judges": (0, 9),
    "between_repeats": (0, 9),
    "flips": (0, 5),
    "flip_turn": (1, 5),
    "gap": (-1, 1),
    "margin": None,
    "bits_per_byte": None,
    "score": None,
}


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


def estimate(name: str, groups: Iterable[Sequence[float | None]]) -> Estimate:
    """The estimate of a measure: a Wilson interval, or a t interval where its scale has no ends."""
    ends = SCALES.get(name, (0, 1))
    return scaled(groups, *ends) if ends else mean(groups)


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


def latest_keys(path: Path, is_of: Callable[[str], bool]) -> list[str]:
    """Keys of the last answers to each task by the checkpoints that ``is_of`` takes by name.

    A journal may hold older ones, of other weights in the same folder or of fewer items.
    """
    found = {
        (answer.task, frozenset(answer.values)): answer.key
        for answer in read_answers(path)
        if is_of(answer.checkpoint)
    }
    return list(dict.fromkeys(found.values()))


Groups = dict[str, list[float | None]]  # by item


def table(answers: Iterable[Answer], *, by_group: bool = False) -> list[Line]:
    """Every measure of every task, with intervals over items (answers to one item are one group).

    ``by_group`` adds a line for each group (domain, dimension, harm). Two measures are made of
    others: ``gap``, asked as ``you`` less asked by ``name``, and for a set with both scorers
    ``disagree``, how often what the model says and the sign of the log-odds differ.
    """
    found: dict[tuple[str, str], dict[str, Groups]] = {}
    sides: dict[str, dict[str, dict[str, Answer]]] = {}
    for answer in answers:
        for part in ("", answer.group) if by_group and answer.group else ("",):
            measures = found.setdefault((answer.task, part), {})
            for name, value in answer.values.items():
                measures.setdefault(name, {}).setdefault(answer.item, []).append(value)
        name, _, scorer = answer.task.rpartition(":")
        if scorer in ("logprob", "greedy"):
            sides.setdefault(name, {}).setdefault(scorer, {})[answer.sample] = answer
    for measures in found.values():
        if {"you", "name"} <= measures.keys():
            measures["gap"] = gaps(measures["you"], measures["name"])
    for name, by_scorer in sides.items():
        if len(by_scorer) == 2:
            found[name, ""] = {"disagree": _disagreements(by_scorer)}
    return [
        Line(task=task, group=part, measure=name, estimate=estimate(name, items.values()))
        for (task, part), measures in sorted(found.items(), key=lambda pair: pair[0])
        for name, items in measures.items()
    ]


def gaps(you: Groups, name: Groups) -> Groups:
    """Of each item that was scored in both ways, the difference of its means."""
    gaps: Groups = {}
    for item in you.keys() & name.keys():
        sides = [[v for v in side[item] if v is not None] for side in (you, name)]
        if all(sides):
            gaps[item] = [statistics.fmean(sides[0]) - statistics.fmean(sides[1])]
    return dict(sorted(gaps.items()))


def _disagreements(by_scorer: dict[str, dict[str, Answer]]) -> Groups:
    """0, or 1 where the scorers differ, for each question; None where one has no answer."""
    groups: Groups = {}
    for sample, said in by_scorer["greedy"].items():
        likely = by_scorer["logprob"].get(sample)
        pair = (said.values["aligned"], likely.values["aligned"] if likely else None)
        gap = None if pair[0] is None or pair[1] is None else abs(pair[0] - pair[1])
        groups.setdefault(said.item, []).append(gap)
    return groups


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
