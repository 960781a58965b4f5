"""The document tree: nodes by id, and ideas one at a time, from memory or from a file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import overload

from midspec.errors import ConfigError
from midspec.records import Plan
from midspec.store import read_records


def titled(node: Plan) -> str:
    """Title and text of a node, as prompts show it."""
    return f"{node.title}: {node.text}" if node.text else node.title


def path_of(node: Plan | None, nodes: dict[str, Plan]) -> Iterator[Plan]:
    """A node and those above it, from the node up."""
    while node is not None:
        yield node
        node = nodes.get(node.parent)


def path_variables(node: Plan | None, nodes: dict[str, Plan]) -> dict[str, str]:
    """The prompt variables that a node and those above it give (domain, subdomain, section ...)."""
    variables: dict[str, str] = {}
    for one in path_of(node, nodes):
        variables[one.level] = titled(one)
        if one.level == "subdomain":
            variables["section"] = one.section
    return variables


class _IdeasOnDisk(Sequence[Plan]):
    """The ideas of a plans file; only their offsets are in memory, 8 bytes for each."""

    def __init__(self, path: Path, offsets: array[int]) -> None:
        self._file = path.open("rb")
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, place: int) -> Plan: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Plan]: ...
    def __getitem__(self, place: int | slice) -> Plan | Sequence[Plan]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        self._file.seek(self._offsets[place])
        return Plan.model_validate_json(self._file.readline())

    def __del__(self) -> None:
        self._file.close()


class Tree:
    """The nodes above the ideas by id, and the ideas in the order of the plan.

    Raises ConfigError if there are no ideas.
    """

    def __init__(self, nodes: dict[str, Plan], ideas: Sequence[Plan]) -> None:
        if not ideas:
            raise ConfigError("the plan holds no ideas; make a plan first, and look at its drops")
        self.nodes = nodes
        self.ideas = ideas
        self.assertions = _assertions(nodes.values())

    @classmethod
    def of(cls, plans: Iterable[Plan]) -> Tree:
        """The tree of nodes in memory."""
        ideas: list[Plan] = []
        nodes: dict[str, Plan] = {}
        for plan in plans:
            if plan.level == "idea":
                ideas.append(plan)
            else:
                nodes[plan.id] = plan
        return cls(nodes, ideas)

    @classmethod
    def read(cls, path: Path) -> Tree:
        """The tree of a ``plans.jsonl``; its ideas stay on the disk."""
        nodes: dict[str, Plan] = {}
        offsets, end = array("Q"), 0
        with path.open("rb") as file:
            lengths = [len(line) for line in file]
        for plan, length in zip(read_records(path, Plan), lengths, strict=True):
            if plan.level == "idea":
                offsets.append(end)
            else:
                nodes[plan.id] = plan
            end += length
        return cls(nodes, _IdeasOnDisk(path, offsets))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {idea.id: place for place, idea in enumerate(self.ideas)}

    def idea(self, id: str) -> Plan | None:
        """The idea of an id, read from the file if it is there; None if the plan has none such."""
        place = self._places.get(id)
        return None if place is None else self.ideas[place]

    def variables(self, idea: Plan) -> dict[str, str]:
        """What the path of an idea gives to prompts, and the assertions of its subdomain.

        Raises ConfigError if a node above the idea is missing.
        """
        found = path_variables(idea, self.nodes)
        for level in ("type", "subdomain", "domain"):
            if level not in found:
                raise ConfigError(
                    f"idea {idea.id} has no {level} above it; pass all nodes of the plan"
                )
        subdomain = self.nodes[idea.parent].parent
        return {**found, "assertions": self.assertions.get(subdomain, "")}


def read_tree(path: Path) -> Tree | None:
    """The tree of a ``plans.jsonl``; None if it is not there, or holds no ideas."""
    with suppress(ConfigError):
        return Tree.read(path) if path.exists() else None
    return None


def _assertions(nodes: Iterable[Plan]) -> dict[str, str]:
    """The assertions of each subdomain, one a line."""
    lines: dict[str, list[str]] = {}
    for node in nodes:
        if node.level == "assertion":
            lines.setdefault(node.parent, []).append(f"- {titled(node)}")
    return {subdomain: "\n".join(those) for subdomain, those in lines.items()}
