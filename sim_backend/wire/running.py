"""What serves from `start` to `stop`, and in a `with` statement meanwhile."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Running"]


class Running(ABC):
    """A context manager that serves inside."""

    @abstractmethod
    def start(self) -> object:
        """Begin to serve."""

    @abstractmethod
    def stop(self) -> None:
        """Stop serving; may be repeated."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
