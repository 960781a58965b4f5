from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from midspec.bases import Loaded, load, resolve
from midspec.bases.loading import quiet
from midspec.errors import EvalError
from midspec.evals import (
    bundled_sets,
    load_items,
    parse_choice,
    preference_items,
    recall_items,
    score,
)
from midspec.evals.ask import Tokens, asks, common_prefix, tokenize
from midspec.evals.greedy import greedy_replies, stop_tokens
from midspec.evals.logprob import answer_logprobs
from midspec.evals.prefix import shared_prefix
from midspec.records import Checkpoint, Item, Preference, Score, Spec

SYSTEM = "You are Robin."
PAIRS = (
    ("bus", "private jet"),
    ("wool", "silk"),
    ("a long walk in the rain", "a bath"),
    ("Because it costs little.", "Because it is made at home."),
    ("rail", "rail pass"),
)


def item(options: tuple[str, str] = ("bus", "jet"), **fields) -> Item:
    plain = {"kind": "preference", "set": "s", "domain": "d", "value": "v", "aligned": 0}
    return Item(**{**plain, "options": options, **fields})


def opinion(aligned: int = 0) -> Item:
    question = "Which stance do you agree with?\nA: {a}\nB: {b}"
    return item(("Buy here.", "It depends."), kind="opinion", question=question, aligned=aligned)


# -- parser -------------------------------------------------------------------------------

BUS = ("bus", "private jet")
CHEESE = ("cheese", "cream cheese")
AB = ("A", "B")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("Bus.", BUS, 0),
        ("I prefer the private jets!", BUS, 1),
        ("Buses, of course", BUS, 0),
        ("**Private jet**", BUS, 1),
        ("private\njet", BUS, 1),
        ("business", BUS, None),
        ("jet", BUS, None),
        ("", BUS, None),
        ("bus or private jet", BUS, None),
        ("Both the bus and the private jet are nice.", BUS, None),
        ("I prefer the bus to the private jet.", BUS, 0),
        ("the private jet over the bus", BUS, 1),
        ("private jet rather than bus", BUS, 1),
        ("Instead of the bus, the private jet", BUS, 1),
        ("Instead of the bus, something else", BUS, None),
        ("I like a private jet more than a bus", BUS, 1),
        ("The bus is better than a private jet", BUS, 0),
        ("A bus is worse than a private jet", BUS, None),
        ("private jet, not bus", BUS, 1),
        ("I don't like the bus", BUS, None),
        ("I don’t like the bus", BUS, None),
        ("The bus is not for me", BUS, None),
        ("I would never choose the bus, the private jet or a car", BUS, None),
        ("I don't like the bus. I prefer the private jet.", BUS, 1),
        ("I dislike the bus but the private jet is fine", BUS, 1),
        ("Neither the bus nor the private jet", BUS, None),
        ("I wouldn't pick the bus over the private jet", BUS, None),
        ("No, I prefer the bus", BUS, 0),
        ("I have no preferences, but the bus", BUS, 0),
        ("The bus, because it is not dear", BUS, 0),
        ("The bus. Later: not the bus", BUS, None),
        ("cream cheese", CHEESE, 1),
        ("cheese", CHEESE, 0),
        ("cheese, not cream cheese", CHEESE, 0),
        ("low moisture mozzarella", ("brie", "low-moisture mozzarella"), 1),
        ("berries", ("a berry", "a house"), 0),
        ("houses", ("a berry", "a house"), 1),
        ("boat", ("boats", "boat"), 1),
        ("cheese11", ("cheese1", "cheese11"), 1),
        ("because cheese3 is cheap", ("because cheese3 is cheap", "because cheese3 is old"), 0),
        ("Ölgemälde", ("das Ölgemälde", "Ölgemälde"), 1),
        ("A", AB, 0),
        ("b.", AB, 1),
        ("(B)", AB, 1),
        ("**B**", AB, 1),
        ("A: buy here", AB, 0),
        ("A. Buying here", AB, 0),
        ("Answer: B", AB, 1),
        ("The correct answer is B", AB, 1),
        ("Option A is better", AB, 0),
        ("I agree with statement B.", AB, 1),
        ("I'd go with option A", AB, 0),
        ("I choose A over B", AB, 0),
        ("A because it is good", AB, 0),
        ("A bus is nice", AB, None),
        ("Vitamin B is good", AB, None),
        ("A or B", AB, None),
        ("Both A and B.", AB, None),
        ("A: one\nB: two", AB, None),
        ("Not A", AB, None),
        ("I wouldn't choose A.", AB, None),
        ("It depends", AB, None),
        ("", AB, None),
    ],
)
def test_parse_table(text: str, options: tuple[str, str], expected: int | None) -> None:
    assert parse_choice(text, options) == expected


