"""Keep a record, or drop it with a reason: kept + dropped + failed is always the input.

A rule is a small object with a ``name`` and ``check(record) -> Drop | None``; ``default_rules``
gives the usual ones in an order that is safe for those that remember what they saw. What needs
more than one record at a time takes and gives the whole stream, drops included, in the same
order: ``similar`` (embeddings) and ``judged`` (a language model). ``curate_file`` runs all of
it from one JSONL file into a folder; ``patterns`` finds what a corpus says too often.
"""

from midspec.curate.curate import curate, default_rules, split
from midspec.curate.duplicates import ExactDuplicate, NearDuplicate
from midspec.curate.identity import WrongIdentity, WrongRule
from midspec.curate.judge import JUDGE_PROMPT, judged, parse_verdict, refuse_scribe
from midspec.curate.leak import EvaluationLeak
from midspec.curate.patterns import Pattern, Patterns, PatternScan, patterns, to_avoid
from midspec.curate.rules import Refusal, Rule, TooShort, Truncated
from midspec.curate.run import CurateConfig, Curation, curate_file
from midspec.curate.similar import similar
from midspec.curate.text import text_of
from midspec.curate.traces import Authored, Dated, LeakedTag, Linked, Placeholder, WriterTalk
from midspec.tally import Tally

# Part of the keys of what this room makes: raise it when the code changes the result.
VERSION = 2

__all__ = [
    "JUDGE_PROMPT",
    "VERSION",
    "Authored",
    "CurateConfig",
    "Curation",
    "Dated",
    "EvaluationLeak",
    "ExactDuplicate",
    "LeakedTag",
    "Linked",
    "NearDuplicate",
    "Pattern",
    "PatternScan",
    "Patterns",
    "Placeholder",
    "Refusal",
    "Rule",
    "Tally",
    "TooShort",
    "Truncated",
    "WriterTalk",
    "WrongIdentity",
    "WrongRule",
    "curate",
    "curate_file",
    "default_rules",
    "judged",
    "parse_verdict",
    "patterns",
    "refuse_scribe",
    "similar",
    "split",
    "text_of",
    "to_avoid",
]
