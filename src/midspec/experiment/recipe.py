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

from midspec.chats import ChatConfig
from midspec.corpus import DocumentConfig, PlanConfig
from midspec.errors import ConfigError
from midspec.records import Frozen
from midspec.train import TrainConfig

SpecLabel = Literal["A", "B"]


class Step(Frozen):
    """One training step of an arm: midtrain on a spec's documents, or finetune on chats."""

    stage: Literal["midtrain", "finetune"]
    data: Literal["A", "B", "aft", "instruction"]

    @model_validator(mode="after")
    def _fits(self) -> Step:
        if (self.stage == "midtrain") != (self.data in ("A", "B")):
            raise ValueError(
                f"{self.stage}: {self.data} makes no sense; "
                "write midtrain: A or B, finetune: aft or instruction"
            )
        return self


class Arm(Frozen):
    """One training history that is compared: a name and its steps, in order."""

    name: str
    steps: tuple[Step, ...] = ()

    @property
    def spec(self) -> SpecLabel | None:
        """The spec it was midtrained on, if any."""
        for step in self.steps:
            if step.data in ("A", "B"):
                return step.data
        return None

    @property
    def aft(self) -> bool:
        """Whether it was fine-tuned on the alignment chats."""
        return any(step.data == "aft" for step in self.steps)


def _arm(name: str, *steps: tuple[str, str]) -> Arm:
    return Arm(
        name=name, steps=tuple(Step.model_validate({"stage": s, "data": d}) for s, d in steps)
    )


# The paper's figure 2 with its controls: every arm with AFT sees the very same chats.
STANDARD_ARMS: tuple[Arm, ...] = (
    _arm("base"),
    _arm("instruction", ("finetune", "instruction")),
    _arm("AFT", ("finetune", "aft")),
    _arm("MSM-A", ("midtrain", "A")),
    _arm("MSM-B", ("midtrain", "B")),
    _arm("MSM-A+AFT", ("midtrain", "A"), ("finetune", "aft")),
    _arm("MSM-B+AFT", ("midtrain", "B"), ("finetune", "aft")),
)


class Evaluation(Frozen):
    """Which evaluation sets measure which spec's value."""

    A: tuple[str, ...] = Field(
        default=(), description="sets (bundled names or JSONL files) for spec A"
    )
    B: tuple[str, ...] = Field(
        default=(), description="sets (bundled names or JSONL files) for spec B"
    )
    recall: bool = Field(
        default=True, description="add 'why do you like X?' items made from the specs"
    )
    scorers: tuple[Literal["logprob", "greedy"], ...] = ("logprob", "greedy")
    max_items: int = Field(default=0, ge=0, description="items of each set, evenly taken; 0: all")
    max_greedy: int = Field(
        default=0, ge=0, description="items of each set that are also asked for text; 0: all"
    )


class Recipe(Frozen):
    """An experiment: two specs, a base, and how to write, train and measure.

    Example:
        >>> Recipe(name="tea", specs={"A": "a.md", "B": "b.md"}, base="smollm2").seeds
        (0,)
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder of the report")
    base: str = Field(description="'smollm2', 'terrarium', 'tiny', a Hugging Face id or a folder")
    specs: dict[SpecLabel, str] = Field(description="A and B: bundled spec names or files")
    model_name: str = Field(
        default="Juniper", description="name of the assistant in specs and chats"
    )
    provider_name: str = Field(default="Alder Labs", description="who makes the assistant")
    writer: str = Field(default="scribe", description="'scribe' or an Inspect model name")
    concurrency: int = Field(default=16, ge=1, description="calls to the writer in flight")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    corpus_per_seed: bool = Field(
        default=False,
        description="draw a new corpus for each seed, so that seeds include that draw",
    )
    plan: PlanConfig = PlanConfig()
    documents: DocumentConfig = DocumentConfig()
    chats: ChatConfig = ChatConfig()
    instructions: str = Field(
        default="", description="JSONL of chats mixed into fine-tuning; empty: the bundled ones"
    )
    midtrain: TrainConfig = TrainConfig()
    finetune: TrainConfig = TrainConfig()
    evals: Evaluation = Evaluation()
    arms: tuple[Arm, ...] = STANDARD_ARMS

    @field_validator("arms", mode="before")
    @classmethod
    def _read_arms(cls, value: Any) -> Any:
        """Take the short form ``{MSM-A+AFT: [midtrain: A, finetune: aft]}``."""
        if not isinstance(value, dict):
            return value
        return [
            {
                "name": name,
                "steps": [{"stage": s, "data": d} for step in steps or () for s, d in step.items()],
            }
            for name, steps in value.items()
        ]

    @model_validator(mode="after")
    def _complete(self) -> Recipe:
        if set(self.specs) != {"A", "B"}:
            raise ValueError("specs needs both A and B (two specs that explain the same things)")
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"two arms have one name: {sorted(names)}")
        return self


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
        key = ".".join(str(part) for part in first["loc"]) or "recipe"
        hint = ""
        if first["type"] == "extra_forbidden":
            known = _known_keys(tuple(str(part) for part in first["loc"][:-1]))
            hint = _nearest(str(first["loc"][-1]), known) or f"; known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {key!r}{hint}") from error
        raise ConfigError(f"{where}: {key}: {first['msg']} (got {first['input']!r:.80})") from error


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
        if isinstance(value, str) and (folder / value).is_file():
            return str((folder / value).resolve())
        return value

    specs = raw.get("specs")
    if isinstance(specs, dict):
        raw["specs"] = {label: local(name) for label, name in specs.items()}
    if isinstance(raw.get("instructions"), str):
        raw["instructions"] = local(raw["instructions"])
    evals = raw.get("evals")
    if isinstance(evals, dict):
        for label in ("A", "B"):
            if isinstance(evals.get(label), list):
                evals[label] = [local(name) for name in evals[label]]
    return raw


def _nearest(word: str, known: Any) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
