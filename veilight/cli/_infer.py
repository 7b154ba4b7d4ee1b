"""`veilight infer`: a model over a link, from files to verdict, tables and report.

Owns what both links need and the run over the simulated one; `_infer_bench` has the other.
"""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError
from veilight.cli._exit_codes import ExitCode
from veilight.cli._infer_options import InferenceOrder
from veilight.cli._outputs import default_folder, prepare_folder, write_text
from veilight.cli._photons import with_photons
from veilight.cli._results import result_as_json, show_result
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from protocol.client import Progress
    from protocol.ledger import ChargeRule, DataLedger, WeightLedger
    from protocol.models.model import Model
    from sim_backend.adversaries import ReturnBehaviour
    from veilight.config import Configuration, LedgerSection
    from veilight.datasets import Dataset
    from veilight.run_values import InferenceRequest, RunResult

__all__ = [
    "InferenceJob",
    "behaviour",
    "check_data",
    "data_ledger_of",
    "finish",
    "ledger_of",
    "make_request",
    "prepare",
    "run_infer",
    "run_with_progress",
]

_MEANING: "dict[ChargeRule, str]" = {
    "copies apart": "clients whose memory meets one copy of a weight each",
    "with memory": "clients with one memory over all copies of a weight",
}
REPORT = "report.html"
RESULT = "result.json"


def run_infer(screen: Screen, configuration: "Configuration", order: InferenceOrder) -> int:
    """Check everything, run, show, write; the exit status.

    Raises:
        VeilightError: a setting, the data, the model, the ledger or the output folder do not
            allow the run; nothing was sent then, unless the message says so.
    """
    from protocol.leakage import check_encoding
    from sim_backend.symbol_link import SymbolLink

    if order.benches:
        from veilight.cli._infer_bench import run_infer_over_bench

        return run_infer_over_bench(screen, configuration, order)
    client = behaviour(order.client_behaviour)
    check_encoding(configuration.link.client_receiver(), configuration.protocol.encoding)
    # A link that cannot be made must not leave a new ledger behind.
    SymbolLink(configuration.link.settings(order.seed), client)
    job = prepare(configuration, order)
    with ledger_of(screen, job, order) as ledger, data_ledger_of(job, order) as inputs:
        request = make_request(
            job.configuration,
            job.model,
            job.data,
            client,
            seed=order.seed,
            ledger=ledger,
            data_ledger=inputs,
            title=job.title,
        )
        screen.say(f"{job.data.samples:,} samples of {job.data.name} over the simulated link ...")
        result = run_with_progress(screen, request, "inference")
    return finish(screen, job, result)


@dataclass(frozen=True, kw_only=True)
class InferenceJob:
    """What a run needs apart from a link, loaded and checked.

    Args:
        configuration: with the light of every layer.
        model: the network.
        data: the samples that are classified.
        folder: for the report, which can be written to.
        title: of the report.
    """

    configuration: "Configuration"
    model: "Model"
    data: "Dataset"
    folder: Path
    title: str


def prepare(configuration: "Configuration", order: InferenceOrder) -> InferenceJob:
    """Load and check what the order names; touches no ledger.

    Raises:
        VeilightError: something cannot be read, does not fit together or cannot be written.
    """
    from protocol.models.files import load_model
    from veilight.datasets import load

    _check_ledger_options(order)
    folder = order.out or default_folder("infer")
    model = load_model(order.model)
    configuration = with_photons(configuration, model)
    data = load(order.data, label_column=order.label_column).test
    check_data(model, data)
    if order.samples is not None:
        data = data.subset(order.samples, seed=0)
    prepare_folder(folder, (REPORT, RESULT), overwrite=order.overwrite)
    title = configuration.report.title or f"{order.model.stem} on {data.name}"
    return InferenceJob(
        configuration=configuration, model=model, data=data, folder=folder, title=title
    )


def finish(screen: Screen, job: InferenceJob, result: "RunResult") -> int:
    """Write and show a result; the exit status.

    Raises:
        OutputError: a file cannot be written.
    """
    paths = write_results(job.folder, [result], result.request.title)
    show_result(screen, result)
    screen.result({**result_as_json(result), "files": paths})
    screen.say(f"Report: {paths['report']}")
    return ExitCode.OK if result.accepted else ExitCode.VERIFICATION


