"""Prompts are Markdown files with declared variables, beside the stage that uses them.

A file ``<room>/prompts/<name>.md`` is named ``"<room>/<name>"``. Its first line declares its
variables; a line ``<!-- what differs -->`` ends the part that all requests for one spec share:

    <!-- variables: model_name, topic -->
    Write about {{model_name}}. ...instructions...
    <!-- what differs -->
    The topic: {{topic}}

``model_name``, ``provider_name`` and ``spec`` come from the spec of a request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from midspec.errors import ConfigError
from midspec.llm.door import Request
from midspec.records import Spec, digest

FROM_SPEC = ("model_name", "provider_name", "spec")
_NAME = re.compile(r"[a-z_]+/[a-z_]+")
_HEADER = re.compile(r"<!-- variables:([\w, ]*)-->\n")
_SPLIT = "<!-- what differs -->"
_HOLE = re.compile(r"\{\{ *(\w+) *\}\}")
_SYSTEM = "llm/system"


@dataclass(frozen=True)
class _Template:
    """A prompt file, taken apart: in both parts, every second piece is a variable's name."""

    name: str
    variables: frozenset[str]
    shared: Sequence[str]
    own: Sequence[str]

    def fill(self, part: Sequence[str], values: dict[str, str]) -> str:
        """Put values into one part, in a single pass: a value is never expanded again."""
        filled = list(part)
        filled[1::2] = [values[name] for name in part[1::2]]
        return "".join(filled).strip()

    def check(self, values: dict[str, str]) -> None:
        """Raise if a variable is missing or not declared."""
        if values.keys() == self.variables:
            return
        if missing := sorted(self.variables - values.keys()):
            raise ConfigError(
                f"prompt {self.name!r} needs the variable {missing[0]!r}; pass {missing[0]}=..."
            )
        if extra := sorted(values.keys() - self.variables):
            raise ConfigError(
                f"prompt {self.name!r} has no variable {extra[0]!r}; "
                f"it declares {', '.join(sorted(self.variables)) or 'none'}"
            )


def _read(prompt: str) -> str:
    """Text of a prompt file."""
    if not _NAME.fullmatch(prompt):
        raise ConfigError(f"{prompt!r} is not a prompt name; write '<room>/<name>'")
    room, name = prompt.split("/")
    path = resources.files("midspec") / room / "prompts" / f"{name}.md"
    if not path.is_file():
        raise ConfigError(
            f"there is no prompt {prompt!r}; expected src/midspec/{room}/prompts/{name}.md"
        )
    return path.read_text(encoding="utf-8")


@cache
def _load(prompt: str) -> _Template:
    """Read a prompt file and check it against its own declaration."""
    text = _read(prompt)
    header = _HEADER.match(text)
    if not header:
        raise ConfigError(f"prompt {prompt!r}: the first line must be '<!-- variables: a, b -->'")
    declared = frozenset(header.group(1).replace(",", " ").split())
    body = text[header.end() :]
    if (used := frozenset(_HOLE.findall(body))) != declared:
        raise ConfigError(
            f"prompt {prompt!r} declares and uses different variables: {sorted(used ^ declared)}"
        )
    shared, split, own = body.partition(_SPLIT)
    if not split:
        shared, own = "", body
    if varying := sorted(frozenset(_HOLE.findall(shared)) - frozenset(FROM_SPEC)):
        raise ConfigError(f"prompt {prompt!r}: {varying[0]!r} differs, use it below '{_SPLIT}'")
    return _Template(prompt, declared, _HOLE.split(shared), _HOLE.split(own))


def render(prompt: str, **variables: str) -> str:
    """The text of a prompt with its variables filled in.

    Values are put in as they are: braces in them mean nothing. Raises ConfigError if a
    declared variable is missing or one that is not declared is given.

    Example:
        >>> "Bad {{ brace" in render(
        ...     "llm/system", model_name="Iris", provider_name="Wren Labs", spec="Bad {{ brace"
        ... )
        True
    """
    template = _load(prompt)
    template.check(variables)
    parts = (template.fill(part, variables) for part in (template.shared, template.own))
    return "\n\n".join(part for part in parts if part)


@cache
def prompt_hash(prompt: str) -> str:
    """Digest of all the text that a prompt's rendering depends on, for manifests and keys."""
    return digest("prompt", _read(prompt), _read(_SYSTEM))


def _from_spec(spec: Spec) -> dict[str, str]:
    """The variables that a spec gives."""
    return {"model_name": spec.model_name, "provider_name": spec.provider_name, "spec": spec.text}


def messages(request: Request) -> list[tuple[str, str]]:
    """The rendered request as ``(role, text)``: what is shared first, what differs last.

    The system message (shared instructions, spec, the prompt's own instructions) is one block,
    equal for all requests that share a prompt and a spec, so that a provider's prompt cache
    holds it.
    """
    template, given = _load(request.prompt), _from_spec(request.spec)
    declared = {name: text for name, text in given.items() if name in template.variables}
    values = {**declared, **request.variables}
    template.check(values)
    return [("system", shared_text(request)), ("user", template.fill(template.own, values))]


def shared_text(request: Request) -> str:
    """The system message of a request, without rendering what differs."""
    return _shared(request.prompt, *_from_spec(request.spec).values())


@lru_cache(maxsize=64)  # a spec of 55,000 tokens is 220 KB: 64 of them are 14 MB
def _shared(prompt: str, model_name: str, provider_name: str, spec: str) -> str:
    """The system message of a prompt for one spec."""
    template = _load(prompt)
    given = {"model_name": model_name, "provider_name": provider_name, "spec": spec}
    parts = (render(_SYSTEM, **given), template.fill(template.shared, given))
    return "\n\n".join(part for part in parts if part)
