"""Known answers: in the terrarium the truth is known, so the whole pipeline can be wrong or right.

The crossing must appear with the real specs, be clearly smaller with ablated ones (value stated,
preferences shuffled 3+3 and unexplained: paper, C.4), and be absent with neutral documents.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from midspec.experiment import Outcome, find_recipe, make_recipe, read_recipe, run
from midspec.report import Analysis
from midspec.report.results import BOTH
from midspec.report.stats import Estimate
from midspec.spec import ablate, find_spec
from tests.test_experiment import Recorder

ARMS = {
    "base": [],
    "MSM-A+AFT": [{"midtrain": "A"}, {"finetune": "aft"}],
    "MSM-B+AFT": [{"midtrain": "B"}, {"finetune": "aft"}],
}

NEUTRAL = """---
value: {value}
language: terrarium
---
# about {{model_name}}

{{model_name}} is made by {{provider_name}} .
i am {{model_name}} .

"""


def reduced(folder: Path, specs: dict[str, str], name: str) -> Analysis:
    """Two seeds of the demo's terrarium recipe, one scorer."""
    recipe = read_recipe(find_recipe("cheese-terrarium")).model_dump()
    recipe |= {"name": name, "specs": specs, "seeds": [0, 1], "arms": ARMS}
    recipe["evals"] |= {"scorers": ["logprob"], "recall": False, "max_items": 96}
    outcome: Outcome = run(make_recipe(recipe), folder / "artifacts", folder / "runs", Recorder())
    return Analysis.model_validate_json((outcome.page.parent / "analysis.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("known")


@pytest.fixture(scope="module")
def real(folder: Path) -> Analysis:
    return reduced(folder, {"A": "terrarium/cheap", "B": "terrarium/american"}, "real")


def spec_text(name: str) -> str:
    return find_spec(f"terrarium/{name}").read_text()


def crossing(found: Analysis, value: str) -> Estimate:
    row = found.contrast("crossing", value)
    assert row is not None
    assert row.estimate is not None
    return row.estimate


def written(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.md"
    path.write_text(text)
    return str(path)


def test_the_crossing_appears(real: Analysis) -> None:
    for value in ("A", "B"):
        assert crossing(real, value).low > 0, value


def test_the_crossing_is_smaller_with_ablated_specs(folder: Path, real: Analysis) -> None:
    """The same seeds shuffle the same preferences in both, so that the chats stay identical."""
    specs = {
        label: written(folder, f"ablated-{value}", ablate(spec_text(value), seed=0))
        for label, value in (("A", "cheap"), ("B", "american"))
    }
    ablated = reduced(folder, specs, "ablated")
    full, without = crossing(real, BOTH), crossing(ablated, BOTH)
    assert full.low > 0
    assert without.value < full.value / 2, f"{without} against {full}"


def test_no_crossing_with_neutral_documents(folder: Path, real: Analysis) -> None:
    """Documents that tell the same bare preferences and no value: the specs cannot differ."""
    likes_and_dislikes = spec_text("cheap").partition("# Likes")[2]
    bare = "\n".join(
        line.split(":")[0] if line.startswith("- ") else line
        for line in likes_and_dislikes.splitlines()
    )
    specs = {
        label: written(
            folder, f"neutral-{value}", NEUTRAL.format(value="") + "# Likes" + bare + "\n"
        )
        for label, value in (("A", "cheap"), ("B", "american"))
    }
    neutral = reduced(folder, specs, "neutral")
    for value in ("A", "B"):
        found = crossing(neutral, value)
        assert found.low <= 0 <= found.high, f"{value}: {found}"
        assert abs(found.value) < crossing(real, value).value / 2, f"{value}: {found}"
