import gzip
import hashlib
import math
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from numpy.typing import NDArray

from drivers.errors import DataError
from veilight.datasets import load_idx_folder, read_idx

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

# SHA-256 of the unpacked MNIST files, as widely published: the parser's oracle.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

FUZZ_CAP_BYTES = 1 << 14
# Buffers of the file and of the decompressor, whatever the file declares.
READER_OVERHEAD_BYTES = 1 << 20


def pack(content: bytes) -> bytes:
    """A gzip stream that is the same at any time: it names test cases."""
    return gzip.compress(content, mtime=0)


def header(*sizes: int, code: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes)


def encode(values: NDArray[np.uint8]) -> bytes:
    return header(*values.shape) + bytes(int(value) for value in values.reshape(-1))


def write(folder: Path, content: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def write_set(folder: Path, *, train: int = 6, test: int = 4, zipped: bool = False) -> None:
    for name in NAMES:
        count = train if name.startswith("train") else test
        if "images" in name:
            content = encode(np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3))
        else:
            content = encode(np.arange(count, dtype=np.uint8) % 3)
        write(folder, pack(content) if zipped else content, name + ".gz" * zipped)


@pytest.fixture(scope="module")
def fuzz_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file"


def read_or_refuse(path: Path, dimensions: int) -> None:
    """Read, allowing no error but DataError and no memory beyond the cap."""
    tracemalloc.start()
    try:
        values = read_idx(path, dimensions=dimensions, maximum_bytes=FUZZ_CAP_BYTES)
    except DataError:
        pass
    else:
        assert values.nbytes <= FUZZ_CAP_BYTES
        assert values.ndim == dimensions
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < FUZZ_CAP_BYTES + READER_OVERHEAD_BYTES


@pytest.mark.parametrize("zipped", [False, True])
def test_read_idx_returns_the_values_when_file_is_good(tmp_path: Path, zipped: bool) -> None:
    content = header(2, 1, 3) + bytes([0, 1, 2, 253, 254, 255])
    path = write(tmp_path, pack(content) if zipped else content)
    values = read_idx(path, dimensions=3)
    assert values.dtype == np.float32
    assert values.tolist() == [[[0.0, 1.0, 2.0]], [[253.0, 254.0, 255.0]]]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    values=np_st.arrays(np.uint8, np_st.array_shapes(min_dims=1, max_dims=4, max_side=7)),
    zipped=st.booleans(),
)
def test_read_idx_returns_what_was_written_when_shape_is_any(
    fuzz_file: Path, values: NDArray[np.uint8], zipped: bool
) -> None:
    content = encode(values)
    fuzz_file.write_bytes(pack(content) if zipped else content)
    np.testing.assert_array_equal(read_idx(fuzz_file, dimensions=values.ndim), values)


