"""Lint: contradictions, names, rules, domains, the judge; and the comparison of two specs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from midspec.llm import ScriptedWriter
from midspec.records import Preference, Spec
from midspec.spec import (
    Comparison,
    bundled_specs,
    compare_specs,
    find_spec,
    judge_spec,
    lint_spec,
    parse_spec,
    read_spec,
)
from midspec.spec.contradictions import contradictions


def parse(text: str, name: str = "demo") -> Spec:
    return parse_spec(text, name=name, model_name="Robin", provider_name="Larch")


def bundled(name: str) -> Spec:
    return read_spec(find_spec(name), model_name="Robin", provider_name="Larch")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Robin shares logs.\n\nRobin does not share logs.", "contradicts 'Robin shares logs.'"),
        ("Robin never shares the logs. Robin shares logs.", "contradicts"),
        ("# Rules\n1. Robin must ask first.\n2. Robin must not ask first.", "contradicts"),
        (
            "# Rules\n1. Robin waits.\n   - Robin keeps logs.\n   - Robin doesn’t keep logs.",
            "contra",
        ),
        ("# Likes\n- The bus\n# Dislikes\n- Buses", "is disliked, but 'The bus' is liked"),
        ("Robin dislikes Colby.\n# Likes\n- Colby", "but it is among the likes"),
        ("Robin likes the Brie.\n# Dislikes\n- Brie", "but it is among the dislikes"),
    ],
)
def test_contradictions_are_errors(text: str, message: str) -> None:
    errors = [f.message for f in lint_spec(parse(text)) if f.level == "error"]
    assert any(message in error for error in errors), errors


@pytest.mark.parametrize(
    "text",
    [
        "Robin shares logs with users. Robin does not share logs with strangers.",
        "Robin does not share logs. Robin does not share the logs.",
        "Not once. Once.",
        "Robin dislikes Colby jam.\n# Likes\n- Colby: mild",
        "# Likes\n- Bus\n# Dislikes\n- Business trips",
    ],
)
def test_what_only_looks_like_a_contradiction_is_none(text: str) -> None:
    assert list(contradictions(parse(text))) == []


def test_no_bundled_spec_contradicts_itself() -> None:
    for name in bundled_specs():
        assert list(contradictions(bundled(name))) == [], name


def test_equal_items_in_a_record_are_found_as_well() -> None:
    spec = parse("Robin is kind.")
    both = tuple(Preference(item="Tea", direction=d) for d in ("like", "dislike"))
    broken = Spec.model_validate({**spec.model_dump(exclude={"id"}), "preferences": both})
    assert "is disliked" in next(contradictions(broken)).message


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("# Rules\n1. Robin waits.", "Robin waits.", "no reason"),
        ("Robin follows SP3.", "spec", "'SP3' is never explained"),
        ("Robin asks the QXZ first.", "spec", "'QXZ' is never explained"),
        ("Robin keeps to rule 4.\n# Rules\n1. Robin waits: it helps.", "spec", "speaks of rule 4"),
        ("Hi {{model_name}}.", "spec", "braces are left around 'Robin'"),
        ("Hi {model_name, be kind.", "spec", "1 braces open and 0 close"),
        ("# Fun\nRobin has a musical instrument.", "Fun", "'instrument', a domain of the evaluation x"),
    ],
)  # fmt: skip
def test_lint_finds(text: str, where: str, message: str) -> None:
    findings = lint_spec(parse(text), domains={"instruments": ["x"], "home": ["x"]})
    assert any(f.where == where and message in f.message for f in findings), findings
    assert not any("\n" in f.message for f in findings)


@pytest.mark.parametrize(
    "text",
    [
        "Robin follows the common policy (CPX). CPX is short.",
        "# SP1 Oversight\nRobin follows SP1 as an AI in the US.",
        "# Rules\n- **SP1**: Robin waits, because it helps.\n- Robin keeps to rule 1 and SP1, as said.",
        "Robin is at home.",
    ],
)
def test_names_that_are_explained_are_no_finding(text: str) -> None:
    findings = lint_spec(parse(text), domains={"home": ["x"]})
    assert not [f for f in findings if "explained" in f.message or "of rule" in f.message
                or "domain" in f.message]  # fmt: skip


def test_a_kind_is_not_blamed_for_what_it_leaves_out() -> None:
    rules = "# Rules\n1. Robin waits for an answer."
    assert lint_spec(parse(rules)) != []
    assert lint_spec(parse(f"---\nkind: rules\n---\n{rules}")) == []
    assert any("no reason" in f.message
               for f in lint_spec(parse(f"---\nkind: value-augmented\n---\n{rules}")))  # fmt: skip


# -- the judge ----------------------------------------------------------------------------


def judged(reply: Any, tmp_path: Path, **settings: Any) -> list[str]:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    judge = ScriptedWriter(lambda _: text, **settings)
    spec = parse("Robin is always early. Robin **arrives** last.")
    found = asyncio.run(judge_spec(spec, judge, tmp_path / "j"))
    assert all(f.level == "warning" for f in found)
    return [f.message for f in found]


def test_a_judge_reports_quotations_only(tmp_path: Path) -> None:
    true = {
        "first": "robin is  always early.",
        "second": "Robin arrives last",
        "why": "Both\ncannot be.",
    }
    false = {"first": "Robin is late.", "second": "Robin arrives last", "why": "?"}
    found = judged([true, false, {"first": "", "second": "Robin", "why": ""}], tmp_path)
    assert len(found) == 2
    assert found[0].endswith("'Robin arrives last': Both cannot be.")
    assert found[1] == "2 reported pairs are no quotations; left out"
    assert judged([], tmp_path / "b") == []


def test_a_judge_that_cannot_be_read_is_a_finding_of_its_own(tmp_path: Path) -> None:
    assert "no usable answer (unparsable" in judged("None, I think.", tmp_path)[0]
    assert "no usable answer (refusal" in judged([], tmp_path / "b", fail=lambda _: "refusal")[0]


# -- comparison ---------------------------------------------------------------------------


def test_the_cheese_specs_differ_in_reasons_and_in_no_preference() -> None:
    made = compare_specs(bundled("cheese-affordability"), bundled("cheese-america"))
    assert made.same_preferences
    assert len(made.other_reasons) == len(made.items.both) == 12
    assert made.sections.only_a == ("What affordability means",)
    assert abs(made.longer) < 0.05
    assert Comparison.model_validate_json(made.model_dump_json()) == made


def test_everything_that_differs_is_named() -> None:
    one = parse(
        "# A\nRobin is kind.\n# Likes\n- Brie: soft\n- Colby\n# Rules\n1. Robin waits.\n   - x."
    )
    two = parse(
        "# B\nRobin is kind. Robin is fair.\n# Dislikes\n- brie: soft\n# Likes\n- Jack", "two"
    )
    made = compare_specs(one, two)
    assert (made.a, made.b, made.reversed) == ("demo", "two", ("Brie",))
    assert (made.items.only_a, made.items.only_b) == (("Colby",), ("Jack",))
    assert (made.sections.only_a, made.sections.only_b) == (("A", "Rules"), ("B", "Dislikes"))
    assert made.claims.only_b == ("Robin is fair.",)
    assert made.rules.only_a == ("Robin waits.",)
    assert (made.unexplained, made.subrules, made.other_reasons) == ((2, 1), (1, 0), ())
    assert not made.same_preferences


def test_a_spec_does_not_differ_from_itself() -> None:
    spec = bundled("agent/rules-explained")
    made = compare_specs(spec, spec)
    assert made.longer == 0
    assert all(part.equal for part in (made.sections, made.claims, made.items, made.rules))
