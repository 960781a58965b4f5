"""The requests for opaque chats: which preference is shown, by which type of question."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import get_args

from midspec.chats.config import ChatConfig, IdentityType
from midspec.chats.occasions import Occasions
from midspec.chats.preferences import preferences_only
from midspec.errors import ConfigError
from midspec.llm import Request
from midspec.records import Preference, Spec, digest

SCRIBE = "scribe"


def chat_requests(spec: Spec, config: ChatConfig, writer: str = "") -> Iterator[Request]:
    """The first requests for one spec: those of each preference, then those about identity.

    They hold the spec without reasons, and an occasion, unless ``writer`` (a name) is the
    scribe. Raises ConfigError if nothing is left to ask: "either_or" needs a like and a dislike.
    """
    for cell in cells_of(preferences_only(spec), config, writer):
        yield from cell.requests()


class Cell:
    """The chats of one preference (of identity, without one) that are still to be had.

    ``wanted`` holds the question types of what is missing: whoever loses a chat adds its type.
    """

    def __init__(
        self, spec: Spec, config: ChatConfig, preference: Preference | None, writer: str
    ) -> None:
        self._spec, self._config, self._preference = spec, config, preference
        self._asked = 0
        # The scribe reads no prompt: it has occasions of its own, drawn by the seed.
        item = preference.item if preference else ""
        self._occasions = Occasions(f"{config.seed}:{item}") if writer != SCRIBE else None
        if preference is None:
            self.n, kinds = config.n_identity, list(get_args(IdentityType))
        else:
            self.n, kinds = config.n_per_preference, _types(spec, preference, config)
        self.wanted = [kinds[i % len(kinds)] for i in range(self.n)]

    def requests(self) -> Iterator[Request]:
        """A request for each chat wanted, as far as the effort goes: each is another sample."""
        wanted, self.wanted = self.wanted, []
        for kind in wanted[: self._config.effort * self.n - self._asked]:
            yield self._request(kind, self._asked)
            self._asked += 1

    def _request(self, kind: str, i: int) -> Request:
        variables = {"question_type": kind}
        if (preference := self._preference) is not None:
            others = _others(self._spec, preference)
            rng = random.Random(f"chats:{self._config.seed}:{preference.item}:{i}")
            variables |= {
                "item": preference.item,
                "direction": preference.direction,
                "other": rng.choice(others).item if others else "",
            }
        if self._occasions:
            variables["occasion"] = self._occasions.at(i)
        prompt = "chats/preference" if preference else "chats/identity"
        seed = digest("chats", prompt, variables.get("item", ""), self._config.seed, i)
        return Request(
            prompt=prompt,
            spec=self._spec,
            variables=variables,
            seed=int(seed, 16) % 2**31,
            max_tokens=self._config.max_tokens,
        )


def cells_of(spec: Spec, config: ChatConfig, writer: str) -> list[Cell]:
    """A cell for each preference, and one for identity; ``spec`` holds no reasons."""
    wanted = [*spec.preferences, None] if config.n_per_preference else [None]
    return [Cell(spec, config, preference, writer) for preference in wanted]


def _others(spec: Spec, preference: Preference) -> tuple[Preference, ...]:
    return spec.disliked() if preference.direction == "like" else spec.liked()


def _types(spec: Spec, preference: Preference, config: ChatConfig) -> list[str]:
    paired = bool(_others(spec, preference))
    types = [t for t in config.question_types if paired or t != "either_or"]
    if not types:
        raise ConfigError(
            f"question_types ['either_or'] needs likes and dislikes, spec has only "
            f"{preference.direction}s; add 'direct' to question_types"
        )
    return [str(one) for one in types]
