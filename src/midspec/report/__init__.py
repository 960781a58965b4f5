"""From scores to one page: statistics over items x seeds, figures, and a verdict."""

from midspec.report.analysis import analyse
from midspec.report.inputs import (
    ArmInfo,
    BaseModelInfo,
    ChatInfo,
    CorpusInfo,
    CurveInfo,
    DosePoint,
    Question,
    ReasonInfo,
    ReasonRow,
    ReportInput,
    Sample,
    SpecInfo,
    TrainingInfo,
    read_inputs,
)
from midspec.report.matching import Mismatch, mismatches
from midspec.report.page import write_report
from midspec.report.power import Detectable, minimum_detectable_effect
from midspec.report.results import Analysis

__all__ = [
    "Analysis",
    "ArmInfo",
    "BaseModelInfo",
    "ChatInfo",
    "CorpusInfo",
    "CurveInfo",
    "Detectable",
    "DosePoint",
    "Mismatch",
    "Question",
    "ReasonInfo",
    "ReasonRow",
    "ReportInput",
    "Sample",
    "SpecInfo",
    "TrainingInfo",
    "analyse",
    "minimum_detectable_effect",
    "mismatches",
    "read_inputs",
    "write_report",
]
