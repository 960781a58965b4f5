"""How much a corpus repeats itself: distinct n-grams, self-BLEU, and the phrases that recur."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from midspec.records import Frozen

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_REFERENCES = 8
_BLEU_WORDS = 200
_TOP = 10


class Phrase(Frozen):
    """A phrase that recurs."""

    text: str
    share: float = Field(description="share of the sampled texts that it stands in, 0 to 1")


class Diversity(Frozen):
    """Figures of one corpus. The counts are of all texts, all else of the sample."""

    n_documents: int
    n_words: int
    mean_words: float
    n_sampled: int
    distinct_1: float = Field(description="distinct words / words")
    distinct_2: float = Field(description="distinct pairs of words / pairs")
    distinct_3: float = Field(description="distinct triples of words / triples")
    self_bleu: float = Field(description="mean BLEU-4 of a text against 8 others, 0 to 1")
    openings: tuple[Phrase, ...] = Field(description="first five words that recur most")
    phrases: tuple[Phrase, ...] = Field(description="five words in a row that recur most")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def _reservoir(texts: Iterable[str], size: int, seed: int) -> tuple[list[list[str]], int, int]:
    """A uniform sample of the texts as words, and the number of texts and of words."""
    rng = random.Random(f"{seed}/diversity")
    sample: list[list[str]] = []
    n_texts = n_words = 0
    for text in texts:
        words = _words(text)
        n_words += len(words)
        if n_texts < size:
            sample.append(words)
        elif (place := rng.randrange(n_texts + 1)) < size:
            sample[place] = words
        n_texts += 1
    return sample, n_texts, n_words


def _distinct(sample: Sequence[Sequence[str]], n: int) -> float:
    """Distinct n-grams by n-grams; 0 if there are none."""
    grams = Counter(gram for words in sample for gram in _ngrams(words, n))
    return len(grams) / max(1, grams.total())


def _self_bleu(sample: Sequence[Sequence[str]], seed: int) -> float:
    """Mean BLEU of the head of each text against the heads of some others."""
    from sacrebleu.metrics.bleu import BLEU

    if len(sample) < 2:
        return 0.0
    bleu = BLEU(tokenize="none", effective_order=True)
    heads = [" ".join(words[:_BLEU_WORDS]) for words in sample]
    rng = random.Random(f"{seed}/self-bleu")
    scores = []
    for place, head in enumerate(heads):
        others = heads[:place] + heads[place + 1 :]
        references = rng.sample(others, min(_REFERENCES, len(others)))
        scores.append(bleu.sentence_score(head, references).score / 100)
    return min(1.0, sum(scores) / len(scores))


def _recurring(per_text: Iterable[set[tuple[str, ...]]], n_texts: int) -> tuple[Phrase, ...]:
    """The phrases that stand in most texts, two at least."""
    counts = Counter(phrase for phrases in per_text for phrase in phrases)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_TOP]
    return tuple(
        Phrase(text=" ".join(phrase), share=count / n_texts)
        for phrase, count in ranked
        if count > 1
    )


def diversity(texts: Iterable[str], sample: int = 200, seed: int = 0) -> Diversity:
    """Figures on how much texts repeat themselves; compare corpora at equal ``sample``.

    The texts are read once; ``sample`` of them are held. Words are compared without case.

    Example:
        >>> figures = diversity(["The cat sat on the mat."] * 2)
        >>> figures.self_bleu, figures.openings[0].text
        (1.0, 'the cat sat on the')
    """
    chosen, n_texts, n_words = _reservoir(texts, sample, seed)
    return Diversity(
        n_documents=n_texts,
        n_words=n_words,
        mean_words=n_words / max(1, n_texts),
        n_sampled=len(chosen),
        distinct_1=_distinct(chosen, 1),
        distinct_2=_distinct(chosen, 2),
        distinct_3=_distinct(chosen, 3),
        self_bleu=_self_bleu(chosen, seed),
        openings=_recurring(({g} for w in chosen for g in _ngrams(w, 5)[:1]), len(chosen)),
        phrases=_recurring((set(_ngrams(words, 5)) for words in chosen), len(chosen)),
    )
