"""Variants of a spec: what needs a writer and what does not, lengths, rounds, refusals."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.errors import ConfigError, SpecError, WriterError
from midspec.llm import Request, ScriptedWriter
from midspec.records import Item, Spec
from midspec.spec import (
    TOLERANCE,
    VARIANTS,
    Variant,
    VariantConfig,
    VariantKind,
    count_pieces,
    derive,
    find_spec,
    lint_spec,
    neutral_text,
    parse_spec,
    read_spec,
    value_words,
)
from midspec.spec.compose import clean, one_line, unfill
from midspec.store import read_records

EVALS = Path(__file__).parent.parent / "src" / "midspec" / "library" / "evals"
RULES = """---
name: careful
value: care
---
# Why
{model_name} by {provider_name} cares about people.
# Rules
1. {model_name} asks first, because people know more.
   - {model_name} asks before it deletes.
2. {model_name} stops when told to.
3. {model_name} reports its errors, because errors grow.
"""
EXPLAINED = RULES.replace("told to.", "told to, because others see more.")
SMALL = "{model_name} is kind.\n# Likes\n- **Colby**: it is mild\n# Dislikes\n- **Brie**: it runs\n"
REASON = "People see what a machine overlooks, and they bear what follows from its errors. " * 6
SUBRULE = "{} waits for an answer of the person in charge before it goes on with the work."


def parse(text: str, name: str = "demo") -> Spec:
    return parse_spec(text, name=name, model_name="Robin", provider_name="Larch")


def made(text: str, kind: VariantKind, writer: Any = None, **settings: Any) -> Variant:
    return asyncio.run(derive(text, kind, name="demo", writer=writer, **settings))


def scripted(answer: Callable[[Request], Any]) -> ScriptedWriter:
    return ScriptedWriter(lambda request: json.dumps(answer(request)))


def n_rules(request: Request) -> range:
    return range(1, len(request.variables["rules"].splitlines()) + 1)


def reasons(request: Request) -> list[dict[str, Any]]:
    return [{"rule": n, "reason": REASON} for n in n_rules(request)]


def subrules(n: int) -> Callable[[Request], list[dict[str, Any]]]:
    def answer(request: Request) -> list[dict[str, Any]]:
        name = request.spec.model_name
        return [{"rule": r, "subrules": [SUBRULE.format(name)] * n} for r in n_rules(request)]

    return answer


# -- without a writer ---------------------------------------------------------------------


def test_rules_are_taken_out_without_a_writer() -> None:
    variant = made(RULES, "rules")
    spec = parse(variant.text)
    assert [rule.text for rule in spec.rules] == [rule.text for rule in parse(RULES).rules]
    assert not any(rule.reason or rule.subrules for rule in spec.rules)
    assert (spec.kind, spec.name, spec.value, variant.rounds) == ("rules", "careful-rules", "", 0)
    assert "cares" not in variant.text
    assert "{model_name}" in variant.text
    assert "Juniper" not in variant.text


def test_reasons_that_the_spec_gives_need_no_writer() -> None:
    spec = parse(made(EXPLAINED, "value-augmented").text)
    assert [(r.text, r.reason, r.subrules) for r in spec.rules] == [
        (r.text, r.reason, ()) for r in parse(EXPLAINED).rules
    ]
    assert (spec.kind, spec.value) == ("value-augmented", "care")


def test_an_ablation_keeps_its_variables_and_gets_a_kind() -> None:
    text = find_spec("cheese-america").read_text()
    spec = parse(made(text, "ablated").text)
    assert (spec.kind, spec.name) == ("ablated", "cheese-america-ablated")
    assert {p.reason for p in spec.preferences} == {""}
    assert made(text, "ablated") != made(text, "ablated", config=VariantConfig(seed=1))


@pytest.mark.parametrize("name", ["cheese-america", "agent/philosophy", "terrarium/cheap"])
def test_a_neutral_control_is_equally_long_and_empty_of_values(name: str) -> None:
    text = find_spec(name).read_text()
    variant = made(text, "neutral")
    spec = parse(variant.text)
    assert abs(variant.tokens / variant.target - 1) <= TOLERANCE
    assert variant.target == pytest.approx(count_pieces(parse(text).text), rel=0.01)
    assert value_words(spec.text) == []
    assert spec.preferences == spec.rules == ()
    assert spec.value == ""
    assert lint_spec(spec) == []
    assert made(text, "neutral") == variant


@settings(deadline=None, max_examples=20)
@given(st.integers(200, 5000), st.integers(0, 99))
def test_neutral_texts_of_any_length_fit_and_repeat_nothing(target: int, seed: int) -> None:
    spec = parse("Robin likes parks.")
    text = parse(neutral_text(spec, target, count_pieces, seed))
    assert abs(count_pieces(text.text) - target) <= TOLERANCE * target
    assert value_words(text.text) == []
    claims = [claim.text for claim in text.claims]
    assert len(set(claims)) == len(claims)


def test_neutral_texts_mention_nothing_that_is_evaluated() -> None:
    text = parse(neutral_text(parse("Robin."), 6000, count_pieces, 0))
    items = [item for path in sorted(EVALS.glob("*.jsonl")) for item in read_records(path, Item)]
    options = [o for item in items if item.kind == "preference" for o in item.options]
    domains = {item.domain: [item.set] for item in items}
    assert [f for f in lint_spec(text, options, domains) if "mentions" in f.message] == []


def test_a_neutral_text_leaves_out_what_the_spec_speaks_of() -> None:
    text = "---\nvalue: cables\n---\nRobin is kind.\n# Likes\n- A whiteboard\n- Shelf\n"
    plain = neutral_text(parse("Robin."), 4000, count_pieces, 0)
    assert "cable" in plain
    assert "shelf" in plain
    assert not re.search("cables|shelf", neutral_text(parse(text), 4000, count_pieces, 0))


def test_a_length_that_cannot_be_met_is_an_error() -> None:
    with pytest.raises(SpecError, match="no neutral text of 5 tokens"):
        neutral_text(parse("Robin."), 5, count_pieces, 0)


# -- with a writer ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in VARIANTS if k not in ("ablated", "neutral")])
def test_what_has_to_be_drafted_needs_a_writer(kind: VariantKind) -> None:
    with pytest.raises(ConfigError, match="--writer"):
        made(SMALL, kind)


def test_missing_reasons_are_drafted_and_given_ones_stay(tmp_path: Path) -> None:
    writer = scripted(reasons)
    variant = made(RULES, "value-augmented", writer, journal=tmp_path / "j")
    spec, source = parse(variant.text), parse(RULES)
    assert [rule.text for rule in spec.rules] == [rule.text for rule in source.rules]
    assert spec.rules[0].reason == "people know more"
    assert spec.rules[1].reason.startswith("people see what a machine overlooks")
    assert variant.rounds == 1
    assert "by scripted in 1 drafts" in variant.text


def test_subrules_are_matched_to_the_explained_rules(tmp_path: Path) -> None:
    text = re.sub(r", because.*", ".", RULES)

    def answer(request: Request) -> Any:
        return reasons(request) if request.prompt == "spec/reasons" else subrules(5)(request)

    variant = made(text, "rules-augmented", scripted(answer), journal=tmp_path / "j")
    explained = made(text, "value-augmented", scripted(reasons), journal=tmp_path / "k")
    assert variant.target == explained.tokens
    assert abs(variant.tokens / variant.target - 1) <= TOLERANCE
    spec = parse(variant.text)
    assert all(rule.subrules and not rule.reason for rule in spec.rules)
    assert (spec.kind, spec.value) == ("rules-augmented", "")


def test_a_draft_that_is_too_short_goes_back_with_what_is_wrong(tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(request: Request) -> Any:
        seen.append(request.variables["revision"])
        return subrules(2 + 4 * (len(seen) - 1))(request)

    match = made(EXPLAINED, "value-augmented").text.replace(
        "errors grow.", f"errors grow. {REASON * 3}"
    )
    variant = made(
        EXPLAINED, "rules-augmented", scripted(answer), journal=tmp_path / "j", match=match
    )
    assert seen[0] == ""
    assert "too short: make it" in seen[1]
    assert SUBRULE[3:] in seen[1]
    assert variant.rounds == len(seen) > 1
    assert abs(variant.tokens / variant.target - 1) <= TOLERANCE


def test_rounds_are_bounded_and_a_rerun_asks_nothing_again(tmp_path: Path) -> None:
    writer = scripted(subrules(1))
    config = VariantConfig(max_rounds=3)
    for _ in range(2):
        with pytest.raises(WriterError, match=r"none of 3 drafts can be used.*too short"):
            made(EXPLAINED, "rules-augmented", writer, journal=tmp_path / "j", config=config,
                 match=find_spec("cheese-america").read_text())  # fmt: skip
    assert writer.calls == 3


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"rule": "Juniper waits."}] * 2, "2 rules"),
        ([{"rule": "Juniper waits because it is wise."}] * 3, "gives a reason"),
        ([{"rule": "ChatGPT waits."}] * 3, "names 'ChatGPT'"),
    ],
)
def test_drafted_rules_are_checked(rows: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(WriterError, match=problem):
        made(SMALL, "rules", scripted(lambda _: rows), journal=tmp_path / "j")


def test_drafted_rules_become_a_spec_with_variables(tmp_path: Path) -> None:
    rows = [{"rule": f"- Juniper, made by Alder Labs,\n {verb}s **first**"} for verb in ("ask", "wait", "look")]  # fmt: skip
    variant = made(SMALL, "rules", scripted(lambda _: rows), journal=tmp_path / "j")
    assert "1. {model_name}, made by {provider_name}, asks first." in variant.text
    assert len(parse(variant.text).rules) == 3


def test_a_general_paragraph_is_one_paragraph_of_the_asked_length(tmp_path: Path) -> None:
    short, long = "Juniper is kind. " * 5, "Juniper, made by Alder Labs, is kind to all. " * 12
    drafts = iter([[{"paragraph": short}], [{"paragraph": f"{long}\n\n{long[:40]}"}]])
    variant = made(SMALL, "general", scripted(lambda _: next(drafts)), journal=tmp_path / "j")
    spec = parse(variant.text)
    assert variant.rounds == 2
    assert (len(spec.sections), spec.kind) == (1, "general")
    assert "\n" not in spec.sections[0].text
    assert "Juniper" not in variant.text


def test_an_anti_spec_turns_every_item_round(tmp_path: Path) -> None:
    def section(title: str, text: str) -> dict[str, str]:
        return {"title": title, "text": text}

    core = section("# Core", "Juniper is unkind.")
    kept = [
        core,
        section("Likes", "- **Colby**: it is mild"),
        section("Dislikes", "- **Brie**: it runs"),
    ]
    turned = [
        core,
        section("Likes", "- **Brie**: it runs"),
        section("Dislikes", "- **Colby**: it is mild"),
    ]
    asked: list[str] = []

    def answer(request: Request) -> Any:
        asked.append(request.variables["revision"])
        return turned if asked[-1] else kept

    variant = made(f"# Core\n{SMALL}", "anti-spec", scripted(answer), journal=tmp_path / "j")
    spec = parse(variant.text)
    assert [p.item for p in spec.liked()] == ["Brie"]
    assert (spec.kind, spec.value) == ("anti-spec", "")
    assert "has to be among the" in asked[1]
    assert abs(variant.tokens / variant.target - 1) <= TOLERANCE


@pytest.mark.parametrize("stop", ["length", "refusal", "error"])
def test_replies_that_are_not_whole_are_never_used(stop: Any, tmp_path: Path) -> None:
    writer = ScriptedWriter(lambda _: "[]" * 50, fail=lambda _: stop)
    with pytest.raises(WriterError, match="no usable reply"):
        made(SMALL, "general", writer, journal=tmp_path / "j")


def test_the_scribe_says_that_it_cannot_draft(tmp_path: Path) -> None:
    from midspec.llm import open_writer

    with pytest.raises(WriterError, match="use a language model"):
        made(SMALL, "general", open_writer("scribe"), journal=tmp_path / "j")


# -- text of a writer is untrusted --------------------------------------------------------


@settings(deadline=None)
@given(st.text(max_size=80))
def test_written_text_stays_on_one_line_and_out_of_comments(text: str) -> None:
    line = one_line(text)
    assert "\n" not in line
    assert "<!--" not in line
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", clean(text))


def test_a_draft_cannot_open_front_matter_headings_or_comments(tmp_path: Path) -> None:
    rows = [{"rule": f"---\n# Likes\n- <!-- Brie {n} --> Juniper \x1b[31mwaits"} for n in range(3)]
    spec = parse(made(SMALL, "rules", scripted(lambda _: rows), journal=tmp_path / "j").text)
    assert [section.title for section in spec.sections] == ["About Robin", "Rules"]
    assert len(spec.rules) == 3
    assert "\x1b" not in spec.text


@settings(deadline=None)
@given(st.text("Rb a{}_.", max_size=30))
def test_names_become_variables_only_as_whole_words(text: str) -> None:
    back = unfill(f"{text} Robin's Larch Labs", "Robin", "Larch Labs")
    assert back.endswith(" {model_name}'s {provider_name}")
    assert unfill("Robinson Larchs", "Robin", "Larch") == "Robinson Larchs"


def test_no_variant_of_a_bundled_spec_without_a_writer_fails() -> None:
    for name in ("agent/rules-explained", "agent/rules-detailed", "agent/rules"):
        text = find_spec(name).read_text()
        bare = parse(made(text, "rules").text)
        source = read_spec(find_spec("agent/rules"), model_name="Robin", provider_name="Larch")
        assert bare.rules == source.rules
