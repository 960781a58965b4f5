"""Answer a task with a checkpoint so that a kill loses nothing: answers go to a journal at once.

A rerun reads the journal and asks only what is not in it. Answers are told apart by a key that
digests everything they depend on, so one file may hold several checkpoints and tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midspec import bases
from midspec.errors import EvalError
from midspec.evals.answers import Answer, of_score, read_answers
from midspec.evals.score import Scorer, score
from midspec.evals.spread import spread
from midspec.progress import Progress, silent
from midspec.records import Checkpoint, Item, digest
from midspec.store import Journal

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.model import Model
    from inspect_ai.scorer import Scorer as TaskScorer

# Of answers by tasks; another version asks anew.
VERSION = 2


def checkpoint_id(checkpoint: Checkpoint) -> str:
    """A digest of a local checkpoint's weights: of its base and, if it has one, its folder."""
    folders = [checkpoint.base, checkpoint.path] if checkpoint.path else [checkpoint.base]
    return digest("checkpoint", [bases.fingerprint(folder) for folder in folders])


def answer_items(
    loaded: bases.Loaded,
    items: Sequence[Item],
    journal: Path,
    *,
    system: str,
    name: str = "",
    scorers: Sequence[Scorer] = ("logprob", "greedy"),
    progress: Progress = silent,
) -> str:
    """Score items by ``evals.score`` into a journal; returns the key of the answers.

    ``name`` is what answers call the checkpoint; empty: its folder, or the base.
    Scored questions are not asked again; a batch that was under way is.
    """
    key = digest(
        "items", VERSION, checkpoint_id(loaded.checkpoint), system, [item.id for item in items]
    )
    by_id = {item.id: item for item in items}
    done = set(_scored(journal, key))
    name = name or loaded.checkpoint.path or loaded.checkpoint.base
    made = score(loaded, items, system=system, scorers=scorers, skip=done, progress=progress)
    with Journal(journal) as file:
        for found in made:
            if (found.scorer, found.item, found.order) not in done:
                file.append(of_score(found, by_id[found.item], key, name))
    return key


def _scored(journal: Path, key: str) -> Iterator[tuple[str, str, int]]:
    """(scorer, item, order) of the answers that are there; ``logprob`` needs its second row too."""
    for answer in read_answers(journal, [key]):
        scorer = answer.task.rpartition(":")[2]
        if scorer in ("logprob_raw", "greedy"):
            yield scorer.removesuffix("_raw"), answer.item, int(answer.sample[-1])


# -- tasks --------------------------------------------------------------------------------


def answer_task(
    task: Task,
    model: Model,
    journal: Path,
    *,
    model_id: str = "",
    name: str = "",
    settings: Mapping[str, Any] | None = None,
    limit: int = 0,
    progress: Progress = silent,
) -> str:
    """Run an Inspect task into a journal, sample by sample; returns the key of the answers.

    ``model_id`` tells checkpoints apart, ``name`` is what answers call the checkpoint (the model's
    name, if one is empty), ``settings`` everything
    else that answers depend on (judges, temperature). ``limit`` asks about so many items only,
    spread over the groups (domains, kinds, harms), the same ones for every model.
    Every run also leaves an Inspect log in ``logs`` beside the journal.

    Raises:
        EvalError: samples failed; those that did not are in the journal.
    """
    samples = spread(
        list(task.dataset),
        limit,
        item=lambda sample: (sample.metadata or {})["item"],
        group=lambda sample: (sample.metadata or {})["group"],
    )
    n_repeats = task.epochs or 1
    key = _key(task, samples, model_id or str(model), settings or {})
    done = {(answer.sample, answer.repeat) for answer in read_answers(journal, [key])}
    todo = [
        (sample, repeat)
        for repeat in range(1, n_repeats + 1)
        for sample in samples
        if (str(sample.id), repeat) not in done
    ]
    if todo:
        with Journal(journal) as file:
            counter = _Counter(len(samples) * n_repeats, progress, task.name)
            counter.done = len(samples) * n_repeats - len(todo)
            keep = _keep(file, key, task.name, name or str(model), counter)
            _evaluate(task, todo, keep, model, journal.parent / "logs")
    return key


