import io
import math
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DataError
from veilight.datasets import Dataset, TrainTest, load_csv, load_npz

X = np.arange(24, dtype=np.float64).reshape(8, 3)
Y = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def save(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def pairs(*parts: Dataset) -> list[tuple[float, ...]]:
    return sorted(
        (*inputs.reshape(-1).tolist(), int(label))
        for part in parts
        for inputs, label in zip(part.inputs, part.labels, strict=True)
    )


def whole(data: TrainTest) -> list[tuple[float, ...]]:
    return pairs(data.train, data.test)


REFERENCE = sorted((*row.tolist(), int(label)) for row, label in zip(X, Y, strict=True))


@pytest.mark.parametrize(
    "keys",
    [("x", "y"), ("X", "y"), ("inputs", "labels"), ("images", "labels"), ("data", "target")],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16, np.uint8])
def test_load_npz_returns_every_sample_once_when_in_one_piece(
    tmp_path: Path, keys: tuple[str, str], dtype: type
) -> None:
    path = save(tmp_path / "own.npz", **{keys[0]: X.astype(dtype), keys[1]: Y, "notes": "mine"})
    data = load_npz(path, test_fraction=0.3, seed=2)
    assert whole(data) == REFERENCE
    assert data.train.name == "own"
    assert data.train.classes == 3
    assert data.train.value_range == (data.train.inputs.min(), data.train.inputs.max())
    assert data.train.value_range == data.test.value_range
    assert load_npz(path, test_fraction=0.3, seed=2) == data
    assert str(path) in data.test.source


def test_load_npz_keeps_the_parts_when_archive_has_two(tmp_path: Path) -> None:
    path = save(
        tmp_path / "own.npz",
        x_train=X.reshape(8, 3, 1),
        y_train=Y.reshape(8, 1).astype(np.float32),
        x_test=X[:2].reshape(2, 3, 1) - 100,
        y_test=np.array([3, 0], dtype=np.uint8),
    )
    data = load_npz(path)
    np.testing.assert_array_equal(data.train.inputs[..., 0], X)
    np.testing.assert_array_equal(data.train.labels, Y)
    np.testing.assert_array_equal(data.test.inputs[..., 0], X[:2] - 100)
    assert data.test.labels.tolist() == [3, 0]
    assert data.train.classes == 4
    assert data.test.value_range == (0.0, 23.0)