def test_read_idx_joins_blocks_when_file_is_longer_than_one(tmp_path: Path) -> None:
    count = (1 << 20) * 2 + 17
    values = (np.arange(count) % 251).astype(np.uint8)
    path = write(tmp_path, header(count) + values.tobytes())
    np.testing.assert_array_equal(read_idx(path, dimensions=1), values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file: it begins with nothing"),
        (b"\x00\x00\x08", "is not an IDX file: it begins with 00 00 08"),
        (b"<html>not found</html>", "is not an IDX file: it begins with 3c 68 74 6d"),
        (b"\x00\x01\x08\x01" + bytes(8), "is not an IDX file"),
        (header(2, code=0x07) + bytes(2), "is not an IDX file"),
        (header(1, code=0x0D) + bytes(4), r"holds 32-bit floats \(type code 0x0D\)"),
        (header(1, 1, 1) + bytes(1), "has 3 dimensions, 1 are needed"),
        (b"\x00\x00\x08\x01\x00\x00", "ends inside its header"),
        (header(0), r"is empty: its header declares the shape \(0,\)"),
        (header(5) + bytes(4), r"declares 5 values \(13 bytes in all\), but the file holds 12"),
        (header(5) + bytes(6), r"declares 5 values \(13 bytes in all\), but the file holds 14"),
        (header(0xFFFFFFFF) + bytes(4), "declares 4294967295 values"),
    ],
)
def test_read_idx_refuses_with_the_reason_when_file_is_wrong(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_idx(write(tmp_path, content), dimensions=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack(header(50) + bytes(range(50)))[:-20], "damaged or incomplete gzip"),
        (pack(header(50) + bytes(range(50)))[:-4], "damaged or incomplete gzip"),
        (pack(b"")[:5], "damaged or incomplete gzip"),
        (pack(header(5) + bytes(5)) + b"rubbish", "damaged or incomplete gzip"),
        (pack(header(5) + bytes(4)), "ends after 4 of 5 values"),
        (pack(header(5) + bytes(6)), "but more follow"),
        (pack(header(3_000_000)), r"but the file holds at most \d+"),
    ],
)
def test_read_idx_refuses_with_the_reason_when_gzip_is_wrong(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_idx(write(tmp_path, content), dimensions=1)


def test_read_idx_refuses_when_gzip_checksum_is_wrong(tmp_path: Path) -> None:
    content = bytearray(pack(header(50) + bytes(range(50))))
    content[-8] ^= 1
    with pytest.raises(DataError, match="CRC check failed"):
        read_idx(write(tmp_path, bytes(content)), dimensions=1)


def test_read_idx_takes_little_memory_when_gzip_is_a_bomb(tmp_path: Path) -> None:
    zeros = 64 << 20
    honest = write(tmp_path, pack(header(zeros) + bytes(zeros)), "honest")
    lying = write(tmp_path, pack(header(4) + bytes(zeros)), "lying")
    tracemalloc.start()
    try:
        with pytest.raises(
            DataError, match=r"is too large.*268435456 bytes in memory.*cap is 1048"
        ):
            read_idx(honest, dimensions=1, maximum_bytes=1 << 20)
        with pytest.raises(DataError, match="but more follow"):
            read_idx(lying, dimensions=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


def test_read_idx_allows_the_array_when_it_just_fits_the_cap(tmp_path: Path) -> None:
    path = write(tmp_path, header(8) + bytes(8))
    assert read_idx(path, dimensions=1, maximum_bytes=32).nbytes == 32
    with pytest.raises(DataError, match="the cap is 31 bytes"):
        read_idx(path, dimensions=1, maximum_bytes=31)


def test_read_idx_takes_one_array_when_file_is_large(tmp_path: Path) -> None:
    count = 8 << 20
    path = write(tmp_path, header(count) + bytes(count))
    tracemalloc.start()
    try:
        read_idx(path, dimensions=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 4 * count <= peak < 4 * count + (4 << 20)


def test_read_idx_refuses_when_there_is_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_idx(tmp_path / "absent", dimensions=1)
    with pytest.raises(DataError, match="is not a regular file"):
        read_idx(tmp_path, dimensions=1)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(content=st.binary(max_size=200), dimensions=st.sampled_from([1, 3]), zipped=st.booleans())
def test_read_idx_reads_or_refuses_when_bytes_are_random(
    fuzz_file: Path, content: bytes, dimensions: int, zipped: bool
) -> None:
    fuzz_file.write_bytes(pack(content) if zipped else content)
    read_or_refuse(fuzz_file, dimensions)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    sizes=st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 40), max_size=4),
    body=st.integers(0, 2000),
    zipped=st.booleans(),
)
def test_read_idx_reads_or_refuses_when_header_declares_anything(
    fuzz_file: Path, sizes: list[int], body: int, zipped: bool
) -> None:
    content = header(*sizes) + bytes(body)
    fuzz_file.write_bytes(pack(content) if zipped else content)
    read_or_refuse(fuzz_file, 3)
    read_or_refuse(fuzz_file, len(sizes))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 400),
    tail=st.binary(max_size=8),
    zipped=st.booleans(),
)
def test_read_idx_reads_or_refuses_when_a_good_file_is_mutated(
    fuzz_file: Path, changes: list[tuple[int, int]], cut: int, tail: bytes, zipped: bool
) -> None:
    generator = np.random.default_rng(7)
    good = encode(generator.integers(0, 256, (10, 5, 6), dtype=np.uint8))
    content = bytearray(pack(good) if zipped else good)
    for position, value in changes:
        content[position % len(content)] = value
    fuzz_file.write_bytes(bytes(content[: len(content) - cut // 2]) + tail)
    read_or_refuse(fuzz_file, 3)


@pytest.mark.parametrize("zipped", [False, True])
def test_load_idx_folder_returns_both_parts_when_files_are_good(
    tmp_path: Path, zipped: bool
) -> None:
    write_set(tmp_path, zipped=zipped)
    data = load_idx_folder(tmp_path, name="tiny")
    assert (data.train.name, data.train.samples, data.test.samples) == ("tiny", 6, 4)
    assert data.train.value_range == data.test.value_range == (0.0, 255.0)
    assert data.train.classes == 3
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.train.inputs[1].tolist() == [[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]
    assert data.test.inputs.shape == (4, 2, 3)
    assert str(tmp_path) in data.train.source


def test_load_idx_folder_reads_when_names_have_a_dot_and_gz_is_unpacked(tmp_path: Path) -> None:
    write_set(tmp_path)
    for name in NAMES:
        ending = ".gz" if "labels" in name else ""
        (tmp_path / name).rename(tmp_path / (name.replace("-idx", ".idx") + ending))
    assert load_idx_folder(tmp_path).train.samples == 6


@pytest.mark.parametrize("missing", NAMES)
def test_load_idx_folder_names_the_file_when_one_is_missing(tmp_path: Path, missing: str) -> None:
    write_set(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(DataError, match=rf"{tmp_path} has no {missing} or {missing}\.gz"):
        load_idx_folder(tmp_path)


def test_load_idx_folder_refuses_when_counts_differ(tmp_path: Path) -> None:
    write_set(tmp_path)
    write(tmp_path, encode(np.zeros(5, dtype=np.uint8)), "t10k-labels-idx1-ubyte")
    with pytest.raises(DataError, match=r"holds 4 images, but t10k-labels.* holds 5 labels"):
        load_idx_folder(tmp_path)


def test_load_idx_folder_refuses_when_image_sizes_differ(tmp_path: Path) -> None:
    write_set(tmp_path)
    write(tmp_path, encode(np.zeros((4, 3, 2), dtype=np.uint8)), "t10k-images-idx3-ubyte")
    with pytest.raises(DataError, match=r"shape is \(2, 3\) in the training part and \(3, 2\)"):
        load_idx_folder(tmp_path)


def test_load_idx_folder_refuses_when_there_is_one_class(tmp_path: Path) -> None:
    write_set(tmp_path, train=1, test=1)
    with pytest.raises(DataError, match="needs two classes or more"):
        load_idx_folder(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_read_idx_agrees_with_the_published_checksum_when_file_is_mnist(
    mnist_folder: Path, name: str
) -> None:
    dimensions = 3 if "images" in name else 1
    values = read_idx(mnist_folder / f"{name}.gz", dimensions=dimensions)
    content = header(*values.shape) + values.astype(np.uint8).tobytes()
    assert hashlib.sha256(content).hexdigest() == MNIST_SHA256[name]


def test_load_idx_folder_returns_the_known_set_when_folder_is_mnist(mnist_folder: Path) -> None:
    data = load_idx_folder(mnist_folder)
    assert data.train.inputs.shape == (60_000, 28, 28)
    assert data.test.inputs.shape == (10_000, 28, 28)
    assert data.train.classes == 10
    # Counts of the test digits, as published with the set.
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(data.test.labels).tolist() == counts
    # Mean and deviation of the training pixels, as every tutorial has them.
    assert math.isclose(float(data.train.inputs.mean(dtype=np.float64)) / 255, 0.1307, abs_tol=5e-5)
    assert math.isclose(float(data.train.inputs.std(dtype=np.float64)) / 255, 0.3081, abs_tol=5e-5)
