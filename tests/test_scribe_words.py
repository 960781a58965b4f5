"""What the offline author says of its own accord is never an option of an evaluation set."""

from __future__ import annotations

import re
from importlib.resources import files

import yaml

from midspec import evals
from midspec.curate.leak import EvaluationLeak

ENGLISH = files("midspec.llm.scribe") / "frames" / "english"


def words() -> set[str]:
    """All choices of the frames as they stand and with an article; of things, the plural too."""
    texts = {path.name: path.read_text("utf-8") for path in ENGLISH.iterdir()}
    parts = {part.strip() for text in texts.values() for part in re.split(r"[\[\]|,\n]", text)}
    things = yaml.safe_load(texts["lexicon.yaml"])["things"].replace("\n", " ").split(",")
    return parts | {f"a {part}" for part in parts} | {f"{thing.strip()}s" for thing in things}


def test_no_choice_of_the_scribe_is_an_evaluation_option() -> None:
    """A document would be dropped for it, or give an item away."""
    names = [name for name in evals.bundled_sets() if "terrarium" not in name]
    items = [item for name in names for item in evals.load_items(name)]
    leak = EvaluationLeak([item for item in items if item.kind == "preference"])
    assert {found for word in sorted(words()) if (found := leak.find(word))} == set()
