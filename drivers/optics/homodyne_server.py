"""The server's end of a homodyne bench: one quadrature of the return per burst.

The quadrature of every burst is chosen and set before its light goes out (`homodyne_choice`), and
held by the phase lock (`homodyne_lock`). A block is one burst per data vector, each between two
probes of the phase.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ServerOpticsInfo
from drivers.block_order import BlockOrder, check_means, check_quadratures
from drivers.errors import LimitError, OpticsError
from drivers.instruments import (
    Attenuator,
    Digitiser,
    PhaseDriver,
    Trace,
    Trigger,
    WaveformGenerator,
)
from drivers.optics.block_guard import BlockGuard
from drivers.optics.burst import BurstLayout
from drivers.optics.homodyne_choice import QuadratureChoice
from drivers.optics.homodyne_lock import PhaseLock
from drivers.optics.homodyne_receiver import HomodyneReader, HomodyneSlots, scrambling
from drivers.optics.homodyne_turns import (
    HomodyneTurns,
    Step,
    Turn,
    set_probe,
    take_probe,
    turns_of,
)
from drivers.optics.homodyne_values import HomodyneSettings, one_input, probe_layout
from drivers.optics.running_scale import SCALE_UNCERTAINTY
from drivers.optics.server_optics import check_launch, server_expectation, weight_volts
from drivers.optics.shot_noise import ShotNoise
from drivers.optics.standing_checks import StandingInstruments
from drivers.optics.watched_returns import (
    WatchedReturns,
    pool_vacuum,
    rails_of,
    shifts_of,
    vacuum_of_slots,
)
from drivers.record_watch import RecordWatch

__all__ = ["HomodyneServerInstruments", "HomodyneServerOptics"]


@dataclass(frozen=True, kw_only=True)
class HomodyneServerInstruments:
    """What the server's optics drive; opened, switched on and locked by the bench.

    Args:
        generator: drives the weight modulator with channel 0 and fires the bench's trigger line.
        attenuator: between the modulator and the fibre.
        digitiser: records the server's balanced detector, coupled down to 0 Hz.
        phase: turns the server's local oscillator.
        standing: looked at before every block.
    """

    generator: WaveformGenerator
    attenuator: Attenuator
    digitiser: Digitiser
    phase: PhaseDriver
    standing: StandingInstruments = field(default_factory=StandingInstruments)


@dataclass(kw_only=True)
class _Flight:
    """A block whose light is out: what was sent, and recorded of it burst by burst."""

    means: Tensor
    on_p: NDArray[np.bool_]
    traces: list[Trace] = field(default_factory=list)


class HomodyneServerOptics(WatchedReturns):
    """The server's light on instruments; implements `drivers.backend.ServerOptics`.

    A block can be collected in the quadratures that `choice` has drawn for it and in no others.

    Attributes:
        choice: of the quadratures; the engine takes its flips from it.
        lock: of the server's phase.
        last: the last burst's data and pilots; None before the first.

    Args:
        instruments: of the server.
        settings: agreement and calibrated values; of the client's, nothing is used.
        choice: of the quadratures.
        order: shared with the client's end.
        turns: shared with the client's end.
        guard: what happens when a block fails; shared with the client's end.
    """

    def __init__(
        self,
        instruments: HomodyneServerInstruments,
        settings: HomodyneSettings,
        choice: QuadratureChoice,
        order: BlockOrder,
        turns: HomodyneTurns,
        guard: BlockGuard | None = None,
    ) -> None:
        super().__init__()
        self._instruments, self._values = instruments, settings.server
        self._frames, self._order, self._turns = settings.frames, order, turns
        self._probe = probe_layout(settings.frames.format)
        self._flights: dict[Block, _Flight] = {}
        self.choice = choice
        self._reader = HomodyneReader(
            instruments.digitiser,
            settings.frames,
            server_expectation(settings.server, settings.receiver, settings.frames),
        )
        self.lock = PhaseLock(
            instruments.phase,
            v_pi_v=settings.return_phase_v_pi_v,
            amplitude_v=self._reader.expected_pilot_v,
            limits=settings.limits_for(settings.server.phase_noise_rad),
        )
        self._guard = guard or BlockGuard(order)
        self._guard.on_disarm(self._disarm)
        self.last: HomodyneSlots | None = None

    def describe(self) -> ServerOpticsInfo:
        """See `ServerOptics.describe`."""
        values, frames = self._values, self._frames
        return ServerOpticsInfo(
            backend=frames.backend,
            simulated=frames.simulated,
            seed=frames.seed,
            modes_per_frame=frames.modes_per_frame,
            symbol_rate_hz=frames.format.symbol_rate_hz,
            forward_transmittance=values.forward_transmittance,
            return_transmittance=values.return_transmittance,
            detection_efficiency=values.detection_efficiency,
            # The measured noise without light holds the converter's steps, which count apart.
            electronic_noise_snu=max(0.0, values.electronic_noise_snu - self._step_snu() ** 2 / 12),
            phase_noise_rad=values.phase_noise_rad,
            # Held for a burst, which carries one data vector.
            phase_error_per_input=True,
            phase_variance_uncertainty_rad2=values.phase_variance_uncertainty_rad2,
            gain_uncertainty=values.gain_uncertainty,
            variance_uncertainty=math.hypot(values.variance_uncertainty, SCALE_UNCERTAINTY),
            converter_range_snu=self._range_snu(),
            converter_step_snu=self._step_snu(),
            modulates_p=False,
        )

    def send(self, block: Block, means_snu: Tensor) -> None:
        """See `ServerOptics.send`. One burst per data vector, between probes of the phase.

        Raises:
            LimitError: complex light, more light than the bench was calibrated for, or a burst
                that is longer than the instruments' memories.
            PhaseError: the phase cannot be held; the block is lost.
            InstrumentError: the bench does not stand as it was calibrated, or an instrument
                failed; the block is lost, the bench is disarmed and safe.
            TraceError: a record is not what was asked for; the block is lost.
        """
        self._order.check_send(block)
        check_means(block, means_snu)
        if means_snu.is_complex():
            raise LimitError(
                f"{block.name}: the weight modulator makes the quadrature X alone; use real "
                "encoding with it"
            )
        means = means_snu.detach().to("cpu", torch.float32, copy=True)
        layout = self._frames.layout(one_input(block))
        bursts = [self._volts(block, layout, one) for one in means]
        self._forget()
        with self._guard.guarding(block):
            check_launch(self._instruments.attenuator, self._instruments.standing, self._values)
            flight = _Flight(means=means, on_p=self.choice.draw(block))
            self._order.sent(block)
            for turn in turns_of(block):
                if turn.step is Step.DATA:
                    volts = bursts[turn.index % len(bursts)]
                    flight.traces.append(self._data(turn, layout, volts, flight.on_p[turn.index]))
                else:
                    self._play_probe(turn)
            self._flights[block] = flight

    def collect_full(self, block: Block, quadratures: Tensor) -> Tensor:
        """See `ServerOptics.collect_full`.

        Raises:
            OpticsError: other quadratures than `choice` has drawn.
            TraceError: a record cannot be trusted; the block is lost.
        """
        return self._collect(block, quadratures)[0]

    def _collect(self, block: Block, quadratures: Tensor) -> tuple[Tensor, Tensor]:
        """What was measured of a block, and the means that it was sent with."""
        self._order.check_collect(block)
        check_quadratures(block, quadratures)
        flight = self._flights[block]
        chosen = torch.from_numpy(flight.on_p)[:, None]
        if not bool((quadratures.cpu() == chosen).all()):
            raise OpticsError(
                f"{block.name}: homodyne detection measured the quadratures that were chosen when "
                "the block was sent; ask for those, with the flips of the optics' own choice"
            )
        layout = self._frames.layout(one_input(block))
        with self._guard.guarding(block):
            found = [
                self._demodulated(trace, layout, on_p=bool(on_p))
                for trace, on_p in zip(flight.traces, flight.on_p, strict=True)
            ]
        self._order.collected(block)
        del self._flights[block]
        shape = block.inputs, block.rows, block.modes
        values = torch.from_numpy(np.stack([data for data, _ in found])).reshape(shape)
        rails, allowed = rails_of(flight.traces)
        watch = RecordWatch(
            vacuum=pool_vacuum(
                vacuum_of_slots(
                    noise.vacuum, noise.vacuum_slots, self._values.vacuum_noise_v2, quadratures=1
                )
                for _, noise in found
            ),
            shifted=shifts_of(
                values,
                quadratures,
                flight.means,
                by_input=True,
                signs=torch.from_numpy(scrambling(layout)),
            ),
            rail_samples=rails,
            rails_allowed=allowed,
        )
        self._collected(block, values, quadratures, flight.means, watch)
        return values, flight.means

    def _play_probe(self, turn: Turn) -> None:
        """A burst of pilots alone, and what it says about the phase."""
        set_probe(self.lock, turn)
        dark = torch.zeros(1)
        trace = self._play(turn, self._probe, self._volts(turn.block, self._probe, dark))
        take_probe(self.lock, turn, self._reader.probe(trace, self._probe))

    def _data(
        self, turn: Turn, layout: BurstLayout, volts: NDArray[np.float32], on_p: np.bool_
    ) -> Trace:
        """A burst of data with the shifter at the chosen quadrature before the light goes out."""
        self.lock.hold(on_p=bool(on_p))
        return self._play(turn, layout, volts)

    def _play(self, turn: Turn, layout: BurstLayout, volts: NDArray[np.float32]) -> Trace:
        """Send a burst and take the record of its return."""
        generator = self._instruments.generator
        generator.stop()
        generator.load(0, volts)
        self._turns.ready(turn)
        self._reader.arm(layout)
        generator.arm(Trigger.SOFTWARE)
        generator.trigger()
        trace = self._reader.fetch(layout)
        self._turns.played(turn)
        return trace

    def _demodulated(
        self, trace: Trace, layout: BurstLayout, *, on_p: bool
    ) -> tuple[NDArray[np.float32], ShotNoise]:
        """The data of a burst in SNU, in their order, and the burst's own unit."""
        found = self._reader.quadrature(trace, layout, bright=not on_p)
        self.lock.check(found.pilots.mean_v, found.pilots.uncertainty_v, on_p=on_p)
        self.last = found
        factor = self._reader.scale.factor(found.shot_noise) / found.shot_noise.shot**0.5
        return np.asarray(found.data_v * factor, dtype=np.float32), found.shot_noise

    def _disarm(self) -> None:
        """Stop all instruments; the phase is searched for again."""
        self._reader.scale.forget()
        self.lock.forget()
        try:
            self._instruments.generator.stop()
        finally:
            self._instruments.digitiser.abort()

    def _forget(self) -> None:
        """Drop what is held of blocks that can no longer be collected."""
        for held in [one for one in self._flights if not self._order.is_returning(one)]:
            del self._flights[held]

    def _volts(self, block: Block, layout: BurstLayout, means_snu: Tensor) -> NDArray[np.float32]:
        """The drive of the weight modulator for one burst; a mean q has q^2/4 photons."""
        amplitudes = (means_snu / 2).reshape(-1).numpy() * scrambling(layout)
        return weight_volts(
            block, layout, amplitudes, self._frames, self._values, self._instruments.generator
        )

    def _step_snu(self) -> float:
        """Width of a code: white noise has the same variance in samples and matched outputs."""
        return self._reader.step_v / math.sqrt(self._values.shot_noise_v2)

    def _range_snu(self) -> float:
        """Full scale of the digitiser in recorded quadratures: a pulse whose peak just fits."""
        unit = math.sqrt(self._values.shot_noise_v2)
        return self._reader.range_v / (unit * self._frames.format.pulse.peak)
