"""What calibration routines may touch: the benches of one or both parties under one name."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from calibration.moment import Moment, moments
from drivers.bench import Bench, Safety
from drivers.errors import ConfigurationError

__all__ = ["BenchAccess", "access_of"]


@dataclass(frozen=True, kw_only=True)
class BenchAccess:
    """What the routines may touch.

    Args:
        name: of the bench, as the store has it.
        backend: name of the backend that its instruments live on.
        simulated: True if any instrument is.
        instruments: role -> open instrument.
        identities: role -> text of its identity.
        sleep: wait for a number of seconds on the bench's clock.
        now: the time, on the bench's clock and the wall's.
        temperature_c: reads the bench's temperature, in degrees Celsius; None without thermometer.
        switch_off: all light off and everything in the safe state, ready for the next routine;
            raises SafetyError if it cannot.
        safety: party -> its order of light, by which routines switch light on.
    """

    name: str
    backend: str
    simulated: bool
    instruments: Mapping[str, object]
    identities: Mapping[str, str]
    sleep: Callable[[float], None]
    now: Callable[[], Moment]
    temperature_c: Callable[[], float | None]
    switch_off: Callable[[], None]
    safety: Mapping[str, Safety] = field(default_factory=dict)


def access_of(
    benches: Sequence[Bench],
    *,
    name: str,
    clock_id: str,
    temperature_c: Callable[[], float | None] = lambda: None,
) -> BenchAccess:
    """Access to open benches; a role is called `party.role`, as in `server.laser`.

    Args:
        benches: of the parties, one each, open, on one clock.
        name: of the whole, as the store has it.
        clock_id: which run of their clock this is; see `calibration.moment.moments`.
        temperature_c: reads the temperature, in degrees Celsius.

    Raises:
        ConfigurationError: no bench, two of one party, or benches on different clocks.
    """
    parties = [bench.file.party for bench in benches]
    if not benches or len(set(parties)) < len(parties):
        raise ConfigurationError(
            f"calibration needs one bench of each party, it got {', '.join(parties) or 'none'}"
        )
    clock = benches[0].clock
    if any(bench.clock is not clock for bench in benches):
        raise ConfigurationError("the benches live by different clocks; build them from one")
    instruments = {
        f"{bench.file.party}.{role}": instrument
        for bench in benches
        for role, instrument in bench.instruments.items()
    }

    def switch_off() -> None:
        # Every bench is asked, whichever of them fails.
        with ExitStack() as stack:
            for bench in reversed(benches):
                stack.callback(bench.safety.switch_off)

    backends = {entry.backend for bench in benches for entry in bench.file.entries().values()}
    return BenchAccess(
        name=name,
        backend="+".join(sorted(backends)),
        simulated=any(bench.simulated for bench in benches),
        instruments=instruments,
        identities={role: found.identity.text for role, found in instruments.items()},
        sleep=clock.sleep,
        now=moments(clock.now, clock_id=clock_id),
        temperature_c=temperature_c,
        switch_off=switch_off,
        safety={bench.file.party: bench.safety for bench in benches},
    )
