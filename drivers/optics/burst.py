"""Bursts: which slot of a play holds what, and the waveforms that are played.

Owns the order of the slots. A burst is guard | preamble | body | dark | guard. The body begins and
ends with a pilot and has one every `pilot_spacing` slots; of the slots between the pilots every
`vacuum_spacing`-th is vacuum (signal dark, oscillator on) and the others hold the data in order.
After the last datum all is vacuum, to the next pilot and until there is enough of it to measure the
shot noise on. Preamble and pilots carry known signs, so that a
record that lost a whole number of slots cannot pass for a whole one.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, Final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import max_len_seq, upfirdn

from drivers.errors import ConfigurationError, OpticsError
from drivers.optics.pulses import PulseShape, hann_pulse

__all__ = ["BurstFormat", "BurstLayout", "SlotKind", "compose_oscillator", "compose_weights"]

_BLOCK_SLOTS: Final = 65_536
# Half the length of an oscillator step, in slots. The Hann pulse has less than 1e-3 of its energy
# that close to the edges, and the modulator's driver is spared a step of a single sample.
_STEP_HALF_SLOTS: Final = 0.125
_PILOT_SIGN_BITS: Final = 10


class SlotKind(IntEnum):
    """What a slot of a burst holds."""

    GUARD = 0
    PREAMBLE = 1
    PILOT = 2
    VACUUM = 3
    DATA = 4
    DARK = 5


@dataclass(frozen=True, kw_only=True)
class BurstFormat:
    """The public agreement of both parties on how bursts look.

    Attributes:
        symbol_rate_hz: Slots per second.
        samples_per_symbol: Samples in a slot; the sample rate is the product.
        if_cycles_per_symbol: Intermediate frequency in cycles per slot: light minus oscillator, so
            negative where the oscillator lies above; 0 for a complex (phase-diverse) record.
        preamble_slots: Length of the maximal-length sequence, 2^n - 1.
        pilot_spacing: A pilot every so many slots of the body, at least 2.
        vacuum_spacing: Vacuum in every so-manieth slot between pilots, at least 2.
        least_vacuum_slots: Vacuum slots that even the shortest burst has; 1024 give the shot noise
            to 3 %.
        guard_slots: Dark slots of the signal before and after.
        dark_slots: Slots after the body in which the oscillator is off.
        pulse: Shape of a symbol, with the same samples per slot.
    """

    symbol_rate_hz: float = 100e6
    samples_per_symbol: int = 8
    if_cycles_per_symbol: float = 2.0
    preamble_slots: int = 511
    pilot_spacing: int = 6
    vacuum_spacing: int = 32
    least_vacuum_slots: int = 1024
    guard_slots: int = 64
    dark_slots: int = 0
    pulse: PulseShape = field(default_factory=lambda: hann_pulse(8))

    def __post_init__(self) -> None:
        if not (np.isfinite(self.symbol_rate_hz) and self.symbol_rate_hz > 0):
            raise _format_error("symbol_rate_hz", self.symbol_rate_hz, "a positive number")
        if self.pulse.samples_per_symbol != self.samples_per_symbol:
            raise _format_error(
                "samples_per_symbol",
                self.samples_per_symbol,
                f"the pulse's own {self.pulse.samples_per_symbol}",
            )
        bits = (self.preamble_slots + 1).bit_length() - 1
        if self.preamble_slots + 1 != 1 << bits or not 6 <= bits <= 14:
            raise _format_error("preamble_slots", self.preamble_slots, "2^n - 1 with n in 6 .. 14")
        if self.pilot_spacing < 2:
            raise _format_error("pilot_spacing", self.pilot_spacing, "at least 2")
        if self.vacuum_spacing < 2:
            raise _format_error("vacuum_spacing", self.vacuum_spacing, "at least 2")
        if self.least_vacuum_slots < 2:
            raise _format_error("least_vacuum_slots", self.least_vacuum_slots, "at least 2")
        if self.guard_slots < self.pulse.span_slots:
            raise _format_error(
                "guard_slots", self.guard_slots, f"at least the pulse's {self.pulse.span_slots}"
            )
        if self.dark_slots < 0:
            raise _format_error("dark_slots", self.dark_slots, "0 or more")
        if not np.isfinite(self.if_cycles_per_symbol) or (
            abs(self.if_cycles_per_symbol) >= self.samples_per_symbol / 2
        ):
            raise _format_error(
                "if_cycles_per_symbol",
                self.if_cycles_per_symbol,
                f"below half the sample rate, {self.samples_per_symbol / 2:g}",
            )

    @property
    def sample_rate_hz(self) -> float:
        """Samples per second."""
        return self.symbol_rate_hz * self.samples_per_symbol

    @cached_property
    def preamble_signs(self) -> NDArray[np.float32]:
        """The preamble's maximal-length sequence as +-1, shape (preamble_slots,)."""
        return _signs((self.preamble_slots + 1).bit_length() - 1)


