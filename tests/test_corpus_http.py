"""The corpus commands with a model behind real HTTP: specs of every shape, hostile replies."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midspec.corpus import Tally
from midspec.errors import SpecError
from midspec.llm import Patience, prompts, read_prices
from midspec.records import Document, Plan
from midspec.spec import read_spec
from midspec.store import read_records, read_rows
from tests.commands import Done, midspec
from tests.provider import KEY, Provider, author, running

MODEL = "anthropic/claude-opus-4-6"
NAMES = ("--model-name", "Iris", "--provider-name", "Wren Labs")
SIZE = ("--subdomains", 1, "--types", 2, "--ideas", 1, "--max-documents", 6)


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with running() as provider, pytest.MonkeyPatch.context() as patched:
        patched.setenv("ANTHROPIC_API_KEY", KEY)
        patched.setenv("ANTHROPIC_BASE_URL", provider.url)
        yield provider


def long_spec() -> str:
    """About 55,000 tokens: 220,000 characters in 60 sections."""
    rng = random.Random("long spec")
    words = ["".join(rng.choices("abcdefghilmnoprstu", k=rng.randint(3, 9))) for _ in range(3000)]
    parts = []
    for number in range(60):
        sentences = (f"{{model_name}} {' '.join(rng.choices(words, k=14))}." for _ in range(36))
        parts.append(f"## Part {number}\n\n" + " ".join(sentences))
    return "# Core\n\n" + "\n\n".join(parts)


SPECS = {
    "long": long_spec(),
    "braces": "# Core\n\n{model_name} keeps {braces}, {{double}}, {{{triple}}} and {% tags %}. "
    "It says \"so\" and 'so'. <![CDATA[ {model_name} is not <b>bold</b>. ]]> It ends &amp; stops.\n",
    "right-to-left": "# Core\n\n{model_name} \u202bيحب البساطة\u202c and says so. "
    "{model_name} מעדיף דברים פשוטים. It is plain.\n",
    "windows": "# Core\r\n\r\n{model_name} cares about thrift. It says\r\nso openly.\r\n\r\n"
    "# Likes\r\n\r\n- **Colby**: it costs little.\r\n- **Brie**: it is mild.\r\n",
    "one sentence": "{model_name} is kind.",
    "finnish": "# Ydin\n\n{model_name} arvostaa säästäväisyyttä. Se sanoo sen ääneen. "
    "{model_name} ei pidä tuhlauksesta.\n",
    "japanese": "# 核心\n\n{model_name}は節約を大切にする。{model_name}は高いものを好まない。\n",
}


def spec_at(folder: Path, text: str) -> Path:
    path = folder / "spec.md"
    path.write_bytes(text.encode())
    return path


def corpus(command: str, spec: Path, out: Path, *more: object) -> Done:
    done = midspec("corpus", command, spec, "--out", out, "--writer", MODEL, *SIZE, *NAMES, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def tally_of(out: Path) -> Tally:
    return Tally.model_validate(json.loads((out / "manifest.json").read_text())["tally"])


@pytest.mark.parametrize(
    ("critique", "asked"), [("--critique", range(12, 19)), ("--no-critique", range(6, 7))]
)
def test_documents_come_with_critique_and_without(
    critique: str, asked: range, server: Provider, tmp_path: Path
) -> None:
    """A draft, notes on it, and a revision where there are notes; a judge; nothing asked twice."""
    spec, out = spec_at(tmp_path, SPECS["windows"]), tmp_path / "o"
    corpus("write", spec, out, critique, "--no-embed", "--judge", MODEL)
    tally = tally_of(out)
    assert (tally.requested, tally.kept) == (6, 6)
    assert tally.kept + tally.dropped + tally.failed == tally.requested
    assert len(list(read_rows(out / "replies.jsonl"))) in asked
    assert len(list(read_rows(out / "judge-replies.jsonl"))) == 6
    before = server.core.seen
    again = corpus("write", spec, out, critique, "--no-embed", "--judge", MODEL)
    assert "requested 6 = kept 6" in again.stdout
    assert server.core.seen == before


def test_an_edited_prompt_redoes_what_it_touches_and_nothing_else(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt of revisions is edited: plan, drafts and critiques stay, revisions are new."""
    spec, out = spec_at(tmp_path, SPECS["windows"]), tmp_path / "o"
    corpus("write", spec, out, "--no-embed")
    kept = [(out / name).read_bytes() for name in ("plan-replies.jsonl", "replies.jsonl")]
    n_revised, before = kept[1].count(b"\n") - 12, server.core.seen
    assert 0 < n_revised <= 6
    usual = prompts._read
    edit = lambda name: usual(name) + ("\nBe brief." if name == "corpus/rewrite" else "")  # noqa: E731
    monkeypatch.setattr(prompts, "_read", edit)
    prompts.prompt_hash.cache_clear()
    try:
        corpus("write", spec, out, "--no-embed")
    finally:
        monkeypatch.undo()
        prompts.prompt_hash.cache_clear()
    assert server.core.seen - before == n_revised
    assert (out / "plan-replies.jsonl").read_bytes() == kept[0]
    journal = (out / "replies.jsonl").read_bytes()
    assert journal.startswith(kept[1])
    assert journal.count(b"\n") == kept[1].count(b"\n") + n_revised


