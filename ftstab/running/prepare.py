"""What is found out before a study is run: whether it may be, and the keys that its plan needs.

Reads the model, the data and the store, and writes nothing but the cache of start models: all that may be wrong with
the study file and what it names is found here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from ftstab.data.training import check_mix, read_training
from ftstab.errors import StudyError
from ftstab.evaluation.questions import make_questions, read_held_out
from ftstab.models.align import Progress, StartModel, align_sets, start_model
from ftstab.models.chat import Chat
from ftstab.models.load import load_chat
from ftstab.results import (
    Identities,
    changed_since,
    changed_text,
    evaluation_part,
    gather,
    recorded,
    study_folder,
)
from ftstab.running.remarks import (
    arm_remarks,
    asked_place,
    left_out_remarks,
    limit_remarks,
    out_of_reach_remarks,
    overlap_remarks,
    sample_remarks,
    schedule_remarks,
    stall_remarks,
    training_remarks,
    unused_remarks,
)
from ftstab.running.sources import check_sources
from ftstab.spec import Study, Template, parse_recorded
from ftstab.store import Lease, Records, open_store, store_root
from ftstab.store.location import FORMAT_FILE
from ftstab.terminal import say, shown
from ftstab.tracking.address import storage_url
from ftstab.training.posthoc import check_posthoc


@dataclass(frozen=True)
class Prepared:
    """What a driver must know of a study.

    Attributes:
        identities: keys that its plan needs.
        context: longest sequence that the model reads, in tokens.
        prompts: prompts that a setting is asked.
    """

    identities: Identities
    context: int
    prompts: int


def check_place(study: Study, console: Console) -> None:
    """Find out early that the store can't be used, or that another driver runs the study.

    ``console`` is told what is waited for.

    Raises:
        LeaseError: another driver runs it.
        StoreError: the store can't be used.
    """
    root = store_root(study.store)
    if (root / FORMAT_FILE).exists():
        lease = Lease(open_store(root), study.study, say=partial(say, console))
        if lease.holder() is not None:
            with lease:  # says who holds it
                pass


def prepare(study: Study, base_dir: Path, console: Console) -> Prepared:
    """Read the model, the data and the prompts of ``study``; builds the start model where it isn't cached.

    Raises:
        FtstabError: something in the study file, or in what it names, must be mended first.
    """

    def progress(step: int, last: int, loss: float) -> None:
        if step % 10 == 0 or step == last:
            console.print(f"  alignment stage: step {step}/{last}, loss {loss:.3f}", highlight=False)

    check_posthoc(study)
    storage_url(study.tracking.optuna, study_folder(study))  # the variable must be set
    check_sources(study, base_dir)  # before a model is fetched, and all at once
    start, chat = start_chat(study, base_dir, progress)
    questions = make_questions(study, base_dir, chat)
    data = read_training(study.data, base_dir)
    sets = {asked_place(study, role): q for role, q in questions.sets.items()}
    asked = {where: q.rows for where, q in sets.items()}
    if (held_out := read_held_out(study, base_dir)) is not None:
        asked[asked_place(study, "held_out")] = held_out
    read = data.sets | asked
    unused: list[str] = []
    if (align := study.base.align) is not None:
        taught = align_sets(align, base_dir)
        read = taught | read
        plain = Chat(chat.tokenizer, Template(), chat.context, chat.vocabulary)
        for where, rows in taught.items():
            unused += unused_remarks(plain, rows, where, "base.align.max_length", [align.max_length])
    halves = {where: len(q.plan.order) for where, q in sets.items()}
    if data.mix is not None:
        check_mix(data.mix, {where: rows for where, rows in asked.items() if where.endswith(".benchmark")})
    counts: dict[str, int] = {role: len(q.plan.order) for role, q in questions.sets.items()}
    said = (
        *schedule_remarks(study),
        *stall_remarks(study),
        *arm_remarks(study),
        *unused,
        *training_remarks(study, data, chat),
        *left_out_remarks({where: rows.left_out for where, rows in read.items()}),
        *overlap_remarks(data.sets, asked),
        *limit_remarks(study, read, halves),
        *sample_remarks(study, counts),
        *out_of_reach_remarks(study, counts, questions.confirmable),
    )
    for text in said:
        console.print(shown(text), highlight=False, soft_wrap=True)
    identities = Identities(start.key, chat.training_key(data), questions.key, evaluation_part(study))
    return Prepared(identities, chat.context, questions.prompts)


def start_chat(study: Study, base_dir: Path, progress: Progress | None = None) -> tuple[StartModel, Chat]:
    """Return the start model, whose weights aren't loaded, and its tokenizer with the study's template."""
    start = start_model(study.base, base_dir, progress)
    return start, load_chat(start.folder, study.template)


def check_same(
    study: Study, records: Records, stored: tuple[str, dict[str, Any]] | None, identities: Identities
) -> None:
    """Refuse to mix two questions under one name; where nothing is measured yet, there is nothing to mix.

    Args:
        study: the study as its file says now.
        records: its store.
        stored: what the last run recorded, if there was one: the text of its study file, and what stands beside it.
        identities: keys as they are now.

    Raises:
        StudyError: the start model, the training data or what is measured changed.
    """
    if stored is None:
        return
    before = recorded(study.study, stored)
    results = gather(parse_recorded(stored[0], where=study.study), records, before, stored[1])
    if results.start is None and not results.outcomes:
        return
    if changed := changed_since(before, identities.base, identities.data, identities.evaluation):
        raise StudyError(changed_text(study.study, changed))
