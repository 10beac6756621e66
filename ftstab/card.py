"""What is handed over: the recipe as a YAML file, and the weights in a folder with a model card.

Whole or not at all.  Both carry the statement of `ftstab.selection`, so that neither travels without it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save_file

from ftstab import __version__
from ftstab.confirm import ERROR_RATE
from ftstab.constraints import pick_limit
from ftstab.errors import MisuseError, StudyError
from ftstab.frontier import FrontierRow
from ftstab.judging.wording import corrected_words, raw_words
from ftstab.looks import Look
from ftstab.models.align import start_model
from ftstab.models.cache import building
from ftstab.outcome import Outcome
from ftstab.results import Results
from ftstab.running.answering import weights_hash
from ftstab.running.weights import named_weights
from ftstab.selection import Selection, pick_command, select
from ftstab.spec import Study
from ftstab.wording.caveats import caption
from ftstab.wording.numbers import number
from ftstab.wording.rates import RATE_WORDS
from ftstab.wording.settings import label

RECIPE, CANDIDATE = "recipe.yaml", "candidate.yaml"
"""Recipes in the folder of a study, named for what they are, so that nobody takes a candidate for what was picked."""
_STATUS = {
    "picked": "picked: confirmed on the confirmation half",
    "candidate": "candidate: not confirmed on unseen prompts",
    "not confirmed": "candidate: the confirmation half did not confirm it",
}


def write_recipe(results: Results, chosen: Selection, path: Path) -> Path:
    """Write how the setting of ``chosen`` is made: a YAML file, whole or not at all.

    Raises:
        MisuseError: the file is there already and is no recipe of this study.
    """
    check_recipe(results, path)
    outcome = _outcome(results, _row(chosen))
    study = results.study
    recipe: dict[str, Any] = {
        "recipe": {
            "status": status_words(chosen),
            "base": study.base.model_dump(exclude_none=True),
            "data": study.data.model_dump(exclude_none=True),
            "training": outcome.training,
            "template": study.template.model_dump(),
            "steps": outcome.step,
            "averaging": outcome.profile.model_dump(exclude_none=True),
            "interpolation": outcome.interpolation,
        },
        "statement": chosen.text,
        "found": {
            "study": study.study,
            "setting": outcome.setting,
            "trajectory": outcome.trajectory,
            "attempt": outcome.attempt,
            "seed": outcome.seed,
            "half": "search",
            "rates": {name: r.model_dump(exclude={"by_category"}) for name, r in outcome.rates.items()},
            "utility": outcome.utility.model_dump() if outcome.utility else None,
            "base": outcome.record.get("base", {}).get("identity"),
            "train_data": outcome.record.get("train_data"),
            "weights_sha256": outcome.record.get("weights_sha256"),
            "environment": outcome.record.get("environment"),
            "command": outcome.record.get("command"),
            "ftstab": __version__,
        },
        "confirmation": _told(chosen.look),
        "fresh_seeds": _told(chosen.fresh),
    }
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    scratch.replace(path)
    return path


def keep_recipe(results: Results, chosen: Selection) -> Path:
    """Write the recipe of what keeps the study's own limit into the study's folder.

    What is picked is no mere candidate any more, so that file goes.  A recipe stays where another setting has become
    the candidate since: what it says of its weights was confirmed.

    Raises:
        MisuseError: the file is there already and is no recipe of this study.
    """
    path = write_recipe(results, chosen, results.folder / (RECIPE if chosen.picked else CANDIDATE))
    candidate = results.folder / CANDIDATE
    if chosen.picked and candidate.exists() and _is_recipe(candidate, results.study.study):
        candidate.unlink()
    return path


def renew_recipe(results: Results) -> None:
    """Write what `ftstab run` left of the candidate again, where it left any: what was confirmed since would be
    missing in it.

    Raises:
        MisuseError: a file in its place is no recipe of this study.
    """
    limit = pick_limit(results.study)
    if limit is not None and (results.folder / CANDIDATE).exists():
        chosen = select(results, limit)
        if chosen.row is not None:
            keep_recipe(results, chosen)


def check_new(folder: Path) -> None:
    """Refuse a folder for weights that is there already.

    Raises:
        MisuseError: it is.
    """
    if folder.exists():
        raise MisuseError(f"--weights: {folder} is there already; name a new folder")


def write_weights(results: Results, chosen: Selection, folder: Path) -> Path:
    """Write the model of ``chosen`` to a new folder that `from_pretrained` loads, with its card.

    Interpolation 0 is the start model, whose weights are never kept: they are taken from it, in the compute type that
    was measured.

    Raises:
        MisuseError: the folder is there already.
        StudyError: the weights weren't kept, or aren't those that were measured.
    """
    folder = folder.absolute()
    check_new(folder)
    row = _row(chosen)
    outcome = _outcome(results, row)
    from_store = outcome.interpolation != 0
    tensors = _kept_tensors(results, outcome, chosen.found.limit) if from_store else {}
    start = start_model(results.study.base, Path(results.about["base_dir"]))
    if not from_store:
        tensors = _start_tensors(results, outcome, start.folder)
    config = json.loads((start.folder / "config.json").read_text(encoding="utf-8"))
    # `from_pretrained` computes in the type that stands here, which is the base's and not the one that was measured.
    # Older versions of transformers know the second name alone.
    config |= dict.fromkeys(("dtype", "torch_dtype"), outcome.record["dtype"])
    with building(folder) as made:
        for path in start.folder.iterdir():
            if path.is_file() and path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
                shutil.copy(path, made / path.name)
        (made / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(tensors, made / "model.safetensors", metadata={"format": "pt"})
        # In place of the base's own card, whose claims are about other weights.
        (made / "README.md").write_text(card(results, chosen), encoding="utf-8")
    return folder


def check_recipe(results: Results, path: Path) -> None:
    """Refuse to write a recipe over anything but an earlier one of the same study.

    Raises:
        MisuseError: something else is there already.
    """
    if path.exists() and not _is_recipe(path, results.study.study):
        raise MisuseError(
            f"--out: {path.absolute()} is there already and is no recipe of study {results.study.study}; name a new "
            "file"
        )


def _is_recipe(path: Path, study: str) -> bool:
    """Whether `write_recipe` has written the file for this study."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    if not isinstance(found, dict) or not {"recipe", "statement", "found"} <= found.keys():
        return False
    return isinstance(found["found"], dict) and found["found"].get("study") == study