@dataclass(frozen=True, kw_only=True)
class BurstLayout:
    """A burst format with a number of data symbols: the kind of every slot.

    Attributes:
        format: The agreement.
        data_symbols: Number of data slots, at least 1.
    """

    format: BurstFormat
    data_symbols: int

    def __post_init__(self) -> None:
        if self.data_symbols < 1:
            raise ConfigurationError(
                f"burst: data_symbols is {self.data_symbols}; the least is 1: leave out the burst"
            )

    @property
    def body_start(self) -> int:
        """Index of the body's first slot, a pilot."""
        return self.format.guard_slots + self.format.preamble_slots

    @cached_property
    def body_slots(self) -> int:
        """Number of slots of the body, pilots at both ends."""
        between = self.format.pilot_spacing - 1
        spread = self._payload_slots - self.data_symbols
        payload = self._payload_slots + max(self.format.least_vacuum_slots - spread, 0)
        intervals = -(-payload // between)
        return intervals * self.format.pilot_spacing + 1

    @property
    def total_slots(self) -> int:
        """Number of slots of the burst, guards included."""
        return self.body_start + self.body_slots + self.format.dark_slots + self.format.guard_slots

    @property
    def total_samples(self) -> int:
        """Number of samples of the burst, guards included."""
        return self.total_slots * self.format.samples_per_symbol

    @property
    def duration_s(self) -> float:
        """Duration of the burst, guards included."""
        return self.total_slots / self.format.symbol_rate_hz

    @cached_property
    def kinds(self) -> NDArray[np.int8]:
        """Kind of every slot as `SlotKind`, shape (total_slots,)."""
        kinds = np.full(self.total_slots, SlotKind.GUARD, dtype=np.int8)
        kinds[self.format.guard_slots : self.body_start] = SlotKind.PREAMBLE
        body_stop = self.body_start + self.body_slots
        body = kinds[self.body_start : body_stop]
        body[:] = SlotKind.PILOT
        payload = np.full(
            self.body_slots - 1 - self.body_slots // self.format.pilot_spacing,
            SlotKind.DATA,
            dtype=np.int8,
        )
        payload[self.format.vacuum_spacing // 2 :: self.format.vacuum_spacing] = SlotKind.VACUUM
        payload[self._payload_slots :] = SlotKind.VACUUM
        body[np.arange(self.body_slots) % self.format.pilot_spacing != 0] = payload
        kinds[body_stop : body_stop + self.format.dark_slots] = SlotKind.DARK
        kinds.setflags(write=False)
        return kinds

    @cached_property
    def preamble(self) -> NDArray[np.intp]:
        """Slots of the preamble, ascending."""
        return self._slots(SlotKind.PREAMBLE)

    @cached_property
    def pilots(self) -> NDArray[np.intp]:
        """Slots of the pilots, ascending, evenly spaced."""
        return self._slots(SlotKind.PILOT)

    @cached_property
    def vacuum(self) -> NDArray[np.intp]:
        """Slots of vacuum, ascending."""
        return self._slots(SlotKind.VACUUM)

    @cached_property
    def data(self) -> NDArray[np.intp]:
        """Slots of the data symbols, ascending, shape (data_symbols,)."""
        return self._slots(SlotKind.DATA)

    @cached_property
    def dark(self) -> NDArray[np.intp]:
        """Slots with the oscillator off, ascending."""
        return self._slots(SlotKind.DARK)

    @cached_property
    def pilot_signs(self) -> NDArray[np.float32]:
        """Known signs of the pilots, shape of `pilots`."""
        return np.resize(_signs(_PILOT_SIGN_BITS), self.pilots.size)

    @cached_property
    def _payload_slots(self) -> int:
        """Slots between pilots up to the last datum."""
        spacing = self.format.vacuum_spacing
        groups, rest = divmod(self.data_symbols - 1, spacing - 1)
        return groups * spacing + rest + (rest >= spacing // 2) + 1

    def _slots(self, kind: SlotKind) -> NDArray[np.intp]:
        slots = np.flatnonzero(self.kinds == kind)
        slots.setflags(write=False)
        return slots


@overload
def compose_weights(
    layout: BurstLayout, means: NDArray[np.floating[Any]], pilot_amplitude: float
) -> NDArray[np.float32]: ...
@overload
def compose_weights(
    layout: BurstLayout, means: NDArray[np.complexfloating[Any, Any]], pilot_amplitude: float
) -> NDArray[np.complex64]: ...
def compose_weights(
    layout: BurstLayout, means: NDArray[np.inexact[Any]], pilot_amplitude: float
) -> NDArray[np.inexact[Any]]:
    """The waveform of the weights: relative field amplitude of the light, sample by sample.

    A slot of amplitude a has samples a * taps with taps of unit energy: the sum of the squares of
    its samples is a^2, so with a in the root of photons the field is samples / sqrt(sample time).

    Args:
        layout: The burst.
        means: Amplitude of each data symbol, shape (data_symbols,), real, or complex for a
            modulator of both quadratures; any unit, that of `pilot_amplitude`.
        pilot_amplitude: Amplitude of preamble and pilots, not negative.

    Returns:
        Samples, shape (total_samples,), float32, or complex64 for complex means.

    Raises:
        OpticsError: Wrong shape, or a value that is not a finite number.
    """
    _check_values("means", means, layout)
    if not (np.isfinite(pilot_amplitude) and pilot_amplitude >= 0):
        raise OpticsError(
            f"burst: pilot_amplitude is {pilot_amplitude}; give a finite number, 0 or more"
        )
    kind = np.complex64 if np.iscomplexobj(means) else np.float32
    slots = np.zeros(layout.total_slots, dtype=kind)
    slots[layout.preamble] = layout.format.preamble_signs * np.float32(pilot_amplitude)
    slots[layout.pilots] = layout.pilot_signs * np.float32(pilot_amplitude)
    slots[layout.data] = means
    pulse = layout.format.pulse
    if pulse.span_slots == 1:
        samples = np.empty((layout.total_slots, pulse.samples_per_symbol), dtype=kind)
        np.multiply(slots[:, None], pulse.taps, out=samples)
        return samples.reshape(-1)
    spread = upfirdn(pulse.taps, slots, up=pulse.samples_per_symbol)
    return np.ascontiguousarray(spread[pulse.lead : pulse.lead + layout.total_samples], dtype=kind)


def compose_oscillator(layout: BurstLayout, levels: ArrayLike) -> NDArray[np.float32]:
    """The waveform of a shaped oscillator: relative field amplitude, sample by sample.

    Constant over a slot, with raised-cosine steps of a quarter of a slot centred on the slots'
    edges. Full level everywhere but in data slots (their level) and dark slots (zero).

    Args:
        layout: The burst; its pulse must be confined to the slot.
        levels: Level of each data slot, shape (data_symbols,), real, in [-1, 1].

    Returns:
        Samples, shape (total_samples,), float32.

    Raises:
        OpticsError: Wrong shape, a level that is not a finite number or beyond +-1, or a pulse that
            overlaps its neighbours, whose data would mix.
    """
    values = np.asarray(levels, dtype=np.float32)
    _check_values("levels", values, layout)
    if np.max(np.abs(values)) > 1.0:
        raise OpticsError(
            f"burst: oscillator level {np.max(np.abs(values)):g} found; the limit is 1: "
            "normalise the levels of each frame to its largest"
        )
    if layout.format.pulse.span_slots != 1:
        raise OpticsError(
            f"burst: an oscillator shaped per slot needs a pulse confined to its slot, but the "
            f"{layout.format.pulse.name} pulse spans {layout.format.pulse.span_slots} slots; "
            "use the hann pulse"
        )
    slots = np.ones(layout.total_slots, dtype=np.float32)
    slots[layout.data] = values
    slots[layout.dark] = 0.0
    return _smooth_steps(slots, layout.format.samples_per_symbol)


def _smooth_steps(slots: NDArray[np.float32], samples_per_symbol: int) -> NDArray[np.float32]:
    """Levels per slot to samples with raised-cosine steps, blockwise."""
    position = (np.arange(samples_per_symbol) + 0.5) / samples_per_symbol
    before = _share_of_neighbour(position)
    after = _share_of_neighbour(1 - position)
    own = 1 - before - after
    extended = np.concatenate((slots[:1], slots, slots[-1:]))
    samples = np.empty((slots.size, samples_per_symbol), dtype=np.float32)
    for first in range(0, slots.size, _BLOCK_SLOTS):
        block = samples[first : first + _BLOCK_SLOTS]
        last = first + block.shape[0]
        np.multiply(extended[first + 1 : last + 1, None], own, out=block, casting="same_kind")
        block += extended[first:last, None] * before.astype(np.float32)
        block += extended[first + 2 : last + 2, None] * after.astype(np.float32)
    return samples.reshape(-1)


def _share_of_neighbour(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the neighbouring slot's level at a distance (in slots) from the common edge."""
    inside = np.minimum(distance / _STEP_HALF_SLOTS, 1.0)
    return np.asarray(0.5 * (1 - np.sin(0.5 * np.pi * inside)))


def _signs(bits: int) -> NDArray[np.float32]:
    """A maximal-length sequence of 2^bits - 1 signs (Golomb, Shift Register Sequences)."""
    sequence = max_len_seq(bits)[0]
    return (1.0 - 2.0 * sequence).astype(np.float32)


def _check_values(name: str, values: NDArray[np.inexact[Any]], layout: BurstLayout) -> None:
    if values.shape != (layout.data_symbols,):
        raise OpticsError(
            f"burst: {name} have the shape {values.shape}; the layout has "
            f"{layout.data_symbols} data symbols: give one value per symbol"
        )
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise OpticsError(
            f"burst: {bad} of {values.size} {name} are NaN or infinite; nothing was composed: "
            "check the values that were sent"
        )


def _format_error(name: str, value: float, needed: str) -> ConfigurationError:
    return ConfigurationError(f"burst format: {name} is {value:g}; it must be {needed}")
