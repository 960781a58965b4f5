"""From a spec to a corpus of documents about the model (paper, B.1).

``make_plan`` grows the document tree, ``write_documents`` writes from its ideas, ``diversity``
measures how much the texts repeat themselves.
"""

from midspec.corpus.diversity import Diversity, Phrase, diversity
from midspec.corpus.documents import DocumentConfig, write_documents
from midspec.corpus.plan import PlanConfig, make_plan

VERSION = 1
"""Part of the key of plans and documents; raise it when equal requests give other records."""

__all__ = [
    "VERSION",
    "Diversity",
    "DocumentConfig",
    "Phrase",
    "PlanConfig",
    "diversity",
    "make_plan",
    "write_documents",
]
