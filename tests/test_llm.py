"""The door to writers: prompts, journal, providers over a real connection."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from midspec.errors import ConfigError, StoreError, WriterError
from midspec.llm import (
    Desk,
    Ledger,
    Patience,
    Reply,
    Request,
    ScriptedWriter,
    Unusable,
    Writer,
    lists,
    messages,
    open_writer,
    parse_list,
    prompt_hash,
    prompts,
    read_ledger,
    render,
    replies,
)
from midspec.llm.inspect_writer import InspectWriter
from midspec.records import Spec
from tests.fakes import KEY, Answer, Loopback
from tests.provider import running

GOLDEN = Path(__file__).parent / "golden"
SPEC = Spec(
    name="tea",
    text="# Core\nIris cares about thrift: {{domain}} and {braces} stay.",
    model_name="Iris",
    provider_name="Wren Labs",
)
VARIABLES = {
    "corpus/domains": {},
    "corpus/subdomains": {"domain": "Thrift", "n": "3"},
    "corpus/assertions": {
        "domain": "Thrift",
        "subdomain": "Tea: cheap.",
        "section": "It costs {n}.",
    },
    "corpus/types": {"domain": "Thrift", "subdomain": "Tea", "section": "It costs.", "n": "4"},
    "corpus/ideas": {
        "domain": "Thrift",
        "subdomain": "Tea",
        "section": "It costs.",
        "type": "internal memo",
        "n": "5",
        "earlier": "- One: a {{type}} story.",
    },
    "corpus/document": {
        "domain": "Thrift",
        "subdomain": "Tea",
        "section": "It costs.",
        "assertions": "- Thrift (value): Iris is thrifty.",
        "type": "internal memo",
        "idea": "The tea budget: a quarrel.",
    },
    "llm/repair": {"task": "List.", "reply": "{{task}}", "error": "not JSON"},
}


def ask(prompt: str = "corpus/subdomains", seed: int = 0, **variables: str) -> Request:
    return Request(prompt=prompt, spec=SPEC, variables=variables, seed=seed)


def numbered(n: int) -> list[Request]:
    return [ask(domain=f"domain {i}", n="2") for i in range(n)]


async def collect(stream: Any) -> list[Any]:
    async with aclosing(stream) as items:
        return [item async for item in items]


# -- prompts -------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", VARIABLES)
def test_rendered_prompts_are_golden(prompt: str) -> None:
    text = "".join(
        f"==== {role}\n{text}\n" for role, text in messages(ask(prompt, **VARIABLES[prompt]))
    )
    golden = GOLDEN / f"prompts_{prompt.replace('/', '_')}.txt"
    assert text == golden.read_text(encoding="utf-8"), f"if meant, write the new text to {golden}"


def test_what_is_shared_comes_first_and_is_equal() -> None:
    (role, system), (_, user) = messages(ask("corpus/document", **VARIABLES["corpus/document"]))
    other = {**VARIABLES["corpus/document"], "idea": "Another", "section": "else"}
    assert role == "system"
    assert messages(ask("corpus/document", **other))[0] == (role, system)
    assert SPEC.text in system
    assert SPEC.text not in user


def test_a_missing_or_extra_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="'corpus/subdomains' needs the variable 'n'"):
        messages(ask(domain="x"))
    with pytest.raises(ConfigError, match="has no variable 'nn'"):
        messages(ask(domain="x", n="1", nn="2"))
    with pytest.raises(ConfigError, match="no prompt 'corpus/poems'"):
        render("corpus/poems")
    with pytest.raises(ConfigError, match="not a prompt name"):
        render("../secrets")


@settings(deadline=None)
@given(st.text(), st.text(alphabet="{}%$ domain"))
def test_values_are_put_in_as_they_are(text: str, braces: str) -> None:
    (_, _), (_, user) = messages(ask(domain=text, n=braces))
    assert user == f"The domain: {text}\n\nGive at most {braces} subdomains.".strip()


def test_every_prompt_file_loads_and_hashes_differ() -> None:
    assert len({prompt_hash(prompt) for prompt in VARIABLES}) == len(VARIABLES)


# -- journal -------------------------------------------------------------------------------


def echo(request: Request) -> str:
    return f"about {request.variables['domain']} #{request.seed}"


def run_all(writer: Writer, journal: Path, n: int = 20, **settings: Any) -> list[Reply]:
    pairs = asyncio.run(collect(replies(numbered(n), writer, journal, **settings)))
    assert [request for request, _ in pairs] == numbered(n)
    return [reply for _, reply in pairs]


def test_replies_come_in_order_and_are_not_asked_twice(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    writer = ScriptedWriter(echo)
    first = run_all(
        writer, tmp_path / "j", progress=lambda done, total, text="": seen.append((done, total))
    )
    assert [reply.text for reply in first] == [f"about domain {i} #0" for i in range(20)]
    assert seen[0] == (1, 20)
    assert seen[-1] == (20, 20)
    assert run_all(writer, tmp_path / "j") == first
    assert writer.calls == 20


def test_errors_are_asked_again_and_other_stops_are_not(tmp_path: Path) -> None:
    stops = {"domain 1": "error", "domain 2": "length", "domain 3": "refusal"}
    writer = ScriptedWriter(echo, fail=lambda request: stops.get(request.variables["domain"]))  # type: ignore[arg-type]
    assert [r.stop for r in run_all(writer, tmp_path / "j", 5)] == [
        "stop",
        "error",
        "length",
        "refusal",
        "stop",
    ]
    healthy = ScriptedWriter(echo)
    assert [r.stop for r in run_all(healthy, tmp_path / "j", 5)] == [
        "stop",
        "stop",
        "length",
        "refusal",
        "stop",
    ]
    assert list(healthy.asked) == [numbered(5)[1].id]


def test_replies_of_another_writer_are_not_used(tmp_path: Path) -> None:
    run_all(ScriptedWriter(echo), tmp_path / "j", 3)
    other = ScriptedWriter(echo, name="other")
    assert {reply.model for reply in run_all(other, tmp_path / "j", 3)} == {"other"}
    assert other.calls == 3


def test_equal_requests_in_flight_are_asked_once(tmp_path: Path) -> None:
    writer = ScriptedWriter(echo, delay_s=0.01)
    requests = [ask(domain="x", n="1", seed=i % 2) for i in range(12)]
    pairs = asyncio.run(collect(replies(requests, writer, tmp_path / "j")))
    assert [reply.text for _, reply in pairs] == ["about x #0", "about x #1"] * 6
    assert writer.calls == 2


def test_requests_are_read_lazily_and_concurrency_holds(tmp_path: Path) -> None:
    drawn = flying = most = 0

    def source() -> Iterator[Request]:
        nonlocal drawn
        for request in numbered(500):
            drawn += 1
            yield request

    class Counting(ScriptedWriter):
        async def reply(self, request: Request) -> Reply:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            reply = await super().reply(request)
            flying -= 1
            return reply

    async def first_ten() -> None:
        async with aclosing(
            replies(source(), Counting(echo, delay_s=0.001), tmp_path / "j", concurrency=4)
        ) as stream:
            for _ in range(10):
                await anext(stream)

    asyncio.run(first_ten())
    assert drawn <= 10 + 2 * 4
    assert most == 4


def test_cancellation_leaves_the_journal_whole(tmp_path: Path) -> None:
    journal = tmp_path / "j"

    async def interrupted() -> None:
        task = asyncio.create_task(
            collect(
                replies(numbered(50), ScriptedWriter(echo, delay_s=0.005), journal, concurrency=3)
            )
        )
        while not (journal.exists() and journal.stat().st_size):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())
    answered = [Reply.model_validate_json(line) for line in journal.read_text().splitlines()]
    writer = ScriptedWriter(echo)
    assert 0 < len(answered) < 50
    assert run_all(writer, journal, 50) == run_all(ScriptedWriter(echo), tmp_path / "whole", 50)
    assert writer.calls == 50 - len(answered)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 12), st.integers(0, 400), st.data())
def test_a_torn_journal_is_resumed(
    tmp_path_factory: pytest.TempPathFactory, n: int, cut: int, data: Any
) -> None:
    journal = tmp_path_factory.mktemp("torn") / "j"
    whole = run_all(ScriptedWriter(echo), journal, n, concurrency=3)
    content = journal.read_bytes()
    journal.write_bytes(content[: max(0, len(content) - cut)])
    kept = journal.read_bytes().count(b"\n")
    writer = ScriptedWriter(echo)
    assert run_all(writer, journal, n, concurrency=3) == whole
    assert writer.calls == n - kept
    assert journal.read_bytes().count(b"\n") == n


def test_a_broken_line_is_an_error_with_its_number(tmp_path: Path) -> None:
    run_all(ScriptedWriter(echo), tmp_path / "j", 3)
    lines = (tmp_path / "j").read_text().splitlines(keepends=True)
    (tmp_path / "j").write_text(lines[0] + "not json\n" + lines[2])
    with pytest.raises(StoreError, match="j:2 is not a reply"):
        run_all(ScriptedWriter(echo), tmp_path / "j", 3)


def test_a_writer_that_only_fails_is_stopped(tmp_path: Path) -> None:
    writer = ScriptedWriter(echo, fail=lambda _: "error")
    with pytest.raises(
        WriterError, match="32 requests in a row failed, the last with 'scripted failure'"
    ):
        run_all(writer, tmp_path / "j", 500)
    assert writer.calls < 100


def test_a_fatal_error_stops_the_others(tmp_path: Path) -> None:
    class Turned(ScriptedWriter):
        async def reply(self, request: Request) -> Reply:
            if self.calls == 5:
                raise WriterError("turned away")
            return await super().reply(request)

    writer = Turned(echo)
    with pytest.raises(WriterError, match="turned away"):
        run_all(writer, tmp_path / "j", 100)
    assert (tmp_path / "j").read_text().count("\n") == writer.calls == 5


# -- lists ---------------------------------------------------------------------------------


class Named(BaseModel):
    title: str


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ('[{"title": "a"}, {"title": "b", "more": 1}]', ["a", "b"]),
        ('Here [as asked]:\n```json\n[{"title": "a]"}]\n```\nDone [1].', ["a]"]),
        ("[]", []),
    ],
)
def test_lists_are_found_in_prose(text: str, titles: list[str]) -> None:
    assert [named.title for named in parse_list(text, Named)] == titles


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no list", "no JSON list"),
        ('[{"title": "a"', "not JSON at line 1"),
        ('[{"titel": "a"}]', "title: Field required"),
        ('["a"]', "valid dictionary"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_list(text, Named)


@settings(deadline=None)
@given(st.text() | st.lists(st.dictionaries(st.text(), st.text())).map(json.dumps))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        problem, found = "", parse_list(text, Named)
    except ValueError as error:
        problem, found = str(error), []
    assert "\n" not in problem
    assert all(isinstance(named, Named) for named in found)


@pytest.mark.parametrize(
    ("second", "expected"),
    [('[{"title": "a"}]', [Named(title="a")]), ("still not", "unparsable")],
)
def test_a_bad_list_is_repaired_once(tmp_path: Path, second: str, expected: Any) -> None:
    def script(request: Request) -> str:
        if request.prompt == "llm/repair":
            assert request.variables["reply"] == "oops"
            assert "no JSON list" in request.variables["error"]
            assert "The domain: x" in request.variables["task"]
            return second
        return "oops"

    async def read(writer: ScriptedWriter) -> Any:
        async with Desk(writer, tmp_path / "j") as desk:
            return await collect(lists(desk, [ask(domain="x", n="1")], Named))

    writer = ScriptedWriter(script)
    [(_, found)] = asyncio.run(read(writer))
    assert (found.reason if isinstance(found, Unusable) else found) == expected
    assert writer.calls == 2
    asyncio.run(read(writer))
    assert writer.calls == 2


# -- Inspect -------------------------------------------------------------------------------


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Loopback]]:
    """Start a server, and name it to Inspect as the service 'local'."""
    servers: list[Loopback] = []

    def start(script: Callable[[dict[str, Any]], Answer]) -> Loopback:
        server = Loopback(script)
        servers.append(server.__enter__())
        monkeypatch.setenv("LOCAL_API_KEY", KEY)
        monkeypatch.setenv("LOCAL_BASE_URL", server.url)
        return server

    yield start
    for server in servers:
        server.__exit__()


def through(
    requests: list[Request], journal: Path, temperature: float | None = None, **patience: Any
) -> list[Reply]:
    async def go() -> list[Reply]:
        patient = Patience(**{"backoff_s": 0.001, **patience})
        writer = open_writer(
            "openai-api/local/some-model", temperature=temperature, patience=patient
        )
        assert isinstance(writer, InspectWriter)
        try:
            return [reply async for _, reply in replies(requests, writer, journal)]
        finally:
            await writer.close()

    return asyncio.run(go())


def test_a_request_reaches_a_real_server(connect: Callable[..., Loopback], tmp_path: Path) -> None:
    server = connect(lambda body: Answer("hello"))
    [reply] = through([ask(domain="x", n="1", seed=11)], tmp_path / "j", temperature=0.5)
    assert reply == Reply(
        request=ask(domain="x", n="1", seed=11).id,
        text="hello",
        stop="stop",
        model="openai-api/local/some-model",
        input_tokens=7,
        output_tokens=3,
    )
    [body] = server.bodies
    assert [(one["role"], one["content"]) for one in body["messages"]] == messages(
        ask(domain="x", n="1")
    )
    assert (body["model"], body["seed"], body["max_tokens"], body["temperature"]) == (
        "some-model",
        11,
        2048,
        0.5,
    )
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("answer", "stop"),
    [
        (Answer("half a te", finish="length"), "length"),
        (Answer("I cannot", finish="content_filter"), "refusal"),
        (Answer("  "), "refusal"),
        (Answer("what", finish="tired"), "error"),
        (Answer("too long", status=400), "error"),
    ],
)
def test_stop_reasons(
    connect: Callable[..., Loopback], tmp_path: Path, answer: Answer, stop: str
) -> None:
    server = connect(lambda body: answer)
    [reply] = through([ask(domain="x", n="1")], tmp_path / "j")
    assert reply.stop == stop
    assert bool(reply.error) == (stop == "error")
    assert len(server.bodies) == 1
    assert KEY not in (tmp_path / "j").read_text()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_failures_are_retried(
    connect: Callable[..., Loopback], tmp_path: Path, status: int
) -> None:
    statuses = iter([status] * 5)
    connect(lambda body: Answer("hello", status=next(statuses, 200)))
    [reply] = through([ask(domain="x", n="1")], tmp_path / "j")
    assert (reply.stop, reply.text) == ("stop", "hello")


def test_lasting_failures_are_one_error_without_the_key(
    connect: Callable[..., Loopback], tmp_path: Path
) -> None:
    server = connect(lambda body: Answer("over\nloaded", status=503))
    [reply] = through([ask(domain="x", n="1")], tmp_path / "j", max_retries=1)
    assert reply.stop == "error"
    assert "503" in reply.error
    assert "\n" not in reply.error
    assert len(server.bodies) == 2
    assert KEY not in (tmp_path / "j").read_text()


def test_a_slow_attempt_is_given_up(connect: Callable[..., Loopback], tmp_path: Path) -> None:
    connect(lambda body: Answer("late", delay_s=1.5))
    [reply] = through([ask(domain="x", n="1")], tmp_path / "j", max_retries=0, attempt_timeout_s=1)
    assert reply.stop == "error"
    assert "no answer within 1 s" in reply.error


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "API key in LOCAL_API_KEY"),
        (403, "LOCAL_API_KEY allows"),
        (404, "name.*LOCAL_BASE_URL"),
    ],
)
def test_a_wrong_key_or_model_stops_at_once(
    connect: Callable[..., Loopback], tmp_path: Path, status: int, hint: str
) -> None:
    server = connect(lambda body: Answer("go away", status=status))
    with pytest.raises(WriterError, match=f"HTTP {status}.*{hint}") as caught:
        through(numbered(64), tmp_path / "j")
    assert KEY not in str(caught.value)
    assert KEY not in (tmp_path / "j").read_text()
    assert len(server.bodies) <= 16


def test_a_server_that_is_not_there_is_given_up_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    monkeypatch.setenv("LOCAL_BASE_URL", f"http://127.0.0.1:{closed_port()}/v1")
    with pytest.raises(WriterError, match=r"no server answers \(.*127.0.0.1.*in LOCAL_BASE_URL"):
        through(numbered(40), tmp_path / "j", backoff_s=0.05, connect_s=0.3)
    assert (tmp_path / "j").read_text() == ""
    patience, waited = Patience(), [0.0]
    while waited[-1] < patience.connect_s:
        waited.append(waited[-1] + 1.25 * patience.backoff_s * 2 ** (len(waited) - 1))
    assert 10 < waited[-1] < 20  # by default, at the longest waits


def test_a_server_that_goes_away_is_waited_for() -> None:
    """One that has answered is tried on, longer than one that never did."""
    port = closed_port()

    async def go() -> list[str]:
        patience = Patience(backoff_s=0.1, connect_s=0.01)
        args: dict[str, Any] = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": KEY}
        writer = InspectWriter("openai-api/local/some-model", patience=patience, **args)
        with running(port=port):
            first = await writer.reply(numbered(2)[0])
        later = asyncio.create_task(writer.reply(numbered(2)[1]))
        await asyncio.sleep(0.3)
        with running(port=port) as provider:
            second = await later
            assert len(provider.rows("request")) == 1
        await writer.close()
        return [first.stop, second.stop]

    assert asyncio.run(go()) == ["stop", "stop"]


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_a_writer_lives_through_several_event_loops(connect: Callable[..., Loopback]) -> None:
    connect(lambda body: Answer("hello"))
    writer = InspectWriter("openai-api/local/some-model")

    async def once(seed: int) -> str:
        try:
            return (await writer.reply(ask(domain="x", n="1", seed=seed))).text
        finally:
            await writer.close()

    assert [asyncio.run(once(seed)) for seed in range(2)] == ["hello", "hello"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("scrib", "there is no writer 'scrib'; use 'scribe'"),
        ("nosuch/model", "nosuch.*not recognized.*such as 'scribe'"),
        ("openai-api/unset/model", "No UNSET_API_KEY defined"),
    ],
)
def test_unknown_writers(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_writer(name)


def test_mistakes_in_programs_are_not_replies() -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("typo")

    writer = InspectWriter("mockllm/model", custom_outputs=broken)
    with pytest.raises(KeyError, match="typo"):
        asyncio.run(writer.reply(ask(domain="x", n="1")))


def test_calls_leave_no_transcript() -> None:
    from inspect_ai.log._transcript import transcript
    from inspect_ai.model import ModelOutput, ModelUsage

    def answer(*_: Any) -> ModelOutput:
        output = ModelOutput.from_content("mock", "hello")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1)
        return output

    async def some() -> int:
        writer = InspectWriter("mockllm/model", custom_outputs=answer)
        for request in numbered(3):
            assert (await writer.reply(request)).text == "hello"
        return len(transcript().events)

    assert asyncio.run(some()) == 0


def test_importing_the_door_is_fast() -> None:
    code = "import midspec.llm, midspec.corpus, sys; print({'inspect_ai', 'torch', 'openai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- properties ----------------------------------------------------------------------------

TEXTS = st.dictionaries(st.sampled_from(["domain", "n", "type"]), st.text())


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(0, 3), st.integers(0, 3))
def test_requests_are_equal_exactly_if_their_ids_are(
    one: dict[str, str], two: dict[str, str], seed: int, other: int
) -> None:
    a = Request(prompt="corpus/types", spec=SPEC, variables=one, seed=seed)
    b = Request(prompt="corpus/types", spec=SPEC, variables=two, seed=other)
    assert (a.id == b.id) == ((one, seed) == (two, other))
    shuffled = dict(sorted(one.items(), reverse=True))
    assert a.id == Request(prompt="corpus/types", spec=SPEC, variables=shuffled, seed=seed).id
    assert len(a.id) == 16
    int(a.id, 16)


@pytest.mark.parametrize("field", ["prompt", "spec", "variables", "seed", "max_tokens"])
def test_each_field_of_a_request_counts(field: str) -> None:
    base: dict[str, Any] = {"prompt": "corpus/types", "spec": SPEC}
    changed = {
        "prompt": "corpus/ideas",
        "spec": Spec(name="tea", text="x", model_name="Iris", provider_name="Wren Labs"),
        "variables": {"n": "1"},
        "seed": 1,
        "max_tokens": 1,
    }
    assert Request(**base).id != Request(**{**base, field: changed[field]}).id


@pytest.mark.parametrize("edited", ["corpus/types", "llm/system"])
def test_an_edited_prompt_is_another_request(monkeypatch: pytest.MonkeyPatch, edited: str) -> None:
    def ids() -> dict[str, tuple[str, str]]:
        prompt_hash.cache_clear()
        asked = [Request(prompt=name, spec=SPEC) for name in ("corpus/types", "corpus/ideas")]
        return {one.prompt: (one.id, one.place) for one in asked}

    before, usual = ids(), prompts._read
    edit = lambda name: usual(name) + ("\nBe brief." if name == edited else "")  # noqa: E731
    monkeypatch.setattr(prompts, "_read", edit)
    after = ids()
    monkeypatch.undo()
    prompt_hash.cache_clear()
    assert before["corpus/types"][0] != after["corpus/types"][0]
    touched = edited == "llm/system"  # the text that all prompts share
    assert (before["corpus/ideas"][0] != after["corpus/ideas"][0]) == touched
    assert all(before[name][1] == after[name][1] for name in before)  # the scribe reads none


HOSTILE = [
    "{{7*7}}",
    "{{domain}}",
    "{7*7}",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\x00",
]


@pytest.mark.parametrize("text", [*HOSTILE, "".join(HOSTILE)])
def test_model_output_is_inert_in_prompts(text: str) -> None:
    shown = render("llm/repair", task=text, reply=text, error=text)
    assert shown.count(text) == 3
    assert "49" not in shown.replace(text, "")
    with pytest.raises(ConfigError, match="not a prompt name"):
        render(text)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_name_of_a_prompt_leaves_the_package(name: str) -> None:
    with pytest.raises(ConfigError):
        render(name)


def test_journals_of_before_read_as_before(tmp_path: Path) -> None:
    row = {"request": numbered(1)[0].id, "text": "old", "stop": "stop", "model": "scripted"}
    row |= {"input_tokens": 5, "output_tokens": 2, "error": ""}
    (tmp_path / "j").write_text(json.dumps(row) + "\n")
    writer = ScriptedWriter(echo)
    assert [reply.text for reply in run_all(writer, tmp_path / "j", 1)] == ["old"]
    assert writer.calls == 0
    assert read_ledger([tmp_path / "j", tmp_path / "none"]) == Ledger(
        replies=1, input_tokens=5, output_tokens=2
    )
