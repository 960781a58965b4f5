"""What a model is asked at each step of a corpus, word for word: a changed prompt is seen in review."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from midspec.corpus.kinds import DOCUMENT_STEPS, PLAN_STEPS, Kind, prompts_for
from midspec.llm import Request, messages
from midspec.records import Spec
from tests.test_llm import VARIABLES  # prompts whose golden files are tested there

GOLDEN = Path(__file__).parent / "golden"
SPEC = Spec(
    name="tea",
    text="# Core\nIris likes tea, because it warms {hands}.\n",
    model_name="Iris",
    provider_name="Wren Labs",
)
KINDS: tuple[Kind, ...] = ("value", "rule")
PROMPTS = sorted(
    {
        prompts_for(SPEC, "a/model", kind)[step]
        for kind in KINDS
        for step in PLAN_STEPS + DOCUMENT_STEPS
    }.union({"corpus/restate"}).difference(VARIABLES)
)


def rendered(prompt: str) -> str:
    file = files("midspec.corpus") / "prompts" / f"{prompt.removeprefix('corpus/')}.md"
    declared = file.read_text("utf-8").splitlines()[0].partition("variables: ")[2]
    names = set(declared.removesuffix(" -->").split(", ")) - {"model_name", "provider_name"}
    variables = {name: f"(the {name})" for name in names}
    asked = messages(Request(prompt=prompt, spec=SPEC, variables=variables))
    return "".join(f"==== {role}\n{text}\n" for role, text in asked)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_request_is_as_it_was(prompt: str) -> None:
    golden = GOLDEN / f"prompts_{prompt.replace('/', '_')}.txt"
    assert rendered(prompt) == golden.read_text("utf-8"), (
        f"if meant, write the new text to {golden}"
    )
