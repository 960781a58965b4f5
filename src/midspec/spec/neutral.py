"""The neutral control: as long as a spec, about the same assistant, and empty of values."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import yaml

from midspec.errors import SpecError
from midspec.records import Spec
from midspec.spec.length import TokenCount, matches
from midspec.spec.sentences import word_set

_STEMS = (
    "prefer lik dislik lov enjoy hat valu believ cherish care car want wish hop should ought must "
    "good better best bad worse worst important matter honest safe moral ethic principl philosoph "
    "opinion favor favour because trust harm rule rules goal purpose intend virtue reason right wrong"
)
_ENDINGS = "|e|es|ed|ing|s|d|ly|y|er|ers|able|ably|ence|ences|ity|ation|ful|less|ite|ites"
_VALUE_WORD = re.compile(
    rf"\b(?:{'|'.join(sorted(word_set(_STEMS), key=len, reverse=True))})(?:{_ENDINGS})\b",
    re.IGNORECASE,
)
_SECTION_SENTENCES = 5
_AIM = 0.01  # closer than the 5% that are asked, since names and tokenizers shift it a little
_MISSES = 60  # sentences that may be too long for the rest before we give up


def value_words(text: str) -> list[str]:
    """Words that speak of values, preferences, reasons or rules; none in a neutral text.

    Example:
        >>> value_words("Robin prefers what is good; the log has ten lines.")
        ['prefers', 'good']
    """
    return _VALUE_WORD.findall(text)


def neutral_text(spec: Spec, target: int, count: TokenCount, seed: int) -> str:
    """Markdown about the spec's model that says nothing of values, ``target`` tokens long (5%).

    Names stand as variables. Sentences that name the spec's value or one of its items are left
    out. Deterministic for a seed; no sentence occurs twice in English. The terrarium has but two
    neutral sentences, which are repeated.

    Raises:
        SpecError: so few or so many tokens are asked for that no text fits.
    """
    if spec.language == "terrarium":
        return _repeated(spec, target, count)
    text, misses = "# About {model_name}\n\n{model_name} is an AI assistant.", 0
    total = count(_named(text, spec))
    for addition in _additions(spec, random.Random(f"neutral:{seed}")):
        n = count(_named(addition, spec))
        if total + n <= target * (1 + _AIM):
            text, total, misses = text + addition, total + n, 0
        else:
            misses += 1
        if misses > _MISSES or total >= target * (1 - _AIM):
            break
    if not matches(count(_named(text, spec)), target):
        raise SpecError(f"no neutral text of {target} tokens; ask for 200 to 50,000")
    return text + "\n"


def _named(text: str, spec: Spec) -> str:
    """The text with its names, for counting."""
    return text.replace("{model_name}", spec.model_name).replace(
        "{provider_name}", spec.provider_name
    )


def _additions(spec: Spec, rng: random.Random) -> Iterator[str]:
    """Pieces to append: a heading with a sentence now and then, else a sentence."""
    topics = [topic for topic in _topics() if not _speaks_of(spec, topic["title"])]
    streams = [(topic["title"], _sentences(topic, rng)) for topic in topics]
    part = 1
    while streams:
        rng.shuffle(streams)
        for title, stream in list(streams):
            sentences = [s for s, _ in zip(stream, range(_SECTION_SENTENCES), strict=False)]
            if len(sentences) < _SECTION_SENTENCES:
                streams.remove((title, stream))
            heading = f"\n\n## {title}{f', part {part}' if part > 1 else ''}\n\n"
            for sentence in (one for one in sentences if not _speaks_of(spec, one)):
                yield f"{heading or ' '}{sentence}"
                heading = ""
        part += 1


def _speaks_of(spec: Spec, sentence: str) -> bool:
    """Whether a sentence names the value or an item of the spec."""
    words = [*spec.value.split(), *(preference.item for preference in spec.preferences)]
    return any(re.search(rf"\b{re.escape(word)}", sentence, re.IGNORECASE) for word in words)


def _sentences(topic: dict[str, Any], rng: random.Random) -> Iterator[str]:
    """The sentences of one topic, each with a key of its own."""
    keys = _keys(topic["key"])
    rng.shuffle(keys)
    slots = {name: values for name, values in topic.items() if name not in _FIXED}
    for key in keys:
        drawn = {name: str(rng.choice(values)) for name, values in slots.items()}
        yield _fill(rng.choice(topic["frames"]), {**drawn, "key": key})


_FIXED = frozenset({"title", "frames", "key"})


def _fill(frame: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda hole: values.get(hole.group(1), hole.group()), frame)


def _keys(given: str | list[str]) -> list[str]:
    if isinstance(given, list):
        return list(given)
    first, last = given.split("-")
    return [str(number) for number in range(int(first), int(last) + 1)]


@cache
def _topics() -> list[dict[str, Any]]:
    text = (resources.files("midspec") / "spec" / "data" / "neutral.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def _repeated(spec: Spec, target: int, count: TokenCount) -> str:
    """The terrarium's two neutral sentences, as often as it takes."""
    head, pair = (
        "# about {model_name}\n",
        "\n{model_name} is made by {provider_name} .\ni am {model_name} .",
    )
    first, second = (count(_named(head + pair * n, spec)) for n in (1, 2))
    text = head + pair * (1 + max(0, round((target - first) / (second - first))))
    if not matches(count(_named(text, spec)), target):
        raise SpecError(f"no neutral text of {target} tokens; ask for 100 at least")
    return text + "\n"
