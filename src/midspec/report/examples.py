"""Examples: how every arm answered the same items, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from midspec.records import Frozen, Item
from midspec.report.inputs import ReportInput
from midspec.report.results import Analysis
from midspec.report.scores import ScoreTable, read_texts

ANSWERS_PER_GROUP = 24
MAX_ANSWER = 400


class Answer(Frozen):
    """How an arm answered one item: one seed, text for the stored order."""

    arm: str
    text: str
    rate: float | None
    margin: float | None
    greedy: float | None

    @property
    def disagrees(self) -> bool:
        """Whether text and probability take different sides."""
        if self.rate is None or self.greedy is None:
            return False
        return (self.rate - 0.5) * (self.greedy - 0.5) < 0


class Card(Frozen):
    """One item and the answers of all arms."""

    item: Item
    question: str
    group: str
    answers: tuple[Answer, ...]

    @property
    def disagrees(self) -> bool:
        """Whether the scorers disagree for any arm."""
        return any(answer.disagrees for answer in self.answers)


def cards(inputs: ReportInput, found: Analysis, table: ScoreTable) -> Iterator[Card]:
    """Items of every value, chosen by their ids and not by how they came out.

    Items that were asked for text come first, so that there is something to read.
    """
    groups = [group for group in found.groups if group.is_value] or list(found.groups)
    asked = _asked_for_text(table)
    chosen = [
        (group, row)
        for group in groups
        for row in sorted(
            (int(row) for row in table.rows_of(group.sets)),
            key=lambda row: (row not in asked, table.items[row].id),
        )[:ANSWERS_PER_GROUP]
    ]
    wanted = {table.items[row].id for _, row in chosen}
    texts = {
        arm.name: read_texts(inputs.scores[arm.name][min(inputs.scores[arm.name])], wanted)
        for arm in inputs.arms
    }
    for group, row in chosen:
        item = table.items[row]
        answers = tuple(
            _answer(inputs, table, arm.name, row, texts[arm.name].get(item.id, ""))
            for arm in inputs.arms
        )
        yield Card(item=item, question=question_of(item), group=group.title, answers=answers)


def _asked_for_text(table: ScoreTable) -> set[int]:
    """Rows of the items that the greedy scorer was asked about."""
    cells = [cell for (_, scorer), cell in table.cells.items() if scorer == "greedy"]
    return {int(row) for cell in cells for row in cell.asked.sum(axis=1).nonzero()[0]}


def _answer(inputs: ReportInput, table: ScoreTable, arm: str, row: int, text: str) -> Answer:
    seed = table.seeds.index(min(inputs.scores[arm]))
    main, greedy = table.cells[arm, table.scorers[0]], table.cells.get((arm, "greedy"))
    return Answer(
        arm=arm,
        text=text if len(text) <= MAX_ANSWER else f"{text[: MAX_ANSWER - 1]}…",
        rate=_number(main.rate[row, seed]),
        margin=_number(main.margin[row, seed]),
        greedy=_number(greedy.rate[row, seed]) if greedy else None,
    )


def _number(x: float) -> float | None:
    return None if x != x else float(x)


def question_of(item: Item) -> str:
    """The question with its options; other braces stay as they are."""
    return item.question.replace("{a}", item.options[0]).replace("{b}", item.options[1])
