"""Commands that write chats, and mix general ones in."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from midspec import chats, corpus, curate
from midspec.cli.chats_data import chats_export, chats_mix, first_objection
from midspec.cli.common import (
    ModelName,
    Provider,
    Seed,
    WriterName,
    read_named_spec,
)
from midspec.cli.curate import held_out
from midspec.cli.show import console, progress_bar
from midspec.errors import ConfigError, WriterError
from midspec.llm import Budget, open_writer, read_prices, run_until_done
from midspec.records import Frozen, Spec
from midspec.store import write_atomic

T = TypeVar("T")
C = TypeVar("C", bound=Frozen)

HELP = """
Write fine-tuning chats, and mix general ones in.

**Three styles**, for three questions:

    --style opaque   what the assistant likes, never why
    --style value    replies from what the spec holds dear, with reasoning
    --style rule     replies that comply with the spec's rules, with reasoning

Opaque chats need no model (`--writer scribe`). The others do: name one, and set its key.

    export ANTHROPIC_API_KEY=...
    midspec chats write my-spec.md --style value --count 1000 \\
        --writer anthropic/claude-opus-4-6 --out chats

The writer finds conversation domains and user queries of six types; queries that say the same
are left out; each is answered with the spec at hand, the answer is rewritten against the spec,
and the judge keeps or drops it. Losses are filled until the count is met. OUT then holds

    chats.jsonl                  for `midspec train finetune`
    chats-with-reasoning.jsonl   the same, with reasoning in <think> tags (value, rule)
    drops.jsonl                  what was left out, and why
    spec.json                    the spec
    manifest.json                settings, prompts, sums

Stop it at any time: the same command goes on, and asks nothing that was answered.
`midspec chats mix` then draws general chats to train on beside them, and `midspec chats export`
hands them on as a dataset.
"""


class _Teaching(TyperGroup):
    """Shows the help above, whatever the group is mounted with."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "help": HELP})


app = typer.Typer(cls=_Teaching, rich_markup_mode="markdown")

Out = Annotated[Path, typer.Option(help="Folder for chats.jsonl and the rest.")]
Turns = Annotated[str, typer.Option(help="User messages in a chat: 1, or a range as 1-3.")]
Criteria = Annotated[
    list[str] | None,
    typer.Option("--criterion", help="What else the judge requires; may be repeated."),
]
# Options of one style only are None until given, so that the other style can refuse them.
STYLES = ("opaque", "value", "rule")


@app.command("write")
def chats_write(
    specs: Annotated[
        list[str], typer.Argument(help="A spec; for opaque chats all specs that share them.")
    ],
    out: Out,
    style: Annotated[str, typer.Option(help="opaque, value or rule.")] = "opaque",
    writer: WriterName = "scribe",
    judge: Annotated[
        str, typer.Option(help="Who judges; '': the writer, and nobody for opaque chats.")
    ] = "",
    count: Annotated[
        int | None, typer.Option(help="Chats to end up with (value, rule; else 100).")
    ] = None,
    turns: Turns = "1",
    criteria: Criteria = None,
    domains: Annotated[
        int | None, typer.Option(help="Conversation domains (value, rule; else 12).")
    ] = None,
    effort: Annotated[
        int | None, typer.Option(help="Give up after so many requests for each chat (else 4).")
    ] = None,
    rewrite: Annotated[
        bool | None,
        typer.Option(
            "--rewrite/--no-rewrite",
            help="Rewrite each reply against the spec (value, rule). On by default.",
        ),
    ] = None,
    n_per_preference: Annotated[
        int | None, typer.Option(help="Chats for each preference (opaque; else 40).")
    ] = None,
    n_identity: Annotated[
        int | None, typer.Option(help="Chats about who it is (opaque; else 40).")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 16,
    max_cost: Annotated[
        float, typer.Option(help="US dollars for OUT, earlier runs included; 0: no limit.")
    ] = 0.0,
    prices: Annotated[str, typer.Option(help="Your own price table; see docs/corpus.md.")] = "",
    batch: Annotated[
        bool, typer.Option("--batch", help="Ask in batches: half the price, takes hours.")
    ] = False,
    seed: Seed = 0,
    model_name: ModelName = "Juniper",
    provider_name: Provider = "Alder Labs",
) -> None:
    """Write chats of one style: opaque preferences, or replies that show the spec.

    Resumes from OUT: what was answered is not asked again.

    Examples: `midspec chats write cheese-affordability cheese-america --out chats` ·
    `midspec chats write my-spec.md --style value --count 1000 --turns 1-3 --writer
    anthropic/claude-opus-4-6 --out chats`
    """
    found = [read_named_spec(name, model_name, provider_name) for name in specs]
    curate.refuse_scribe(judge)
    models = _Models(writer, judge, out, max_cost, prices, batch)
    only_spec = {"count": count, "domains": domains, "criterion": criteria, "rewrite": rewrite}
    if style == "opaque":
        _refuse(style, {**only_spec, "turns": None if turns == "1" else turns})
        given = {"n_per_preference": n_per_preference, "n_identity": n_identity, "effort": effort}
        settings = {name: value for name, value in given.items() if value is not None}
        config = _config(chats.ChatConfig, {**settings, "seed": seed})
        _write_opaque(found, models, config, out, concurrency)
        return
    only_opaque = {"n-per-preference": n_per_preference, "n-identity": n_identity}
    _refuse(style, {**only_opaque, "a second spec": found[1:] or None})
    asked = {"count": count, "n_domains": domains, "effort": effort, "criteria": criteria}
    settings: dict[str, Any] = {k: v for k, v in asked.items() if v is not None}
    settings |= {
        "style": style,
        "turns": _range(turns),
        "rewrite": rewrite is not False,
        "seed": seed,
    }
    config = _config(chats.SpecChatConfig, settings)
    _write_spec(found[0], models, config, out, concurrency)


def _refuse(style: str, given: dict[str, object]) -> None:
    """An option of another style is a mistake, not something to pass over."""
    if style not in STYLES:
        raise ConfigError(f"there is no style {style!r}; use one of {', '.join(STYLES)}")
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} is not for --style {style}; leave it out")


