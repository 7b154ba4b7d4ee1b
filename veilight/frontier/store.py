"""The results folder of a sweep: one record and one model per network, complete or absent.

    networks/KEY.json         what was trained and what came of it; written last
    models/KEY.safetensors    the weights, with their description in models/KEY.json
    sweep.lock                held by the one process that writes

The lock is the kernel's and dies with its owner. A record that cannot be read, or whose weights are
missing or others, counts as not there, so that the network is trained again; a record that is
somebody else's is refused and never overwritten.
"""

import hashlib
import json
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from drivers.errors import ConfigurationError, DataError, OutputError
from drivers.files import replace_files
from veilight.frontier.networks import (
    FailedNetwork,
    NetworkSpec,
    Outcome,
    TrainedModel,
    TrainedNetwork,
    model_file_of,
)

__all__ = ["ResultStore"]

FORMAT = "veilight-frontier-network"
VERSION = 1
LARGEST_RECORD = 1 << 20
_KEYS = {
    "format",
    "version",
    "key",
    "spec",
    "failed",
    "seconds",
    "graph",
    "accuracy",
    "accuracy_error",
    "accuracy_noise_free",
    "test_samples",
    "model_file",
    "model_sha256",
}


class ResultStore:
    """Reads and writes a results folder.

    Args:
        folder: it is made when something is written.
        on_note: told what was found damaged, and what is done about it.
    """

    def __init__(self, folder: Path, on_note: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self._note = on_note

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who writes; what a killed predecessor left half-written is removed.

        Raises:
            OutputError: another process has the folder, or it cannot be written.
        """
        try:
            for name in ("networks", "models"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "sweep.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _refused(self.folder, error) from error
        try:
            _lock(descriptor, self.folder)
            for name in ("networks", "models"):
                for left in (self.folder / name).glob(".*.tmp"):
                    with suppress(OSError):
                        left.unlink()
            yield
        finally:
            os.close(descriptor)

    def find(self, spec: NetworkSpec) -> TrainedNetwork | FailedNetwork | None:
        """What is there of a specification, or None if it has to be trained.

        Raises:
            DataError: the record of that name is something else.
        """
        path = self.folder / "networks" / f"{spec.key}.json"
        found = self._read(path)
        if found is not None and found.spec != spec:
            raise DataError(f"{path}: {_FOREIGN}")
        return found

    def networks(self) -> tuple[TrainedNetwork, ...]:
        """All trained networks, in the order of their keys.

        Raises:
            DataError: a record is something else, or there are networks of several data sets.
        """
        found = tuple(o for o in self._outcomes() if isinstance(o, TrainedNetwork))
        digests = {network.spec.dataset_sha256 for network in found}
        if len(digests) > 1:
            raise DataError(
                f"{self.folder}: holds networks of {len(digests)} data sets, which cannot be "
                "compared; take the others out"
            )
        return found

    def failures(self) -> tuple[FailedNetwork, ...]:
        """All networks whose training came to nothing, in the order of their keys.

        Raises:
            DataError: a record is something else.
        """
        return tuple(o for o in self._outcomes() if isinstance(o, FailedNetwork))

    def save(self, outcome: Outcome) -> TrainedNetwork | FailedNetwork:
        """Write an outcome: the weights first, the record last.

        Returns:
            What `find` will return.

        Raises:
            OutputError: the system refuses.
        """
        record = _record(outcome)
        try:
            if isinstance(outcome, TrainedModel):
                model = self.folder / outcome.network.model_file
                replace_files(
                    [
                        (model, outcome.weights),
                        (model.with_suffix(".json"), outcome.description),
                    ]
                )
            text = json.dumps(record, indent=1, allow_nan=False) + "\n"
            path = self.folder / "networks" / f"{outcome.spec.key}.json"
            replace_files([(path, text.encode())])
        except OSError as error:
            raise _refused(self.folder, error) from error
        return outcome.network if isinstance(outcome, TrainedModel) else outcome

    def _outcomes(self) -> Iterator[TrainedNetwork | FailedNetwork]:
        for path in sorted((self.folder / "networks").glob("*.json")):
            outcome = self._read(path)
            if outcome is not None:
                yield outcome

    def _read(self, path: Path) -> TrainedNetwork | FailedNetwork | None:
        """The outcome of a record, or None where it or its weights are damaged."""
        try:
            if path.stat().st_size > LARGEST_RECORD:
                raise DataError(f"{path}: {_FOREIGN}")
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}; check its permissions") from error
        try:
            record = json.loads(text)
        except ValueError:
            self._note(f"{path}: torn, its network counts as not trained")
            return None
        outcome = _outcome(path, record)
        if isinstance(outcome, TrainedNetwork) and not self._has_weights(
            outcome, record["model_sha256"]
        ):
            self._note(f"{path}: its weights are missing or damaged; it counts as not trained")
            return None
        return outcome

    def _has_weights(self, network: TrainedNetwork, sha256: object) -> bool:
        model = self.folder / network.model_file
        try:
            return (
                hashlib.sha256(model.read_bytes()).hexdigest() == sha256
                and model.with_suffix(".json").stat().st_size > 0
            )
        except OSError:
            return False


_FOREIGN = (
    "not the record of the network that its name says; take it away, or choose another folder for "
    "the results"
)


def _record(outcome: Outcome) -> dict[str, object]:
    """What is written of an outcome."""
    spec = outcome.spec
    record: dict[str, object] = dict.fromkeys(sorted(_KEYS))
    record |= {"format": FORMAT, "version": VERSION, "key": spec.key, "spec": spec.to_dict()}
    if isinstance(outcome, FailedNetwork):
        return record | {"failed": outcome.reason, "seconds": outcome.seconds}
    network = outcome.network
    return record | {
        "seconds": network.seconds,
        "graph": network.graph,
        "accuracy": network.accuracy,
        "accuracy_error": network.accuracy_error,
        "accuracy_noise_free": network.accuracy_noise_free,
        "test_samples": network.test_samples,
        "model_file": network.model_file,
        "model_sha256": hashlib.sha256(outcome.weights).hexdigest(),
    }


def _outcome(path: Path, record: Any) -> TrainedNetwork | FailedNetwork:
    """Read what `_record` made; `DataError` where somebody else did."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{path}: {_FOREIGN}")
    if record.get("version") != VERSION or set(record) != _KEYS:
        raise DataError(
            f"{path}: written by another version of veilight; choose another folder for the results"
        )
    try:
        spec = NetworkSpec.from_dict(record["spec"])
        if path.stem != spec.key or record["key"] != spec.key:
            raise DataError(f"{path}: {_FOREIGN}")
        if record["failed"] is not None:
            return FailedNetwork(
                spec=spec, reason=str(record["failed"]), seconds=float(record["seconds"])
            )
        return _network(spec, record)
    except (ConfigurationError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be used: {error}; {_FOREIGN}") from error


def _network(spec: NetworkSpec, record: Mapping[str, Any]) -> TrainedNetwork:
    """The trained network of a record; `ValueError` where it makes no sense."""
    fractions = {
        name: float(record[name]) for name in ("accuracy", "accuracy_error", "accuracy_noise_free")
    }
    if not all(0 <= value <= 1 for value in fractions.values()):
        raise ValueError(f"accuracies are {fractions}")
    if record["model_file"] != model_file_of(spec) or not isinstance(record["graph"], dict):
        raise ValueError(f"the weights are in {record['model_file']}")
    seconds = float(record["seconds"])
    if not (math.isfinite(seconds) and seconds >= 0 and int(record["test_samples"]) >= 1):
        raise ValueError(f"{record['test_samples']} test samples, {seconds} s")
    return TrainedNetwork(
        spec=spec,
        graph=record["graph"],
        accuracy=fractions["accuracy"],
        accuracy_error=fractions["accuracy_error"],
        accuracy_noise_free=fractions["accuracy_noise_free"],
        test_samples=int(record["test_samples"]),
        seconds=seconds,
        model_file=model_file_of(spec),
    )


def _lock(descriptor: int, folder: Path) -> None:
    """Take the lock and leave a name in it; the kernel lets go when the owner ends."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "unknown"
        raise OutputError(
            f"results folder {folder}: in use by {owner}; two sweeps must not write to one folder. "
            "Wait for it, or choose another --out"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def _refused(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(
        f"results folder {folder}: cannot be written: {reason}; choose a folder that may be "
        "written to and has room"
    )
