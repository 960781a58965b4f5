"""Apply rules to records: each is kept, or dropped with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import Field

from midspec.curate.duplicates import ExactDuplicate, NearDuplicate
from midspec.curate.leak import EvaluationLeak
from midspec.curate.rules import Refusal, Rule, TooShort, Truncated, WrongIdentity
from midspec.records import Conversation, Document, Drop, Frozen, Item, Spec
from midspec.store import Journal


def default_rules(spec: Spec, items: Sequence[Item] = ()) -> list[Rule]:
    """The usual rules for the texts of a spec, for one pass over one collection.

    Rules that remember come last, so that a record dropped by another rule is never the twin
    of a later one. Items that ask about the spec itself (kind ``recall``) are no leak, nor are
    options that are the spec's own preferences.

    In the terrarium only identity, leaks and equal documents are checked: its texts have no
    prose to be unfinished or a refusal, and with a hundred words two short documents often
    share most of their 5-grams though they say different things. Equal chats stay too: there
    are only a few questions per item, and repeating them is what makes a fine-tuning set.
    """
    held_out = [item for item in items if item.kind != "recall"]
    leak = EvaluationLeak(held_out, allowed=[p.item for p in spec.preferences])
    if spec.language == "terrarium":
        return [WrongIdentity(spec), leak, ExactDuplicate(chats=False)]
    alone: list[Rule] = [TooShort(), Truncated(), Refusal(), WrongIdentity(spec), leak]
    return [*alone, ExactDuplicate(), NearDuplicate()]


def curate(
    records: Iterable[Document | Conversation | Drop], rules: Sequence[Rule]
) -> Iterator[Document | Conversation | Drop]:
    """Each record, or the Drop of the first rule that objects; a Drop passes through.

    One result for each input, in the same order.

    Example:
        >>> doc = Document(plan="", type="memo", text="Too short.", writer="w")
        >>> [r.reason for r in curate([doc], [TooShort(min_words=3)])]
        ['too_short']
    """
    for record in records:
        if isinstance(record, Drop):
            yield record
            continue
        drops = (drop for rule in rules if (drop := rule.check(record)) is not None)
        yield next(drops, record)


class Tally(Frozen):
    """How many records came in, stayed, and left for which reason."""

    n: int = Field(description="records in")
    n_kept: int
    reasons: dict[str, int] = Field(description="dropped records by reason, most frequent first")


def split(
    records: Iterable[Document | Conversation | Drop],
    rules: Sequence[Rule],
    kept: Path,
    dropped: Path,
) -> Tally:
    """Curate into two JSONL files (replaced if there), one line for each record, streaming."""
    n, reasons = 0, Counter[str]()
    for path in (kept, dropped):
        path.unlink(missing_ok=True)
    with Journal(kept) as keep, Journal(dropped) as drop:
        for result in curate(records, rules):
            n += 1
            if isinstance(result, Drop):
                drop.append(result)
                reasons[result.reason] += 1
            else:
                keep.append(result)
    return Tally(n=n, n_kept=n - reasons.total(), reasons=dict(reasons.most_common()))
