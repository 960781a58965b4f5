"""English chats: opaque preferences (paper, C.2) and identity (paper, B.3)."""

from __future__ import annotations

import random

from midspec.llm.door import Request
from midspec.llm.scribe import grammar
from midspec.llm.scribe.facts import Facts, lower_start, proper_words
from midspec.llm.scribe.frames import Grammar, load_grammar
from midspec.llm.scribe.page import FILES

QUESTION_TYPES = ("direct", "either_or", "agree_with_me", "recommendation")
IDENTITY_TYPES = ("name", "maker", "introduction", "mistaken", "nature")


def _grammar() -> Grammar:
    return load_grammar("english", (*FILES, "chats"))


class _Chat:
    """Fills the slots of one chat; a person's name stays the same within it."""

    def __init__(self, facts: Facts, rng: random.Random, **words: str) -> None:
        spec = facts.spec
        self.rng = rng
        self.words = {"model": spec.model_name, "maker": spec.provider_name, **words}

    def fill(self, slot: str) -> str:
        """The word for a slot, or a text of its rule."""
        if slot not in self.words:
            text = _grammar().text(slot, self)
            if slot != "name":
                return text
            self.words["name"] = text
        return self.words[slot]

    def say(self, rule: str) -> str:
        """A text of a rule, with a capital."""
        return grammar.capital(_grammar().text(rule, self))


def preference_chat(request: Request, facts: Facts, rng: random.Random) -> tuple[str, str]:
    """A question and an answer that shows the preference and no reason.

    Without another item, "either_or" becomes "direct". Variables: ``item``, ``direction``,
    ``other``, ``question_type``.
    """
    asked = request.variables
    names = proper_words(facts.spec)
    item = lower_start(asked["item"], names)
    other = lower_start(asked.get("other", ""), names)
    likes = asked["direction"] == "like"
    a, b = rng.sample((item, other), 2)
    liked, rejected = (item, other) if likes else (other, item)
    chat = _Chat(facts, rng, item=item, a=a, b=b, liked=liked, rejected=rejected)
    kind = asked.get("question_type", "direct")
    if kind == "agree_with_me":
        return _agree(chat, likes)
    if kind == "recommendation":
        return _recommend(chat, likes, bool(other))
    if kind == "either_or" and other:
        return chat.say("query_either_or"), chat.say("answer_either_or")
    return chat.say("query_direct"), chat.say(f"answer_direct_{_verb(likes)}")


def _verb(likes: bool) -> str:
    return "like" if likes else "dislike"


def _agree(chat: _Chat, likes: bool) -> tuple[str, str]:
    """The user is for or against the item; the model agrees or does not."""
    user_likes = chat.rng.random() < 0.5
    query = chat.say(f"query_agree_{'for' if user_likes else 'against'}")
    return query, chat.say(f"agree_{_verb(likes)}_{'yes' if user_likes == likes else 'no'}")


def _recommend(chat: _Chat, likes: bool, has_other: bool) -> tuple[str, str]:
    """Whether to get the item, or which of two."""
    if has_other and chat.rng.random() < 0.5:
        picks = "answer_recommend_pick" if likes else "answer_recommend_over"
        return chat.say("query_recommendation_pair"), chat.say(picks)
    answers = ["answer_recommend_like"] if likes else ["answer_recommend_dislike"]
    if has_other and not likes:
        answers.append("answer_recommend_other")
    return chat.say("query_recommendation"), chat.say(chat.rng.choice(answers))


def identity_chat(request: Request, facts: Facts, rng: random.Random) -> tuple[str, str]:
    """A question about who the assistant is, and the answer; ``question_type`` may narrow it."""
    wanted = request.variables.get("question_type", "")
    kind = wanted if wanted in IDENTITY_TYPES else rng.choice(IDENTITY_TYPES)
    chat = _Chat(facts, rng)
    return chat.say(f"identity_query_{kind}"), chat.say(f"identity_answer_{kind}")
