"""The plan of a corpus: a tree from the spec down to document ideas (paper, B.1).

spec -> domains -> subdomains, each with the part of the spec it covers -> assertions, and
document types -> ideas, asked for in rounds that show the ideas so far.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from midspec.corpus.decks import Decks
from midspec.corpus.kinds import SCRIBE, GivenKind, prompts_for
from midspec.corpus.spec_text import verbatim
from midspec.corpus.tree import path_variables, titled
from midspec.llm import Desk, Request, Unusable, Writer, lists
from midspec.progress import Progress, silent
from midspec.records import Drop, Frozen, Plan, PlanLevel, Spec

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Label = Literal["behaviour", "value", "preference", "belief", "tone"]
_ALL = 10_000
_ELSEWHERE = 60  # titles of ideas for other types that a prompt shows


class PlanConfig(Frozen):
    """How large a plan is. At most domains x n_subdomains x n_types x n_ideas ideas."""

    n_subdomains: int = Field(default=4, ge=1, description="at most so many subdomains in a domain")
    n_types: int = Field(default=6, ge=1, description="document types in a subdomain (paper: 20)")
    n_ideas: int = Field(default=5, ge=1, description="ideas for each type (paper: 25)")
    ideas_per_request: int = Field(
        default=10,
        ge=1,
        description="ideas in one reply; each round shows the ideas of the rounds before",
    )
    max_tokens: int = Field(default=8192, ge=1, description="limit of one planning reply")
    kind: GivenKind = Field(
        default="auto", description="prompts for a spec of values or of rules; auto: by the spec"
    )
    seed: int = Field(default=0, ge=0, description="another seed asks for another plan")


class _Title(BaseModel):
    title: Text


class _Idea(_Title):
    text: Text


class _Subdomain(_Idea):
    section: Text


def _british(label: Any) -> Any:
    """Accept 'Behavior' for 'behaviour'."""
    return label.lower().replace("behavior", "behaviour") if isinstance(label, str) else label


class _Assertion(_Idea):
    label: Annotated[Label, BeforeValidator(_british)]


class _Planner:
    """Grows the tree level by level; ``nodes`` holds what was kept."""

    def __init__(
        self, spec: Spec, desk: Desk, config: PlanConfig, progress: Progress, writer: str
    ) -> None:
        self.spec = spec
        self.desk = desk
        self.config = config
        self.progress = progress
        self.prompts = prompts_for(spec, writer, config.kind)
        # The scribe has people and occasions of its own.
        self.decks = None if writer == SCRIBE else Decks(config.seed)
        self.nodes: dict[str, Plan] = {}
        self.children: dict[str, list[Plan]] = {}

    def levels(self) -> Iterator[AsyncGenerator[Plan | Drop]]:
        """The steps of growing; each is to be used up before the next is taken."""
        yield self._grow("domain", _Title, [None], _ALL)
        yield self._grow("subdomain", _Subdomain, self._at("domain"), self.config.n_subdomains)
        yield self._grow("assertion", _Assertion, self._at("subdomain"), _ALL)
        yield self._grow("type", _Title, self._at("subdomain"), self.config.n_types)
        size = self.config.ideas_per_request
        for turn, have in enumerate(range(0, self.config.n_ideas, size)):
            wanted = min(size, self.config.n_ideas - have)
            yield self._grow("idea", _Idea, self._at("type"), wanted, turn)
        yield self._shortfalls()

    def keep(self, node: Plan) -> None:
        """Add a node to the tree."""
        self.nodes[node.id] = node
        self.children.setdefault(node.parent, []).append(node)

    def _at(self, level: PlanLevel) -> list[Plan]:
        return [node for node in self.nodes.values() if node.level == level]

    async def _grow(
        self,
        level: PlanLevel,
        shape: type[_Title],
        parents: Sequence[Plan | None],
        n: int,
        turn: int = 0,
    ) -> AsyncGenerator[Plan | Drop]:
        """Ask for the children of each parent."""
        requests = [
            self._request(level, parent, n, turn, place) for place, parent in enumerate(parents)
        ]
        waiting = iter(parents)
        async with aclosing(lists(self.desk, requests, shape, self.progress)) as found:
            async for _, members in found:
                parent = next(waiting)
                for node in self._children(level, parent, members, n):
                    yield node

    def _request(
        self, level: PlanLevel, parent: Plan | None, n: int, turn: int, place: int
    ) -> Request:
        variables = path_variables(parent, self.nodes)
        if level in ("subdomain", "type", "idea"):
            variables["n"] = str(n)
        if level == "idea" and parent:
            earlier = (f"- {titled(idea)}" for idea in self.children.get(parent.id, ()))
            variables["earlier"] = "\n".join(earlier)
            if self.decks:
                first = place * self.config.n_ideas + turn * self.config.ideas_per_request
                variables["angles"] = _angles(self.decks.angles(first, n))
                variables["elsewhere"] = self._elsewhere(parent)
        return Request(
            prompt=self.prompts[level],
            spec=self.spec,
            variables=variables,
            seed=1000 * self.config.seed + turn,
            max_tokens=self.config.max_tokens,
        )

    def _elsewhere(self, kind: Plan) -> str:
        """Titles of the latest ideas for other types of the same subdomain."""
        siblings = (
            one for one in self.children[kind.parent] if one.level == "type" and one is not kind
        )
        titles = [idea.title for one in siblings for idea in self.children.get(one.id, ())]
        return "\n".join(f"- {title}" for title in titles[-_ELSEWHERE:])

    def _children(
        self, level: PlanLevel, parent: Plan | None, members: Sequence[_Title] | Unusable, n: int
    ) -> Iterator[Plan | Drop]:
        """Turn the members of a reply into nodes, or say why not."""
        above = parent.id if parent else ""
        if isinstance(members, Unusable):
            reason, evidence = members.reason, members.evidence
            yield Drop(
                record=above or self.spec.id, reason=reason, evidence=f"{level}s: {evidence}"
            )
            return
        siblings, fresh = self._names(above, level), 0
        for member in members:
            node = self._node(level, above, len(siblings), member)
            name = _name(node)
            if isinstance(member, _Subdomain) and not node.section:
                yield Drop(
                    record=node.id, reason="section_not_in_spec", evidence=member.section[:200]
                )
            elif name in siblings:
                yield Drop(
                    record=node.id, reason="duplicate", evidence=node.title, of=siblings[name]
                )
            elif fresh == n:
                yield Drop(record=node.id, reason="surplus", evidence=node.title)
            else:
                siblings[name] = node.id
                fresh += 1
                yield node

    def _names(self, parent: str, level: PlanLevel) -> dict[str, str]:
        """Ids of the siblings that there are, by name."""
        nodes = self.children.get(parent, ())
        return {_name(node): node.id for node in nodes if node.level == level}

    def _node(self, level: PlanLevel, parent: str, position: int, member: _Title) -> Plan:
        title = (
            f"{member.title} ({member.label})" if isinstance(member, _Assertion) else member.title
        )
        section = ""
        if isinstance(member, _Subdomain):
            section = verbatim(member.section, self.spec.text) or ""
        text = member.text if isinstance(member, _Idea) else ""
        return Plan(
            level=level, parent=parent, position=position, title=title, text=text, section=section
        )

    async def _shortfalls(self) -> AsyncGenerator[Plan | Drop]:
        """What was asked for and did not come."""
        wanted: dict[PlanLevel, tuple[PlanLevel, int]] = {
            "subdomain": ("type", self.config.n_types),
            "type": ("idea", self.config.n_ideas),
        }
        for node in list(self.nodes.values()):
            if node.level in wanted:
                level, n = wanted[node.level]
                have = len(self._names(node.id, level))
                if have < n:
                    yield Drop(record=node.id, reason="short", evidence=f"{have} of {n} {level}s")


def _angles(dealt: Sequence[tuple[str, str]]) -> str:
    """Dealt settings and stances as a numbered list."""
    lines = (f"{setting}; {stance}" for setting, stance in dealt)
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def _name(node: Plan) -> str:
    """What makes siblings equal: a type's title; title and text of the others."""
    return " ".join(f"{node.title} {node.text}".casefold().split())


async def make_plan(
    spec: Spec,
    writer: Writer,
    config: PlanConfig,
    journal: Path,
    progress: Progress = silent,
    *,
    concurrency: int = 16,
) -> AsyncGenerator[Plan | Drop]:
    """Nodes of the document tree, parents before children (paper, B.1).

    A subdomain's section is always a verbatim part of the spec. What cannot be used is a Drop
    under the parent's id (``truncated``, ``refusal``, ``error``, ``unparsable``; ``short`` if
    fewer types or ideas came than were asked for) or its own (``section_not_in_spec``,
    ``duplicate``, ``surplus``). Raises WriterError if the writer failed for good.
    """
    async with Desk(writer, journal, concurrency=concurrency) as desk:
        planner = _Planner(spec, desk, config, progress, writer.name)
        for level in planner.levels():
            async with aclosing(level) as nodes:
                async for node in nodes:
                    if isinstance(node, Plan):
                        planner.keep(node)
                    yield node