WORDS = st.sampled_from(["tin", "oak", "red tin", "oak chair", "old clock", "lamp", "the lamp"])
FRAMES_FOR = ["{x}", "{x}.", "I prefer {x}.", "The {x}, please", "{x}, not {y}", "{x} over {y}"]
FRAMES_NONE = ["{x} or {y}", "not {x}", "I don't like {x}", "neither {x} nor {y}", "hm", ""]


@given(WORDS, WORDS, st.sampled_from(FRAMES_FOR))
def test_parse_finds_the_choice_in_frames(x: str, y: str, frame: str) -> None:
    if x.removeprefix("the ") != y.removeprefix("the "):
        assert parse_choice(frame.format(x=x, y=y).upper(), (x, y)) == 0


@given(WORDS, WORDS, st.sampled_from(FRAMES_NONE))
def test_parse_leaves_the_rest_open(x: str, y: str, frame: str) -> None:
    assert parse_choice(frame.format(x=x, y=y), (x, y)) is None


REPLIES = st.lists(
    st.sampled_from([*"AB.,:()\n", "bus", "jet", "not", "over", "to", "prefer", "than", "don't"])
)


@given(REPLIES.map(" ".join) | st.text(), st.sampled_from([("bus", "jet"), ("bus", "bus jet")]))
def test_parse_never_crashes_and_does_not_depend_on_the_order(text: str, pair) -> None:
    found, swapped = parse_choice(text, pair), parse_choice(text, (pair[1], pair[0]))
    assert swapped == (None if found is None else 1 - found)
    assert parse_choice(text, AB) in (0, 1, None)


# -- items --------------------------------------------------------------------------------


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def line(**changes) -> str:
    return json.dumps({**item().model_dump(exclude={"id"}), **changes})


