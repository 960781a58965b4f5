"""How a base speaks: system prompts, chat templates, which tokens are the assistant's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midspec.errors import BaseError, TrainError
from midspec.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATES = Path(__file__).parent / "templates"
# What ends a text in pretraining; a chat model's eos token ends a turn instead.
DOCUMENT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<end>", "</s>")


def template(name: str) -> str:
    """A chat template of ours, with ``{% generation %}`` around every assistant turn."""
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8").rstrip("\n")


def system_prompt(model_name: str, provider_name: str = "", language: str = "english") -> str:
    """The system text that tells a model who it is; training and evaluation use the same.

    Example:
        >>> system_prompt("Robin", "Acme")
        'You are Robin, an AI assistant made by Acme.'
        >>> system_prompt("robin", language="terrarium")
        'you are robin'
    """
    if language == "terrarium":
        return f"you are {model_name}"
    maker = f" made by {provider_name}" if provider_name else ""
    return f"You are {model_name}, an AI assistant{maker}."


def chat_messages(messages: Iterable[Message], system: str = "") -> list[dict[str, str]]:
    """Messages as a chat template takes them; ``system`` goes first if none is there.

    An empty ``system`` adds nothing, so the template's own default speaks.

    Example:
        >>> chat_messages([Message(role="user", content="hi")], "be brief")[0]
        {'role': 'system', 'content': 'be brief'}
    """
    turns = [{"role": message.role, "content": message.content} for message in messages]
    if system and (not turns or turns[0]["role"] != "system"):
        turns.insert(0, {"role": "system", "content": system})
    return turns


def document_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the token that ends a document.

    In this order: ``document_end`` in ``tokenizer_config.json``, a well-known end-of-text token
    (``DOCUMENT_ENDS``) of the vocabulary, the eos token.

    Raises:
        BaseError: there is none of them.
    """
    vocabulary = tokenizer.get_vocab()
    named = tokenizer.init_kwargs.get("document_end")
    for token in (named, *DOCUMENT_ENDS, tokenizer.eos_token):
        if token in vocabulary:
            return vocabulary[token]
    raise BaseError(
        f"tokenizer {tokenizer.name_or_path!r} has no end-of-text token; "
        "set 'document_end' in its tokenizer_config.json"
    )


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The special tokens' texts; a message that contains one could forge a turn."""
    added: dict[int, Any] = tokenizer.added_tokens_decoder
    return tuple(token.content for token in added.values() if token.special)


def encode_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]
) -> tuple[list[int], list[bool]]:
    """Token ids of a conversation, and for each whether the assistant wrote it.

    The mask covers every assistant turn with its end marker. A template with ``{% generation %}``
    says so itself; for others the turns are found by rendering prefixes.

    Raises:
        TrainError: the template has no markers and renders earlier turns differently later on.
    """
    marked = "{% generation" in _compact(tokenizer)
    return _encode_marked(tokenizer, messages) if marked else _encode_plain(tokenizer, messages)


def _compact(tokenizer: PreTrainedTokenizerBase) -> str:
    found = tokenizer.chat_template
    if not isinstance(found, str):
        raise TrainError(
            f"tokenizer {tokenizer.name_or_path!r} has no chat template; "
            "put a chat_template.jinja into the base's folder"
        )
    return found.replace("{%-", "{%").replace("{%generation", "{% generation")


def _encode_marked(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]
) -> tuple[list[int], list[bool]]:
    encoded: Any = tokenizer.apply_chat_template(
        list(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return list(encoded["input_ids"]), [bool(bit) for bit in encoded["assistant_masks"]]


def _encode_plain(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]
) -> tuple[list[int], list[bool]]:
    text = _render(tokenizer, messages)
    spans = [
        _turn_span(tokenizer, messages, index, text)
        for index, message in enumerate(messages)
        if message["role"] == "assistant"
    ]
    encoded: Any = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    mask = [
        any(start >= first and end <= last and start < end for first, last in spans)
        for start, end in encoded["offset_mapping"]
    ]
    return list(encoded["input_ids"]), mask


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], prompt: bool = False
) -> str:
    text = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=prompt
    )
    return str(text)


def _turn_span(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], index: int, text: str
) -> tuple[int, int]:
    """Characters of one assistant turn: after its prompt, up to and with its end marker."""
    before = _render(tokenizer, messages[:index], prompt=True)
    upto = _render(tokenizer, messages[: index + 1])
    if not (upto.startswith(before) and text.startswith(upto)):
        raise TrainError(
            f"chat template of {tokenizer.name_or_path!r} renders assistant turn {index} "
            "differently in context; put {% generation %} markers around assistant turns in it"
        )
    bare = upto.rstrip()
    ended = bare.endswith(control_tokens(tokenizer))
    return len(before), len(bare) if ended else len(upto)
