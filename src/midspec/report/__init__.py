"""From scores to one page: statistics over items x seeds, figures, and a verdict."""

from midspec.report.analysis import analyse
from midspec.report.inputs import (
    ArmInfo,
    BaseModelInfo,
    ChatInfo,
    CorpusInfo,
    CurveInfo,
    ReportInput,
    Sample,
    SpecInfo,
    read_inputs,
)
from midspec.report.page import write_report
from midspec.report.results import Analysis

__all__ = [
    "Analysis",
    "ArmInfo",
    "BaseModelInfo",
    "ChatInfo",
    "CorpusInfo",
    "CurveInfo",
    "ReportInput",
    "Sample",
    "SpecInfo",
    "analyse",
    "read_inputs",
    "write_report",
]
