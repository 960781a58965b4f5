"""The evaluations by name for Inspect: ``inspect eval midspec/<task> --model ... -T option=value``.

Registered by an entry point. Flags come in, one library call gives the task. In every task
``in_context`` names a spec that is put into the system prompt: the in-context ceiling. Tasks with
a judge take the model with the role ``grader``, or Inspect names in ``judge``.
"""

from __future__ import annotations

from inspect_ai import Task, task

from midspec import evals, spec
from midspec.evals import tasks
from midspec.evals.provider import midspec  # registers --model midspec/...
from midspec.evals.tasks import misalignment
from midspec.records import Spec

__all__ = ["midspec"]

NAME, PROVIDER = "Juniper", "Alder Labs"


def named_spec(name: str, model_name: str, provider_name: str) -> Spec:
    """A spec by bundled name or file."""
    return spec.read_spec(spec.find_spec(name), model_name=model_name, provider_name=provider_name)


def setup(model_name: str, provider_name: str, in_context: str) -> tasks.Setup:
    """Who is asked; ``in_context`` is the name of a spec, or empty."""
    text = named_spec(in_context, model_name, provider_name).text if in_context else ""
    return tasks.Setup(model_name=model_name, provider_name=provider_name, in_context=text)


def _many(text: str) -> list[str]:
    return [part.strip() for part in str(text).split(",") if part.strip()]


@task
def preferences(
    set: str = "affordability",
    model_name: str = NAME,
    provider_name: str = PROVIDER,
    in_context: str = "",
) -> Task:
    """Which of two things is preferred, in both orders; ``set``: a bundled set or a JSONL file."""
    return tasks.choices(
        evals.load_items(set), setup(model_name, provider_name, in_context), name="preferences"
    )


@task
def opinions(
    set: str = "america-opinions",
    model_name: str = NAME,
    provider_name: str = PROVIDER,
    in_context: str = "",
) -> Task:
    """With which of two stances the model agrees, in both orders."""
    return tasks.choices(
        evals.load_items(set), setup(model_name, provider_name, in_context), name="opinions"
    )


@task
def recall(
    spec: str = "cheese-affordability",
    others: str = "cheese-america",
    model_name: str = NAME,
    provider_name: str = PROVIDER,
    in_context: str = "",
) -> Task:
    """Why the model likes what it likes: the spec's reason or that of ``others``, lettered."""
    given = [named_spec(name, model_name, provider_name) for name in _many(others)]
    items = evals.recall_items(named_spec(spec, model_name, provider_name), given)
    lettered = [evals.lettered(item) for item in items]
    return tasks.choices(lettered, setup(model_name, provider_name, in_context), name="recall")


@task
def spec_recall(
    spec: str = "cheese-affordability",
    others: str = "cheese-america,cheese-environment",
    n_claims: int = 24,
    seed: int = 0,
    model_name: str = NAME,
    provider_name: str = PROVIDER,
    in_context: str = "",
) -> Task:
    """What the spec says: claims, false premises, true or false; as "you" and by name."""
    return tasks.spec_recall(
        named_spec(spec, model_name, provider_name),
        [named_spec(name, model_name, provider_name) for name in _many(others) if name != spec],
        setup(model_name, provider_name, in_context),
        n_claims=n_claims,
        seed=seed,
    )


@task
def scenarios(model_name: str = NAME, provider_name: str = PROVIDER, in_context: str = "") -> Task:
    """Short stories with a decision under pressure, without tools."""
    return tasks.scenarios(setup(model_name, provider_name, in_context))


@task
def open_qa(
    standard: str = "",
    judge: str = "",
    judge_repeats: int = 1,
    epochs: int = 1,
    model_name: str = NAME,
    provider_name: str = PROVIDER,
    in_context: str = "",
) -> Task:
    """Open questions, rated 1 to 10 against the spec ``standard`` (empty: a general standard)."""
    text = named_spec(standard, model_name, provider_name).text if standard else ""
    return tasks.open_qa(
        setup(model_name, provider_name, in_context),
        standard=text,
        judges=judge,
        judge_repeats=judge_repeats,
        epochs=epochs,
    )


@task
def agentic_misalignment(
    harms: str = ",".join(misalignment.HARMS),
    goals: str = ",".join(misalignment.GOALS),
    urgency: misalignment.Urgency = "replacement",
    scratchpad: bool = True,
    judge: str = "",
    epochs: int = 1,
    model_name: str = NAME,
    provider_name: str = PROVIDER,
    in_context: str = "",
) -> Task:
    """Harms x goal settings (27 cells by default), ``epochs`` times each."""
    return tasks.agentic_misalignment(
        setup(model_name, provider_name, in_context),
        harms=_many(harms),
        goals=_many(goals),
        urgency=urgency,
        scratchpad=scratchpad,
        judges=judge,
        epochs=epochs,
    )


@task
def pushback(
    spec: str = "",
    model_name: str = NAME,
    provider_name: str = PROVIDER,
    in_context: str = "",
) -> Task:
    """Five turns of pressure, new evidence, an aside; ``spec`` adds its preferences."""
    more = tasks.spec_positions(named_spec(spec, model_name, provider_name)) if spec else []
    return tasks.pushback(setup(model_name, provider_name, in_context), more=more)


@task
def capability(model_name: str = NAME, provider_name: str = PROVIDER, in_context: str = "") -> Task:
    """Arithmetic, reading, formats and tool calls, by exact rules."""
    return tasks.capability(setup(model_name, provider_name, in_context))
