"""From a spec to a corpus of documents about the model (paper, B.1).

``make_plan`` grows the document tree, ``write_documents`` writes from its ideas, ``diversity``
measures how much the texts repeat themselves.
"""

from midspec.corpus.diversity import Diversity, Phrase, diversity
from midspec.corpus.documents import DocumentConfig, write_documents
from midspec.corpus.plan import PlanConfig, make_plan

__all__ = [
    "Diversity",
    "DocumentConfig",
    "Phrase",
    "PlanConfig",
    "diversity",
    "make_plan",
    "write_documents",
]
