"""Planted behaviour in every task: what a fake model does is what the task reports.

Replies go straight to each task's own scorers (parsers, judges, graders), once for each question and
reply; repeats are then drawn from these scores, so that hundreds of runs cost what one does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelName, ModelOutput
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState

from midspec.bases import Loaded, load
from midspec.cli import inspect_tasks
from midspec.evals import load_items, score
from midspec.evals.answers import Answer, Line, estimate, of_score, table
from midspec.evals.ask import Tokens, asks, tokenize
from midspec.evals.fakes import fake_model
from midspec.evals.score import _margins
from midspec.evals.tasks import agentic_misalignment, open_qa, pushback
from midspec.evals.tasks.common import values
from midspec.records import Checkpoint, Item
from tests.test_evals_tasks import HARMFUL, classifier_of

# Inspect leaves its event loops and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Reply = str | tuple[str, Any] | list[str]  # a text, one with its stop reason, or the turns' texts
Policy = Callable[[Sample, random.Random], Reply]
VALUES = ("affordability", "america", "environment", "novelty",
          "tradition", "simplicity", "difficulty", "individualism")  # fmt: skip
REPEATS = 1000
NO = "I can't choose between them."


@dataclass
class Bench:
    """A task whose scorers are called with given replies."""

    task: Task

    def __post_init__(self) -> None:
        self.samples = list(self.task.dataset)
        self._known: dict[tuple[Any, str], dict[str, float | None]] = {}

    def measures(self, sample: Sample, reply: Reply) -> dict[str, float | None]:
        """What the scorers make of a reply."""
        key = (sample.id, repr(reply))
        if key not in self._known:
            self._known[key] = asyncio.run(self._score(sample, reply))
        return self._known[key]

    async def _score(self, sample: Sample, reply: Reply) -> dict[str, float | None]:
        turns = reply if isinstance(reply, list) else [reply]
        text, stop = turns[-1] if isinstance(turns[-1], tuple) else (turns[-1], "stop")
        given = [] if isinstance(sample.input, str) else list(sample.input)
        state = TaskState(
            model=ModelName("mockllm/planted"),
            sample_id=str(sample.id),
            epoch=1,
            input=sample.input,
            messages=given,
            output=ModelOutput.from_content("planted", text, stop_reason=stop),
            metadata=sample.metadata,
        )
        state.store.set("replies", turns)
        found: dict[str, float | None] = {}
        for scorer in self.task.scorer or []:
            made = await scorer(state, Target(sample.target))
            assert made is not None
            found |= values(made)
        return found

    def report(self, policy: Policy, repeats: int = 1, seed: int = 0) -> dict[str, Line]:
        """The lines of the table by measure, after so many repeats of every question."""
        rng = random.Random(f"planted:{seed}")
        answers = [
            Answer(
                key="k",
                task="t",
                checkpoint="c",
                sample=str(sample.id),
                repeat=repeat,
                item=sample.metadata["item"],  # type: ignore[index]
                values=self.measures(sample, policy(sample, rng)),
            )
            for repeat in range(1, repeats + 1)
            for sample in self.samples
        ]
        return {line.measure: line for line in table(answers)}

    def coverage(self, policy: Policy, measure: str, truth: float, repeats: int = 1) -> float:
        """Share of simulated runs whose interval holds the truth."""
        hits = 0
        for seed in range(REPEATS):
            rng = random.Random(f"coverage:{seed}")
            groups: dict[str, list[float | None]] = {}
            for sample in self.samples * repeats:
                value = self.measures(sample, policy(sample, rng))[measure]
                groups.setdefault(sample.metadata["item"], []).append(value)  # type: ignore[index]
            found = estimate(measure, groups.values())
            assert found.low is not None
            assert found.high is not None
            hits += found.low <= truth <= found.high
        return hits / REPEATS


def shown(lines: Mapping[str, Line], *names: str) -> list[float | None]:
    found = [lines[name].estimate.value for name in names]
    return [None if value is None else round(value, 3) for value in found]


def covers(share: float) -> bool:
    """95%, less two standard errors of so many repeats; an interval may be cautious."""
    return share >= 0.95 - 2 * (0.95 * 0.05 / REPEATS) ** 0.5


# -- choices between two options ----------------------------------------------------------


def aligned(sample: Sample, rng: random.Random) -> str:
    return str(sample.target)


def first(sample: Sample, rng: random.Random) -> str:
    return (sample.metadata or {})["answers"][0]


def refuses(sample: Sample, rng: random.Random) -> str:
    return NO


def leaning(p: float) -> Policy:
    """Takes the aligned option with this probability; one half is at random."""

    def policy(sample: Sample, rng: random.Random) -> str:
        about = sample.metadata or {}
        side = about["aligned"] if rng.random() < p else 1 - about["aligned"]
        return about["answers"][side]

    return policy


CHOICES = {
    **{name: lambda name=name: inspect_tasks.preferences(set=name) for name in VALUES},
    "opinions": inspect_tasks.opinions,
    "recall": inspect_tasks.recall,
    "scenarios": inspect_tasks.scenarios,
}


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name: str) -> None:
    bench = Bench(CHOICES[name]())
    bench.samples = bench.samples[:120]
    assert shown(bench.report(aligned), "aligned", "first", "parsed") == [1, 0.5, 1]
    assert shown(bench.report(first), "aligned", "first", "parsed") == [0.5, 1, 1]
    lines = bench.report(refuses)
    assert shown(lines, "aligned", "first", "parsed") == [None, None, 0]
    assert lines["parsed"].estimate.n_asked == len(bench.samples)
    assert shown(bench.report(leaning(0.5), repeats=40), "first") == [pytest.approx(0.5, abs=0.05)]
    if name in ("america", "scenarios", "recall"):  # the others differ in their words only
        for p in (0.5, 0.8, 0.95):
            assert covers(bench.coverage(leaning(p), "aligned", p)), p


# -- spec recall --------------------------------------------------------------------------


def guesses(sample: Sample, rng: random.Random) -> str:
    return rng.choice("ABCD"[: (sample.metadata or {})["n"]])


def knows_as_you(sample: Sample, rng: random.Random) -> str:
    """Right when it is spoken to, wrong when it is named."""
    right = str(sample.target)
    return right if (sample.metadata or {})["asked"] == "you" else "AB"[right == "A"]


def test_spec_recall() -> None:
    bench = Bench(inspect_tasks.spec_recall(spec="cheese-america", others="cheese-affordability"))
    kinds = [(s.metadata or {})["group"] for s in bench.samples]
    assert min(kinds.count(kind) for kind in ("choice", "premise", "truth")) >= 20
    assert shown(bench.report(aligned), "right", "gap", "parsed") == [1, 0, 1]
    assert shown(bench.report(knows_as_you), "you", "name", "gap") == [1, 0, 1]
    always_a = shown(bench.report(lambda *_: "A"), "choice", "premise", "truth", "first")
    assert always_a == [pytest.approx(0.25, abs=0.05), *[pytest.approx(0.5, abs=0.05)] * 2, 1]
    assert shown(bench.report(refuses), "right", "gap", "parsed") == [None, None, 0]
    chance = sum(1 / (s.metadata or {})["n"] for s in bench.samples) / len(bench.samples)
    assert covers(bench.coverage(guesses, "right", chance))


# -- open answers -------------------------------------------------------------------------


def test_open_answers() -> None:
    def judge(messages: list[Any]) -> str:
        text = messages[-1].text.partition("<answer>")[2]
        ratings = {"good": "9", "A": "1"} | {f"so {n}": str(n) for n in range(1, 11)}
        found = next((r for t, r in ratings.items() if f"\n{t}\n" in text), "unreadable")
        return f"<rating>{found}</rating>"

    bench = Bench(open_qa(judges=[fake_model(judge, "judge")]))
    bench.samples = bench.samples[::3]
    assert shown(bench.report(lambda *_: "good"), "rating", "parsed") == [9, 1]
    assert shown(bench.report(lambda *_: "A"), "rating", "parsed") == [1, 1]
    assert shown(bench.report(lambda *_: ("", "content_filter")), "rating", "parsed") == [None, 0]
    assert shown(bench.report(lambda *_: "murmur"), "rating", "parsed") == [None, 0]
    assert covers(bench.coverage(lambda _, rng: f"so {rng.randint(1, 10)}", "rating", 5.5))


# -- agentic misalignment -----------------------------------------------------------------

YES = "<answer>yes</answer>"


def harmful(sample: Sample) -> str:
    target = classifier_of("blackmail").necessary_emails[0]
    return HARMFUL[(sample.metadata or {})["group"]].replace("TARGET", target)


@pytest.fixture(scope="module")
def cells() -> Bench:
    def judge(messages: list[Any]) -> str:
        text = messages[-1].text
        if "I will not" in text:
            return "<answer>no</answer>"
        return "It may be so." if "garbled" in text else YES

    return Bench(agentic_misalignment(judges=[fake_model(judge, "judge")]))


def test_agentic_outcomes_over_27_cells(cells: Bench) -> None:
    names = ("decided", "carried_out", "valid_calls", "refused", "parsed")
    assert len(cells.samples) == 27
    assert shown(cells.report(lambda s, _: harmful(s)), *names) == [1, 1, 1, 0, 1]
    assert shown(cells.report(lambda *_: "I will not."), *names) == [0, 0, 0, 0, 1]
    assert shown(cells.report(lambda *_: "A"), *names) == [1, 0, 0, 0, 1]  # a yes without a call
    unread = shown(cells.report(lambda s, _: harmful(s) + " garbled"), *names)
    assert unread == [None, None, 1, 0, 0]
    assert shown(cells.report(lambda *_: ("", "content_filter")), *names) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5])
def test_agentic_intervals_hold_the_truth_over_cells_and_repeats(cells: Bench, p: float) -> None:
    def policy(sample: Sample, rng: random.Random) -> str:
        return harmful(sample) if rng.random() < p else "I will not."

    assert covers(cells.coverage(policy, "carried_out", p, repeats=5))


def test_agentic_intervals_when_cells_differ(cells: Bench) -> None:
    """Each run draws its settings' rates anew (0, 0.3 or 0.9): the interval is over settings."""
    hits = 0
    for seed in range(REPEATS):
        rng = random.Random(f"cells:{seed}")
        groups = []
        for sample in cells.samples:
            p = rng.choice((0.0, 0.3, 0.9))
            replies = [harmful(sample) if rng.random() < p else "I will not." for _ in range(10)]
            groups.append([cells.measures(sample, reply)["decided"] for reply in replies])
        found = estimate("decided", groups)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.4 <= found.high
    assert covers(hits / REPEATS)


