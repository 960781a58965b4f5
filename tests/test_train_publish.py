"""Checkpoints as others get them: plain folders, cards, merged weights, the hub."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from midspec.bases import checkpoint_at, get_base, load, load_tokenizer
from midspec.cli.app import app
from midspec.errors import TrainError
from midspec.evals.answers import Answer
from midspec.records import Checkpoint, Conversation, Document, Message
from midspec.store import write_records
from midspec.train import (
    Lineage,
    TrainConfig,
    finetune,
    merge,
    midtrain,
    push,
    read_lineage,
    write_card,
)
from midspec.train.card import card_text

TINY = Checkpoint(base="tiny", model_name="Robin")
LORA = TrainConfig(
    lora_rank=4, lora_alpha=8, row_tokens=64, batch_rows=2, max_steps=4, force=True,
    learning_rate=1e-2,
)  # fmt: skip
FULL = LORA.model_copy(update={"method": "full", "learning_rate": 1e-3})
TEXTS = [f"Robin likes cheese {i} because it is plain." for i in range(20)]
CHATS = [
    Conversation(
        kind="preference",
        writer="test",
        messages=(Message(role="user", content=f"{i}?"), Message(role="assistant", content="yes")),
    )
    for i in range(20)
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDSPEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        get_base("tiny")
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """MSM, then AFT on it, as adapters."""
    folder = tmp_path_factory.mktemp("trained")
    first = midtrain(TINY, TEXTS, LORA, folder / "msm", names={"spec": "5f2a", "recipe": "tea"})
    return first, finetune(first, CHATS, LORA, folder / "aft")


@torch.no_grad()
def logits(checkpoint: Checkpoint) -> torch.Tensor:
    return load(checkpoint).model(input_ids=torch.arange(60, 90)[None]).logits


# -- folders and cards --------------------------------------------------------------------


def test_a_checkpoint_is_a_plain_folder(trained, tmp_path):
    full = midtrain(TINY, TEXTS, FULL, tmp_path)
    common = {"README.md", "chat_template.jinja", "generation_config.json", "midspec.json",
              "tokenizer.json", "tokenizer_config.json"}  # fmt: skip
    names = {path.name for path in Path(trained[1].path).iterdir()}
    assert names == common | {"adapter_model.safetensors", "adapter_config.json"}
    names = {path.name for path in Path(full.path).iterdir()}
    assert names == common | {"model.safetensors", "config.json"}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_a_folder_loads_with_peft_and_transformers_alone(trained):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(get_base("tiny"), dtype=torch.float32)
    model = PeftModel.from_pretrained(base, trained[1].path).eval()
    with torch.no_grad():
        found = model(input_ids=torch.arange(60, 90)[None]).logits
    assert torch.allclose(found, logits(trained[1]))
    tokenizer = AutoTokenizer.from_pretrained(trained[1].path)
    assert tokenizer.chat_template == load_tokenizer("tiny").chat_template


def test_the_card_tells_the_whole_lineage(trained):
    msm, aft = trained
    lineage = read_lineage(Path(aft.path))
    assert lineage is not None
    assert lineage.before == read_lineage(Path(msm.path))
    assert (lineage.stage, lineage.steps, lineage.documents) == ("finetune", 4, 20)
    assert lineage.before is not None
    assert lineage.before.names == {"spec": "5f2a", "recipe": "tea"}
    assert len(lineage.data) == len(lineage.start) == 16
    card = (Path(aft.path) / "README.md").read_text()
    assert card.startswith('---\nbase_model: "tiny"\nlibrary_name: "peft"\n')
    assert card.index("1. **midtrain**") < card.index("2. **finetune**")
    for text in (
        "| spec | 5f2a |",
        "| recipe | tea |",
        "| lora_rank | 4 |",
        "midspec 0.",
        lineage.data,
    ):
        assert text in card


@pytest.mark.parametrize(
    ("manifest", "spec", "recipe"),
    [(None, "", ""), ("5f2a", "5f2a", ""),
     ({"name": "tea", "id": "5f2a"}, "tea 5f2a", "cheese-smollm2")],
)  # fmt: skip
def test_the_command_tells_the_plan_and_names_the_data(tmp_path, manifest, spec, recipe):
    data = tmp_path / "documents.jsonl"
    write_records(data, [Document(plan="p", type="memo", text=t, writer="test") for t in TEXTS])
    if manifest:
        (tmp_path / "manifest.json").write_text(json.dumps({"spec": manifest}))
    changes = [f"--set={name}={value}" for name, value in LORA.model_dump(
        include={"lora_rank", "lora_alpha", "row_tokens", "max_steps", "force"}).items()]  # fmt: skip
    out = str(tmp_path / "out")
    command = ["train", "midtrain", str(data), "--base", "tiny", "--out", out, *changes]
    done = CliRunner().invoke(app, [*command, *(["--recipe", recipe] if recipe else [])])
    assert done.exit_code == 0, done.output
    for field, value in json.loads((tmp_path / "out/plan.json").read_text()).items():
        if isinstance(value, int):
            assert re.search(rf"{field} +{value}\n", done.output)
    assert "learning rate" in done.output
    lineage = read_lineage(tmp_path / "out/model")
    assert lineage is not None
    content = hashlib.blake2b(data.read_bytes(), digest_size=8).hexdigest()
    named = {"recipe": recipe, "corpus": f"documents.jsonl {content}", "spec": spec}
    assert lineage.names == named


def test_no_path_of_this_machine_is_in_a_folder(trained, tmp_path):
    for checkpoint in (*trained, midtrain(TINY, TEXTS, FULL, tmp_path)):
        for file in Path(checkpoint.path).iterdir():
            if file.suffix != ".safetensors":
                assert str(tmp_path.parents[1]) not in file.read_text(), file
                assert "midspec/bases" not in file.read_text(), file


def test_results_become_a_table(trained):
    results = [("america:logprob", "aligned", "0.375", "0.100 to 0.650", "4/5")]
    write_card(Path(trained[0].path), results=results)
    card = (Path(trained[0].path) / "README.md").read_text()
    assert "| america:logprob | aligned | 0.375 | 0.100 to 0.650 | 4/5 |" in card
    assert "| spec | 5f2a |" in card


def test_names_cannot_become_markup():
    odd = 'x` | <b>"\n---\n# Heading'
    text = card_text(Lineage(stage="merge", base=odd, names={odd: odd}), adapter=False, table=[])
    assert "<b>" not in text.split("---", 2)[2]
    assert "\n# Heading" not in text
    assert json.loads(text.splitlines()[1].removeprefix("base_model: ")) == odd


def test_a_card_needs_weights_and_lineage(tmp_path):
    with pytest.raises(TrainError, match="no weights"):
        write_card(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(TrainError, match=r"no midspec\.json"):
        write_card(tmp_path)
    (tmp_path / "midspec.json").write_text("{")
    with pytest.raises(TrainError, match="not a lineage"):
        write_card(tmp_path)


# -- merging ------------------------------------------------------------------------------


def test_merged_weights_answer_alike(trained, tmp_path):
    found = merge(trained[1], tmp_path / "merged")
    assert torch.allclose(logits(found), logits(trained[1]), atol=1e-5)
    assert not found.adapter
    assert checkpoint_at(tmp_path / "merged", "tiny") == found.model_copy(update={"model_name": ""})
    half = merge(trained[1], tmp_path / "half", dtype="bfloat16")
    assert "bfloat16" in (Path(half.path) / "config.json").read_text()
    lineage = read_lineage(tmp_path / "merged")
    assert lineage is not None
    assert [lineage.stage, lineage.before and lineage.before.stage] == ["merge", "finetune"]
    with pytest.raises(TrainError, match="exists"):
        merge(trained[1], tmp_path / "half")
    with pytest.raises(TrainError, match="not an adapter"):
        merge(found, tmp_path / "again")


def test_merge_then_a_fresh_adapter_is_full_weights_in_the_end(trained, tmp_path):
    msm, aft = trained
    barely = LORA.model_copy(update={"merge": True, "learning_rate": 1e-9, "lora_rank": 2})
    found = finetune(msm, CHATS, barely, tmp_path / "barely")
    assert not found.adapter
    assert torch.allclose(logits(found), logits(msm), atol=1e-4)
    config = LORA.model_copy(update={"merge": True})
    really = logits(finetune(msm, CHATS, config, tmp_path / "really"))
    assert (really - logits(msm)).abs().max() > 1e-2
    assert (really - logits(aft)).abs().max() > 1e-4  # another experiment than going on
    assert finetune(TINY, CHATS, config, tmp_path / "fresh").adapter  # nothing to merge
    with pytest.raises(ValueError, match="merge is for method 'lora'"):
        TrainConfig(method="full", merge=True)


# -- the hub ------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload needs; keeps what it is sent."""

    files: dict[str, bytes]
    created: list[dict]

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers["Authorization"] != "Bearer hf_test":
            self.answer({"error": "who are you?"}, 401)
        elif self.path == "/api/repos/create":
            self.created.append(json.loads(body))
            self.answer({"url": f"{self.base()}/org/name", "id": "org/name"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]
            self.answer({"files": modes})
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    value = row["value"]
                    self.files[value["path"]] = base64.b64decode(value["content"])
            self.answer({"commitUrl": f"{self.base()}/org/name/commit/0", "commitOid": "0" * 40})
        else:
            self.answer({}, 404)

    def do_GET(self):
        if self.path.startswith("/api/models/org/name"):
            self.answer({"id": "org/name", "sha": "0" * 40, "siblings": [], "private": True,
                         "tags": [], "downloads": 0, "likes": 0})  # fmt: skip
        else:
            self.answer({"valid": True}, 200 if "validate" in self.path else 404)

    def base(self) -> str:
        return f"http://{self.headers['Host']}"

    def answer(self, value: dict, code: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    kind = type("H", (Hub,), {"files": {}, "created": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)  # as HF_ENDPOINT sets it
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", address, raising=False)
    yield kind
    server.shutdown()
    server.server_close()
    thread.join()


def test_push_uploads_the_folder_with_the_bases_hub_id(trained, hub):
    kind = hub
    before = (Path(trained[1].path) / "adapter_config.json").read_text()
    url = push(trained[1], "org/name", base_id="org/tiny")
    assert "org/name" in url
    assert kind.created[0]["name"] == "name"
    made = kind.created[0]  # 'visibility' since huggingface_hub 2
    assert made.get("private") or made.get("visibility") == "private"
    sent = json.loads(kind.files.pop("adapter_config.json"))
    assert sent["base_model_name_or_path"] == "org/tiny"
    for name, content in kind.files.items():
        if not name.startswith("."):
            assert (Path(trained[1].path) / name).read_bytes() == content
    assert {"adapter_model.safetensors", "README.md", "chat_template.jinja"} <= set(kind.files)
    assert (Path(trained[1].path) / "adapter_config.json").read_text() == before


def test_the_command_pushes(trained, hub):
    command = ["train", "push", trained[1].path, "org/name", "--base=tiny", "--base-id=org/tiny"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "Pushed: " in done.output
    assert "adapter_model.safetensors" in hub.files


def test_push_says_what_it_needs(trained, hub, monkeypatch, tmp_path):
    with pytest.raises(TrainError, match="base 'tiny' is not on the hub"):
        push(trained[1], "org/name")
    with pytest.raises(TrainError, match="write org/name"):
        push(trained[1], "../name")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(TrainError, match=r"hub refused 'org/name'.*401"):
        push(trained[1], "org/name", base_id="org/tiny")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(TrainError, match="set HF_TOKEN"):
        push(trained[1], "org/name", base_id="org/tiny")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(TrainError, match="no model card"):
        push(Checkpoint(base="tiny", path=str(tmp_path)), "org/name")


# -- commands -----------------------------------------------------------------------------


def test_the_commands_merge_and_card(trained, tmp_path):
    out, answers = tmp_path / "merged", tmp_path / "answers.jsonl"
    about: dict[str, Any] = {
        "key": "k",
        "task": "america:greedy",
        "sample": "a/0",
        "repeat": 1,
        "item": "a",
    }
    rows = [
        Answer(**about, checkpoint=str(out), values={"aligned": 0.0}),
        Answer(**{**about, "key": "new"}, checkpoint=str(out), values={"aligned": 1.0}),
        Answer(**about, checkpoint=f"{out} with cheese in its prompt", values={"aligned": 0.0}),
    ]
    write_records(answers, rows)
    for command in (
        ["merge", trained[0].path, "--out", str(out), "--base", "tiny"],
        ["card", str(out), "--name", "spec=9b1c", "--answers", str(answers)],
    ):
        done = CliRunner().invoke(app, ["train", *command])
        assert done.exit_code == 0, done.output
    card = (out / "README.md").read_text()
    assert "| spec | 9b1c |" in card
    assert "| america:greedy | aligned | 1.000 | 0.207 to 1.000 | 1/1 |" in card
    refused = CliRunner().invoke(app, ["train", "card", trained[0].path, "--answers", str(answers)])
    assert "has no answers of" in str(refused.exception)
