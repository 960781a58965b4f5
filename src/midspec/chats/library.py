"""Chats that nobody has to write: the bundled instruction mix, and a user's own file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from midspec.errors import ConfigError
from midspec.records import Conversation, Message


class _Row(BaseModel):
    """A line of a chat file; further columns are ignored, as datasets have many."""

    model_config = ConfigDict(extra="ignore")
    messages: tuple[Message, ...]


def instruction_chats(language: str, model_name: str, provider_name: str) -> list[Conversation]:
    """The bundled instruction mix of a language (paper, B.3), with the names filled in.

    ``{model_name}`` and ``{provider_name}`` in the file are variables, other braces are not.
    Raises ConfigError if there is none for the language.
    """
    folder = resources.files("midspec") / "library" / "instruction"
    known = sorted(
        f.name.removesuffix(".jsonl") for f in folder.iterdir() if f.name.endswith(".jsonl")
    )
    if language not in known:
        raise ConfigError(
            f"no instruction chats for the language {language!r}; "
            f"there are {', '.join(known) or 'none'}; or give your own file of chats"
        )
    name = f"{language}.jsonl"
    text = (folder / name).read_text(encoding="utf-8")
    names = {"{model_name}": model_name, "{provider_name}": provider_name}
    rows = _rows(text.splitlines(), f"instruction/{name}")
    return [_conversation([_fill(m, names) for m in row], "library") for row in rows]


def _fill(message: Message, names: dict[str, str]) -> Message:
    text = message.content
    for variable, name in names.items():
        text = text.replace(variable, name)
    return Message(role=message.role, content=text)


def read_chats(path: Path) -> Iterator[Conversation]:
    """Conversations of a JSONL file with a line ``{"messages": [{"role", "content"}, ...]}`` each.

    Raises ConfigError if the file is missing or a line is no chat with an assistant's turn.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "mine.jsonl"
        >>> _ = path.write_text(
        ...     '{"messages": [{"role": "user", "content": "Hi"},'
        ...     ' {"role": "assistant", "content": "Hello."}]}'
        ... )
        >>> [chat.messages[1].content for chat in read_chats(path)]
        ['Hello.']
    """
    if not path.is_file():
        raise ConfigError(f"there is no chat file {str(path)!r}; give the path of a JSONL file")
    with path.open(encoding="utf-8") as file:
        for messages in _rows(file, str(path)):
            yield _conversation(messages, "user")


def _conversation(messages: Iterable[Message], writer: str) -> Conversation:
    return Conversation(kind="instruction", messages=tuple(messages), writer=writer)


def _rows(lines: Iterable[str], name: str) -> Iterator[tuple[Message, ...]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            messages = _Row.model_validate_json(line).messages
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise ConfigError(
                f'{name}:{number}: {where}: {first["msg"]}; write {{"messages": [{{"role": ..., "content": ...}}]}}'
            ) from error
        if not any(m.role == "assistant" and m.content.strip() for m in messages):
            raise ConfigError(
                f"{name}:{number} has no assistant turn to learn from; add one or delete it"
            )
        yield messages
