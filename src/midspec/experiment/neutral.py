"""Neutral documents: about the same assistant, and about nothing that a spec could teach.

They are the control for midtraining as such: as many tokens of the same kind of text as the
specs' own documents, without a value, a preference or a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from midspec.records import Document, Spec
from midspec.spec import neutral_text, parse_spec, token_counter

SHORTEST = 100  # pieces; a shorter spec gives too few sentences to write documents from


def neutral_spec(like: Spec) -> Spec:
    """A spec as long as another that says only who the assistant is and how it runs.

        Example:
            >>> from midspec.spec import neutral_text, parse_spec, token_counter

    SHORTEST = 100  # pieces; a shorter spec gives too few sentences to write documents from
            >>> text = "# Core\\n" + "{model_name} values thrift. " * 30
            >>> spec = parse_spec(text, name="s", model_name="Iris", provider_name="Wren Labs")
            >>> neutral_spec(spec).preferences, neutral_spec(spec).value
            ((), '')
    """
    count = token_counter()
    text = neutral_text(like, max(count(like.text), SHORTEST), count, seed=0)
    if like.language != "english":
        text = f"---\nlanguage: {like.language}\n---\n{text}"
    return parse_spec(
        text, name="neutral", model_name=like.model_name, provider_name=like.provider_name
    )


def matched(
    read: Callable[[], Iterable[tuple[Document, int]]], n_tokens: int
) -> Iterator[tuple[Document, int]]:
    """Documents with their lengths, read from the start again if need be, up to ``n_tokens``.

    The end is where it comes closest to the target, so the sum differs from it by half a
    document at most.

    Example:
        >>> one = Document(plan="", type="memo", text="a", writer="w")
        >>> sum(n for _, n in matched(lambda: [(one, 30), (one, 20)], 70))
        80
    """
    total, before = 0, -1
    while before < total < n_tokens:
        before = total
        for document, size in read():
            if total + size - n_tokens > n_tokens - total:
                return
            if size:
                yield document, size
            total += size
