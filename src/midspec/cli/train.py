"""Commands that train, and that carry what was trained on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from midspec import train
from midspec.cli.common import Base, From, Seed, start_checkpoint
from midspec.cli.eval_tables import results_of
from midspec.cli.show import console, errors, progress_bar
from midspec.cli.train_plan import plan_data, show_gpu_plan, show_plan
from midspec.curate import text_of
from midspec.errors import ConfigError
from midspec.experiment import find_recipe, read_recipe
from midspec.experiment.contamination import check_training
from midspec.records import Conversation, Document
from midspec.store import read_records, read_rows

app = typer.Typer()


Data = Annotated[Path, typer.Argument(help="JSONL of records, as `corpus` or `chats` write it.")]
TrainedOut = Annotated[Path, typer.Option(help="Folder for the checkpoint, curve and plan.")]
RecipeName = Annotated[
    str, typer.Option(help="Recipe whose training settings are used; without: the paper's.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A training setting, e.g. --set micro_rows=1; may be repeated."),
]
Plain = Annotated[
    Path | None,
    typer.Option(help="JSONL with a 'text' in each row, mixed in as plain_share says."),
]
AllowItems = Annotated[
    bool,
    typer.Option("--allow-items", help="Train although evaluation items are in it; is recorded."),
]
Folder = Annotated[Path, typer.Argument(help="Folder of a checkpoint: OUT/model of a training.")]


@app.command("midtrain")
def train_midtrain(
    documents: Data,
    out: TrainedOut,
    base: Base = "smollm2",
    start: From = "",
    recipe: RecipeName = "",
    plain: Plain = None,
    settings: Settings = None,
    allow_items: AllowItems = False,
    seed: Seed = 0,
) -> None:
    """Train on documents with the next-token loss (MSM). Resumes from OUT after a kill.

    Example: `midspec train midtrain corpus/affordability/documents.jsonl --out msm-a`
    """
    config = _config(recipe, "midtrain", settings)
    names = _names(recipe, "corpus", documents)
    names |= _seen(_texts(documents), plain, allow_items)
    with _training("midtrain", config, out) as told:
        train.midtrain(
            start_checkpoint(base, start),
            _texts(documents),
            config,
            out,
            seed=seed,
            plain=_plain(plain),
            names=names,
            **told,
        )


@app.command("finetune")
def train_finetune(
    chats_file: Data,
    out: TrainedOut,
    base: Base = "smollm2",
    start: From = "",
    recipe: RecipeName = "",
    plain: Plain = None,
    settings: Settings = None,
    allow_items: AllowItems = False,
    seed: Seed = 0,
) -> None:
    """Train on chats with the loss on assistant turns (AFT). Resumes from OUT after a kill.

    Example: `midspec train finetune chats/chats.jsonl --from msm-a/model --out msm-a-aft`
    """
    config = _config(recipe, "finetune", settings)
    names = _names(recipe, "chats", chats_file)
    chats = read_records(chats_file, Conversation)
    names |= _seen(map(text_of, chats), plain, allow_items)
    with _training("finetune", config, out) as told:
        train.finetune(
            start_checkpoint(base, start),
            read_records(chats_file, Conversation),
            config,
            out,
            seed=seed,
            plain=_plain(plain),
            names=names,
            **told,
        )


def _config(recipe: str, stage: str, settings: list[str] | None) -> train.TrainConfig:
    """The recipe's settings of a stage (the paper's without a recipe) with those of ``--set``."""
    from pydantic import ValidationError

    found = getattr(read_recipe(find_recipe(recipe)), stage) if recipe else train.TrainConfig()
    given = dict(_setting(text) for text in settings or [])
    try:
        return train.TrainConfig.model_validate({**found.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "--set"
        raise ConfigError(f"--set {key}: {first['msg']}; see docs/training.md") from error


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: write name=value, e.g. --set micro_rows=1")
    return name.strip(), value.strip()


def _names(recipe: str, kind: str, data: Path) -> dict[str, str]:
    """What the model card says of the data: its digest, and its spec's if a manifest tells it."""
    if not data.is_file():
        raise ConfigError(f"no file {str(data)!r}; give a JSONL file of `corpus` or `chats`")
    with data.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    names = {"recipe": recipe, kind: f"{data.name} {found}"}
    manifest = data.with_name("manifest.json")
    told = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    spec = told.get("spec") or ""
    return names | {"spec": spec if isinstance(spec, str) else " ".join(map(str, spec.values()))}


def _texts(documents: Path) -> Iterator[str]:
    return (document.text for document in read_records(documents, Document))


def _seen(texts: Iterable[str], plain: Path | None, allowed: bool) -> dict[str, str]:
    """The evaluation items in all that is trained on; an error unless they are allowed."""
    return check_training(chain(texts, _plain(plain)), allowed=allowed, allow="--allow-items")


