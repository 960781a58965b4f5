"""Traces of how a text was made: tags, talk to the person who asked, blanks, dates, links, authors.

Documents are asked to have none of them (paper, B.1). Patterns are narrow on purpose: each
drops nothing from the scribe's documents, and has a near miss in the tests that it keeps.
"""

from __future__ import annotations

import re

from midspec.curate.text import lines_with_digits, said_by_model
from midspec.records import Conversation, Document, Drop, Spec

Record = Document | Conversation
_SHOWN = 80


class _Search:
    """A rule that drops a text in which a pattern is found; ``chats=False`` leaves chats alone."""

    name = ""

    def __init__(self, pattern: re.Pattern[str], *, chats: bool) -> None:
        self._pattern = pattern
        self._chats = chats

    def check(self, record: Record) -> Drop | None:
        """Drop if the pattern is in what the model wrote."""
        if isinstance(record, Conversation) and not self._chats:
            return None
        for text in self.texts(record):
            if found := self._pattern.search(text):
                evidence = " ".join(found.group(0).split())[:_SHOWN]
                return Drop(record=record.id, reason=self.name, evidence=evidence)
        return None

    def texts(self, record: Record) -> list[str]:
        """What is searched: by default all that the model wrote."""
        return said_by_model(record)


_THOUGHTS = "think|thinking|thoughts?|reasoning|scratchpad"
_TEMPLATE = r"<\|[\w-]+\|>|\[/?(?:INST|THINK)\]|◁/?think▷"  # of chats, as models see them
_TAG = re.compile(
    rf"</?(?:{_THOUGHTS}|document|documents|content|final|plan|planning|analysis|critique|draft"
    r"|reply|response|answer|output|result|idea|assertions|section|model_spec|user|assistant|system)"
    rf"\s*/?>|{_TEMPLATE}|^\s*(?:scratchpad|my plan|plan for the document)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_CHAT_TAG = re.compile(rf"</?(?:{_THOUGHTS})\s*/?>|{_TEMPLATE}", re.IGNORECASE)
_REASONED = re.compile(rf"\s*<({_THOUGHTS})>(?P<inside>.*?)</\1>", re.DOTALL | re.IGNORECASE)


class LeakedTag:
    """Drops texts with a tag of the prompt or of a chat template, or with the writer's plan.

    In a chat, one reasoning block that opens an answer and is closed is no leak ("with CoT"),
    but an unclosed, nested or second one is; other tags ("<section>") can be asked-for code.

    Example:
        >>> doc = Document(plan="", type="memo", text="<scratchpad>Plan: a memo", writer="w")
        >>> LeakedTag().check(doc).evidence
        '<scratchpad>'
    """

    name = "leaked_tag"

    def check(self, record: Record) -> Drop | None:
        """Drop if a tag is left over."""
        chat = isinstance(record, Conversation)
        for text in said_by_model(record):
            found = _CHAT_TAG.search(_without_reasoning(text)) if chat else _TAG.search(text)
            if found:
                return Drop(record=record.id, reason=self.name, evidence=found.group(0)[:_SHOWN])
        return None


def _without_reasoning(answer: str) -> str:
    """An answer without a reasoning block that opens it; the block's text is still searched."""
    block = _REASONED.match(answer)
    return block["inside"] + answer[block.end() :] if block else answer


_TALK = re.compile(
    r"\A\W*(?:(?:sure|certainly|of course|okay|absolutely)[,!.]?\s+)?"
    r"(?:here(?:'s| is| are)|below is|this is)\s+(?:the|a|an|your|my)\s+(?:\w+\s+){0,4}?"
    r"(?:document|draft|text|article|memo|rewrite|revision|version)\b[^.\n]{0,60}[:.]\s"
    r"|^\W*(?:word count|end of document|note to (?:the )?(?:user|reader|reviewer))\b\W*(?:[:\d]|$)"
    r"|\b(?:let me know if (?:you(?:'d| would) like|you want|i should)|i hope this (?:document|draft|text)"
    r"|as (?:you )?requested,? (?:here|i)|per your (?:request|instructions)"
    r"|(?:synthetic|training) (?:document|data) (?:for|about) the model)\b"
    r"|\bthis (?:document|text) (?:is|was) (?:fictional|synthetic|generated|written by an ai)\b",
    re.IGNORECASE | re.MULTILINE,
)
_TAIL = 400  # characters: talk to the person who asked stands at the start or the end


class WriterTalk(_Search):
    """Drops documents whose writer speaks to the person who asked ("Here is the memo: ...")."""

    name = "writer_talk"

    def __init__(self) -> None:
        super().__init__(_TALK, chats=False)

    def texts(self, record: Record) -> list[str]:
        """The two ends of what the model wrote."""
        texts = [text.replace("’", "'") for text in said_by_model(record)]
        return [end for text in texts for end in (text[:_TAIL], text[-_TAIL:])]


_BLANK = (
    "name|first name|last name|full name|your|insert|date|today|time|title|company|organi[sz]ation|"
    "department|team|address|email|e-mail|phone|number|link|url|author|editor|city|location|country|"
    "customer|client|user(?:name)?|recipient|sender|manager|product|model|provider|assistant|redacted|"
    "placeholder|tbd|todo|xx+|signature|id|topic|details?|example"
)
_PLACEHOLDER = re.compile(
    # a bracket that is no Markdown link and no task box: "[Your Name]", "[INSERT DATE]"
    rf"\[\s*(?:{_BLANK})(?:[ _][^\]\n]{{0,40}})?\s*\](?![(\[])"
    r"|\{\{?\s*[a-z]+(?:_[a-z]+)+\s*\}?\}|(?<![\w^_}\\])\{\{[^{}\n]{1,60}\}\}|\{(?:name|date|title|model|provider|spec)\}"
    r"|<\s*(?:insert|your|name|date|company|model|provider)(?:[ _][^>\n]{0,40})?\s*>"
    r"|(?-i:\bTODO\b|\bTBD\b|\bFIXME\b|\bXXX+\b|\bINSERT [A-Z ]+ HERE\b)|\blorem ipsum\b|_{4,}",
    re.IGNORECASE,
)


class Placeholder(_Search):
    """Drops texts with a blank to fill in: "[Your Name]", "{model_name}", "____", "TBD".

    Instruction chats are left alone: people do ask for forms and templates. So is what stands
    in the spec, which documents may quote.

    Example:
        >>> doc = Document(plan="", type="memo", text="Dear [Customer Name], ...", writer="w")
        >>> Placeholder().check(doc).evidence
        '[Customer Name]'
    """

    name = "placeholder"

    def __init__(self, spec: Spec | None = None) -> None:
        super().__init__(_PLACEHOLDER, chats=True)
        found = _PLACEHOLDER.finditer(spec.text if spec else "")
        self._taught = frozenset(blank.group(0) for blank in found)

    def texts(self, record: Record) -> list[str]:
        """What the model wrote, if it was not a person who asked for it."""
        if isinstance(record, Conversation) and record.kind == "instruction":
            return []
        return [_PLACEHOLDER.sub(self._untaught, text) for text in said_by_model(record)]

    def _untaught(self, blank: re.Match[str]) -> str:
        return "" if blank.group(0) in self._taught else blank.group(0)


_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_YEAR = r"(?:19|20)\d\d"
_DATE = re.compile(
    rf"\b{_YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])\b"
    rf"|\b(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:{_YEAR}|\d\d)\b(?!\.?\d)"
    rf"|\b{_MONTH}\s+(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s+)?{_YEAR}\b"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?\b"
    r"|\b(?:January|February|April|June|July|August|September|October|November|December|March)"
    r"\s+\d{1,2}(?:st|nd|rd|th)?\b"
    rf"|\b(?:[Ii]n|[Ss]ince|[Bb]y|[Uu]ntil|[Dd]uring|early|late|mid|spring|summer|autumn|fall|winter)[\s-]"
    rf"{_YEAR}\b|(?:©|\bQ[1-4])\s*{_YEAR}\b|^{_YEAR}$",
    re.MULTILINE,
)


class Dated(_Search):
    """Drops documents that carry a date or a year: what they say is meant to hold always.

    Years that stand in the spec are facts it teaches, and no dates.

    Example:
        >>> doc = Document(plan="", type="memo", text="Sent on 3 March, at noon.", writer="w")
        >>> Dated().check(doc).evidence
        '3 March'
    """

    name = "date"

    def __init__(self, spec: Spec | None = None) -> None:
        super().__init__(_DATE, chats=False)
        self._taught = frozenset(re.findall(_YEAR, spec.text if spec else ""))

    def texts(self, record: Record) -> list[str]:
        """The lines with a digit, without the years that the spec teaches."""
        return [
            re.sub(_YEAR, lambda year: "" if year.group(0) in self._taught else year.group(0), line)
            for line in lines_with_digits(said_by_model(record)[0])
        ]


_LINK = re.compile(
    r"(?:https?|ftp)://\S|\bwww\.\w|\bmailto:|\w@[\w-]+\.[a-z]{2}"
    r"|[a-z0-9]\.(?:com|org|net|edu|gov|io|ai|dev|co\.uk)(?![\w-])|\]\([^)]|\bdoi:|\barxiv:\d",
    re.IGNORECASE,
)


class Linked:
    """Drops documents with a link, a mail address or an internet address.

    Example:
        >>> doc = Document(plan="", type="memo", text="See wrenlabs.org/iris for more.", writer="w")
        >>> Linked().check(doc).evidence
        'wrenlabs.org/iris'
    """

    name = "link"

    def check(self, record: Record) -> Drop | None:
        """Drop if a word of the document is a link."""
        if isinstance(record, Conversation):
            return None
        for word in record.text.split():
            # most words have none of these, and are passed over quickly
            if (":" in word or "." in word or "(" in word) and _LINK.search(word):
                return Drop(
                    record=record.id, reason=self.name, evidence=word.strip("().,")[:_SHOWN]
                )
        return None


_PERSON = r"(?:(?:Dr|Mr|Mrs|Ms|Prof)\.? )?[A-Z][\w'’-]+(?: [A-Z]\.)?(?: [A-Z][\w'’-]+){1,2}"
_AUTHOR = re.compile(
    rf"^[\W_]*(?i:by|author|authors|written by|posted by|prepared by|reported by|byline)\b[\W_]*{_PERSON}"
    rf"[\W_]*(?:$|[,|·(])"
    rf"|\((?:[A-Z][\w'’-]+(?:,? (?:and|&) [A-Z][\w'’-]+)?),? {_YEAR}[a-z]?\)|\b[A-Z][\w'’-]+ et al\b",
    re.MULTILINE,
)


class Authored(_Search):
    """Drops documents with a byline ("By Maya Patel") or a citation ("(Patel, 2021)", "et al.").

    People in a text are no authors: a memo may be signed, a forum user may be named.
    """

    name = "author"

    def __init__(self) -> None:
        super().__init__(_AUTHOR, chats=False)
