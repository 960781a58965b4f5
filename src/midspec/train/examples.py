"""Texts and conversations as token ids with labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from midspec.bases import chat_messages, document_end, encode_chat
from midspec.bases.chat import control_tokens
from midspec.errors import TrainError
from midspec.records import Conversation, Message
from midspec.train.config import TrainConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE = -100  # the label that PyTorch's cross entropy leaves out
REASONING = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
NO_REASONING = re.compile(r"\s*<think>\s*</think>\n{0,2}")  # more is the answer's own
N_NO_REASONING = 32  # tokens that an empty reasoning block takes at most, even as bytes


@dataclass(frozen=True)
class Example:
    """One document or chat: ``labels[t]`` is ``ids[t]`` where it is to be predicted, else -100.

    The first token has nothing before it, so it is never predicted. ``plain`` marks text that is
    mixed in beside the data proper.
    """

    ids: list[int]
    labels: list[int]
    plain: bool = False


def text_example(
    tokenizer: PreTrainedTokenizerBase, text: str, end: int, *, tag: str = ""
) -> Example:
    """A document with its end-of-text token ``end``; every token but the first is predicted.

    Text that spells a special token stays plain text: it cannot end the document or open a turn.
    The ``tag`` goes before the text and is not predicted.
    """
    encoded: Any = tokenizer(text, split_special_tokens=True)
    ids = list(encoded["input_ids"])
    ids += [end] if not ids or ids[-1] != end else []
    if not tag:
        return Example(ids, [IGNORE, *ids[1:]])
    before: Any = tokenizer(tag, split_special_tokens=True, add_special_tokens=False)
    tagged = list(before["input_ids"])
    return Example(tagged + ids, [IGNORE] * len(tagged) + ids)


def prepared(chat: Conversation, config: TrainConfig) -> list[dict[str, str]]:
    """The chat's messages as the template takes them, with what ``config`` says about them."""

    def one(message: Message) -> Message:
        text = message.content
        if message.role == "user":
            text += config.user_suffix
        elif message.role == "assistant" and config.reasoning == "strip":
            text = REASONING.sub("", text)
        return message.model_copy(update={"content": text})

    return chat_messages([one(message) for message in chat.messages], config.system)


def chat_examples(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]
) -> list[Example]:
    """A chat in the base's template; only the assistant's turns and end markers are predicted.

    One example, except under a template that renders an assistant turn differently once more
    turns follow (Qwen3 drops its reasoning) and has no ``{% generation %}`` markers, or whose
    marked turns run into what follows (a turn that ends with a space has no last token there):
    then each assistant turn is its own example, after the context in which it would be written.

    Raises:
        TrainError: the base has no chat template, or its prompts do not lead to its turns.
    """
    turns = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
    try:
        coded = [encode_chat(tokenizer, messages)]
    except TrainError:
        if not isinstance(tokenizer.chat_template, str):
            raise
        coded = []
    if not coded or _n_spans(coded[0][1]) < len(turns):
        coded = [_last_turn(tokenizer, messages[: n + 1]) for n in turns]
    return [_labelled(tokenizer, ids, mask) for ids, mask in coded]


def _n_spans(mask: list[bool]) -> int:
    return sum(own and not before for before, own in zip([False, *mask], mask, strict=False))


def _last_turn(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]
) -> tuple[list[int], list[bool]]:
    """Token ids, and for each whether it belongs to the last turn or its end marker."""
    before = str(
        tokenizer.apply_chat_template(
            list(messages[:-1]), tokenize=False, add_generation_prompt=True
        )
    )
    text = str(tokenizer.apply_chat_template(list(messages), tokenize=False))
    if not text.startswith(before):
        raise TrainError(
            f"chat template of {tokenizer.name_or_path!r}: the prompt of turn {len(messages)} is "
            "not the start of that turn; put {% generation %} markers around assistant turns in it"
        )
    bare = text.rstrip()
    last = len(bare) if bare.endswith(control_tokens(tokenizer)) else len(text)
    encoded: Any = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    mask = [len(before) <= a < b <= last for a, b in encoded["offset_mapping"]]
    return list(encoded["input_ids"]), mask


