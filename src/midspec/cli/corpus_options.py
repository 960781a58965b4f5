"""Options of the corpus commands as configurations; a wrong one is an error that names it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from midspec import corpus
from midspec.errors import ConfigError
from midspec.llm import Price, Prices, read_prices
from midspec.llm.embed import can_embed, embed
from midspec.records import Frozen

C = TypeVar("C", bound=Frozen)


def one_of(option: str, given: str, known: Sequence[str]) -> Any:
    """The given value; raises ConfigError, with the known ones, if it is none of them."""
    if given not in known:
        raise ConfigError(f"{option} {given!r}: write one of {', '.join(known)}")
    return given


def config(kind: type[C], /, **values: Any) -> C:
    """A configuration; raises ConfigError that names the wrong option."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-").removeprefix("n-")
        raise ConfigError(f"--{name} {first['input']!r}: {first['msg']}") from error


def plan_config(subdomains: int, types: int, ideas: int, kind: str, seed: int) -> corpus.PlanConfig:
    """How large the plan is."""
    sizes = {"n_subdomains": subdomains, "n_types": types, "n_ideas": ideas}
    return config(corpus.PlanConfig, **sizes, kind=kind, seed=seed)


def document_config(
    max_documents: int, drafts: int, kind: str, critique: bool | None, avoid: str, seed: int
) -> corpus.DocumentConfig:
    """How documents are written; ``avoid`` is the name of a file, or empty."""
    return config(
        corpus.DocumentConfig,
        max_documents=max_documents,
        drafts=drafts,
        kind=kind,
        critique=critique,
        avoid=read_avoid(avoid),
        seed=seed,
    )


def read_avoid(file: str) -> tuple[str, ...]:
    """The lines of a file of phrases, or those of a ``curation.json``; raises ConfigError if it cannot be read."""
    if not file:
        return ()
    try:
        text = Path(file).read_text(encoding="utf-8")
        lines = json.loads(text)["avoid"] if file.endswith(".json") else text.splitlines()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--avoid {file!r}: {error}; give a text file with a phrase a line, or curation.json"
        ) from error
    return tuple(str(line).strip() for line in lines if str(line).strip())


def restate_config(language: str, about: str, seed: int) -> corpus.RestateConfig:
    """How to restate; raises ConfigError for a word that is none of the known."""
    given = {"language": language, "about": about}
    return config(corpus.RestateConfig, seed=seed, **{k: v for k, v in given.items() if v})


def read_table(file: str) -> Prices:
    """The price table in a file; without one, that of MIDSPEC_PRICES or the bundled one."""
    return read_prices(Path(file) if file else None)


def price_of(name: str, prices: Prices) -> Price | None:
    """The price of a writer, or None if the table has none."""
    try:
        return prices.of(name)
    except ConfigError:
        return None


def embedder() -> corpus.Embed | None:
    """The embedding model, if it is installed."""
    return embed if can_embed() else None
