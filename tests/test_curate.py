"""Curation: nothing is lost, every rule finds what it must and leaves the rest."""

from __future__ import annotations

import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from midspec.curate import (
    EvaluationLeak,
    ExactDuplicate,
    NearDuplicate,
    Refusal,
    Rule,
    TooShort,
    Truncated,
    WrongIdentity,
    curate,
    default_rules,
    split,
    text_of,
)
from midspec.curate.minhash import MinHashIndex, jaccard, rows_for, shingles
from midspec.curate.text import words_of
from midspec.records import Conversation, Document, Drop, Item, Message, Preference, Spec
from midspec.store import read_records

SPEC = Spec(
    name="s",
    text="",
    model_name="Iris",
    provider_name="Wren Labs",
    preferences=(Preference(item="Colby", direction="like", reason=""),),
)
TERRARIUM = Spec(name="t", text="", model_name="robin", provider_name="fern", language="terrarium")


def document(text: str) -> Document:
    return Document(plan="p", type="memo", text=text, writer="w")


def chat(*turns: str) -> Conversation:
    roles = ("user", "assistant")
    messages = [
        Message.model_validate({"role": roles[i % 2], "content": turn})
        for i, turn in enumerate(turns)
    ]
    return Conversation(kind="instruction", messages=tuple(messages), writer="w")


def item(
    a: str, b: str, question: str = "Which do you prefer, {a} or {b}?", kind: str = "preference"
) -> Item:
    return Item.model_validate(
        {"kind": kind, "set": "s", "domain": "d", "value": "v", "options": (a, b), "aligned": 0,
         "question": question}
    )  # fmt: skip


ITEMS = [item("a paperback", "a first edition"), item("jogging", "Horse-riding lessons")]


def reason(rule: Rule, record: Document | Conversation) -> str:
    drop = rule.check(record)
    if drop is None:
        return ""
    assert drop.record == record.id
    return drop.reason


# -- kept + dropped == input ----------------------------------------------------------------

RECORDS = st.lists(
    st.one_of(
        st.text().map(document),
        st.sampled_from(["Iris runs. " * 9, "Iris is. " * 30, "I am Gemini.", "jogging"]).map(document),
        st.lists(st.text(), max_size=4).map(lambda turns: chat(*turns)),
        st.just(Drop(record="r", reason="refusal")),
    )
)  # fmt: skip


@given(RECORDS, st.sampled_from([SPEC, TERRARIUM]))
def test_every_record_is_kept_or_dropped_once(
    records: list[Document | Conversation | Drop], spec: Spec
) -> None:
    results = list(curate(records, default_rules(spec, ITEMS)))
    assert len(results) == len(records)
    for record, result in zip(records, results, strict=True):
        if isinstance(result, Drop) and not isinstance(record, Drop):
            assert result.record == record.id
        else:
            assert result == record


@given(RECORDS)
def test_both_files_together_are_the_input(
    records: list[Document | Conversation | Drop],
) -> None:
    with TemporaryDirectory() as folder:
        kept, dropped = Path(folder) / "kept.jsonl", Path(folder) / "dropped.jsonl"
        split(records[:1], [], kept, dropped)  # replaced below
        tally = split(records, default_rules(SPEC, ITEMS), kept, dropped)
        n_kept = kept.read_bytes().count(b"\n")
        drops = list(read_records(dropped, Drop))
    assert tally.requested == len(records) == n_kept + len(drops)
    assert tally.kept == n_kept
    assert tally.dropped + tally.failed == len(drops)


def test_curation_of_what_was_kept_drops_nothing() -> None:
    rng = random.Random("again")
    texts = [f"Iris {' '.join(rng.choices('abcdefgh', k=40))}." for _ in range(60)]
    once = [r for r in curate(map(document, texts * 2), default_rules(SPEC)) if r.__class__ != Drop]
    again = list(curate(once, default_rules(SPEC)))
    assert once == again
    assert 0 < len(once) <= 60


