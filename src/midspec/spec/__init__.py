"""Read and check Model Specs: Markdown in, sections, claims and preferences out.

Example:
    >>> text = "# Core\\n{model_name} values thrift.\\n# Likes\\n- **Colby**: It costs little."
    >>> spec = parse_spec(text, name="demo", model_name="Robin", provider_name="Larch")
    >>> spec.claims[0].text, spec.preferences[0].reason
    ('Robin values thrift.', 'it costs little')
"""

from __future__ import annotations

from midspec.spec.ablation import ablate
from midspec.spec.bundled import bundled_specs, find_spec
from midspec.spec.compare import Comparison, compare_specs
from midspec.spec.contradictions import judge_spec
from midspec.spec.drafts import VariantConfig
from midspec.spec.findings import Finding
from midspec.spec.kinds import KINDS, VARIANTS, VariantKind
from midspec.spec.length import TOLERANCE, TokenCount, count_pieces, token_counter
from midspec.spec.lint import lint_spec
from midspec.spec.neutral import neutral_text, value_words
from midspec.spec.read import parse_spec, read_spec
from midspec.spec.sentences import split_sentences
from midspec.spec.variants import Variant, derive

__all__ = [
    "KINDS",
    "TOLERANCE",
    "VARIANTS",
    "Comparison",
    "Finding",
    "TokenCount",
    "Variant",
    "VariantConfig",
    "VariantKind",
    "ablate",
    "bundled_specs",
    "compare_specs",
    "count_pieces",
    "derive",
    "find_spec",
    "judge_spec",
    "lint_spec",
    "neutral_text",
    "parse_spec",
    "read_spec",
    "split_sentences",
    "token_counter",
    "value_words",
]
