"""ID Photonics CoBrite: one to sixteen tunable lasers in a box.

Source: ID Photonics' Python package cobrite 2.2.0 and pages of the CoBrite user manuals. The
channel in a bench file counts the lasers of the first chassis, four to a slot: 1 is the laser
1,1,1, 5 is 1,2,1.
"""

from typing import ClassVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.bench.units import dbm_from_si, si_from_dbm
from drivers.catalogue import DriverModel
from drivers.dialects.cobrite import CobriteDialogue, CobriteLimits
from drivers.dialects.own_limits import refuse_beyond_own
from drivers.errors import AnswerError, InstrumentError, RefusedError
from drivers.instruments import Clock, Identity, Instrument, Laser, LaserLimits, Range
from drivers.transports.link import Link
from drivers.transports.settings import NoSettings, own_settings
from drivers.transports.wired import Wired

__all__ = ["MODELS", "IdPhotonicsCobrite"]

_LIGHT_M_PER_S = 299_792_458.0
_DEVICES = 4
_CHANNELS = 16


class IdPhotonicsCobrite(Wired, Laser):
    """One laser of a box.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the box, chatty.
        clock: for polling and pauses.
        channel: which laser, 1 to 16.
        simulated: whether an emulator answers.
    """

    safe_deadline_s: ClassVar[float] = 2.0
    poll_interval_s: ClassVar[float] = 0.1

    def __init__(
        self,
        name: str,
        *,
        limits: LaserLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        slot, device = divmod(channel - 1, _DEVICES)
        self._laser = f"1,{slot + 1},{device + 1}"
        self._box = CobriteDialogue(link, self._clock)
        self._own: CobriteLimits | None = None

    def _greet(self) -> Identity:
        self._box.silence_echo()
        identity = self._box.identity()
        try:
            self._own = self._box.limits(self._laser)
        except (AnswerError, RefusedError) as error:
            raise InstrumentError(
                f"{self.name}: an ID Photonics CoBrite with a laser {self._laser} was expected, "
                f"{identity.text!r} answers and does not know its limits; two addresses may be "
                "exchanged, or the channel is another"
            ) from error
        return identity

    def _set_power(self, power_w: float) -> None:
        power_dbm = dbm_from_si(power_w)
        assert self._own is not None
        refuse_beyond_own(self.name, "power", "dBm", power_dbm, self._own.power_dbm)
        self._box.order(f"POW {self._laser},{power_dbm:.2f}")

    def _get_power(self) -> float:
        return si_from_dbm(self._box.numbers(f"POW? {self._laser}", 1)[0])

    def _set_wavelength(self, wavelength_m: float) -> None:
        frequency_thz = _LIGHT_M_PER_S / wavelength_m / 1e12
        assert self._own is not None
        refuse_beyond_own(self.name, "frequency", "THz", frequency_thz, self._own.frequency_thz)
        if self._box.numbers(f"OFF? {self._laser}", 1)[0] != 0:
            self._box.order(f"OFF {self._laser},0")
        self._box.order(f"FREQ {self._laser},{frequency_thz:.4f}")

    def _get_wavelength(self) -> float:
        """From the frequency and the fine tuning on top of it."""
        frequency_thz = self._box.numbers(f"FREQ? {self._laser}", 1)[0]
        offset_ghz = self._box.numbers(f"OFF? {self._laser}", 1)[0]
        frequency_hz = frequency_thz * 1e12 + offset_ghz * 1e9
        if frequency_hz <= 0:
            raise InstrumentError(f"{self.name}: the frequency reads {frequency_hz} Hz")
        return _LIGHT_M_PER_S / frequency_hz

    def _set_emission(self, on: bool) -> None:
        # The dither against Brillouin scattering broadens the line; -1 means that there is none.
        if on and self._box.numbers(f"DIT? {self._laser}", 1)[0] == 1:
            self._box.order(f"DIT {self._laser},0")
        self._box.order(f"STAT {self._laser},{on:d}")

    def _get_emission(self) -> bool:
        return self._flag("STAT?")

    def _is_settled(self) -> bool:
        """An empty answer means busy, as in the maker's package."""
        return self._get_emission() and self._box.text(f"BUSY? {self._laser}") == "0"

    def _get_interlock(self) -> bool:
        """Of the box: 0 means good."""
        return self._box.numbers("INTL?", 1)[0] == 0

    def _flag(self, query: str) -> bool:
        value = self._box.numbers(f"{query} {self._laser}", 1)[0]
        if value not in (0, 1):
            raise AnswerError(f"{self.name}: {query} was answered {value:g}, not 0 or 1")
        return value == 1


def _probe(link: Link) -> Identity:
    """Who is there, if its first laser has the limits that a CoBrite knows."""
    box = CobriteDialogue(link, link.clock)
    try:
        box.limits("1,1,1")
        return box.identity()
    except RefusedError as error:
        raise AnswerError(f"not a CoBrite: {error}") from error


def _make(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, LaserLimits)
    own_settings(NoSettings(), entry)
    return IdPhotonicsCobrite(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, timeout_s=5.0, chatty=True),
        clock=context.clock,
        channel=entry.channel,
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="ID Photonics CoBrite",
        backend="visa",
        kind=Laser,
        limits=LaserLimits(
            power_w=Range(lowest=4e-3, highest=20e-3),
            wavelength_m=Range(lowest=1529e-9, highest=1568e-9),
        ),
        make=_make,
        confidence="high",
        channels=_CHANNELS,
        source="ID Photonics' Python package cobrite 2.2.0, CoBrite user manuals; TCP port 2000",
        probe=_probe,
    ),
)
