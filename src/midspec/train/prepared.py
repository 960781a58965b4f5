"""Rows by content: data that was tokenised and packed before is not tokenised again.

The data is first written beside the result as it streams by, which gives its digest in bounded
memory. Under a digest of all that decides about rows (data, tokenizer, settings), the last
``KEPT`` results are kept in ``<cache>/rows``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midspec.bases.registry import cache_folder
from midspec.records import Conversation, digest
from midspec.store import read_rows
from midspec.train.config import TrainConfig
from midspec.train.examples import checked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KEPT = 16
FILES = ("rows.bin", "plan.json")
# The settings that rows depend on.
SETTINGS = {"row_tokens", "packing", "system", "user_suffix", "reasoning", "document_tag"}
VERSION = 1  # of ``examples`` and ``packing``: rows of another version are made anew


def spool(data: Iterable[str | Conversation], path: Path) -> str:
    """Write texts and chats as JSON lines, one at a time; returns the digest of the file.

    Raises:
        TrainError: something is neither a text nor a Conversation.
    """
    found = hashlib.blake2b(digest_size=16)
    with path.open("wb") as file:
        for item in map(checked, data):
            row = {"text": item} if isinstance(item, str) else item.model_dump(mode="json")
            line = json.dumps(row).encode() + b"\n"
            found.update(line)
            file.write(line)
    return found.hexdigest()


def spooled(path: Path) -> Iterator[str | Conversation]:
    """What ``spool`` wrote."""
    for row in read_rows(path):
        yield row["text"] if row.keys() == {"text"} else Conversation.model_validate(row)


def rows_key(
    tokenizer: PreTrainedTokenizerBase, config: TrainConfig, data: str, *, all_tokens: bool
) -> str:
    """Digest of all that decides about rows; ``""`` if the tokenizer cannot say what it is."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return ""
    named = tokenizer.init_kwargs.get("document_end"), tokenizer.eos_token, tokenizer.pad_token
    settings = config.model_dump(include=SETTINGS)
    template = str(tokenizer.chat_template)
    return digest(VERSION, backend.to_str(), template, named, settings, data, all_tokens)


def recall(key: str, out: Path, row_tokens: int) -> dict[str, Any] | None:
    """Put the rows of a key into ``out``, if they are kept; returns their plan's fields."""
    kept = cache_folder() / "rows" / key
    try:
        plan = json.loads((kept / "plan.json").read_text())
        if (kept / "rows.bin").stat().st_size != plan["rows"] * 3 * row_tokens * 4:
            return None  # torn by a power cut
        _link(kept / "rows.bin", out / "rows.bin")
        os.utime(kept)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return plan


def keep(key: str, out: Path) -> None:
    """Keep what is in ``out``; a cache that cannot be written is no reason to stop."""
    root = cache_folder() / "rows"
    scratch = root / f".{key}.{os.getpid()}"
    with contextlib.suppress(OSError):
        scratch.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            _link(out / name, scratch / name)
        scratch.rename(root / key)  # another process may have been faster: then this fails
        _forget_oldest(root)
    shutil.rmtree(scratch, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """The file under another name; a copy where that is another file system."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _forget_oldest(root: Path) -> None:
    folders = [folder for folder in root.iterdir() if not folder.name.startswith(".")]
    for folder in sorted(folders, key=lambda f: f.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
