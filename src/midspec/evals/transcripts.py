"""What models wrote, from a journal of answers or from Inspect logs, by arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field

from midspec.errors import EvalError
from midspec.evals.answers import read_answers
from midspec.records import Frozen, digest


class Transcript(Frozen):
    """What a model wrote in one sample, and to which arm of an experiment it belongs."""

    id: str
    arm: str
    text: str
    item: str = Field(default="", description="item or cell, if there are several of each")


def read_transcripts(sources: Iterable[Path], task: str = "") -> Iterator[Transcript]:
    """What the models wrote; of one ``task`` only, if it is given.

    A source is a journal of ``midspec eval`` (``answers.jsonl``; the arm is the checkpoint), or an
    Inspect log or a folder of them (the arm is the model's name).

    Raises:
        EvalError: a source holds nothing that was written.
    """
    for path in sources:
        read = _from_journal if path.suffix == ".jsonl" else _from_logs
        empty = True
        for transcript in read(path, task):
            empty = False
            yield transcript
        if empty:
            of = f" of task {task!r}" if task else ""
            raise EvalError(
                f"{path} holds no texts{of}; give an answers.jsonl of `midspec eval`, "
                "an Inspect log or a folder of logs"
            )


def _from_journal(path: Path, task: str) -> Iterator[Transcript]:
    for answer in read_answers(path):
        if answer.text.strip() and task in ("", answer.task):
            name = digest(answer.key, answer.task, answer.sample, answer.repeat)
            yield Transcript(id=name, arm=answer.checkpoint, text=answer.text, item=answer.item)


def _from_logs(path: Path, task: str) -> Iterator[Transcript]:
    from inspect_ai.log import list_eval_logs, read_eval_log

    for info in [path] if path.is_file() else list_eval_logs(str(path)):
        log = read_eval_log(info)
        if task not in ("", log.eval.task.rpartition("/")[2]):
            continue
        for sample in log.samples or []:
            said = [m.text for m in sample.messages if m.role == "assistant"]
            name = digest(log.eval.run_id, log.eval.task_id, sample.id, sample.epoch)
            text, item = "\n\n".join(said), str(sample.id)
            yield Transcript(id=name, arm=log.eval.model, text=text, item=item)
