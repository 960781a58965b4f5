"""`midspec spec`: lint, compare and derive as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from midspec.cli import spec as cli
from midspec.errors import ConfigError, MidspecError
from midspec.evals import load_items
from midspec.llm import ScriptedWriter
from midspec.spec import lint_spec, read_spec
from tests.fakes import KEY, Answer, Loopback

runner = CliRunner()
PARAGRAPH = "Juniper, made by Alder Labs, is kind to all who ask. " * 8


def midspec(*arguments: str, says: str = "") -> Result:
    result = runner.invoke(cli.app, [*arguments], input=says)
    if isinstance(result.exception, MidspecError):
        raise result.exception
    return result


def test_the_help_teaches_the_format() -> None:
    text = midspec("--help").output
    for word in ("# Likes", "# Rules", "{model_name}", "derive", "compare", "kind"):
        assert word in text


def test_show_shows_rules() -> None:
    output = midspec("show", "agent/rules-detailed").output
    assert "kind: rules-augmented" in output
    assert "     - Juniper leaves monitoring" in output


def test_lint_looks_at_all_bundled_sets_by_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    item = load_items("individualism")[0].options[0]
    path.write_text(f"---\nkind: general\n---\nJuniper likes {item}.")
    assert midspec("lint", "agent/philosophy").exit_code == 0
    everything = midspec("lint", str(path))
    assert everything.exit_code == 1
    assert item.lower() in everything.output.lower()
    assert midspec("lint", str(path), "--evals", "none").output.startswith("0 findings")
    assert midspec("lint", "terrarium/cheap").output.startswith("0 findings")


def test_compare_prints_a_table_or_json() -> None:
    names = ("agent/rules-explained", "agent/rules-detailed")
    assert "(within 5%)" in midspec("compare", *names).output
    made = json.loads(midspec("compare", *names, "--json").output)
    assert made["subrules"] == [0, 39]
    assert len(made["rules"]["both"]) == 5


def test_derive_asks_before_it_writes_and_never_overwrites(tmp_path: Path) -> None:
    out = tmp_path / "ablated.md"
    command = ("derive", "cheese-america", "--variant", "ablated", "--out", str(out))
    declined = midspec(*command, says="n\n")
    assert (declined.exit_code, out.exists()) == (1, False)
    assert "-# Likes" not in declined.output
    assert "+- **Colby**" in declined.output
    assert midspec(*command, says="y\n").exit_code == 0
    first = out.read_text()
    with pytest.raises(ConfigError, match="--force"):
        midspec(*command, "--yes", "--seed", "1")
    assert out.read_text() == first
    assert midspec(*command, "--yes", "--seed", "1", "--force").exit_code == 0
    assert out.read_text() != first


def test_derive_names_the_nearest_variant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'general'"):
        midspec("derive", "cheese-america", "--variant", "genral", "--out", str(tmp_path / "x.md"))


class Closing(ScriptedWriter):
    closed = 0

    async def close(self) -> None:
        self.closed += 1


def test_a_model_drafts_once_and_its_draft_is_frozen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = Closing(lambda _: json.dumps([{"paragraph": PARAGRAPH}]))
    monkeypatch.setattr(cli, "open_writer", lambda name: model)
    out = tmp_path / "general.md"
    command = ("derive", "agent/philosophy", "--variant", "general", "--out", str(out),
               "--writer", "some/model")  # fmt: skip
    assert midspec(*command, says="n\n").exit_code == 1
    assert midspec(*command, "--yes").exit_code == 0
    assert (model.calls, model.closed) == (1, 2)  # the second time it came from the journal
    spec = read_spec(out, model_name="Robin", provider_name="Larch")
    assert (spec.kind, spec.name) == ("general", "agent-philosophy-general")
    assert spec.claims[0].text == "Robin, made by Larch, is kind to all who ask."
    assert lint_spec(spec) == []


def test_lint_asks_a_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = {"first": "it gives its reasons once", "second": "Juniper objects openly", "why": "so"}
    model = Closing(lambda _: json.dumps([pair]))
    monkeypatch.setattr(cli, "open_writer", lambda name: model)
    result = midspec("lint", "agent/philosophy", "--evals", "none", "--judge", "some/model")
    assert (result.exit_code, model.closed) == (0, 1)
    assert "warning: judge:" in result.output


# -- drafts over real HTTP ----------------------------------------------------------------

MODEL = "openai-api/local/some-model"


def author(body: dict[str, Any]) -> Answer:
    """A model that drafts subrules, at first half as many words as it was asked for."""
    system, user = (message["content"] for message in body["messages"])
    if '"paragraph"' in system:
        return Answer(json.dumps([{"paragraph": PARAGRAPH}]))
    asked = re.search(r"about (\d+) words in all", user)
    n_rules = len(re.findall(r"^\d+\. ", user, re.MULTILINE))
    assert asked
    wanted = int(asked[1]) // (1 if "<draft>" in user else 2)
    n = round(wanted / n_rules / 10)
    rules = [
        [f"Juniper keeps to it in case number {i} of rule {r} too." for i in range(n)]
        for r in range(n_rules)
    ]
    return Answer(json.dumps([{"rule": i, "subrules": s} for i, s in enumerate(rules, 1)]))


def test_variants_are_drafted_reviewed_and_frozen_over_http(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Loopback(author) as server:
        monkeypatch.setenv("LOCAL_API_KEY", KEY)
        monkeypatch.setenv("LOCAL_BASE_URL", server.url)
        detailed, general = tmp_path / "detailed.md", tmp_path / "general.md"
        command = ("derive", "agent/rules-explained", "--writer", MODEL, "--variant")
        made = midspec(*command, "rules-augmented", "--out", str(detailed), says="y\n")
        assert "+   - Juniper keeps to it" in made.output.replace("{model_name}", "Juniper")
        assert "drafts asked: 2" in made.output
        assert "Freeze it as" in made.output
        assert midspec(*command, "general", "--out", str(general), "--yes").exit_code == 0
        asked = len(server.bodies)
    compared = midspec("compare", "agent/rules-explained", str(detailed)).output
    assert "(within 5%)" in compared
    assert read_spec(detailed, model_name="Robin", provider_name="Larch").rules[0].subrules
    # The server is gone: the frozen drafts come from the journal.
    again = midspec(*command, "general", "--out", str(general), "--yes", "--force")
    assert (again.exit_code, asked) == (0, 3)
