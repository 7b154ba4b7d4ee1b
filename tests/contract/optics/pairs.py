"""The pairs of optics that the contract suites run over, and what the suites send through them.

An implementation joins by an entry in `PAIRS`: a function that makes a fresh pair of optics.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ClientOptics, ServerOptics
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from sim_backend.adversaries import keeps_fraction
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.amplifier_bench import contract_link
from tests.homodyne_bench import open_homodyne_bench
from tests.waveform_bench import open_bench

MODES_PER_FRAME = 16


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both ends of one link. Frames may have up to 16 modes."""

    server: ServerOptics
    client: ClientOptics
    modulates_p: bool = True
    by_input: bool = False

    @property
    def takes_complex(self) -> bool:
        return self.modulates_p and self.client.describe().receiver.preserves_p


def symbol(settings: LinkSettings) -> Pair:
    link = SymbolLink(replace(settings, modes_per_frame=MODES_PER_FRAME, seed=7, device="cpu"))
    return Pair(server=link.server, client=link.client)


def symbol_with_thief() -> Pair:
    link = SymbolLink(
        LinkSettings(modes_per_frame=MODES_PER_FRAME, seed=7, device="cpu"), keeps_fraction(0.5)
    )
    return Pair(server=link.server, client=link.client)


def waveform() -> Pair:
    link = open_bench(modes_per_frame=MODES_PER_FRAME, calibration_samples=1 << 16).link
    return Pair(server=link.server, client=link.client, modulates_p=False)


def amplifier() -> Pair:
    link = contract_link(MODES_PER_FRAME)
    return Pair(server=link.server, client=link.client, modulates_p=False)


class AlternatingCoins:
    """Choose P and X in turns."""

    seed: int | None = 7

    def toss(self, count: int, p_share: float = 0.5) -> NDArray[np.bool_]:
        return np.resize(np.array([True, False]), count)


def homodyne() -> Pair:
    link = open_homodyne_bench(
        modes_per_frame=MODES_PER_FRAME, calibration_samples=1 << 16, coins=AlternatingCoins()
    ).link
    return Pair(server=link.server, client=link.client, modulates_p=False, by_input=True)


DETECTOR = DetectorSettings(
    efficiency=0.8,
    electronic_noise_snu=0.1,
    phase_error_rad=0.1,
    oscillator_drift=0.01,
    converter_bits=12,
)
PAIRS: dict[str, Callable[[], Pair]] = {
    "symbol, amplifier": lambda: symbol(LinkSettings(receiver=Amplifier(gain=2.0))),
    "symbol, feed-forward tap": lambda: symbol(
        LinkSettings(receiver=FeedForwardTap(tap_fraction=0.5))
    ),
    "symbol, passive tap": lambda: symbol(LinkSettings(receiver=PassiveTap(tap_fraction=0.5))),
    "symbol, worn": lambda: symbol(
        LinkSettings(
            forward_transmittance=0.8,
            return_transmittance=0.7,
            excess_noise_snu=0.05,
            unitary_error_rad=0.02,
            client=DETECTOR,
            server=DETECTOR,
        )
    ),
    "symbol, dishonest client": symbol_with_thief,
    "waveform, passive tap": waveform,
    "waveform, amplifier": amplifier,
    "waveform, homodyne": homodyne,
}

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=3, first_row=0, rows=4, modes=8)
NEXT = replace(BLOCK, first_input=3)


def unit_data(block: Block = BLOCK) -> Tensor:
    data = torch.randn(block.inputs, block.modes, generator=torch.Generator().manual_seed(31))
    norms: Tensor = torch.linalg.vector_norm(data, dim=-1, keepdim=True)
    return data / norms


def means_of(block: Block = BLOCK, inputs: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(32)
    return torch.randn(inputs, block.rows, block.modes, generator=generator)


def quadratures_of(pair: Pair, block: Block = BLOCK) -> Tensor:
    """Frames in turns; or inputs, with optics that choose before the light returns."""
    if pair.by_input:
        return (torch.arange(block.inputs) % 2 == 0)[:, None].repeat(1, block.rows)
    return torch.arange(block.frames).reshape(block.inputs, block.rows) % 2 == 0


def transmit(pair: Pair, block: Block = BLOCK) -> Tensor:
    pair.client.load(block, unit_data(block))
    pair.server.send(block, means_of(block))
    return pair.client.measure(block)


def collect_full(pair: Pair, on_p: Tensor) -> object:
    return pair.server.collect_full(BLOCK, on_p)


def collect_summary(pair: Pair, on_p: Tensor) -> object:
    return pair.server.collect_summary(BLOCK, on_p, 1.0)


COLLECT = [collect_full, collect_summary]
