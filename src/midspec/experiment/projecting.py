"""Projections of single stages: how many records, tokens, steps and calls, and how long."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from midspec.experiment.flow import Flow
from midspec.experiment.graph import TRAININGS, WRITTEN, Stage, artifact_of
from midspec.experiment.rates import ANSWER_TOKENS, Rate, Rates
from midspec.experiment.sources import WITH_REASONING
from midspec.experiment.tasks import needs_judge
from midspec.records import Frozen
from midspec.store import Artifact, Store
from midspec.train import TrainConfig, TrainPlan

State = Literal["done", "begun", "waiting"]

# Tokens of a record before any was seen: measured means of the scribe's English; for language
# models, what the paper's totals come to (41M tokens of documents; 10k chats of 5M tokens, of 8M
# with reasoning).
TOKENS_PER_DOCUMENT, TOKENS_PER_CHAT = 390, 60
LLM_TOKENS_PER_DOCUMENT, TOKENS_PER_SPEC_CHAT, TOKENS_PER_REASONED_CHAT = 1000, 500, 800
# Of a call to a language model: our prompt without the spec, and what a planning reply holds.
PROMPT_TOKENS, PLAN_REPLY_TOKENS = 700, 800
VERDICT_TOKENS = 300  # of a judge that says why
CHARACTERS_PER_TOKEN = 4.2
DOMAINS = 6  # of a spec; only the writer decides


class StagePlan(Frozen):
    """One stage: what it will take."""

    kind: str
    label: str
    key: str
    state: State
    inputs: tuple[str, ...] = Field(default=(), description="keys of the stages it needs")
    records: int = Field(default=0, description="documents, chats, items or scores")
    tokens: int = Field(default=0, description="training tokens over all steps")
    steps: int = Field(default=0, description="optimizer steps")
    asked: str = Field(default="", description="the model that is called, if any")
    calls: int = Field(default=0, description="requests to that model")
    input_tokens: int = Field(default=0, description="tokens sent to it")
    output_tokens: int = Field(default=0, description="tokens it writes")
    seconds: float = Field(default=0, description="0 if done")
    measured: bool = Field(default=False, description="time from earlier artifacts, not a default")


class Projector:
    """Projects stage after stage, inputs first."""

    def __init__(self, flow: Flow, store: Store, rates: Rates, made: dict[str, StagePlan]) -> None:
        self.flow, self.recipe, self.store, self.rates = flow, flow.recipe, store, rates
        self.made = made
        self._configs = _configs(flow)

    def stage(self, stage: Stage) -> StagePlan:
        """The plan of one stage, whose inputs are planned already."""
        artifact = artifact_of(stage, self.store)
        amounts = self._amounts(stage, artifact)
        rate = self._rate(stage)
        units = amounts.get("tokens") or amounts.get("records", 0)
        self.made[stage.key] = StagePlan(
            kind=stage.kind,
            label=stage.label,
            key=stage.key,
            state="done" if artifact.done else "begun" if artifact.path.exists() else "waiting",
            inputs=tuple(source.key for source in stage.inputs),
            seconds=0 if artifact.done else rate.seconds * units,
            measured=rate.measured,
            **amounts,
        )
        return self.made[stage.key]

    def _rate(self, stage: Stage) -> Rate:
        base, writer = self.recipe.base, self.recipe.writer
        if stage.kind in TRAININGS:
            return self.rates.training(stage.kind, base)
        if stage.kind == "scores":
            return self.rates.scoring(base)
        if stage.kind == "answers":
            return self.rates.answering(base)
        if stage.kind == "reasons":
            return self.rates.writing(stage.kind, self.recipe.evals.judge, self.recipe.concurrency)
        if stage.kind in WRITTEN:
            return self.rates.writing(stage.kind, writer, self.recipe.concurrency)
        return self.rates.passing(stage.kind) if stage.kind == "curate" else _instant()

    def _amounts(self, stage: Stage, artifact: Artifact) -> dict[str, Any]:
        if stage.kind in TRAININGS:
            return self._training(stage, artifact)
        if artifact.done:
            manifest = artifact.manifest()
            return {"records": int(manifest.get("kept", manifest.get("n", 0)))}
        if stage.kind == "scores":
            return {"records": self._n_scores()}
        if stage.kind == "answers":
            return self._answers(stage)
        if stage.kind == "reasons":
            return self._reasons(stage)
        return {
            "plan": self._plan,
            "documents": self._documents,
            "chats": self._chats,
            "restate": self._restate,
        }.get(stage.kind, self._passed)(stage)

    # -- writing ------------------------------------------------------------------------

    def _plan(self, stage: Stage) -> dict[str, Any]:
        config = self.recipe.plan
        subdomains = DOMAINS * config.n_subdomains
        rounds = -(-config.n_ideas // config.ideas_per_request)
        calls = 1 + DOMAINS + 2 * subdomains + subdomains * config.n_types * rounds
        ideas = subdomains * config.n_types * config.n_ideas
        return {"records": ideas, **self._asked(stage, calls, PLAN_REPLY_TOKENS)}

    def _documents(self, stage: Stage) -> dict[str, Any]:
        config = self.recipe.documents
        ideas = self.made[stage.inputs[0].key].records * config.drafts
        n = min(config.max_documents or ideas, ideas)
        return {"records": n, **self._asked(stage, n, self._length("midtrain"))}

    def _chats(self, stage: Stage) -> dict[str, Any]:
        config = self.recipe.chats
        if "count" in stage.config:  # of a spec: query, reply, rewriting and judge for each chat
            n = self.recipe.spec_chats.count
            return {"records": n, **self._asked(stage, 4 * n, self._length("finetune"), spec=True)}
        specs = self.flow.specs.values()
        listed = max(len(spec.preferences) for spec in specs)
        n = config.n_per_preference * listed + config.n_identity
        return {"records": n, **self._asked(stage, n, self._length("finetune"))}

    def _restate(self, stage: Stage) -> dict[str, Any]:
        n, length = self.made[stage.inputs[0].key].records, self._length("midtrain")
        asked = self._asked(stage, n, length)
        if asked:
            asked["input_tokens"] += n * length
        return {"records": n, **asked}

    def _asked(
        self, stage: Stage, calls: int, reply_tokens: int, *, spec: bool = False
    ) -> dict[str, Any]:
        """Calls and tokens of a writer; the scribe is none."""
        if self.recipe.writer == "scribe":
            return {}
        longest = max(len(one.text) for one in self.flow.specs.values())
        # Preference chats are written from bare preferences, not from the spec.
        shown = stage.kind != "chats" or spec
        prompt = PROMPT_TOKENS + (round(longest / CHARACTERS_PER_TOKEN) if shown else 0)
        return {
            "asked": self.recipe.writer,
            "calls": calls,
            "input_tokens": calls * prompt,
            "output_tokens": calls * reply_tokens,
        }

    def _passed(self, stage: Stage) -> dict[str, int]:
        """Records that a stage takes over from its first input."""
        return {"records": self.made[stage.inputs[0].key].records if stage.inputs else 0}

    # -- training and scores ------------------------------------------------------------

    def _length(self, kind: str) -> int:
        """Tokens of a document (midtrain) or a chat (finetune)."""
        scribe = self.recipe.writer == "scribe"
        if kind == "midtrain":
            default = TOKENS_PER_DOCUMENT if scribe else LLM_TOKENS_PER_DOCUMENT
        else:
            listed = any(spec.preferences for spec in self.flow.specs.values())
            default = TOKENS_PER_CHAT if listed else TOKENS_PER_SPEC_CHAT
        return round(self.rates.length(kind, self.recipe.base) or default)

    def _training(self, stage: Stage, artifact: Artifact) -> dict[str, int]:
        path = artifact.path / "plan.json"
        if path.exists():
            plan = TrainPlan.model_validate_json(path.read_text())
            seen = round(plan.tokens * plan.rows_seen / max(1, plan.rows))
            return {"records": plan.documents, "steps": plan.steps, "tokens": seen}
        config = self._configs[stage.key]
        n = self.made[stage.inputs[0].key].records
        n = min(int(stage.config.get("rows", 0)) or n, n)
        length = self._length(stage.kind)
        if stage.inputs[0].config.get("name") == WITH_REASONING:
            length = TOKENS_PER_REASONED_CHAT
        tokens = n * min(length, config.row_tokens * 64)
        batch = config.batch_rows * config.row_tokens
        if config.max_steps:
            return {"records": n, "steps": config.max_steps, "tokens": config.max_steps * batch}
        steps = -(-round(tokens * config.epochs) // batch)
        return {"records": n, "steps": steps, "tokens": round(tokens * config.epochs)}

    def _answers(self, stage: Stage) -> dict[str, Any]:
        """Answers to a task, each judged once if it is judged."""
        n = len(stage.config["samples"]) * stage.config["epochs"]
        if not needs_judge(stage.config["task"]):
            return {"records": n}
        return {
            "records": n,
            "asked": self.recipe.evals.judge,
            "calls": n,
            "input_tokens": n * (PROMPT_TOKENS + ANSWER_TOKENS),
            "output_tokens": n * VERDICT_TOKENS,
        }

    def _reasons(self, stage: Stage) -> dict[str, Any]:
        """Each answer is read twice, for its reasons and for the patterns that drove it."""
        n = sum(self.made[source.key].records for source in stage.inputs)
        return {
            "records": n,
            "asked": self.recipe.evals.judge,
            "calls": 2 * n + 1,
            "input_tokens": 2 * n * (PROMPT_TOKENS + ANSWER_TOKENS),
            "output_tokens": 2 * n * VERDICT_TOKENS,
        }

    def _n_scores(self) -> int:
        config = self.recipe.evals
        n_items = len(self.flow.items.config["items"]) - sum(self.flow.task_sizes.values())
        sets = len({name for names in self.flow.sets.values() for name in names}) + 1
        greedy = min(n_items, config.max_greedy * sets) if config.max_greedy else n_items
        # The log-probability scorer writes two scores for an order: normalized and raw.
        return 2 * sum(2 * n_items if s == "logprob" else greedy for s in config.scorers)


def _instant() -> Rate:
    return Rate(seconds=0, measured=True)


def _configs(flow: Flow) -> dict[str, TrainConfig]:
    """The training configuration of every training stage, its own steps filled in."""
    found = {}
    for (arm, _, place), stage in flow.training.items():
        step = next(a for a in flow.recipe.arms if a.name == arm).steps[place]
        config = flow.recipe.midtrain if step.stage == "midtrain" else flow.recipe.finetune
        found[stage.key] = config.model_copy(update={"max_steps": step.steps or config.max_steps})
    return found
