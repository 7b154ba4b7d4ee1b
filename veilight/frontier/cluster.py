"""Dask workers for a sweep: processes of this machine, or a cluster that has an address."""

import asyncio
import logging
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from drivers.errors import ConfigurationError
from veilight._version import __version__

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = ["CONNECT_SECONDS", "WORKER_DEATHS", "worker_cluster"]

WORKER_DEATHS = 3
"""How often a network may take its worker down before it is given up."""
CONNECT_SECONDS = 20
"""How long a scheduler may be silent, at the start and after its connection broke."""

_TLS_SETTINGS = (
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
)


@contextmanager
def worker_cluster(workers: int, scheduler: str | None = None) -> Iterator["Client"]:
    """A connection to Dask workers: processes of this machine, or a cluster.

    Local workers have one thread each and speak TLS with keys that only this run knows: whoever
    reaches a Dask scheduler without it runs code as its user. A cluster's own security is that of
    its address and of Dask's configuration.

    Args:
        workers: local processes, at least 1; not used with an address.
        scheduler: address of a cluster's scheduler, such as `tcp://host:8786`; None for local.

    Raises:
        ConfigurationError: no scheduler or no worker answers, or the workers have another veilight.
    """
    import dask
    from distributed import Client

    if scheduler is not None:
        with _quiet_logs(), _connected(scheduler) as client:
            yield client
        return
    if workers < 1:
        raise ConfigurationError(f"frontier: {workers} workers; give at least 1")
    settings: dict[str, Any] = {"distributed.scheduler.allowed-failures": WORKER_DEATHS - 1}
    with (
        tempfile.TemporaryDirectory(prefix="veilight-dask-") as scratch,
        _quiet_logs(),
        dask.config.set(settings),
        _local_cluster(workers, scratch) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _local_cluster(workers: int, scratch: str) -> "LocalCluster":
    """Processes that Ctrl-C does not reach: it is the coordinator's, who ends them.

    They inherit what signals are blocked from Dask's thread, which inherits it from here.
    """
    from distributed import LocalCluster

    # Otherwise it is started from that thread, and unblocks the signal there.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            security=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    """A client of a cluster whose workers are there and have this veilight."""
    from distributed import Client

    try:
        # A client whose first connection fails is left half-made, and complains when it is freed.
        asyncio.run(_answers(scheduler))
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"no Dask scheduler answers at {scheduler!r}: {error}; {_advice(scheduler)}"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise ConfigurationError(
                f"the Dask scheduler at {scheduler} has no workers; start some with `dask worker "
                f"{scheduler} --nthreads 1`"
            ) from error
        found = client.run(_worker_version, on_error="return")
        wrong = sorted(f"{w}: {v}" for w, v in found.items() if v != __version__)
        if wrong:
            raise ConfigurationError(
                f"workers of {scheduler} need veilight {__version__}, but have {'; '.join(wrong)}; "
                "install it where they run, and start them again"
            )
        yield client


async def _answers(scheduler: str) -> None:
    """Shake hands with a scheduler.

    Raises:
        OSError: nobody answers, or someone who does not understand.
        ValueError: not an address.
        TypeError: TLS without certificates.
    """
    from distributed import Security
    from distributed.comm.core import connect

    security = Security().get_connection_args("client")
    comm = await connect(scheduler, timeout=CONNECT_SECONDS, **security)
    await comm.close()


def _advice(scheduler: str) -> str:
    """What may help where nobody answers."""
    start = "start one with `dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`"
    if scheduler.startswith("tls://"):
        return f"{start}, and set {_TLS_SETTINGS} to files of the certificates that it trusts"
    return f"{start}; one with TLS has an address that begins with tls://"


def _worker_version() -> str:
    from veilight._version import __version__ as version

    return version


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Dask logs what is told here in one line: deaths, cut connections."""
    families = ("distributed", "tornado", "asyncio")
    # Some of them have a level of their own from Dask's configuration.
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in families]
    loggers = [logging.getLogger(name) for name in dict.fromkeys((*families, *names))]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
