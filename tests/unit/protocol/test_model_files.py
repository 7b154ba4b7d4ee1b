"""Model files on disk: round trips, refusals and what a crash leaves behind."""

import builtins
import errno
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import protocol
from drivers.errors import ModelError, OutputError
from protocol.models import files
from protocol.models.files import load_model, save_model
from protocol.models.graph import Conv2d, Flatten, Graph, InputScaling, Linear, Relu
from protocol.models.model import LayerWeights, Model


def build_model(seed: int = 0, bias: bool = True) -> Model:
    generator = torch.Generator().manual_seed(seed)
    graph = Graph(
        input_shape=(1, 4, 4),
        layers=(
            Conv2d(in_channels=1, out_channels=2, kernel=(3, 3)),
            Relu(),
            Flatten(),
            Linear(inputs=8, outputs=3, bias=bias),
        ),
        scaling=InputScaling(offset=0.1, factor=1 / 255),
    )
    weights = {
        0: LayerWeights(
            weight=torch.randn(2, 1, 3, 3, generator=generator),
            bias=torch.randn(2, generator=generator),
        ),
        3: LayerWeights(
            weight=torch.randn(3, 8, generator=generator),
            bias=torch.randn(3, generator=generator) if bias else None,
        ),
    }
    return Model(graph=graph, weights=weights, metadata={"epochs": 3, "data": ["digits", None]})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_model(build_model(), path)
    return path


def edit_description(path: Path, **changes: object) -> None:
    description = path.with_suffix(".json")
    content = json.loads(description.read_text()) | changes
    description.write_text(json.dumps(content))


def rewrite(path: Path, data: bytes) -> None:
    """Replace the weights and make the description agree, as an attacker would."""
    path.write_bytes(data)
    edit_description(path, sha256=hashlib.sha256(data).hexdigest())


def rewrite_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    rewrite(path, path.read_bytes())


def with_header(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_load_model_returns_what_was_saved_when_given_either_file(
    tmp_path: Path, suffix: str, bias: bool
) -> None:
    model = build_model(bias=bias)
    save_model(model, tmp_path / "net.v1.safetensors")
    loaded = load_model(str(tmp_path / f"net.v1{suffix}"))
    assert loaded.digest == model.digest
    assert loaded.graph == model.graph
    assert loaded.metadata == model.metadata
    inputs = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded.forward(inputs), model.forward(inputs))


def test_save_model_describes_the_weights_when_it_writes_the_pair(saved: Path) -> None:
    content = json.loads(saved.with_suffix(".json").read_text())
    assert content["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert content["graph"] == build_model().graph.to_dict()
    assert content["version"] == 1
    assert sorted(os.listdir(saved.parent)) == ["net.json", "net.safetensors"]


def test_save_model_accepts_when_weights_share_memory_and_need_gradients(tmp_path: Path) -> None:
    shared = torch.randn(3, 3, generator=torch.Generator().manual_seed(2)).requires_grad_()
    layer = Linear(inputs=3, outputs=3, bias=False)
    graph = Graph(input_shape=(3,), layers=(layer, Relu(), layer))
    model = Model(
        graph=graph, weights={0: LayerWeights(weight=shared), 2: LayerWeights(weight=shared.T)}
    )
    save_model(model, tmp_path / "net.safetensors")
    assert load_model(tmp_path / "net.safetensors").digest == model.digest


@pytest.mark.parametrize("existing", ["net.safetensors", "net.json"])
def test_save_model_keeps_files_when_overwriting_was_not_allowed(
    tmp_path: Path, existing: str
) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(OutputError, match=f"{existing}: exists already"):
        save_model(build_model(), tmp_path / "net.safetensors")
    assert (tmp_path / existing).read_text() == "mine"
    assert os.listdir(tmp_path) == [existing]


def test_save_model_replaces_both_files_when_overwriting_is_allowed(saved: Path) -> None:
    other = build_model(seed=9)
    save_model(other, saved, overwrite=True)
    assert load_model(saved).digest == other.digest
    assert sorted(os.listdir(saved.parent)) == ["net.json", "net.safetensors"]


@pytest.mark.parametrize("name", ["net", "net.json", "net.onnx", "net.SAFETENSORS"])
def test_save_model_refuses_when_the_suffix_is_another(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"is named NAME.safetensors"):
        save_model(build_model(), tmp_path / name)


def test_save_model_says_why_when_the_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"No such file or directory.*choose a folder"):
        save_model(build_model(), tmp_path / "absent" / "net.safetensors")