def behaviour(text: str) -> "ReturnBehaviour":
    """The client's behaviour that a word such as `keeps=0.5` means.

    Raises:
        ConfigurationError: an unknown word, or a fraction that is missing or out of range.
    """
    from sim_backend import adversaries

    plain: dict[str, Callable[[], ReturnBehaviour]] = {
        "honest": lambda: adversaries.HONEST,
        "nothing": adversaries.returns_nothing,
        "resend": adversaries.intercepts_and_resends,
    }
    with_fraction: dict[str, Callable[[float], ReturnBehaviour]] = {
        "keeps": adversaries.keeps_fraction,
        "tap": adversaries.taps_and_amplifies,
        "resend": adversaries.intercepts_and_resends,
    }
    word, equals, value = text.partition("=")
    if word in plain and not equals:
        return plain[word]()
    if word in with_fraction:
        try:
            fraction = float(value)
        except ValueError as error:
            raise ConfigurationError(
                f"client behaviour {text!r}: give the fraction that is taken, such as {word}=0.5"
            ) from error
        return with_fraction[word](fraction)
    known = [*plain, "keeps=0.5", "tap=0.1"]
    close = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    raise ConfigurationError(f"client behaviour {text!r} is unknown; {hint}")


def make_request(
    configuration: "Configuration",
    model: "Model",
    data: "Dataset",
    client: "ReturnBehaviour",
    *,
    seed: int | None,
    ledger: "WeightLedger | None" = None,
    data_ledger: "DataLedger | None" = None,
    title: str,
) -> "InferenceRequest":
    """A run of `model` on `data` with the settings of the configuration.

    Raises:
        ConfigurationError: a setting is out of range.
    """
    import torch

    from protocol.client_policy import ClientPolicy
    from veilight.run_values import InferenceRequest

    protocol = configuration.protocol
    return InferenceRequest(
        model=model,
        inputs=torch.tensor(data.inputs),
        labels=data.labels,
        link=configuration.link.settings(seed),
        behaviour=client,
        encoding=protocol.encoding,
        photons_per_symbol=protocol.photons_per_symbol,
        signal_to_noise=protocol.signal_to_noise,
        rows_per_block=protocol.rows_per_block,
        samples_per_block=protocol.samples_per_block,
        inputs_per_block=protocol.inputs_per_block,
        false_alarm=protocol.false_alarm,
        full_return=protocol.full_return,
        audit_share=protocol.audit_share,
        x_share=protocol.x_share,
        dither_snu=protocol.dither_snu,
        client_policy=ClientPolicy(
            false_alarm=protocol.client_false_alarm, probe_share=protocol.probe_share
        ),
        defences=protocol.defences(),
        confidence=configuration.leakage.confidence,
        probe_photons_per_mode=configuration.leakage.probe_photons_per_mode,
        ledger=ledger,
        budget_bits_per_weight=configuration.ledger.budget_bits_per_weight,
        against_memory=bool(configuration.ledger.against_memory),
        data_ledger=data_ledger,
        title=title,
        data_name=data.name,
    )


def run_with_progress(screen: Screen, request: "InferenceRequest", what: str) -> "RunResult":
    """Run a request behind a progress bar.

    Raises:
        VeilightError: see `run_inference`.
    """
    from veilight.runs import run_inference

    with screen.progress(what, total=1.0) as advance:

        def report(progress: "Progress") -> None:
            note = f"sample {progress.samples_done:,} of {progress.samples_total:,}"
            advance(progress.symbols_done / progress.symbols_total, note)

        return run_inference(request, report)


def write_results(folder: Path, results: "list[RunResult]", title: str) -> dict[str, str]:
    """The report and the numbers behind it; the paths of both.

    Raises:
        OutputError: a file cannot be written.
    """
    import json

    from veilight.cli._screen import plain
    from veilight.report import write_report

    numbers = plain({"title": title, "runs": [result_as_json(result) for result in results]})
    write_text(folder / RESULT, json.dumps(numbers, indent=2, allow_nan=False) + "\n")
    report = write_report(folder / REPORT, results, title, overwrite=True)
    return {"report": str(report), "result": str(folder / RESULT)}


