"""The symbol tier: a simulated fibre with a receiver at either end, one draw per symbol or sum.

`SymbolLink` is the world between the parties. Each gets its own facet (`server`, `client`) that
implements an optics interface of `drivers.backend`; neither shows what the other party put in.
"""

import math

import torch
from torch import Tensor

from drivers.backend import (
    Block,
    ClientOpticsInfo,
    ReturnProjection,
    ReturnSummary,
    ServerOpticsInfo,
)
from drivers.block_order import (
    BlockOrder,
    check_data,
    check_gain,
    check_means,
    check_quadratures,
)
from drivers.errors import LimitError, OpticsError
from sim_backend.adversaries import HONEST, ReturnBehaviour
from sim_backend.displaced_sums import summary_displaced
from sim_backend.flight import Flight, LayerStreams, ReturnChannel, receive, return_channel
from sim_backend.random_streams import StreamFactory
from sim_backend.receiver_law import receiver_law
from sim_backend.returned_modes import (
    Quantiser,
    draw_modes,
    projection_from_modes,
    summary_from_modes,
)
from sim_backend.returned_sums import LOWEST_MODES, Scratch, summary_per_frame, summary_pooled
from sim_backend.settings import DetectorSettings, LinkSettings

__all__ = ["BACKEND_NAME", "SymbolLink"]

BACKEND_NAME = "symbol"

MAX_RETURN_VALUES = 1 << 29
"""Largest full return of one call (2 GiB of float32)."""


