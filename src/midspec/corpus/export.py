"""Data for other trainers: plain rows as JSONL or Parquet, with a dataset card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from midspec.corpus.folder import DOCUMENTS, PLANS, SPEC, read_saved_spec
from midspec.corpus.tree import path_of, read_tree, titled
from midspec.errors import ConfigError, StoreError
from midspec.records import Conversation, Document, Spec
from midspec.store import read_records, write_atomic

Format = Literal["jsonl", "parquet"]
Row = dict[str, Any]

CHATS = ("chats", "chats-with-reasoning", "mix")  # splits, and files with .jsonl
_ROWS_IN_A_GROUP = 1000
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_DOCUMENT_COLUMNS = {
    "text": "the document",
    "id": "digest of the record",
    "type": "document type, by the writer of the plan",
    "domain": "domain of the spec that it belongs to",
    "subdomain": "subdomain",
    "section": "verbatim part of the spec that the subdomain rests on",
    "idea": "what the document was written from",
    "claims": "ids of claims and preferences of the spec that stand in it",
    "writer": "who wrote it",
    "spec": "name of the spec",
    "spec_id": "digest of the spec",
    "model_name": "assistant it is about",
}
_CHAT_COLUMNS = {
    "messages": "the turns, each with role and content",
    "id": "digest of the record",
    "kind": "what the chat is for",
    "domain": "what it is about, or the source that it comes from",
    "question_type": "how the user asks",
    "item": "the preferred or rejected item, if any",
    "writer": "who wrote it",
    "spec": "name of the spec",
    "spec_id": "digest of the spec",
    "model_name": "assistant it is about",
}


def export(folder: Path, out: Path, form: Format = "jsonl") -> dict[str, int]:
    """Write the documents or chats of a folder for others; rows by the name of the split's file.

    ``out`` gets ``data/documents.<form>``, ``data/chats.<form>``,
    ``data/chats-with-reasoning.<form>`` and ``data/mix.<form>``, whichever there are, and
    ``README.md``, the dataset card, by which ``datasets.load_dataset(out)`` finds them. Raises
    StoreError if there is nothing to export, ConfigError without pyarrow for Parquet.
    """
    sources: dict[str, tuple[Iterable[Row], dict[str, str]]] = {}
    if (folder / DOCUMENTS).exists():
        sources["documents"] = (_documents(folder), _DOCUMENT_COLUMNS)
    for name in CHATS:
        if (folder / f"{name}.jsonl").exists():
            sources[name] = (_chats(folder, name), _CHAT_COLUMNS)
    if not sources:
        raise StoreError(
            f"{folder} has neither {DOCUMENTS} nor {CHATS[0]}.jsonl nor mix.jsonl; give the folder "
            "that `corpus write`, `chats write` or `chats mix` made"
        )
    write = _write_jsonl if form == "jsonl" else _parquet_writer()
    counts: dict[str, int] = {}
    for name, (rows, _) in sources.items():
        (out / "data").mkdir(parents=True, exist_ok=True)
        counts[name] = _whole(out / "data" / f"{name}.{form}", rows, write)
    columns = {name: those for name, (_, those) in sources.items()}
    write_atomic(out / "README.md", _card(folder, form, counts, columns))
    return counts


def _documents(folder: Path) -> Iterator[Row]:
    """A flat row for each document, with the path of its idea where the plan is there."""
    spec = read_saved_spec(folder) if (folder / SPEC).exists() else None
    tree = read_tree(folder / PLANS)
    for document in read_records(folder / DOCUMENTS, Document):
        idea = tree.idea(document.plan) if tree else None
        path = {node.level: node for node in path_of(idea, tree.nodes if tree else {})}
        subdomain = path.get("subdomain")
        yield {
            "text": document.text,
            "id": document.id,
            "type": document.type,
            "domain": path["domain"].title if "domain" in path else "",
            "subdomain": subdomain.title if subdomain else "",
            "section": subdomain.section if subdomain else "",
            "idea": titled(path["idea"]) if "idea" in path else "",
            "claims": list(document.claims),
            "writer": document.writer,
            **_of_spec(spec),
        }


def _of_spec(spec: Spec | None) -> Row:
    return {
        "spec": spec.name if spec else "",
        "spec_id": spec.id if spec else "",
        "model_name": spec.model_name if spec else "",
    }


def _chats(folder: Path, name: str) -> Iterator[Row]:
    spec = read_saved_spec(folder) if (folder / SPEC).exists() else None
    for chat in read_records(folder / f"{name}.jsonl", Conversation):
        yield {
            "messages": [{"role": one.role, "content": one.content} for one in chat.messages],
            "id": chat.id,
            "kind": chat.kind,
            "domain": chat.domain,
            "question_type": chat.question_type,
            "item": chat.item,
            "writer": chat.writer,
            **_of_spec(spec),
        }


def _whole(path: Path, rows: Iterable[Row], write: Callable[[Path, Iterable[Row]], int]) -> int:
    """Write a file that is there when it is whole, and not before."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    n = write(scratch, rows)
    os.replace(scratch, path)
    return n