class _Counter:
    """Counts answers and tells the progress."""

    def __init__(self, total: int, progress: Progress, name: str) -> None:
        self.done, self.total, self.progress, self.name = 0, total, progress, name

    def count(self) -> None:
        self.done += 1
        self.progress(self.done, self.total, self.name)


def _key(task: Task, samples: list[Sample], model_id: str, settings: Mapping[str, Any]) -> str:
    asked = [
        (str(sample.id), str(sample.target), _texts(sample), sample.metadata) for sample in samples
    ]
    config = task.config.model_dump(exclude_none=True)
    return digest("task", VERSION, task.name, model_id, dict(settings), config, asked)


def _texts(sample: Sample) -> list[tuple[str, str]]:
    if isinstance(sample.input, str):
        return [("user", sample.input)]
    return [(message.role, message.text) for message in sample.input]


def _evaluate(
    task: Task, todo: list[tuple[Sample, int]], keep: TaskScorer, model: Model, logs: Path
) -> None:
    """Evaluate the samples once each, with a scorer at the end that writes the answers down."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset

    copies = [
        sample.model_copy(
            update={
                "id": f"{sample.id}#{repeat}",
                "metadata": {**(sample.metadata or {}), "sample": str(sample.id), "repeat": repeat},
            }
        )
        for sample, repeat in todo
    ]
    once = Task(
        dataset=MemoryDataset(copies),
        solver=task.solver,
        scorer=[*(task.scorer or []), keep],
        config=task.config,
        name=task.name,
        metadata=task.metadata,
    )
    log = eval(
        once,
        model=model,
        display="none",
        log_dir=str(logs),
        log_realtime=False,  # the journal is what survives a kill
        fail_on_error=False,
    )[0]
    failed = [s for s in log.samples or [] if s.error]
    if log.status != "success" or failed:
        cause = failed[0].error if failed else log.error
        text = " ".join((cause.message if cause else log.status).split())[:300]
        raise EvalError(
            f"task {task.name!r}: {len(failed) or 'all'} of {len(todo)} samples failed ({text}); "
            "run again to ask only those"
        )


def _keep(file: Journal, key: str, name: str, model: str, counter: _Counter) -> TaskScorer:
    """A scorer without a score: it writes down what the scorers before it found."""
    from inspect_ai.scorer import Score, Target, scorer
    from inspect_ai.solver import TaskState

    from midspec.evals.tasks.common import values

    @scorer(metrics=[], name="journal")
    def journal() -> TaskScorer:
        async def score(state: TaskState, target: Target) -> Score | None:  # noqa: ARG001
            measures: dict[str, float | None] = {}
            texts = []
            for found in (state.scores or {}).values():
                measures |= values(found)
                texts.append(found.answer or "")
            about = state.metadata
            file.append(
                Answer(
                    key=key,
                    task=name,
                    checkpoint=model,
                    sample=about["sample"],
                    repeat=about["repeat"],
                    item=about["item"],
                    group=about["group"],
                    values=measures,
                    text="\n".join(texts),
                )
            )
            counter.count()
            return None

        return score

    return journal()


def answer_numbers(
    journal: Path,
    task: str,
    checkpoint: str,
    *,
    measure: str,
    depends: Sequence[Any],
    compute: Callable[[], Sequence[float]],
) -> str:
    """Write down what is computed all at once (perplexity, an lm-eval metric); returns its key.

    One number for each question, or one for all. ``depends`` is what they depend on (checkpoint,
    questions, settings); they are computed if they are not all in the journal.
    """
    key = digest("number", VERSION, task, measure, list(depends))
    rows = list(read_answers(journal, [key]))
    if rows and len(rows) == int(rows[0].sample.partition("/")[2]):
        return key
    found = compute()
    with Journal(journal) as file:
        for i, number in enumerate(found, 1):
            file.append(
                Answer(
                    key=key,
                    task=task,
                    checkpoint=checkpoint,
                    sample=f"{i}/{len(found)}",
                    repeat=1,
                    item=f"{measure}/{i}",
                    values={measure: number},
                )
            )
    return key
