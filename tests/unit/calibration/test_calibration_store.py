import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibration import store as store_module
from calibration._seal import SEAL_BYTES, seal
from calibration.store import FORMAT_VERSION, Store
from drivers.errors import CalibrationError
from tests.unit.calibration.calibration_values import moment, result


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "reference.h5", bench="reference")


def test_store_is_empty_when_there_is_no_file(store: Store) -> None:
    assert store.entries() == ()
    assert store.latest("transfer") is None
    assert store.history("transfer") == ()
    assert not store.path.exists()


def test_store_gives_back_every_part_when_a_result_was_added(store: Store) -> None:
    added = result(rests_on={"power": "ab" * 32})
    assert store.append(added) == 1
    found = store.latest("transfer")
    assert found is not None
    assert found.id == added.id
    assert found.quantities == added.quantities
    assert found.goodness == added.goodness
    assert found.moment == added.moment
    assert found.settings == added.settings
    assert found.seed == added.seed
    assert found.rests_on == added.rests_on
    assert found.temperature_window_c == (19.0, 23.0)
    assert found.fit_data[0].log_y
    assert not found.fit_data[0].log_x
    for name, series in added.fit_data[0].series.items():
        back = found.fit_data[0].series[name]
        assert (back.name, back.unit) == (series.name, series.unit)
        np.testing.assert_array_equal(back.values, series.values)


def test_store_keeps_all_results_when_a_routine_is_repeated(store: Store) -> None:
    first, second, other = result(value=4.0), result(value=4.1), result("power", window=None)
    assert [store.append(each) for each in (first, other, second)] == [1, 2, 3]
    assert [each.id for each in store.history("transfer")] == [first.id, second.id]
    assert store.latest_ids() == {"transfer": second.id, "power": other.id}
    assert store.get(first.id[:10]).id == first.id
    assert [entry.number for entry in store.entries()] == [1, 2, 3]


def test_every_dataset_has_units_when_the_file_is_opened_by_hdf5(store: Store) -> None:
    store.append(result())
    units = {}

    def visit(name: str, part: object) -> None:
        if isinstance(part, h5py.Dataset):
            units[name] = part.attrs["units"]

    with h5py.File(store.path, "r") as file:
        file.visititems(visit)
        assert file["results/000001/quantities/v_pi_v"][()] == 4.0
    assert units["results/000001/quantities/v_pi_v"] == "V"
    assert units["results/000001/fit_data/sweep/measured"] == "W"
    assert len(units) == 6


@pytest.mark.parametrize("id", ["0123456", "ffffffffffff"])
def test_get_refuses_when_no_result_has_the_id(store: Store, id: str) -> None:
    store.append(result())
    with pytest.raises(CalibrationError, match="digits"):
        store.get(id)


def test_append_refuses_when_the_result_is_of_another_bench(store: Store) -> None:
    with pytest.raises(CalibrationError, match="'second' does not belong"):
        store.append(result(bench="second"))
    assert not store.path.exists()


def test_store_refuses_when_the_file_is_of_another_bench(store: Store) -> None:
    store.append(result())
    other = Store(store.path, bench="second")
    with pytest.raises(CalibrationError, match="not of 'second'"):
        other.latest("transfer")
    with pytest.raises(CalibrationError, match="not of 'second'"):
        other.append(result(bench="second"))


def test_store_refuses_by_name_when_any_one_bit_is_flipped(store: Store) -> None:
    store.append(result())
    content = store.path.read_bytes()
    rng = np.random.default_rng(5)
    for place in (0, 25, SEAL_BYTES - 1, SEAL_BYTES, *rng.integers(0, len(content), 100)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        store.path.write_bytes(damaged)
        with pytest.raises(CalibrationError, match=r"reference\.h5"):
            store.latest("transfer")


@pytest.mark.parametrize("left", [0, 100, SEAL_BYTES, 2000], ids=str)
def test_store_refuses_when_the_file_is_cut_off(store: Store, left: int) -> None:
    store.append(result())
    os.truncate(store.path, left)
    with pytest.raises(CalibrationError, match=r"reference\.h5.*restore"):
        store.append(result())


def test_store_refuses_when_the_format_is_newer(store: Store) -> None:
    store.append(result())
    seal(store.path, FORMAT_VERSION + 1)
    with pytest.raises(CalibrationError, match="update veilight"):
        store.entries()


def test_store_refuses_when_a_value_was_changed_and_the_file_sealed_again(store: Store) -> None:
    store.append(result())
    with h5py.File(store.path, "r+") as file:
        file["results/000001/quantities/v_pi_v"][()] = 4.05
    seal(store.path, FORMAT_VERSION)
    with pytest.raises(CalibrationError, match="was changed or damaged"):
        store.latest("transfer")


def test_store_refuses_when_a_result_was_taken_out(store: Store) -> None:
    for value in (4.0, 4.1, 4.2):
        store.append(result(value=value))
    with h5py.File(store.path, "r+") as file:
        del file["results/000002"]
        file.move("results/000003", "results/000002")
    seal(store.path, FORMAT_VERSION)
    with pytest.raises(CalibrationError, match="result 2 is missing"):
        store.entries()


@pytest.mark.parametrize("stage", ["copy", "seal", "replace"])
def test_store_is_as_it_was_when_an_append_is_stopped(
    store: Store, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(result())
    before = store.path.read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    place = {"copy": shutil, "seal": store_module, "replace": os}[stage]
    with monkeypatch.context() as patch:
        patch.setattr(place, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            store.append(result(value=4.1))
    assert store.path.read_bytes() == before
    assert {path.name for path in store.path.parent.iterdir()} == {
        "reference.h5",
        ".reference.h5.lock",
    }
    assert store.append(result(value=4.1)) == 2


@pytest.mark.parametrize("stage", ["seal", "replace"])
def test_store_is_as_it_was_when_the_program_is_killed_in_an_append(
    store: Store, stage: str
) -> None:
    store.append(result())
    before = store.path.read_bytes()
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from calibration import store as module\n"
        "from tests.unit.calibration.calibration_values import result\n"
        "place = os if sys.argv[2] == 'replace' else module\n"
        "setattr(place, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))\n"
        "module.Store(Path(sys.argv[1]), bench='reference').append(result(value=4.1))\n"
    )
    command = [sys.executable, "-c", code, str(store.path), stage]
    root = Path(__file__).parents[3]
    killed = subprocess.run(command, check=False, timeout=60, cwd=root)
    assert killed.returncode == -signal.SIGKILL
    assert store.path.read_bytes() == before
    assert store.append(result(value=4.1)) == 2


def test_append_syncs_the_file_and_then_the_folder_when_it_renames(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real = os.replace
    monkeypatch.setattr(os, "fsync", lambda _: events.append("fsync"))

    def replace(source: Path, target: Path) -> None:
        events.append("rename")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    store.append(result())
    assert events == ["fsync", "rename", "fsync"]


def test_append_refuses_by_name_when_the_disk_is_full(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CalibrationError, match=r"reference\.h5.*No space left"):
        store.append(result())
    assert not store.path.exists()


def test_append_refuses_when_another_program_writes(store: Store) -> None:
    store.append(result())
    with store._only_writer(), pytest.raises(CalibrationError, match="another program"):
        Store(store.path, bench="reference").append(result(at=moment(1)))
    assert len(store.entries()) == 1
