"""Rules that turn a spec's third-person sentences into other persons and verb phrases.

The rules are few and careful: a sentence that does not fit them gives ``None``, and the
scribe quotes it instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from midspec.llm.scribe.verbs import (
    BASES,
    base_form,
    is_adverb,
    is_agent_verb,
    is_finite,
    listed,
    third_forms,
)

_NAME, _OF_NAME = "\x00", "\x01"
_TOKEN = re.compile(r"[\x00\x01]|[^\W\d_][\w'’-]*|[^\w\x00\x01]+|\d[\w.,]*", re.UNICODE)


@dataclass(frozen=True)
class Person:
    """The pronouns and the odd verb forms of one grammatical person."""

    subject: str
    object: str
    possessive: str
    reflexive: str
    forms: tuple[tuple[str, str], ...]


FIRST = Person(
    "I", "me", "my", "myself",
    (("is", "am"), ("isn't", "am not"), ("was", "was"), ("has", "have"), ("does", "do"), ("doesn't", "don't"), ("hasn't", "haven't")),
)  # fmt: skip
SECOND = Person(
    "you", "you", "your", "yourself",
    (("is", "are"), ("isn't", "aren't"), ("was", "were"), ("has", "have"), ("does", "do"), ("doesn't", "don't"), ("hasn't", "haven't")),
)  # fmt: skip


def _conjugate(verb: str, person: Person) -> str:
    if verb in dict(person.forms):
        return dict(person.forms)[verb]
    return verb if listed(verb, "modals") else base_form(verb)


class _NoRule(Exception):
    """The sentence does not fit the rules."""


class _Sentence:
    """The tokens of one sentence during a conversion to another person."""

    def __init__(self, text: str, model: str, person: Person) -> None:
        marked = re.sub(rf"\b{re.escape(model)}(['’]s)?(?!\w)", _mark, text)
        self.tokens = _TOKEN.findall(marked)
        self.words = [
            i for i, t in enumerate(self.tokens) if t[0].isalnum() or t in (_NAME, _OF_NAME)
        ]
        self.lower = [self.tokens[i].lower() for i in self.words]
        self.person = person
        self.main_verb = -1  # place of the last verb whose subject is the model

    def convert(self) -> str:
        for k in range(len(self.words)):
            self._convert_word(k)
        return "".join(self.tokens)

    def _convert_word(self, k: int) -> None:
        word, person = self.lower[k], self.person
        if word == _OF_NAME:
            self._set(k, person.possessive)
        elif word == _NAME:
            self._name(k)
        elif word == "it":
            self._it(k)
        elif word == "its":
            self._its(k)
        elif word == "itself":
            self._itself(k)
        elif self._may_be_coordinated(k):
            self._coordinated(k)

    def _set(self, k: int, text: str) -> None:
        self.tokens[self.words[k]] = text

    def _gap(self, k: int) -> str:
        """What stands between word k and the next word (end of text: a full stop)."""
        if k + 1 >= len(self.words):
            return "."
        return "".join(self.tokens[self.words[k] + 1 : self.words[k + 1]])

    def _verb_after(self, k: int) -> int | None:
        """Place of the verb whose subject is word k."""
        v = k + 1
        while self._gap(v - 1).isspace() and v < len(self.lower):
            if is_finite(self.lower[v]):
                return v
            if not is_adverb(self.lower[v]):
                return None
            v += 1
        return None

    def _as_subject(self, k: int, verb: int) -> None:
        self._set(k, self.person.subject)
        self._set(verb, _conjugate(self.lower[verb], self.person))
        self.main_verb = verb

    def _is_object(self, k: int) -> bool:
        before = self.lower[k - 1] if k else ""
        return listed(before, "object_verbs") or listed(before, "prepositions")

    def _is_second_of_pair(self, k: int) -> bool:
        """Whether 'and' or 'or' stands before word k, without a comma before it."""
        before = self.lower[k - 1] if k else ""
        return before in ("and", "or") and (k < 2 or self._gap(k - 2).isspace())

    def _is_joined(self, k: int) -> bool:
        """Whether 'and' or 'or' follows word k without a comma."""
        after = self.lower[k + 1] if k + 1 < len(self.lower) else ""
        return after in ("and", "or") and self._gap(k).isspace()

    def _name(self, k: int) -> None:
        verb = self._verb_after(k)
        if verb is not None and not self._is_second_of_pair(k):
            self._as_subject(k, verb)
        elif self._is_object(k) and not self._is_joined(k):
            self._set(k, self.person.object)
        else:
            raise _NoRule

    def _it(self, k: int) -> None:
        before = self.lower[k - 1] if k else ""
        if before.endswith("ing") or listed(before, "prepositions"):
            return  # the object of something, and most often a thing
        verb = self._verb_after(k)
        if verb is None:
            if listed(before, "object_verbs"):
                self._set(k, self.person.object)
        elif is_agent_verb(self.lower[verb]) or self._is_passive(verb):
            self._as_subject(k, verb)
        elif self.lower[verb] not in third_forms("thing_verbs"):
            raise _NoRule

    def _is_passive(self, verb: int) -> bool:
        """``it is asked``, ``it was told``: said of the assistant."""
        after = self.lower[verb + 1] if verb + 1 < len(self.lower) else ""
        return self.lower[verb] in ("is", "was") and listed(after, "object_verbs")

    def _its(self, k: int) -> None:
        after = self.lower[k + 1] if k + 1 < len(self.lower) else ""
        if listed(after, "own_nouns"):
            self._set(k, self.person.possessive)
        elif not listed(after, "thing_nouns"):
            raise _NoRule

    def _itself(self, k: int) -> None:
        if not self._is_object(k) and self.lower[k - 1] not in third_forms("agent_verbs"):
            raise _NoRule
        self._set(k, self.person.reflexive)

    def _may_be_coordinated(self, k: int) -> bool:
        """Whether word k is in -s and follows 'and', 'or' ... or a comma, adverbs skipped."""
        if self.main_verb < 0 or k <= self.main_verb + 1 or not is_finite(self.lower[k]):
            return False
        before = k - 1
        while before > self.main_verb and is_adverb(self.lower[before]):
            before -= 1
        return self.lower[before] in ("and", "or", "but", "nor", "then") or "," in self._gap(k - 1)

    def _has_object(self, k: int) -> bool:
        """Whether more than conjunctions and adverbs stands between the verb and word k."""
        between = self.lower[self.main_verb + 1 : k]
        return any(
            w not in ("and", "or", "but", "nor", "then") and not is_adverb(w) for w in between
        )

    def _coordinated(self, k: int) -> None:
        word = self.lower[k]
        if listed(word, "modals"):
            return
        after = self.lower[k + 1] if k + 1 < len(self.lower) else ""
        is_verb = word in third_forms("agent_verbs") or word in dict(self.person.forms)
        if not is_verb:
            if listed(after, "determiners") or not self._has_object(k):
                raise _NoRule
            return
        between = self.lower[self.main_verb + 1 : k]
        if word in third_forms("noun_like") or any(listed(w, "subordinators") for w in between):
            raise _NoRule
        self._set(k, _conjugate(word, self.person))


def _mark(match: re.Match[str]) -> str:
    return _OF_NAME if match.group(1) else _NAME


def to_person(sentence: str, model: str, person: Person) -> str | None:
    """A sentence about the model, said by it (``FIRST``) or to it (``SECOND``).

    ``None`` if the rules do not cover the sentence, or if it does not mention the model.

    Example:
        >>> to_person("Robin relies on its own judgement and explains itself.", "Robin", FIRST)
        'I rely on my own judgement and explain myself.'
        >>> to_person("People ask Robin, and it answers.", "Robin", SECOND)
        'People ask you, and you answer.'
        >>> to_person("Robin likes goods that cost little and Meadow agrees?", "Robin", FIRST)
    """
    if re.search(r"[?\"“”;]", sentence) or not re.search(rf"\b{re.escape(model)}\b", sentence):
        return None
    try:
        return capital(_Sentence(_unfold(sentence, model), model, person).convert())
    except _NoRule:
        return None


def _unfold(sentence: str, model: str) -> str:
    """Two turns that have to be put otherwise before the person can change.

    'Robin, made by Meadow, prefers' -> 'Robin was made by Meadow, and Robin prefers', and
    'in the eyes of Robin' -> "in Robin's eyes".
    """
    name = re.escape(model)
    pattern = rf"^{name}, ((?:made|built|created|developed|trained) by [^,]+), (?=\w+s\b)"
    text = re.sub(pattern, lambda m: f"{model} was {m.group(1)}, and {model} ", sentence)
    parts = "eyes|view|opinion|mind|judgment|judgement|case"
    return re.sub(
        rf"\bthe ({parts}) of {name}(?!['’\w])", lambda m: f"{model}'s {m.group(1)}", text
    )


def verb_phrase(sentence: str, model: str) -> tuple[str, str | None] | None:
    """The predicate of '<model> <verb> ...', and its infinitive without 'to' if there is one.

    Example:
        >>> verb_phrase("Robin prefers what lasts.", "Robin")
        ('prefers what lasts', 'prefer what lasts')
        >>> verb_phrase("Robin must ask first.", "Robin")
        ('must ask first', None)
    """
    match = re.match(rf"{re.escape(model)} (.+?)\.?$", sentence, re.DOTALL)
    if not match or re.search(r"[.?!;:\"“”]", match.group(1)):
        return None
    text = re.sub(r"^(also|therefore|thus) ", "", match.group(1))
    words = text.split(" ")
    verb = next((i for i, w in enumerate(words) if not is_adverb(w)), 0)
    if not is_finite(words[verb]):
        return None
    return text, _infinitive(words, verb)


def _infinitive(words: list[str], verb: int) -> str | None:
    if listed(words[verb], "modals") or words[verb] in ("was", "doesn't", "hasn't"):
        return None
    if _has_second_verb(words[verb + 1 :]):
        return None
    denied = words[verb + 1 : verb + 2] == ["not"]
    rest = words[verb + 2 :] if denied else words[verb + 1 :]
    bases = [] if denied and words[verb] == "does" else [base_form(words[verb])]
    return " ".join([*words[:verb], *["not"] * denied, *bases, *rest])


def _has_second_verb(words: list[str]) -> bool:
    """Whether a later verb goes with the same subject: '... and says so', '..., agrees'."""
    may_follow = False
    for word in words:
        plain = word.rstrip(",")
        if may_follow and (plain in third_forms("agent_verbs") or plain in BASES):
            return True
        joins = plain in ("and", "or", "but", "nor", "then")
        may_follow = joins or word.endswith(",") or (may_follow and is_adverb(plain))
    return False


def capital(text: str) -> str:
    """The text with its first letter in upper case (an opening quotation mark is skipped).

    Example:
        >>> capital("'so it goes'"), capital("tea")
        ("'So it goes'", 'Tea')
    """
    for i, letter in enumerate(text[:3]):
        if letter.isalpha():
            return text[:i] + letter.upper() + text[i + 1 :]
        if letter not in "'\"“‘(":
            break
    return text


def article(noun: str) -> str:
    """``a`` or ``an`` for a noun phrase.

    Example:
        >>> article("editor"), article("user"), article("hour-long call"), article("one-off")
        ('an', 'a', 'an', 'a')
    """
    word = noun.lower()
    if word.startswith(("uni", "use", "usu", "one", "eu", "ute", "ubi")) and not word.startswith(
        "unin"
    ):
        return "a"
    return "an" if word[:1] in "aeiou" or word.startswith(("hour", "honest", "heir")) else "a"
