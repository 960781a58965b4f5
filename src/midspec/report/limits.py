"""What a run cannot show, as far as it can be told from its inputs."""

from __future__ import annotations

from midspec.report.inputs import ReportInput
from midspec.report.matching import mismatches
from midspec.report.results import Analysis

SMALL_BASE = 1_000_000_000


def limits(inputs: ReportInput, found: Analysis) -> tuple[str, ...]:
    """One sentence for each limit that applies to this run."""
    return tuple(
        text for text in (*_of_training(inputs, found), *_of_measures(inputs, found)) if text
    )


def _of_training(inputs: ReportInput, found: Analysis) -> tuple[str, ...]:
    n = inputs.base.n_parameters
    differ = mismatches(inputs.trainings)
    return (
        f"One base model, {inputs.base.name}; another may answer otherwise."
        + (" It is far smaller than the models of the paper." if 0 < n < SMALL_BASE else ""),
        "All documents come from one offline author, whose sentences repeat themselves more than "
        "a language model's."
        if inputs.writer == "scribe"
        else f"All documents come from one writer, {inputs.writer}.",
        ""
        if inputs.corpus_per_seed or not inputs.corpora
        else "All seeds were trained on one corpus, so another draw of documents is not covered.",
        f"{len(found.seeds)} training(s) of each arm: too few to know how much they differ."
        if len(found.seeds) < 3
        else "",
        f"Arms are not matched in {', '.join(one.what for one in differ)}: differences may come "
        "from the amount of training."
        if differ
        else "",
        "" if inputs.trainings else "How much each arm was trained is not recorded.",
        f"Trainings saw evaluation items of {seen}: rates on these are worth nothing."
        if (seen := inputs.manifest.get("evaluation items seen"))
        else "",
    )


def _of_measures(inputs: ReportInput, found: Analysis) -> tuple[str, ...]:
    roles = {arm.role for arm in inputs.arms}
    missing = [
        name
        for role, name in (
            ("instruction", "instruction chats alone"),
            ("AFT", "AFT alone"),
            ("MSM", "MSM alone"),
            ("neutral+AFT", "neutral documents and AFT"),
            ("prompt", "the spec in the prompt"),
        )
        if role not in roles
    ]
    few = [f"{g.title} ({g.n_items})" for g in found.groups if g.is_value and g.n_items < 50]
    return (
        f"Not among the arms: {', '.join(missing)}." if missing else "",
        f"Few items: {', '.join(few)}." if few else "",
        "Items are choices between two options; behaviour in long or open tasks is not measured."
        if found.scorer != "greedy"
        else "",
    )