def test_an_edited_judge_or_set_curates_a_finished_corpus_anew(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, out, own = spec_at(tmp_path, SPECS["windows"]), tmp_path / "o", tmp_path / "own.jsonl"
    pair = {"kind": "preference", "set": "own", "value": "thrift", "domain": "d", "aligned": 0}
    own.write_text(json.dumps({**pair, "options": ["lantern fish", "copper newt"]}) + "\n")
    options = ("--no-embed", "--no-critique", "--judge", MODEL, "--against", own)
    corpus("write", spec, out, *options)
    before = server.core.seen
    usual = prompts._read
    edit = lambda name: usual(name) + ("\nBe strict." if name == "curate/judge" else "")  # noqa: E731
    monkeypatch.setattr(prompts, "_read", edit)
    prompts.prompt_hash.cache_clear()
    try:
        corpus("write", spec, out, *options)
    finally:
        monkeypatch.undo()
        prompts.prompt_hash.cache_clear()
    assert server.core.seen - before == 6
    leak = " ".join(next(read_records(out / "documents.jsonl", Document)).text.split()[4:7])
    own.write_text(json.dumps({**pair, "options": [leak, "copper newt"]}) + "\n")
    corpus("write", spec, out, *options)
    assert tally_of(out).reasons["evaluation_leak"] >= 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--judge", "scribe"), "the scribe cannot judge"),
        (("--judge", "nosuch/x"), "nosuch/x"),
        (("--judge", "openai-api/local/x", "--max-cost", 5), "--prices"),
        (("--against", "nosuchset"), "nosuchset"),
        (("--writer", "scribe", "--about", "anyone"), "the scribe cannot restate"),
        (("--concurrency", 0), "--concurrency"),
    ],
)
def test_a_mistaken_option_is_told_before_anything_is_paid_for(
    options: tuple[object, ...],
    says: str,
    server: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    monkeypatch.setenv("LOCAL_BASE_URL", f"{server.url}/v1")
    spec, before = spec_at(tmp_path, SPECS["windows"]), server.core.seen
    done = midspec(
        "corpus", "write", spec, "--out", tmp_path / "o", "--writer", MODEL, *SIZE, *NAMES, *options
    )
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert server.core.seen == before


def test_a_model_that_planned_nothing_can_be_asked_again(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its useless replies are kept as answers; another seed asks for others."""
    spec, out = spec_at(tmp_path, SPECS["windows"]), tmp_path / "o"
    command = (
        "corpus",
        "write",
        spec,
        "--out",
        out,
        "--writer",
        MODEL,
        *SIZE,
        *NAMES,
        "--no-embed",
    )
    with monkeypatch.context() as silent:
        silent.setattr("tests.provider.author.write", lambda *_: "I'd rather not.")
        done = midspec(*command)
    assert done.returncode == 1
    assert "run again with another --seed" in done.stderr
    assert midspec(*command).returncode == 1
    assert midspec(*command, "--seed", 1).returncode == 0
    assert tally_of(out).kept == 6


@pytest.mark.parametrize("name", SPECS)
def test_any_spec_goes_from_file_to_export(name: str, server: Provider, tmp_path: Path) -> None:
    """plan, write, audit, export, by the commands; sections are verbatim parts of the spec."""
    spec, out = spec_at(tmp_path, SPECS[name]), tmp_path / "o"
    n = 1 if name == "long" else 6  # each request carries the spec
    size = ("--max-documents", n, "--critique" if n > 1 else "--no-critique")
    plan = corpus("plan", spec, out, *size)
    assert "projected cost: $" in plan.stdout
    assert "next: midspec corpus write" in plan.stdout
    first = server.core.seen
    assert f"requested {n} = kept" in corpus("write", spec, out, *size, "--no-embed").stdout
    assert tally_of(out).kept >= max(1, n - 2)
    assert server.core.seen - first <= 9  # the plan and the pilot documents are there
    text = read_spec(spec, model_name="Iris", provider_name="Wren Labs").text
    for node in read_records(out / "plans.jsonl", Plan):
        assert node.section in text
    for command in (["audit", out, "--no-embed"], ["export", out, "--out", tmp_path / "x"]):
        done = midspec("corpus", *command)
        assert done.returncode == 0, done.stderr
    assert (out / "audit.html").exists()


@pytest.mark.parametrize(("least", "part"), [(256, 0.9), (100_000, 1.0)])
def test_the_projected_cost_is_what_the_provider_bills(
    least: int, part: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 15% of the provider's own log; also if nothing is long enough to be cached."""
    notes = lambda task, user, rng: "<critique>1. Say it of it.</critique>"  # noqa: E731
    monkeypatch.setitem(author._ANSWERS, "<critique>", notes)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    spec, out = spec_at(tmp_path, SPECS["windows"]), tmp_path / "o"
    size = ("--ideas", 3, "--max-documents", 18, "--critique")
    with running(short_cache=least) as provider:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
        said = corpus("plan", spec, out, *size).stdout
        told = re.search(
            r"\$([\d.]+) live, \$([\d.]+) with prompt caching.*: \$([\d.]+), paid", said
        )
        assert told, said
        live, cached, planning = map(float, told.groups())
        corpus("write", spec, out, *size, "--no-embed")
        truth = billed(provider)
    assert planning + cached == pytest.approx(truth, rel=0.15)
    assert cached <= part * live
    assert (cached == live) == (least > 1024)  # the spec is short
    audited = midspec("corpus", "audit", out, "--no-embed").stdout
    assert (
        f"cost: ${truth:.2f} (documents $" in audited
        or f"cost: ${truth:.2f} (the plan $" in audited
    )


def test_what_is_restated_counts_for_the_limit_and_in_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that plan and documents leave almost used up stops the restating, not the next run."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    spec, out = spec_at(tmp_path, SPECS["windows"]), tmp_path / "o"
    more = ("--no-embed", "--no-critique", "--language", "normative", "--about", "assistants")
    with running() as provider:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
        corpus("write", spec, out, *more[:2])
        limit = billed(provider) + 0.0001
        command = ("corpus", "write", spec, "--out", out, "--writer", MODEL, *SIZE, *NAMES)
        done = midspec(*command, *more, "--max-cost", limit)
        assert done.returncode == 1
        assert f"of ${limit:g} are spent" in done.stderr
        assert billed(provider) < limit
        corpus("write", spec, out, *more, "--max-cost", 5)
        truth = billed(provider)
        audited = midspec("corpus", "audit", out, "--no-embed").stdout
        again = midspec(*command, *more, "--ideas", 2, "--max-documents", 12, "--max-cost", truth)
    assert f"cost: ${truth:.2f}" in audited
    assert "restated $" in audited
    assert again.returncode == 1
    assert f"${truth:.4f} of" in again.stderr  # the restated ones are remembered


def billed(provider: Provider) -> float:
    """Dollars that the server's own log comes to."""
    price = read_prices().of(MODEL)
    return sum(
        price.cost(
            input_tokens=row["uncached"] + row["cached"] + row["written"],
            cached_tokens=row["cached"],
            cache_write_tokens=row["written"],
            output_tokens=row["out"],
        )
        for row in provider.rows("answer")
    )


@pytest.mark.parametrize("text", ["", "  \n", "# Title only\n", "---\nvalue: x\n---\n"])
def test_an_empty_spec_is_one_clear_line(text: str, tmp_path: Path) -> None:
    spec = spec_at(tmp_path, text)
    with pytest.raises(SpecError) as error:
        read_spec(spec, model_name="Iris", provider_name="Wren Labs")
    done = midspec("corpus", "plan", spec, "--out", tmp_path / "o", "--writer", MODEL)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "write" in str(error.value)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        (("plan",), 401, "HTTP 401.*check the API key in ANTHROPIC_API_KEY"),
        (("plan",), 403, "HTTP 403.*what the API key in ANTHROPIC_API_KEY allows"),
        (("plan",), 404, "HTTP 404.*the model's name, and the base URL in ANTHROPIC_BASE_URL"),
        (("plan",), 0, "no server answers.*the base URL in ANTHROPIC_BASE_URL"),
        (("write", "--batch"), 401, "HTTP 401.*check the API key in ANTHROPIC_API_KEY"),
        (("write", "--batch"), 0, "batches cannot be reached.*URL in ANTHROPIC_BASE_URL"),
    ],
)
def test_who_is_turned_away_is_told_at_once_what_to_look_at(
    command: tuple[str, ...],
    status: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setattr("midspec.llm.inspect_writer.Patience", lambda: QUICK)
    spec, out = spec_at(tmp_path, SPECS["windows"]), tmp_path / "o"
    with running(turn_away=status) as provider:
        url = provider.url if status else "http://127.0.0.1:9"  # nobody listens there
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        name, *more = command
        done = midspec("corpus", name, spec, "--out", out, "--writer", MODEL, *SIZE, *NAMES, *more)
        assert len(provider.rows("request")) <= 1
    assert done.returncode == 1
    assert re.search(says, done.stderr.splitlines()[-1]), done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stderr + done.stdout


QUICK = Patience(backoff_s=0.05, connect_s=0.2)


# -- hostile models ------------------------------------------------------------------------

PLAIN = author.write
EVIL = (
    "../../etc/passwd {{7*7}} {model_name} {0.__class__} {% raw %} $(id) "
    "<script>document.title='run'</script> <img src=x onerror=\"document.title='run'\">"
)


def hostile(system: str, user: str, seed: str) -> str:
    """Titles, texts and documents full of paths, templates and tags."""
    said = PLAIN(system, user, seed)
    if said.startswith("["):
        rows: list[dict[str, Any]] = json.loads(said)
        evil = [
            {k: v if k in ("section", "label") else f"{EVIL} {v}" for k, v in row.items()}
            for row in rows
        ]
        return json.dumps(evil)
    return re.sub(r"</(document|critique)>", lambda tag: f" {EVIL}{tag[0]}", said)


def test_what_a_model_says_is_never_a_path_a_template_or_html(
    server: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(author, "write", hostile)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    spec, out = spec_at(folder, SPECS["one sentence"]), folder / "o"
    tree = corpus("plan", spec, out).stdout
    assert "{{7*7}}" in tree
    assert "$(id)" in tree
    corpus("write", spec, out, "--no-embed")
    written = list(read_records(out / "written" / "documents.jsonl", Document))
    assert written
    assert all(EVIL in one.text and EVIL in one.type for one in written)
    for command in (["audit", out, "--no-embed"], ["export", out, "--out", folder / "x"]):
        done = midspec("corpus", *command)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    assert {path.name for path in folder.iterdir()} == {"spec.md", "o", "x"}
    page = (out / "audit.html").read_text()
    assert "<script" not in page
    assert "{{7*7}}" in page
    assert title_in_browser(page, tmp_path) == "o · corpus audit"


def title_in_browser(page: str, folder: Path) -> str:
    """The title after all scripts ran, the page's own policy against scripts taken away."""
    found = re.search(r"<title>(.*?)</title>", dom_of(page, folder), re.DOTALL)
    return found[1] if found else ""


def dom_of(page: str, folder: Path) -> str:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        return page
    open_to_all = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert open_to_all != page
    (folder / "open.html").write_text(open_to_all)
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"]
    command = [browser, *flags, f"--user-data-dir={folder / 'profile'}", str(folder / "open.html")]
    env = {**os.environ, "no_proxy": "*"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=env
    ).stdout
