"""From open, calibrated benches with an amplifier to a link that the engine can run over.

Owns the order: calibrated values first (and their refusal), then the client's light with the
amplifier once it is seeded, then the server's. Every failure on the way brings both benches to
their safe state. `bench_runs` has the same for the passive tap.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from drivers.bench import LightPlan
from drivers.errors import LimitError
from drivers.instruments import (
    Attenuator,
    Digitiser,
    OpticalAmplifier,
    PhaseDriver,
    WaveformGenerator,
)
from drivers.optics.amplifier_client import AmplifierClientInstruments
from drivers.optics.amplifier_optics import AmplifierBenchLink, AmplifierBenchSettings
from drivers.optics.amplifier_server import AmplifierServerInstruments
from drivers.optics.amplifier_values import PortAgreement
from drivers.optics.bench_frames import BenchFrames
from drivers.receivers import Amplifier
from veilight.bench_runs import conditions_of, scene_seed

if TYPE_CHECKING:
    from calibration.amplifier_values import AmplifierBenchValues
    from calibration.result import Setting
    from calibration.store import Store
    from protocol.plan import Plan
    from veilight.bench_session import BenchPair

__all__ = [
    "calibrated_amplifier_values",
    "lit_amplifier_bench",
    "port_agreement",
    "refuse_long_port_bursts",
]


def calibrated_amplifier_values(
    pair: "BenchPair",
    store: "Store",
    *,
    settings: "Mapping[str, Mapping[str, Setting]] | None" = None,
    override: bool = False,
) -> "AmplifierBenchValues":
    """The newest calibrations of a pair of benches, if they hold for it as it is now.

    Args:
        pair: open benches.
        store: of their calibrations.
        settings: as for `veilight.bench_runs.calibrated_values`.
        override: likewise.

    Raises:
        CalibrationError: a result is missing, or something stands against one.
    """
    from calibration.amplifier_values import load_amplifier_values
    from veilight.bench_session import routines_of, settings_for

    conditions = conditions_of(pair, store)
    if settings is None:
        settings = settings_for(routines_of(pair), pair)
    return load_amplifier_values(store, conditions, settings=settings, override=override)


def port_agreement(pair: "BenchPair") -> PortAgreement:
    """The agreement that both bench files state, with what their instruments can hold.

    Args:
        pair: open benches.

    Raises:
        ConfigurationError: the files make no burst.
    """
    frame = pair.server.file.content.frame  # files that differ here are not opened together
    generator = pair.server.get("weight_generator", WaveformGenerator).limits
    memories = [
        generator.samples,
        pair.server.get("return_digitiser", Digitiser).limits.samples,
        pair.client.get("tap_digitiser", Digitiser).limits.samples,
    ]
    simulated = pair.access.simulated
    return PortAgreement(
        ports=generator.channels,
        frames=BenchFrames(
            format=frame.burst_format(),
            pilot_photons=frame.pilot_photons,
            modes_per_frame=generator.channels,
            largest_burst_samples=min([*memories, BenchFrames().largest_burst_samples]),
            backend=f"bench with amplifier ({pair.access.backend})",
            simulated=simulated,
            seed=scene_seed(pair) if simulated else None,
        ),
    )


def refuse_long_port_bursts(agreement: PortAgreement, plan: "Plan") -> None:
    """Refuse a session of which a burst does not fit into the instruments, before any is sent.

    Args:
        agreement: from `port_agreement`.
        plan: of the session; its photons do not matter here.

    Raises:
        LimitError: the rows of a block make too long a burst.
    """
    for layer in plan.layers:
        rows = max(count for _, count in plan.row_ranges(layer))
        try:
            agreement.burst_of(rows, f"layer {layer.layer}")
        except LimitError as error:
            raise LimitError(f"{error} in [protocol]") from error


@contextmanager
def lit_amplifier_bench(
    pair: "BenchPair", values: "AmplifierBenchValues", agreement: PortAgreement
) -> Iterator[AmplifierBenchLink]:
    """Switch the light on as it was when the bench was calibrated, and off at the end.

    Args:
        pair: open, armed benches.
        values: from `calibrated_amplifier_values`.
        agreement: from `port_agreement`.

    Yields:
        The link, for the engine.

    Raises:
        SafetyError: the light could not be switched on in the safe order.
        InstrumentError: an instrument failed.
    """
    try:
        _switch_on(pair, values)
        server = AmplifierServerInstruments(
            generator=pair.server.get("weight_generator", WaveformGenerator),
            attenuator=pair.server.get("attenuator", Attenuator),
            digitiser=pair.server.get("return_digitiser", Digitiser),
        )
        client = AmplifierClientInstruments(
            mesh=pair.client.get("mesh_driver", PhaseDriver),
            return_mesh=pair.client.get("return_mesh_driver", PhaseDriver),
            amplifier=pair.client.get("amplifier", OpticalAmplifier),
            digitiser=pair.client.get("tap_digitiser", Digitiser),
        )
        server.generator.set_sample_rate(agreement.frames.format.sample_rate_hz)
        for port in range(agreement.ports):
            server.generator.set_idle(port, 0.0)  # a calibration may have left another level
            server.generator.set_output(port, True)
        settings = AmplifierBenchSettings(
            receiver=Amplifier(gain=pair.client.file.content.bench.receiver_setting),
            agreement=agreement,
            server=values.server,
            client=values.client,
        )
        yield AmplifierBenchLink(server, client, settings, on_failure=pair.make_safe)
    except BaseException as error:
        pair.make_safe(f"{type(error).__name__} during a run")
        raise
    for bench in (pair.server, pair.client):
        bench.safety.switch_off()


def _switch_on(pair: "BenchPair", values: "AmplifierBenchValues") -> None:
    """The client first: its amplifier is seeded and pumped before the server's light comes."""

    def powers(party: str) -> dict[str, float]:
        stem = f"{party}."
        found = values.power_w.items()
        return {role.removeprefix(stem): w for role, w in found if role.startswith(stem)}

    pair.client.safety.switch_on(
        LightPlan(power_w=powers("client"), gain_db={"amplifier": values.client.gain_db})
    )
    pair.server.safety.switch_on(
        LightPlan(
            power_w=powers("server"),
            attenuation_db={"attenuator": values.server.attenuation_db},
        )
    )