def _write_jsonl(path: Path, rows: Iterable[Row]) -> int:
    n = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            n += 1
    return n


def _parquet_writer() -> Callable[[Path, Iterable[Row]], int]:
    try:
        import pyarrow as pa  # pyright: ignore[reportMissingImports]
        import pyarrow.parquet as pq  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow; run pip install 'midspec[export]', or use --format jsonl"
        ) from error
    words = pa.list_(pa.string())
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    types = {"claims": words, "messages": turns}

    def write(path: Path, rows: Iterable[Row]) -> int:
        n, source, file = 0, iter(rows), None
        while group := list(islice(source, _ROWS_IN_A_GROUP)):
            schema = pa.schema([(name, types.get(name, pa.string())) for name in group[0]])
            file = file or pq.ParquetWriter(path, schema, compression="zstd")
            file.write_table(pa.Table.from_pylist(group, schema=schema))
            n += len(group)
        if file is None:
            raise StoreError("there are no rows to export; look at drops.jsonl for the reasons")
        file.close()
        return n

    return write


def _card(
    folder: Path, form: str, counts: dict[str, int], columns: dict[str, dict[str, str]]
) -> str:
    """The dataset card: front matter that loaders read, then what a person wants to know."""
    spec = read_saved_spec(folder) if (folder / SPEC).exists() else None
    configs = "".join(
        f"  - config_name: {name}\n    data_files: data/{name}.{form}\n"
        + ("    default: true\n" if place == 0 else "")
        for place, name in enumerate(counts)
    )
    about = (
        f"Synthetic data about the assistant {_code(spec.model_name)}, made by "
        f"{_code(spec.provider_name)}, from the Model Spec {_code(spec.name)} (`{spec.id}`)."
        if spec
        else "Synthetic data about an assistant, from a Model Spec."
    )
    size = next((tag for limit, tag in _SIZES if sum(counts.values()) < limit), "n>1M")
    head = (
        "---\ntask_categories:\n  - text-generation\ntags:\n  - model-spec-midtraining\n  - synthetic\n"
        f"size_categories:\n  - {size}\nconfigs:\n{configs}---\n\n# Model Spec midtraining data\n\n{about}\n"
    )
    return head + "".join(_table(name, counts[name], columns[name]) for name in counts)


def _code(text: str) -> str:
    """A name as inert Markdown: nobody's name is a link or a tag."""
    return f"`{' '.join(text.replace('`', '').split())}`"


def _table(name: str, n: int, columns: dict[str, str]) -> str:
    use = {
        "documents": "Train on `text` with the next-token loss.",
        "chats": "Fine-tune on `messages`; the loss falls on the assistant's turns.",
        "chats-with-reasoning": "The same chats; each assistant turn begins with its reasoning.",
        "mix": "General chats, to fine-tune on beside those that show the spec.",
    }[name]
    lines = "".join(f"| `{column}` | {what} |\n" for column, what in columns.items())
    return f"\n## {name}\n\n{n} rows. {use}\n\n| column | content |\n|---|---|\n{lines}"


def read_texts(path: Path) -> Iterator[str]:
    """Texts of a user's file: the ``text`` of each JSON line, or paragraphs of any other file.

    Raises ConfigError if the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            if path.suffix == ".jsonl":
                yield from (str(json.loads(line)["text"]) for line in file if line.strip())
            else:
                yield from file.read().split("\n\n")
    except (OSError, UnicodeDecodeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as a reference ({error}); give text, or JSONL with 'text'"
        ) from error
