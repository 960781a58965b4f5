"""Training: midtrain on texts, fine-tune on chats, from any base or checkpoint.

The flow: ``examples`` (text or chat -> token ids and labels) -> ``packing`` (rows) -> ``plan``
(what would be trained) -> ``engine`` (the Trainer) -> ``stages`` (midtrain, finetune).
"""

from __future__ import annotations

from midspec.train.config import TrainConfig
from midspec.train.plan import TrainPlan
from midspec.train.stages import finetune, midtrain, plan_training

VERSION = 1  # of rows, loss and schedule: artifacts of another version are trained anew

__all__ = ["VERSION", "TrainConfig", "TrainPlan", "finetune", "midtrain", "plan_training"]
