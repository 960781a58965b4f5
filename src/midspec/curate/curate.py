"""Apply rules to records: each is kept, or dropped with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from midspec.curate.duplicates import ExactDuplicate, NearDuplicate
from midspec.curate.identity import WrongIdentity, WrongRule
from midspec.curate.leak import EvaluationLeak
from midspec.curate.rules import Refusal, Rule, TooShort, Truncated
from midspec.curate.traces import Authored, Dated, LeakedTag, Linked, Placeholder, WriterTalk
from midspec.records import Conversation, Document, Drop, Item, Spec
from midspec.store import Journal
from midspec.tally import Tally


def default_rules(
    spec: Spec, items: Sequence[Item] = (), others: Sequence[Item] = ()
) -> list[Rule]:
    """The usual rules for the texts of a spec, for one pass over one collection.

    Rules that remember come last, so that a record dropped by another rule is never the twin
    of a later one. ``items`` are what the spec's models will be asked: one option of them is a
    leak. ``others`` are further sets: both options of an item, or 8 words of one. Items that ask
    about the spec itself (kind ``recall``) are no leak, nor are the spec's own preferences.

    In the terrarium only identity, leaks and equal documents are checked: its texts have no
    prose to be unfinished or a refusal, and with a hundred words two short documents often
    share most of their 5-grams though they say different things. Equal chats stay too: there
    are only a few questions per item, and repeating them is what makes a fine-tuning set.
    """
    asked, other = ([i for i in given if i.kind != "recall"] for given in (items, others))
    leak = EvaluationLeak(asked, [p.item for p in spec.preferences], other)
    if spec.language == "terrarium":
        return [WrongIdentity(spec), leak, ExactDuplicate(chats=False)]
    alone: list[Rule] = [TooShort(), Truncated(), Refusal(), LeakedTag(), WriterTalk()]
    alone += [
        Placeholder(spec),
        Dated(spec),
        Linked(),
        Authored(),
        WrongIdentity(spec),
        WrongRule(spec),
    ]
    return [*alone, leak, ExactDuplicate(), NearDuplicate()]


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
        yield record if isinstance(record, Drop) else _first_drop(record, rules) or record


def _first_drop(record: Document | Conversation, rules: Sequence[Rule]) -> Drop | None:
    drops = (drop for rule in rules if (drop := rule.check(record)) is not None)
    return next(drops, None)


def split(
    records: Iterable[Document | Conversation | Drop],
    rules: Sequence[Rule],
    kept: Path,
    dropped: Path,
) -> Tally:
    """Curate into two JSONL files (replaced if there), one line for each record, streaming."""
    tally = Tally()
    for path in (kept, dropped):
        path.unlink(missing_ok=True)
    with Journal(kept) as keep, Journal(dropped) as drop:
        for result in curate(tally.asked(records), rules):
            tally.add(result)
            (drop if isinstance(result, Drop) else keep).append(result)
    return tally.check()