def _check_ledger_options(order: InferenceOrder) -> None:
    if order.ledger is not None and order.new_ledger is not None:
        raise ConfigurationError("give --ledger or --new-ledger, not both")
    if order.data_ledger is not None and order.new_data_ledger is not None:
        raise ConfigurationError("give --data-ledger or --new-data-ledger, not both")
    if order.lift_budget and order.ledger is None and order.new_ledger is None:
        raise ConfigurationError(
            "--lift-budget needs --ledger or --new-ledger: without a file nothing is limited "
            "unless --budget says so"
        )


def check_data(model: "Model", data: "Dataset") -> None:
    """Refuse data that the network cannot take before a ledger is touched.

    Args:
        model: the network.
        data: samples for it.

    Raises:
        DataError: the samples are not of the network's size.
    """
    from math import prod

    from drivers.errors import DataError

    if prod(data.shape) != prod(model.graph.input_shape):
        raise DataError(
            f"data set {data.name} has samples of shape {data.shape}, the network takes "
            f"{model.graph.input_shape}; choose the data that the model was trained for"
        )


@contextmanager
def ledger_of(
    screen: Screen, job: InferenceJob, order: InferenceOrder
) -> "Iterator[WeightLedger | None]":
    """The server's ledger, open for the run; None keeps the run's account in memory."""
    from protocol.ledger import WeightLedger

    model, settings = job.model, job.configuration.ledger
    budget = settings.budget_bits_per_weight
    path = order.ledger or order.new_ledger
    if path is None:
        yield None
        return
    if order.new_ledger is not None:
        rows = {index: model.graph.optical_layer(index).rows for index in model.graph.optical}
        rule = settings.rule()
        WeightLedger.create(path, model.digest, rows, budget, rule=rule).close()
    with WeightLedger.open(path, model.digest, unlimited=order.lift_budget) as ledger:
        if budget is not None and ledger.budget_bits_per_weight != budget:
            raise ConfigurationError(
                f"ledger {path} was made with a budget of {ledger.budget_bits_per_weight} bit per "
                f"weight, the settings say {budget}; a ledger's budget stays, leave the other out"
            )
        _check_rule(path, ledger.rule, settings)
        screen.say(f"Ledger {path}: it charges for {_MEANING[ledger.rule]}.")
        untold = max(ledger.totals().most_untold_photons.values())
        if untold:
            screen.tell(
                f"Ledger {path}: {untold:.6g} photons per weight were written down by an older "
                "version, which did not say how they came back; they are charged as if they did "
                "like those of the first session since."
            )
        yield ledger


def _check_rule(path: Path, rule: "ChargeRule", settings: "LedgerSection") -> None:
    """Refuse a ledger that charges by another rule than was asked for.

    Raises:
        ConfigurationError: it does.
    """
    asked = settings.rule()
    if settings.against_memory is None or asked == rule:
        return
    raise ConfigurationError(
        f"ledger {path} was made to charge for {_MEANING[rule]}, the settings ask for "
        f"{_MEANING[asked]}; a ledger keeps its rule, as the light in it was "
        "admitted by it. Leave the option (or ledger.against_memory) out to go on with this one; "
        "another rule begins with the ledger of a renewed network (veilight renew)"
    )


@contextmanager
def data_ledger_of(job: InferenceJob, order: InferenceOrder) -> "Iterator[DataLedger | None]":
    """The client's ledger, open for the run; in memory where only a budget is given."""
    from protocol.ledger import DataLedger

    budget = job.configuration.ledger.data_budget_bits_per_input
    path = order.data_ledger or order.new_data_ledger
    if path is None and budget is None:
        yield None
        return
    if path is None or order.new_data_ledger is not None:
        made = DataLedger.create(path, budget)
    else:
        made = DataLedger.open(path)
    with made as ledger:
        if budget is not None and ledger.budget_bits_per_input != budget:
            raise ConfigurationError(
                f"ledger {path} was made with a budget of {ledger.budget_bits_per_input} bit per "
                f"input, the settings say {budget}; a ledger's budget stays, leave the other out"
            )
        yield ledger
