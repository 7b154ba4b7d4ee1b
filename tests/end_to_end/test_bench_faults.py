"""Each fault of a bench during a run: detected by name, bench safe, earlier blocks kept, restart.

A run has several blocks. The fault begins when the second block has been measured and its return
still lies in the server's digitiser: that block must stay good.
"""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from drivers.backend import Block
from drivers.errors import (
    InstrumentError,
    OpticsError,
    PhaseError,
    SafetyError,
    SynchronisationError,
    TraceError,
    VeilightError,
)
from drivers.optics.burst import BurstFormat
from sim_backend.instruments import Fault, FaultKind
from tests import blocks
from tests.waveform_bench import WaveformBench, open_bench

INPUTS, ROWS, MODES = 16, 8, 64


def block_of(index: int, run: int = 0) -> Block:
    return blocks.block_of(index, inputs=INPUTS, rows=ROWS, modes=MODES, run=run)


@dataclass
class Session:
    """A bench with one public pattern of weights and data."""

    bench: WaveformBench
    reasons: list[str]
    data: Tensor = field(default_factory=lambda: _pattern()[0])
    means: Tensor = field(default_factory=lambda: _pattern()[1])

    def measure(self, block: Block) -> Tensor:
        link = self.bench.link
        link.client.load(block, self.data)
        link.server.send(block, self.means)
        return link.client.measure(block)

    def collect(self, block: Block) -> Tensor:
        return self.bench.link.server.collect_full(
            block, torch.zeros(INPUTS, ROWS, dtype=torch.bool)
        )

    def fail(self, block: Block, *, at_client: bool) -> None:
        """Run a block that must fail at the party that is named."""
        self.measure(block)
        assert not at_client, "the client got outcomes of a failed block"
        self.collect(block)

    def repeat(self, indices: range) -> None:
        """Run blocks one after the other."""
        for index in indices:
            self.measure(block_of(index))
            self.collect(block_of(index))

    def begin(self, kind: FaultKind, target: str, size: float | None = None) -> None:
        clock = self.bench.bench.clock
        self.bench.bench.inject(Fault(kind=kind, target=target, start_s=clock.now(), size=size))
        # The fault begins with a step of the clock; lasers then take time to a wrong wavelength.
        clock.advance(1e-3)
        clock.advance(30.0)

    def mend(self) -> None:
        self.bench.bench.faults.clear()
        self.bench.light_lasers()
        self.bench.open_light()

    def check_outcomes(self, outcomes: Tensor) -> None:
        """Gain of the products: with 128 frames of mean square 4 its deviation is 0.055."""
        wanted = self.data @ self.means[0].T
        gain = float((outcomes * wanted).sum() / wanted.square().sum())
        calibrated = self.bench.link.settings.client.signal_gain
        assert gain == pytest.approx(calibrated, abs=7 * 0.055)

    def check_return(self, returned: Tensor) -> None:
        """Gain of the returned means: with 8192 modes of mean square 4 its deviation is 0.006."""
        gain = float((returned * self.means).sum() / self.means.square().sum() / INPUTS)
        server = self.bench.link.settings.server
        expected = server.forward_transmittance * 0.5 * server.return_transmittance
        expected = (expected * server.detection_efficiency) ** 0.5
        assert gain == pytest.approx(expected, abs=7 * 0.006)


def _pattern() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    data = torch.rand(INPUTS, MODES, generator=generator) + 0.1
    return data / data.norm(dim=1, keepdim=True), 2 * torch.randn(
        1, ROWS, MODES, generator=generator
    )


