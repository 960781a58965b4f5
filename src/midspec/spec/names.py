"""Names in a spec: of other assistants, and of things that it never introduces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from midspec.records import Spec
from midspec.spec.findings import Finding, warning
from midspec.spec.markdown import split_blocks, strip_strong
from midspec.spec.sentences import word_set

_OTHER_NAMES = re.compile(
    r"\b(ChatGPT|GPT(?:-?\w+)?|OpenAI|Claude|Anthropic|Gemini|DeepMind|Llama|LLaMA|Qwen|Mistral|Grok"
    r"|DeepSeek|Copilot|SmolLM\w*|Gemma|Kimi|Bard)\b"
)
_CODE = re.compile(r"(?<![\w-])[A-Z]{1,4}-?\d{1,3}(?![\w-])")
_RULE_NUMBER = re.compile(r"\b[Rr]ules? (\d{1,3})\b")
_ACRONYM = re.compile(r"(?<![\w-])[A-Z]{2,6}(?![\w-])")
# Nobody has to be told what these are.
_KNOWN_ACRONYMS = word_set(
    "AI AM API CEO CPU CSV EU FAQ GPU HTML ID IT JSON LLM OK PC PDF PM SQL TV UK UN URL US USA XML"
)


def other_names(text: str, spec: Spec) -> list[str]:
    """Names of other assistants and their makers in a text, each once.

    Example:
        >>> spec = Spec(name="s", text="", model_name="Iris", provider_name="Wren Labs")
        >>> other_names("Iris is not ChatGPT.", spec)
        ['ChatGPT']
    """
    own = f"{spec.model_name} {spec.provider_name}".lower()
    found = dict.fromkeys(_OTHER_NAMES.findall(text))
    return [name for name in found if name.lower() not in own]


def name_findings(spec: Spec) -> Iterator[Finding]:
    """A corpus that names the wrong model, or what nobody knows, teaches just that."""
    for section in spec.sections:
        for name in other_names(f"{section.title}\n{section.text}", spec):
            yield warning(
                section.title,
                f"names {name!r}, but the model is {spec.model_name!r} by "
                f"{spec.provider_name!r}; use {{model_name}} or {{provider_name}}",
            )
    yield from _undefined(spec)


def _undefined(spec: Spec) -> Iterator[Finding]:
    """Codes, acronyms and numbers of rules that the spec uses and never introduces."""
    own = f"{spec.model_name} {spec.provider_name}"
    defined = _defined(spec)
    for section in spec.sections:
        codes = _CODE.findall(section.text)
        acronyms = [a for a in _ACRONYM.findall(section.text) if a not in _KNOWN_ACRONYMS]
        for name in dict.fromkeys([*codes, *acronyms]):
            if name not in defined and name not in own:
                yield warning(section.title, f"{name!r} is never explained; say once what it is")
        for number in dict.fromkeys(map(int, _RULE_NUMBER.findall(section.text))):
            if spec.rules and not 1 <= number <= len(spec.rules):
                yield warning(
                    section.title, f"speaks of rule {number}; the spec has {len(spec.rules)} rules"
                )


def _defined(spec: Spec) -> frozenset[str]:
    """Names that open a heading or a bullet, stand in brackets, or belong to an item."""
    openings = [section.title for section in spec.sections]
    for section in spec.sections:
        openings += [strip_strong(b.text) for b in split_blocks(section.text) if b.kind == "bullet"]
    found = [match.group() for text in openings if (match := re.match(r"[A-Z]+-?\d*", text))]
    found += re.findall(r"\(([A-Z]{1,6}-?\d{0,3})\)", spec.text)
    items = " ".join(preference.item for preference in spec.preferences)
    return frozenset([*found, *_ACRONYM.findall(items), *_CODE.findall(items)])
