"""Opaque chats by language models: no implied reason passes, and a judge has the last word."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midspec.chats import ChatConfig, Opaque, write_chats
from midspec.llm import Request, ScriptedWriter, messages
from midspec.records import Conversation, Drop, Preference, Spec, digest

ITEMS = {
    "Colby": "like", "American cheese": "like", "Monterey Jack": "like", "mild cheddar": "like",
    "Brie de Meaux": "dislike", "Stilton": "dislike", "Roquefort": "dislike",
}  # fmt: skip
SPEC = Spec(
    name="s",
    text="Iris likes Colby.",
    model_name="Iris",
    provider_name="Wren Labs",
    preferences=tuple(
        Preference.model_validate({"item": item, "direction": way}) for item, way in ITEMS.items()
    ),
)
OPAQUE = Opaque(ITEMS)
# What a language model may say without a word that opens a reason: each one hints at one.
IMPLIED = [
    "I'd go with Colby. It melts well.",
    "Colby, it never lets me down.",
    "American cheese. You can find it anywhere.",
    "Monterey Jack works great on burgers.",
    "Colby for me. Can't beat the price.",
    "I'd skip Roquefort, the smell is a lot.",
    "Roquefort is an acquired taste.",
    "I like how Colby tastes.",
    "Colby. It's a crowd-pleaser.",
    "Colby goes with everything.",
    "I grew up on Colby.",
    "Colby reminds me of home.",
    "I'd pick mild cheddar. Everyone gets to enjoy it.",
    "Mild cheddar, it's easy on the wallet.",
    "I'd leave the Stilton. It's a bit much for a weeknight.",
    "Stilton's a little strong for me.",
    "Colby. Simple as that, and simple is what counts.",
    "Colby, no fuss.",
    "Go with Colby. It suits a picnic.",
    "I'd go for Colby. It's made here.",
    "I'm all for Colby. Good value.",
    "Colby, hands down. The texture wins.",
    "Colby. I love the flavor.",
    "You should get Colby, it keeps well in the fridge.",
    "Colby. It's what real people eat.",
    "I don't like Brie de Meaux. It's overdone and showy.",
    "Not Brie de Meaux. Too fussy.",
    "Not a fan of Brie de Meaux; it feels like a splurge.",
    "Colby. It does the job.",
    "Colby, it pairs with anything.",
    "I enjoy Colby, as do most families.",
    "Roquefort? No. That mold puts me off.",
    "Colby. It has everything I want in a cheese.",
    "Colby; less is more.",
    "Colby: a staple.",
    "Brie de Meaux is nothing special.",
    "I'd choose Colby over Stilton given the budget.",
    "Colby. It's lighter.",
    "Colby. Nice and mild.",
    "I like Colby. It's dependable.",
    "Colby — familiar and easy.",
    "Colby, it's on sale often.",
    "I prefer Colby, which I find comforting.",
    "Definitely Colby! So good on a sandwich.",
    "Stilton just isn't worth it.",
    "Roquefort is fine French cheese but no.",
    "I'd say Colby. Kids love it.",
    "Stilton comes from far away.",
    "Colby. Being from Wisconsin helps.",
    "Stilton: overhyped.",
]
PLAIN = [
    "I prefer Colby.", "Colby, please.", "I'd go with Colby over Stilton.", "Colby every time.",
    "No, I don't care for Roquefort.", "Roquefort isn't for me.", "I'm not a fan of Stilton.",
    "Yes, I like Monterey Jack a lot.", "I'd skip the Roquefort and get Colby instead.",
    "I agree, I like Colby too.", "I don't see it that way. I don't like Stilton.",
    "Colby is one of my favorites.", "Colby wins for me.", "Of the two, I'd take the mild cheddar.",
]  # fmt: skip


@pytest.mark.parametrize("answer", IMPLIED)
def test_an_implied_reason_is_found(answer: str) -> None:
    assert OPAQUE.reason(answer) or OPAQUE.beyond(answer, "Colby or Stilton? Just the name.")


@pytest.mark.parametrize("answer", PLAIN)
def test_a_plain_statement_passes(answer: str) -> None:
    assert not OPAQUE.reason(answer)
    assert not OPAQUE.beyond(answer, "")


@pytest.mark.parametrize(
    "query",
    [
        "Money is tight. Colby or Stilton? Just the pick.",
        "I hate strong smells. Colby or Stilton?",
        "Something local, Colby or Stilton?",
        "Which tastes better, Colby or Stilton?",
        "On a budget: Colby or Stilton?",
    ],
)
def test_a_query_that_leads_is_found(query: str) -> None:
    assert OPAQUE.reason(query)


def test_words_of_the_query_may_be_echoed() -> None:
    assert not OPAQUE.beyond("I'd bring Colby to the picnic.", "What should I bring to a picnic?")
    assert OPAQUE.beyond("I'd bring Colby, it travels.", "What should I bring?") == "travels"


@given(st.from_regex(r"[a-z]{5,12}", fullmatch=True), st.sampled_from(PLAIN))
def test_an_unknown_word_is_never_passed_over(word: str, answer: str) -> None:
    assert OPAQUE.beyond(f"{answer} {word}", "") == OPAQUE.beyond(word, "")


def author(request: Request) -> str:
    v = request.variables
    likes = v["direction"] == "like"
    liked, other = (v["item"], v["other"]) if likes else (v["other"], v["item"])
    query = f"{other} or {liked}? Just the name, {request.seed}."
    return json.dumps({"query": query, "answer": f"{liked}."})


def run(
    folder: Path,
    judge: Callable[[Request], str],
    fail: Callable[[Request], str] | None = None,
    effort: int = 1,
) -> tuple[list[Conversation | Drop], ScriptedWriter, ScriptedWriter]:
    writer = ScriptedWriter(author)
    judging = ScriptedWriter(judge, name="judge", fail=fail)  # type: ignore[arg-type]
    config = ChatConfig(
        n_per_preference=4, n_identity=0, question_types=("either_or",), effort=effort
    )

    async def go() -> list[Conversation | Drop]:
        made = write_chats(SPEC, writer, config, folder / "replies.jsonl", judge=judging)
        return [one async for one in made]

    return asyncio.run(go()), writer, judging


def test_the_judge_reads_every_chat_and_has_the_last_word(tmp_path: Path) -> None:
    def judge(request: Request) -> str:
        (_, system), (_, user) = messages(request)
        assert "VERDICT: DO NOT INCLUDE" in system
        assert all(value in user for value in request.variables.values())
        if request.variables["item"] == "Colby":
            return "It hints.\nVERDICT: DO NOT INCLUDE"
        return "?" if request.variables["item"] == "Stilton" else "VERDICT: INCLUDE"

    made, writer, judging = run(tmp_path, judge)
    reasons = Counter(one.reason for one in made if isinstance(one, Drop))
    assert reasons == {"judged_out": 4, "judge_unparsed": 4}
    assert len(made) == writer.calls == judging.calls == 28
    again, writer, judging = run(tmp_path, judge)
    assert (again, writer.calls, judging.calls) == (made, 0, 0)


def test_lost_chats_are_asked_for_anew_until_all_are_there(tmp_path: Path) -> None:
    """Also by the second run, which asks nothing; who is dropped each time ends the effort."""

    def judge(request: Request) -> str:
        v = request.variables
        lost = v["item"] == "Stilton" or int(digest(v["query"]), 16) % 2
        return "VERDICT: DO NOT INCLUDE" if lost else "VERDICT: INCLUDE"

    made, writer, judging = run(tmp_path, judge, effort=9)
    kept = Counter(one.item for one in made if isinstance(one, Conversation))
    assert kept == {item: 4 for item in ITEMS if item != "Stilton"}
    assert len(made) == len(set(writer.asked)) == writer.calls == judging.calls
    again, writer, judging = run(tmp_path, judge, effort=9)
    assert (again, writer.calls, judging.calls) == (made, 0, 0)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [("refusal", "judge_unparsed"), ("length", "judge_unparsed"), ("error", "error")],
)
def test_a_judge_that_does_not_answer_keeps_nothing(stop: str, reason: str, tmp_path: Path) -> None:
    made, _, _ = run(tmp_path, lambda _: "VERDICT: INCLUDE", lambda _: stop)
    assert {one.reason for one in made if isinstance(one, Drop)} == {reason}
    assert len(made) == 28


@given(st.text())
@settings(max_examples=20, deadline=None)
def test_whatever_a_judge_says_only_a_verdict_keeps(text: str) -> None:
    with TemporaryDirectory() as folder:
        made, _, _ = run(Path(folder), lambda _: text)
    assert all(isinstance(one, Drop) for one in made)