class SymbolLink:
    """A simulated link.

    Args:
        settings: losses, noise, receiver, seed.
        behaviour: what the client does to the returned light; honest by default.

    Raises:
        LimitError: "cuda" is asked for and torch finds none.
    """

    def __init__(self, settings: LinkSettings, behaviour: ReturnBehaviour = HONEST) -> None:
        self.settings = settings
        self.behaviour = behaviour
        self._device = _device(settings.device)
        self._factory = StreamFactory(settings.seed, self._device)
        self._order = BlockOrder(settings.modes_per_frame)
        self._run = 0
        self._streams: dict[tuple[int, ...], LayerStreams] = {}
        self._loaded: dict[Block, Tensor] = {}
        self._sent: dict[Block, Tensor] = {}
        self._flying: dict[Block, Flight] = {}
        self._scratch = Scratch(self._device)
        self._keeping = False
        self._kept: dict[Block, tuple[Flight, Tensor, ReturnChannel | None]] = {}
        self._channels: tuple[ReturnChannel, ReturnChannel] | None = None
        self.server = _ServerFacet(self)
        self.client = _ClientFacet(self)

    def load(self, block: Block, data: Tensor) -> None:
        """See `ClientOptics.load`."""
        self._order.check_load(block)
        check_data(block, data)
        self._check_quadratures(data)
        # A copy: the caller may reuse its tensor, the receiver's setting must not follow.
        self._loaded[block] = data.to(self._device, _number_type(data), copy=True)
        self._order.loaded(block)

    def send(self, block: Block, means: Tensor) -> None:
        """See `ServerOptics.send`."""
        self._order.check_send(block)
        check_means(block, means)
        self._forget_earlier_runs(block)
        self._sent[block] = means.to(self._device, _number_type(means), copy=True)
        self._order.sent(block)

    def measure(self, block: Block) -> Tensor:
        """See `ClientOptics.measure`."""
        self._order.check_measure(block)
        flight, outcome = receive(
            block,
            self._streams_of(block),
            self._sent.pop(block),
            self._loaded.pop(block),
            self.settings,
        )
        self._flying[block] = flight
        self._order.measured(block)
        detector = self.settings.client
        return Quantiser(detector.converter_range_snu, detector.converter_step_snu)(outcome)

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        """See `ServerOptics.collect_full`."""
        if block.symbols > MAX_RETURN_VALUES:
            raise LimitError(
                f"{block.name}: a full return of {block.symbols:.3g} values exceeds the cap of "
                f"{MAX_RETURN_VALUES:.3g}; use smaller blocks or summaries"
            )
        flight, chosen = self._land(block, quadratures)
        channel = return_channel(flight, self.settings, self.behaviour, chosen)
        values = draw_modes(flight, self.settings, channel, 0, block.inputs)
        return self._server_quantiser()(values)

    def collect_summary(
        self, block: Block, quadratures: Tensor, reference_gain: float
    ) -> ReturnSummary:
        """See `ServerOptics.collect_summary`."""
        check_gain(block, reference_gain)
        flight, chosen = self._land(block, quadratures)
        settings = self.settings
        quantiser = self._server_quantiser()
        sums = not (quantiser.step_snu or block.modes < LOWEST_MODES or self.behaviour.share < 1)
        simple = sums and not flight.complex_light
        if simple and self._steady:
            self._keep(flight, chosen, None)
            channels = self._steady_channels(flight)
            return summary_pooled(flight, settings, channels, chosen, reference_gain, self._scratch)
        channel = return_channel(flight, settings, self.behaviour, chosen)
        self._keep(flight, chosen, channel)
        displaced = not flight.data.is_complex() and flight.partner(settings) is None
        if sums and flight.complex_light and displaced:
            return summary_displaced(flight, settings, channel, chosen, reference_gain)
        if simple:
            return summary_per_frame(flight, settings, channel, chosen, reference_gain)
        return summary_from_modes(flight, settings, channel, chosen, reference_gain, quantiser)

    def keep_returns(self) -> None:
        """See `ProjectsReturn.keep_returns`."""
        self._keeping = True

    def project(self, block: Block, data: Tensor, reference_gain: float) -> ReturnProjection:
        """See `ProjectsReturn.project`."""
        check_gain(block, reference_gain)
        check_data(block, data)
        if block not in self._kept:
            raise OpticsError(f"{block.name}: its return was not kept; call keep_returns before")
        if data.is_complex():
            raise OpticsError(f"{block.name}: opened vectors are complex, they must be real")
        flight, chosen, channel = self._kept[block]
        if channel is None:  # on a link that does not drift it is the same again
            channel = return_channel(flight, self.settings, self.behaviour, chosen)
        return projection_from_modes(
            flight,
            self.settings,
            channel,
            chosen,
            data.to(self._device),
            reference_gain,
            self._server_quantiser(),
        )

    def forget_returns(self) -> None:
        """See `ProjectsReturn.forget_returns`."""
        self._kept.clear()

    def _keep(self, flight: Flight, chosen: Tensor, channel: ReturnChannel | None) -> None:
        if self._keeping:
            self._kept[flight.block] = (flight, chosen, channel)

    def _streams_of(self, block: Block) -> LayerStreams:
        """The random streams of a block's layer and rows."""
        key = (block.layer, block.tile, block.first_row, block.rows, block.modes)
        if key not in self._streams:
            self._streams[key] = LayerStreams(self._factory, self.settings, block)
        return self._streams[key]

    def _forget_earlier_runs(self, block: Block) -> None:
        """Light of a finished run is gone, and a new one has random numbers of its own."""
        if block.run > self._run:
            self._streams.clear()
            self._sent.clear()
            self._flying.clear()
            self._kept.clear()
            self._loaded = {b: data for b, data in self._loaded.items() if b.run >= block.run}
            self._run = block.run

    @property
    def _steady(self) -> bool:
        """True if every frame of a block obeys the same law."""
        settings = self.settings
        still = settings.client.steady and settings.server.steady
        return still and not (settings.excess_noise_snu or settings.unitary_error_rad)

    def _steady_channels(self, flight: Flight) -> tuple[ReturnChannel, ReturnChannel]:
        """The return of X and of P frames on a steady link: the same for all flights."""
        if self._channels is None:
            on_x = torch.zeros((1, 1), dtype=torch.bool, device=self._device)
            self._channels = (
                return_channel(flight, self.settings, self.behaviour, on_x),
                return_channel(flight, self.settings, self.behaviour, ~on_x),
            )
        return self._channels

    def _check_quadratures(self, data: Tensor) -> None:
        receiver = self.settings.receiver
        # Data turned by a right angle read P instead of X, which every receiver can do.
        if data.is_complex() and bool(data.real.any()) and not receiver.preserves_p:
            raise LimitError(
                f"receiver {receiver.kind} keeps the mean of X only; use real encoding with it"
            )

    def _server_quantiser(self) -> Quantiser:
        detector = self.settings.server
        return Quantiser(detector.converter_range_snu, detector.converter_step_snu)

    def _land(self, block: Block, quadratures: Tensor) -> tuple[Flight, Tensor]:
        """The block's light, which can be measured once, and the quadratures on its device."""
        self._order.check_collect(block)
        check_quadratures(block, quadratures)
        self._order.collected(block)
        return self._flying.pop(block), quadratures.to(self._device)


