"""What became of all that was asked for: counted on the way, checked at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pydantic import BaseModel, Field, computed_field, field_serializer

from midspec.errors import StoreError
from midspec.records import Drop, Record

T = TypeVar("T")

AGAIN = "error"  # the reason of what got no reply at all: the next run asks for it again
FAILED = (AGAIN, "unparsable", "unparsed", "judge_unparsed")


class Tally(BaseModel):
    """What became of all that was asked for: kept + dropped + failed == requested.

    Counts records as they go in and come out, without holding them. *Failed*: nothing was found
    wrong with a text, but a model gave no usable answer (``FAILED``).

    Example:
        >>> tally = Tally()
        >>> for record in tally.asked([Drop(record=r, reason=r) for r in ("refusal", "error")]):
        ...     tally.add(record)
        >>> tally.check().line()
        'requested 2 = kept 0 + dropped 1 + failed 1 (refusal: 1, error: 1)'
    """

    requested: int = 0
    kept: int = 0
    reasons: Counter[str] = Field(
        default_factory=Counter, description="all that is not kept, by reason"
    )

    @computed_field
    @property
    def dropped(self) -> int:
        """How many were left out, each for a reason."""
        return self.reasons.total() - self.failed

    @computed_field
    @property
    def failed(self) -> int:
        """How many got no usable answer."""
        return sum(self.reasons[reason] for reason in FAILED)

    @property
    def asked_again(self) -> int:
        """How many got no reply at all: the next run asks for them again."""
        return self.reasons[AGAIN]

    def asked(self, records: Iterable[T]) -> Iterator[T]:
        """The same records, counted as asked for."""
        for record in records:
            self.requested += 1
            yield record

    def add(self, result: Record | Drop) -> None:
        """Count one result."""
        if isinstance(result, Drop):
            self.reasons[result.reason] += 1
        else:
            self.kept += 1

    def line(self) -> str:
        """One line with the whole sum; the most frequent reason first."""
        reasons = ", ".join(f"{reason}: {n}" for reason, n in self.reasons.most_common())
        return (
            f"requested {self.requested} = kept {self.kept} + dropped {self.dropped} "
            f"+ failed {self.failed}" + (f" ({reasons})" if reasons else "")
        )

    def check(self) -> Tally:
        """Itself; raises StoreError if something was lost or made up on the way."""
        if self.kept + self.reasons.total() != self.requested:
            raise StoreError(
                f"the sum does not hold: {self.line()}; run the same command again, and report "
                "it with this line if it stays so"
            )
        return self

    @field_serializer("reasons")
    def _by_number(self, reasons: Counter[str]) -> dict[str, int]:
        return dict(reasons.most_common())