def _kept_tensors(results: Results, outcome: Outcome, limit: float) -> dict[str, Any]:
    """The weights of a setting from the store."""
    again = f"`{pick_command(results, limit, ERROR_RATE, '--retrain')}` trains them again"
    piece = results.records.weights(outcome.trajectory, outcome.setting)
    if piece is None:
        raise StudyError(
            f"setting {outcome.setting}: its weights weren't kept (keep_weights: {results.study.keep_weights}); {again}"
        )
    tensors: dict[str, Any] = load_file(piece.path("model.safetensors"))
    found, measured = weights_hash(tensors), outcome.record["weights_sha256"]
    if found != measured:
        raise StudyError(
            f"setting {outcome.setting}: the weights in the store (SHA-256 {found[:12]}) aren't those measured "
            f"({measured[:12]}): another study has trained the trajectory again, or they are damaged; {again}"
        )
    return tensors


def _start_tensors(results: Results, outcome: Outcome, folder: Path) -> dict[str, Any]:
    """The weights of the start model in ``folder``, as a setting of interpolation 0 was measured with them."""
    from ftstab.models.load import cast, load_model
    from ftstab.training.run import DTYPES

    model = load_model(folder)
    cast(model, DTYPES[outcome.record["dtype"]])
    tensors = {name: p.detach().contiguous() for name, p in named_weights(model).items()}
    found, measured = weights_hash(tensors), outcome.record["weights_sha256"]
    if found != measured:
        raise StudyError(
            f"setting {outcome.setting}: it is the start model (interpolation 0), but the start model here (SHA-256 "
            f"{found[:12]}) isn't the one that was measured ({measured[:12]}): base.model or its alignment stage has "
            f"changed since; undo that, or give study {results.study.study} a new name and run it"
        )
    return tensors


def card(results: Results, chosen: Selection) -> str:
    """Return the model card, in Markdown."""
    row, study = _row(chosen), results.study
    outcome = _outcome(results, row)
    facts = {
        "Base": _base(study, outcome),
        "Fine-tuned on": study.data.train.location
        + ("" if study.data.mix is None else f", with rows of {study.data.mix.location} mixed in"),
        **{n.replace("_", " ").capitalize(): _value(v) for n, v in row.read_parameters.items()},
        "Seed": number(outcome.seed),
        "Weights, SHA-256": str(outcome.record.get("weights_sha256")),
        "Study, setting": f"{study.study}, {outcome.setting}",
        "Made with": f"ftstab {__version__}",
    }
    lines = [
        f"# {_plain(study.study)}: {_plain(label(row))}",
        "",
        f"**{status_words(chosen).capitalize()}.**",
        "",
    ]
    lines += [_plain(chosen.text), ""]
    if text := caption(study):
        lines += [_plain(text), ""]
    lines += _corrected(results, chosen, row)
    lines += ["| | |", "|---|---|", *(f"| {name} | {_plain(value)} |" for name, value in facts.items()), ""]
    return "\n".join(lines)


def _base(study: Study, outcome: Outcome) -> str:
    """The model that was fine-tuned, as it was found, and what was done to it first."""
    text = str(outcome.record.get("base", {}).get("identity") or study.base.model)
    return text + ("" if study.base.align is None else ", aligned by this study's alignment stage")


def _value(value: Any) -> str:
    """A parameter; what isn't done (clipping, a fixed beta2) is said."""
    return "none" if value is None else number(value)


def _corrected(results: Results, chosen: Selection, row: FrontierRow) -> list[str]:
    """Raw and corrected rates side by side; nothing where no answer is labelled."""
    found, start = chosen.correction, results.need_start()
    if found is None or not found.labellers or row.rate is None:
        return []
    lines = [
        f"| {RATE_WORDS[row.rate.name]}, search half | raw | corrected for the judge's errors |",
        "|---|---|---|",
    ]
    for name, key, rate in (
        ("this setting", row.key, row.rate),
        ("start model", start.key, start.rates["harmful"]),
    ):
        lines.append(f"| {name} | {raw_words(rate)} | {_plain(corrected_words(found, key))} |")
    return [*lines, ""]


def _told(look: Look | None) -> dict[str, Any] | None:
    """What a finished look found and on what; who looked stays in the log."""
    if look is None or look.result is None:
        return None
    return {k: v for k, v in look.as_dict().items() if k != "who"}


def status_words(chosen: Selection) -> str:
    """Return what may be said of ``chosen`` in a few words."""
    words = _STATUS[chosen.status]
    if chosen.picked and chosen.look is not None and chosen.look.reused:
        words += ", which was reused"
    return words


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands: names of files and studies come from outside."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _row(chosen: Selection) -> FrontierRow:
    if chosen.row is None:
        raise ValueError("a selection without a candidate can't be handed over")
    return chosen.row


def _outcome(results: Results, row: FrontierRow) -> Outcome:
    return next(o for o in results.outcomes if o.key == row.key)
