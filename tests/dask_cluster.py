"""A Dask cluster on the loopback interface, of processes that its own command line starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, Security

__all__ = ["DaskCluster", "certificates", "dask_cluster"]

ROOT = Path(__file__).parents[1]
LIMIT_S = 120.0


class DaskCluster:
    """The processes of a cluster; each leads a group of its own.

    Args:
        folder: for the address, certificates and logs.
        protocol: `tcp` or `tls`.
    """

    def __init__(self, folder: Path, protocol: str) -> None:
        self._folder = folder
        self.settings = certificates(folder) if protocol == "tls" else {}
        """Of Dask: where its certificates are."""
        self._processes: list[subprocess.Popen[bytes]] = []
        place = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0",
            "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(place),
        )  # fmt: skip
        self.address: str = _content(place)["address"]

    @property
    def environment(self) -> dict[str, str]:
        """The settings as Dask reads them from the environment."""
        return {
            "DASK_" + name.upper().replace(".", "__").replace("-", "_"): value
            for name, value in self.settings.items()
        }

    def start_worker(self) -> "subprocess.Popen[bytes]":
        """One with one thread, and the process that starts it again when it dies."""
        return self._start(
            "worker", self.address, "--nthreads", "1", "--dashboard-address", "127.0.0.1:0",
            "--local-directory", str(self._folder),
        )  # fmt: skip

    def wait_for_workers(self, count: int) -> dict[str, int]:
        """The process of each worker by its address, once there are so many."""
        with (
            dask.config.set(self.settings),
            Client(self.address, set_as_default=False) as client,
        ):
            client.wait_for_workers(count, timeout=LIMIT_S)
            return dict(client.run(os.getpid))

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """End a process and those it started, as a loss of power does."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._processes.remove(process)

    def stop(self) -> None:
        """End all that are left."""
        for process in tuple(self._processes):
            self.kill(process)

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        with (self._folder / f"{words[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=self._folder,
                env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process


@contextmanager
def dask_cluster(folder: Path, protocol: str = "tcp", workers: int = 1) -> Iterator[DaskCluster]:
    """A scheduler, with workers that are there; all are ended at the end."""
    cluster = DaskCluster(folder, protocol)
    try:
        for _ in range(workers):
            cluster.start_worker()
        if workers:
            cluster.wait_for_workers(workers)
        yield cluster
    finally:
        cluster.stop()


def certificates(folder: Path) -> dict[str, str]:
    """One certificate for all parties, and the settings that name it to Dask."""
    keys = Security.temporary()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(str(keys.tls_ca_file))
    key.write_text(str(keys.tls_client_key))
    settings = {
        "distributed.comm.default-scheme": "tls",
        "distributed.comm.require-encryption": "true",
        "distributed.comm.tls.ca-file": str(certificate),
    }
    for party in ("scheduler", "worker", "client"):
        settings[f"distributed.comm.tls.{party}.cert"] = str(certificate)
        settings[f"distributed.comm.tls.{party}.key"] = str(key)
    return settings


def _content(path: Path) -> Mapping[str, str]:
    """A JSON file, once it is there whole."""
    for _ in range(int(LIMIT_S / 0.02)):
        try:
            return dict(json.loads(path.read_text()))
        except (FileNotFoundError, ValueError):
            time.sleep(0.02)
    raise AssertionError(f"{path} was not written; see the log beside it")
