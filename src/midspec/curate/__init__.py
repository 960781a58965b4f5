"""Keep a record, or drop it with a reason: kept + dropped is always the input.

A rule is a small object with a ``name`` and ``check(record) -> Drop | None``; ``default_rules``
gives the usual ones in an order that is safe for those that remember what they saw.
"""

from midspec.curate.curate import Tally, curate, default_rules, split
from midspec.curate.duplicates import ExactDuplicate, NearDuplicate
from midspec.curate.leak import EvaluationLeak
from midspec.curate.rules import Refusal, Rule, TooShort, Truncated, WrongIdentity
from midspec.curate.text import text_of

# Part of the keys of what this room makes: raise it when the code changes the result.
VERSION = 1

__all__ = [
    "VERSION",
    "EvaluationLeak",
    "ExactDuplicate",
    "NearDuplicate",
    "Refusal",
    "Rule",
    "Tally",
    "TooShort",
    "Truncated",
    "WrongIdentity",
    "curate",
    "default_rules",
    "split",
    "text_of",
]
