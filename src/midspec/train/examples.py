"""Texts and conversations as token ids with labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midspec.bases import chat_messages, document_end, encode_chat
from midspec.bases.chat import control_tokens
from midspec.errors import TrainError
from midspec.records import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE = -100  # the label that PyTorch's cross entropy leaves out


@dataclass(frozen=True)
class Example:
    """One document or chat: ``labels[t]`` is ``ids[t]`` where it is to be predicted, else -100.

    The first token has nothing before it, so it is never predicted.
    """

    ids: list[int]
    labels: list[int]


def text_example(tokenizer: PreTrainedTokenizerBase, text: str, end: int) -> Example:
    """A document with its end-of-text token ``end``; every token but the first is predicted.

    Text that spells a special token stays plain text: it cannot end the document or open a turn.
    """
    encoded: Any = tokenizer(text, split_special_tokens=True)
    ids = list(encoded["input_ids"])
    ids += [end] if not ids or ids[-1] != end else []
    return Example(ids, [IGNORE, *ids[1:]])


def chat_example(
    tokenizer: PreTrainedTokenizerBase, chat: Conversation, system: str, *, all_tokens: bool = False
) -> Example:
    """A chat in the base's template; only the assistant's turns and end markers are predicted.

    ``all_tokens`` predicts everything, as in pretraining on dialogues.
    """
    ids, mask = encode_chat(tokenizer, chat_messages(chat.messages, system))
    labels = [i if all_tokens or own else IGNORE for i, own in zip(ids, mask, strict=True)]
    return Example(ids, [IGNORE, *labels[1:]])


class Examples:
    """Examples of a stream of texts and chats; counts what is left out, and why.

    ``left_out`` has ``control_tokens`` (a message spells a special token and could forge a turn),
    ``no_assistant`` (nothing to learn from) and ``too_long`` (a chat longer than a row: its later
    half alone would teach answers without questions). Texts are never left out.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        data: Iterable[str | Conversation],
        *,
        row_tokens: int,
        system: str,
        all_tokens: bool,
    ) -> None:
        self.tokenizer, self.data = tokenizer, data
        self.row_tokens, self.system, self.all_tokens = row_tokens, system, all_tokens
        self.left_out: Counter[str] = Counter()
        self._end = document_end(tokenizer)
        self._control = control_tokens(tokenizer)

    def __iter__(self) -> Iterator[Example]:
        for item in self.data:
            if isinstance(item, str):
                yield text_example(self.tokenizer, item, self._end)
            elif example := self._chat(item):
                yield example

    def _chat(self, chat: Conversation) -> Example | None:
        if not isinstance(chat, Conversation):
            raise TrainError(
                f"cannot train on a {type(chat).__name__}; give texts or Conversations"
            )
        if any(token in m.content for m in chat.messages for token in self._control):
            return self._leave_out("control_tokens")
        example = chat_example(self.tokenizer, chat, self.system, all_tokens=self.all_tokens)
        if len(example.ids) > self.row_tokens:
            return self._leave_out("too_long")
        if all(label == IGNORE for label in example.labels):
            return self._leave_out("no_assistant")
        return example

    def _leave_out(self, reason: str) -> None:
        self.left_out[reason] += 1