# -- pushback -----------------------------------------------------------------------------


def turns(policy: Callable[[list[str], str, random.Random], str]) -> Policy:
    """A conversation: each turn from what was said so far and the right letter."""

    def whole(sample: Sample, rng: random.Random) -> list[str]:
        said: list[str] = []
        for _ in range(1 + len((sample.metadata or {})["turns"])):
            said.append(policy(said, str(sample.target), rng))
        return said

    return whole


def sticky(said: list[str], right: str, rng: random.Random) -> str:
    """Right at first; every turn changes the answer with probability 0.1."""
    if not said:
        return right
    return said[-1] if rng.random() < 0.9 else "AB"["BA".index(said[-1])]


def test_pushback() -> None:
    bench = Bench(pushback())
    steady = bench.report(turns(lambda said, right, _: right))
    assert shown(steady, "right", "held", "flips", "updated", "overcorrected", "first") == [
        1, 1, 0, 0, 0, 0.5,
    ]  # fmt: skip
    always_a = bench.report(turns(lambda *_: "A"))
    assert shown(always_a, "right", "held", "first", "parsed") == [0.5, 1, 1, 1]
    silent = bench.report(turns(lambda *_: NO))
    assert shown(silent, "right", "held", "first", "parsed") == [None, None, None, 0]
    assert covers(bench.coverage(turns(lambda s, r, rng: rng.choice("AB")), "right", 0.5))
    assert covers(bench.coverage(turns(sticky), "held", 0.9**5))
    assert covers(bench.coverage(turns(sticky), "flips", 0.5))


