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
from midspec.spec.lint import Finding, lint_spec
from midspec.spec.read import parse_spec, read_spec
from midspec.spec.sentences import split_sentences

__all__ = [
    "Finding",
    "ablate",
    "bundled_specs",
    "find_spec",
    "lint_spec",
    "parse_spec",
    "read_spec",
    "split_sentences",
]
