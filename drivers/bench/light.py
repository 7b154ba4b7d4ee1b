"""How much light can be where: expected powers at the detectors from sources, paths and gains.

Every way of light of a bench file starts at a source, passes elements with a role, and loses at
least `loss_db` elsewhere. Modulators are taken as fully open. Ways to one detector add in
amplitude, because the light of two of them can be coherent; for powers P_k behind their ways the
worst case is (sum_k sqrt(P_k))^2, twice the sum of two equal powers. An amplifier counts with its
gain; its spontaneous emission is not known here, leave room for it in the damage level.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from drivers.bench.sections import INCOMING, DetectorSafety, LightPath, SafetySection
from drivers.bench.units import si_from_dbm, transmittance
from drivers.errors import SafetyError
from drivers.instruments import Attenuator, Instrument, Laser, OpticalAmplifier, PowerMeter, Switch

__all__ = ["LightState", "read_light", "refuse_overload", "upstream_of"]


@dataclass(frozen=True, kw_only=True)
class LightState:
    """Where light comes from and what it passes, as read back or as proposed.

    Args:
        power_w: emitted power of every laser by role, 0 where it is off.
        passes: power transmittance, or gain, of every element by role; 0 where it blocks.
    """

    power_w: Mapping[str, float]
    passes: Mapping[str, float]

    def with_power(self, source: str, power_w: float) -> "LightState":
        """The same with another power of one laser."""
        return replace(self, power_w={**self.power_w, source: power_w})

    def with_element(self, element: str, passes: float) -> "LightState":
        """The same with another transmittance or gain of one element."""
        return replace(self, passes={**self.passes, element: passes})

    def arriving_w(self, path: LightPath) -> float:
        """Power in W at the end of a way of light."""
        if path.source == INCOMING:
            power = si_from_dbm(path.power_dbm_max or 0.0)
        else:
            power = self.power_w[path.source]
        passed = math.prod(self.passes[element] for element in path.through)
        return power * passed * transmittance(path.loss_db)

    def expected_w(self, detector: DetectorSafety) -> float:
        """Most power in W that can be at a detector."""
        return sum(math.sqrt(self.arriving_w(path)) for path in detector.light) ** 2


def read_light(instruments: Mapping[str, Instrument], safety: SafetySection) -> LightState:
    """The light as the instruments read back; a monitor that sees more than its laser says counts.

    Raises:
        SafetyError: a monitor disagrees with its laser by more than the agreed ratio.
        InstrumentError: an instrument cannot be read.
    """
    power = {
        role: found.power_w() if found.emission() else 0.0
        for role, found in instruments.items()
        if isinstance(found, Laser)
    }
    for role, monitor in safety.monitors.items():
        meter = instruments.get(role)
        if isinstance(meter, PowerMeter) and monitor.source in power:
            seen = meter.power_w() * 1 / transmittance(monitor.loss_db)
            _refuse_disagreement(meter, monitor.source, seen, power[monitor.source], safety)
            power[monitor.source] = max(power[monitor.source], seen)
    passes = {role: found for role, i in instruments.items() if (found := _passes(i)) is not None}
    return LightState(power_w=power, passes=passes)


def refuse_overload(state: LightState, safety: SafetySection, step: str) -> None:
    """Refuse a state in which a detector could get more than its ceiling.

    Raises:
        SafetyError: it could; the message has expected power, ceiling and what to do.
    """
    for role, detector in safety.detectors.items():
        expected = state.expected_w(detector)
        ceiling = safety.ceiling_fraction * detector.damage_w
        if not expected <= ceiling:
            raise SafetyError(
                f"{role}: {step} could put {expected:.3g} W on this detector, above its ceiling of "
                f"{ceiling:.3g} W ({safety.ceiling_fraction:g} of the damage level "
                f"{detector.damage_w:.3g} W); lower the power or raise the attenuation first"
            )


def upstream_of(safety: SafetySection, amplifier: str) -> tuple[set[str], set[str]]:
    """Sources and elements from which an amplifier gets its seed, by the ways of light."""
    sources: set[str] = set()
    elements: set[str] = set()
    for detector in safety.detectors.values():
        for path in detector.light:
            if amplifier in path.through:
                sources.add(path.source)
                elements.update(path.through[: path.through.index(amplifier)])
    return sources, elements


def _passes(instrument: Instrument) -> float | None:
    """Transmittance or gain by readback; None for what is not on the way of light."""
    match instrument:
        case Attenuator():
            is_open = instrument.shutter_open()
            return transmittance(instrument.attenuation_db()) if is_open else 0.0
        case Switch():
            return 0.0 if instrument.is_safe() else 1.0
        case OpticalAmplifier():
            return transmittance(-instrument.gain_db()) if instrument.pump() else 1.0
        case _:
            return None


def _refuse_disagreement(
    meter: PowerMeter, source: str, seen_w: float, said_w: float, safety: SafetySection
) -> None:
    """A meter cannot tell less than the lowest power of its range from darkness."""
    floor = meter.limits.power_w.lowest / transmittance(safety.monitors[meter.name].loss_db)
    if not seen_w <= max(said_w * transmittance(-safety.agreement_db), floor):
        raise SafetyError(
            f"{meter.name}: sees light of {seen_w:.3g} W from {source}, which reads back as "
            f"{said_w:.3g} W; allowed are {safety.agreement_db:g} dB more. Check the tap ratio in "
            f"safety.monitors.{meter.name}.loss_db and the laser before switching on again"
        )
