"""The setting of a receiver, and the dither, for one network: a search in one dimension.

The data's figures rise with the coupling; so does the asymptotic figure of the weights, a little,
while the certified one falls with the light. A weighted objective therefore has one minimum.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from drivers.errors import ConfigurationError
from protocol.leakage.conventions import Encoding
from veilight.frontier.couplings import couplings_within, receiver_at
from veilight.frontier.figures import Privacy, privacy_of
from veilight.frontier.link import LinkAssumptions
from veilight.frontier.objective import Weights
from veilight.frontier.shapes import LayerShape

__all__ = ["best_setting", "strongest_setting"]

_ROUNDS = 3
_BETWEEN = 400
_NEIGHBOURS = 4
_CLOSE = 1e-4
_BISECTIONS = 12


def best_setting(
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    kind: str,
    encoding: Encoding,
    link: LinkAssumptions,
    objective: Weights,
    *,
    dithers_p_snu: Sequence[float] = (),
    known: Mapping[float, Privacy] = MappingProxyType({}),
) -> Privacy:
    """The setting of a receiver kind that makes the objective smallest, with all its figures.

    A grid over three decades of the coupling first: all of it with asymptotic figures; with
    certificates, which take a tenth of a second or more, by bisection for the one minimum. Then the
    figures are interpolated, as powers of the coupling, between the neighbours of the best point,
    and worked out where the interpolation is smallest. Never worse than the grid points looked at.

    Args:
        shapes: the optical layers.
        signal_to_noise: F^2 of each.
        kind: of the receiver.
        encoding: "real" or "complex".
        link: what is assumed.
        objective: how the adversaries are weighed.
        dithers_p_snu: further dithers of P to try, above 0; with the real encoding and a
            certificate only, where they help.
        known: figures on `link` that need not be worked out again, by coupling.

    Raises:
        ConfigurationError: a value is out of range, or no setting keeps the limit of photons.
    """
    links = [link]
    if encoding == "real" and link.tested_symbols is not None:
        links += [replace(link, dither_p_snu=dither) for dither in dithers_p_snu]
    found = [
        _best_on(
            shapes, signal_to_noise, kind, encoding, each, objective, known if each is link else {}
        )[1]
        for each in links
    ]
    return min(found, key=objective.objective)


def strongest_setting(
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    kind: str,
    encoding: Encoding,
    link: LinkAssumptions,
    objective: Weights,
) -> Privacy | None:
    """The strongest coupling whose objective is at most 1: what keeps all limits with least light.

    The least light is the least for a thief and for the queries that a budget allows.

    Args:
        shapes: the optical layers.
        signal_to_noise: F^2 of each.
        kind: of the receiver.
        encoding: "real" or "complex".
        link: what is assumed, the dither included.
        objective: of limits.

    Returns:
        None if no setting that was looked at keeps them.

    Raises:
        ConfigurationError: a value is out of range, or no setting keeps the limit of photons.
    """

    def at(coupling: float) -> Privacy:
        return privacy_of(shapes, signal_to_noise, receiver_at(kind, coupling), encoding, link)

    low, best = _best_on(shapes, signal_to_noise, kind, encoding, link, objective)
    if objective.objective(best) > 1:
        return None
    high = couplings_within(kind, encoding, link, signal_to_noise)[-1]
    if objective.objective(at(high)) <= 1:
        return at(high)
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if objective.objective(at(middle)) <= 1 else (low, middle)
    return at(low)


def _best_on(
    shapes: Sequence[LayerShape],
    signal_to_noise: Sequence[float],
    kind: str,
    encoding: Encoding,
    link: LinkAssumptions,
    objective: Weights,
    known: Mapping[float, Privacy] = MappingProxyType({}),
) -> tuple[float, Privacy]:
    """The best coupling on one link."""
    grid = couplings_within(kind, encoding, link, signal_to_noise)
    if not grid:
        raise ConfigurationError(
            f"frontier: no setting of receiver {kind} keeps F^2 = {tuple(signal_to_noise)} within "
            f"{link.most_photons_per_symbol} photons per symbol; allow more or train for less F^2"
        )
    table = dict(known)

    def value(coupling: float) -> float:
        if coupling not in table:
            chosen = receiver_at(kind, coupling)
            table[coupling] = privacy_of(shapes, signal_to_noise, chosen, encoding, link)
        return objective.objective(table[coupling])

    if link.tested_symbols is None:
        for coupling in grid:
            value(coupling)
    else:
        _bisect(value, grid)
    for _ in range(_ROUNDS):
        candidate = _promising(table, objective)
        if min(abs(math.log(candidate / known)) for known in table) < _CLOSE:
            break
        value(candidate)
    best = min(table, key=value)
    return best, table[best]


def _bisect(value: Callable[[float], float], grid: Sequence[float]) -> None:
    """Look at grid points down to the minimum, its neighbours included."""
    low, high = 0, len(grid) - 1
    while low < high:
        middle = (low + high) // 2
        if value(grid[middle]) <= value(grid[middle + 1]):
            high = middle
        else:
            low = middle + 1
    for index in range(max(0, low - 2), min(len(grid), low + 3)):
        value(grid[index])


def _promising(table: Mapping[float, Privacy], objective: Weights) -> float:
    """Where the interpolated objective is smallest between the neighbours of the best point."""
    couplings = sorted(table)
    weighed = {coupling: objective.weighed(table[coupling]) for coupling in couplings}
    best = min(couplings, key=lambda coupling: objective.together(weighed[coupling].values()))
    place = couplings.index(best)
    low = math.log(couplings[max(0, place - 1)])
    high = math.log(couplings[min(len(couplings) - 1, place + 1)])

    def interpolated(coupling: float) -> float:
        return objective.together(_figures_at(coupling, couplings, weighed))

    steps = (math.exp(low + (high - low) * i / _BETWEEN) for i in range(1, _BETWEEN))
    return min(steps, key=interpolated, default=best)


def _figures_at(
    coupling: float, couplings: Sequence[float], weighed: Mapping[float, Mapping[str, float]]
) -> list[float]:
    """Each figure by Lagrange's polynomial through the logarithms at the nearest couplings."""
    count = min(_NEIGHBOURS, len(couplings))
    first = min(max(0, bisect_left(couplings, coupling) - count // 2), len(couplings) - count)
    nodes = couplings[first : first + count]
    values = []
    for name in weighed[nodes[0]]:
        known = [weighed[node][name] for node in nodes]
        if min(known) <= 0:  # no logarithm: a receiver that leaks nothing
            values.append(max(known))
            continue
        shares = [
            math.prod(
                math.log(coupling / other) / math.log(node / other)
                for other in nodes
                if other != node
            )
            for node in nodes
        ]
        values.append(
            math.exp(
                math.fsum(
                    share * math.log(value) for share, value in zip(shares, known, strict=True)
                )
            )
        )
    return values
