"""The scribe's data files, read once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml


@cache
def load_yaml(path: str) -> dict[str, str]:
    """A YAML file under ``frames/``; text only."""
    text = files("midspec.llm.scribe").joinpath("frames", *path.split("/")).read_text("utf-8")
    return yaml.load(text, Loader=yaml.BaseLoader)


@cache
def word_lists() -> dict[str, frozenset[str]]:
    """The lexicon of the English rules: list name to words."""
    table = load_yaml("english/lexicon.yaml")
    return {
        key: frozenset(
            word for word in text.replace("\n", " ").replace(",", " ").split(" ") if word
        )
        for key, text in table.items()
    }
