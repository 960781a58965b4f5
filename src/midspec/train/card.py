"""The model card: what a checkpoint was made from, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from midspec import __version__
from midspec.errors import TrainError
from midspec.records import Frozen
from midspec.store import write_atomic

LINEAGE = "midspec.json"
Result = tuple[str, str, str, str, str]  # task, measure, value, 95% interval, scored of asked


class Lineage(Frozen):
    """What a checkpoint was made from; ``midspec.json`` in its folder.

    ``names`` is what the caller knows beyond the training itself: spec and corpus hashes, recipe.
    """

    stage: Literal["midtrain", "finetune", "merge"]
    base: str = Field(description="hub id of the base, or its name here")
    start: str = Field(
        default="", description="digest of the weights it started from; '': the base"
    )
    data: str = Field(default="", description="digest of the packed rows")
    documents: int = 0
    tokens: int = 0
    supervised_tokens: int = 0
    steps: int = 0
    seed: int = 0
    config: dict[str, Any] = Field(default_factory=dict, description="resolved TrainConfig")
    names: dict[str, str] = Field(default_factory=dict, description="spec, corpus, recipe ...")
    code: str = Field(default=f"midspec {__version__}", description="version that trained it")
    before: Lineage | None = Field(default=None, description="lineage of the start, if known")


def read_lineage(folder: Path) -> Lineage | None:
    """The lineage in a checkpoint's folder; None if it has none.

    Raises:
        TrainError: the file is there but is not a lineage.
    """
    path = folder / LINEAGE
    if not path.is_file():
        return None
    try:
        return Lineage.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise TrainError(f"{path} is not a lineage; delete it to write a card without") from error


def write_card(
    folder: Path, lineage: Lineage | None = None, *, results: Iterable[Result] = ()
) -> Path:
    """Write ``README.md`` and ``midspec.json`` into a checkpoint's folder.

    Without ``lineage`` the folder's own is used. ``results`` become the evaluation table.

    Raises:
        TrainError: the folder has no weights, or no lineage is known.
    """
    if not any(folder.glob("*.safetensors")):
        raise TrainError(f"no weights in {folder}; give the folder 'model' of a training")
    found = lineage or read_lineage(folder)
    if found is None:
        raise TrainError(f"{folder} has no {LINEAGE}; only a training of midspec writes it")
    write_atomic(folder / LINEAGE, found.model_dump_json(indent=1))
    card = folder / "README.md"
    write_atomic(card, card_text(found, adapter=(folder / "adapter_config.json").exists(),
                                 table=list(results)))  # fmt: skip
    return card


def card_text(lineage: Lineage, *, adapter: bool, table: list[Result]) -> str:
    """The card as Markdown with the hub's front matter."""
    front = {"base_model": lineage.base, "library_name": "peft" if adapter else "transformers"}
    # JSON is YAML: quoting by json.dumps keeps odd names from breaking the front matter.
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items())]
    lines += ["tags:", "- midspec", "---", "", "# Model card", ""]
    kind = "A LoRA adapter" if adapter else "Full weights"
    lines += [f"{kind} trained with Model Spec Midtraining (arXiv 2605.02087).", ""]
    lines += ["## Lineage", ""]
    for number, one in enumerate(_history(lineage), 1):
        lines += [f"{number}. **{one.stage}** of `{_inline(one.base)}`", ""]
        lines += _table(("what", "value"), list(_facts(one).items()))
    lines += ["## Evaluation", ""]
    if table:
        lines += _table(("task", "measure", "value", "95% interval", "scored"), table)
    else:
        lines += [
            "None recorded: `midspec train card FOLDER --answers evals/answers.jsonl` adds it.",
            "",
        ]
    return "\n".join(lines)


def _history(lineage: Lineage) -> list[Lineage]:
    """The stages, first to last."""
    before = _history(lineage.before) if lineage.before else []
    return [*before, lineage]


def _facts(lineage: Lineage) -> dict[str, str]:
    facts = {name: value for name, value in lineage.names.items() if value}
    plain = lineage.model_dump(exclude={"stage", "base", "names", "before", "config"})
    facts |= {name: str(value) for name, value in plain.items() if value not in ("", 0)}
    facts |= {name: str(value) for name, value in lineage.config.items() if value != ""}
    return facts


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(map(_cell, row)) + " |" for row in rows), ""]


def _cell(text: str) -> str:
    """Text that cannot leave its cell or become markup."""
    flat = " ".join(text.split())
    for character in "\\|<>`[]":
        flat = flat.replace(character, f"&#{ord(character)};")
    return flat


def _inline(text: str) -> str:
    """Text that cannot leave its backticks or its line."""
    return "".join(c for c in " ".join(text.split()) if c not in "`<>|")
