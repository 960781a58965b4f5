"""Spec files to `Spec` records: front matter, sections, claims, preferences (format: DESIGN.md)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from midspec.errors import SpecError
from midspec.records import Claim, Preference, Rule, Section, Spec
from midspec.spec.kinds import KINDS
from midspec.spec.markdown import RawSection, split_blocks, split_sections, strip_comments
from midspec.spec.preferences import Direction, directions, read_preferences
from midspec.spec.rules import hold_rules, read_rules
from midspec.spec.sentences import split_sentences

KNOWN_KEYS = ("name", "value", "language", "kind")
_VARIABLE = re.compile(r"\{(model_name|provider_name)\}")


def read_spec(path: Path, *, model_name: str, provider_name: str) -> Spec:
    """The Spec in a UTF-8 Markdown file; its name is the file's stem unless the file gives one.

    Raises:
        SpecError: the file is missing, empty, not UTF-8, or not in the format.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file; give the path of a Markdown file") from None
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be read ({error.strerror}); give a Markdown file"
        ) from error
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text"
        ) from error
    return _parse(text, str(path), path.stem, model_name, provider_name)


def parse_spec(text: str, *, name: str, model_name: str, provider_name: str) -> Spec:
    """The Spec in a Markdown text; ``name`` stands unless the front matter gives one.

    Only ``{model_name}`` and ``{provider_name}`` are replaced, any other brace is literal. Every
    sentence of prose, and of bullets outside "Likes" and "Dislikes", is a claim, verbatim but
    that a line break inside it is a space. Bullets of "Rules" are rules as well.

    Raises:
        SpecError: the text is empty or not in the format.

    Example:
        >>> spec = parse_spec("{model_name} is {kind}.", name="s", model_name="Robin",
        ...                   provider_name="Larch")
        >>> spec.text
        'Robin is {kind}.'
    """
    return _parse(text, name, name, model_name, provider_name)


def _parse(text: str, source: str, name: str, model_name: str, provider_name: str) -> Spec:
    for key, given in (("model_name", model_name), ("provider_name", provider_name)):
        if not given.strip() or "\n" in given:
            raise SpecError(f"{source}: {key} is {given!r}; give a name of one line")
    try:
        front, body = split_front_matter(text)
        filled = fill(body, model_name, provider_name)
        sections, preferences, rules = _contents(filled, (model_name, provider_name))
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from None
    return Spec(
        name=front.get("name") or name,
        text=filled,
        model_name=model_name,
        provider_name=provider_name,
        language=front.get("language") or "english",
        value=front.get("value", ""),
        sections=sections,
        preferences=preferences,
        rules=rules,
        kind=front.get("kind", ""),
    )


def split_front_matter(text: str) -> tuple[dict[str, str], str]:
    """Front matter as a dict of texts, and the body without comments and outer blank lines.

    Example:
        >>> split_front_matter("---\\nvalue: thrift\\n---\\n# Core\\n")
        ({'value': 'thrift'}, '# Core')
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise SpecError("the spec is empty; write a '# Core philosophy' section at least")
    first, _, rest = text.lstrip("\n").partition("\n")
    if first.rstrip() != "---":
        return {}, strip_comments(text).strip("\n")
    parts = re.split(r"^---[ \t]*$", rest, maxsplit=1, flags=re.MULTILINE)
    if len(parts) < 2:
        raise SpecError("the front matter is not closed; end it with a line '---'")
    return _front_matter(parts[0]), strip_comments(parts[1]).strip("\n")


def _front_matter(text: str) -> dict[str, str]:
    try:
        # BaseLoader: every scalar is text, so that "value: no" is "no" and not False.
        loaded = yaml.load(text, Loader=yaml.BaseLoader) or {}
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())[:120]
        raise SpecError(f"the front matter is not YAML ({problem}); write 'key: value'") from None
    if not isinstance(loaded, dict):
        raise SpecError(f"the front matter is {loaded!r}; write lines 'key: value'")
    for key, given in loaded.items():
        if key not in KNOWN_KEYS:
            raise SpecError(f"unknown front matter key {key!r}; {_known(str(key), KNOWN_KEYS)}")
        if not isinstance(given, str):
            raise SpecError(f"front matter {key!r} is {given!r}; give one text, in quotes")
    front = {str(key): given.strip() for key, given in loaded.items()}
    if front.get("kind") and front["kind"] not in KINDS:
        raise SpecError(f"unknown kind {front['kind']!r}; {_known(front['kind'], KINDS)}")
    return front


def _known(given: str, names: Sequence[str]) -> str:
    """What to write instead: the nearest name if one is near, and all of them."""
    near = difflib.get_close_matches(given, names, n=1)
    listed = f"known: {', '.join(names)}"
    return f"did you mean {near[0]!r}? ({listed})" if near else listed


def fill(text: str, model_name: str, provider_name: str) -> str:
    """The text with the two variables replaced in one pass, so that values stay literal too.

    Example:
        >>> fill("{model_name} {x}", "{provider_name}", "Larch")
        '{provider_name} {x}'
    """
    values = {"model_name": model_name, "provider_name": provider_name}
    return _VARIABLE.sub(lambda match: values[match.group(1)], text)


def _contents(
    text: str, names: tuple[str, str]
) -> tuple[tuple[Section, ...], tuple[Preference, ...], tuple[Rule, ...]]:
    raw = list(split_sections(text))
    found = directions(raw)
    lowercase = frozenset(re.findall(r"\b[^\W\d_A-Z]+\b", text))
    sections, preferences, rules = [], [], []
    for section, direction, ruled in zip(raw, found, hold_rules(raw), strict=True):
        sections.append(_section(section, direction, names))
        if direction:
            preferences += read_preferences(section, direction, names, lowercase)
        elif ruled:
            rules += read_rules(section.text, names, lowercase)
    _check_likes_sections(raw, found, preferences)
    _check_unique(preferences)
    if not preferences and not any(section.claims for section in sections):
        raise SpecError("the spec has no text; write sentences below the headings")
    return tuple(sections), tuple(preferences), tuple(rules)


def _section(section: RawSection, direction: Direction | None, names: Sequence[str]) -> Section:
    sentences = (
        sentence
        for block in split_blocks(section.text)
        if not (direction and block.kind == "bullet")
        for sentence in split_sentences(block.text, names)
        if any(character.isalpha() for character in sentence)
    )
    claims = tuple(Claim(section=section.title, text=sentence) for sentence in sentences)
    return Section(title=section.title, level=section.level, text=section.text, claims=claims)


def _check_likes_sections(
    raw: Sequence[RawSection],
    found: Sequence[Direction | None],
    preferences: Sequence[Preference],
) -> None:
    """Prose where bullets were meant would be lost as preferences without a word."""
    held = {preference.direction for preference in preferences}
    for section, direction in zip(raw, found, strict=True):
        if direction and direction not in held and section.text.strip():
            raise SpecError(
                f"no preferences found under {section.title!r}; write bullets '- **Item**: reason'"
            )


def _check_unique(preferences: Sequence[Preference]) -> None:
    seen: dict[str, Preference] = {}
    for preference in preferences:
        key = " ".join(preference.item.casefold().split())
        earlier = seen.setdefault(key, preference)
        if earlier is preference:
            continue
        if earlier.direction == preference.direction:
            raise SpecError(f"{preference.item!r} is listed twice; keep one of the bullets")
        raise SpecError(f"{preference.item!r} is both liked and disliked; keep one of the bullets")
