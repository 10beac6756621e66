"""What is hashed, kept and put back of a model: all that loading it reads, and nothing twice."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ftstab.errors import StoreError
from ftstab.models.load import cast, load_model
from ftstab.running.answering import weights_hash
from ftstab.running.kept import put_in
from ftstab.running.weights import named_weights
from ftstab.store import Records, open_store
from tests.outcomes import bare_outcome

BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"
IDS = torch.arange(3, 60)[None]


@pytest.fixture(scope="module")
def routed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model that chooses its experts by a buffer."""
    from transformers import Glm4MoeConfig, Glm4MoeForCausalLM

    torch.manual_seed(0)
    config = Glm4MoeConfig(
        vocab_size=80,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        n_routed_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        first_k_dense_replace=1,
    )
    model = Glm4MoeForCausalLM(config)
    model.get_buffer(BIAS).copy_(3 * torch.randn(8))
    folder = tmp_path_factory.mktemp("routed-model")
    model.save_pretrained(folder)
    return folder


def written(tensors: Mapping[str, torch.Tensor], folder: Path, base: Path) -> Path:
    """A folder of the model in ``base`` with these weights."""
    folder.mkdir()
    shutil.copy(base / "config.json", folder)
    whole = {name: t.detach().contiguous() for name, t in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_hold_the_buffers_that_the_model_reads(
    routed_model: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    measured = load_model(routed_model)
    in_float32 = weights_hash(named_weights(measured), dtype)
    cast(measured, dtype)
    found = named_weights(measured)
    # As it is rounded: the start model is checked in float32.
    assert weights_hash(found) == in_float32
    assert found[BIAS].dtype == torch.float32
    loaded = load_model(written(found, tmp_path / "kept", routed_model), dtype)
    assert weights_hash(named_weights(loaded)) == in_float32
    assert torch.equal(logits(loaded), logits(measured))
    loaded.get_buffer(BIAS).zero_()
    assert weights_hash(named_weights(loaded)) != in_float32
    assert not torch.equal(logits(loaded), logits(measured))


def test_kept_weights_are_put_back_with_their_buffers(routed_model: Path, tmp_path: Path) -> None:
    other, model = load_model(routed_model), load_model(routed_model)
    other.get_buffer(BIAS).neg_()
    fingerprint = weights_hash(named_weights(other))
    records = Records(open_store(tmp_path / "store", create=True))
    file = written(named_weights(other), tmp_path / "kept", routed_model) / "model.safetensors"
    records.put_weights("t", "s", {"model.safetensors": file.read_bytes()})
    found = bare_outcome(trajectory="t", setting="s", record={"weights_sha256": fingerprint})
    assert put_in(model, records, found) == fingerprint
    assert torch.equal(logits(model), logits(other))
    # Without the buffer they are another model's.
    records.delete_weights("t", "s")
    parts = written(dict(other.named_parameters()), tmp_path / "parts", routed_model) / "model.safetensors"
    records.put_weights("t", "s", {"model.safetensors": parts.read_bytes()})
    with pytest.raises(StoreError, match="those of another architecture"):
        put_in(model, records, found)


def test_a_model_without_such_buffers_is_its_parameters(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    # Tied weights stand once, and the frequencies of rotary positions are no weights.
    assert named_weights(model).keys() == dict(model.named_parameters()).keys()
    number = {"count": torch.tensor(3)}
    assert weights_hash(number) != weights_hash({"count": torch.tensor(4)})