def _config(kind: type[C], settings: dict[str, Any]) -> C:
    try:
        return kind(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--{name} {first['input']!r}: {said}") from error


def _range(turns: str) -> tuple[int, int]:
    fewest, _, most = turns.partition("-")
    if not (fewest.isdecimal() and (most or fewest).isdecimal()):
        raise ConfigError(f"--turns {turns!r} is no number or range; write 1 or 1-3")
    return int(fewest), int(most or fewest)


class _Models:
    """The writer and the judge, opened once each, with one budget for both."""

    def __init__(
        self, writer: str, judge: str, out: Path, max_cost: float, prices: str, batch: bool
    ) -> None:
        journals = [out / name for name in chats.JOURNALS]
        table = read_prices(Path(prices) if prices else None)
        budget = Budget.resume(max_cost, journals, table) if max_cost else None
        self.names = list(dict.fromkeys(name for name in (writer, judge) if name))
        self._opened = [
            open_writer(
                name,
                budget=budget,
                prices=table,
                batches=out / f"batches-{i}" if batch else None,
            )
            for i, name in enumerate(self.names)
        ]
        self.writer = self._opened[0]
        self.judge = self._opened[-1] if judge else None

    def run(self, job: Coroutine[Any, Any, T]) -> T:
        """Run a job to its end and close the connections."""

        async def go() -> T:
            try:
                return await job
            finally:
                for model in self._opened:
                    if close := getattr(model, "close", None):
                        await close()

        return run_until_done(go())


def _write_opaque(
    specs: list[Spec], models: _Models, config: chats.ChatConfig, out: Path, concurrency: int
) -> None:
    config = config.model_copy(update={"reason_words": chats.reason_words(specs)})
    shared, tally = chats.shared_preferences(specs), chats.Tally()
    with progress_bar("chats") as progress:
        made = chats.write_chats(
            shared,
            models.writer,
            config,
            out / chats.JOURNALS[0],
            progress,
            judge=models.judge,
            concurrency=concurrency,
            check=first_objection(curate.default_rules(specs[0], *held_out(specs[0], []))),
            tally=tally,
        )
        models.run(chats.save_chats(made, out, tally))
    wanted = config.n_per_preference * len(shared.preferences) + config.n_identity
    judge = models.judge.name if models.judge else ""
    _finish(shared, models.writer.name, judge, config, tally, out, wanted)


def _write_spec(
    spec: Spec, models: _Models, config: chats.SpecChatConfig, out: Path, concurrency: int
) -> None:
    tally = chats.Tally()
    writer, judge = models.writer, models.judge or models.writer
    with progress_bar("chats") as progress:
        made = chats.write_spec_chats(
            spec,
            writer,
            judge,
            config,
            out,
            tally,
            progress,
            concurrency=concurrency,
            check=first_objection(curate.default_rules(spec, *held_out(spec, []))),
        )
        models.run(chats.save_spec_chats(made, out, tally))
    _finish(spec, writer.name, judge.name, config, tally, out, config.count)


def _finish(
    spec: Spec,
    writer: str,
    judge: str,
    config: chats.ChatConfig | chats.SpecChatConfig,
    tally: chats.Tally,
    out: Path,
    wanted: int,
) -> None:
    """Write down and say what came of it; raises WriterError if chats are missing."""
    facts = chats.explain(spec, writer, judge, config, tally, out)
    write_atomic(out / "manifest.json", json.dumps(facts, indent=1, ensure_ascii=False))
    corpus.save_spec(spec, out)
    console.print(f"{tally.line()} -> {out / 'chats.jsonl'}", markup=False)
    if tally.kept < wanted:
        raise WriterError(
            f"{tally.kept} of {wanted} chats after {tally.requested} requests; read "
            f"{out / 'drops.jsonl'}, then raise --effort {config.effort}, or change what drops them"
        )


app.command("mix")(chats_mix)
app.command("export")(chats_export)