def test_save_model_says_why_when_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        save_model(build_model(), tmp_path / "file" / "net.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may write everywhere")
def test_save_model_says_why_when_the_folder_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        save_model(build_model(), tmp_path / "net.safetensors")


def test_save_model_leaves_nothing_behind_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_model(build_model(), tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


def test_save_model_syncs_before_it_renames_and_describes_last_when_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    replace = os.replace

    def recording_replace(source: Path, target: Path) -> None:
        events.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", recording_replace)
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append("fsync"))
    save_model(build_model(), tmp_path / "net.safetensors")
    assert events == ["fsync", "fsync", "net.safetensors", "net.json", "fsync"]


def test_load_model_refuses_when_a_crash_came_between_the_two_renames(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def crash_at_description(source: Path, target: Path) -> None:
        if target.suffix == ".json":
            raise OSError("power is gone")
        replace(source, target)

    monkeypatch.setattr(os, "replace", crash_at_description)
    with pytest.raises(OutputError, match="power is gone"):
        save_model(build_model(seed=9), saved, overwrite=True)
    assert sorted(os.listdir(saved.parent)) == ["net.json", "net.safetensors"]
    with pytest.raises(ModelError, match=r"net.safetensors: SHA-256 is .*do not belong together"):
        load_model(saved)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, np.float32(3)])
