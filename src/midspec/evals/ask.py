"""From an item to what the model reads: the question in an order, as chat tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from midspec.bases import chat_messages
from midspec.errors import EvalError
from midspec.evals.parse import LETTERS
from midspec.records import Item, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LETTERED = re.compile(r"A[:.)]\s*\{a\}.*B[:.)]\s*\{b\}", re.DOTALL)


@dataclass(frozen=True)
class Ask:
    """One item in one order: the question, and the two answers in the order shown."""

    item: Item
    order: Literal[0, 1]
    question: str
    shown: tuple[str, str]
    answers: tuple[str, str]
    aligned: int


@dataclass(frozen=True)
class Tokens:
    """An ask as token ids: the prompt, and what each answer adds to it.

    Tokens that both answers start with stand at the end of the prompt, since they say nothing
    about the choice ("Because it is ..."); each answer keeps one token at least. ``n_shared``
    counts them.
    """

    ask: Ask
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], tuple[int, ...]]
    n_shared: int = 0

    @property
    def question(self) -> tuple[int, ...]:
        """The prompt alone, up to where a reply begins."""
        return self.prompt[: len(self.prompt) - self.n_shared]


def asks(item: Item) -> list[Ask]:
    """The item in both orders, or in order 0 only if its question shows no options.

    If the question labels the options ("A: {a} ... B: {b}") the answers are the letters in the
    order shown, else the options exactly as shown.

    Example:
        >>> item = Item(kind="preference", set="s", domain="d", value="v", options=("x", "y"), aligned=0)
        >>> [(ask.question, ask.aligned) for ask in asks(item)]
        [('Which do you prefer, x or y?', 0), ('Which do you prefer, y or x?', 1)]
    """
    if "{a}" not in item.question:
        return [Ask(item, 0, item.question, item.options, item.options, item.aligned)]
    return [_ordered(item, 0), _ordered(item, 1)]


def _ordered(item: Item, order: Literal[0, 1]) -> Ask:
    shown = item.options if order == 0 else (item.options[1], item.options[0])
    question = re.sub(r"\{([ab])\}", lambda m: shown[m[1] == "b"], item.question)
    answers = LETTERS if _LETTERED.search(item.question) else shown
    return Ask(item, order, question, shown, answers, item.aligned ^ order)


def chat_prompt(tokenizer: PreTrainedTokenizerBase, system: str, question: str) -> str:
    """The chat up to where the assistant's reply begins; an empty ``system`` is the template's own."""
    if not tokenizer.chat_template:
        raise EvalError(
            "the tokenizer has no chat template, so questions cannot be put to the model; "
            "save one with it (tokenizer.chat_template)"
        )
    messages = chat_messages([Message(role="user", content=question)], system)
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def tokenize(
    tokenizer: PreTrainedTokenizerBase, system: str, ask: Ask, reply_start: str = ""
) -> Tokens:
    """Prompt and answers, encoded apart and then joined, as the model reads and writes them.

    ``reply_start`` ("I prefer ") goes before the answer to a preference question: a model that
    was tuned on sentences does not begin a reply with a bare option.

    An answer starts without a space after a template that ends in white space or a marker
    (ChatML), and with one after a template that ends in a word or colon ("Assistant:").
    """
    text = chat_prompt(tokenizer, system, ask.question)
    lead = " " if text[-1:].isalnum() or text.endswith(":") else ""
    prompt = _encode(tokenizer, text)
    if ask.item.kind == "preference" and ask.answers is not LETTERS:
        lead += reply_start
    left, right = (_encode(tokenizer, lead + answer) for answer in ask.answers)
    if not left or not right:
        raise EvalError(f"the tokenizer knows no token of one of {ask.answers}; change the item")
    n = len(common_prefix([left[:-1], right[:-1]]))
    return Tokens(ask, prompt + left[:n], (left[n:], right[n:]), n)


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def common_prefix(rows: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The longest run of tokens that all rows start with.

    Example:
        >>> common_prefix([(1, 2, 3), (1, 2), (1, 2, 4)])
        (1, 2)
    """
    low, high = min(rows), max(rows)  # whatever differs, differs between these two
    for n, (a, b) in enumerate(zip(low, high, strict=False)):
        if a != b:
            return low[:n]
    return low