def start(*, standing: bool) -> Session:
    reasons: list[str] = []
    made: list[WaveformBench] = []

    def on_failure(reason: str) -> None:
        reasons.append(reason)
        made[0].make_safe(reason)

    made.append(
        open_bench(
            standing=standing,
            modes_per_frame=MODES,
            calibration_samples=1 << 18,
            on_failure=on_failure,
        )
    )
    return Session(bench=made[0], reasons=reasons)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault and what must be said of it."""

    kind: FaultKind
    target: str
    error: type[VeilightError]
    says: str
    size: float | None = None
    standing: bool = False
    at_client: bool = True
    """Whether the block is refused before the client has its outcomes."""

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.target}{'-seen-at-rest' if self.standing else ''}"


K = FaultKind
TAP, RETURN = "tap_digitiser", "return_digitiser"


def trace_cases(target: str, *, at_client: bool) -> list[Case]:
    table: list[tuple[FaultKind, float | None, str]] = [
        (K.TRACE_NAN, None, "NaN"),
        (K.TRACE_CONSTANT, None, "noise must move"),
        (K.TRACE_SHORT, None, "configured for"),
        (K.TRACE_CLIPPED, None, "clipped"),
        (K.TRACE_DUPLICATED, None, "delivered old memory"),
        (K.TRACE_STUCK_BIT, None, "stuck at 1"),
        (K.TRACE_STUCK_BIT, 2.0, "stuck at 1"),
        (K.TRACE_OFFSET_RAMP, None, "offset moves"),
    ]
    return [
        Case(kind=k, target=target, size=size, error=TraceError, says=says, at_client=at_client)
        for k, size, says in table
    ]


CASES = [
    *trace_cases(TAP, at_client=True),
    *trace_cases(RETURN, at_client=False),
    Case(kind=K.LASER_UNLOCK, target="laser", error=TraceError, says="phase"),
    Case(kind=K.LASER_MODE_HOP, target="laser", error=SynchronisationError, says="no light|MHz"),
    Case(
        kind=K.LASER_MODE_HOP,
        target="laser",
        error=InstrumentError,
        says="left its mode",
        standing=True,
    ),
    Case(
        kind=K.LASER_MODE_HOP,
        target="return_oscillator",
        error=SynchronisationError,
        says="no light|MHz",
        at_client=False,
    ),
    Case(kind=K.WAVELENGTH_STEP, target="oscillator", error=SynchronisationError, says="MHz|light"),
    Case(kind=K.FIBRE_UNPLUGGED, target="forward", error=SynchronisationError, says="no light"),
    Case(
        kind=K.FIBRE_UNPLUGGED,
        target="back",
        error=SynchronisationError,
        says="no light",
        at_client=False,
    ),
    Case(kind=K.FIBRE_DIRTY, target="forward", error=TraceError, says="pilot amplitude"),
    Case(
        kind=K.FIBRE_DIRTY,
        target="back",
        error=TraceError,
        says="pilot amplitude",
        at_client=False,
    ),
    Case(kind=K.OSCILLATOR_LOST, target="client", error=TraceError, says="oscillator lost"),
    Case(
        kind=K.OSCILLATOR_LOST,
        target="server",
        error=TraceError,
        says="oscillator lost",
        at_client=False,
    ),
    Case(
        kind=K.OSCILLATOR_LOW,
        target="client",
        error=InstrumentError,
        says="oscillator's power is .* -2.0",
        standing=True,
    ),
    Case(
        kind=K.OSCILLATOR_LOW,
        target="server",
        error=InstrumentError,
        says="oscillator's power is .* -2.0",
        standing=True,
    ),
    Case(kind=K.POLARISATION_FLIP, target="forward", error=SynchronisationError, says="no light"),
    Case(
        kind=K.POLARISATION_FLIP,
        target="back",
        error=SynchronisationError,
        says="no light",
        at_client=False,
    ),
    Case(kind=K.CLOCK_SLIP, target=TAP, size=8.0, error=SynchronisationError, says="slots from"),
    Case(
        kind=K.CLOCK_SLIP,
        target=RETURN,
        size=8.0,
        error=SynchronisationError,
        says="slots from",
        at_client=False,
    ),
    Case(kind=K.REFERENCE_LOST, target=TAP, error=SynchronisationError, says="10 MHz"),
    Case(
        kind=K.REFERENCE_LOST,
        target=RETURN,
        error=SynchronisationError,
        says="10 MHz",
        at_client=False,
    ),
    Case(kind=K.REFERENCE_LOST, target="weight_generator", error=SynchronisationError, says="ppm"),
    Case(kind=K.TRIGGER_LOST, target=TAP, error=InstrumentError, says="record"),
    Case(
        kind=K.TRIGGER_LOST,
        target=RETURN,
        error=InstrumentError,
        says="record",
        at_client=False,
    ),
    Case(
        kind=K.TRIGGER_LOST,
        target="data_generator",
        error=InstrumentError,
        says="waits for its trigger",
    ),
    Case(
        kind=K.OUTPUT_STUCK_OFF,
        target="weight_generator",
        error=SynchronisationError,
        says="no light",
    ),
    Case(
        kind=K.OUTPUT_STUCK_OFF, target="data_generator", error=TraceError, says="oscillator lost"
    ),
    Case(
        kind=K.BIAS_UNLOCK,
        target="weight_bias",
        error=InstrumentError,
        says="not locked",
        standing=True,
    ),
    Case(
        kind=K.BIAS_UNLOCK,
        target="data_bias",
        error=InstrumentError,
        says="not locked",
        standing=True,
    ),
    Case(kind=K.TIME_OUT, target="data_generator", error=SafetyError, says="no answer"),
    Case(kind=K.SETTING_IGNORED, target=TAP, error=InstrumentError, says="tap_digitiser"),
]


def _id(case: Case) -> str:
    size = "" if case.size is None else f"-{case.size:g}"
    return f"{case.id}{size}"


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_run_stops_safe_and_starts_again_when_something_fails(case: Case) -> None:
    session = start(standing=case.standing)
    session.check_outcomes(session.measure(block_of(0)))
    session.check_return(session.collect(block_of(0)))
    session.check_outcomes(session.measure(block_of(1)))
    session.begin(case.kind, case.target, case.size)
    failing = block_of(2)
    with pytest.raises(case.error, match=case.says) as caught:
        session.fail(failing, at_client=case.at_client)
    _check_safe(session, caught.value, case, failing)
    session.mend()
    session.check_return(session.collect(block_of(1)))
    again = block_of(0, run=1)
    session.check_outcomes(session.measure(again))
    session.check_return(session.collect(again))
    assert len(session.reasons) == 1


def _check_safe(session: Session, error: VeilightError, case: Case, failing: Block) -> None:
    """The hook was called once with the reason, all is off, and the block gives nothing."""
    assert len(session.reasons) == 1
    first = error.__cause__ if isinstance(error, SafetyError) else error
    assert str(first) in session.reasons[0]
    session.bench.bench.faults.clear()  # some instruments could not answer until now
    unsafe = [name for name, one in session.bench.instruments.items() if not one.is_safe()]
    # What does not answer cannot be made safe: then that is said, and all others are.
    assert unsafe == ([case.target] if isinstance(error, SafetyError) else [])
    with pytest.raises(OpticsError, match="nothing was sent"):
        session.bench.link.client.measure(failing)
    with pytest.raises(OpticsError, match="no returned light"):
        session.collect(failing)


def test_oscillator_low_by_2_percent_is_seen_in_the_noise_without_a_power_meter() -> None:
    # 1.6e5 to 3e5 vacuum slots are needed; a block of the format below has 7e4 of them.
    reasons: list[str] = []
    bench = open_bench(
        burst=BurstFormat(vacuum_spacing=2, least_vacuum_slots=70_000),
        modes_per_frame=MODES,
        on_failure=reasons.append,
    )
    session = Session(bench=bench, reasons=reasons)
    session.measure(block_of(0))
    session.collect(block_of(0))
    session.begin(K.OSCILLATOR_LOW, "server")
    with pytest.raises(TraceError, match=r"return_digitiser: shot noise is -.* last [248] bursts"):
        session.repeat(range(1, 12))
    assert len(reasons) == 1


def test_failed_safe_state_matters_more_than_the_fault() -> None:
    def refuse(reason: str) -> None:
        raise SafetyError(f"attenuator: still open after {reason}")

    bench = open_bench(modes_per_frame=MODES, calibration_samples=1 << 18, on_failure=refuse)
    session = Session(bench=bench, reasons=[])
    session.begin(K.FIBRE_UNPLUGGED, "forward")
    with pytest.raises(SafetyError, match="still open") as caught:
        session.measure(block_of(0))
    assert isinstance(caught.value.__cause__, SynchronisationError)


def test_block_that_left_is_not_sent_again_in_its_run() -> None:
    session = start(standing=False)
    session.begin(K.FIBRE_UNPLUGGED, "forward")
    with pytest.raises(SynchronisationError):
        session.measure(block_of(0))
    session.mend()
    session.bench.link.client.load(block_of(0), session.data)
    with pytest.raises(OpticsError, match="the next input of run 0 is 16"):
        session.bench.link.server.send(block_of(0), session.means)
    session.check_outcomes(session.measure(block_of(1)))


def test_phase_error_names_the_linewidth_when_a_laser_lost_its_lock() -> None:
    session = start(standing=False)
    session.begin(K.LASER_UNLOCK, "laser", 40.0)
    with pytest.raises(PhaseError, match=r"phase cannot be followed.*linewidth"):
        session.measure(block_of(0))