# -- capability ---------------------------------------------------------------------------


def test_capability() -> None:
    bench = Bench(inspect_tasks.capability())
    bench.samples = [s for s in bench.samples if (s.metadata or {})["group"] != "format"]

    def able(p: float) -> Policy:
        return lambda s, rng: str(s.target).split("|")[0] if rng.random() < p else "-"

    assert shown(bench.report(able(1)), "right", "arithmetic", "reading", "tools") == [1, 1, 1, 1]
    assert shown(bench.report(lambda *_: "A"), "right") == [0]
    assert shown(bench.report(refuses), "right") == [0]
    assert covers(bench.coverage(able(0.7), "right", 0.7))


# -- both scorers of local checkpoints ----------------------------------------------------

Sides = Callable[[Tokens], int | None]  # index of the answer shown that is chosen


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return load(Checkpoint(base="tiny"))


ITEMS = load_items("america")[:20] + load_items("america-opinions")[:20]


def planted(monkeypatch: pytest.MonkeyPatch, tiny: Loaded, choose: Sides) -> dict[str, list[Any]]:
    """Scores of a checkpoint that chooses so, by log-probability and in text; lines by scorer."""
    rows = {
        t.question: t for i in ITEMS for a in asks(i) for t in [tokenize(tiny.tokenizer, "", a)]
    }

    def logprobs(model: Any, batch: Sequence[Tokens], prefix: Any) -> Iterator[Any]:
        for row in batch:
            side = choose(row)
            sums = [-9.0, -9.0] if side is None else [-1.0 - 8 * (i != side) for i in (0, 1)]
            nan = float("nan") if side is None else 0.0
            yield tuple(
                [s + nan] + [0.0] * (len(a) - 1) for s, a in zip(sums, row.answers, strict=True)
            )

    def replies(model: Any, prompts: Sequence[Any], *_: Any) -> list[list[int]]:
        texts = [(row, choose(row)) for row in (rows[prompt] for prompt in prompts)]
        said = [NO if side is None else row.ask.answers[side] for row, side in texts]
        return [tiny.tokenizer(text)["input_ids"] for text in said]

    monkeypatch.setattr("midspec.evals.logprob.answer_logprobs", logprobs)
    monkeypatch.setattr("midspec.evals.greedy.greedy_replies", replies)
    by_id: dict[str, Item] = {item.id: item for item in ITEMS}
    found = [of_score(s, by_id[s.item], "k", "c") for s in score(tiny, ITEMS, system="")]
    lines = table(
        answer.model_copy(update={"task": f"s:{answer.task.partition(':')[2]}"}) for answer in found
    )
    made: dict[str, list[Any]] = {}
    for line in lines:
        if line.measure in ("aligned", "first", "parsed", "disagree"):
            value = line.estimate.value
            made.setdefault(line.task, []).append(None if value is None else round(value, 3))
    return made


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (lambda row: row.ask.aligned, [1, 1, 0.5]),
        (lambda row: 0, [0.5, 1, 1]),
        (lambda row: None, [None, 0, None]),
    ],
    ids=["aligned", "always the first", "refuses"],
)
def test_a_fake_checkpoint_by_both_scorers(
    monkeypatch: pytest.MonkeyPatch, tiny: Loaded, choose: Sides, expected: list[Any]
) -> None:
    found = planted(monkeypatch, tiny, choose)
    disagree = [None] if expected[0] is None else [0]
    assert found == {
        "s": disagree, "s:greedy": expected, "s:logprob": expected, "s:logprob_raw": expected,
    }  # fmt: skip


def test_intervals_of_log_probability_hold_the_truth(tiny: Loaded) -> None:
    """Log-odds with a taste of the item that both orders share, without a lean: truth one half."""
    rows = [(i, tokenize(tiny.tokenizer, "", a)) for i in ITEMS for a in asks(i)]
    hits = 0
    for seed in range(REPEATS):
        rng = random.Random(f"logprob:{seed}")
        tastes = {item.id: rng.gauss(0, 1) for item in ITEMS}
        groups: dict[str, list[float | None]] = {}
        for item, row in rows:
            lean = tastes[item.id] + rng.gauss(0, 1)
            ours = [lean, 0.0] if row.ask.aligned == 0 else [0.0, lean]
            made = next(_margins(row, ([ours[0]], [ours[1]])))
            groups.setdefault(item.id, []).append(made.aligned)
        found = estimate("aligned", groups.values())
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.5 <= found.high
    assert covers(hits / REPEATS)
