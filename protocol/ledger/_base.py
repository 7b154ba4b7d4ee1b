"""What both ledgers share: name, budget, closing, and where they stand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drivers.errors import LedgerError
from protocol.ledger._head import LedgerHead
from protocol.ledger._store import Store

__all__ = ["Ledger"]


class Ledger:
    """An open ledger. A context manager; for several threads, not for several processes.

    Args:
        path: file, None in memory.
        unlimited: whether the budget is switched off.
    """

    def __init__(self, path: Path | str | None, *, unlimited: bool) -> None:
        self._name = "ledger in memory" if path is None else f"ledger {path}"
        self._unlimited = unlimited
        self._budget: float | None = None
        self._note = ""
        self._store: Store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let another process have it; harmless when closed already."""
        self._store.close()

    @property
    def unlimited(self) -> bool:
        """Whether the budget was switched off when the ledger was opened."""
        return self._unlimited

    @property
    def note(self) -> str:
        """Free text of its creation."""
        return self._note

    @property
    def head(self) -> LedgerHead:
        """Where the ledger stands, for the record of a run.

        Raises:
            LedgerError: the ledger must not be used.
        """
        with self._in_use():
            return self._store.head

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._store.guard:
            self._store.require_usable()
            yield

    def _check_purpose(self, body: Mapping[str, Any], purpose: str) -> None:
        if body["purpose"] != purpose:
            raise LedgerError(
                f"{self._name}: a ledger of {body['purpose']}, where one of {purpose} is needed; "
                "the server keeps one of weights, the client one of data"
            )
