"""What tokens cost: a table that the user can edit, and the sum of a journal.

The bundled table is ``library/prices.yaml``. Another file is taken from ``--prices FILE`` or the
environment variable ``MIDSPEC_PRICES``.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from midspec.errors import ConfigError
from midspec.llm.door import Reply, Request
from midspec.llm.prompts import messages
from midspec.records import Frozen
from midspec.store import read_rows

_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d\d-\d\d|latest)$")
_MILLION = 1_000_000
# A token has two bytes or more in every script that common tokenizers know (English: four).
_BYTES_PER_TOKEN = 2


class Price(Frozen):
    """US dollars for a million tokens of one model.

    Example:
        >>> price = Price(input=3, cached=0.3, cache_write=3.75, output=15)
        >>> price.cost(input_tokens=1_000_000, cached_tokens=900_000, output_tokens=100_000)
        2.07
        >>> price.cost(output_tokens=100_000, batched=True)
        0.75
    """

    input: float = Field(ge=0, description="tokens read, not from a cache")
    cached: float = Field(ge=0, description="tokens read from the prompt cache")
    cache_write: float = Field(ge=0, description="tokens read and written to the prompt cache")
    output: float = Field(ge=0, description="tokens written")
    batch_discount: float = Field(
        default=0.5, ge=0, le=1, description="share of all prices that batches save"
    )
    as_of: str = Field(default="", description="day of the price")
    source: str = Field(default="", description="where it was found")

    def cost(
        self,
        *,
        input_tokens: int = 0,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        output_tokens: int = 0,
        batched: bool = False,
    ) -> float:
        """Dollars for these tokens; ``input_tokens`` are all read, the cached ones among them."""
        uncached = max(0, input_tokens - cached_tokens - cache_write_tokens)
        millionths = (
            uncached * self.input
            + cached_tokens * self.cached
            + cache_write_tokens * self.cache_write
            + output_tokens * self.output
        )
        return millionths * (1 - self.batch_discount if batched else 1) / _MILLION

    def of(self, reply: Reply) -> float:
        """Dollars that a reply cost."""
        return self.cost(
            input_tokens=reply.input_tokens,
            cached_tokens=reply.cached_tokens,
            cache_write_tokens=reply.cache_write_tokens,
            output_tokens=reply.output_tokens,
            batched=reply.batched,
        )

    def worst(self, request: Request, *, batched: bool = False) -> float:
        """Dollars that a request costs at most: its whole input anew, its output to the limit."""
        size = sum(len(text.encode()) for _, text in messages(request))
        dearest = max(self.input, self.cache_write)
        millionths = size / _BYTES_PER_TOKEN * dearest + request.max_tokens * self.output
        return millionths * (1 - self.batch_discount if batched else 1) / _MILLION


class Prices(Frozen):
    """Prices by model name. ``*`` in a name stands for anything; the longest name wins.

    A date at the end of a model's name is passed over.

    Example:
        >>> read_prices().of("scribe").output
        0.0
    """

    file: str
    models: dict[str, Price]

    def of(self, name: str) -> Price:
        """The price of a model. Raises ConfigError if the table has none."""
        names = (name, _DATE.sub("", name))
        fitting = [key for key in self.models if any(fnmatchcase(one, key) for one in names)]
        if not fitting:
            raise ConfigError(
                f"there is no price for {name!r} in {self.file}; add it to a copy of that file "
                "and name the copy with --prices or MIDSPEC_PRICES"
            )
        return self.models[max(fitting, key=len)]


def read_prices(file: Path | None = None) -> Prices:
    """The table in ``file``, else in ``$MIDSPEC_PRICES``, else the bundled one.

    Raises ConfigError if it cannot be read.
    """
    if file is None and (named := os.environ.get("MIDSPEC_PRICES")):
        file = Path(named)
    found = file or resources.files("midspec") / "library" / "prices.yaml"
    try:
        rows = yaml.safe_load(found.read_text(encoding="utf-8"))
        return Prices(file=str(found), models=_models(rows))
    except OSError as error:
        raise ConfigError(f"prices {str(found)!r}: {error.strerror}; name another file") from error
    except (yaml.YAMLError, ValidationError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())[:200]
        raise ConfigError(f"prices {str(found)!r} is not a price table: {text}") from error


def _models(rows: Any) -> dict[str, Price]:
    """Models of a table; one entry may hold for several names."""
    return {
        name: Price(**{key: value for key, value in row.items() if key != "models"})
        for row in rows["prices"]
        for name in row["models"]
    }


class Ledger(Frozen):
    """What was asked so far, and what it cost (``cost`` None: no prices were given)."""

    replies: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None

    @property
    def uncached_tokens(self) -> int:
        """Tokens read that did not come from a cache."""
        return self.input_tokens - self.cached_tokens


def read_ledger(journals: Iterable[Path], prices: Prices | None = None) -> Ledger:
    """The sum over reply journals; one that is not there counts nothing.

    Raises ConfigError if a model has no price.
    """
    names = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
    sums: Counter[str] = Counter(dict.fromkeys(names, 0))
    replies, cost = 0, 0.0
    for row in (row for journal in journals for row in read_rows(journal)):
        tokens = {name: row.get(name, 0) for name in names}
        replies += 1
        sums.update(tokens)
        if prices and any(tokens.values()):
            cost += prices.of(row["model"]).cost(**tokens, batched=row.get("batched", False))
    return Ledger(replies=replies, cost=cost if prices else None, **sums)
