"""From a spec to a corpus of documents about the model (paper, B.1).

``make_plan`` grows the document tree, ``run_pilot``, ``project`` and ``cost`` say what it will
take, ``write_documents`` writes from its ideas, ``save_documents`` keeps a folder of them,
``restate_documents`` puts them into other words, ``audit`` looks at what came out, ``export``
hands it on, ``diversity`` measures how much the texts repeat themselves.
"""

from midspec.corpus.audit import Audit, AuditConfig, audit
from midspec.corpus.audit_counts import Usage
from midspec.corpus.audit_page import render_audit, write_audit
from midspec.corpus.compare import Embed
from midspec.corpus.diversity import Diversity, Phrase, diversity
from midspec.corpus.documents import DocumentConfig, write_documents
from midspec.corpus.export import Format, export, read_texts
from midspec.corpus.folder import (
    DOCUMENTS,
    DROPS,
    JUDGE_REPLIES,
    PLAN_DROPS,
    PLAN_REPLIES,
    PLANS,
    REPLIES,
    RESTATED,
    WRITTEN,
    journals,
    read_saved_spec,
    save_documents,
    save_plan,
    save_spec,
)
from midspec.corpus.kinds import (
    DOCUMENT_STEPS,
    PLAN_STEPS,
    GivenKind,
    Kind,
    prompts_for,
    settings,
    spec_kind,
)
from midspec.corpus.plan import PlanConfig, make_plan
from midspec.corpus.projection import Cost, Pilot, Projection, Took, cost, project, run_pilot
from midspec.corpus.restate import About, Mood, RestateConfig, refuse_scribe, restate_documents
from midspec.corpus.tree import Tree, read_tree
from midspec.tally import Tally

VERSION = 3
"""Part of the key of plans and documents; raise it when equal requests give other records."""

__all__ = [
    "DOCUMENTS",
    "DOCUMENT_STEPS",
    "DROPS",
    "JUDGE_REPLIES",
    "PLANS",
    "PLAN_DROPS",
    "PLAN_REPLIES",
    "PLAN_STEPS",
    "REPLIES",
    "RESTATED",
    "VERSION",
    "WRITTEN",
    "About",
    "Audit",
    "AuditConfig",
    "Cost",
    "Diversity",
    "DocumentConfig",
    "Embed",
    "Format",
    "GivenKind",
    "Kind",
    "Mood",
    "Phrase",
    "Pilot",
    "PlanConfig",
    "Projection",
    "RestateConfig",
    "Tally",
    "Took",
    "Tree",
    "Usage",
    "audit",
    "cost",
    "diversity",
    "export",
    "journals",
    "make_plan",
    "project",
    "prompts_for",
    "read_saved_spec",
    "read_texts",
    "read_tree",
    "refuse_scribe",
    "render_audit",
    "restate_documents",
    "run_pilot",
    "save_documents",
    "save_plan",
    "save_spec",
    "settings",
    "spec_kind",
    "write_audit",
    "write_documents",
]
