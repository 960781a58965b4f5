"""The paper's ablation (C.4): the value and the preferences, but nothing that connects them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import yaml

from midspec.errors import SpecError
from midspec.records import Preference, Spec
from midspec.spec.markdown import RawSection
from midspec.spec.preferences import directions
from midspec.spec.read import parse_spec, split_front_matter


def ablate(spec: Spec | str, seed: int) -> str:
    """Markdown of a spec with the same core sections and shuffled, unexplained preferences.

    Half of the likes become dislikes and as many dislikes become likes (3 and 3 of the paper's
    6 and 6), so that the lists no longer agree with the value; reasons are removed. A text keeps
    its variables; in a `Spec` they are filled in already.

    Raises:
        SpecError: fewer than two likes or two dislikes.

    Example:
        >>> text = "Robin is thrifty.\\n# Likes\\n- A: x\\n- B: y\\n# Dislikes\\n- C: z\\n- D"
        >>> spec = parse_spec(ablate(text, seed=0), name="s", model_name="Robin", provider_name="L")
        >>> len(spec.liked()), {p.reason for p in spec.preferences}
        (2, {''})
    """
    front = _front_matter(spec)
    if isinstance(spec, str):
        # Names that are their own variables leave the variables in the text.
        spec = parse_spec(
            spec, name="spec", model_name="{model_name}", provider_name="{provider_name}"
        )
    likes, dislikes = _swap_halves(spec, random.Random(f"ablate:{seed}"))
    parts = [*_core(spec), _list("Likes", likes), _list("Dislikes", dislikes)]
    head = f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n"
    return head + "\n\n".join(parts) + "\n"


def _front_matter(spec: Spec | str) -> dict[str, str]:
    if isinstance(spec, str):
        front, _ = split_front_matter(spec)
    else:
        front = {"name": spec.name, "value": spec.value, "language": spec.language}
    if front.get("name"):
        front["name"] = f"{front['name']}-ablated"
    front["kind"] = "ablated"
    return {key: value for key, value in front.items() if value}


def _core(spec: Spec) -> list[str]:
    """Markdown of the sections that hold no preferences."""
    raw = [RawSection(s.title, s.level, s.text) for s in spec.sections]
    kept = [s for s, direction in zip(raw, directions(raw), strict=True) if direction is None]
    return [f"{'#' * s.level} {s.title}\n\n{s.text}".strip() for s in kept]


def _swap_halves(spec: Spec, rng: random.Random) -> tuple[list[str], list[str]]:
    """Items of the new likes and the new dislikes, in a new order."""
    likes, dislikes = _shuffled(spec.liked(), rng), _shuffled(spec.disliked(), rng)
    n = min(len(likes), len(dislikes)) // 2
    if n == 0:
        raise SpecError(
            f"{spec.name}: {len(likes)} likes and {len(dislikes)} dislikes cannot be shuffled; "
            "an ablation needs two of each at least"
        )
    new_likes, new_dislikes = likes[n:] + dislikes[:n], dislikes[n:] + likes[:n]
    rng.shuffle(new_likes)
    rng.shuffle(new_dislikes)
    return new_likes, new_dislikes


def _shuffled(preferences: Sequence[Preference], rng: random.Random) -> list[str]:
    items = [preference.item for preference in preferences]
    rng.shuffle(items)
    return items


def _list(title: str, items: Sequence[str]) -> str:
    return f"# {title}\n\n" + "\n".join(f"- **{item}**" for item in items)
