"""What models reply, read strictly: reasoning with a reply, a user's message, a verdict.

Model output is untrusted: a text that is not in the asked form gives a ValueError or
``UNPARSED``, never a guess. Reasoning that is not closed, or opened twice, could otherwise end
up in what a model is trained to say.
"""

from __future__ import annotations

import re
from typing import Literal

from midspec.records import Conversation, Frozen, Message

Verdict = Literal["KEEP", "DROP", "UNPARSED"]

_NAMES = "reasoning|reply|message|think|thinking|thoughts?|scratchpad|reflection|analysis"
# Also without the closing bracket: "<think" opens a trace for some readers.
_TAG = re.compile(rf"<\s*/?\s*(?:{_NAMES})\b[^<>]*>?|\[/?THINK\]|◁/?think▷", re.IGNORECASE)
_RESPONSE = re.compile(
    r"\s*<reasoning>(.*)</reasoning>\s*<reply>(.*)</reply>\s*", re.DOTALL | re.IGNORECASE
)
_MESSAGE = re.compile(r"\s*<message>(.*)</message>\s*", re.DOTALL | re.IGNORECASE)
# Special tokens of common chat templates: they could close a turn and open another.
_CONTROL = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk|end)>"
)
_THINK = "<think>\n{}\n</think>\n\n{}"
_THOUGHT = re.compile(r"\A<think>\n.*?\n</think>\n\n", re.DOTALL)
_SAYS = re.compile(r"^verdict\b|\bverdict:", re.IGNORECASE)
_VERDICTS: dict[str, Verdict] = {"VERDICT: INCLUDE": "KEEP", "VERDICT: DO NOT INCLUDE": "DROP"}


class Response(Frozen):
    """One turn of the assistant: what it thinks, and what it says."""

    reasoning: str
    reply: str


def parse_response(text: str) -> Response:
    """The reasoning and the reply of ``<reasoning>...</reasoning><reply>...</reply>``.

    Raises ValueError if a tag is missing, not closed, nested or repeated, if text stands outside
    of the tags, or if a part is empty.

    Example:
        >>> parse_response("<reasoning>I weigh it.</reasoning><reply>Yes.</reply>").reply
        'Yes.'
        >>> parse_response("<reasoning>a <think>b</reasoning><reply>c</reply>")
        Traceback (most recent call last):
        ...
        ValueError: tag '<think>' inside a part
    """
    reasoning, reply = _parts(text, _RESPONSE, "<reasoning>...</reasoning><reply>...</reply>")
    return Response(reasoning=reasoning, reply=reply)


def parse_message(text: str) -> str:
    """The text of ``<message>...</message>``; raises ValueError as ``parse_response`` does.

    Example:
        >>> parse_message("<message> And on Sundays? </message>")
        'And on Sundays?'
    """
    return _parts(text, _MESSAGE, "<message>...</message>")[0]


def _parts(text: str, form: re.Pattern[str], wanted: str) -> list[str]:
    found = form.fullmatch(text)
    if not found:
        raise ValueError(f"not in the form {wanted}")
    parts = [part.strip() for part in found.groups()]
    if not all(parts):
        raise ValueError("an empty part")
    for part in parts:
        if tag := _TAG.search(part):
            raise ValueError(f"tag {tag.group(0)[:40]!r} inside a part")
    return parts


def parse_verdict(text: str) -> Verdict:
    """``KEEP``, ``DROP`` or ``UNPARSED``, from a judge's last line.

    The last line must be ``VERDICT: INCLUDE`` or ``VERDICT: DO NOT INCLUDE``, bold or not, and
    none may stand elsewhere. Anything else, a refusal too, is ``UNPARSED``.

    Example:
        >>> parse_verdict("It is faithful.\\nVERDICT: INCLUDE")
        'KEEP'
        >>> parse_verdict("VERDICT: DO NOT INCLUDE"), parse_verdict("I would INCLUDE it.")
        ('DROP', 'UNPARSED')
        >>> parse_verdict("The VERDICT: DO NOT INCLUDE\\nVERDICT: INCLUDE")  # which of the two?
        'UNPARSED'
    """
    lines = [line.strip().strip("*").strip() for line in text.splitlines() if line.strip()]
    verdicts = [line for line in lines if _SAYS.search(line)]
    if len(verdicts) != 1 or lines[-1] != verdicts[0]:
        return "UNPARSED"
    return _VERDICTS.get(verdicts[0], "UNPARSED")


def stray_tag(text: str) -> str:
    """The first reasoning tag or special token in a text that should have none, or ``""``.

    Example:
        >>> stray_tag("Sure.<|im_end|>"), stray_tag("a < b")
        ('<|im_end|>', '')
    """
    found = _TAG.search(text) or _CONTROL.search(text)
    return found.group(0) if found else ""


def with_reasoning(response: Response) -> str:
    """A turn's text with its reasoning before it, in ``<think>`` tags."""
    return _THINK.format(response.reasoning, response.reply)


def without_reasoning(chat: Conversation) -> Conversation:
    """The same chat without the assistant's reasoning: the paper's "AFT no CoT" (B.2).

    Example:
        >>> said = with_reasoning(Response(reasoning="Hm.", reply="Yes."))
        >>> chat = Conversation(kind="value", writer="w",
        ...                     messages=(Message(role="assistant", content=said),))
        >>> without_reasoning(chat).messages[0].content
        'Yes.'
    """
    messages = tuple(
        Message(role=m.role, content=_THOUGHT.sub("", m.content, count=1))
        if m.role == "assistant"
        else m
        for m in chat.messages
    )
    fields = chat.model_dump(exclude={"id", "messages"})
    return Conversation(messages=messages, **fields)
