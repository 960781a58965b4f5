"""Markdown of variants: front matter, rules, and names turned back into variables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import yaml

from midspec.records import Rule

INTRO = (
    "# About {model_name}\n\n{model_name} is an AI assistant made by {provider_name}. "
    "{model_name} follows the rules below."
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKS = re.compile(r"^(?:[-*+#>]+\s+|\d{1,3}[.)]\s+)+")


def spec_file(front: Mapping[str, str], note: str, body: str) -> str:
    """A spec file: front matter without empty keys, a comment with ``note``, and the body."""
    kept = {key: value for key, value in front.items() if value}
    head = f"---\n{yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)}---\n" if kept else ""
    return f"{head}<!-- {note.replace('--', '- -')} -->\n\n{body.strip()}\n"


def rules_body(rules: Sequence[Rule]) -> str:
    """The introduction and a numbered list: rule, reason, and subrules below it.

    Reading the result gives the same rules.

    Example:
        >>> print(rules_body([Rule(text="Iris asks.", reason="it may err")]).splitlines()[-1])
        1. Iris asks, because it may err.
    """
    lines = []
    for number, rule in enumerate(rules, 1):
        lines.append(f"{number}. {_rule_line(rule)}")
        lines += [f"   - {subrule}" for subrule in rule.subrules]
    return f"{INTRO}\n\n# Rules\n\n" + "\n".join(lines)


def _rule_line(rule: Rule) -> str:
    if not rule.reason:
        return rule.text
    reason = rule.reason if rule.reason[-1] in ".!?" else f"{rule.reason}."
    if rule.reason[0].islower():  # a clause; a capital opens a sentence of its own
        return f"{rule.text.rstrip('.')}, because {reason}"
    return f"{rule.text} {reason}"


def one_line(text: str) -> str:
    """A written text as one plain sentence or more: no line breaks, list marks or comments.

    Example:
        >>> one_line("- Iris\\n  asks first")
        'Iris asks first.'
    """
    plain = " ".join(clean(text).replace("**", "").split())
    plain = _MARKS.sub("", plain).strip()
    return plain if not plain or plain[-1] in ".!?" else f"{plain}."


def clean(text: str) -> str:
    """A written text without control characters, and without the marks of comments."""
    plain = text.replace("\r\n", "\n").replace("\t", " ")
    return re.sub(r"<!--|-->", "", _CONTROL.sub("", plain))


def unfill(text: str, model_name: str, provider_name: str) -> str:
    """The text with the two names turned back into variables, the longer name first.

    Example:
        >>> unfill("Robin's maker is Larch; Robins fly.", "Robin", "Larch")
        "{model_name}'s maker is {provider_name}; Robins fly."
    """
    names = {model_name: "{model_name}", provider_name: "{provider_name}"}
    found = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{found})(?!\w)", lambda match: names[match.group()], text)
