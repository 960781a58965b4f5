"""One exception tree; every message names the value that is wrong and the next step.

MidspecError
├── SpecError      a spec file cannot be read as a Model Spec
├── ConfigError    a recipe, flag or environment value is wrong
├── StoreError     an artifact on disk is not what it claims to be
├── WriterError    a language model that writes or judges failed for good
├── BaseError      a base model cannot be found, converted or loaded
├── TrainError     a training stage cannot run or cannot go on
└── EvalError      an evaluation set or a score is wrong
"""

from __future__ import annotations


class MidspecError(Exception):
    """Root of all errors that midspec raises on purpose."""


class SpecError(MidspecError):
    """A spec file cannot be read as a Model Spec."""


class ConfigError(MidspecError):
    """A recipe, flag or environment value is wrong."""


class StoreError(MidspecError):
    """An artifact on disk is not what it claims to be."""


class WriterError(MidspecError):
    """A language model that writes or judges failed for good."""


class BaseError(MidspecError):
    """A base model cannot be found, converted or loaded."""


class TrainError(MidspecError):
    """A training stage cannot run or cannot go on."""


class EvalError(MidspecError):
    """An evaluation set or a score is wrong."""
