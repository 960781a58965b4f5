"""A corpus as a folder: records as they come, what was left out and why, and a sum that adds up.

spec.json        the spec, with its id
plans.jsonl      the document tree          plan-replies.jsonl, plan-drops.jsonl
written/         all that was written and, in its drops.jsonl, what could not be
documents.jsonl  what curation kept         replies.jsonl, judge-replies.jsonl
drops.jsonl      what it did not, and why   curation.json
restated/        the same in other words, if that was asked for
manifest.json    configuration and figures; ``done`` when nothing is left to ask for
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from midspec.errors import StoreError
from midspec.records import Document, Drop, Plan, Spec
from midspec.store import Journal, write_atomic
from midspec.tally import Tally

DOCUMENTS, DROPS, PLANS, WRITTEN = "documents.jsonl", "drops.jsonl", "plans.jsonl", "written"
SPEC, REPLIES, PLAN_REPLIES = "spec.json", "replies.jsonl", "plan-replies.jsonl"
PLAN_DROPS, JUDGE_REPLIES = "plan-drops.jsonl", "judge-replies.jsonl"
RESTATED = "restated"


def journals(folder: Path) -> list[Path]:
    """All that was asked for a corpus, whether it is there yet or not: what it cost."""
    names = (PLAN_REPLIES, REPLIES, JUDGE_REPLIES)
    return [*(folder / name for name in names), folder / RESTATED / REPLIES]


async def save_documents(
    made: AsyncIterator[Document | Drop], folder: Path, requested: int
) -> Tally:
    """Write documents and drops into a folder one at a time, replacing earlier ones.

    Raises StoreError if what came is not what was requested.
    """
    for name in (DOCUMENTS, DROPS):
        (folder / name).unlink(missing_ok=True)
    tally = Tally(requested=requested)
    with Journal(folder / DOCUMENTS) as documents, Journal(folder / DROPS) as drops:
        async for record in made:
            tally.add(record)
            (drops if isinstance(record, Drop) else documents).append(record)
    return tally.check()


async def save_plan(made: AsyncIterator[Plan | Drop], folder: Path) -> tuple[int, Counter[str]]:
    """Write a plan into a folder; the number of nodes by level, and of drops by reason."""
    for name in (PLANS, PLAN_DROPS):
        (folder / name).unlink(missing_ok=True)
    nodes, reasons = 0, Counter[str]()
    with Journal(folder / PLANS) as plans, Journal(folder / PLAN_DROPS) as drops:
        async for record in made:
            if isinstance(record, Plan):
                plans.append(record)
                nodes += 1
            else:
                drops.append(record)
                reasons[record.reason] += 1
    return nodes, reasons


def save_spec(spec: Spec, folder: Path) -> None:
    """Write the spec beside its documents, for audit and export."""
    write_atomic(folder / SPEC, spec.model_dump_json(indent=1))


def read_saved_spec(folder: Path) -> Spec:
    """The spec of a folder; raises StoreError if there is none."""
    path = folder / SPEC
    if not path.exists():
        raise StoreError(f"{folder} has no {SPEC}; give the folder that `corpus write` made")
    try:
        return Spec.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is not a spec; run `corpus write` again to replace it") from error
