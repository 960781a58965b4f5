"""Why arms acted as they did: patterns of reasoning in their answers to one task (paper, D.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midspec.experiment.graph import Stage
from midspec.experiment.parts import REASONED_TASK
from midspec.llm import run_until_done
from midspec.progress import Progress
from midspec.store import Artifact, write_atomic

VERSION = 1
FILE = "reasons.json"


def reasons_of(answers: Mapping[str, Sequence[Stage]], judge: str) -> Stage:
    """One stage over the answers of all arms; an arm's seeds are taken together."""
    sources = {(arm, one.key): one for arm, stages in answers.items() for one in stages}
    arms = [arm for arm, _ in sources]

    def work(out: Artifact, inputs: tuple[Artifact, ...], progress: Progress) -> dict[str, Any]:
        from inspect_ai.model import GenerateConfig

        from midspec.evals.fakes import open_model
        from midspec.evals.reasons import find_reasons
        from midspec.evals.transcripts import read_transcripts

        said = [
            one.model_copy(update={"arm": arm})
            for arm, source in zip(arms, inputs, strict=True)
            for one in read_transcripts([source.path / "answers.jsonl"], REASONED_TASK)
        ]
        model = open_model(judge, GenerateConfig(max_retries=5, timeout=1800, max_tokens=4096))
        asked = find_reasons(said, model, out.file("judge.jsonl"), progress=progress)
        found = run_until_done(asked)
        write_atomic(out.file(FILE), found.model_dump_json(indent=1))
        return {"n": len(said)}

    return Stage(
        kind="reasons",
        label=f"find patterns of reasoning in answers to {REASONED_TASK}",
        version=VERSION,
        config={"judge": judge, "arms": arms},
        work=work,
        inputs=tuple(sources.values()),
    )
