"""`veilight demo`: the whole idea in under a minute, with a client that cheats and is caught."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import VerificationError
from veilight.cli._exit_codes import ExitCode
from veilight.cli._infer import REPORT, RESULT, make_request, run_with_progress, write_results
from veilight.cli._networks import network_for
from veilight.cli._outputs import default_folder, prepare_folder
from veilight.cli._results import result_as_json, show_result, verdict
from veilight.cli._screen import Screen
from veilight.cli._tables import bits
from veilight.cli._train import train_with_progress

if TYPE_CHECKING:
    from protocol.models.model import Model
    from veilight.config import Configuration
    from veilight.datasets import TrainTest
    from veilight.run_values import RunResult

__all__ = ["run_demo"]

HIDDEN = (512,)
KEPT = 0.5
TITLE = "Secure inference on handwritten digits"


def run_demo(screen: Screen, *, out: Path | None, seed: int) -> int:
    """Train on the bundled digits, infer over light, then catch a client that keeps half of it.

    Args:
        screen: where to write.
        out: folder for the report; None makes a new one.
        seed: of training and light.

    Returns:
        0 if the honest session passed and the cheating client was caught.

    Raises:
        VeilightError: the folder cannot be written.
        VerificationError: the verdicts are not as they should be.
    """
    folder = out or default_folder("demo")
    prepare_folder(folder, (REPORT, RESULT), overwrite=True)
    from protocol.models.recipes import DIGITS
    from sim_backend.adversaries import HONEST, keeps_fraction
    from veilight.config import default_configuration, override
    from veilight.datasets import load

    configuration = override(
        default_configuration(),
        {
            "protocol.signal_to_noise": DIGITS.signal_to_noise,
            "training.signal_to_noise": DIGITS.signal_to_noise,
            "training.epochs": DIGITS.epochs,
            "training.batch_size": DIGITS.batch_size,
            "training.learning_rate": DIGITS.learning_rate,
            "training.schedule": DIGITS.schedule,
            "training.label_smoothing": DIGITS.label_smoothing,
            "training.seed": seed,
            "link.device": "cpu",
        },
    )
    with _one_thread():
        parts = load("digits")
        model = _train(screen, configuration, parts)
        requests = [
            make_request(configuration, model, parts.test, client, seed=seed, title=title)
            for client, title in (
                (HONEST, "An honest client"),
                (keeps_fraction(KEPT), "A client that keeps half of the light"),
            )
        ]
        screen.say(
            f"\n2. Inference. The server sends the weights as faint light; the client reads one "
            f"number per weight row and sends the rest back. {parts.test.samples} images ..."
        )
        honest = run_with_progress(screen, requests[0], "inference")
        show_result(screen, honest)
        screen.say(_one_query(honest))
        screen.say(
            "3. The same with a client that keeps half of the returned light, to learn the "
            "weights from it ..."
        )
        cheat = run_with_progress(screen, requests[1], "inference")
        show_result(screen, cheat, leakage=False)
    paths = write_results(folder, [honest, cheat], TITLE)
    screen.result(
        {"honest": result_as_json(honest), "cheating": result_as_json(cheat), "files": paths}
    )
    _conclude(screen, honest, cheat, paths["report"])
    return ExitCode.OK


def _train(screen: Screen, configuration: "Configuration", parts: "TrainTest") -> "Model":
    graph = network_for("mlp", parts.train, HIDDEN, bias=False)
    screen.say(
        f"1. Training. A network {parts.train.inputs[0].size}-{HIDDEN[0]}-{parts.train.classes} "
        f"learns {parts.train.samples:,} handwritten digits, with the noise of faint light in "
        "every weighted sum, so that few photons will do ..."
    )
    settings = configuration.training.settings(parts.train.samples, "mlp")
    result = train_with_progress(screen, graph, parts, settings, device="cpu")
    screen.say(f"   done in {result.seconds:.1f} s")
    return result.model


def _conclude(screen: Screen, honest: "RunResult", cheat: "RunResult", report: str) -> None:
    if not honest.accepted:
        raise VerificationError(f"demo: the honest session did not pass: {verdict(honest)}")
    if cheat.accepted:
        raise VerificationError("demo: the cheating client was not caught")
    sent = cheat.symbols_sent / honest.symbols_sent
    screen.say(
        f"The honest session passed. The client that kept {KEPT:.0%} of the light was caught "
        f"after {sent:.1%} of the light of an honest session; nothing more is sent to it, and "
        "what it has seen stays charged."
    )
    screen.tell(f"Report: {report}")


def _one_query(honest: "RunResult") -> str:
    """What a single image costs, to set the figures of the whole test part against."""
    from protocol.accounting import weight_leakage

    channels = {layer.plan.layer: layer.channel for layer in honest.layers}
    figures = weight_leakage(
        honest.plan,
        honest.receiver,
        channels,
        queries={layer.plan.layer: 1 for layer in honest.layers},
        confidence=honest.request.confidence,
    )
    by_name = {figure.adversary: figure.mean_bits_per_symbol for figure in figures}
    worst = by_name["client or thief keeping all the light"]
    tested = by_name["client under verification, asymptotic"]
    return (
        f"Every image sends the weights again, so the leakage grows with the number of images. One "
        f"image alone would have told a client {bits(tested)} bit per weight under verification, "
        f"and {bits(worst)} bit per weight if it had kept all the light.\n"
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small matrices are faster on one thread, above all where the cores are busy."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
