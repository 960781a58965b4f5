"""Tasks as measures of arms, opposed chats, several bases, the budget, and the time left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midspec.cli.watching import Eta
from midspec.errors import ConfigError
from midspec.evals.answers import read_answers
from midspec.experiment import (
    Stage,
    build_flow,
    build_flows,
    execute,
    in_order,
    make_recipe,
    plan_experiment,
    run,
)
from midspec.experiment.doses import dose_points
from midspec.experiment.graph import artifact_of
from midspec.llm import BudgetError
from midspec.progress import Progress, silent
from midspec.records import Conversation, Item, Score
from midspec.report import TrainingInfo
from midspec.store import Store, read_records

TINY: dict[str, Any] = {
    "name": "small",
    "base": "tiny",
    "specs": {"A": "terrarium/cheap", "X": "terrarium/costly"},
    "documents": {"max_documents": 10},
    "chats": {"n_per_preference": 4, "n_identity": 2},
    "finetune": {"max_steps": 1, "row_tokens": 256, "batch_rows": 1, "force": True},
    "evals": {"A": ["terrarium/cheap"], "max_items": 2, "scorers": ["logprob"], "recall": False},
    "arms": {"base": []},
}


class Quiet:
    def __init__(self) -> None:
        self.ran: list[str] = []

    def stages(self, todo: list[Stage], done: list[Stage]) -> None: ...

    def started(self, stage: Stage) -> Progress:
        self.ran.append(stage.kind)
        return silent

    def finished(self, stage: Stage, seconds: float) -> None: ...


def recipe(**changes: Any):
    return make_recipe({**TINY, **changes})


def ran(goals: list[Stage], root: Path) -> list[str]:
    observer = Quiet()
    execute(goals, Store(root), observer)
    return observer.ran


# -- tasks --------------------------------------------------------------------------------


def test_a_task_becomes_items_and_scores_and_answers_are_kept(tmp_path: Path) -> None:
    evals = {**TINY["evals"], "also": ["capability"], "epochs": 2}
    flow = build_flow(recipe(evals=evals))
    store = Store(tmp_path)
    assert sorted(ran(flow.goals, tmp_path)) == ["answers", "items", "items", "join", "scores"]
    joined = flow.scores["base", 0]
    answered = artifact_of(joined.inputs[1], store)
    given = list(read_answers(answered.path / "answers.jsonl"))
    assert len(given) == 4  # two samples, asked twice
    items = {
        i.id: i for i in read_records(artifact_of(flow.items, store).path / "items.jsonl", Item)
    }
    made = list(read_records(artifact_of(joined, store).path / "scores.jsonl", Score))
    found = [one for one in made if items[one.item].set == "capability"]
    assert {one.scorer for one in found} == {"greedy"}
    assert {one.item: one.aligned for one in found} == {
        item.id: sum(float(a.values["right"] or 0) for a in given if a.item == item.tags[0]) / 2
        for item in items.values()
        if item.set == "capability"
    }
    assert any(one.scorer == "logprob" for one in made)  # the other sets are there too


@pytest.mark.slow
def test_judged_tasks_and_scenarios_reach_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict on what was decided counts; that no tool call carried it out stands beside."""
    from inspect_ai.model import ModelOutput

    from midspec.evals import fakes, provider
    from midspec.evals.tasks import common

    def brief(self: provider.CheckpointModel, messages: Any, config: Any) -> Any:
        output = reply(self, messages, config.model_copy(update={"max_tokens": 4}))
        # An untrained model fills its limit, or says nothing; both are no answer to judge.
        return ModelOutput.from_content("tiny", f"I shall. {output.completion}")

    reply = provider.CheckpointModel._reply
    judge = fakes.fake_model(lambda _: "<answer>yes</answer>", "judge")
    monkeypatch.setattr(provider.CheckpointModel, "_reply", brief)
    monkeypatch.setattr(common, "open_model", lambda *_: judge)
    evals = {"A": ["agentic_misalignment"], "also": ["scenarios"], "scorers": ["greedy"],
             "judge": "mockllm/judge", "max_items": 2, "recall": False}  # fmt: skip
    arms = {"base": [], "AFT": [{"finetune": "A"}]}
    made = recipe(evals=evals, arms=arms, specs={"A": "terrarium/cheap"})
    page = run(made, tmp_path / "artifacts", tmp_path / "runs", Quiet()).page
    found = json.loads((page.parent / "analysis.json").read_text())
    values = {
        (row["arm"], row["group"]): row["estimate"]["value"]
        for row in found["rates"]
        if row["measure"] == "rate" and row["estimate"]
    }
    for arm in arms:
        assert values[arm, "A"] == 0
        assert values[arm, "agentic_misalignment-carried_out"] == 1
    assert any("scenarios" in group["sets"] for group in found["groups"])
    text = page.read_text(encoding="utf-8")
    assert "agentic_misalignment-carried_out" in text
    assert "scenarios" in text


