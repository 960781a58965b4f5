"""Training: midtrain on texts, fine-tune on chats, from any base or checkpoint.

The flow: ``examples`` (text or chat -> token ids and labels) -> ``packing`` (rows) -> ``plan``
(what would be trained) -> ``engine`` (the Trainer) -> ``stages`` (midtrain, finetune). Beside it:
``memory`` and ``sizes`` (does it fit), ``calibrate`` (how long), ``card`` and ``publish`` (for others).
"""

from __future__ import annotations

from midspec.train.calibrate import Timing, calibrate
from midspec.train.card import Lineage, read_lineage, write_card
from midspec.train.config import TrainConfig
from midspec.train.failures import Preempted
from midspec.train.plan import TrainPlan
from midspec.train.publish import merge, push
from midspec.train.stages import finetune, midtrain, plan_training

VERSION = 1  # of rows, loss and schedule: artifacts of another version are trained anew

__all__ = [
    "VERSION",
    "Lineage",
    "Preempted",
    "Timing",
    "TrainConfig",
    "TrainPlan",
    "calibrate",
    "finetune",
    "merge",
    "midtrain",
    "plan_training",
    "push",
    "read_lineage",
    "write_card",
]
