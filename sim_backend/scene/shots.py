"""One shot through a sampled scene: rates, pre-roll, blocks, converters and the passing of time."""

import math
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.converters import (
    AdcSettings,
    AdcStream,
    DacSettings,
    DacStream,
    Drive,
    Record,
    Recording,
)
from sim_backend.scene.light import Window

__all__ = ["SampledScene", "Shot"]

_SLOW_CLOCK = 1.001
"""How much longer than nominal the time before a trigger may be."""
_PRE_ROLL_SAMPLES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """The streams of one play.

    Args:
        window: samples of the scene, from before the trigger.
        dacs: what each drive port plays.
        adcs: what each recorded port takes.
    """

    window: Window
    dacs: Mapping[str, DacStream]
    adcs: Mapping[str, AdcStream]


class SampledScene(ABC):
    """What all scenes share: `play`, the ports, the seed and the clock.

    Attributes:
        clock: simulated time.
        drive_ports: names of the ports that waveform generators drive.
        record_ports: names of the ports that digitisers record.
        idle_v: level in volts of each drive port when it does not play.

    Args:
        drive_ports: as the attribute.
        record_ports: as the attribute.
        seed: every random number of the scene follows from it and the calls made.
        clock: simulated time.
        lowest_rate_hz: the scene runs at a whole multiple of the fastest converter's rate that is
            at least this.
        block_samples: samples computed at once.
    """

    def __init__(
        self,
        *,
        drive_ports: tuple[str, ...],
        record_ports: tuple[str, ...],
        seed: int,
        clock: SimulatedClock,
        lowest_rate_hz: float,
        block_samples: int,
    ) -> None:
        self.clock = clock
        self.drive_ports = drive_ports
        self.record_ports = record_ports
        self.idle_v: dict[str, float] = dict.fromkeys(drive_ports, 0.0)
        self._seed = seed
        self._lowest_rate_hz = lowest_rate_hz
        self._block_samples = block_samples
        self._lock = threading.RLock()
        self._converters = {port: self.random_stream(port) for port in drive_ports + record_ports}

    def play(
        self, drives: Mapping[str, Drive], records: Mapping[str, Recording]
    ) -> dict[str, Record]:
        """One shot: play and record from one trigger; moves the clock by its duration.

        Args:
            drives: waveforms by drive port; a port that is left out rests at `idle_v`.
            records: recordings by record port.

        Returns:
            One record for every recording asked for.

        Raises:
            ConfigurationError: an unknown port.
        """
        _check_ports("drive", drives, self.drive_ports)
        _check_ports("record", records, self.record_ports)
        with self._lock:
            if not records:
                self.clock.advance(_duration_s(drives))
                return {}
            shot = self._begin(drives, records)
            remaining = shot.window.samples
            while remaining > 0:
                samples = min(remaining, self._block_samples)
                self._block(shot, samples)
                self.clock.advance(samples * shot.window.step_s)
                remaining -= samples
            return {port: stream.finish() for port, stream in shot.adcs.items()}

    @abstractmethod
    def _dac_settings(self, port: str) -> DacSettings:
        """The generator channel of a drive port."""

    @abstractmethod
    def _adc_settings(self, port: str) -> AdcSettings:
        """The digitiser channel of a record port."""

    @abstractmethod
    def _settling_s(self, ports: Collection[str]) -> float:
        """Time before the trigger after which no start of a delay or filter is left."""

    @abstractmethod
    def _begin_components(self, window: Window, dacs: Mapping[str, DacStream]) -> None:
        """Start a shot in all components."""

    @abstractmethod
    def _block(self, shot: Shot, samples: int) -> None:
        """Light from the lasers to the recorded ports for one block."""

    def random_stream(self, name: str) -> np.random.Generator:
        """A stream for one component that no other component's use can shift."""
        key = np.random.SeedSequence([self._seed, zlib.crc32(name.encode())])
        return np.random.Generator(np.random.SFC64(key))

    def _resting_v(self, port: str) -> float:
        """Volts of a drive port at rest, on its converter's grid."""
        return self._dac(port, None, Window(start_s=0.0, rate_hz=1.0, samples=0)).idle_v

    def _dac(self, port: str, drive: Drive | None, window: Window) -> DacStream:
        return DacStream(
            self._dac_settings(port),
            drive,
            window,
            rng=self._converters[port],
            idle_v=self.idle_v[port],
        )

    def _adc(self, port: str, recording: Recording, window: Window) -> AdcStream:
        return AdcStream(self._adc_settings(port), recording, window, rng=self._converters[port])

    def _begin(self, drives: Mapping[str, Drive], records: Mapping[str, Recording]) -> Shot:
        rate_hz = self._rate_hz(drives, records)
        # A digitiser with a slow clock begins earlier than it means to.
        earliest_s = _SLOW_CLOCK * min(0.0, *(record.delay_s for record in records.values()))
        pre_roll = _PRE_ROLL_SAMPLES + math.ceil(rate_hz * (self._settling_s(records) - earliest_s))
        start_s = -pre_roll / rate_hz
        open_ended = Window(start_s=start_s, rate_hz=rate_hz, samples=0)
        adcs = {port: self._adc(port, records[port], open_ended) for port in records}
        samples = max(stream.samples_needed for stream in adcs.values())
        window = Window(start_s=start_s, rate_hz=rate_hz, samples=samples)
        dacs = {port: self._dac(port, drives.get(port), window) for port in self.drive_ports}
        self._begin_components(window, dacs)
        return Shot(window=window, dacs=dacs, adcs=adcs)

    def _rate_hz(self, drives: Mapping[str, Drive], records: Mapping[str, Recording]) -> float:
        rates = [drive.rate_hz for drive in drives.values() if drive.volts.size]
        rates += [recording.rate_hz for recording in records.values()]
        fastest = max(rates)
        # The allowance keeps a rate that is the lowest one but for rounding.
        return fastest * max(1, math.ceil(self._lowest_rate_hz / fastest * (1 - 1e-12)))


def _check_ports(kind: str, given: Mapping[str, object], known: tuple[str, ...]) -> None:
    for port in given:
        if port not in known:
            raise ConfigurationError(
                f"scene: there is no {kind} port {port!r}; choose one of {', '.join(known)}"
            )


def _duration_s(drives: Mapping[str, Drive]) -> float:
    return max((d.delay_s + d.volts.size / d.rate_hz for d in drives.values()), default=0.0)
