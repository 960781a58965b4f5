"""A recipe: one YAML file that decides an experiment completely.

Strict: an unknown key is an error that names the nearest known one. Pure: reading a recipe
touches nothing but the file itself.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from midspec.chats import ChatConfig, SpecChatConfig
from midspec.corpus import DocumentConfig, PlanConfig
from midspec.errors import ConfigError
from midspec.experiment.arms import (
    AFT,
    NEUTRAL,
    RESERVED,
    Arm,
    read_arms,
    standard_arms,
    with_controls,
)
from midspec.experiment.parts import (
    Comparison,
    Evaluation,
    Resources,
    Restated,
    SpecLabel,
    StageKind,
    check_resources,
    file_name,
    is_names,
)
from midspec.records import Frozen
from midspec.spec import VARIANTS
from midspec.train import TrainConfig


class Recipe(Frozen):
    """An experiment: specs, data, trainings, arms, seeds, evaluations."""

    name: str = Field(pattern=r"^[\w.-]+$", description="folder of the report")
    question: str = Field(default="", description="what the experiment asks; opens the report")
    base: str = Field(description="'smollm2', 'terrarium', 'tiny', a Hugging Face id or a folder")
    bases: tuple[str, ...] = Field(
        default=(), description="several base models, each with all arms and its own report"
    )
    specs: dict[SpecLabel, str] = Field(
        min_length=1,
        description="labels -> bundled names or files; 'ablated:NAME' and the like: a variant",
    )
    neutral: str = Field(
        default="",
        description="spec of the neutral documents; empty: who the assistant is, and no more",
    )
    corpora: dict[SpecLabel, str] = Field(
        default={}, description="JSONL of documents to use for a spec, instead of writing them"
    )
    restated: dict[SpecLabel, Restated] = Field(
        default={}, description="more labels to midtrain on: a spec's documents in other words"
    )
    chat_files: dict[str, str] = Field(
        default={}, description="JSONL of chats for 'aft' or a spec, instead of writing them"
    )
    model_name: str = Field(
        default="Juniper", description="name of the assistant in specs and chats"
    )
    provider_name: str = Field(default="Alder Labs", description="who makes the assistant")
    writer: str = Field(default="scribe", description="'scribe' or an Inspect model name")
    judge: str = Field(
        default="", description="Inspect model that judges chats of a spec; empty: the writer"
    )
    budget: float = Field(
        default=0.0,
        ge=0,
        description="dollars that the writer and the judge of chats may cost; 0: no limit",
    )
    concurrency: int = Field(default=16, ge=1, description="calls to the writer in flight")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    corpus_per_seed: bool = Field(
        default=False,
        description="draw a new corpus for each seed, so that seeds include that draw",
    )
    plan: PlanConfig = PlanConfig()
    documents: DocumentConfig = DocumentConfig()
    chats: ChatConfig = ChatConfig()
    spec_chats: SpecChatConfig = Field(
        default=SpecChatConfig(), description="chats of a spec that lists no preferences"
    )
    instructions: str = Field(
        default="", description="JSONL of chats mixed into fine-tuning; empty: the bundled ones"
    )
    allow_items: bool = Field(
        default=False, description="train on given files although evaluation items are in them"
    )
    midtrain: TrainConfig = TrainConfig()
    finetune: TrainConfig = TrainConfig()
    evals: Evaluation = Evaluation()
    arms: tuple[Arm, ...] = Field(
        default=(), description="arms; empty: the paper's figure 2 for these specs"
    )
    controls: Literal["", "full"] = Field(
        default="", description="'full' adds every control that the arms do not have"
    )
    comparisons: tuple[Comparison, ...] = Field(
        default=(), description="contrasts that answer the question; empty: the crossing"
    )
    resources: dict[StageKind, Resources] = Field(
        default={}, description="kind of stage -> cores, GPUs and processes it takes"
    )

    @field_validator("resources")
    @classmethod
    def _can_be_shared(cls, value: dict[StageKind, Resources]) -> dict[StageKind, Resources]:
        return check_resources(value)

    @field_validator("arms", mode="before")
    @classmethod
    def _read_arms(cls, value: Any) -> Any:
        return read_arms(value)

    @model_validator(mode="before")
    @classmethod
    def _fill_arms(cls, value: Any) -> Any:
        """Without arms: the standard ones of the labels; ``controls: full`` is spelled out."""
        if not isinstance(value, dict) or not isinstance(value.get("specs"), dict):
            return value
        if value.get("bases") and not value.get("base"):
            value = {**value, "base": value["bases"][0]}
        labels = [str(label) for label in value["specs"]]
        if wrong := RESERVED & set(labels):
            raise ValueError(f"{sorted(wrong)[0]!r} is no label for a spec; choose another")
        given = read_arms(value.get("arms")) or ()
        arms = tuple(Arm.model_validate(arm) for arm in given) or standard_arms(labels)
        if value.get("controls") == "full":
            arms = with_controls(labels, arms)
        return {**value, "arms": arms}

    @model_validator(mode="after")
    def _complete(self) -> Recipe:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"two arms have one name: {sorted(names)}")
        if wrong := set(self.restated) & set(self.specs):
            raise ValueError(
                f"{sorted(wrong)[0]!r} names a spec and restated documents; rename one"
            )
        wanted = [
            ("evals", set(self.evals.sets), set(Evaluation.model_fields)),
            ("corpora", set(self.corpora) - {NEUTRAL}, set()),
            ("chat_files", set(self.chat_files) - {AFT}, set()),
            *((f"restated {k!r}", {v.of}, set()) for k, v in self.restated.items()),
            *((f"arm {arm.name!r}", self._needed(arm), set()) for arm in self.arms),
            *((f"comparison {c.name!r}", {c.value}, set()) for c in self.comparisons),
        ]
        for where, labels, keys in wanted:
            _known_labels(where, labels, set(self.specs), keys)
        for comparison in self.comparisons:
            _known_arms(comparison, names)
        return self

    def each(self) -> list[Recipe]:
        """One recipe for each base model; they share documents and chats."""
        if len(self.bases) < 2:
            return [
                self.model_copy(update={"base": base, "bases": ()})
                for base in self.bases or (self.base,)
            ]
        return [
            self.model_copy(update={"base": b, "bases": (), "name": f"{self.name}-{file_name(b)}"})
            for b in self.bases
        ]

    def resources_of(self, kind: str) -> Resources:
        """What stages of a kind ask for."""
        return next((one for name, one in self.resources.items() if name == kind), Resources())

    def _needed(self, arm: Arm) -> set[str]:
        """Specs that an arm needs; restated documents stand for their own."""
        midtrained = {step.label for step in arm.steps if step.stage == "midtrain"}
        return arm.labels - (midtrained & set(self.restated))

    def spec_of(self, arm: Arm) -> SpecLabel | None:
        """The spec that an arm was midtrained on, in whatever words."""
        found = arm.spec
        return self.restated[found].of if found in self.restated else found


def _known_labels(where: str, labels: set[str], specs: set[str], keys: set[str]) -> None:
    for label in sorted(labels - specs):
        raise ValueError(
            f"{where} names the spec {label!r}{_nearest(label, keys | specs)}; "
            f"specs has the labels {', '.join(sorted(specs))}"
        )


def _known_arms(comparison: Comparison, names: list[str]) -> None:
    for arm in comparison.arms:
        if arm not in names:
            raise ValueError(
                f"comparison {comparison.name!r} names the arm {arm!r}{_nearest(arm, names)}; "
                f"arms: {', '.join(names)}"
            )


def bundled_recipes() -> dict[str, Path]:
    """Recipes that come with the package, by name."""
    folder = Path(__file__).parents[1] / "library" / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name_or_path: str) -> Path:
    """The file of a bundled recipe, or the path itself; a ConfigError names the nearest."""
    if name_or_path in bundled_recipes():
        return bundled_recipes()[name_or_path]
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise ConfigError(
        f"no recipe {name_or_path!r}: neither a file nor a bundled recipe"
        f"{_nearest(name_or_path, bundled_recipes())}; bundled: {', '.join(bundled_recipes())}"
    )


def read_recipe(path: Path) -> Recipe:
    """A recipe from YAML; spec and evaluation files are looked up beside the recipe first."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({_one_line(error)})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of keys; see recipes in the docs")
    raw.setdefault("name", path.stem)
    return make_recipe(_beside(raw, path.parent), str(path))