class _ServerFacet:
    """What the server holds of the link."""

    def __init__(self, link: SymbolLink) -> None:
        self._link = link

    def describe(self) -> ServerOpticsInfo:
        settings = self._link.settings
        detector = settings.server
        still = torch.zeros(())
        law = receiver_law(settings.receiver, settings.client, still, still + 1)
        return ServerOpticsInfo(
            backend=BACKEND_NAME,
            simulated=True,
            seed=settings.seed,
            modes_per_frame=settings.modes_per_frame,
            symbol_rate_hz=settings.symbol_rate_hz,
            forward_transmittance=settings.forward_transmittance,
            return_transmittance=settings.return_transmittance,
            detection_efficiency=detector.total_efficiency,
            electronic_noise_snu=detector.electronic_noise_snu,
            excess_noise_snu=settings.excess_noise_snu,
            phase_noise_rad=detector.phase_error_rad,
            phase_memory_frames=detector.phase_memory_frames,
            oscillator_drift=detector.oscillator_drift,
            oscillator_memory_inputs=detector.oscillator_memory_inputs,
            data_mode_excess_x_snu=law.excess_x.item(),
            data_mode_excess_p_snu=law.excess_p.item(),
            unitary_error_rad=settings.unitary_error_rad,
            converter_range_snu=(
                detector.converter_range_snu if detector.converter_bits else math.inf
            ),
            converter_step_snu=detector.converter_step_snu,
        )

    def send(self, block: Block, means_snu: Tensor) -> None:
        self._link.send(block, means_snu)

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        return self._link.collect_full(block, quadratures)

    def collect_summary(
        self, block: Block, quadratures: Tensor, reference_gain: float
    ) -> ReturnSummary:
        return self._link.collect_summary(block, quadratures, reference_gain)

    def keep_returns(self) -> None:
        self._link.keep_returns()

    def project(self, block: Block, data: Tensor, reference_gain: float) -> ReturnProjection:
        return self._link.project(block, data, reference_gain)

    def forget_returns(self) -> None:
        self._link.forget_returns()


class _ClientFacet:
    """What the client holds of the link."""

    def __init__(self, link: SymbolLink) -> None:
        self._link = link

    def describe(self) -> ClientOpticsInfo:
        settings = self._link.settings
        return ClientOpticsInfo(
            backend=BACKEND_NAME,
            simulated=True,
            seed=settings.seed,
            receiver=settings.receiver,
            modes_per_frame=settings.modes_per_frame,
            symbol_rate_hz=settings.symbol_rate_hz,
            signal_gain=client_signal_gain(settings),
            outcome_variance_snu=client_outcome_variance_snu(settings),
        )

    def load(self, block: Block, data: Tensor) -> None:
        self._link.load(block, data)

    def measure(self, block: Block) -> Tensor:
        return self._link.measure(block)


def client_signal_gain(settings: LinkSettings) -> float:
    """Mean of the client's outcome per launched (means . data), phase error averaged."""
    detector = settings.client
    # <cos phi> of a Gaussian phase error.
    coherence = math.exp(-(detector.phase_error_rad**2) / 2)
    losses = settings.forward_transmittance * detector.total_efficiency
    return settings.receiver.signal_gain * math.sqrt(losses) * coherence


def client_outcome_variance_snu(settings: LinkSettings) -> float:
    """Variance of the client's outcome at the calibrated oscillator, quantisation included."""
    detector, receiver = settings.client, settings.receiver
    launch = settings.forward_transmittance * settings.excess_noise_snu
    ideal = receiver.outcome_variance_snu + receiver.signal_gain**2 * launch
    return _recorded(detector, ideal) + detector.converter_step_snu**2 / 12


def _recorded(detector: DetectorSettings, variance_snu: float) -> float:
    """Recorded variance for light of `variance_snu`: eta (V - 1) + 1 + v_el."""
    return detector.total_efficiency * (variance_snu - 1) + 1 + detector.electronic_noise_snu


def _number_type(values: Tensor) -> torch.dtype:
    return torch.complex64 if values.is_complex() else torch.float32


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise LimitError("device cuda is asked for, but torch finds none; use cpu or auto")
    return torch.device(name)
