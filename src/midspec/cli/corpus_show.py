"""What the corpus commands say: the tree, what it will take, and what came of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from midspec import corpus
from midspec.cli.show import console
from midspec.llm import Price


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


def print_projection(pilot: corpus.Pilot, n: int, writer: str, price: Price | None) -> None:
    """What the corpus will take, from the pilot and the price table."""
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
            f"projected cost: ${found.live:.2f} live, ${found.cached:.2f} with prompt caching, "
            f"${found.batch:.2f} as batch",
            markup=False,
        )
    else:
        console.print(
            f"projected cost: no price for {writer!r} is known; give a table with --prices",
            markup=False,
        )


def say_tally(tally: corpus.Tally, out: Path) -> None:
    """The sum of a run, and whether to run it again."""
    reasons = ", ".join(f"{name}: {n}" for name, n in tally.reasons.items())
    console.print(
        f"requested {tally.requested} = kept {tally.kept} + dropped {tally.dropped} "
        f"+ failed {tally.failed} ({reasons or 'nothing left out'}) -> {out / corpus.DOCUMENTS}",
        markup=False,
    )
    if tally.asked_again:
        console.print("Run the same command again to ask for what failed.")
