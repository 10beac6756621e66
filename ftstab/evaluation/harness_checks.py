"""What of a task of lm-evaluation-harness can't be measured here, seen from its description.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ftstab.spec.evaluation import HarnessTask

_KINDS = ("multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until")


def task_faults(config: Mapping[str, Any], spec: HarnessTask, metrics: Collection[str]) -> list[str]:
    """Return everything that forbids measuring the task described by ``config``, a clause each.

    Args:
        config: the task's description.
        spec: what the study file says of it.
        metrics: those that the harness has itself.
    """
    found = [*_code(config, metrics), *_requests(config)]
    if "class" not in config and config.get("output_type", "generate_until") not in _KINDS:
        found.append(f"output_type {config['output_type']!r}; known are {', '.join(_KINDS)}")
    if not isinstance(config.get("task"), str):
        found.append("it describes no single task (`task: <name>`); name one")
    if spec.few_shot and config.get("num_fewshot") == 0:
        found.append("its own num_fewshot is 0, which the harness never overrides; leave out few_shot")
    few = config.get("num_fewshot") if spec.few_shot is None else spec.few_shot
    if few and _examples(config) == (asked := config.get("test_split") or config.get("validation_split")):
        found.append(
            f"its solved examples come from the documents that are asked ({asked}), so that prompts of one half would "
            "give away answers of the other; set few_shot: 0"
        )
    if spec.max_new_tokens is not None and config.get("output_type", "generate_until") != "generate_until":
        found.append("max_new_tokens belongs to tasks that generate answers")
    return found


def _code(config: Mapping[str, Any], metrics: Collection[str]) -> list[str]:
    """Code of others: what the model writes, or what a hub serves."""
    found = []
    if config.get("unsafe_code"):
        found.append("it runs the code that the model writes (unsafe_code), which ftstab never does")
    kwargs = config.get("dataset_kwargs")
    if isinstance(kwargs, Mapping) and kwargs.get("trust_remote_code"):
        found.append("its data need trust_remote_code, and no code of a hub runs here")
    for metric in config.get("metric_list") or []:
        name = metric.get("metric") if isinstance(metric, Mapping) else None
        foreign = isinstance(name, str) and name not in metrics and not config.get("process_results")
        if foreign or (isinstance(metric, Mapping) and metric.get("hf_evaluate")):
            found.append(
                f"its metric {name} isn't the harness' own but code from a hub, and no code of a hub runs here"
            )
    return found


def _examples(config: Mapping[str, Any]) -> str | None:
    """The split that solved examples are drawn from; None where they stand in the task itself."""
    described = config.get("fewshot_config")
    own = described if isinstance(described, Mapping) else {}
    split = own.get("split") or config.get("fewshot_split")
    if split is None and own.get("samples") is not None:
        return None
    names = ("training_split", "validation_split", "test_split")
    return split or next((config[name] for name in names if config.get(name)), None)


def _requests(config: Mapping[str, Any]) -> list[str]:
    """Requests that aren't one greedy answer of a language model."""
    found = []
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        found.append("it shows images or plays sounds; only text is asked")
    if (config.get("repeats") or 1) > 1:
        found.append(
            f"it asks everything {config['repeats']} times (repeats); answers are decoded greedily, once"
        )
    generation = config.get("generation_kwargs")
    given = generation if isinstance(generation, Mapping) else {}
    warm = float(given.get("temperature") or 0) > 0
    if given.get("do_sample") or (warm and given.get("do_sample") is None):
        found.append(
            "it samples (generation_kwargs: do_sample, temperature); answers are decoded greedily, once"
        )
    if (given.get("num_beams") or 1) > 1:
        found.append("it searches with beams (generation_kwargs: num_beams); answers are decoded greedily")
    return found