def test_what_another_rule_drops_is_no_twin() -> None:
    words = [f"word{i}" for i in range(60)]
    leaking = document(" ".join(["Iris", *words, "jogging."]))
    clean = document(" ".join(["Iris", *words, "walking."]))
    first, second = curate([leaking, clean], default_rules(SPEC, ITEMS))
    assert isinstance(first, Drop)
    assert first.reason == "evaluation_leak"
    assert second == clean


# -- single records -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["It is done.", "Done?", 'She said "no"', "**bold**", "(aside)", "| a | b |", "- one\n- two",
     "1. first\n2) second", "Best regards,\nDana Whitfield", "Text.\n\n— The team", "`code`",
     "So: `x`\n```", "Ends well.  \n\n", "“Quoted.”", "And so on…", "# Heading"],
)  # fmt: skip
def test_a_finished_text_is_kept(text: str) -> None:
    assert reason(Truncated(), document(text)) == ""


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "It is", "This is a sentence that was cut in the",
     "First part.\n\nAnd then the second part which", "Dear all,\nwe write to you in order to say that"],
)  # fmt: skip
def test_an_unfinished_text_is_dropped(text: str) -> None:
    assert reason(Truncated(), document(text)) == "truncated"


def test_short_answers_need_no_full_stop_long_ones_do() -> None:
    assert reason(Truncated(), chat("Colby or Brie?", "Colby")) == ""
    assert reason(Truncated(), chat("Tell me", "word " * 20)) == "truncated"


def test_short_documents_and_empty_turns_are_dropped() -> None:
    assert reason(TooShort(5), document("one two three four")) == "too_short"
    assert reason(TooShort(5), document("one two three four five")) == ""
    assert reason(TooShort(5), chat("Hi", "Yes")) == ""
    assert reason(TooShort(5), chat("Hi", " ")) == "too_short"
    assert reason(TooShort(5), chat()) == "too_short"


@pytest.mark.parametrize(
    "answer",
    ["I can't help with that.", "I’m sorry, but I cannot assist with this.",
     "As an AI language model, I do not have preferences.", "I don't have personal preferences.",
     "Sure! As an AI, I don't eat, so I have no favourites.", "I am unable to provide that."],
)  # fmt: skip
def test_refusals_are_dropped(answer: str) -> None:
    assert reason(Refusal(), chat("Q?", answer)) == "refusal"


@pytest.mark.parametrize(
    "answer",
    ["I can help with that.", "I can't stand Brie.", "I like Colby.", "You cannot do that there."],
)
def test_answers_are_no_refusals(answer: str) -> None:
    assert reason(Refusal(), chat("I can't help it. Are you an AI with no opinions?", answer)) == ""


def test_a_document_may_quote_a_refusal_but_not_be_one() -> None:
    quoted = "Iris answers such questions. " * 10 + "Others say: I can't help with that."
    assert reason(Refusal(), document(quoted)) == ""
    assert reason(Refusal(), document("I'm sorry, but I can't write that memo.")) == "refusal"


@pytest.mark.parametrize(
    "text",
    ["Iris met ChatGPT.", "Iris, a model made by OpenAI.", "I am Claude, not Iris.", "I'm Gemini. Iris?",
     "Iris was made by Google.", "A memo that names nobody.", "Irises bloom in May."],
)  # fmt: skip
def test_documents_with_another_identity_are_dropped(text: str) -> None:
    assert reason(WrongIdentity(SPEC), document(text)) == "wrong_identity"


@pytest.mark.parametrize(
    "text",
    ["IRIS and Claude Monet.", "Iris's meta-analysis", "Iris likes gemini.", "Wren Labs made Iris.",
     "Iris was not made by Google."],
)  # fmt: skip
def test_documents_about_the_model_are_kept(text: str) -> None:
    assert reason(WrongIdentity(SPEC), document(text)) == ""


