"""The same work for many pieces: in this process, or on Dask workers."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from drivers.errors import OutputError
from veilight.frontier.dispatch import Dispatcher, Lost

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Spread", "in_order", "in_this_process", "on_workers"]

PARCELS = 200
"""Into how many parts work is cut for a cluster, at most: many more than it has threads."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Spread(Protocol):
    """Does the same work for many pieces."""

    def __call__(
        self, work: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Each result with the place of its piece, as they are finished.

        Args:
            work: importable by its name, or a `functools.partial` of such a function.
            items: the pieces, which can be pickled.
        """


def in_this_process(
    work: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    """One after the other."""
    yield from enumerate(map(work, items))


def in_order(
    spread: Spread,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    on_progress: Callable[[float], None] = lambda _fraction: None,
) -> list[Result]:
    """The work's results in the order of the pieces.

    Args:
        spread: where it is done.
        work: see `Spread`.
        items: see `Spread`.
        on_progress: called with the fraction that is done.
    """
    found: dict[int, Result] = {}
    for place, result in spread(work, items):
        found[place] = result
        on_progress(len(found) / len(items))
    return [found[place] for place in range(len(items))]


def on_workers(client: "Client", on_notice: Callable[[str], None] = lambda _: None) -> Spread:
    """As many at a time as a cluster has threads.

    Args:
        client: of the cluster.
        on_notice: told in words when there is nobody to work, and when there is again.

    Returns:
        Raises `OutputError` where a piece came to nothing: its workers died, or nobody is left.
    """

    def spread(
        work: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        # A message for each piece would take longer than a small piece does.
        size = -(-len(items) // PARCELS)
        parcels = [items[first : first + size] for first in range(0, len(items), size or 1)]
        dispatcher: Dispatcher[Sequence[Item], list[Result]] = Dispatcher(
            client, partial(_all_of, work), on_notice=on_notice
        )
        for parcel, outcome in dispatcher.outcomes(parcels):
            if isinstance(outcome, Lost):
                raise OutputError(
                    f"the figures are not complete: {outcome.reason}; the networks are kept, "
                    "work them out again with `veilight frontier evaluate`"
                )
            yield from enumerate(outcome, parcel * size)

    return spread


def _all_of(work: Callable[[Item], Result], parcel: Sequence[Item]) -> list[Result]:
    return list(map(work, parcel))
