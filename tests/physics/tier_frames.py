"""Public frames through a link of any tier, and what their moments are known to."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from drivers.backend import Block, OpticalLink

__all__ = ["Estimate", "Frames", "Sent", "fitted", "frames_through", "variance_of"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its standard deviation."""

    value: float
    deviation: float

    def score(self, other: "Estimate", *, systematic: float = 0.0) -> float:
        """Difference in standard deviations.

        Args:
            other: what is expected.
            systematic: difference that is none, relative to the other's value.
        """
        difference = self.value - other.value
        beyond = max(0.0, abs(difference) - systematic * abs(other.value))
        return math.copysign(beyond, difference) / math.hypot(self.deviation, other.deviation)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One block: data `(inputs, modes)`, means `(inputs, rows, modes)`, frames tested in P."""

    block: Block
    data: Tensor
    means: Tensor
    in_p: Tensor


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What was sent and what came of it; frames along the first axis, modes along the second."""

    products: Tensor
    outcomes: Tensor
    data: Tensor
    means: Tensor
    returned: Tensor
    in_p: Tensor


def frames_through(link: OpticalLink, blocks: Iterable[Sent]) -> Frames:
    """Blocks one after the other, all returns recorded in full."""
    parts: list[tuple[Tensor, ...]] = []
    for sent in blocks:
        link.client.load(sent.block, sent.data)
        link.server.send(sent.block, sent.means)
        outcomes = link.client.measure(sent.block)
        returned = link.server.collect_full(sent.block, sent.in_p)
        products = torch.einsum("irm,im->ir", sent.means, sent.data)
        data = sent.data[:, None].expand_as(sent.means)
        values = (products, outcomes, data, sent.means, returned)
        flat = (part.double().cpu().flatten(0, 1) for part in values)
        parts.append((*flat, sent.in_p.flatten()))
    products, outcomes, data, means, returned, in_p = (
        torch.cat(column) for column in zip(*parts, strict=True)
    )
    return Frames(
        products=products, outcomes=outcomes, data=data, means=means, returned=returned, in_p=in_p
    )


def fitted(known: Tensor, found: Tensor) -> tuple[Estimate, Tensor]:
    """Gain by least squares, and what it leaves."""
    energy = float(known.square().sum())
    gain = float((known * found).sum()) / energy
    rest = found - gain * known
    return Estimate(value=gain, deviation=float(rest.std()) / math.sqrt(energy)), rest


def variance_of(values: Tensor) -> Estimate:
    """Variance; its deviation is that of normal values."""
    found = float(values.var())
    return Estimate(value=found, deviation=found * math.sqrt(2 / (values.numel() - 1)))