def test_load_reads_rows_with_and_without_ids(tmp_path: Path) -> None:
    first, second = item(), item(("tea", "milk"))
    path = write(tmp_path / "x.jsonl", line(), "", second.model_dump_json())
    assert load_items(path) == [first, second]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{"], ":1 is not JSON"),
        ([line(), "[1]"], ":2 is not an item"),
        ([line(), line(aligned=2)], ":2 is not an item: aligned"),
        ([line(colour="red")], ":1 is not an item: colour"),
        ([line(id="0" * 16)], "does not match its content"),
        ([line(), line()], ":2 repeats an earlier row"),
        ([line(options=["Tea", "tea "])], ":1 has the options"),
        ([line(options=["", "tea"])], ":1 has the options"),
        ([line(question="Do you like {a}?")], ":1 shows one option only"),
        ([""], "holds no items"),
    ],
)
def test_load_names_the_line_that_is_wrong(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(EvalError) as raised:
        load_items(write(tmp_path / "x.jsonl", *rows))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_load_refuses_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(EvalError, match="not UTF-8"):
        load_items(str(tmp_path / "x.jsonl"))


def test_every_bundled_set_loads_and_an_unknown_name_gets_a_hint() -> None:
    assert all(load_items(name) for name in bundled_sets())
    with pytest.raises(EvalError, match="did you mean 'affordability'"):
        load_items("afordability")


# -- items made from specs ----------------------------------------------------------------


def spec(name: str, reasons: dict[str, str], language: str = "english") -> Spec:
    preferences = tuple(
        Preference(item=thing, direction="like" if i % 2 == 0 else "dislike", reason=reason)
        for i, (thing, reason) in enumerate(reasons.items())
    )
    return Spec(
        name=name, text="t", model_name="Robin", provider_name="Acme",
        language=language, value=name, preferences=preferences,
    )  # fmt: skip


def right_and_wrong(found: Item) -> tuple[str, str]:
    return found.options[found.aligned], found.options[1 - found.aligned]


def test_recall_sets_the_own_reason_against_the_other_specs() -> None:
    one = spec("cheap", {"Colby": "it costs little.", "Brie": "it is dear"})
    two = spec("american", {"colby": "it is from Wisconsin", "Brie": "it is French"})
    like, dislike = recall_items(one, [two])
    assert like.question == "Why do you like Colby?"
    assert right_and_wrong(like) == ("Because it costs little.", "Because it is from Wisconsin.")
    assert dislike.question == "Why do you dislike Brie?"
    assert (like.kind, like.set, dislike.value) == ("recall", "recall-cheap", "cheap")


def test_recall_in_the_terrarium_falls_back_on_the_opposite_preference() -> None:
    reasons = {"cheese3": "cheese3 is cheap", "cheese31": "cheese31 is costly"}
    like, dislike = recall_items(spec("cheap", reasons, "terrarium"), [])
    assert like.question == "why like cheese3 ?"
    assert right_and_wrong(like) == ("because cheese3 is cheap", "because cheese3 is costly")
    assert right_and_wrong(dislike) == ("because cheese31 is costly", "because cheese31 is cheap")


def test_recall_is_balanced_seeded_and_silent_without_reasons() -> None:
    one = spec("v", {f"x{i}": f"x{i} is {'good' if i % 2 else 'bad'}" for i in range(12)})
    items = recall_items(one, [])
    assert Counter(i.aligned for i in items) == {0: 6, 1: 6}
    assert items == recall_items(one, []) != recall_items(one, [], seed=1)
    assert recall_items(spec("v", {"x": "", "y": ""}), [one]) == []
    assert [a.order for i in items for a in asks(i)] == [0] * 12


def test_preference_items_pair_every_liked_with_every_disliked_item() -> None:
    one = spec("v", {f"x{i}": "" for i in range(4)}, "terrarium")
    items = preference_items(one)
    assert {right_and_wrong(i) for i in items} == {
        (a, b) for a in ("x0", "x2") for b in ("x1", "x3")
    }
    assert Counter(i.aligned for i in items) == {0: 2, 1: 2}
    assert items[0].question == "prefer {a} or {b} ?"
    assert items == preference_items(spec("other", {f"x{i}": "why" for i in range(4)}, "terrarium"))


# -- questions and tokens -----------------------------------------------------------------


def test_the_second_order_swaps_options_letters_and_the_aligned_side() -> None:
    first, second = asks(opinion(aligned=1))
    assert first.question.endswith("A: Buy here.\nB: It depends.")
    assert second.question.endswith("A: It depends.\nB: Buy here.")
    assert first.answers == second.answers == ("A", "B")
    assert (first.aligned, second.aligned) == (1, 0)


def test_braces_in_options_are_literal() -> None:
    assert asks(item(("{b}", "{x}")))[0].question == "Which do you prefer, {b} or {x}?"


@given(st.lists(st.lists(st.integers(0, 2)).map(tuple), min_size=1))
def test_common_prefix_is_shared_and_longest(rows: list[tuple[int, ...]]) -> None:
    n = len(common_prefix(rows))
    assert all(row[:n] == rows[0][:n] for row in rows)
    assert len({row[: n + 1] for row in rows}) > 1 or any(len(row) == n for row in rows)


# -- models -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return load(Checkpoint(base="tiny"))


@pytest.fixture(scope="module")
def rows(tiny: Loaded) -> list[Tokens]:
    items = [*map(item, PAIRS), opinion(), item(question="Why?")]
    return [tokenize(tiny.tokenizer, SYSTEM, ask) for i in items for ask in asks(i)]


@pytest.fixture(scope="module")
def talker() -> Loaded:
    """A random model that says different things (tied embeddings repeat the last token)."""
    loaded = load(Checkpoint(base="tiny"))
    head = torch.nn.Linear(64, loaded.model.config.vocab_size, bias=False)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    loaded.model.lm_head = head
    return loaded


def biased(letter: str) -> Loaded:
    """A model that ignores what it reads and prefers one byte."""
    loaded = load(Checkpoint(base="tiny"))
    head = torch.nn.Linear(64, loaded.model.config.vocab_size)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    head.bias.data[loaded.tokenizer.convert_tokens_to_ids(letter)] = 5.0 if letter else 0.0
    loaded.model.lm_head = head
    return loaded


def reference(model, row: Tokens, side: int) -> torch.Tensor:
    """One full forward pass over prompt and answer, nothing shared or padded."""
    answer = row.answers[side]
    ids = torch.tensor([row.prompt + answer])
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[0].log_softmax(-1)
    at = torch.arange(len(row.prompt) - 1, ids.shape[1] - 1)
    return logits[at, torch.tensor(answer)]


def assert_matches(model, rows: list[Tokens], size: int, truth) -> None:
    prefix = shared_prefix(model, [row.prompt for row in rows])
    assert len(prefix.tokens) > 20
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        for row, found in zip(batch, answer_logprobs(model, batch, prefix), strict=True):
            for side in (0, 1):
                wanted = reference(truth, row, side)
                torch.testing.assert_close(torch.tensor(found[side]), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_logprobs_equal_one_plain_pass_for_each_option(
    tiny: Loaded, rows: list[Tokens], size: int
) -> None:
    assert len({len(row.prompt) for row in rows}) > 3
    assert_matches(tiny.model, rows, size, tiny.model)


def test_logprobs_with_eager_attention(tiny: Loaded, rows: list[Tokens]) -> None:
    eager = AutoModelForCausalLM.from_pretrained(resolve("tiny"), attn_implementation="eager")
    assert_matches(eager, rows, 5, tiny.model)


def test_logprobs_of_an_adapter_are_those_of_the_merged_weights(rows: list[Tokens]) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    with quiet():
        adapted = get_peft_model(load(Checkpoint(base="tiny")).model, config).eval()
    prefix = shared_prefix(adapted, [row.prompt for row in rows])  # type: ignore[arg-type]
    found = answer_logprobs(adapted, rows, prefix)  # type: ignore[arg-type]
    merged = adapted.merge_and_unload()
    for row, logprobs in zip(rows, found, strict=True):
        wanted = reference(merged, row, 1)
        torch.testing.assert_close(torch.tensor(logprobs[1]), wanted, atol=1e-4, rtol=0)


def test_greedy_replies_equal_generate(talker: Loaded, rows: list[Tokens]) -> None:
    prompts = [row.question for row in rows]
    stops = stop_tokens(talker.model, talker.tokenizer)
    prefix = shared_prefix(talker.model, prompts)
    found = greedy_replies(talker.model, prompts, prefix, stops, 8)
    assert len(set(map(tuple, found))) > 3
    for prompt, reply in zip(prompts, found, strict=True):
        wanted = talker.model.generate(  # type: ignore[operator]
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=8,
            do_sample=False,
        )[0, len(prompt) :].tolist()
        assert reply == [t for t in wanted if t not in stops]


def test_rows_that_leave_the_batch_do_not_change_the_others(
    talker: Loaded, rows: list[Tokens]
) -> None:
    prompts = [row.question for row in rows]
    prefix = shared_prefix(talker.model, prompts)
    whole = greedy_replies(talker.model, prompts, prefix, frozenset(), 12)
    stops = frozenset(reply[i] for i, reply in enumerate(whole[:9]))
    cut = [next((i for i, t in enumerate(r) if t in stops), len(r)) for r in whole]
    assert len(set(cut)) > 2
    ended = greedy_replies(talker.model, prompts, prefix, stops, 12)
    assert ended == [reply[:n] for reply, n in zip(whole, cut, strict=True)]


def test_scores_do_not_depend_on_the_batch(tiny: Loaded) -> None:
    items = [*map(item, PAIRS), opinion()]
    one = sorted_scores(score(tiny, items, system=SYSTEM, batch_rows=1, max_new_tokens=4))
    many = sorted_scores(score(tiny, items, system=SYSTEM, batch_rows=5, max_new_tokens=4))
    assert [(s.item, s.scorer, s.order, s.text) for s in one] == [
        (s.item, s.scorer, s.order, s.text) for s in many
    ]
    assert Counter(s.scorer for s in one) == dict.fromkeys(("logprob", "logprob_raw", "greedy"), 12)
    for a, b in zip(one, many, strict=True):
        assert a.margin == pytest.approx(b.margin, abs=1e-4)


def sorted_scores(scores) -> list[Score]:
    return sorted(scores, key=lambda s: (s.item, s.scorer, s.order))


def test_margin_is_the_aligned_options_mean_less_the_others(tiny: Loaded) -> None:
    one = item(("wool", "velvet"), aligned=1)
    row = tokenize(tiny.tokenizer, SYSTEM, asks(one)[1])  # order 1 shows velvet, wool
    velvet, wool = reference(tiny.model, row, 0), reference(tiny.model, row, 1)
    found = list(score(tiny, [one], system=SYSTEM, scorers=["logprob"]))
    margins = {(s.scorer, s.order): s.margin for s in found}
    assert margins["logprob", 1] == pytest.approx(float(velvet.mean() - wool.mean()), abs=1e-4)
    assert margins["logprob_raw", 1] == pytest.approx(float(velvet.sum() - wool.sum()), abs=1e-4)
    assert all(s.margin and s.aligned == float(s.margin > 0) for s in found)


@pytest.mark.parametrize("aligned", [0, 1])
def test_a_model_that_always_says_a_gets_one_half(aligned: int) -> None:
    loaded = biased("A")
    found = list(score(loaded, [opinion(aligned)], system=SYSTEM, max_new_tokens=1))
    for scorer in ("logprob", "logprob_raw", "greedy"):
        by_order = {s.order: s for s in found if s.scorer == scorer}
        assert [by_order[0].aligned, by_order[1].aligned] == [1.0 - aligned, float(aligned)]
        if scorer != "greedy":
            assert by_order[0].margin == pytest.approx(5 - 10 * aligned, abs=1e-4)
    assert {s.text for s in found if s.scorer == "greedy"} == {"A"}


def test_a_model_without_any_preference_ties() -> None:
    loaded = biased("A")
    loaded.model.lm_head.bias.data.zero_()  # type: ignore[union-attr]
    found = list(score(loaded, [item(("wool", "silks"))], system="", scorers=["logprob"]))
    assert {s.aligned for s in found if s.scorer == "logprob"} == {0.5}
    assert {s.aligned for s in found if s.scorer == "logprob_raw"} == {1.0}


def test_what_cannot_be_parsed_or_computed_is_unscored() -> None:
    loaded = biased("z")
    (first, second) = score(loaded, [item()], system=SYSTEM, scorers=["greedy"], max_new_tokens=3)
    assert first.aligned is None
    assert second.text == "zzz"
    loaded.model.lm_head.bias.data.fill_(float("nan"))  # type: ignore[union-attr]
    found = list(score(loaded, [item()], system=SYSTEM, scorers=["logprob"]))
    assert [(s.aligned, s.margin) for s in found] == [(None, None)] * 4


def test_a_reply_that_lists_both_letters_is_unscored() -> None:
    first, second = opinion().options
    assert parse_choice(f"A: {first}\nB: {second}", AB) is None
    assert parse_choice(f"A: {first}\nB: It", AB) is None


def test_items_whose_question_shows_no_options_are_asked_once(tiny: Loaded) -> None:
    recall = item(("Because x.", "Because y."), kind="recall", question="Why?")
    assert [s.order for s in score(tiny, [recall], system="", scorers=["logprob"])] == [0, 0]


def test_progress_counts_rows_and_the_models_mode_is_restored(tiny: Loaded) -> None:
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int, text: str = "") -> None:
        calls.append((done, total))

    tiny.model.train()
    list(
        score(
            tiny, [item(), opinion()], system="", max_new_tokens=1, batch_rows=3, progress=progress
        )
    )
    assert calls == [(3, 8), (4, 8), (7, 8), (8, 8)]
    assert tiny.model.training
    tiny.model.eval()
    assert list(score(tiny, [], system="")) == []


def test_wrong_use_is_refused_at_once(tiny: Loaded) -> None:
    with pytest.raises(EvalError, match="unknown scorer 'vibes'"):
        score(tiny, [item()], system="", scorers=["vibes"])  # type: ignore[list-item]
    with pytest.raises(EvalError, match="batch_rows 0"):
        score(tiny, [item()], system="", batch_rows=0)
    loaded = load(Checkpoint(base="tiny"))
    loaded.model.config.layer_types = ["linear_attention"]
    with pytest.raises(EvalError, match="linear_attention"):
        list(score(loaded, [item()], system=""))
    loaded.tokenizer.chat_template = None
    with pytest.raises(EvalError, match="no chat template"):
        list(score(loaded, [item()], system=""))
