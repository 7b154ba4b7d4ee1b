"""`veilight frontier run --scheduler`: a cluster by its address, and all that may die of it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import pytest

from tests.dask_cluster import ROOT, DaskCluster, dask_cluster
from veilight.cli import main
from veilight.frontier import cluster as cluster_module

LIMIT_S = 120.0


def _command(out: Path, address: str, first: str, epochs: int = 25) -> list[str]:
    return [
        "frontier", "run", "--out", str(out), "--epochs", str(epochs), "--hidden", "16",
        "--signal-to-noise", first, "--last", "4", "--draws", "2", "--tested-symbols", "0",
        "--receivers", "feed-forward-tap", "--encodings", "real", "--scheduler", address,
    ]  # fmt: skip


@contextmanager
def _started(
    arguments: list[str], environment: dict[str, str]
) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-m", "veilight", *arguments],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _records(out: Path, count: int) -> set[Path]:
    """Records of finished networks, once there are so many."""
    for _ in range(int(LIMIT_S / 0.02)):
        found = set((out / "networks").glob("*.json"))
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{len(found)} networks only")


def test_sweep_goes_on_when_worker_and_program_die_and_ends_in_words_when_the_scheduler_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "results"
    with dask_cluster(tmp_path, "tls") as cluster:
        command = _command(out, cluster.address, "0.5,1,2,4")
        (first_worker,) = cluster.wait_for_workers(1).values()
        with _started(command, cluster.environment) as process:
            _records(out, 1)
            os.kill(first_worker, signal.SIGKILL)
            _records(out, 2)
            process.kill()
            process.communicate(timeout=LIMIT_S)
        records = _records(out, 2)
        assert len(records) < 4
        before = {path: path.stat().st_mtime_ns for path in records}
        assert list(cluster.wait_for_workers(1).values()) != [first_worker]

        with dask.config.set(cluster.settings):
            assert main(command) == 0
            assert f"{len(records)} of them from earlier" in capsys.readouterr().err
            assert len(_records(out, 4)) == 4
            assert {path: path.stat().st_mtime_ns for path in records} == before

            # What the scheduler is asked for from here on, it has been asked for before.
            monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 3)
            killer = threading.Thread(target=_kill_scheduler, args=(cluster, out, 5))
            killer.start()
            code = main(_command(out, cluster.address, "0.5,1,2,4,8,16,32"))
            killer.join()
    err = capsys.readouterr().err
    assert code == 6, err
    assert f"the connection to the Dask scheduler at {cluster.address} broke" in err
    assert "Traceback" not in err
    trained = len(_records(out, 5))
    last = err.splitlines()[-1]
    assert last.startswith(f"veilight: {7 - trained} of 7 networks were not trained")
    assert f"the Dask scheduler at {cluster.address} is gone" in last
    assert "start it and its workers again" in last
    assert "what is finished is kept: give the same command again" in last
    assert len(json.loads((out / "frontier.json").read_text())["networks"]) == trained


def _kill_scheduler(cluster: DaskCluster, out: Path, count: int) -> None:
    """Once so many networks are finished."""
    _records(out, count)
    cluster.kill(cluster.scheduler)


def test_cluster_is_refused_when_its_certificates_are_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with dask_cluster(tmp_path, "tls", workers=0) as cluster:
        assert main(_command(tmp_path / "out", cluster.address, "1")) == 2
        err = capsys.readouterr().err
        assert f"no Dask scheduler answers at '{cluster.address}'" in err
        assert "set DASK_DISTRIBUTED__COMM__TLS__CA_FILE" in err
        plain = cluster.address.replace("tls://", "tcp://")
        assert main(_command(tmp_path / "out", plain, "1")) == 2
    assert "one with TLS has an address that begins with tls://" in capsys.readouterr().err
    assert not list((tmp_path / "out" / "networks").iterdir())


@pytest.mark.slow
def test_same_networks_come_of_two_workers_by_address_as_of_processes_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def accuracies(out: Path) -> dict[str, float]:
        records = [json.loads(path.read_text()) for path in _records(out, 6)]
        return {record["key"]: record["accuracy"] for record in records}

    ratios = "0.25,0.5,1,2,4,8"
    local = _command(tmp_path / "local", "", ratios)[:-2]
    assert main([*local, "--workers", "1"]) == 0
    with dask_cluster(tmp_path, workers=2) as cluster:
        assert main(_command(tmp_path / "cluster", cluster.address, ratios)) == 0
        log = (tmp_path / "worker.log").read_text()
    assert log.count("Registered to:") == 2
    assert accuracies(tmp_path / "cluster") == accuracies(tmp_path / "local")
    assert "6 of 6 networks" in capsys.readouterr().err