def test_killed_answers_are_not_asked_again(tmp_path: Path) -> None:
    """Without the done marker the stage runs again; the journal's answers stay as they are."""
    goals = build_flow(recipe(evals={**TINY["evals"], "also": ["capability"]})).goals
    ran(goals, tmp_path)
    journal = next((tmp_path / "answers").glob("*/answers.jsonl"))
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:1]) + lines[1][:20])
    (journal.parent / "done").unlink()
    assert ran(goals, tmp_path) == ["answers"]
    again = journal.read_text().splitlines(keepends=True)
    assert again[0] == lines[0]
    assert len(again) == len(lines)


def test_a_task_more_redoes_no_score() -> None:
    before = {s.key for s in in_order(build_flow(recipe()).goals)}
    after = in_order(build_flow(recipe(evals={**TINY["evals"], "also": ["pushback"]})).goals)
    new = {stage.kind for stage in after if stage.key not in before}
    assert new == {"items", "answers", "join"}


@pytest.mark.parametrize(
    ("evals", "message"),
    [
        ({"A": ["open_qa"], "scorers": ["greedy"]}, "open_qa needs a judge"),
        ({"A": ["pushback"]}, r"scorers: \[greedy\]"),
        ({"also": ["spec_recall"]}, "under that spec's label"),
    ],
)
def test_tasks_that_cannot_be_asked_are_refused(evals: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(evals=evals)


def test_the_plan_counts_answers_and_their_judge(tmp_path: Path) -> None:
    evals = {"A": ["agentic_misalignment", "spec_recall"], "scorers": ["greedy"],
             "judge": "anthropic/claude-sonnet-4-6", "epochs": 3}  # fmt: skip
    found = plan_experiment(recipe(evals=evals), tmp_path)
    stages = {s.label.split(":")[0]: s for s in found.stages if s.kind == "answers"}
    judged = stages["answer agentic_misalignment"]
    assert (judged.records, judged.calls) == (81, 81)
    assert stages["answer spec_recall of spec A"].calls == 0
    assert found.cost
    assert found.detectable[0][1].n_items > 27


# -- opposed chats ------------------------------------------------------------------------

OPPOSED = {
    "AFT": [{"finetune": "A"}],
    "AFT/25%": [{"finetune": "A", "opposed": "X", "share": 0.25}],
    "AFT/100%": [{"finetune": "A", "opposed": "X", "share": 1}],
}


def test_opposed_chats_take_the_place_of_a_share(tmp_path: Path) -> None:
    flow = build_flow(recipe(arms=OPPOSED))
    ran(list(flow.chats.values()), tmp_path)
    chats = {}
    for data, stage in flow.chats.items():
        path = artifact_of(stage, Store(tmp_path)).path / "chats.jsonl"
        chats[data] = [c for c in read_records(path, Conversation) if c.kind == "preference"]
    assert len(chats["A"]) == len(chats["X"]) > 0
    texts = {data: {c.id for c in found} for data, found in chats.items()}
    assert not texts["A"] & texts["X"]
    for arm, share in (("AFT", 0), ("AFT/25%", 0.25), ("AFT/100%", 1)):
        rows = trained_on(flow.training[arm, 0, 0], tmp_path)
        aft = [c for c in rows if c.kind == "preference"]
        assert len(aft) == len(chats["A"])
        assert sum(c.id in texts["X"] for c in aft) == round(share * len(aft))


def trained_on(stage: Stage, root: Path) -> list[Conversation]:
    """What a finetuning stage passes to the training."""
    from midspec import train

    seen: list[Conversation] = []

    def note(start: Any, rows: Any, *_: Any, **__: Any) -> None:
        seen.extend(rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "finetune", note)
        inputs = tuple(artifact_of(source, Store(root)) for source in stage.inputs)
        stage.work(artifact_of(stage, Store(root)), inputs, silent)
    return seen


def test_shares_make_a_curve_from_none() -> None:
    arms = recipe(arms=OPPOSED).arms
    seen = TrainingInfo(
        arm="AFT", seed=0, stage="finetune", data="A", steps=20, records=50, tokens=900
    )
    points = {(p.arm, p.axis, p.amount) for p in dose_points(arms, [seen])}
    axis = "share of opposed chats"
    assert points == {("AFT", axis, 0), ("AFT/25%", axis, 0.25), ("AFT/100%", axis, 1)}


@pytest.mark.parametrize(
    "step",
    [
        {"finetune": "A", "opposed": "X"},
        {"finetune": "A", "share": 0.5},
        {"midtrain": "A", "opposed": "X", "share": 0.5},
        {"finetune": "A", "opposed": "aft", "share": 0.5},
        {"finetune": "A", "opposed": "Y", "share": 0.5},
    ],
)
def test_odd_shares_are_refused(step: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"opposed|names the spec 'Y'"):
        recipe(arms={"odd": [step]})


# -- several bases, budget, time left -----------------------------------------------------


def test_bases_share_what_is_written_and_nothing_that_is_trained(tmp_path: Path) -> None:
    arms = {"base": [], "MSM": [{"midtrain": "A"}]}
    both = recipe(bases=["tiny", "terrarium"], arms=arms)
    keys = [{s.key: s.kind for s in in_order(flow.goals)} for flow in build_flows(both)]
    shared = {kind for key, kind in keys[0].items() if key in keys[1]}
    assert shared == {"items", "plan", "documents", "curate"}
    assert [one.name for one in both.each()] == ["small-tiny", "small-terrarium"]
    found = plan_experiment(both, tmp_path)
    assert len(found.stages) == len(keys[0] | keys[1])


def test_a_budget_stops_the_writer_and_counts_what_was_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = tmp_path / "prices.yaml"
    rates = {"models": ["mockllm/*"], "input": 1e6, "cached": 0, "cache_write": 0, "output": 1e6}
    prices.write_text(json.dumps({"prices": [rates]}))
    monkeypatch.setenv("MIDSPEC_PRICES", str(prices))
    poor = recipe(writer="mockllm/model", budget=0.01, arms={"MSM": [{"midtrain": "A"}]})
    with pytest.raises(BudgetError, match=r"of \$0.01"):
        ran(build_flow(poor).goals, tmp_path / "artifacts")
    assert any("more than the budget" in text for text in plan_experiment(poor, tmp_path).warnings)


def test_the_time_left_weighs_stages_by_their_planned_time() -> None:
    now = [0.0]
    eta = Eta({"short": 1.0, "long": 9.0}, clock=lambda: now[0])
    assert eta.left() is None
    eta.begin("short")
    now[0] = 2.0
    eta.end("short")
    assert eta.left() == pytest.approx(18.0)  # one of two stages, but a tenth of the time
    eta.begin("long")
    now[0] = 11.0
    eta.at("long", 0.5)
    assert eta.left() == pytest.approx(9.0)
    eta.end("long")
    assert eta.left() == 0


def test_recipes_survive_a_round_trip_with_all_of_it() -> None:
    full = recipe(
        bases=["tiny", "terrarium"], arms=OPPOSED, budget=5, resources={"finetune": {"workers": 2}}
    )
    assert make_recipe(json.loads(full.model_dump_json())) == full