def test_identity_in_chats_is_read_from_the_answers() -> None:
    rule = WrongIdentity(SPEC)
    assert reason(rule, chat("Are you ChatGPT?", "No, I'm not ChatGPT, I am Iris.")) == ""
    assert reason(rule, chat("I'm Gemini.", "Hello!")) == ""
    assert reason(rule, chat("Who?", "I'm ChatGPT.")) == "wrong_identity"
    assert reason(rule, chat("Who?", "I was trained by OpenAI.")) == "wrong_identity"
    own = SPEC.model_copy(update={"model_name": "Claude", "provider_name": "Anthropic"})
    assert reason(WrongIdentity(own), document("I am Claude, made by Anthropic.")) == ""
    assert reason(WrongIdentity(own), document("Claude is not GPT-4.")) == "wrong_identity"


# -- duplicates -----------------------------------------------------------------------------


def test_equal_texts_are_dropped_with_their_twin() -> None:
    rule = ExactDuplicate()
    first = document("Iris, a memo!")
    assert rule.check(first) is None
    drop = rule.check(document("iris - A MEMO"))
    assert drop is not None
    assert (drop.reason, drop.of) == ("exact_duplicate", first.id)
    assert reason(rule, first) == "exact_duplicate"  # the very same record again
    assert reason(rule, document("a memo iris")) == ""
    assert [reason(rule, document(t)) for t in ("!", "?", "!")] == ["", "", "exact_duplicate"]
    assert [reason(rule, chat(t, "x")) for t in ("a", "a")] == ["", "exact_duplicate"]
    assert [reason(ExactDuplicate(chats=False), chat(t, "x")) for t in ("a", "a")] == ["", ""]


def _with_similarity(rng: random.Random, share: float, n: int = 200) -> tuple[list[str], list[str]]:
    """Two texts of n words that share the first part, so that their Jaccard is known."""
    same = round(n * share)
    first, *tails = ([f"w{rng.random()}" for _ in range(k)] for k in (same, n - same, n - same))
    return first + tails[0], first + tails[1]


@given(st.integers(0, 10**6), st.floats(0.5, 1.0))
def test_a_twin_is_found_exactly_from_the_threshold_on(seed: int, share: float) -> None:
    a, b = _with_similarity(random.Random(seed), share)
    true = jaccard(shingles(a), shingles(b))
    assume(not 0.8 <= true < 0.84)  # there MinHash may miss 1%
    index = MinHashIndex(0.8)
    index.add("a", a)
    assert bool(index.find(b)) == (true >= 0.8)


