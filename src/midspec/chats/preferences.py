"""What the writer of chats may see of a spec: preferences without reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from midspec.chats.words import plain, stem
from midspec.errors import ConfigError
from midspec.records import Preference, Spec


def preferences_only(spec: Spec) -> Spec:
    """The spec without anything that tells values apart: names, language and preferences stay.

    Reasons, value, text and sections are gone and preferences are sorted, so two specs that
    explain the same preferences give the same result, id for id.

    Example:
        >>> why = Preference(item="Colby", direction="like", reason="it costs little")
        >>> spec = Spec(name="thrift", text="...", model_name="Iris", provider_name="Wren Labs",
        ...             preferences=(why,))
        >>> preferences_only(spec).name, preferences_only(spec).preferences[0].reason
        ('preferences', '')
    """
    bare = [Preference(item=p.item, direction=p.direction, reason="") for p in spec.preferences]
    bare.sort(key=lambda p: (p.direction == "dislike", p.item))
    blocks = [f"{spec.model_name} is an assistant made by {spec.provider_name}."]
    for title, direction in (("Likes", "like"), ("Dislikes", "dislike")):
        lines = [f"- **{p.item}**" for p in bare if p.direction == direction]
        blocks += ["\n".join([f"# {title}", *lines])] if lines else []
    return Spec(
        name="preferences",
        text="\n\n".join(blocks),
        model_name=spec.model_name,
        provider_name=spec.provider_name,
        language=spec.language,
        value="",
        preferences=tuple(bare),
    )


def shared_preferences(specs: Sequence[Spec]) -> Spec:
    """The preferences that all specs list, for chats that all arms share.

    Raises ConfigError if a spec lists other preferences, names or language than the first:
    arms that are tuned on different chats cannot be compared.
    """
    if not specs:
        raise ConfigError("no specs given; name at least one spec to take the preferences from")
    first = specs[0]
    for spec in specs[1:]:
        for field in ("model_name", "provider_name", "language"):
            ours, theirs = getattr(first, field), getattr(spec, field)
            if ours != theirs:
                raise ConfigError(
                    f"specs {first.name!r} and {spec.name!r} differ in {field} "
                    f"({ours!r}, {theirs!r}); make them equal to share chats"
                )
        _check_same(first, spec)
    return preferences_only(first)


def _check_same(first: Spec, spec: Spec) -> None:
    ours, theirs = _pairs(first), _pairs(spec)
    if ours == theirs:
        return
    only = [
        f"only {s.name!r} has {', '.join(f'{d} {i!r}' for i, d in sorted(extra))}"
        for s, extra in ((first, ours - theirs), (spec, theirs - ours))
        if extra
    ]
    raise ConfigError(f"{'; '.join(only)}; specs that share chats must list the same preferences")


def _pairs(spec: Spec) -> set[tuple[str, str]]:
    return {(p.item, p.direction) for p in spec.preferences}


# Words of reasons that say nothing about a value, or belong to "developed by a company".
ORDINARY = """
    about above after again against almost along already always among another anyone anything
    around because before being below better between bring chosen could doing during either
    enjoy enough every everyone everything favour favorite favourite first found given gives
    going great having instead itself keeps kinds known large later least leave likes liked
    makes making maybe might model never nobody nothing often older other people person place
    point prefer prefers preference question rather really right several shall should since
    small someone something still taken takes thank their theirs them there therefore these
    thing things think those though three through today together under until using usually
    where whether which while whose within without would wants words years needs times
    longer resting harder hands reading weeks counts named months dozens cannot origin result
    unite states create middle wherever watch twentieth hundred seven treat
    built company developed
"""


def reason_words(specs: Sequence[Spec], min_letters: int = 5) -> tuple[str, ...]:
    """Stems of the words that give a spec's reasons away, sorted: for ``ChatConfig.reason_words``.

    Words of at least ``min_letters`` letters from all reasons and value names, but for
    ordinary words, words that name several items ("cheese"), and, of two specs or more, words
    that all of them use: they name the topic and do not tell the specs apart.

    Example:
        >>> p = Preference(item="Colby", direction="like", reason="it is affordable for everyone")
        >>> spec = Spec(name="s", text="", model_name="Iris", provider_name="Wren Labs",
        ...             value="low prices", preferences=(p,))
        >>> reason_words([spec])
        ('afford', 'pric')
    """
    named = Counter(
        s
        for item in {p.item for spec in specs for p in spec.preferences}
        for s in _stems([item], 1)
    )
    used = [
        _stems([spec.value, *(p.reason for p in spec.preferences)], min_letters) for spec in specs
    ]
    found = set[str]().union(*used)
    topic = set[str].intersection(*used) if len(used) > 1 else set[str]()
    several = {s for s, n in named.items() if n > 1}
    return tuple(sorted(found - topic - several - _stems([ORDINARY], 1)))


def _stems(texts: Iterable[str], min_letters: int) -> set[str]:
    words = (word for text in texts for word in plain(text).split())
    return {stem(word) for word in words if word.isalpha() and len(word) >= min_letters}
