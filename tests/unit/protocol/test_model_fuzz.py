"""Damaged model files of every kind: a usable model or a ModelError, and nothing else."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import ModelError
from protocol.models.files import load_model, save_model
from protocol.models.graph import Conv2d, Flatten, Graph, InputScaling, Linear, MaxPool2d, Relu
from protocol.models.model import LayerWeights, Model
from protocol.models.onnx_files import load_onnx, save_onnx

Edit = tuple[str, float, int]

FUZZ = settings(
    derandomize=True,
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(("flip", "flip", "flip", "insert", "delete", "cut", "repeat")),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, edits: list[Edit]) -> bytes:
    """The data with a few bytes flipped, inserted, deleted, cut off or repeated."""
    content = bytearray(data)
    for kind, place, byte in edits:
        at = int(place * len(content))
        if kind == "flip" and content:
            content[at] ^= byte or 1
        elif kind == "insert":
            content.insert(at, byte)
        elif kind == "delete":
            del content[at : at + 1 + byte % 8]
        elif kind == "repeat":
            content[at:at] = content[at : at + byte]
        elif kind == "cut":
            del content[at:]
    return bytes(content)


def check(path: Path) -> None:
    """Load it; if that succeeds, the model must be usable."""
    try:
        model = load_model(path)
    except ModelError:
        return
    shape = model.graph.input_shape
    if torch.Size(shape).numel() < 1 << 16:
        assert model.forward(torch.zeros(1, *shape)).shape == (1, model.graph.outputs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    graph = Graph(
        input_shape=(1, 4, 4),
        layers=(
            Conv2d(in_channels=1, out_channels=1, kernel=(2, 2), padding=(1, 1)),
            Relu(),
            MaxPool2d(kernel=(2, 2), stride=(2, 2)),
            Flatten(),
            Linear(inputs=4, outputs=2),
        ),
        scaling=InputScaling(offset=0.5, factor=2.0),
    )
    weights = {
        0: LayerWeights(
            weight=torch.randn(1, 1, 2, 2, generator=generator),
            bias=torch.randn(1, generator=generator),
        ),
        4: LayerWeights(
            weight=torch.randn(2, 4, generator=generator),
            bias=torch.randn(2, generator=generator),
        ),
    }
    model = Model(graph=graph, weights=weights, metadata={"epochs": 3})
    path = tmp_path_factory.mktemp("fuzz")
    save_model(model, path / "whole.safetensors")
    save_onnx(model, path / "whole.onnx")
    return path


@FUZZ
@given(edits=EDITS)
def test_load_model_raises_nothing_but_model_errors_when_the_weights_are_damaged(
    folder: Path, edits: list[Edit]
) -> None:
    data = damaged((folder / "whole.safetensors").read_bytes(), edits)
    (folder / "torn.safetensors").write_bytes(data)
    content = json.loads((folder / "whole.json").read_text())
    content["sha256"] = hashlib.sha256(data).hexdigest()  # past the checksum, to the parser
    (folder / "torn.json").write_text(json.dumps(content))
    check(folder / "torn.safetensors")


@FUZZ
@given(edits=EDITS)
def test_load_model_raises_nothing_but_model_errors_when_the_description_is_damaged(
    folder: Path, edits: list[Edit]
) -> None:
    (folder / "bent.safetensors").write_bytes((folder / "whole.safetensors").read_bytes())
    (folder / "bent.json").write_bytes(damaged((folder / "whole.json").read_bytes(), edits))
    check(folder / "bent.json")


@FUZZ
@given(edits=EDITS)
def test_load_model_raises_nothing_but_model_errors_when_the_onnx_file_is_damaged(
    folder: Path, edits: list[Edit]
) -> None:
    data = damaged((folder / "whole.onnx").read_bytes(), edits)
    (folder / "torn.onnx").write_bytes(data)
    check(folder / "torn.onnx")


@pytest.mark.parametrize("name", ["whole.safetensors", "whole.json"])
def test_load_model_refuses_when_the_file_is_cut_anywhere(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    target = folder / name.replace("whole", "cut")
    for other in ("safetensors", "json"):
        (folder / f"cut.{other}").write_bytes((folder / f"whole.{other}").read_bytes())
    for length in range(0, len(data), max(1, len(data) // 60)):
        target.write_bytes(data[:length])
        with pytest.raises(ModelError, match="cut"):
            load_model(target)


def test_load_onnx_never_returns_other_weights_when_the_file_is_cut_anywhere(folder: Path) -> None:
    data = (folder / "whole.onnx").read_bytes()
    whole = load_onnx(folder / "whole.onnx")
    refused = 0
    for length in range(len(data)):
        (folder / "cut.onnx").write_bytes(data[:length])
        try:
            model = load_onnx(folder / "cut.onnx")
        except ModelError:
            refused += 1
            continue
        # The format has no end mark: a cut between two fields may lose the notes at the end.
        assert model.graph.layers == whole.graph.layers
        assert all(torch.equal(model.matrix(i), whole.matrix(i)) for i in whole.graph.optical)
    assert refused >= len(data) - 3


def test_load_onnx_reads_what_the_damaged_copies_were_made_from_when_it_is_whole(
    folder: Path,
) -> None:
    assert load_onnx(folder / "whole.onnx").digest == load_model(folder / "whole.json").digest
