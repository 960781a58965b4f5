"""The specs of a recipe: bundled ones, files, and variants of either (``ablated:NAME``)."""

from __future__ import annotations

import asyncio
from typing import get_args

from midspec.errors import ConfigError
from midspec.experiment.arms import NEUTRAL
from midspec.experiment.neutral import neutral_spec
from midspec.experiment.recipe import Recipe
from midspec.records import Spec
from midspec.spec import (
    VariantConfig,
    VariantKind,
    ablate,
    derive,
    find_spec,
    parse_spec,
    read_spec,
)


def read_specs(recipe: Recipe) -> dict[str, Spec]:
    """The recipe's specs with its names filled in, and the neutral one if an arm needs it."""
    specs = {label: _read(name, recipe) for label, name in recipe.specs.items()}
    if any(arm.neutral for arm in recipe.arms):
        first = next(iter(specs.values()))
        specs[NEUTRAL] = _read(recipe.neutral, recipe) if recipe.neutral else neutral_spec(first)
    if len({spec.language for spec in specs.values()}) > 1:
        said = ", ".join(f"{label}: {spec.language}" for label, spec in specs.items())
        raise ConfigError(f"the specs have different languages ({said}); give all the same")
    return specs


def _read(name: str, recipe: Recipe) -> Spec:
    """A spec by name or file; ``VARIANT:NAME`` is derived here, which needs no model."""
    names = {"model_name": recipe.model_name, "provider_name": recipe.provider_name}
    kind = next((one for one in get_args(VariantKind) if name.startswith(f"{one}:")), None)
    path = find_spec(name.removeprefix(f"{kind}:"))
    if kind is None:
        return read_spec(path, **names)
    text = path.read_text(encoding="utf-8")
    if kind == "ablated":
        # One seed for all, so that specs with equal lists keep equal lists, and equal chats.
        return parse_spec(ablate(text, seed=0), name=f"{path.stem}-ablated", **names)
    config = VariantConfig.model_validate(names)
    try:
        made = asyncio.run(derive(text, kind, name=path.stem, config=config))
    except ConfigError as error:
        raise ConfigError(
            f"{name}: a model has to draft it; run `midspec spec derive ... --variant {kind} "
            "--out FILE`, read the draft, and name the file in the recipe"
        ) from error
    return parse_spec(made.text, name=f"{path.stem}-{kind}", **names)
