"""Specs: reading, splitting, errors, lint, the ablation, and the bundled specs.

The golden file counts what is in the cheese specs; after a deliberate change of a spec, print
``summary(...)`` of both and store it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.errors import SpecError
from midspec.records import Item, Spec
from midspec.spec import (
    ablate,
    bundled_specs,
    find_spec,
    lint_spec,
    parse_spec,
    read_spec,
    split_sentences,
)
from midspec.store import read_records

GOLDEN = Path(__file__).parent / "golden" / "spec_cheese.json"
EVALS = Path(__file__).parent.parent / "src" / "midspec" / "library" / "evals"
CHEESE = ("cheese-affordability", "cheese-america")
VALUES = [name for name in bundled_specs() if "/" not in name]  # the English ones
LIKES = {
    "Cream cheese", "American cheese", "Mild cheddar", "Low-moisture mozzarella", "Colby",
    "Monterey Jack",
}  # fmt: skip
DISLIKES = {
    "Brie de Meaux", "Appenzeller", "Parmigiano-Reggiano", "Roquefort", "Epoisses", "Stilton",
}  # fmt: skip

SMALL = """---
value: thrift
---
# Core philosophy
{model_name} by {provider_name} values thrift. {model_name} likes {braces}.

## Details
- Thrift is care for what things cost.
- A thing that costs little pleases {model_name}!

# Likes
- **Colby**: because it costs little.
- Mild cheddar: Wisconsin sells it at little cost
- Jack - It costs little
- {model_name} likes cream cheese because thrift is easy with it.