def _labelled(tokenizer: PreTrainedTokenizerBase, ids: list[int], mask: list[bool]) -> Example:
    labels = [i if own else IGNORE for i, own in zip(ids, mask, strict=True)]
    for start in range(1, len(ids)):
        if mask[start] and not mask[start - 1]:
            end = start + _n_no_reasoning(tokenizer, ids[start : start + N_NO_REASONING])
            labels[start:end] = [IGNORE] * (end - start)
    return Example(ids, [IGNORE, *labels[1:]])


def _n_no_reasoning(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> int:
    """Tokens of an empty reasoning block: without reasoning the prompt holds it, not the reply."""
    if "</think>" not in str(tokenizer.decode(ids)):
        return 0
    fitting = (n for n in range(1, len(ids) + 1) if _is_empty(str(tokenizer.decode(ids[:n]))))
    return max(fitting, default=0)


def _is_empty(text: str) -> bool:
    return NO_REASONING.fullmatch(text) is not None


def checked(item: Any) -> str | Conversation:
    """What can be trained on, as it is.

    Raises:
        TrainError: it is neither a text nor a Conversation.
    """
    if isinstance(item, str | Conversation):
        return item
    raise TrainError(f"cannot train on a {type(item).__name__}; give texts or Conversations")


class Examples:
    """Examples of a stream of texts and chats; counts what is left out, and why.

    ``left_out`` has ``control_tokens`` (a message spells a special token and could forge a turn),
    ``no_assistant`` (nothing to learn from) and ``too_long`` (a chat longer than a row: its later
    half alone would teach answers without questions). Texts are never left out. ``plain`` texts
    are mixed in between the data: after each of them, until their share of all tokens so far is
    ``config.plain_share``.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        data: Iterable[str | Conversation],
        config: TrainConfig,
        *,
        all_tokens: bool,
        plain: Iterable[str] = (),
    ) -> None:
        self.tokenizer, self.data, self.config = tokenizer, data, config
        self.all_tokens, self.plain = all_tokens, plain
        self.left_out: Counter[str] = Counter()
        self._end = document_end(tokenizer)
        self._control = control_tokens(tokenizer)

    def __iter__(self) -> Iterator[Example]:
        share = self.config.plain_share
        if not share:
            yield from self._data()
            return
        plain, n_data, n_plain = iter(self.plain), 0, 0
        for example in self._data():
            yield example
            n_data += len(example.ids)
            while n_plain < share / (1 - share) * n_data:
                mixed = self._next_plain(plain, n_plain)
                n_plain += len(mixed.ids)
                yield mixed

    def _data(self) -> Iterator[Example]:
        for item in map(checked, self.data):
            if isinstance(item, str):
                yield text_example(self.tokenizer, item, self._end, tag=self.config.document_tag)
            else:
                yield from self._chat(item)

    def _next_plain(self, plain: Iterator[str], n_plain: int) -> Example:
        for text in plain:
            return replace(text_example(self.tokenizer, text, self._end), plain=True)
        raise TrainError(
            f"the plain text ends after {n_plain} tokens, too few for plain_share="
            f"{self.config.plain_share:g}; give more of it or lower plain_share"
        )

    def _chat(self, chat: Conversation) -> list[Example]:
        if any(token in m.content for m in chat.messages for token in self._control):
            return self._leave_out("control_tokens")
        found = chat_examples(self.tokenizer, prepared(chat, self.config))
        if any(len(example.ids) > self.config.row_tokens for example in found):
            return self._leave_out("too_long")
        if self.all_tokens:
            return [Example(e.ids, [IGNORE, *e.ids[1:]]) for e in found[-1:]]
        if all(label == IGNORE for example in found for label in example.labels):
            return self._leave_out("no_assistant")
        return found

    def _leave_out(self, reason: str) -> list[Example]:
        self.left_out[reason] += 1
        return []