def make_recipe(raw: dict[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from plain values; one ConfigError line names the key and the nearest known one."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise ConfigError(f"{where}: {said}") from error
        key = ".".join(str(part) for part in first["loc"])
        hint = ""
        if first["type"] == "extra_forbidden":
            known = _known_keys(tuple(str(part) for part in first["loc"][:-1]))
            hint = _nearest(str(first["loc"][-1]), known) or f"; known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {key!r}{hint}") from error
        raise ConfigError(f"{where}: {key}: {said} (got {first['input']!r:.80})") from error


def _known_keys(location: tuple[str, ...]) -> list[str]:
    model: type[Frozen] = Recipe
    for part in location:
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, Frozen)):
            return []
        model = annotation
    return list(model.model_fields)


def _beside(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make file names that exist beside the recipe absolute, so that it runs from anywhere."""

    def local(value: Any) -> Any:
        kind, colon, name = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        if kind in ("", *VARIANTS) and name and (folder / name).is_file():
            return f"{kind}{colon}{(folder / name).resolve()}"
        return value

    for key in ("specs", "corpora", "chat_files"):
        if isinstance(raw.get(key), dict):
            raw[key] = {label: local(name) for label, name in raw[key].items()}
    for key in ("instructions", "neutral"):
        raw |= {key: local(raw[key])} if key in raw else {}
    evals: Any = raw.get("evals")
    places: list[Any] = [evals, evals.get("sets")] if isinstance(evals, dict) else []
    for sets in places:
        if isinstance(sets, dict):
            sets |= {k: [local(name) for name in v] for k, v in sets.items() if is_names(v)}
    return raw


def _nearest(word: str, known: Any) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
