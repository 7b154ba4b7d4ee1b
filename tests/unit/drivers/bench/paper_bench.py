"""Instruments made of paper: they remember what they are told and can be made to fail.

`Paper.fail` names calls that raise, such as `laser._set_power`; `Paper.stuck` names calls that are
taken and not done. `Paper.calls` is what was sent, in order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.bench import Bench, BuildContext, InstrumentEntry, ModelRegistry, parse_bench
from drivers.bench.limits import InstrumentLimits
from drivers.errors import InstrumentError
from drivers.instruments import (
    AmplifierLimits,
    Attenuator,
    AttenuatorLimits,
    BiasController,
    BiasLimits,
    BiasPoint,
    Digitiser,
    DigitiserLimits,
    DigitiserSettings,
    GeneratorLimits,
    Identity,
    Instrument,
    Laser,
    LaserLimits,
    OpticalAmplifier,
    PhaseDriver,
    PhaseDriverLimits,
    PolarisationController,
    PolarisationLimits,
    PowerMeter,
    PowerMeterLimits,
    Range,
    Recording,
    Switch,
    SwitchLimits,
    Trigger,
    WaveformGenerator,
)
from tests.wire.scripted import ScriptedClock


@dataclass
class Paper:
    """What the paper instruments of a bench share."""

    state: dict[tuple[str, str], Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fail: set[str] = field(default_factory=set)
    fail_once: str = ""
    stuck: set[str] = field(default_factory=set)
    seen_w: dict[str, Callable[[], float]] = field(default_factory=dict)
    after_call: Callable[[], None] = lambda: None
    error: type[BaseException] = InstrumentError

    def put(self, role: str, call: str, key: str, value: Any) -> None:
        name = f"{role}.{call}"
        self.calls.append(name)
        self._fail(role, call)
        if name not in self.stuck:
            self.state[role, key] = value
        self.after_call()

    def take(self, role: str, call: str, key: str, default: Any) -> Any:
        self._fail(role, call)
        return self.state.get((role, key), default)

    def _fail(self, role: str, call: str) -> None:
        once = self.fail_once == f"{role}.{call}"
        if once:
            self.fail_once = ""
        if once or f"{role}.{call}" in self.fail:
            raise self.error(f"{role}: no answer to {call}")

    def lit(self, role: str) -> float:
        """Power in W that the laser in a role emits."""
        on = self.state.get((role, "emission"), False)
        return float(self.state.get((role, "power"), 1e-4)) if on else 0.0


class _Paper(Instrument):
    """The lifecycle of all paper instruments."""

    paper: Paper
    serial: str = "1"

    def _open(self) -> Identity:
        self.paper.put(self.name, "_open", "open", True)
        return Identity(maker="paper", model=type(self).__name__, serial=self.serial, firmware="0")

    def _close(self) -> None:
        self.paper.put(self.name, "_close", "open", False)

    def _put(self, call: str, key: str, value: object) -> None:
        self.paper.put(self.name, call, key, value)

    def _take(self, call: str, key: str, default: Any) -> Any:
        return self.paper.take(self.name, call, key, default)


class PaperLaser(_Paper, Laser):
    def _set_power(self, power_w: float) -> None:
        self._put("_set_power", "power", power_w)

    def _get_power(self) -> float:
        return float(self._take("_get_power", "power", self.limits.power_w.lowest))

    def _set_wavelength(self, wavelength_m: float) -> None:
        self._put("_set_wavelength", "wavelength", wavelength_m)

    def _get_wavelength(self) -> float:
        return float(self._take("_get_wavelength", "wavelength", 1550e-9))

    def _set_emission(self, on: bool) -> None:
        self._put("_set_emission", "emission", on)

    def _get_emission(self) -> bool:
        return bool(self._take("_get_emission", "emission", False))

    def _is_settled(self) -> bool:
        return bool(self._take("_is_settled", "settled", True))


class PaperAttenuator(_Paper, Attenuator):
    def _set_attenuation_db(self, attenuation_db: float) -> None:
        self._put("_set_attenuation_db", "attenuation", attenuation_db)

    def _get_attenuation_db(self) -> float:
        return float(self._take("_get_attenuation_db", "attenuation", 0.0))

    def _set_shutter(self, open_: bool) -> None:
        self._put("_set_shutter", "shutter", open_)

    def _get_shutter(self) -> bool:
        return bool(self._take("_get_shutter", "shutter", True))


class PaperSwitch(_Paper, Switch):
    def _select(self, position: str) -> None:
        self._put("_select", "position", position)

    def _get_selected(self) -> str:
        return str(self._take("_get_selected", "position", "signal"))


class PaperAmplifier(_Paper, OpticalAmplifier):
    def _set_gain_db(self, gain_db: float) -> None:
        self._put("_set_gain_db", "gain", gain_db)

    def _get_gain_db(self) -> float:
        return float(self._take("_get_gain_db", "gain", 0.0))

    def _get_seed_power(self) -> float:
        self._take("_get_seed_power", "seed", 0.0)
        return self.paper.seen_w.get(self.name, lambda: 0.0)()

    def _set_pump(self, on: bool) -> None:
        self._put("_set_pump", "pump", on)

    def _get_pump(self) -> bool:
        return bool(self._take("_get_pump", "pump", False))

    def _get_output_power(self) -> float:
        return self._get_seed_power() * 10 ** (self._get_gain_db() / 10)


class PaperMeter(_Paper, PowerMeter):
    def _set_wavelength(self, wavelength_m: float) -> None:
        self._put("_set_wavelength", "wavelength", wavelength_m)

    def _get_wavelength(self) -> float:
        return float(self._take("_get_wavelength", "wavelength", 1550e-9))

    def _set_averaging(self, duration_s: float) -> None:
        self._put("_set_averaging", "averaging", duration_s)

    def _get_averaging(self) -> float:
        return float(self._take("_get_averaging", "averaging", 0.1))

    def _get_power(self) -> float:
        self._take("_get_power", "power", 0.0)
        return self.paper.seen_w.get(self.name, lambda: 0.0)()

    def _zero(self) -> None:
        self._put("_zero", "zero", True)


class PaperBias(_Paper, BiasController):
    def _set_voltage(self, channel: int, volts: float) -> None:
        self._put("_set_voltage", f"volts {channel}", volts)

    def _get_voltage(self, channel: int) -> float:
        return float(self._take("_get_voltage", f"volts {channel}", 1.0))

    def _lock_to(self, channel: int, point: BiasPoint) -> None:
        self._put("_lock_to", f"lock {channel}", point)

    def _is_locked(self, channel: int) -> bool:
        return self._take("_is_locked", f"lock {channel}", None) is not None

    def _unlock(self, channel: int) -> None:
        self._put("_unlock", f"lock {channel}", None)


class PaperPhaseDriver(_Paper, PhaseDriver):
    def _set_voltages(self, volts: NDArray[np.float64]) -> None:
        self._put("_set_voltages", "volts", volts)

    def _get_voltages(self) -> NDArray[np.float64]:
        found = self._take("_get_voltages", "volts", np.ones(self.limits.channels))
        return np.asarray(found, dtype=np.float64)


class PaperPolarisation(_Paper, PolarisationController):
    def _set_angles(self, rad: NDArray[np.float64]) -> None:
        self._put("_set_angles", "angles", rad)

    def _get_angles(self) -> NDArray[np.float64]:
        found = self._take("_get_angles", "angles", np.zeros(self.limits.channels))
        return np.asarray(found, dtype=np.float64)


class PaperGenerator(_Paper, WaveformGenerator):
    def _set_sample_rate(self, sample_rate_hz: float) -> None:
        self._put("_set_sample_rate", "rate", sample_rate_hz)

    def _get_sample_rate(self) -> float:
        return float(self._take("_get_sample_rate", "rate", 1e9))

    def _load(self, channel: int, volts: NDArray[np.float32]) -> None:
        self._put("_load", f"wave {channel}", volts)

    def _set_idle(self, channel: int, volts: float) -> None:
        self._put("_set_idle", f"idle {channel}", volts)

    def _set_output(self, channel: int, on: bool) -> None:
        self._put("_set_output", f"output {channel}", on)

    def _get_output(self, channel: int) -> bool:
        return bool(self._take("_get_output", f"output {channel}", True))

    def _arm(self, trigger: Trigger, delay_s: float) -> None:
        self._put("_arm", "armed", trigger)

    def _trigger(self) -> None:
        self._put("_trigger", "armed", None)

    def _is_armed(self) -> bool:
        return self._take("_is_armed", "armed", None) is not None

    def _stop(self) -> None:
        self._put("_stop", "armed", None)


class PaperDigitiser(_Paper, Digitiser):
    def _configure(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        applied = DigitiserSettings(sample_rate_hz=sample_rate_hz, samples=samples, range_v=range_v)
        self._put("_configure", "settings", applied)

    def _get_settings(self) -> DigitiserSettings:
        default = DigitiserSettings(sample_rate_hz=1e9, samples=1, range_v=1.0)
        found = self._take("_get_settings", "settings", default)
        assert isinstance(found, DigitiserSettings)
        return found

    def _arm(self, trigger: Trigger) -> None:
        self._put("_arm", "armed", trigger)

    def _is_armed(self) -> bool:
        return self._take("_is_armed", "armed", None) is not None

    def _is_done(self) -> bool:
        return False

    def _fetch(self) -> Recording:
        raise NotImplementedError

    def _abort(self) -> None:
        self._put("_abort", "armed", None)


_WAVELENGTH = Range(lowest=1528e-9, highest=1568e-9)
MODELS: dict[str, tuple[Any, InstrumentLimits]] = {
    "laser": (
        PaperLaser,
        LaserLimits(power_w=Range(lowest=1e-4, highest=50e-3), wavelength_m=_WAVELENGTH),
    ),
    "attenuator": (
        PaperAttenuator,
        AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=60.0)),
    ),
    "switch": (PaperSwitch, SwitchLimits(positions=("signal", "dark"), safe_position="dark")),
    "amplifier": (
        PaperAmplifier,
        AmplifierLimits(
            gain_db=Range(lowest=0.0, highest=30.0), seed_power_w=Range(lowest=1e-5, highest=1e-2)
        ),
    ),
    "meter": (
        PaperMeter,
        PowerMeterLimits(power_w=Range(lowest=1e-9, highest=10e-3), wavelength_m=_WAVELENGTH),
    ),
    "bias": (PaperBias, BiasLimits(channels=1, volts=Range(lowest=-10.0, highest=10.0))),
    "phases": (PaperPhaseDriver, PhaseDriverLimits(channels=4, volts=Range(lowest=0, highest=10))),
    "polarisation": (
        PaperPolarisation,
        PolarisationLimits(channels=3, angle_rad=Range(lowest=-4.0, highest=4.0)),
    ),
    "generator": (
        PaperGenerator,
        GeneratorLimits(
            channels=1,
            volts=Range(lowest=-2.0, highest=2.0),
            sample_rate_hz=Range(lowest=1e6, highest=1e9),
            samples=1 << 20,
            bits=14,
        ),
    ),
    "digitiser": (
        PaperDigitiser,
        DigitiserLimits(
            channels=1,
            sample_rate_hz=Range(lowest=1e6, highest=1e9),
            samples=1 << 20,
            range_v=Range(lowest=0.1, highest=1.0),
            bits=12,
        ),
    ),
}


def paper_registry(
    paper: Paper, clock: ScriptedClock | None = None, backend: str = "sim"
) -> ModelRegistry:
    """All paper models, as simulations unless another backend is named."""
    registry = ModelRegistry(clock or ScriptedClock())
    for name, (maker, limits) in MODELS.items():

        def make(entry: InstrumentEntry, context: BuildContext, maker: Any = maker) -> Instrument:
            made = maker(entry.role, limits=context.limits, clock=context.clock)
            made.paper = paper
            assert isinstance(made, Instrument)
            return made

        registry.register(backend, name, maker.__mro__[2], make, limits=limits)
    return registry


def _fill(models: Mapping[str, str]) -> dict[str, Any]:
    return {
        role: {"model": model, "backend": "sim", "address": f"sim://{role}"}
        for role, model in models.items()
    }


def server_table() -> dict[str, Any]:
    """A complete bench file of the server, as a table."""
    models = {
        "laser": "laser",
        "weight_generator": "generator",
        "weight_bias": "bias",
        "attenuator": "attenuator",
        "launch_power_meter": "meter",
        "return_oscillator": "laser",
        "return_polarisation": "polarisation",
        "return_switch": "switch",
        "return_digitiser": "digitiser",
        "oscillator_power_meter": "meter",
    }
    through = ["attenuator", "return_switch"]
    return {
        "bench": {"name": "paper server", "party": "server"},
        "instruments": _fill(models),
        "scene": {"name": "reference"},
        "safety": {
            "detectors": {
                "return_digitiser": {
                    "damage_w": 10e-3,
                    "light": [
                        {"source": "laser", "loss_db": 6.0, "through": through},
                        {"source": "return_oscillator", "loss_db": 4.0},
                    ],
                },
                "launch_power_meter": {
                    "damage_w": 10e-3,
                    "light": [{"source": "laser", "loss_db": 20.0}],
                },
                "oscillator_power_meter": {
                    "damage_w": 10e-3,
                    "light": [{"source": "return_oscillator", "loss_db": 20.0}],
                },
            },
            "monitors": {
                "oscillator_power_meter": {"source": "return_oscillator", "loss_db": 20.0}
            },
        },
    }


def client_table() -> dict[str, Any]:
    """A complete bench file of the client of an amplifier bench, as a table."""
    models = {
        "polarisation": "polarisation",
        "signal_switch": "switch",
        "mesh_driver": "phases",
        "return_mesh_driver": "phases",
        "amplifier": "amplifier",
        "tap_digitiser": "digitiser",
        "oscillator": "laser",
        "oscillator_power_meter": "meter",
    }
    return {
        "bench": {
            "name": "paper client",
            "party": "client",
            "receiver": "amplifier",
            "receiver_setting": 2.0,
        },
        "instruments": _fill(models),
        "scene": {"name": "reference"},
        "safety": {
            "detectors": {
                "tap_digitiser": {
                    "damage_w": 10e-3,
                    "light": [
                        {
                            "source": "incoming",
                            "power_dbm_max": -10.0,
                            "loss_db": 3.0,
                            "through": ["signal_switch", "amplifier"],
                        },
                        {"source": "oscillator", "loss_db": 4.0},
                    ],
                },
                "oscillator_power_meter": {
                    "damage_w": 10e-3,
                    "light": [{"source": "oscillator", "loss_db": 20.0}],
                },
            },
        },
    }


def paper_bench(table: Mapping[str, Any], paper: Paper) -> Bench:
    """A closed bench of paper instruments."""
    return Bench.build(parse_bench(table, "bench file paper.toml"), paper_registry(paper))
