"""For all tests: their order, data sets too large for the repository, and real instruments."""

import os
from pathlib import Path

import pytest

LONGEST_FIRST = (
    "end_to_end/test_command_line.py",
    "end_to_end/test_frontier_command.py",
    "end_to_end/test_lab_faults.py",
    "unit/protocol/test_verification_verifier.py",
    "end_to_end/test_documentation.py",
    "end_to_end/test_amplifier_commands.py",
    "end_to_end/test_lab_blocks.py",
    "end_to_end/test_calibrate_command.py",
    "end_to_end/test_bench_faults.py",
    "end_to_end/test_twin_bench.py",
    "physics/test_bench_robustness.py",
    "physics/test_receiver_law.py",
    "end_to_end/test_homodyne_bench.py",
    "physics/test_calibration_coverage_b.py",
    "physics/test_homodyne_bench.py",
    "end_to_end/test_calibrated_bench.py",
    "end_to_end/test_defended_sessions.py",
    "end_to_end/test_ends_in_the_dark.py",
    "unit/veilight/test_frontier_optimise.py",
    "end_to_end/test_session_verdicts.py",
    "unit/calibration/test_fit_coverage.py",
    "end_to_end/test_driver_new.py",
    "end_to_end/test_shared_laser_bench.py",
    "unit/drivers/transports/test_visa_networks.py",
    "physics/test_detection_power.py",
)
"""Files of more than about seven seconds, which would hold up the end if they came last."""

_MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options to run the contract suites on the instruments of a bench."""
    group = parser.getgroup("hardware")
    group.addoption(
        "--hardware",
        metavar="BENCH.toml",
        help="run the contract suites over the instruments of this bench file instead of those "
        "that are simulated; the suites switch lasers on and open shutters",
    )
    group.addoption(
        "--emit-light",
        action="store_true",
        help="allow --hardware to emit light on a bench that is no twin",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The contract suites are made when they are imported, which is before any fixture."""
    path = config.getoption("--hardware")
    if not path:
        os.environ.pop("VEILIGHT_HARDWARE", None)
        return
    from drivers.bench import load_bench

    bench = load_bench(path, complete=False)
    if not (bench.simulated or config.getoption("--emit-light")):
        raise pytest.UsageError(
            f"{path} is a bench of real instruments: the suites would switch its lasers on. Take "
            "the fibres off the detectors, then say --emit-light"
        )
    os.environ["VEILIGHT_HARDWARE"] = str(Path(path).resolve())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that workers which take whole files end together."""
    here = Path(__file__).resolve().parent
    places = {here / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Folder with the four gzipped MNIST files; skips the test where there is none.

    It is the folder that the environment variable VEILIGHT_MNIST names, or else
    ``shared/data/mnist`` in the repository or in a folder around it.
    """
    root = Path(__file__).resolve().parent.parent
    candidates = [folder / "shared" / "data" / "mnist" for folder in (root, *root.parents)]
    named = os.environ.get("VEILIGHT_MNIST")
    if named:
        candidates = [Path(named)]
    for folder in candidates:
        if all((folder / name).is_file() for name in _MNIST_FILES):
            return folder
    pytest.skip(
        "needs the four MNIST files; name their folder in VEILIGHT_MNIST. Looked in "
        + ", ".join(map(str, candidates))
    )
