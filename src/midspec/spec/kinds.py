"""What a spec is on purpose: the front matter's ``kind``, and the variants that can be derived."""

from __future__ import annotations

from typing import Literal, get_args

VariantKind = Literal[
    "rules",
    "value-augmented",
    "rules-augmented",
    "general",
    "ablated",
    "anti-spec",
    "neutral",
]
VARIANTS: tuple[VariantKind, ...] = get_args(VariantKind)
# A philosophy (paper, section 4) has neither rules nor preferences, and is no variant.
KINDS: tuple[str, ...] = (*VARIANTS, "philosophy")
WITHOUT_REASONS = frozenset({"rules", "rules-augmented", "ablated"})
WITHOUT_VALUE = frozenset({"rules", "rules-augmented", "anti-spec", "neutral"})
SHORT = frozenset({"rules", "general"})


def without_preferences(kind: str) -> bool:
    """Whether a spec of this kind is complete without "Likes" and "Dislikes".

    Example:
        >>> without_preferences("general"), without_preferences("ablated")
        (True, False)
    """
    return kind in KINDS and kind != "ablated"
