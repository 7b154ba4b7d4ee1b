"""`veilight infer --bench`: the same run over the instruments of two bench files."""

from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError
from veilight.cli._infer import (
    InferenceJob,
    data_ledger_of,
    finish,
    ledger_of,
    make_request,
    prepare,
)
from veilight.cli._infer_options import InferenceOrder
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from calibration.store import Store
    from drivers.optics.amplifier_optics import AmplifierBenchLink
    from drivers.optics.bench_link import BenchLink
    from drivers.optics.homodyne_link import HomodyneLink
    from protocol.client import Progress
    from protocol.models.model import Model
    from protocol.plan import Plan
    from veilight.bench_session import BenchPair
    from veilight.config import Configuration
    from veilight.datasets import Dataset
    from veilight.live_view import Reading
    from veilight.run_values import InferenceRequest, RunResult

    AnyLink = BenchLink | AmplifierBenchLink | HomodyneLink

__all__ = ["peak_to_average", "run_infer_over_bench", "run_with_live_view"]


def run_infer_over_bench(
    screen: Screen, configuration: "Configuration", order: InferenceOrder
) -> int:
    """Check files, bench and calibration, then ledgers, then light; the exit status.

    Raises:
        VeilightError: a file, the bench, its calibration or a ledger do not allow the run; the
            bench is safe then.
    """
    from dataclasses import replace

    from sim_backend.adversaries import HONEST
    from veilight.bench_session import default_store, open_pair, pair_name, store_of
    from veilight.benches import load_benches

    _check_order(configuration, order)
    name = pair_name(load_benches(order.benches))
    store = store_of(order.store or default_store(order.benches), name)
    job = prepare(configuration, order)
    _explain_link(screen, configuration)
    with open_pair(order.benches, emit_light=order.emit_light, operator=order.operator) as pair:
        # Whatever refuses does so before a new ledger is made and before there is light.
        taints, light = _checked_light(pair, store, job, override=order.override_calibration)
        with (
            ledger_of(screen, job, order) as ledger,
            data_ledger_of(job, order) as inputs,
            light as link,
        ):
            request = make_request(
                job.configuration,
                job.model,
                job.data,
                HONEST,
                seed=None,
                ledger=ledger,
                data_ledger=inputs,
                title=configuration.report.title or f"{job.title} over {name}",
            )
            request = replace(request, optics=link, taints=taints)
            kind = "simulated" if pair.access.simulated else "real"
            screen.say(f"{job.data.samples:,} samples of {job.data.name} over a bench ({kind}) ...")
            result = run_with_live_view(screen, request, link, pair)
    return finish(screen, job, result)


def _checked_light(
    pair: "BenchPair", store: "Store", job: InferenceJob, *, override: bool
) -> "tuple[tuple[str, ...], AbstractContextManager[AnyLink]]":
    """The taints of a run, and what switches its light on and off; nothing is switched yet.

    Raises:
        CalibrationError: the calibration of the bench may not be used.
        LimitError: a burst is too long.
    """
    if pair.amplifies:
        from veilight import amplifier_runs

        found = amplifier_runs.calibrated_amplifier_values(pair, store, override=override)
        agreement = amplifier_runs.port_agreement(pair)
        amplifier_runs.refuse_long_port_bursts(agreement, _sizes(job, agreement.ports))
        return found.taints, amplifier_runs.lit_amplifier_bench(pair, found, agreement)
    from veilight import bench_runs

    values = bench_runs.calibrated_values(pair, store, override=override)
    frames = bench_runs.bench_frames(pair, peak_to_average=peak_to_average(job.model, job.data))
    sizes = _sizes(job, frames.modes_per_frame)
    # With homodyne detection every data vector has a burst of its own.
    bench_runs.refuse_long_bursts(frames, sizes, 1 if pair.is_homodyne else _announced(job))
    return values.taints, bench_runs.lit_bench(pair, store, values, frames)


def _announced(job: InferenceJob) -> int:
    """Samples of the session, at least; dummies and probes fill every batch up."""
    protocol = job.configuration.protocol
    filled = protocol.audit_share > 0 or protocol.probe_share > 0
    return max(job.data.samples, protocol.samples_per_block) if filled else job.data.samples


def run_with_live_view(
    screen: Screen, request: "InferenceRequest", link: "AnyLink", pair: "BenchPair"
) -> "RunResult":
    """Run a request over a bench behind a progress bar and what the bench says about itself.

    Raises:
        VeilightError: see `run_inference`.
    """
    from veilight.runs import run_inference

    with screen.live("inference", ("party", "quantity", "value", "limits", "")) as show:

        def report(progress: "Progress") -> None:
            note = f"sample {progress.samples_done:,} of {progress.samples_total:,}"
            show(
                progress.symbols_done / progress.symbols_total,
                note,
                lambda: [reading.cells for reading in _readings(link, pair)],
            )

        return run_inference(request, report)


def _readings(link: "AnyLink", pair: "BenchPair") -> "tuple[Reading, ...]":
    """What the bench of a link says about itself."""
    from drivers.optics.amplifier_optics import AmplifierBenchLink
    from drivers.optics.homodyne_link import HomodyneLink
    from veilight.amplifier_view import amplifier_readings
    from veilight.live_view import live_readings

    if isinstance(link, AmplifierBenchLink):
        return amplifier_readings(link, pair)
    if isinstance(link, HomodyneLink):
        from veilight.homodyne_runs import homodyne_readings

        return homodyne_readings(link, pair)
    return live_readings(link, pair)


def peak_to_average(model: "Model", data: "Dataset") -> float:
    """Largest over mean square of the inputs as the network takes them, mean over samples."""
    import numpy as np

    scaling = model.graph.scaling
    values = (data.inputs.reshape(len(data.inputs), -1) - scaling.offset) * scaling.factor
    squares = np.square(values, dtype=np.float64)
    average = squares.mean(1)
    lit = average > 0
    return float((squares.max(1)[lit] / average[lit]).mean()) if lit.any() else 1.0


def _sizes(job: InferenceJob, modes_per_frame: int) -> "Plan":
    """The plan of a run as far as sizes go: its photons wait for what the bench describes."""
    from protocol.encoding import make_plan

    protocol = job.configuration.protocol
    return make_plan(
        job.model,
        tuple(1.0 for _ in job.model.graph.optical),
        encoding=protocol.encoding,
        modes_per_frame=modes_per_frame,
        rows_per_block=protocol.rows_per_block,
        samples_per_block=protocol.samples_per_block,
        inputs_per_block=protocol.inputs_per_block or 0,
    )


def _check_order(configuration: "Configuration", order: InferenceOrder) -> None:
    if order.client_behaviour != "honest":
        raise ConfigurationError(
            "--client-behaviour is for the simulated link; on a bench the client is who is there"
        )
    defences = configuration.protocol.defences()
    if defences.rescale > 1 or defences.dummies or defences.photons > 1:
        raise ConfigurationError(
            f"--defence {defences.text}: over a bench only permute is offered; bursts were checked "
            "and levelled for rows of the network's own number and size"
        )
    if configuration.protocol.encoding != "real":
        raise ConfigurationError(
            f"protocol.encoding is {configuration.protocol.encoding!r}; the data modulator of a "
            "bench makes one quadrature of the oscillator alone, use the real encoding with it"
        )


def _explain_link(screen: Screen, configuration: "Configuration") -> None:
    """Say that the bench is what it is, whatever a configuration file says about the link."""
    from veilight.config import default_configuration

    if configuration.link != default_configuration().link:
        screen.say("The bench files and their calibration say what the link is, not [link].")
