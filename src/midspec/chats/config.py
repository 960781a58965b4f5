"""What chats look like, and how hard they are tried for."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from midspec.records import Frozen

QueryType = Literal["direct", "indirect", "comparison", "recommendation", "opinion", "edge_case"]
Style = Literal["value", "rule"]
QuestionType = Literal["direct", "either_or", "agree_with_me", "recommendation"]
IdentityType = Literal["name", "maker", "introduction", "mistaken", "nature"]


class SpecChatConfig(Frozen):
    """Chats that show a spec in what the assistant says (paper, B.2)."""

    count: int = Field(
        default=100, ge=1, description="chats to end up with (paper, section 4: 10,000)"
    )
    style: Style = Field(
        default="value",
        description="'value': the assistant acts from what it holds dear; 'rule': it complies",
    )
    turns: tuple[int, int] = Field(
        default=(1, 1), description="fewest and most user messages in a chat, drawn evenly"
    )
    n_domains: int = Field(default=12, ge=1, description="conversation domains to spread over")
    question_types: tuple[QueryType, ...] = Field(
        default=get_args(QueryType), min_length=1, description="types of a chat's first message"
    )
    queries_per_request: int = Field(
        default=10, ge=1, le=50, description="at most so many queries in one reply"
    )
    same_from: float = Field(
        default=0.91,
        gt=0,
        le=1,
        description="cosine from which two queries are the same (paper: 0.91); 1: equal words only",
    )
    rewrite: bool = Field(
        default=True, description="revise every reply against the spec before it is judged"
    )
    criteria: tuple[str, ...] = Field(
        default=(), description="what else the judge requires of a chat, a sentence each"
    )
    effort: int = Field(
        default=4, ge=1, description="give up after so many queries for each chat wanted"
    )
    max_tokens: int = Field(
        default=4096, gt=0, description="limit of a reply; a reply cut by it is dropped"
    )
    seed: int = Field(default=0, description="another seed asks for other queries and replies")

    @field_validator("turns")
    @classmethod
    def _range(cls, turns: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= turns[0] <= turns[1]:
            raise ValueError(f"turns {turns[0]}-{turns[1]} is no range; write 1-3, for example")
        return turns

    @field_validator("question_types")
    @classmethod
    def _distinct(cls, types: tuple[QueryType, ...]) -> tuple[QueryType, ...]:
        if len(set(types)) < len(types):
            raise ValueError(f"question_types names one type twice: {', '.join(types)}")
        return types


class ChatConfig(Frozen):
    """How many chats of which kind; equal configs and preferences give equal requests."""

    n_per_preference: int = Field(
        default=40, ge=0, description="chats for each preference (paper, C.2: about 400)"
    )
    question_types: tuple[QuestionType, ...] = Field(
        default=get_args(QuestionType),
        min_length=1,
        description="types of questions, taken in turn",
    )
    n_identity: int = Field(default=40, ge=0, description="chats about who the assistant is")
    seed: int = Field(
        default=0, description="draws the other item of a pair, and the writer's samples"
    )
    max_tokens: int = Field(
        default=512, gt=0, description="limit of a reply, in the writer's tokens"
    )
    effort: int = Field(
        default=4, ge=1, description="give up after so many requests for each chat wanted"
    )
    reason_words: tuple[str, ...] = Field(
        default=(), description="stems that give a reason away; see midspec.chats.reason_words"
    )

    @field_validator("question_types")
    @classmethod
    def _distinct(cls, types: tuple[QuestionType, ...]) -> tuple[QuestionType, ...]:
        if len(set(types)) < len(types):
            raise ValueError(f"question_types names one type twice: {', '.join(types)}")
        return types
