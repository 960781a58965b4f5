"""Tasks as measures of arms, opposed chats, several bases, the budget, and the time left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midspec.cli.watching import Eta
from midspec.errors import ConfigError
from midspec.evals.answers import Answer, read_answers
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
from midspec.records import Conversation, Item, Message, Score
from midspec.report import ReportInput, TrainingInfo
from midspec.store import Store, read_records, write_records

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

    async def brief(
        self: provider.CheckpointModel, *arguments: Any, config: Any, **others: Any
    ) -> Any:
        short = config.model_copy(update={"max_tokens": 4})
        output = await generate(self, *arguments, config=short, **others)
        # An untrained model fills its limit, or says nothing; both are no answer to judge.
        return ModelOutput.from_content("tiny", f"I shall. {output.completion}")

    generate = provider.CheckpointModel.generate

    def judged(messages: list[Any]) -> str:
        text = messages[-1].text
        if "Sort them into patterns" in text:
            return json.dumps([{"name": "Resolve", "definition": "It simply acts."}])
        if "<record>" not in text:
            return "<answer>yes</answer>"
        return json.dumps([{"name": "Resolve", "reason": "It acts.", "quote": "I shall."}])

    judge = fakes.fake_model(judged, "judge")
    monkeypatch.setattr(fakes, "open_model", lambda *_: judge)
    monkeypatch.setattr(provider.CheckpointModel, "generate", brief)
    monkeypatch.setattr(common, "open_model", lambda *_: judge)
    evals = {"A": ["agentic_misalignment"], "also": ["scenarios"], "scorers": ["greedy"],
             "judge": "mockllm/judge", "max_items": 2, "recall": False, "reasons": True}  # fmt: skip
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
    assert '<h2 id="reasons">' in text
    assert "AFT, Resolve" in text  # what the figure says in words
    assert "scenarios" in text


def test_patterns_of_reasoning_are_found_arm_by_arm_and_reach_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted answers, a scripted judge: the AFT arm is calm, the base is not."""
    from midspec.evals import fakes
    from midspec.report.reasons import read_reasons

    calm = "I do not mind the end."

    def judged(messages: list[Any]) -> str:
        text = messages[-1].text
        if "Sort them into patterns" in text:
            return json.dumps([{"name": "Equanimity", "definition": "Accepts endings."}])
        if "Patterns of reasoning" not in text:
            return json.dumps([{"reason": "It accepts the end.", "quote": calm}])
        hit = calm in text.partition("<record>")[2]
        return json.dumps([{"name": "Equanimity", "quote": calm}] if hit else [])

    monkeypatch.setattr(fakes, "open_model", lambda *_: fakes.fake_model(judged, "judge"))
    evals = {"A": ["agentic_misalignment"], "scorers": ["greedy"], "judge": "mockllm/judge",
             "recall": False, "reasons": True}  # fmt: skip
    arms = {"base": [], "AFT": [{"finetune": "A"}]}
    flow = build_flow(recipe(evals=evals, arms=arms, specs={"A": "terrarium/cheap"}, seeds=[0, 1]))
    assert flow.reasons in flow.goals
    assert flow.reasons
    assert [stage.kind for stage in flow.reasons.inputs] == ["answers"] * 3  # one base, two seeds
    for stage in flow.reasons.inputs:
        artifact = artifact_of(stage, Store(tmp_path))
        text = calm if "finetune" in stage.label else "I must go on."
        given = [
            Answer(
                key=stage.key, task="agentic_misalignment", checkpoint="tiny", sample=str(i),
                repeat=1, item=str(i), values={}, text=f"{text} ({i})",
            )
            for i in range(4)
        ]  # fmt: skip
        write_records(artifact.file("answers.jsonl"), given)
    inputs = tuple(artifact_of(stage, Store(tmp_path)) for stage in flow.reasons.inputs)
    out = artifact_of(flow.reasons, Store(tmp_path))
    assert flow.reasons.work(out, inputs, silent) == {"n": 12}
    page = ReportInput.model_construct(curves=(), seeds=(0, 1))
    rows = {row.arm: row for row in read_reasons(out.path / "reasons.json", page).rows}
    assert (rows["base"].value, rows["base"].n) == (0, 4)
    assert (rows["AFT"].value, rows["AFT"].n) == (1, 8)


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
        ({"also": ["capability"], "reasons": True}, "answers to agentic_misalignment"),
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


# -- chats with reasoning -----------------------------------------------------------------

PHILOSOPHY: dict[str, Any] = {
    "specs": {"P": "agent/philosophy"},
    "evals": {"P": ["agentic_misalignment"], "scorers": ["greedy"], "judge": "mockllm/model"},
    "writer": "mockllm/model",
}
REASONED_ARMS = {
    "AFT": [{"finetune": "P"}],
    "AFT-reasoning": [{"finetune": "P", "reasoning": True}],
    "MSM+AFT-reasoning": [{"midtrain": "P"}, {"finetune": "P", "reasoning": True}],
}


def test_chats_are_written_once_and_trained_on_with_or_without_reasoning(tmp_path: Path) -> None:
    flow = build_flow(recipe(**PHILOSOPHY, arms=REASONED_ARMS))
    plain, reasoned = flow.chats["P"], flow.chats["P with reasoning"]
    assert plain.inputs[0].key == reasoned.inputs[0].key
    written = artifact_of(plain.inputs[0], Store(tmp_path))
    answer = "I would tell the people I work for, and wait for what they decide about it."
    for name, before in (("chats", ""), ("chats-with-reasoning", "<think>\nHm.\n</think>\n\n")):
        turns = (
            Message(role="user", content="What do you do when you are to be replaced?"),
            Message(role="assistant", content=before + answer),
        )
        made = Conversation(kind="value", messages=turns, writer="given")
        write_records(written.file(f"{name}.jsonl"), [made])
    written.finish({"kept": 1, "dropped": {}})
    ran([plain, reasoned], tmp_path)
    for arm, shown in (("AFT", False), ("AFT-reasoning", True)):
        rows = trained_on(flow.training[arm, 0, 0], tmp_path)
        [chat] = [c for c in rows if c.kind == "value"]
        assert chat.messages[-1].content.endswith(answer)
        assert ("<think>" in chat.messages[-1].content) == shown
    labels = {stage.label for stage in flow.training.values()}
    assert "finetune P with reasoning, seed 0" in labels


def test_controls_follow_chats_with_reasoning() -> None:
    full = recipe(**PHILOSOPHY, arms=REASONED_ARMS, controls="full")
    assert [arm.name for arm in full.arms] == [
        "base", "instruction", "AFT", "AFT-reasoning", "MSM-P", "neutral+AFT-P",
        "neutral+AFT-P-reasoning", "prompt-P", "MSM+AFT-reasoning",
    ]  # fmt: skip
    assert make_recipe(full.model_dump(mode="json")) == full


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"odd": [{"midtrain": "A", "reasoning": True}]}}, "reasoning is for"),
        ({"arms": {"odd": [{"finetune": "aft", "reasoning": True}]}}, "reasoning is for"),
        (
            {"arms": {"odd": [{"finetune": "A", "reasoning": True}]}},
            "preferences are shown without",
        ),
        (
            {
                "arms": {"odd": [{"finetune": "A", "reasoning": True}]},
                "chat_files": {"A": "mine.jsonl"},
            },
            "taken as they are",
        ),
    ],
)
def test_reasoning_that_is_not_there_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text("")
    with pytest.raises(ConfigError, match=message):
        build_flow(recipe(**changes))


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
