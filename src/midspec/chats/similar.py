"""Texts that say nearly what an earlier one says, found by embedding (paper, B.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from midspec.chats.words import plain

F32 = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], F32]


def minilm(texts: Sequence[str]) -> F32:
    """Unit rows of the bundled offline model (extra ``midspec[embed]``)."""
    from midspec.llm.embed import embed

    return embed(texts)


class Similar:
    """Remembers texts under ids; tells which earlier one a new text repeats.

    A text repeats an earlier one if it has the same words, or a cosine of at least
    ``same_from`` with it. With ``same_from`` 1 only words are compared, without ``embed``.
    Memory: 1.5 KB for each text kept (384 numbers).

    Example:
        >>> same = Similar(1.0, minilm)
        >>> same.find_or_add([("a", "Which one?"), ("b", "which ONE"), ("c", "Why?")])
        ['', 'a', '']
    """

    def __init__(self, same_from: float, embed: Embed) -> None:
        self._same_from, self._embed = same_from, embed
        self._ids: list[str] = []
        self._words: dict[str, str] = {}
        self._texts: list[str] = []  # kept, not embedded yet
        self._rows: F32 | None = None

    def restore(self, kept: Sequence[tuple[str, str]]) -> None:
        """Remember texts that an earlier run kept; they are embedded later."""
        for name, text in kept:
            self._words.setdefault(_key(text), name)
            self._ids.append(name)
            self._texts.append(text)

    def embed_restored(self, n: int = 64) -> bool:
        """Embed the next ``n`` restored texts; whether there were any."""
        if self._same_from >= 1 or not self._texts:
            return False
        some, self._texts = self._texts[:n], self._texts[n:]
        self._add_rows(self._embed(some))
        return True

    def find_or_add(self, texts: Sequence[tuple[str, str]]) -> list[str]:
        """For each (id, text): the id of what it repeats, or ``""``, and then it is remembered."""
        twins = [self._exact(name, text) for name, text in texts]
        fresh = [place for place, twin in enumerate(twins) if not twin]
        if fresh and self._same_from < 1:
            while self.embed_restored():
                pass
            rows = self._embed([texts[place][1] for place in fresh])
            near = self._near([texts[place] for place in fresh], rows)
            twins = self._resolved(texts, twins, dict(zip(fresh, near, strict=True)))
        return twins

    def _resolved(
        self, texts: Sequence[tuple[str, str]], twins: list[str], near: dict[int, str]
    ) -> list[str]:
        """Exact and near twins together; none of them is a text that was itself left out."""
        left_out = {texts[place][0]: twin for place, twin in near.items() if twin}
        self._words |= {_key(texts[place][1]): twin for place, twin in near.items() if twin}
        both = [near.get(place, twin) for place, twin in enumerate(twins)]
        return [left_out.get(twin, twin) for twin in both]

    def _exact(self, name: str, text: str) -> str:
        key = _key(text)
        if key in self._words:
            return self._words[key]
        self._words[key] = name
        return ""

    def _near(self, texts: Sequence[tuple[str, str]], rows: F32) -> list[str]:
        """Twins by cosine; those without one are added."""
        twins = [self._first_near(row) for row in rows]
        added: list[int] = []
        for place in range(len(rows)):
            if not twins[place] and added:
                near = rows[added] @ rows[place] >= self._same_from
                if near.any():
                    twins[place] = texts[added[int(near.argmax())]][0]
            if not twins[place]:
                added.append(place)
        self._ids += [texts[place][0] for place in added]
        self._add_rows(rows[added])
        return twins

    def _first_near(self, row: F32) -> str:
        """Id of the first kept text that is near enough."""
        if self._rows is None or not len(self._rows):
            return ""
        near = self._rows @ row >= self._same_from
        return self._ids[int(near.argmax())] if near.any() else ""

    def _add_rows(self, rows: F32) -> None:
        self._rows = rows if self._rows is None else np.concatenate([self._rows, rows])


def _key(text: str) -> str:
    return plain(text) or text.strip()