@pytest.mark.parametrize(
    "keys",
    [
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_x", "train_y", "test_x", "test_y"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("train_data", "train_labels", "test_data", "test_labels"),
    ],
)
def test_load_npz_keeps_the_parts_when_the_keys_are_a_usual_variant(
    tmp_path: Path, keys: tuple[str, str, str, str]
) -> None:
    values = dict(zip(keys, (X[:6], Y[:6], X[6:], Y[6:]), strict=True))
    # Further parts, as archives of medical images have, are left alone.
    data = load_npz(save(tmp_path / "own.npz", **values, val_images=X, val_labels=Y))
    np.testing.assert_array_equal(data.train.inputs, X[:6])
    np.testing.assert_array_equal(data.test.labels, Y[6:])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6, 3), (3, 5, 6)),
        ((5, 6, 1), (1, 5, 6)),
        ((3, 5, 6), (3, 5, 6)),
        ((3, 5, 3), (3, 5, 3)),
    ],
)
def test_load_npz_puts_channels_first_when_they_are_last(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    images = np.arange(len(Y) * math.prod(shape), dtype=np.float32).reshape(len(Y), *shape)
    data = load_npz(save(tmp_path / "own.npz", x=images, y=Y))
    assert data.train.shape == expected
    wanted = images if shape == expected else images.transpose(0, 3, 1, 2)
    known = {image.tobytes() for image in np.ascontiguousarray(wanted)}
    assert {image.tobytes() for image in data.train.inputs} <= known


def test_load_npz_refuses_when_keys_differ_in_capitals_only(tmp_path: Path) -> None:
    path = save(tmp_path / "own.npz", x=X, X=X, y=Y)
    with pytest.raises(DataError, match="the keys X and x, which differ in capitals only"):
        load_npz(path)


def test_load_npz_reads_when_archive_is_not_compressed_and_in_fortran_order(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, x=np.asfortranarray(X), y=Y)
    assert whole(load_npz(path)) == REFERENCE


def changed(row: int, value: float) -> Any:
    x = X.copy()
    x[row, 1] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "has the keys x; it must have"),
        ({}, "has the keys none; it must have"),
        ({"x": X, "y": Y, "inputs": X, "labels": Y}, "has the keys inputs, labels, x, y;"),
        ({"x": changed(4, np.nan), "y": Y}, r"x\[4, 1\] is NaN"),
        ({"x": changed(5, -np.inf), "y": Y}, r"x\[5, 1\] is infinite"),
        ({"x": changed(6, 1e39), "y": Y}, r"x\[6, 1\] is infinite, or too large for a 32-bit"),
        ({"x": X.astype(np.complex128), "y": Y}, "array x holds complex128; only real numbers"),
        ({"x": X.astype("U3"), "y": Y}, "array x holds <U"),
        ({"x": X[:, 0], "y": Y}, r"array x has shape \(8,\); inputs are"),
        ({"x": X[:0], "y": Y}, r"array x has shape \(0, 3\); it must hold samples"),
        ({"x": X, "y": np.int64(3)}, r"array y has shape \(\); it must hold samples"),
        ({"x": X, "y": np.eye(8)}, r"array y has shape \(8, 8\); labels are .* One-hot"),
        ({"x": X, "y": Y + 0.5}, r"y\[0\] is 0.5; labels are whole numbers"),
        ({"x": X, "y": Y - 1}, r"y\[0\] is -1; labels"),
        ({"x": X, "y": np.full(8, np.nan)}, r"y\[0\] is NaN; labels"),
        ({"x": X, "y": np.full(8, np.inf)}, r"y\[0\] is inf; labels"),
        ({"x": X, "y": np.full(8, 2**64 - 1, dtype=np.uint64)}, r"y\[0\] is 18446744073709551615"),
        ({"x": X, "y": Y[:7]}, "8 samples, but 7 labels"),
        ({"x": X[:7], "y": Y}, "7 samples, but 8 labels"),
        ({"x": X, "y": np.zeros(8)}, "the highest label is 0; a classifier needs two classes"),
        ({"x": np.ones((8, 3)), "y": Y}, "the raw values run from 1 to 1"),
    ],
)
def test_load_npz_refuses_with_the_reason_when_arrays_are_wrong(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_npz(save(tmp_path / "own.npz", **arrays))


def test_load_npz_runs_no_code_when_array_is_pickled(tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    objects = np.array([[Payload()]] * 8, dtype=object)
    path = tmp_path / "own.npz"
    np.savez(path, allow_pickle=True, x=objects, y=Y)
    with pytest.raises(DataError, match="array x holds object; only real numbers"):
        load_npz(path)
    assert not marker.exists()
    np.load(path, allow_pickle=True)["x"]
    assert marker.exists()  # the payload was live


def member(shape: tuple[int, ...], body: bytes, *, descr: str = "<f8") -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def archive(path: Path, x: bytes, *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    labels = io.BytesIO()
    np.save(labels, Y)
    with zipfile.ZipFile(path, "w", method) as target:
        target.writestr("x.npy", x)
        target.writestr("y.npy", labels.getvalue())
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_load_npz_takes_no_memory_when_header_lies(tmp_path: Path, method: int) -> None:
    path = archive(tmp_path / "own.npz", member((8, 30_000_000), bytes(64)), method=method)
    tracemalloc.start()
    try:
        with pytest.raises(
            DataError, match=r"declares the shape \(8, 30000000\) of float64, which"
        ):
            load_npz(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize(
    ("method", "columns"),
    [(zipfile.ZIP_STORED, 1000), (zipfile.ZIP_STORED, 3_000_000), (zipfile.ZIP_BZIP2, 3_000_000)],
)
def test_load_npz_takes_no_memory_when_directory_lies_too(
    tmp_path: Path, method: int, columns: int
) -> None:
    x = member((8, columns), bytes(64))
    path = archive(tmp_path / "own.npz", x, method=method)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    real = struct.unpack_from("<I", content, entry + 24)[0]
    lie = real - 64 + 8 * 8 * columns
    struct.pack_into("<I", content, entry + 24, lie)
    if method == zipfile.ZIP_STORED:
        struct.pack_into("<I", content, entry + 20, lie)
    path.write_bytes(content)
    tracemalloc.start()
    try:
        # Newer Pythons notice by themselves that the entries would overlap.
        with pytest.raises(DataError, match=r"not what the archive can hold|Overlapped entries"):
            load_npz(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


def test_load_npz_refuses_when_array_is_beyond_the_cap(tmp_path: Path) -> None:
    path = save(tmp_path / "own.npz", x=X.astype(np.uint8), y=Y.astype(np.uint8))
    assert load_npz(path, maximum_bytes=96).train.shape == (3,)
    with pytest.raises(DataError, match=r"x has shape \(8, 3\) of uint8; the cap is 95 bytes"):
        load_npz(path, maximum_bytes=95)
    wide = save(tmp_path / "wide.npz", x=X, y=Y)
    with pytest.raises(DataError, match=r"x has shape \(8, 3\) of float64; the cap is 191 bytes"):
        load_npz(wide, maximum_bytes=191)


def test_load_npz_refuses_when_member_holds_more_than_its_header_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "own.npz", member((8, 3), bytes(8 * 3 * 8 + 1)))
    with pytest.raises(DataError, match=r"declares the shape \(8, 3\) of float64, which is not"):
        load_npz(path)


@pytest.mark.parametrize(
    "x", [b"", b"not numpy", member((8, -3), b""), b"\x93NUMPY\x01\x00\x05\x00((((("]
)
def test_load_npz_refuses_when_member_is_damaged(tmp_path: Path, x: bytes) -> None:
    with pytest.raises(DataError, match=r"own\.npz"):
        load_npz(archive(tmp_path / "own.npz", x))


def test_load_npz_refuses_when_header_is_of_a_later_version(tmp_path: Path) -> None:
    x = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + bytes(1 << 16)
    with pytest.raises(DataError, match="array x is no plain array"):
        load_npz(archive(tmp_path / "own.npz", x))


def test_load_npz_refuses_when_there_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_npz(tmp_path / "absent.npz")
    with pytest.raises(DataError, match=r"cannot be read as an \.npz archive"):
        load_npz(write(tmp_path / "own.npz", "not a zip file"))


@pytest.fixture(scope="module")
def fuzz_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 200),
    compressed=st.booleans(),
)
def test_load_npz_reads_or_refuses_when_a_good_file_is_mutated(
    fuzz_file: Path, changes: list[tuple[int, int]], cut: int, compressed: bool
) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, x=X, y=Y)
    content = bytearray(buffer.getvalue())
    for position, value in changes:
        content[position % len(content)] = value
    fuzz_file.write_bytes(bytes(content[: len(content) - cut // 2]))
    try:
        data = load_npz(fuzz_file)
    except DataError:
        return
    assert data.train.samples + data.test.samples == 8


BODY = "".join(",".join(map(str, [*row, label])) + "\n" for row, label in zip(X, Y, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        "a,b,c,species\n" + BODY,
        "\ufeffa,b,c,label\r\n" + BODY.replace("\n", "\r\n") + "\r\n",
        ",0,1,species\n" + BODY,
        BODY.replace(",", " , ").rstrip("\n"),
        '"' + BODY.replace(",", '","').replace("\n", '"\n"')[:-1],
    ],
    ids=["bare", "header", "windows", "numbered header", "spaces", "quotes"],
)
def test_load_csv_returns_every_sample_once_when_written_in_any_way(
    tmp_path: Path, text: str
) -> None:
    data = load_csv(write(tmp_path / "own.csv", text), test_fraction=0.3, seed=2)
    assert whole(data) == REFERENCE
    assert (data.train.name, data.train.shape, data.train.classes) == ("own", (3,), 3)
    assert data.test.value_range == (data.train.inputs.min(), data.train.inputs.max())


@pytest.mark.parametrize("named", [None, "label", "kind"])
def test_load_csv_takes_the_label_from_its_column_when_it_is_not_the_last(
    tmp_path: Path, named: str | None
) -> None:
    heading = named or "label"
    lines = [f"{row[0]},{label},{row[1]},{row[2]}" for row, label in zip(X, Y, strict=True)]
    path = write(tmp_path / "own.csv", f"1x1,{heading},3,4\n" + "\n".join(lines))
    assert whole(load_csv(path, label_column=named)) == REFERENCE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,label\n1,2,0\n3,x,1\n", r"line 3, column 2 \(b\): 'x' is not a number"),
        ("1,2,0\n3,,1\n", "line 2, column 2: '' is not a number"),
        ("1,2,0\n3,1_000,1\n", "line 2, column 2: '1_000' is not a number"),
        ("1,x,3,0\n1,2,3,1\n", "line 1, column 2: 'x' is not a number"),
        ("a,b,label\n1,2,0\n\n3,nan,1\n", r"line 4, column 2 \(b\): the value is NaN"),
        ("label,a,b\n0,1,2\n1,3,-inf\n", r"line 3, column 3 \(b\): the value is infinite"),
        ("label,a,b\n0,1,2\n1,1e39,3\n", r"line 3, column 2 \(a\): .* too large for 32 bits"),
        ("1,2,0\n3,4\n", "line 2: 2 cells, but the first line has 3"),
        ("1,2,0\n3,4,5,1\n", "line 2: 4 cells, but the first line has 3"),
        ("1,2,0\n3,4,1.5\n", "line 2, column 3: the label is 1.5; labels are whole numbers"),
        ("1,2,0\n3,4,-1\n", "line 2, column 3: the label is -1"),
        ("1,2,0\n3,4,nan\n", "line 2, column 3: the label is NaN"),
        ("1,2,0\n3,4,1e300\n", r"line 2, column 3: the label is 1e\+300"),
        ("1;2;0\n3;4;1\n", "line 1: one cell only.*not by semicolons"),
        ("label,a,label\n1,2,3\n", "line 1: 2 columns are headed 'label', one is needed"),
        ('1,2,0\n3,"4,1\n', "near line .*: no CSV text"),
        ("1,2,0\n3,4,\x001\n", "line 2"),
        (b"1,2,0\n3,\xff,1\n", "no CSV text in UTF-8"),
        ("a,b,label\n", "holds no samples"),
        ("", "holds no samples"),
        ("1,2,0\n3,4,0\n", "the highest label is 0; a classifier needs two classes"),
        ("1,2,0\n3,4,1\n", "2 samples cannot be split"),
    ],
)
def test_load_csv_refuses_with_the_place_when_table_is_wrong(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    path = write(tmp_path / "own.csv", text)
    with pytest.raises(DataError, match=message):
        load_csv(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,label\n" + "1,2,0\n" * 4, "0 columns are headed 'kind', one is needed. The headings"),
        ("1,2,0\n" * 4, "0 columns are headed 'kind'"),
        ("kind,b,kind\n" + "1,2,0\n" * 4, "2 columns are headed 'kind'"),
    ],
)
def test_load_csv_refuses_when_the_named_label_column_is_not_one(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_csv(write(tmp_path / "own.csv", text), label_column="kind")


def test_load_csv_refuses_when_table_is_beyond_the_cap(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", BODY)
    assert load_csv(path, maximum_bytes=96).train.shape == (3,)
    with pytest.raises(DataError, match="by line 8 it fills the cap of 95 bytes"):
        load_csv(path, maximum_bytes=95)


def test_load_csv_refuses_when_a_line_does_not_end(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", "1," * (1 << 23))
    with pytest.raises(DataError, match="has a line of 16777216 characters or more"):
        load_csv(path)


def test_load_csv_refuses_when_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_csv(tmp_path / "absent.csv")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    content=st.binary(max_size=80)
    | st.text(alphabet="0123456789.,-e \"'\n\r_nalbd", max_size=80).map(str.encode)
)
def test_load_csv_reads_or_refuses_when_bytes_are_random(fuzz_file: Path, content: bytes) -> None:
    fuzz_file.write_bytes(content)
    try:
        data = load_csv(fuzz_file)
    except DataError:
        return
    assert np.isfinite(data.train.inputs).all()
