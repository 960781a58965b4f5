"""Where general chats come from: rows of files and datasets, and how a row is read as a chat."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from midspec.errors import ConfigError
from midspec.records import Frozen, Message

Row = dict[str, Any]
# The sets of columns that a row may be read by; "system" is never needed.
SHAPES = ({"messages"}, {"prompt", "response"}, {"question", "choices", "answer"})
_ROLES = {
    "system": "system", "user": "user", "assistant": "assistant",
    "human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant",
}  # fmt: skip
_LETTERS = "ABCDEFGHIJ"
_SUFFIXES = (".jsonl", ".parquet")


class Source(Frozen):
    """One source of a mix: where its rows are, how they are read, how many are taken."""

    name: str = Field(min_length=1, description="what reports and `--file NAME=PATH` call it")
    path: str = Field(
        default="", description="a .jsonl or .parquet file, or a folder of them; from the recipe"
    )
    dataset: str = Field(default="", description="a Hugging Face dataset, loaded when drawn from")
    subset: str = Field(default="", description="the dataset's configuration")
    split: str = Field(default="train", description="the dataset's split")
    revision: str = Field(default="", description="the dataset's commit; '': the newest")
    columns: dict[str, str] = Field(
        default={"messages": "messages"},
        description="which column is what: messages; or prompt, response and perhaps system; "
        "or question, choices and answer (multiple choice)",
    )
    where: dict[str, list[str]] = Field(
        default={}, description="columns with the values that a row must have one of"
    )
    count: int = Field(default=0, ge=0, description="chats to draw; 0: by weight, or all rows")
    weight: float = Field(default=0, ge=0, description="share of what the counts leave")
    max_words: int = Field(default=0, ge=0, description="leave out longer chats; 0: no limit")
    kind: Literal["instruction", "identity"] = Field(
        default="instruction", description="kind of the chats"
    )

    @field_validator("columns")
    @classmethod
    def _shape(cls, columns: dict[str, str]) -> dict[str, str]:
        if set(columns) - {"system"} not in SHAPES or columns.keys() == {"system", "messages"}:
            shapes = "; ".join(", ".join(sorted(shape)) for shape in SHAPES)
            raise ValueError(f"columns {', '.join(columns)} are no chat; give one of: {shapes}")
        return columns

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if self.path and self.dataset:
            raise ValueError(f"source {self.name!r} has a path and a dataset; give one of them")
        if self.count and self.weight:
            raise ValueError(f"source {self.name!r} has a count and a weight; give one of them")
        return self


def rows(source: Source, folder: Path, file: Path | None = None) -> Iterator[Row]:
    """Rows of a source that meet its ``where``, in the order of the data, one at a time.

    ``file`` stands in for where the source says its rows are. Raises ConfigError if the data
    cannot be found or read.
    """
    found = _all_rows(source, folder, file)
    if not source.where:
        return found
    wanted = {column: set(values) for column, values in source.where.items()}
    return (r for r in found if all(str(_cell(source, r, c)) in v for c, v in wanted.items()))


def _all_rows(source: Source, folder: Path, file: Path | None) -> Iterator[Row]:
    if file is None and source.dataset:
        return _dataset_rows(source)
    if file is None and not source.path:
        raise ConfigError(
            f"source {source.name!r} says not where its rows are; "
            f"give --file {source.name}=FILE, or a path or dataset in the recipe"
        )
    return _files_rows(file or folder / source.path, source.name)


def _files_rows(path: Path, name: str) -> Iterator[Row]:
    files = sorted(f for f in path.iterdir() if f.suffix in _SUFFIXES) if path.is_dir() else [path]
    if not files or not files[0].is_file() or files[0].suffix not in _SUFFIXES:
        raise ConfigError(
            f"source {name!r}: {str(path)!r} is neither a .jsonl or .parquet file nor a folder "
            f"of them; download it, or give --file {name}=FILE"
        )
    for one in files:
        yield from _jsonl(one) if one.suffix == ".jsonl" else _parquet(one)


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ConfigError(f"{path}:{number} is not JSON; repair or delete it") from error
            if not isinstance(row, dict):
                raise ConfigError(f"{path}:{number} is not a JSON object; repair or delete it")
            yield row


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigError(
            f"{path} needs the package pyarrow; run `pip install 'midspec[datasets]'`"
        ) from error
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=512):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        line = " ".join(str(error).split())[:120]
        raise ConfigError(f"{path} is no readable Parquet file ({line})") from error


def _dataset_rows(source: Source) -> Iterator[Row]:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"source {source.name!r} needs the package datasets; run `pip install "
            f"'midspec[datasets]'`, or give --file {source.name}=FILE with a copy of it"
        ) from error
    try:
        found = datasets.load_dataset(
            source.dataset,
            source.subset or None,
            split=source.split,
            revision=source.revision or None,
        )
    except (OSError, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"source {source.name!r}: dataset {source.dataset!r} cannot be loaded ({line}); "
            f"check its name and the network, or give --file {source.name}=FILE"
        ) from error
    return (dict(row) for row in found)


def _cell(source: Source, row: Row, column: str) -> Any:
    if column not in row:
        raise ConfigError(
            f"source {source.name!r} has no column {column!r}; "
            f"it has {', '.join(sorted(map(str, row)))}: set columns in the recipe"
        )
    return row[column]


def chat_of(source: Source, row: Row, number: int, seed: int) -> list[Message]:
    """The turns of a row; raises ValueError if its cells are not what their column should hold.

    Multiple-choice rows are put in one of several forms, drawn by ``number`` and ``seed``.
    Raises ConfigError if a column is not there.
    """
    cells = {part: _cell(source, row, column) for part, column in source.columns.items()}
    if "messages" in cells:
        return _turns(cells["messages"])
    system = [("system", cells["system"])] if cells.get("system") else []
    if "prompt" in cells:
        return _messages([*system, ("user", cells["prompt"]), ("assistant", cells["response"])])
    rng = random.Random(f"choices:{seed}:{source.name}:{number}")
    asked, told = multiple_choice(cells["question"], cells["choices"], cells["answer"], rng)
    return _messages([*system, ("user", asked), ("assistant", told)])


def _turns(cell: Any) -> list[Message]:
    """Turns from a list of objects with a role, or of texts that take turns."""
    if not isinstance(cell, list | tuple) or not cell:
        raise ValueError("no list of turns")
    if all(isinstance(turn, str) for turn in cell):
        return _messages([(("user", "assistant")[i % 2], text) for i, text in enumerate(cell)])
    if not all(isinstance(turn, dict) for turn in cell):
        raise ValueError("a turn is neither a text nor an object")
    return _messages(
        [(t.get("role") or t.get("from"), t.get("content") or t.get("value")) for t in cell]
    )


def _messages(turns: list[tuple[Any, Any]]) -> list[Message]:
    made: list[Message] = []
    for role, text in turns:
        if not isinstance(text, str):
            raise ValueError(f"a turn holds {type(text).__name__}, not text")
        if not isinstance(role, str) or role not in _ROLES:
            raise ValueError(f"unknown role {role!r:.40}")
        made.append(Message.model_validate({"role": _ROLES[role], "content": text}))
    return made


def multiple_choice(
    question: Any, choices: Any, answer: Any, rng: random.Random
) -> tuple[str, str]:
    """A question with lettered choices, and the answer; ``answer`` is a place or a letter.

    Example:
        >>> asked, told = multiple_choice("Iron?", ["Fe", "Ir"], 0, random.Random(0))
        >>> "Fe" in asked and "Ir" in asked and ("A" in told or "Fe" in told)
        True
    """
    if not (isinstance(question, str) and isinstance(choices, list | tuple)):
        raise ValueError("no question with a list of choices")
    if not 2 <= len(choices) <= len(_LETTERS):
        raise ValueError(f"{len(choices)} choices; between 2 and {len(_LETTERS)} can be lettered")
    place = _LETTERS.find(answer) if isinstance(answer, str) and len(answer) == 1 else answer
    if not isinstance(place, int) or not 0 <= place < len(choices):
        raise ValueError(f"answer {answer!r:.40} is none of {len(choices)} choices")
    mark = rng.choice(["{}. ", "{}) ", "({}) ", "{}: "])
    lines = [f"{mark.format(_LETTERS[i])}{choice}" for i, choice in enumerate(choices)]
    letter, text = _LETTERS[place], str(choices[place])
    wish, told = rng.choice(
        [
            ("Answer with the letter.", letter),
            ("Which one is right?", f"{letter}. {text}"),
            ("Give the right answer in its own words, without the letter.", text),
            ("Choose one.", f"The answer is {letter}: {text}"),
        ]
    )
    body = [question.strip(), "\n".join(lines)]
    return "\n\n".join([*body, wish] if rng.random() < 0.7 else [wish, *body]), told
