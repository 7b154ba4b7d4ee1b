"""Someone tampers with the light of a whole bench: the run is refused, by a name that fits.

Down to the waveform, so that what the signal processing makes of an attack counts too: noise that
is also in the vacuum slots looks like more shot noise or a smaller signal, more light like a larger
gain. The calibrated shot noise, the pilots and the verdict on a block all stand in the way.
"""

from dataclasses import replace

import pytest

from drivers.errors import OpticsError, SynchronisationError, TraceError
from sim_backend.instruments import Fault, FaultKind
from tests.end_to_end.test_bench_inference import request
from tests.waveform_bench import WaveformBench, open_bench
from veilight.runs import run_inference


def attacked(kind: FaultKind, target: str, size: float) -> WaveformBench:
    bench = open_bench()
    start_s = bench.bench.clock.now()
    bench.bench.inject(Fault(kind=kind, target=target, start_s=start_s, size=size))
    return bench


@pytest.mark.parametrize(
    ("kind", "target", "size", "failed"),
    [
        (FaultKind.FIBRE_DIRTY, "back", 0.5, "gain"),
        (FaultKind.LIGHT_BRIGHTENED, "forward", 1.0, "gain"),
        (FaultKind.LIGHT_BRIGHTENED, "back", 1.0, "gain"),
        (FaultKind.POLARISATION_FLIP, "back", 0.4, "gain"),
        (FaultKind.OSCILLATOR_LOW, "server", 0.1, "X variance"),
    ],
    ids=["kept", "brighter-probe", "brighter-return", "polarisation", "oscillator"],
)
def test_verdict_ends_the_run_when_light_is_tampered_with(
    kind: FaultKind, target: str, size: float, failed: str
) -> None:
    bench = attacked(kind, target, size)
    result = run_inference(replace(request(60), optics=bench.link))
    assert not result.accepted
    assert failed in result.abort_reason


@pytest.mark.parametrize(
    ("kind", "target", "size", "error", "message"),
    [
        (FaultKind.LIGHT_REAMPLIFIED, "back", 0.1, TraceError, "return_digitiser: shot noise is"),
        (FaultKind.LIGHT_REAMPLIFIED, "back", 0.3, TraceError, "return_digitiser: pilot amplitude"),
        (FaultKind.LIGHT_RESENT, "back", 2.0, TraceError, "return_digitiser: pilot amplitude"),
        (FaultKind.LIGHT_RESENT, "forward", 2.0, TraceError, "tap_digitiser: pilot amplitude"),
        (FaultKind.LIGHT_REAMPLIFIED, "forward", 0.3, TraceError, "tap_digitiser: shot noise is"),
        (FaultKind.LIGHT_DELAYED, "back", 100e-9, SynchronisationError, "slots from its calibrat"),
        (FaultKind.LIGHT_DELAYED, "back", 1e-6, SynchronisationError, "outside the search window"),
        (FaultKind.LIGHT_ADDED, "back", 1e-6, TraceError, "clipped"),
        (FaultKind.LIGHT_ADDED, "forward", 1e-6, OpticsError, "tap_digitiser"),
    ],
    ids=[
        "reamplified-little", "reamplified", "resent-back", "resent-forward", "reamplified-forward",
        "held-back", "held-long", "blinded", "blinded-client",
    ],
)  # fmt: skip
def test_receiver_refuses_the_trace_when_light_is_tampered_with(
    kind: FaultKind, target: str, size: float, error: type[OpticsError], message: str
) -> None:
    bench = attacked(kind, target, size)
    with pytest.raises(error, match=message):
        run_inference(replace(request(60), optics=bench.link))