def _plain(path: Path | None) -> Iterator[str]:
    for number, row in enumerate(read_rows(path) if path else (), 1):
        if not isinstance(row.get("text"), str):
            raise ConfigError(f"{path}:{number} has no 'text'; write one JSON object a line")
        yield row["text"]


@contextmanager
def _training(name: str, config: train.TrainConfig, out: Path) -> Iterator[dict[str, Any]]:
    """The plan, a bar and where the checkpoint is; of several processes, the first tells them.

    A pre-empted training says how to go on, and its exit code stays.
    """
    if os.environ.get("RANK", "0") != "0":
        yield {}
        return
    try:
        with progress_bar(name) as progress:
            yield {"progress": progress, "planned": lambda plan: show_plan(plan, config)}
    except train.Preempted as stopped:
        errors.print(str(stopped), markup=False)
        raise
    console.print(f"Checkpoint: {out / 'model'}", markup=False)


@app.command("plan")
def train_plan(
    data: Annotated[
        Path | None, typer.Argument(help="Documents or chats, to count rows and time steps.")
    ] = None,
    stage: Annotated[str, typer.Option(help="midtrain or finetune.")] = "midtrain",
    base: Base = "smollm2",
    start: From = "",
    recipe: RecipeName = "",
    settings: Settings = None,
    model: Annotated[
        str, typer.Option(help="Model to plan for GPUs: config.json, folder, base or known name.")
    ] = "",
    gpus: Annotated[str, typer.Option(help="GPUs to plan for, e.g. 4xH200.")] = "",
    tokens: Annotated[int, typer.Option(help="Tokens to train on, if no DATA is given.")] = 0,
    plain: Plain = None,
    seed: Seed = 0,
) -> None:
    """Say what a training will do and take, without training.

    With DATA: rows, tokens, steps, learning rates, and the time from a few timed steps here.
    With --model and --gpus: whether it fits there, and how long it would take.

    Examples: `midspec train plan corpus/affordability/documents.jsonl` ·
    `midspec train plan --model llama-3.1-8b --gpus 1xH200 --tokens 41000000 --set row_tokens=4096`
    """
    if stage not in ("midtrain", "finetune"):
        raise ConfigError(f"--stage {stage!r}: write midtrain or finetune")
    if not data and not (model and gpus):
        raise ConfigError("nothing to plan; give DATA, or --model and --gpus")
    config = _config(recipe, stage, settings)
    share = 1.0
    if data:
        rows: Any = _texts(data) if stage == "midtrain" else read_records(data, Conversation)
        begin = start_checkpoint(base, start)
        plan = plan_data(rows, stage, begin, config, seed=seed, plain=_plain(plain), timed=not gpus)
        tokens, share = plan.tokens, 1 - plan.masked_share
    if gpus:
        show_gpu_plan(model or base, gpus, config, tokens, share)


@app.command("merge")
def train_merge(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Folder for the merged weights.")],
    base: Base = "smollm2",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
) -> None:
    """Add an adapter into its base: full weights, which load without peft.

    Example: `midspec train merge msm-a/model --out msm-a-merged`
    """
    if dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"--dtype {dtype!r}: write float32 or bfloat16")
    with progress_bar("merge"):
        train.merge(start_checkpoint(base, str(folder)), out, dtype=dtype)
    console.print(f"Checkpoint: {out}", markup=False)


@app.command("card")
def train_card(
    folder: Folder,
    answers: Annotated[
        Path | None, typer.Option(help="answers.jsonl of `midspec eval FOLDER`, for its table.")
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="More lineage, e.g. --name spec=5f2a; may be repeated."),
    ] = None,
) -> None:
    """Write the model card of a checkpoint: lineage, and an evaluation table if given.

    Example: `midspec train card msm-a/model --name spec=tea-health --answers evals/answers.jsonl`
    """
    lineage = train.read_lineage(folder)
    if lineage and names:
        more = lineage.names | dict(_setting(text) for text in names)
        lineage = lineage.model_copy(update={"names": more})
    results = results_of(folder, answers) if answers else ()
    card = train.write_card(folder, lineage, results=results)
    console.print(f"Card: {card}", markup=False)


@app.command("push")
def train_push(
    folder: Folder,
    repo: Annotated[str, typer.Argument(help="Repository on the hub: org/name.")],
    base: Base = "smollm2",
    base_id: Annotated[str, typer.Option(help="Hub id of the adapter's base, if not known.")] = "",
    public: Annotated[bool, typer.Option("--public", help="For everybody to see.")] = False,
) -> None:
    """Upload a checkpoint to the Hugging Face hub (private, unless --public).

    Needs the network and a token that may write: HF_TOKEN, or `hf auth login`.

    Example: `midspec train push msm-a/model my-org/msm-a`
    """
    with progress_bar("push"):
        url = train.push(
            start_checkpoint(base, str(folder)), repo, private=not public, base_id=base_id
        )
    console.print(f"Pushed: {url}", markup=False)
