"""What the corpus commands say: the tree, what it will take, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from midspec import corpus
from midspec.cli.show import console
from midspec.llm import Ledger, Price


def print_tree(tree: corpus.Tree) -> None:
    """Domains and subdomains, with what each holds."""
    below: dict[str, list[str]] = {}
    for node in tree.nodes.values():
        below.setdefault(node.parent, []).append(node.id)
    ideas = Counter(idea.parent for idea in tree.ideas)
    for domain in below.get("", []):
        console.print(tree.nodes[domain].title, style="bold", markup=False)
        for child in below.get(domain, []):
            nodes = [tree.nodes[id] for id in below.get(child, [])]
            kinds = Counter(node.level for node in nodes)
            n_ideas = sum(ideas[node.id] for node in nodes if node.level == "type")
            console.print(
                f"  {tree.nodes[child].title}: {kinds['assertion']} assertions, "
                f"{kinds['type']} types, {n_ideas} ideas",
                markup=False,
            )

    levels = Counter(node.level for node in tree.nodes.values())
    console.print(
        f"together: {levels['domain']} domains, {levels['subdomain']} subdomains, "
        f"{levels['assertion']} assertions, {levels['type']} types, {len(tree.ideas)} ideas",
        markup=False,
    )


def print_reasons(reasons: Counter[str]) -> None:
    """What is not in the plan, and why."""
    if reasons:
        told = ", ".join(f"{name}: {n}" for name, n in reasons.most_common())
        console.print(f"left out of the plan: {reasons.total()} ({told})", markup=False)


def print_projection(
    pilot: corpus.Pilot, n: int, planning: Ledger, writer: str, price: Price | None
) -> None:
    """What the plan took, and what the corpus will take, from the pilot and the price table."""
    projected = corpus.project(pilot, n)
    console.print(
        f"\nprojected from {pilot.n_documents} pilot documents: {n} documents, "
        f"{projected.corpus_tokens:,} tokens of text; {projected.requests:,} requests, "
        f"{projected.input_tokens:,} tokens in, {projected.output_tokens:,} out",
        markup=False,
    )
    if pilot.n_written < pilot.n_documents:
        console.print(
            f"only {pilot.n_written} of them could be used: look at {corpus.REPLIES} first",
            markup=False,
        )
    if price:
        found = corpus.cost(pilot, n, price)
        console.print(
            f"projected cost: ${found.live:.2f} live, ${found.cached:.2f} with prompt caching"
            f"{_range(found)}, ${found.batch:.2f} as batch; the plan's {planning.replies} requests, "
            f"not in these: ${planning.cost or 0:.2f}, paid",
            markup=False,
        )
    else:
        console.print(
            f"projected cost: no price for {writer!r} is known; give a table with --prices",
            markup=False,
        )


def _range(cost: corpus.Cost) -> str:
    """Between what the documents of the pilot let the cost be, with 95% confidence."""
    if not cost.margin:
        return ""
    return f" ({max(0.0, cost.cached - cost.margin):.2f} to {cost.cached + cost.margin:.2f})"


def print_cost(usage: Sequence[corpus.Usage]) -> None:
    """What was paid, and for what."""
    paid: dict[str, float] = {}
    for one in usage:
        name = _PURPOSES.get(one.journal, one.journal)
        paid[name] = paid.get(name, 0.0) + (one.usd or 0.0)
    if total := sum(paid.values()):
        told = ", ".join(f"{name} ${usd:.2f}" for name, usd in paid.items())
        console.print(f"cost: ${total:.2f} ({told})", markup=False)


_PURPOSES = {
    corpus.PLAN_REPLIES: "the plan",
    corpus.REPLIES: "documents",
    corpus.JUDGE_REPLIES: "the judge",
    f"{corpus.RESTATED}/{corpus.REPLIES}": "restated",
}


def say_tally(tally: corpus.Tally, out: Path) -> None:
    """The sum of a run, and whether to run it again."""
    console.print(f"{tally.line()} -> {out / corpus.DOCUMENTS}", markup=False)
    if tally.asked_again:
        console.print("Run the same command again to ask for what failed.")