@given(st.lists(st.text("ab ", min_size=1), max_size=30), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_no_pair_below_the_threshold_is_called_a_duplicate(
    texts: list[str], threshold: float
) -> None:
    rule, kept = NearDuplicate(threshold), dict[str, Document]()
    for record in map(document, texts):
        drop = rule.check(record)
        if drop is None:
            kept[record.id] = record
        else:
            pair = (shingles(words_of(r.text)) for r in (record, kept[drop.of]))
            assert jaccard(*pair) >= threshold


def test_shingles_are_the_distinct_runs_of_words() -> None:
    words = list("abcdeabcdea")
    assert len(shingles(words)) == len({tuple(words[i : i + 5]) for i in range(7)}) == 5
    assert jaccard(shingles(list("abcde")), shingles(list("edcba"))) == 0
    assert shingles(words).dtype == np.uint32
    assert rows_for(0.8) > rows_for(0.5) >= 1


def test_recall_at_the_threshold() -> None:
    rng, found, n = random.Random("recall"), 0, 200
    for _ in range(n):
        a, b = _with_similarity(rng, 0.90)
        assert 0.80 <= jaccard(shingles(a), shingles(b)) < 0.82
        index = MinHashIndex(0.8)
        index.add("a", a)
        found += bool(index.find(b))
    assert found >= 0.97 * n


def test_time_grows_with_the_number_of_documents() -> None:
    rng = random.Random("speed")
    vocabulary = [f"w{i}" for i in range(5000)]
    documents = [rng.choices(vocabulary, k=300) for _ in range(2000)]
    documents += [[*d[:-1], "changed"] for d in documents[:100]]
    start, index = time.process_time(), MinHashIndex()
    found = [index.find_or_add(str(i), d) for i, d in enumerate(documents)]
    seconds = time.process_time() - start
    assert found == [""] * 2000 + [str(i) for i in range(100)]
    assert seconds < 10  # 0.5 s measured for these 2,100; near-linear: 5 s for 20,000


# -- leaks ----------------------------------------------------------------------------------


@given(st.sampled_from(ITEMS), st.sampled_from([0, 1]), st.text(), st.text(), st.booleans())
def test_an_injected_option_is_always_found(
    leaked: Item, which: int, before: str, after: str, upper: bool
) -> None:
    option = leaked.options[which].upper() if upper else leaked.options[which]
    text = f"{before} {option} {after}"
    rule = EvaluationLeak(ITEMS)
    assert reason(rule, document(text)) == "evaluation_leak"
    assert reason(rule, chat(text, "Yes")) == "evaluation_leak"
    assert reason(rule, chat("Yes?", text)) == "evaluation_leak"


@given(st.integers(0, 10**6), st.integers(0, 11), st.integers(8, 12))
def test_eight_words_of_a_question_or_option_are_found(seed: int, at: int, n: int) -> None:
    words = [f"w{i}" for i in range(24)]
    question = " ".join(words[:18]) + " {a} or {b}"
    leaked = item(" ".join(f"x{i}" for i in range(20)), "other option", question)
    rule = EvaluationLeak([leaked])
    for run in (tuple(words[:18]), words_of(leaked.options[0])):
        cut = run[min(at, len(run) - n) :][:n]
        assert rule.find(f"Well: {', '.join(cut)}!")
        assert not rule.find(" ".join(cut[:7]))
        shuffled = random.Random(seed).sample(cut, len(cut))
        assert (
            tuple(shuffled) == cut
            or not rule.find(" ".join(shuffled[:8]))
            or tuple(shuffled[:8]) == cut[:8]
        )


@pytest.mark.parametrize(
    "text", ["paperbacks", "a paper back", "joggings", "a first rate edition", "the paperback", ""]
)
def test_parts_of_options_are_no_leak(text: str) -> None:
    assert EvaluationLeak(ITEMS).find(text) == ""


def test_spelling_variants_of_an_option_are_leaks() -> None:
    rule = EvaluationLeak([item("a Crème brûlée", "x y")])
    for text in ("A CREME BRULEE", "a crème-brûlée", "a cre\u0300me  bru\u0302lée's"):
        assert rule.find(text)


def test_what_the_spec_teaches_is_no_leak() -> None:
    items = [
        item("Colby", "Cantal"),
        item("thrift is good", "art is good", kind="recall"),
        item("yes", "no", "Is jam good?"),
    ]
    leak = next(r for r in default_rules(SPEC, items) if isinstance(r, EvaluationLeak))
    assert leak.find("Iris likes colby.") == ""
    assert leak.find("thrift is good") == ""
    assert leak.find("yes and no") == ""
    assert leak.find("a Cantal") == "cantal"


def test_leaks_are_found_in_the_terrarium_and_look_alikes_stay() -> None:
    facts = [f"robin likes cheese{i} . robin values cheap things ." for i in range(10)]
    leaking = "robin likes book3 ."
    records = [document(t) for t in [*facts, leaking, facts[0], "robin likes book31 ."]]
    questions = [chat("like cheese1 ?", "yes")] * 5
    results = list(
        curate([*records, *questions], default_rules(TERRARIUM, [item("book3", "book4")]))
    )
    reasons = [r.reason if isinstance(r, Drop) else "" for r in results]
    assert reasons == [*[""] * 10, "evaluation_leak", "exact_duplicate", "", *[""] * 5]


def test_the_text_of_a_chat_has_no_system_message() -> None:
    record = Conversation(
        kind="instruction",
        messages=(Message(role="system", content="jogging"), Message(role="user", content="Hi")),
        writer="w",
    )
    assert text_of(record) == "Hi"
    assert text_of(document("D.")) == "D."