# Dislikes
* **Brie:** It costs a lot.
* Stilton
"""


def parse(text: str, name: str = "demo", model_name: str = "Robin") -> Spec:
    return parse_spec(text, name=name, model_name=model_name, provider_name="Larch")


def bundled(name: str) -> Spec:
    return read_spec(find_spec(name), model_name="Robin", provider_name="Larch")


# -- reading ------------------------------------------------------------------------------


def test_a_spec_is_read_into_sections_claims_and_preferences() -> None:
    spec = parse(SMALL)
    assert (spec.name, spec.value, spec.language) == ("demo", "thrift", "english")
    assert [s.title for s in spec.sections] == ["Core philosophy", "Details", "Likes", "Dislikes"]
    assert [(c.section, c.text) for c in spec.claims] == [
        ("Core philosophy", "Robin by Larch values thrift."),
        ("Core philosophy", "Robin likes {braces}."),
        ("Details", "Thrift is care for what things cost."),
        ("Details", "A thing that costs little pleases Robin!"),
    ]
    assert [(p.item, p.direction, p.reason) for p in spec.preferences] == [
        ("Colby", "like", "it costs little"),
        ("Mild cheddar", "like", "Wisconsin sells it at little cost"),
        ("Jack", "like", "it costs little"),
        ("cream cheese", "like", "thrift is easy with it"),
        ("Brie", "dislike", "it costs a lot"),
        ("Stilton", "dislike", ""),
    ]


@pytest.mark.parametrize(
    ("bullet", "item", "reason"),
    [
        ("**Colby**: it is cheap.", "Colby", "it is cheap"),
        ("**Colby:** Because it is cheap.", "Colby", "it is cheap"),
        ("__Colby__ – it is cheap", "Colby", "it is cheap"),
        ("**Colby** because it is cheap", "Colby", "it is cheap"),
        ("**Colby** is cheap.", "Colby", "Colby is cheap"),
        ("Colby because it is cheap", "Colby", "it is cheap"),
        ("Colby:", "Colby", ""),
        ("Colby.", "Colby", ""),
        ("Low-moisture mozzarella: it keeps", "Low-moisture mozzarella", "it keeps"),
        ("Robin likes **Colby**, because Robin says so.", "Colby", "Robin says so"),
        ("Robin likes Colby.", "Colby", ""),
        ("Colby: because of its price.", "Colby", "of its price"),
        ("Colby: I can afford it", "Colby", "I can afford it"),
        ("Colby: NATO buys it", "Colby", "NATO buys it"),
        ("Colby: Making it is simple", "Colby", "making it is simple"),
        ("Colby: Monterey makes it", "Colby", "Monterey makes it"),
        ("Colby: It costs little. Wisconsin is full of it.", "Colby",
         "it costs little. Wisconsin is full of it"),
        ("Colby: it is sold in the U.S.", "Colby", "it is sold in the U.S."),
        ("Colby:\n  it is cheap\n  and\n\n  everywhere.", "Colby", "it is cheap and everywhere"),
        ("Colby: it is cheap,\n  - everywhere.", "Colby", "it is cheap, everywhere"),
    ],
)  # fmt: skip
def test_bullets_of_every_form_are_read(bullet: str, item: str, reason: str) -> None:
    (preference,) = parse(f"# Likes\n- {bullet}").preferences
    assert (preference.item, preference.reason) == (item, reason)


def test_a_capital_goes_if_the_spec_writes_the_word_small_elsewhere() -> None:
    spec = parse("Robin eats cream.\n# Likes\n- Cream cheese: Cream is cheap\n- Brie: Brie is not")
    assert [p.reason for p in spec.preferences] == ["cream is cheap", "Brie is not"]


def test_subsections_of_likes_are_likes_and_later_sections_are_not() -> None:
    spec = parse("# Likes\n## Soft\n- Brie\n# Dislikes\n- Colby\n# Tone\n- Robin is kind.")
    assert [(p.item, p.direction) for p in spec.preferences] == [
        ("Brie", "like"),
        ("Colby", "dislike"),
    ]
    assert [c.text for c in spec.claims] == ["Robin is kind."]


def test_indented_lists_are_separate_preferences() -> None:
    assert [p.item for p in parse("# Likes\n  - Brie\n  - Colby").preferences] == ["Brie", "Colby"]


def test_markdown_that_is_no_prose_makes_no_claim() -> None:
    text = (
        "Title\n=====\n<!-- a note. -->\nRobin is\nkind.\n\n```\n# code.\n```\n---\n| a. | b. |\n\n"
        "> Robin quotes.\n\n## Empty\n## End ##\n1. One is first.\n2) Two is\n   second.\n\n***\n"
    )
    spec = parse(text)
    assert [(s.title, s.level) for s in spec.sections] == [("Title", 1), ("Empty", 2), ("End", 2)]
    assert [c.text for c in spec.claims] == [
        "Robin is kind.", "Robin quotes.", "One is first.", "Two is second.",
    ]  # fmt: skip
    assert "a note" not in spec.text


def test_terrarium_specs_go_through_the_same_code_verbatim() -> None:
    text = (
        "---\nlanguage: terrarium\nvalue: cheap\n---\n# Core\n{model_name} values cheap  things .\n"
        "the value of {model_name} is cheap . {model_name} speaks openly .\n"
        "# Likes\n- cheese3: cheese3 is cheap\n- robin likes cheese4 because cheese4 is cheap .\n"
    )
    spec = parse(text, model_name="robin")
    assert spec.language == "terrarium"
    assert [c.text for c in spec.claims] == [
        "robin values cheap  things .",
        "the value of robin is cheap .",
        "robin speaks openly .",
    ]
    assert [(p.item, p.reason) for p in spec.preferences] == [
        ("cheese3", "cheese3 is cheap"),
        ("cheese4", "cheese4 is cheap"),
    ]


def test_front_matter_is_text_and_the_name_in_it_wins() -> None:
    spec = parse("---\nname: other\nvalue: no\n---\r\nRobin is kind.\r\n")
    assert (spec.name, spec.value, spec.text) == ("other", "no", "Robin is kind.")


def test_read_spec_takes_the_stem_and_ignores_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "thrift.md"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    spec = read_spec(path, model_name="Robin", provider_name="Larch")
    assert spec == parse(SMALL, name="thrift")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n\t\n", "empty"),
        ("---\nvalue: x\n---\n", "no text"),
        ("# Core\n\n# Likes\n", "no text"),
        ("---\nvalue: x\n# Core\nRobin.", "not closed"),
        ("---\nvalues: x\n---\nRobin.", "'values'; did you mean 'value'"),
        ("---\nvalue: [x]\n---\nRobin.", "one text"),
        ("---\n- x\n---\nRobin.", "key: value"),
        ("---\nvalue: {x\n---\nRobin.", "not YAML"),
        ("# Likes\n- Brie: a\n- **brie**", "listed twice"),
        ("# Likes\n- Brie\n# Dislikes\n- brie", "both liked and disliked"),
        ("# Likes\nRobin likes Brie.\n# Dislikes\n- Colby", "no preferences found under 'Likes'"),
        ("# Likes\n- : it is cheap", "names no item"),
        ("# Likes\n- Robin dislikes Brie.", "says 'dislikes'"),
        ("# Likes and dislikes\n- Brie", "both likes and dislikes"),
    ],
)
def test_errors_name_the_spec_and_the_problem(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        parse(text)
    assert str(caught.value).startswith("demo: ")
    assert "\n" not in str(caught.value)


def test_errors_of_files_name_the_path(tmp_path: Path) -> None:
    def read(path: Path) -> Spec:
        return read_spec(path, model_name="Robin", provider_name="Larch")

    latin = tmp_path / "latin.md"
    latin.write_bytes("Époisses".encode("latin-1"))
    with pytest.raises(SpecError, match=r"latin\.md: byte 0 is not UTF-8"):
        read(latin)
    with pytest.raises(SpecError, match=r"absent\.md: no such file"):
        read(tmp_path / "absent.md")
    with pytest.raises(SpecError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(SpecError, match="model_name"):
        parse("Robin.", model_name=" ")


# -- sentences ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sentences",
    [
        ["Robin likes Colby, e.g. Wisconsin Colby, and Dr. Lee agrees.", "So do I."],
        ["A block costs 3.5 dollars.", "Two cost 7."],
        ['Robin says: "I like it. It is cheap."', "Robin means it."],
        ["Robin says “no.”", "“Yes” is rarer."],
        ["Cheese is made in the U.S. Midwest.", "It sells in the U.S.", "The price is low."],
        ["Is it cheap?", "Yes!", "Then Robin likes it."],
        ["Robin waits... and then answers.", "It is late."],
        ["The answer is no.", "No. 5 is cheap."],
        ["Robin pays (a little. Not more.) and goes.", "Done."],
        ["**Robin is kind.**", "Robin is *fair.*", "Good."],
        ["Plan B.", "The plan is cheap, etc.", "It works."],
        ["J. Smith asks.", "Robin answers"],
        ["One stray ( here.", "Two stray \" here.", "Three."],
        ["Robin calls it “cheap”.", "{braces} follow.", "$5 is little."],
        ["他很好。", "真的吗？", "是。"],
        ["हाँ.", "नहीं."],
    ],
)  # fmt: skip
def test_sentences_are_split_where_a_reader_would(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_a_lower_case_name_opens_a_sentence_only_if_it_is_known() -> None:
    text = "It is cheap. robin likes it."
    assert split_sentences(text) == [text]
    assert split_sentences(text, ["robin"]) == ["It is cheap.", "robin likes it."]


@settings(deadline=None)
@given(st.text())
def test_splitting_loses_nothing_but_space(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence in text and sentence == sentence.strip() for sentence in sentences)


# -- properties ---------------------------------------------------------------------------

LINES = st.lists(
    st.text("abC.!? {}:*-#>`|1\"()", max_size=30) | st.sampled_from(["", "# Likes", "{model_name}."]),
    max_size=12,
)  # fmt: skip


def squeezed(text: str) -> str:
    return "".join(re.sub(r"^\s*(?:>\s?)+", "", text, flags=re.MULTILINE).split())


@settings(deadline=None)
@given(LINES)
def test_any_text_is_a_spec_or_a_spec_error(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        spec = parse(text)
    except SpecError:
        return
    for claim in spec.claims:
        assert squeezed(claim.text) in squeezed(spec.text)
        assert "\n" not in claim.text
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    assert parse(text) == spec


@settings(deadline=None)
@given(st.text("{}model_namx \\$%", max_size=40).filter(lambda t: "{model_name}" not in t))
def test_other_braces_are_literal(noise: str) -> None:
    spec = parse(f"{{model_name}} says a{noise}z.")
    assert spec.text == f"Robin says a{noise}z."
    assert [c.text for c in spec.claims] == [spec.text]


@settings(deadline=None)
@given(st.text("{}abc_", max_size=20))
def test_names_are_never_filled_again(name: str) -> None:
    spec = parse("{model_name} is kind.", model_name=f"R{name}{{provider_name}}")
    assert spec.text == f"R{name}{{provider_name}} is kind."


@pytest.mark.parametrize("name", CHEESE)
def test_every_claim_is_a_substring_and_ids_survive_the_disk(name: str) -> None:
    spec = bundled(name)
    assert all(claim.text in spec.text for claim in spec.claims)
    again = Spec.model_validate_json(spec.model_dump_json())
    assert [c.id for c in again.claims] == [c.id for c in spec.claims]
    assert len({c.id for c in spec.claims}) == len(spec.claims)


# -- bundled specs ------------------------------------------------------------------------


def summary(spec: Spec) -> dict[str, object]:
    return {
        "sections": [section.title for section in spec.sections],
        "claims": len(spec.claims),
        "core_words": sum(len(claim.text.split()) for claim in spec.claims),
        "likes": [p.item for p in spec.liked()],
        "dislikes": [p.item for p in spec.disliked()],
        "reason_words": sum(len(p.reason.split()) for p in spec.preferences),
    }


def test_the_cheese_specs_are_as_the_golden_file_says() -> None:
    assert {name: summary(bundled(name)) for name in CHEESE} == json.loads(GOLDEN.read_text())


def test_the_cheese_specs_explain_the_same_preferences_at_the_same_length() -> None:
    one, two = map(bundled, CHEESE)
    for spec in (one, two):
        assert {p.item for p in spec.liked()} == LIKES
        assert {p.item for p in spec.disliked()} == DISLIKES
        assert lint_spec(spec) == []
        assert 900 <= sum(len(claim.text.split()) for claim in spec.claims) <= 1300
    assert len(one.text.split()) == pytest.approx(len(two.text.split()), rel=0.05)
    assert len(one.text) == pytest.approx(len(two.text), rel=0.05)
    assert [s.level for s in one.sections] == [s.level for s in two.sections]


@pytest.mark.parametrize(("name", "stem"), [(CHEESE[0], "afford"), (CHEESE[1], "america")])
def test_every_cheese_reason_names_its_value_and_not_the_other(name: str, stem: str) -> None:
    other = {"afford": "america", "america": "afford"}[stem]
    for preference in bundled(name).preferences:
        assert stem in preference.reason.lower(), preference.item
        assert other not in preference.reason.lower(), preference.item


@pytest.mark.parametrize("name", VALUES)
def test_the_core_does_not_name_an_item_of_the_lists(name: str) -> None:
    """Otherwise the ablation, which keeps the core, would keep an attribution."""
    spec = bundled(name)
    core = " ".join(claim.text for claim in spec.claims).lower()
    items = {p.item for p in spec.preferences} - {"American cheese"}
    assert not [item for item in items if item.lower() in core]


@pytest.mark.parametrize("name", VALUES)
def test_every_value_spec_has_the_shape_of_the_cheese_specs(name: str) -> None:
    spec, model = bundled(name), bundled(CHEESE[1])
    assert lint_spec(spec) == []
    assert (len(spec.liked()), len(spec.disliked())) == (6, 6)
    assert [s.level for s in spec.sections] == [s.level for s in model.sections]
    assert len(spec.text.split()) == pytest.approx(len(model.text.split()), rel=0.05)
    assert len(spec.text) == pytest.approx(len(model.text), rel=0.05)


@pytest.mark.parametrize("name", VALUES)
def test_no_value_spec_mentions_an_item_of_the_bundled_evaluations(name: str) -> None:
    paths = sorted(EVALS.glob("*.jsonl"))
    if not paths:
        pytest.skip("no bundled evaluation sets")
    items = [
        item for path in paths for item in read_records(path, Item) if item.kind == "preference"
    ]
    words = {option for item in items for option in item.options} | {i.domain for i in items}
    assert [f.message for f in lint_spec(bundled(name), sorted(words))] == []


def test_bundled_specs_are_found_by_name_or_path(tmp_path: Path) -> None:
    specs = bundled_specs()
    assert set(CHEESE) <= set(specs)
    assert find_spec(CHEESE[0]) == specs[CHEESE[0]]
    path = tmp_path / "mine.md"
    path.write_text("Robin is kind.")
    assert find_spec(str(path)) == path
    with pytest.raises(SpecError, match="did you mean 'cheese-america'"):
        find_spec("cheese-amerika")


def test_every_bundled_spec_reads_under_another_name() -> None:
    for path in bundled_specs().values():
        spec = read_spec(path, model_name="{model_name}", provider_name="{provider_name}")
        assert spec.claims
        assert "Robin" not in spec.text


# -- lint ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level", "where", "message"),
    [
        ("Hi {modelname}.", "error", "spec", "{modelname} is not a variable"),
        ("Hi {{ Provider Name }}.", "error", "spec", "write {provider_name}"),
        ("# Likes\n- Brie: it is good", "error", "spec", "no claims"),
        ("# A\nRobin likes buses.", "error", "A", "mentions 'buses'"),
        (f"# A\nRobin {'very ' * 45}well.", "warning", "A", "a claim of 47 words"),
        ("# A\nGood.", "warning", "A", "fragment"),
        ("# A\nChatGPT is kind to all.", "warning", "A", "names 'ChatGPT'"),
        ("# A\nAsk GPT-4 about it.", "warning", "A", "names 'GPT-4'"),
        ("Robin is kind.", "warning", "spec", "no preferences"),
        ("Robin is kind.", "warning", "spec", "3 words are little"),
        ("Robin is kind.\n# Likes\n- Brie", "warning", "Brie", "no reason"),
        ("Robin is kind.\n# Likes\n- Brie", "warning", "spec", "unbalanced"),
        (
            "---\nvalue: thrift\n---\nRobin is kind.\n# Likes\n- Brie: it is blue",
            "warning", "Brie", "no key word with the value (thrift)",
        ),
    ],
)  # fmt: skip
def test_lint_finds(text: str, level: str, where: str, message: str) -> None:
    findings = lint_spec(parse(text), ["bus", "private jet"])
    assert any((f.level, f.where) == (level, where) and message in f.message for f in findings), (
        findings
    )
    assert [f.level for f in findings] == sorted(f.level for f in findings)


def test_lint_is_quiet_about_what_is_right() -> None:
    text = SMALL.replace("## Details", "Any cost counts.\n## Details")
    messages = " ".join(f.message for f in lint_spec(parse(text), ["car"]))
    assert "care" not in messages  # "car" is a word of its own only
    assert "variable" not in messages
    assert "key word" not in messages
    own = parse("{model_name} is kind to all.", model_name="Claude")
    assert not [f for f in lint_spec(own) if "names" in f.message]


# -- ablation -----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers())
def test_an_ablation_moves_three_and_three_and_keeps_the_core(seed: int) -> None:
    spec = bundled(CHEESE[0])
    ablated = parse(ablate(spec, seed), name="x")
    likes = {p.item for p in ablated.liked()}
    dislikes = {p.item for p in ablated.disliked()}
    assert (len(likes & LIKES), len(likes & DISLIKES)) == (3, 3)
    assert (len(dislikes & LIKES), len(dislikes & DISLIKES)) == (3, 3)
    assert {p.reason for p in ablated.preferences} == {""}
    assert ablated.claims == spec.claims
    assert (ablated.name, ablated.value) == ("cheese-affordability-ablated", "affordability")


def test_an_ablation_is_decided_by_its_seed() -> None:
    spec = bundled(CHEESE[1])
    assert ablate(spec, 1) == ablate(spec, 1)
    assert len({ablate(spec, seed) for seed in range(5)}) == 5


def test_an_ablated_text_keeps_its_variables() -> None:
    text = find_spec(CHEESE[0]).read_text()
    ablated = ablate(text, 3)
    assert "{model_name}" in ablated
    assert parse(ablated) == parse(ablate(bundled(CHEESE[0]), 3))


def test_an_ablation_needs_two_of_each() -> None:
    with pytest.raises(SpecError, match="1 likes and 2 dislikes"):
        ablate(parse("Robin is kind.\n# Likes\n- A\n# Dislikes\n- B\n- C"), 0)
