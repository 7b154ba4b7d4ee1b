"""ONNX files out: they stand alone, and come back as the same model."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from drivers.errors import ModelError, OutputError
from protocol.models import _onnx_export
from protocol.models.graph import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Graph,
    InputScaling,
    Linear,
    MaxPool2d,
    Relu,
)
from protocol.models.model import LayerWeights, Model
from protocol.models.onnx_files import load_onnx, save_onnx

LAYERS = (
    Conv2d(
        in_channels=2,
        out_channels=3,
        kernel=(3, 2),
        stride=(2, 1),
        padding=(1, 2),
        dilation=(1, 2),
        bias=False,
    ),
    Relu(),
    MaxPool2d(kernel=(2, 2), stride=(1, 2), padding=(1, 0)),
    AvgPool2d(kernel=(2, 2), stride=(2, 1), padding=(1, 1)),
    Flatten(),
    Linear(inputs=36, outputs=4),
    Relu(),
    Linear(inputs=4, outputs=3, bias=False),
)
SCALINGS = [
    InputScaling(),
    InputScaling(offset=0.1307, factor=1 / 0.3081),
    InputScaling(offset=33.3),
    InputScaling(factor=1 / 255),
]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build_model(scaling: InputScaling) -> Model:
    return Model(
        graph=Graph(input_shape=(2, 6, 5), layers=LAYERS, scaling=scaling),
        weights={
            0: LayerWeights(weight=random(3, 2, 3, 2)),
            5: LayerWeights(weight=random(4, 36, seed=1), bias=random(4, seed=2)),
            7: LayerWeights(weight=random(3, 4, seed=3)),
        },
        metadata={"epochs": 3, "name": "Übung", "snr_db": [1.5, None]},
    )


def conv_model() -> Model:
    graph = Graph(input_shape=(2, 6, 5), layers=LAYERS[:1])
    return Model(graph=graph, weights={0: LayerWeights(weight=random(3, 2, 3, 2))})


def linear_model(scaling: InputScaling) -> Model:
    graph = Graph(input_shape=(4,), layers=LAYERS[-1:], scaling=scaling)
    return Model(graph=graph, weights={0: LayerWeights(weight=random(3, 4))})


def run(path: Path, raw: torch.Tensor) -> torch.Tensor:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return torch.tensor(session.run(None, {"input": raw.numpy()})[0]).flatten(1)


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_save_onnx_gives_the_outputs_of_the_model_when_onnxruntime_runs_raw_data(
    tmp_path: Path, scaling: InputScaling, samples: int
) -> None:
    model = build_model(scaling)
    save_onnx(model, tmp_path / "net.onnx")
    raw = random(samples, 2, 6, 5, seed=9) / scaling.factor + scaling.offset
    expected = model.forward((raw - scaling.offset) * scaling.factor)
    torch.testing.assert_close(run(tmp_path / "net.onnx", raw), expected, atol=1e-4, rtol=1e-4)


def test_save_onnx_gives_the_outputs_of_the_model_when_it_ends_in_a_convolution(
    tmp_path: Path,
) -> None:
    model = conv_model()
    save_onnx(model, tmp_path / "net.onnx")
    raw = random(2, 2, 6, 5, seed=9)
    torch.testing.assert_close(
        run(tmp_path / "net.onnx", raw), model.forward(raw), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("scaling", SCALINGS)
def test_load_onnx_returns_the_same_model_when_it_was_saved(
    tmp_path: Path, scaling: InputScaling
) -> None:
    model = build_model(scaling)
    save_onnx(model, str(tmp_path / "net.onnx"))
    loaded = load_onnx(str(tmp_path / "net.onnx"))
    assert loaded.graph == model.graph
    assert loaded.metadata == model.metadata
    assert loaded.digest == model.digest


def test_save_onnx_writes_a_checked_file_of_set_17_when_it_exports(tmp_path: Path) -> None:
    save_onnx(build_model(SCALINGS[1]), tmp_path / "net.onnx")
    proto = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    operators = [node.op_type for node in proto.graph.node]
    assert operators[:3] == ["Sub", "Mul", "Conv"]
    assert os.listdir(tmp_path) == ["net.onnx"]


def test_load_onnx_trusts_the_nodes_when_the_noted_scaling_differs(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    save_onnx(linear_model(InputScaling(offset=0.5, factor=2.0)), path)
    proto = onnx.load(path)
    for entry in proto.metadata_props:
        if entry.key == "veilight.scaling":
            entry.value = '{"factor": 7.0, "offset": 0.5}'
    onnx.save_model(proto, path)
    assert load_onnx(path).graph.scaling == InputScaling(offset=0.5, factor=2.0)


def test_save_onnx_keeps_the_file_when_overwriting_was_not_allowed(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"net\.onnx: exists already"):
        save_onnx(conv_model(), path)
    assert path.read_text() == "mine"
    save_onnx(conv_model(), path, overwrite=True)
    assert load_onnx(path).digest == conv_model().digest


def test_save_onnx_refuses_when_the_suffix_is_another(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"is named NAME\.onnx"):
        save_onnx(conv_model(), tmp_path / "net.pb")


def test_save_onnx_says_why_when_the_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        save_onnx(conv_model(), tmp_path / "absent" / "net.onnx")


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        (InputScaling(factor=1e-60), "factor 1e-60 is beyond float32"),
        (InputScaling(factor=1e60), r"factor 1e\+60 is beyond float32"),
        (InputScaling(offset=-1e60), r"offset -1e\+60 is beyond float32"),
    ],
)
def test_save_onnx_refuses_when_the_scaling_is_beyond_float32(
    tmp_path: Path, scaling: InputScaling, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        save_onnx(linear_model(scaling), tmp_path / "net.onnx")
    assert os.listdir(tmp_path) == []


def test_save_onnx_refuses_when_metadata_is_not_json(tmp_path: Path) -> None:
    plain = conv_model()
    model = Model(graph=plain.graph, weights=plain.weights, metadata={"array": np.ones(3)})
    with pytest.raises(ModelError, match="metadata must be plain JSON"):
        save_onnx(model, tmp_path / "net.onnx")


def test_save_onnx_refuses_when_the_weights_exceed_what_a_file_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_onnx_export, "MAX_FILE_BYTES", (1 << 23) + 100)
    with pytest.raises(ModelError, match="144 bytes of weights exceed what an ONNX file can hold"):
        save_onnx(conv_model(), tmp_path / "net.onnx")
