"""Kept + dropped + failed is what was asked for: counted on the way, checked at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pydantic import Field, model_validator

from midspec.errors import StoreError
from midspec.records import Conversation, Document, Drop, Frozen

T = TypeVar("T")
R = TypeVar("R", bound=Document | Conversation | Drop)

# Nothing was found wrong with the text: a model gave no usable answer, and may be asked again.
FAILED = frozenset(["error", "unparsed", "unparsable"])


class Tally(Frozen):
    """How many records were asked for, stayed, left for which reason, or failed.

    Raises StoreError when it is made of figures that do not add up.

    Example:
        >>> Tally(requested=4, kept=2, dropped={"refusal": 1}, failed={"error": 1}).kept
        2
        >>> Tally(requested=4, kept=2)
        Traceback (most recent call last):
        midspec.errors.StoreError: kept 2 + dropped 0 + failed 0 is 2, but 4 were requested; ...
    """

    requested: int = Field(description="records in")
    kept: int = Field(description="records that passed every rule")
    dropped: dict[str, int] = Field(
        default_factory=dict, description="by reason, most frequent first"
    )
    failed: dict[str, int] = Field(
        default_factory=dict, description="the same, where a model gave no usable answer"
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Tally:
        dropped, failed = sum(self.dropped.values()), sum(self.failed.values())
        total = self.kept + dropped + failed
        if total != self.requested:
            raise StoreError(
                f"kept {self.kept} + dropped {dropped} + failed {failed} is {total}, but "
                f"{self.requested} were requested; a stage lost or made up records: report it"
            )
        return self


class Count:
    """Counts records as they go in and as they come out, without holding them.

    Example:
        >>> count = Count()
        >>> asked = count.requested([Drop(record="a", reason="refusal")])
        >>> [drop.reason for drop in count.results(asked)], count.tally().dropped
        (['refusal'], {'refusal': 1})
    """

    def __init__(self) -> None:
        self.n_requested = 0
        self._kept = 0
        self._reasons: Counter[str] = Counter()

    def requested(self, records: Iterable[T]) -> Iterator[T]:
        """The same records, counted as asked for."""
        for record in records:
            self.n_requested += 1
            yield record

    def results(self, results: Iterable[R]) -> Iterator[R]:
        """The same results, counted as kept, dropped or failed."""
        for result in results:
            self.add(result)
            yield result

    def add(self, result: Document | Conversation | Drop) -> None:
        """Count one result."""
        if isinstance(result, Drop):
            self._reasons[result.reason] += 1
        else:
            self._kept += 1

    def tally(self) -> Tally:
        """What was counted; raises StoreError if it does not add up."""
        reasons = self._reasons.most_common()
        return Tally(
            requested=self.n_requested,
            kept=self._kept,
            dropped={reason: n for reason, n in reasons if reason not in FAILED},
            failed={reason: n for reason, n in reasons if reason in FAILED},
        )
