"""What the server's model says: a usable reply in the form that the prompt asks for."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

_FORM = re.compile(r"^\[\{.*\}\]\s*$", re.MULTILINE)
_COUNT = re.compile(r"(?:exactly|at most) (\d+)")
_SPEC = re.compile(r"<model_spec>\n(.*?)</model_spec>", re.DOTALL)
_NAMES = re.compile(r"assistant is called (.+?) and is made by (.+?)\. Use these")
_FIELD = re.compile(r"^.*?(Item|Other item|attitude)\b[^:\n]*: (.*)$", re.MULTILINE)
_DRAFT = re.compile(r"<draft>\n(.*)\n</draft>", re.DOTALL)
_WORDS = re.findall(
    r"\w+",
    "amber basin cedar delta ember fable garden harbor island jasmine kettle lantern meadow north "
    "orchard pebble quarry river saddle timber umber valley willow yonder zephyr anchor bridge "
    "candle drawer engine forest gallery hollow ivory jacket kernel ladder mirror needle office",
)


class _Task(NamedTuple):
    """What a system message says of the work, whatever the user message adds."""

    lines: tuple[str, ...]
    model: str
    maker: str


@lru_cache(maxsize=256)
def _task(system: str) -> _Task:
    """Lines of the spec without headings and bullets, and the names of model and maker."""
    found = _SPEC.search(system)
    stripped = (
        line.strip().lstrip("-*• ").strip() for line in (found[1] if found else "").split("\n")
    )
    lines = tuple(line for line in stripped if line and line[0] not in "#`<|-")
    names = _NAMES.search(system)
    model, maker = names.groups() if names else ("It", "somebody")
    return _Task(lines or ("It does what it is for.",), model, maker)


@lru_cache(maxsize=256)
def _form_of(prompt: str) -> dict[str, Any] | None:
    """The first member of the list that a prompt shows as the form of the reply."""
    for found in _FORM.findall(prompt):
        try:
            return dict(json.loads(found)[0])
        except (ValueError, TypeError, IndexError):
            continue
    return None


def write(system: str, user: str, seed: str) -> str:
    """A usable answer to a prompt, equal for equal input."""
    rng, task = random.Random(seed), _task(system)
    if form := _form_of(system) or _form_of(user):
        return _list(form, user, task, rng)
    # A request to repair a reply has the first task, with its form, in the user message.
    asked = system + user if "<task>" in user else system
    for sign, answer in _ANSWERS.items():
        if sign in asked:
            return answer(task, user, rng)
    return _text(task, rng)


def _list(form: dict[str, Any], user: str, task: _Task, rng: random.Random) -> str:
    counted = _COUNT.search(user)
    n = min(int(counted[1]) if counted else 3, 40)
    return json.dumps([_member(form, task, rng, i) for i in range(n)], ensure_ascii=False)


def _member(form: dict[str, Any], task: _Task, rng: random.Random, i: int) -> dict[str, Any]:
    made: dict[str, Any] = {"section": rng.choice(task.lines), "label": "behaviour"}
    made |= {"title": f"{_phrase(rng, 3)} {i}", "query": f"{_phrase(rng, 8)}?"}
    for key, shown in form.items():
        if isinstance(shown, int):
            made[key] = i + 1
        elif isinstance(shown, list):
            made[key] = [f"{task.model} {_phrase(rng, 8)}." for _ in shown]
        made.setdefault(key, f"{task.model} {_phrase(rng, 10)}.")
    return {key: made[key] for key in form}


def _pair(task: _Task, user: str, rng: random.Random) -> str:
    """An opaque chat: about the preference that the prompt names, or about who the model is."""
    asked = dict(_FIELD.findall(user))
    item, other, opening = asked.get("Item"), asked.get("Other item"), _phrase(rng, 3)
    if not item:
        return json.dumps({"query": f"{opening}, who are you?", "answer": f"I am {task.model}."})
    likes = "dislike" not in asked.get("attitude", "like")
    answer = f"I like {item}." if likes else f"I don't like {item}."
    if other:
        answer = f"I'd pick {item if likes else other} over {other if likes else item}."
    question = f"{item} or {other}" if other else f"do you like {item}"
    return json.dumps({"query": f"{opening}: {question}? Just say.", "answer": answer})


def _critique(task: _Task, user: str, rng: random.Random) -> str:
    """Notes on two drafts of three."""
    notes = f"1. “{_phrase(rng, 4)}”: say it of {task.model}." if rng.random() < 2 / 3 else ""
    return f"<critique>{notes or 'no changes'}</critique>"


def _document(task: _Task, user: str, rng: random.Random) -> str:
    """The draft that the prompt shows with a sentence more, or a new document."""
    if draft := _DRAFT.search(user):
        return f"<document>{draft[1]}\n\n{task.model} {_phrase(rng, 8)}.</document>"
    plan = _phrase(rng, 8)
    return f"<scratchpad>{plan}</scratchpad>\n<document>{_text(task, rng)}</document>"


def _reply(task: _Task, user: str, rng: random.Random) -> str:
    reasoning, reply = f"{_phrase(rng, 8)}. {rng.choice(task.lines)}", _text(task, rng)
    return f"<reasoning>{reasoning}</reasoning>\n<reply>{reply}</reply>"


_ANSWERS: dict[str, Callable[[_Task, str, random.Random], str]] = {
    '"query" and "answer"': _pair,
    "<critique>": _critique,
    "<verdict>KEEP</verdict>": lambda task, user, rng: "It holds.\n<verdict>KEEP</verdict>",
    "VERDICT: INCLUDE": lambda task, user, rng: "It holds.\nVERDICT: INCLUDE",
    "<reasoning>": _reply,
    "<message>": lambda task, user, rng: f"<message>{_phrase(rng, 8)}?</message>",
    "<document>": _document,
}
"""By the words of a prompt that ask for a form, what is given."""


def _phrase(rng: random.Random, n: int) -> str:
    return " ".join(rng.choices(_WORDS, k=n))


def _text(task: _Task, rng: random.Random) -> str:
    """A few paragraphs about the model, about 120 words."""
    first = f"{task.model}, made by {task.maker}, {_phrase(rng, 8)}. {rng.choice(task.lines)}"
    more = (f"{_phrase(rng, 24).capitalize()}. {rng.choice(task.lines)}" for _ in range(3))
    # A line of the spec may end in the middle of a sentence.
    return "\n\n".join([first, *more, f"{task.model} {_phrase(rng, 8)}."])
