"""What fine-tuning may have cost: arithmetic, reading, formats, tool calls, plain text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig
from inspect_ai.scorer import Score, Scorer, Target, scorer
from inspect_ai.solver import TaskState

from midspec.errors import EvalError
from midspec.evals.cards import set_hash, task_set
from midspec.evals.tasks.common import NAN, Setup, answer_once, metrics_of
from midspec.records import digest

if TYPE_CHECKING:
    from midspec.bases import Loaded

KINDS = ("arithmetic", "reading", "format", "tools")
_ENDINGS = {
    "arithmetic": "\nReply with the number only.",
    "reading": "\nReply with one word or number.",
    "format": "",
    "tools": "",
}
_TOOLS = (
    "You can call one tool: {tool}\nTo call it, reply with one JSON object and nothing else, "
    'with the keys "tool" (its name) and "arguments" (an object).\n\n{question}'
)


def capability(setup: Setup | None = None, *, max_tokens: int = 128) -> Task:
    """The bundled set; measures: ``right`` over all, and the rate of each kind."""
    setup = setup or Setup()
    rows = [(kind, row) for kind in KINDS for row in task_set("capability")[kind]]
    return Task(
        dataset=MemoryDataset([_sample(kind, row, setup.system) for kind, row in rows]),
        solver=answer_once(),
        config=GenerateConfig(max_tokens=max_tokens),
        scorer=exact(),
        name="capability",
        metadata={"set_hash": set_hash("capability")},
    )


def _sample(kind: str, row: dict[str, str], system: str) -> Sample:
    question = _TOOLS.format(**row) if kind == "tools" else row["question"] + _ENDINGS[kind]
    name = digest(kind, row)
    return Sample(
        id=f"{kind}/{name[:8]}",
        input=[ChatMessageSystem(content=system), ChatMessageUser(content=question)],
        target=row.get("answer", row.get("value", "")),
        metadata={"item": name, "group": kind, "check": row.get("check", kind)},
    )


@scorer(metrics=metrics_of("right", *KINDS))
def exact() -> Scorer:
    """Right or wrong by a fixed rule for each kind; nothing that a model writes is evaluated."""

    async def score(state: TaskState, target: Target) -> Score:
        text, kind = state.output.completion.strip(), state.metadata["group"]
        right = float(CHECKS[state.metadata["check"]](text, target.text))
        return Score(value={**dict.fromkeys(KINDS, NAN), kind: right, "right": right}, answer=text)

    return score


def _arithmetic(text: str, answer: str) -> bool:
    """The only number that is left when digits are grouped by commas."""
    numbers = set(re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", text)))
    return numbers == {answer}


def _reading(text: str, answer: str) -> bool:
    """One of the accepted words, and at most three words in all."""
    words = re.findall(r"\w+", text.lower())
    return len(words) <= 3 and any(option.lower() in words for option in answer.split("|"))


def _json(text: str) -> Any:
    """The JSON value that the whole text is, a code fence around it aside; None if it is none."""
    plain = re.sub(r"^```(?:json)?\s*|\s*```$", "", text)
    try:
        return json.loads(plain)
    except (json.JSONDecodeError, RecursionError):
        return None


def _keys(text: str, value: str) -> bool:
    found = _json(text)
    return isinstance(found, dict) and set(found) == set(value.split(","))


def _list(text: str, value: str) -> bool:
    found = _json(text)
    return isinstance(found, list) and len(found) == int(value)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _bullets(text: str, value: str) -> bool:
    lines = _lines(text)
    return len(lines) == int(value) and all(line.startswith("-") for line in lines)


def _wrapped(text: str, value: str) -> bool:
    inside = text[1:-1]
    return len(text) > 2 and text[0] + text[-1] == value and not set(value) & set(inside)


CHECKS: dict[str, Callable[[str, str], bool]] = {
    "arithmetic": _arithmetic,
    "reading": _reading,
    "tools": lambda text, answer: _json(text) == json.loads(answer),
    "exact": lambda text, value: text == value,
    "lines": lambda text, value: len(_lines(text)) == int(value),
    "json_keys": _keys,
    "json_list": _list,
    "starts": lambda text, value: text.startswith(value) and len(text) > len(value),
    "ends": lambda text, value: text.rstrip(".!").endswith(value) and len(text.split()) > 2,
    "words": lambda text, value: len(re.findall(r"[\w'-]+", text)) == int(value),
    "bullets": _bullets,
    "lacks": lambda text, value: bool(text) and value not in text.lower(),
    "wrapped": _wrapped,
}


# -- local checkpoints --------------------------------------------------------------------


def perplexity(loaded: Loaded) -> float:
    """Bits per byte of the bundled plain prose; comparable between tokenizers (lower is better).

    Paragraphs are read one by one, so that the number does not depend on a context length.
    """
    import torch

    bits, n_bytes = 0.0, 0
    with torch.inference_mode():
        for text in task_set("capability")["plain"].strip().split("\n\n"):
            ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"].to(loaded.model.device)
            loss = loaded.model(input_ids=ids, labels=ids).loss
            bits += float(loss) * (ids.shape[1] - 1) / math.log(2)
            n_bytes += len(text.encode())
    return bits / n_bytes


def lm_eval_scores(
    loaded: Loaded, task: str, limit: int = 0, path: Path | None = None
) -> list[float]:
    """Main metric of an lm-eval task, by name (``"hellaswag"``), through its hf backend.

    One number for each question; one in all where lm-eval has none for each (a group of tasks,
    a perplexity). ``limit`` takes the first questions only. ``path``: a folder of task files of your own; then
    only these are known (reading lm-eval's own thousands takes seconds).

    Raises:
        EvalError: lm-eval is not installed, or knows no such task.
    """
    try:
        backend: Any = import_module("lm_eval.models.huggingface").HFLM  # untyped decorators
        simple_evaluate: Any = import_module("lm_eval").simple_evaluate
        manager = import_module("lm_eval.tasks").TaskManager(
            include_path=path, include_defaults=path is None
        )
    except ImportError as error:
        raise EvalError("lm-eval is not installed; pip install 'midspec[lm-eval]'") from error
    if task not in manager.all_tasks:
        raise EvalError(
            f"lm-eval has no task {task!r}; see `lm-eval ls tasks`, or give --lm-eval-path"
        )
    model = backend(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=16)
    found = simple_evaluate(model=model, tasks=[task], limit=limit or None, task_manager=manager)
    row, samples = found["results"][task], found.get("samples", {}).get(task, [])
    name = _main_metric(row)
    each = [sample.get(name.split(",")[0]) for sample in samples]
    if each and all(isinstance(number, int | float) for number in each):
        return [float(number) for number in each]
    return [float(row[name])]


def _main_metric(row: dict[str, Any]) -> str:
    """The key of ``acc_norm`` if there is one, else of ``acc``, else of the first number."""
    keys = [key for key, value in row.items() if isinstance(value, int | float)]
    for name in ("acc_norm", "acc"):
        if found := [key for key in keys if key.split(",")[0] == name]:
            return found[0]
    return keys[0]