def test_save_model_refuses_when_metadata_is_not_json(tmp_path: Path, value: object) -> None:
    plain = build_model()
    model = Model(graph=plain.graph, weights=plain.weights, metadata={"loss": value})
    with pytest.raises(ModelError, match="metadata must be plain JSON"):
        save_model(model, tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


def test_save_model_refuses_when_metadata_is_larger_than_what_is_read(tmp_path: Path) -> None:
    plain = build_model()
    model = Model(graph=plain.graph, weights=plain.weights, metadata={"log": "x" * (1 << 22)})
    with pytest.raises(ModelError, match=r"metadata: .* exceed the cap of 4194304 bytes"):
        save_model(model, tmp_path / "net.safetensors")


class Payload:
    """What a malicious file would run when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol_version", [0, 2, 5])
@pytest.mark.parametrize(
    "suffix", [".safetensors", ".json", ".onnx", ".pt", ".pth", ".pkl", ".ckpt", ".PT"]
)
def test_load_model_runs_nothing_when_the_file_is_a_malicious_pickle(
    saved: Path, tmp_path: Path, suffix: str, protocol_version: int
) -> None:
    harmless, marker = tmp_path / "harmless", tmp_path / "marker"
    pickle.loads(pickle.dumps(Payload(harmless), protocol_version))  # noqa: S301 - it does work
    assert harmless.exists()
    target = saved.with_suffix(suffix)
    target.write_bytes(pickle.dumps(Payload(marker), protocol_version))
    with pytest.raises(ModelError):
        load_model(target)
    assert not marker.exists()


def test_load_model_runs_nothing_when_a_torch_archive_is_renamed(
    saved: Path, tmp_path: Path
) -> None:
    torch.save({"payload": Payload(tmp_path / "marker")}, tmp_path / "net.pt")
    data = (tmp_path / "net.pt").read_bytes()
    rewrite(saved, data)
    with pytest.raises(ModelError, match=r"a zip or torch.save archive, not a safetensors file"):
        load_model(saved)
    with pytest.raises(ModelError, match=r"net.pt: a .pt file can run any code.*save_model"):
        load_model(tmp_path / "net.pt")
    assert not (tmp_path / "marker").exists()


def test_load_model_names_the_kind_when_the_weights_are_a_pickle(saved: Path) -> None:
    rewrite(saved, pickle.dumps({"weights": [1.0] * 100}))
    with pytest.raises(ModelError, match="this is a pickle, not a safetensors file"):
        load_model(saved)


@pytest.mark.parametrize("missing", [".safetensors", ".json"])
@pytest.mark.parametrize("given", [".safetensors", ".json"])
def test_load_model_names_the_pair_when_one_file_is_missing(
    saved: Path, given: str, missing: str
) -> None:
    saved.with_suffix(missing).unlink()
    with pytest.raises(ModelError, match=f"its pair file net{missing} is missing"):
        load_model(saved.with_suffix(given))


def test_load_model_refuses_when_neither_file_exists(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent.json: no such file; give the path of a model"):
        load_model(tmp_path / "absent.safetensors")


def test_load_model_refuses_when_the_suffix_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown suffix '.h5'; known are .safetensors"):
        load_model(tmp_path / "net.h5")


def test_load_model_refuses_when_the_path_is_a_folder(saved: Path) -> None:
    saved.unlink()
    saved.mkdir()
    with pytest.raises(ModelError, match=r"net.safetensors: a folder, not a file"):
        load_model(saved)


def test_load_model_does_not_wait_when_the_path_is_a_pipe(saved: Path) -> None:
    saved.unlink()
    os.mkfifo(saved)
    with pytest.raises(ModelError, match=r"net.safetensors: not a regular file"):
        load_model(saved)


def test_load_model_refuses_when_the_path_holds_a_null_byte(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="null"):
        load_model(tmp_path / "a\0b.onnx")


@pytest.mark.parametrize("suffix", [".safetensors", ".json", ".onnx"])
def test_load_model_refuses_when_the_name_is_longer_than_any(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ModelError, match=r"cannot be read: .*File name too long"):
        load_model(tmp_path / ("a" * 300 + suffix))


def test_load_model_reads_nothing_when_the_weights_exceed_what_the_network_needs(
    saved: Path,
) -> None:
    with saved.open("ab") as stream:
        stream.truncate(3 << 20)
    largest = 8 + (1 << 20) + 8 * (18 + 2 + 24 + 3)
    with pytest.raises(ModelError, match=f"3145728 bytes exceed the cap of {largest} bytes"):
        load_model(saved)


def test_load_model_says_why_when_the_file_may_not_be_read(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(builtins, "open", denied)
    with pytest.raises(ModelError, match=r"net.json: cannot be read: .*Permission denied"):
        load_model(saved)


@pytest.mark.parametrize("suffix", [".safetensors", ".json", ".onnx"])
def test_load_model_reads_nothing_when_a_file_exceeds_the_cap(saved: Path, suffix: str) -> None:
    target = saved.with_suffix(suffix)
    with target.open("ab") as stream:
        stream.truncate(1 << 40)  # a terabyte, without a single block on the disk
    with pytest.raises(ModelError, match=f"net{suffix}: 1099511627776 bytes exceed the cap"):
        load_model(target)


def test_load_model_refuses_when_a_weight_was_changed_on_disk(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ModelError, match=r"SHA-256 is .*copy both again"):
        load_model(saved)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_load_model_converts_when_weights_are_of_another_float_type(
    saved: Path, dtype: torch.dtype
) -> None:
    def convert(tensors: dict[str, torch.Tensor]) -> None:
        for name, values in tensors.items():
            tensors[name] = values.to(dtype)

    rewrite_tensors(saved, convert)
    loaded, original = load_model(saved), build_model()
    assert loaded.weights[0].weight.dtype == torch.float32
    assert torch.equal(loaded.weights[3].weight, original.weights[3].weight.to(dtype).float())


def replace_tensor(name: str, value: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_tensor("layers.3.weight", torch.ones(8, 3)), r"'layers.3.weight' has shape \[8, "),
        (replace_tensor("layers.3.weight", torch.ones(24)), r"has shape \[24\], .* needs \[3, 8\]"),
        (replace_tensor("layers.9.weight", torch.ones(2)), "'layers.9.weight' does not belong"),
        (lambda tensors: tensors.pop("layers.0.bias"), "tensor 'layers.0.bias' is missing"),
        (replace_tensor("layers.0.bias", torch.ones(2).int()), "type 'I32' is not one of F64"),
        (
            replace_tensor("layers.0.bias", torch.tensor([float("nan"), 1.0])),
            "layers.0.bias: 1 of 2 values are NaN or infinite",
        ),
        (
            replace_tensor("layers.3.weight", torch.full((3, 8), 1e39, dtype=torch.float64)),
            "layers.3.weight: largest magnitude 1e.39 exceeds the float32 limit",
        ),
        (replace_tensor("layers.3.weight", torch.zeros(3, 8)), "all weights are zero"),
    ],
)
def test_load_model_names_the_tensor_when_it_cannot_be_used(
    saved: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    rewrite_tensors(saved, change)
    with pytest.raises(ModelError, match="net.safetensors: .*" + message):
        load_model(saved)


def huge_header(shape: list[int], begin: int, end: int) -> dict[str, object]:
    return {
        "layers.0.weight": {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]},
        "layers.0.bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "layers.3.weight": {"dtype": "F32", "shape": [3, 8], "data_offsets": [8, 104]},
        "layers.3.bias": {"dtype": "F32", "shape": [3], "data_offsets": [104, 116]},
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated: 0 bytes"),
        (b"\1\0\0", "truncated: 3 bytes"),
        (b"\xff" * 8 + b"{}", "a header of 18446744073709551615 bytes exceeds the cap of 1048576"),
        (struct.pack("<Q", 500) + b"{}", "truncated: 10 bytes, the header alone needs 508"),
        (struct.pack("<Q", 3) + b"{,}", "the header is not valid JSON"),
        (struct.pack("<Q", 4) + b"\xff\xfe{}", "the header is not valid JSON"),
        (struct.pack("<Q", 2) + b"[]", "the header must be a JSON object"),
        (struct.pack("<Q", 100000) + b"[" * 100000, "the header is not valid JSON"),
        (with_header({"layers.0.weight": 3}), "header entry must be an object"),
        (
            with_header(huge_header([1 << 40, 1 << 20, 3, 3], 0, 72)),
            r"'layers.0.weight' has shape \[1099511627776, .*needs \[2, 1, 3, 3\]",
        ),
        (
            with_header(huge_header([2, 1, 3, 3], 0, 1 << 60), bytes(188)),
            "'layers.0.weight': its bytes lie outside the file",
        ),
        (
            with_header(huge_header([2, 1, 3, 3], -(10**4299), 10**4299), bytes(188)),
            "lie outside the file",
        ),
        (with_header(huge_header([2, 1, 3, 3], 0, 70), bytes(188)), "70 bytes .* shape needs 72"),
        (with_header(huge_header([2, 1, 3, 3], 0, 72), bytes(188)), "overlap or leave a gap at"),
        (with_header(huge_header([2, 1, 3, 3], 117, 189), bytes(189)), "gap at byte 116"),
        (
            with_header(huge_header([2, 1, 3, 3], 116, 188), bytes(200)),
            "200 bytes of data, the tensors need 188",
        ),
        (with_header(huge_header([2, 1, 3, 3], True, 72), bytes(188)), "two whole numbers"),
    ],
)
def test_load_model_refuses_before_allocation_when_the_header_is_forged(
    saved: Path, data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(content: bytes) -> None:
        raise AssertionError("tensors were allocated")

    monkeypatch.setattr(files, "load", allocate)
    rewrite(saved, data)
    with pytest.raises(ModelError, match="net.safetensors: .*" + message):
        load_model(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "must be a JSON object, got list"),
        ("{}", "not a model description: 'format' is not 'veilight-model'"),
        ("[" * 100000, "not valid JSON"),
        ('{"format": NaN}', "NaN is not a JSON number"),
    ],
)
def test_load_model_refuses_when_the_description_is_no_description(
    saved: Path, text: str, message: str
) -> None:
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match="net.json: .*" + message):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "format version 2 is unknown, known is 1"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"graph": []}, "'graph' and 'metadata' must be objects"),
        ({"metadata": "x"}, "'graph' and 'metadata' must be objects"),
        ({"sha256": None}, "'sha256' of the weights is missing"),
        ({"graph": {"input_shape": [3], "layers": [{"kind": "lstm"}]}}, "unknown kind 'lstm'"),
    ],
)
def test_load_model_refuses_when_the_description_is_wrong(
    saved: Path, changes: dict[str, object], message: str
) -> None:
    edit_description(saved, **changes)
    with pytest.raises(ModelError, match="net.json: .*" + message):
        load_model(saved)


def test_importing_files_does_not_import_onnx_when_no_onnx_file_is_opened() -> None:
    code = "import sys, protocol.models.files, protocol.models.onnx_files; print(*sys.modules)"
    root = Path(protocol.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    modules = done.stdout.split()
    assert "protocol.models.onnx_files" in modules
    assert "onnx" not in modules
