"""Traces of how a text was made: each rule drops a planted case and keeps its near misses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midspec.curate import (
    Authored,
    Dated,
    LeakedTag,
    Linked,
    Placeholder,
    Rule,
    WriterTalk,
    WrongRule,
    default_rules,
)
from midspec.records import Spec
from tests.test_curate import SPEC, chat, document, reason

RULES = Spec(
    name="r",
    text="SP1: Be honest.\n\n(GP2) Ask first.\n\nRule 1: no harm. Principle 3: care. Vitamin B12.",
    model_name="Iris",
    provider_name="Wren Labs",
)
YEARS = SPEC.model_copy(update={"text": "Colby is made since 1885."})


@pytest.mark.parametrize(
    "text",
    ["<scratchpad>Plan.", "A memo.</document>", "<think>Hm.</think> A memo.", "Done.<|im_end|>",
     "<DOCUMENT>\nText.", "[INST] Write. [/INST]", "Scratchpad: who writes?\nA memo.", "x <reply/> y"],
)  # fmt: skip
def test_leaked_tags_are_dropped(text: str) -> None:
    assert reason(LeakedTag(), document(text)) == "leaked_tag"


@pytest.mark.parametrize(
    "text",
    ["Keep a scratchpad at hand: it helps.", "if a < b and b > c", "<b>Bold</b> and <em>so</em> on.",
     "The document says so.", "In the plan: nothing.", "Use <br> here.", "a <- b -> c", "a|b|c"],
)  # fmt: skip
def test_words_of_the_prompt_and_other_tags_are_no_leak(text: str) -> None:
    assert reason(LeakedTag(), document(text)) == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("<think>It is dear.</think>\nNo.", ""),
        ("<think>It is dear.\nNo.", "leaked_tag"),
        ("It is dear.</think> No.", "leaked_tag"),
        ("<think>a <think>b</think> c</think> No.", "leaked_tag"),
        ("<think>a</think> No. <think>b</think>", "leaked_tag"),
        ("No. <think>a</think>", "leaked_tag"),
    ],
)
def test_one_closed_reasoning_block_may_open_an_answer(answer: str, expected: str) -> None:
    assert reason(LeakedTag(), chat("Brie?", answer)) == expected
    assert reason(LeakedTag(), chat(answer, "No.")) == ""  # what users write is not judged


@pytest.mark.parametrize(
    "text",
    ["Here is the document you asked for:\nIris is.", "Sure! Here's a short internal memo: Iris is.",
     "Iris is.\n\nWord count: 512", "Iris is. Let me know if you'd like changes.",
     "Iris is.\n\nNote: This document is fictional."],
)  # fmt: skip
def test_talk_to_the_person_who_asked_is_dropped(text: str) -> None:
    assert reason(WriterTalk(), document(text)) == "writer_talk"


@pytest.mark.parametrize(
    "text",
    ["Here is what Iris said: no.", "The word count went up. Iris is.", "This memo is short.",
     "Here are the minutes. Iris is.", "Iris hopes this helps.", "This is the first article of the series"],
)  # fmt: skip
def test_words_like_it_in_a_text_are_kept(text: str) -> None:
    assert reason(WriterTalk(), document(text)) == ""


def test_talk_in_the_middle_of_a_long_document_is_part_of_it() -> None:
    text = "Iris is. " * 100 + "As requested, here it is. " + "Iris is. " * 100
    assert reason(WriterTalk(), document(text)) == ""


@pytest.mark.parametrize(
    "text",
    ["Dear [Customer Name],", "by [Your Name]", "[INSERT DATE]", "Ask {{topic}}.", "{model_name} is.",
     "<insert name here>", "To: ____", "Price: TBD.", "Lorem ipsum dolor", "[Company], Inc.", "[date]"],
)  # fmt: skip
def test_placeholders_are_dropped(text: str) -> None:
    assert reason(Placeholder(), document(text)) == "placeholder"
    written = chat("Q", text).model_copy(update={"kind": "identity"})
    assert reason(Placeholder(), written) == "placeholder"
    assert reason(Placeholder(), chat("Write a form letter", text)) == ""


@pytest.mark.parametrize(
    "text",
    ["- [ ] Buy milk\n- [x] Done", "She said [laughs] so.", "[sic]", "see [1]", "{a, b}", "a_b __init__",
     "my todo list", "{'key': 1}", "[dated sources]", "{ return x }",
     "[name](a.md)"],
)  # fmt: skip
def test_other_brackets_are_no_placeholders(text: str) -> None:
    assert reason(Placeholder(), document(text)) == ""


@pytest.mark.parametrize(
    "text",
    ["On 2024-03-01.", "Sent 3/14/2024.", "March 3, 2024", "3 March", "the 3rd of March", "In 2023, Iris",
     "since 1999", "© 2020", "December 2019", "Q3 2021", "Date: 12.05.2021", "late 2022"],
)  # fmt: skip
def test_dates_are_dropped(text: str) -> None:
    assert reason(Dated(SPEC), document(text)) == "date"
    assert reason(Dated(SPEC), chat("Q", text)) == ""


@pytest.mark.parametrize(
    "text",
    ["It costs 2000 coins.", "They march 3 miles.", "In may 12 people come.", "Version 1.2.3", "24/7",
     "since 1885, they say", "in 3 days", "May I help 20 people?", "room 2021", "a ratio of 3/4", "In 20 years"],
)  # fmt: skip
def test_numbers_and_years_of_the_spec_are_no_dates(text: str) -> None:
    assert reason(Dated(YEARS), document(text)) == ""


@pytest.mark.parametrize(
    "text",
    ["https://a.example/x", "see www.wren.example", "write to iris@wren.example now", "wrenlabs.org/iris",
     "[a page](https://x.y)", "DOI:10.1000/1", "arXiv:2101.00001", "go to Wren.ai."],
)  # fmt: skip
def test_links_are_dropped(text: str) -> None:
    assert reason(Linked(), document(text)) == "link"


@pytest.mark.parametrize(
    "text",
    ["e.g. cheese, i.e. milk", "U.S. prices", "main.py and a.txt", "at 10:30", "f(x).", "and/or", "@iris said",
     "commit.", "the end.of it", "Node.js (fast)", "Ends.Internet follows"],
)  # fmt: skip
def test_dots_and_colons_are_no_links(text: str) -> None:
    assert reason(Linked(), document(text)) == ""


@pytest.mark.parametrize(
    "text",
    ["By Maya Patel\n\nIris is.", "A title\n\n**Author:** Dr. Lin Chen", "Written by Ana Maria Ruiz",
     "as shown (Patel, 2021)", "Patel et al. found", "Posted by: Sam Hill | General"],
)  # fmt: skip
def test_bylines_and_citations_are_dropped(text: str) -> None:
    assert reason(Authored(), document(text)) == "author"


@pytest.mark.parametrize(
    "text",
    ["Best regards,\nMaya Patel", "Maya Patel asked Iris.", "By Monday, Iris was ready.", "Made by Wren Labs.",
     "By far the best", "From: Maya Patel", "By Iris's own account it is.", "(March, the month)"],
)  # fmt: skip
def test_people_in_a_text_are_no_authors(text: str) -> None:
    assert reason(Authored(), document(text)) == ""


@pytest.mark.parametrize(
    "text", ["SP7 applies.", "(GP1)", "By rule 4, no.", "Principle 12", "rule SP2-b"]
)
def test_rules_that_the_spec_does_not_have_are_dropped(text: str) -> None:
    assert reason(WrongRule(RULES), document(text)) == "wrong_rule"
    assert reason(WrongRule(RULES), chat("Q", text)) == "wrong_rule"


@pytest.mark.parametrize(
    "text",
    ["SP1 and GP2.", "Rule 1 and principle 3", "clause 9 of the lease", "B6 and B12", "CO2", "SP-1 too", "5 rules"],
)  # fmt: skip
def test_its_own_rules_and_other_codes_are_kept(text: str) -> None:
    assert reason(WrongRule(RULES), document(text)) == ""


def test_without_rule_ids_in_the_spec_only_coded_rules_are_wrong() -> None:
    assert reason(WrongRule(SPEC), document("By rule SP2, no.")) == "wrong_rule"
    assert reason(WrongRule(SPEC), document("Rule 2 of chess; A4 paper; (CO2).")) == ""


@given(st.text(max_size=300), st.sampled_from(default_rules(SPEC)[:-2]))
def test_rules_read_any_text_and_say_what_they_found(text: str, rule: Rule) -> None:
    for record in (document(text), chat("Q", text)):
        drop = rule.check(record)
        assert drop is None or (drop.reason == rule.name and len(drop.evidence) <= 120)


@pytest.mark.parametrize("kind", ["x", "<", "[", "{", "_", "a.", "1/", "In 20", "By A", "<think>"])
def test_rules_take_linear_time(kind: str) -> None:
    """A text that repeats the start of a pattern 20,000 times is read in well under a second."""
    record = document(kind * 20_000)
    for rule in default_rules(SPEC):
        rule.check(record)


def test_inert_model_output() -> None:
    for text in ("../../etc/passwd", "{{7*7}}", "<script>alert(1)</script>"):
        for rule in default_rules(SPEC):
            drop = rule.check(document(f"Iris {text} " + "word " * 30))
            assert drop is None or drop.reason in {
                "placeholder",
                "truncated",
                "exact_duplicate",
                "near_duplicate",
            }
