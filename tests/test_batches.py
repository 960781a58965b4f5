"""Providers over real HTTP: caches, faults, costs, budgets and batches, against tests/provider."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from midspec.errors import ConfigError, WriterError
from midspec.llm import (
    Budget,
    BudgetError,
    Desk,
    Patience,
    Price,
    Prices,
    Reply,
    Request,
    Unusable,
    lists,
    messages,
    open_writer,
    read_ledger,
    read_prices,
    replies,
)
from midspec.llm.attempts import Failure, Limiter
from midspec.llm.batch_apis import AnthropicBatches
from midspec.llm.batches import BatchConfig
from midspec.llm.inspect_writer import InspectWriter
from midspec.llm.wire import _HOLES, _SEED, _SYSTEM, _USER, Wire, read, to_json
from midspec.records import Spec
from midspec.store import read_rows
from tests.provider import KEY, Provider, running

SPEC = Spec(
    name="tea",
    text="# Core\n" + "Iris cares about thrift, because it serves all.\n" * 200,
    model_name="Iris",
    provider_name="Wren Labs",
)
NAMES = ["anthropic/claude-sonnet-4-5", "openai/gpt-4.1", "openai-api/local/some-model"]
QUICK = BatchConfig(window=500, idle_s=0.1, poll_s=0.05, settle_s=0.0)
CODEPOINTS = st.characters(exclude_categories=["Cs"])
HOLES = st.sampled_from([_SYSTEM, _USER, _SEED])
TEXTS = st.lists(st.text(CODEPOINTS) | HOLES, max_size=4).map("".join)
PRICE = Price(input=3, cached=0.3, cache_write=3.75, output=15)


def numbered(n: int, prompt: str = "corpus/subdomains", **more: Any) -> list[Request]:
    rows = ({"domain": f"domain {i}", "n": "2"} for i in range(n))
    return [Request(prompt=prompt, spec=SPEC, variables=row, **more) for row in rows]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    with running(batch_seconds=0.1) as server:
        for service in ("ANTHROPIC", "OPENAI", "LOCAL"):
            monkeypatch.setenv(f"{service}_API_KEY", KEY)
            path = "" if service == "ANTHROPIC" else "/v1"
            monkeypatch.setenv(f"{service}_BASE_URL", server.url + path)
        yield server


def ask_all(
    name: str,
    requests: list[Request],
    journal: Path,
    *,
    batches: Path | None = None,
    patience: Patience | None = None,
    config: BatchConfig = QUICK,
    concurrency: int = 16,
    **more: Any,
) -> list[Reply]:
    """Replies to requests, by one writer that is opened and closed here."""
    args: dict[str, Any] = {"patience": patience or Patience(backoff_s=0.01)}
    if batches:
        args["batch_config"] = config

    async def go() -> list[Reply]:
        writer: Any = open_writer(name, batches=batches, **args, **more)
        try:
            stream = replies(requests, writer, journal, concurrency=concurrency)
            return [reply async for _, reply in stream]
        finally:
            await writer.close()

    return asyncio.run(go())


# -- layout and caches ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_live_and_batch_send_the_same_bodies(provider: Provider, tmp_path: Path, name: str) -> None:
    requests = [*numbered(5, seed=7), *numbered(2, max_tokens=9000)]
    live = ask_all(name, requests, tmp_path / "live")
    batch = ask_all(name, requests, tmp_path / "batch", batches=tmp_path / "state")
    sent = Counter(row["digest"] for row in provider.rows("request"))
    batched = Counter(d for row in provider.rows("batch") for d in row["digests"])
    assert sent == batched
    assert len(sent) == 7
    assert [reply.text for reply in live] == [reply.text for reply in batch]
    assert {reply.stop for reply in live + batch} == {"stop"}
    assert [reply.batched for reply in batch] == [True] * 7


def test_inspect_alone_would_send_the_same_body(provider: Provider) -> None:
    [request] = numbered(1, seed=3)

    async def both() -> None:
        writer = InspectWriter(NAMES[0])
        await writer.reply(request)
        await writer._by_inspect(writer.model(), request)
        await writer.close()

    asyncio.run(both())
    first, second = provider.rows("request")
    assert first["digest"] == second["digest"]


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_is_written_to_the_cache_once_and_read_after_that(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    provider.change(latency=0.05)
    found = ask_all(name, numbered(40), tmp_path / "j")
    cached = [reply.cached_tokens for reply in found]
    assert cached[0] == 0
    assert min(cached[1:]) > 0.8 * found[1].input_tokens
    if name.startswith("anthropic"):
        assert [reply.cache_write_tokens > 0 for reply in found] == [True] + [False] * 39
    bill = read_ledger([tmp_path / "j"])
    totals = provider.totals()
    assert bill.input_tokens == totals["uncached"] + totals["cached"] + totals["written"]
    assert (bill.cached_tokens, bill.output_tokens) == (totals["cached"], totals["out"])


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 10**12))
def test_any_text_reaches_the_body_as_it_is(spec: str, domain: str, seed: int) -> None:
    given = Spec(name="s", text=spec, model_name="Iris", provider_name="Wren Labs")
    variables = {"domain": domain, "n": "2"}
    request = Request(prompt="corpus/subdomains", spec=given, variables=variables, seed=seed)
    form = {"model": "m", "messages": [_SYSTEM.strip('"'), {"content": _USER.strip('"')}]}
    pieces = _HOLES.split(to_json({**form, "seed": int(_SEED)}))
    (_, system), (_, user) = messages(request)
    wanted = {"model": "m", "messages": [system, {"content": user}], "seed": seed}
    body = Wire("openai", "", {}, tuple(pieces)).body(request)
    assert json.loads(body) == wanted
    assert body == to_json(wanted).encode()


# -- faults --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("fault", ["429", "500", "529", "drop", "malformed", "hang"])
def test_passing_faults_are_retried(
    provider: Provider, tmp_path: Path, name: str, fault: str
) -> None:
    provider.change(**{f"rate_{fault}": 0.4, "hang": 0.6, "retry_after": 0.01})
    patience = Patience(backoff_s=0.01, attempt_timeout_s=0.3 if fault == "hang" else 20)
    n = 8 if fault == "hang" else 24
    found = ask_all(name, numbered(n), tmp_path / "j", patience=patience)
    assert [reply.stop for reply in found] == ["stop"] * n
    assert len(provider.rows("request")) > n
    assert sum(reply.output_tokens for reply in found) == sum(
        row["out"]
        for row in provider.rows("answer")
        if row["status"] == 200 and row["fault"] not in ("malformed", "hang")
    )


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("name", NAMES[:2])
def test_cut_replies_and_refusals_are_told_apart(
    provider: Provider, tmp_path: Path, name: str, batched: bool
) -> None:
    provider.change(rate_cut=0.3, rate_refusal=0.3)
    state = tmp_path / "state" if batched else None
    found = ask_all(name, numbered(40), tmp_path / "j", batches=state)
    rows = provider.rows("member" if batched else "answer")
    faults = Counter(row["fault"] or "stop" for row in rows)
    stops = Counter(reply.stop for reply in found)
    assert (stops["length"], stops["refusal"]) == (faults["cut"], faults["refusal"])
    assert min(stops["length"], stops["refusal"], stops["stop"]) > 3


class Subdomain(BaseModel):
    title: str
    text: str = ""


@pytest.mark.parametrize(("name", "batched"), [(NAMES[0], False), (NAMES[1], True)])
def test_lists_that_are_not_json_are_repaired(
    provider: Provider, tmp_path: Path, name: str, batched: bool
) -> None:
    provider.change(rate_unparsable=0.3)
    args: dict[str, Any] = {"batches": tmp_path / "s", "batch_config": QUICK} if batched else {}

    async def go() -> list[Any]:
        writer: Any = open_writer(name, **args)
        async with Desk(writer, tmp_path / "j") as desk:
            found = [made async for _, made in lists(desk, numbered(30), Subdomain)]
        await writer.close()
        return found

    found = asyncio.run(go())
    rows = provider.rows("member" if batched else "answer")
    broken = sum(row["fault"] == "unparsable" for row in rows)
    lost = sum(isinstance(made, Unusable) for made in found)
    assert 3 < len(rows) - 30 <= broken  # one more request for a reply that cannot be parsed
    assert lost <= len(rows) - 30
    assert {made.reason for made in found if isinstance(made, Unusable)} <= {"unparsable"}


def test_calls_at_once_follow_what_the_provider_bears(provider: Provider, tmp_path: Path) -> None:
    provider.change(capacity=4, latency=0.01, retry_after=0.0)
    found = ask_all(NAMES[2], numbered(150), tmp_path / "j", concurrency=32)
    assert {reply.stop for reply in found} == {"stop"}
    turned_away = [row["n"] for row in provider.rows("answer") if row["status"] == 429]
    late = [n for n in turned_away if n > len(provider.rows("request")) / 2]
    assert turned_away
    assert len(late) < 40  # a fixed limit of 32 would be turned away 28 times in 32


def test_the_limiter_halves_once_and_grows_slowly() -> None:
    limiter = Limiter()
    limiter.flying = 16
    for _ in range(16):
        limiter.overloaded(0)
    assert limiter.limit == 8
    limiter.flying = 8
    for _ in range(8):
        limiter.succeeded()
    assert 8.8 < limiter.limit <= 9
    limiter.flying = 2
    before = limiter.limit
    limiter.succeeded()
    assert limiter.limit == before


def test_a_limiter_never_stalls_when_waiters_are_cancelled() -> None:
    async def go() -> int:
        limiter, ran = Limiter(), 0
        limiter.limit = 1

        async def work() -> None:
            nonlocal ran
            await limiter.take()
            try:
                await asyncio.sleep(0)
                ran += 1
            finally:
                limiter.give_back()

        tasks = [asyncio.create_task(work()) for _ in range(30)]
        for i in range(1, 30, 2):
            await asyncio.sleep(0)
            tasks[i].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        return ran

    assert asyncio.run(go()) >= 15


# -- costs ---------------------------------------------------------------------------------


def table(**prices: Price) -> Prices:
    return Prices(file="prices.yaml", models={f"{k}*": v for k, v in prices.items()})


def test_the_bundled_prices_are_complete_and_dated() -> None:
    for name, price in read_prices().models.items():
        free = price.output == 0
        assert free or (price.as_of and price.source), name
        assert price.cached <= price.input <= price.cache_write or free, name
    assert read_prices().of("anthropic/claude-sonnet-4-5-20250929").output == 15
    assert read_prices().of("mockllm/model").output == 0


def test_own_prices_and_missing_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("prices:\n- {models: [a/b], input: 1, cached: 1, cache_write: 1, output: 2}\n")
    monkeypatch.setenv("MIDSPEC_PRICES", str(own))
    assert read_prices().of("a/b").output == 2
    with pytest.raises(ConfigError, match=r"no price for 'a/c' in .*own.yaml; add it"):
        read_prices().of("a/c")
    own.write_text("prices:\n- {models: [a/b], inptu: 1}\n")
    with pytest.raises(ConfigError, match="is not a price table"):
        read_prices()
    with pytest.raises(ConfigError, match="No such file"):
        read_prices(tmp_path / "none.yaml")


@pytest.mark.parametrize("batched", [False, True])
def test_a_budget_is_never_exceeded_and_can_be_raised(
    provider: Provider, tmp_path: Path, batched: bool
) -> None:
    provider.change(latency=0.02)
    requests, prices = numbered(60, max_tokens=300), table(openai=PRICE)
    state = tmp_path / "state" if batched else None
    whole = ask_all(NAMES[2], requests, tmp_path / "whole", batches=state and tmp_path / "other")
    cost = sum(PRICE.of(reply) for reply in whole)
    asked = len(provider.rows("request"))

    budget = Budget(cost / 2)
    with pytest.raises(BudgetError, match=r"are spent.*run again with a higher --max-cost"):
        ask_all(NAMES[2], requests, tmp_path / "j", budget=budget, prices=prices, batches=state)
    paid = read_ledger([tmp_path / "j"], prices)
    assert paid.cost == pytest.approx(budget.spent)
    assert 0.2 * cost < budget.spent <= cost / 2
    kept = paid.replies
    assert batched or len(provider.rows("request")) - asked == kept

    more = Budget.resume(cost * 1.5, [tmp_path / "j"], prices)
    assert more.spent == pytest.approx(budget.spent)
    found = ask_all(NAMES[2], requests, tmp_path / "j", budget=more, prices=prices, batches=state)
    assert [reply.text for reply in found] == [reply.text for reply in whole]
    assert read_ledger([tmp_path / "j"]).replies == 60


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), max_size=40), st.integers(1, 8))
def test_a_budget_holds_under_concurrency(calls: list[tuple[float, float]], at_once: int) -> None:
    budget, slots = Budget(5.0), asyncio.Semaphore(at_once)

    async def call(worst: float, share: float) -> None:
        async with slots:
            await budget.reserve(worst)
            assert budget.spent + budget.reserved <= 5.0 + 1e-6
            await asyncio.sleep(0)
            budget.settle(worst, worst * share)

    async def go() -> list[Any]:
        return await asyncio.gather(*(call(*one) for one in calls), return_exceptions=True)

    outcomes = asyncio.run(go())
    assert all(one is None or isinstance(one, BudgetError) for one in outcomes)
    assert budget.spent <= 5.0 + 1e-6
    assert budget.reserved == 0
    if sum(worst for worst, _ in calls) <= 5.0:
        assert outcomes == [None] * len(calls)


# -- batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES[:2])
def test_only_failed_members_go_again(provider: Provider, tmp_path: Path, name: str) -> None:
    provider.change(rate_member_error=0.15, rate_member_expired=0.15)
    found = ask_all(name, numbered(40), tmp_path / "j", batches=tmp_path / "s")
    members = provider.rows("member")
    good = Counter(row["digest"] for row in members if row["kind"] == "succeeded")
    assert set(good.values()) == {1}
    assert len(good) == sum(reply.stop == "stop" for reply in found) >= 38
    assert len(provider.rows("batch")) in (2, 3)
    assert len(members) < 60


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_broken_line_of_results_is_asked_again_alone(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    """Half a line, or another form: paid for, not usable; the others of the batch are kept."""
    provider.change(rate_member_malformed=0.3)
    found = ask_all(name, numbered(20), tmp_path / "j", batches=tmp_path / "s")
    members = provider.rows("member")
    good = Counter(row["digest"] for row in members if row["kind"] == "succeeded")
    broken = Counter(row["digest"] for row in members if row["kind"] == "malformed")
    assert {
        int(row["custom_id"][:16], 16) % 2 for row in members if row["kind"] != "succeeded"
    } == {0, 1}
    assert set(good.values()) == {1}
    assert len(good) == sum(reply.stop == "stop" for reply in found) >= 18
    assert good.total() + broken.total() == len(members) < 40
    lost = [reply for reply in found if reply.stop != "stop"]
    assert len(lost) == sum(n == 3 for n in broken.values())  # three tries, then an error


def test_members_that_always_fail_end_as_errors(provider: Provider, tmp_path: Path) -> None:
    provider.change(rate_member_expired=1.0)
    found = ask_all(NAMES[0], numbered(3), tmp_path / "j", batches=tmp_path / "s")
    assert [reply.stop for reply in found] == ["error"] * 3
    assert len(provider.rows("batch")) == 3
    provider.change(rate_member_expired=0.0)
    found = ask_all(NAMES[0], numbered(3), tmp_path / "j", batches=tmp_path / "s")
    assert [reply.stop for reply in found] == ["stop"] * 3


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_lost_answer_to_a_submit_makes_no_second_batch(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    provider.change(rate_create_drop=1.0)
    found = ask_all(name, numbered(10), tmp_path / "j", batches=tmp_path / "s")
    assert {reply.stop for reply in found} == {"stop"}
    assert len(provider.rows("batch")) == 1


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_submit_whose_connection_is_cut_is_repeated(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    """Made or not before the cut, and the list of batches cut off as well: one batch each."""
    provider.change(rate_create_lost=0.4, rate_create_drop=0.3, rate_list_drop=0.4)
    for i in range(5):
        found = ask_all(name, numbered(3, seed=i), tmp_path / "j", batches=tmp_path / "s")
        assert {reply.stop for reply in found} == {"stop"}
    assert len(provider.rows("batch")) == 5
    events = Counter(row["event"] for row in read_rows(tmp_path / "s" / "book.jsonl"))
    assert events == {"intent": 5, "submitted": 5, "collected": 5}


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_network_that_stays_away_at_a_submit_ends_the_run_and_the_next_finds_the_batch(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    provider.change(rate_create_drop=1.0, rate_list_drop=1.0)
    hasty = Patience(max_retries=2, backoff_s=0.01)
    with pytest.raises(WriterError, match=r"cannot be reached.*_BASE_URL, then run again to go on"):
        ask_all(name, numbered(4), tmp_path / "j", batches=tmp_path / "s", patience=hasty)
    assert len(provider.rows("batch")) == 1
    provider.change(rate_create_drop=0.0, rate_list_drop=0.0)
    found = ask_all(name, numbered(4), tmp_path / "j", batches=tmp_path / "s")
    assert {reply.stop for reply in found} == {"stop"}
    assert len(provider.rows("batch")) == 1


@pytest.mark.parametrize("name", NAMES[:2])
def test_trouble_while_watching_is_waited_out(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    provider.change(rate_poll_drop=0.7)
    found = ask_all(name, numbered(4), tmp_path / "j", batches=tmp_path / "s")
    assert {reply.stop for reply in found} == {"stop"}
    assert len(provider.rows("batch")) == 1


@pytest.mark.parametrize("name", NAMES[:2])
def test_submits_that_fail_are_repeated(provider: Provider, tmp_path: Path, name: str) -> None:
    provider.change(rate_429=0.3, rate_529=0.2)
    for i in range(4):
        found = ask_all(name, numbered(3, seed=i), tmp_path / "j", batches=tmp_path / "s")
        assert {reply.stop for reply in found} == {"stop"}
    assert len(provider.rows("batch")) == 4


@pytest.mark.parametrize("name", NAMES[:2])
def test_an_intent_without_an_id_is_looked_for(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    ask_all(name, numbered(6), tmp_path / "j", batches=tmp_path / "s")
    book = tmp_path / "s" / "book.jsonl"
    rows = book.read_text().splitlines(keepends=True)
    assert [json.loads(row)["event"] for row in rows] == ["intent", "submitted", "collected"]
    book.write_text(rows[0])  # as if killed between the submit and its answer
    (tmp_path / "s" / "results.jsonl").unlink()
    (tmp_path / "j").unlink()
    found = ask_all(name, numbered(6), tmp_path / "j", batches=tmp_path / "s")
    assert {reply.stop for reply in found} == {"stop"}
    assert len(provider.rows("batch")) == 1


def test_an_intent_that_never_arrived_is_submitted(provider: Provider, tmp_path: Path) -> None:
    ids = [request.id for request in numbered(3)]
    row = {"event": "intent", "key": "0" * 16, "time": 0.0, "ids": ids}
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "book.jsonl").write_text(json.dumps(row) + "\n")
    found = ask_all(NAMES[0], numbered(3), tmp_path / "j", batches=tmp_path / "s")
    assert {reply.stop for reply in found} == {"stop"}
    assert len(provider.rows("batch")) == 1


def test_limits_of_a_batch_are_kept(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnthropicBatches, "max_requests", 4)
    ask_all(NAMES[0], numbered(10), tmp_path / "a", batches=tmp_path / "s")
    assert [len(row["digests"]) for row in provider.rows("batch")] == [4, 4, 2]
    monkeypatch.setattr(AnthropicBatches, "max_requests", 100)
    monkeypatch.setattr(AnthropicBatches, "max_bytes", 30_000)
    ask_all(NAMES[0], numbered(6, seed=1), tmp_path / "b", batches=tmp_path / "s")
    assert [len(row["digests"]) for row in provider.rows("batch")][3:] == [2, 2, 2]


def test_who_has_no_batches_is_told(tmp_path: Path, provider: Provider) -> None:
    with pytest.raises(ConfigError, match="'mockllm/model' has no batches"):
        open_writer("mockllm/model", batches=tmp_path)


def test_a_wrong_key_reaches_all_who_wait(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_BASE_URL", provider.url + "/nowhere")
    with pytest.raises(WriterError, match=r"HTTP 404.*base URL"):
        ask_all(NAMES[2], numbered(5), tmp_path / "j", batches=tmp_path / "s")
    monkeypatch.setenv("LOCAL_BASE_URL", provider.url + "/v1")
    found = ask_all(NAMES[2], numbered(5), tmp_path / "j", batches=tmp_path / "s")
    assert {reply.stop for reply in found} == {"stop"}


def test_one_folder_serves_several_journals(provider: Provider, tmp_path: Path) -> None:
    first = ask_all(NAMES[0], numbered(5), tmp_path / "a", batches=tmp_path / "s")
    again = ask_all(NAMES[0], numbered(5), tmp_path / "b", batches=tmp_path / "s")
    assert first == again
    assert len(provider.rows("batch")) == 1


# -- reading replies -----------------------------------------------------------------------

FLAT = st.none() | st.booleans() | st.integers() | st.text()
MEMBERS = st.dictionaries(st.sampled_from(["type", "text", "message", "content", ""]), FLAT)
JSON = FLAT | MEMBERS | st.lists(FLAT | MEMBERS, max_size=3)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "content": JSON | st.just([{"type": "text", "text": "hi"}]),
        "choices": JSON | st.just([{"finish_reason": "stop", "message": {"content": "hi"}}]),
        "stop_reason": st.sampled_from(["end_turn", "max_tokens", "refusal", "tool_use"]) | JSON,
        "usage": JSON | st.just({"input_tokens": 1, "output_tokens": 2}),
    },
)


@settings(deadline=None)
@given(st.sampled_from(["anthropic", "openai"]), JSON | PARTS)
def test_any_json_is_a_reply_or_a_failure(api: Any, data: Any) -> None:
    try:
        reply = read(api, data, "0" * 16, "m")
    except Failure:
        return
    assert reply.stop in ("error", "length", "refusal") or reply.text.strip()


def test_thoughts_and_refusals_of_a_completion() -> None:
    def completion(**message: Any) -> Reply:
        data = {"choices": [{"finish_reason": "stop", "message": message}]}
        return read("openai", data, "0" * 16, "m")

    assert completion(content="<think>a\nb</think>\nHello").text == "Hello"
    assert completion(content="x <think>y</think>").text == "x <think>y</think>"
    assert completion(content=None, refusal="No.").stop == "refusal"
    assert completion(content="  ").stop == "refusal"
