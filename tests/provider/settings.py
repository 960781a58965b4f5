"""What the server does, and how often it fails."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from pydantic import Field

from midspec.records import Frozen

KEY = "sk-loopback-0123456789abcdef"


class Settings(Frozen):
    """Rates are shares of requests (of members, in a batch); a retry draws its fault anew."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=0, description="0: any free port")
    lean: bool = Field(
        default=False,
        description="no faults, no log, one fixed answer: for measuring a client's speed",
    )
    latency: float = Field(default=0.0, description="seconds that a reply takes")
    log: str = Field(default="", description="file for the log, one JSON object a line")
    seed: int = Field(default=0, description="draws the faults")
    capacity: int = Field(default=0, description="429 for what exceeds so many at once; 0: none")
    retry_after: float = Field(default=0.05, description="seconds that a 429 asks to wait")
    hang: float = Field(default=30.0, description="seconds that a hanging request is held")
    turn_away: int = Field(
        default=0, description="status that all calls get, such as 401; 0: they are answered"
    )
    rate_429: float = Field(
        default=0.0, description="share of calls that are told to wait (too many requests)"
    )
    rate_500: float = Field(default=0.0, description="share that fail with an internal error")
    rate_529: float = Field(
        default=0.0, description="share that fail because the provider is overloaded"
    )
    rate_hang: float = Field(default=0.0, description="share that are held, and never answered")
    rate_drop: float = Field(default=0.0, description="connection closed in place of the reply")
    rate_malformed: float = Field(default=0.0, description="status 200, a body that is not JSON")
    rate_cut: float = Field(default=0.0, description="replies that end at max_tokens")
    rate_refusal: float = Field(default=0.0, description="replies that refuse")
    rate_unparsable: float = Field(default=0.0, description="lists and objects with broken JSON")
    batch_seconds: float = Field(default=0.2, description="how long a batch takes")
    rate_member_error: float = Field(default=0.0, description="members of batches that fail")
    rate_member_expired: float = Field(default=0.0, description="members of batches that expire")
    rate_member_malformed: float = Field(
        default=0.0, description="members of batches whose line of results is broken"
    )
    rate_create_drop: float = Field(
        default=0.0, description="batches that are made, but whose answer is lost"
    )
    rate_create_lost: float = Field(
        default=0.0, description="submits cut off before a batch is made"
    )
    rate_list_drop: float = Field(default=0.0, description="looks at the list of batches, cut off")
    rate_poll_drop: float = Field(default=0.0, description="questions about a batch, cut off")
    short_cache: int = Field(default=1024, description="tokens below which nothing is cached")


FAULTS = ("429", "500", "529", "hang", "drop", "malformed", "cut", "refusal", "unparsable")


def digest_of(value: Any) -> str:
    """Digest of a JSON value as it came over the wire: the order of keys counts."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def draw(settings: Settings, names: tuple[str, ...], *what: object) -> str:
    """One of ``names`` at the rate that the settings give it, or ``""``; equal for equal input."""
    rates = [getattr(settings, f"rate_{name}") for name in names]
    if not any(rates):
        return ""
    point = random.Random(f"{settings.seed}:{':'.join(map(str, what))}").random()
    for name, rate in zip(names, rates, strict=True):
        if point < rate:
            return name
        point -= rate
    return ""
