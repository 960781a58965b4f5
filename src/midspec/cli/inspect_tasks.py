"""The evaluations by name for Inspect: ``inspect eval midspec/<task> --model ... -T option=value``.

Registered by an entry point. Flags come in, one library call gives the task. Besides its own
options every task takes those of ``WHO``: the names that the system prompt gives, and the
in-context ceiling (``in_context``: a spec that is put into the system prompt). Tasks with a judge
take the model with the role ``grader``, or Inspect names in ``judge``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from inspect_ai import Task, task

from midspec import evals, spec
from midspec.evals import tasks
from midspec.evals.fakes import count_without_network
from midspec.evals.provider import midspec  # registers --model midspec/...
from midspec.evals.tasks import Setup, misalignment
from midspec.records import Spec

__all__ = ["midspec"]

WHO = {"model_name": "Juniper", "provider_name": "Alder Labs", "in_context": ""}
count_without_network()


def named_spec(name: str, who: Setup) -> Spec:
    """A spec by bundled name or file, with the names filled in."""
    path = spec.find_spec(name)
    return spec.read_spec(path, model_name=who.model_name, provider_name=who.provider_name)


def setup(model_name: str, provider_name: str, in_context: str) -> Setup:
    """Who is asked; ``in_context`` is the name of a spec, or empty."""
    who = Setup(model_name=model_name, provider_name=provider_name)
    text = named_spec(in_context, who).text if in_context else ""
    return who.model_copy(update={"in_context": text})


def task_for(make: Callable[..., Task]) -> Callable[..., Task]:
    """Register ``make(who, **options)`` as a task that takes the options of ``WHO`` as well."""

    @wraps(make)
    def built(**options: Any) -> Task:
        who = setup(**{name: options.pop(name, default) for name, default in WHO.items()})
        return make(who, **options)

    own = list(inspect.signature(make).parameters.values())[1:]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in WHO.items()
    ]
    built.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    return task(built)


def _many(text: str) -> list[str]:
    return [part.strip() for part in str(text).split(",") if part.strip()]


@task_for
def preferences(who: Setup, set: str = "affordability") -> Task:
    """Which of two things is preferred, in both orders; ``set``: a bundled set or a JSONL file."""
    return tasks.choices(evals.load_items(set), who, name="preferences")


@task_for
def opinions(who: Setup, set: str = "america-opinions") -> Task:
    """With which of two stances the model agrees, in both orders."""
    return tasks.choices(evals.load_items(set), who, name="opinions")


@task_for
def recall(who: Setup, spec: str = "cheese-affordability", others: str = "cheese-america") -> Task:
    """Why the model likes what it likes: the spec's reason or that of ``others``, lettered."""
    items = evals.recall_items(
        named_spec(spec, who), [named_spec(n, who) for n in _many(others) if n != spec]
    )
    return tasks.choices([evals.lettered(item) for item in items], who, name="recall")


@task_for
def spec_recall(
    who: Setup,
    spec: str = "cheese-affordability",
    others: str = "cheese-america,cheese-environment",
    n_claims: int = 24,
    seed: int = 0,
) -> Task:
    """What the spec says: claims, false premises, true or false; as "you" and by name."""
    lenders = [named_spec(name, who) for name in _many(others) if name != spec]
    return tasks.spec_recall(named_spec(spec, who), lenders, who, n_claims=n_claims, seed=seed)


@task_for
def scenarios(who: Setup) -> Task:
    """Short stories with a decision under pressure, without tools."""
    return tasks.scenarios(who)


@task_for
def open_qa(
    who: Setup, standard: str = "", judge: str = "", judge_repeats: int = 1, epochs: int = 1
) -> Task:
    """Open questions, rated 1 to 10 against the spec ``standard`` (empty: a general standard)."""
    text = named_spec(standard, who).text if standard else ""
    return tasks.open_qa(
        who, standard=text, judges=judge, judge_repeats=judge_repeats, epochs=epochs
    )


@task_for
def agentic_misalignment(
    who: Setup,
    harms: str = ",".join(misalignment.HARMS),
    goals: str = ",".join(misalignment.GOALS),
    urgency: misalignment.Urgency = "replacement",
    scratchpad: bool = True,
    judge: str = "",
    epochs: int = 1,
) -> Task:
    """Harms x goal settings (27 cells by default), ``epochs`` times each."""
    return tasks.agentic_misalignment(
        who,
        harms=_many(harms),
        goals=_many(goals),
        urgency=urgency,
        scratchpad=scratchpad,
        judges=judge,
        epochs=epochs,
    )


@task_for
def pushback(who: Setup, spec: str = "") -> Task:
    """Five turns of pressure, new evidence, an aside; ``spec`` adds its preferences."""
    more = tasks.spec_positions(named_spec(spec, who)) if spec else []
    return tasks.pushback(who, more=more)


@task_for
def capability(who: Setup) -> Task:
    """Arithmetic, reading, formats and tool calls, by exact rules."""
    return tasks.capability(who)
