"""`veilight reconstruct inputs`: what a server reads of inputs in the light that returns."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options
from veilight.cli._outputs import prepare_folder
from veilight.cli._reconstruct_options import Kind, Plots, Seed, Setting
from veilight.cli._reconstruct_show import (
    show_counting,
    show_dictionary,
    show_end,
    show_inputs,
    show_probing,
)
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivers.receivers import Receiver
    from veilight.reconstruct import DictionaryAttack, InputPoint
    from veilight.reconstruct_counting import CountingPoint
    from veilight.reconstruct_probing import ProbingPoint

__all__ = ["reconstruct_inputs"]


def reconstruct_inputs(
    data: options.DataSpec = "digits",
    receiver: Kind = "amplifier",
    setting: Setting = 2.0,
    candidates: Annotated[
        int, typer.Option("--candidates", min=3, help="Size of the server's dictionary.")
    ] = 1_000_000,
    cosine: Annotated[
        float, typer.Option("--cosine", help="Cosine between any two of its entries.")
    ] = 0.5,
    rows: Annotated[
        str, typer.Option("--rows", metavar="M,...", help="Rows for the inputs of --data.")
    ] = "16,64,256,1024",
    images: Annotated[
        int, typer.Option("--images", min=3, help="Inputs of --data that are the dictionary.")
    ] = 300,
    trials: Annotated[int, typer.Option("--trials", min=2, help="Repetitions.")] = 40,
    probe_photons: Annotated[
        float,
        typer.Option("--probe-photons", help="Client's limit on light in P per mode; 0: no probe."),
    ] = 0.0,
    seed: Seed = 0,
    plots: Plots = None,
    label_column: options.LabelColumn = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """A server looks for the input in the returned noise: rows, success, pictures."""
    from drivers.receivers import receiver as receiver_of
    from veilight.datasets import load
    from veilight.reconstruct import unit_vectors

    screen = Screen(as_json=as_json, quiet=quiet)
    own = receiver_of(receiver, setting)
    counts = options.whole_numbers("--rows", rows)
    if plots is not None:
        prepare_folder(plots, overwrite=True)
    study = _Study(
        own=own,
        candidates=candidates,
        cosine=cosine,
        vectors=unit_vectors(load(data, label_column=label_column).test.inputs, images, seed),
        rows=counts,
        trials=trials,
        probe_photons=probe_photons,
        seed=seed,
    )
    found = _measure(screen, study)
    files = [] if plots is None else _draw(plots, study, found)
    given = {"data": data, "images": images}
    screen.result(_values(study, found) | given | {"plots": files})
    _show(screen, study, found, f"{study.name}, {images} inputs of {data}")
    show_end(screen, files)
    return 0


@dataclass(frozen=True, kw_only=True)
class _Study:
    """What servers are let loose on.

    Args:
        own: the client's receiver.
        candidates: size of the dictionary of a server that has one.
        cosine: between any two of its entries.
        vectors: the inputs, of unit length, shape (inputs, modes).
        rows: how many returns of an input a server has, one count per point.
        trials: repetitions.
        probe_photons: client's limit on light in P per mode; 0 for no probe.
        seed: of all draws.
    """

    own: "Receiver"
    candidates: int
    cosine: float
    vectors: "NDArray[np.float64]"
    rows: tuple[int, ...]
    trials: int
    probe_photons: float
    seed: int

    @property
    def name(self) -> str:
        """The receiver in words."""
        return f"{self.own.kind} at {self.own.setting:g}"


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What each kind of server got; every gain is within what is stated."""

    attacks: "list[DictionaryAttack]"
    points: "list[InputPoint]"
    counted: "list[CountingPoint]"
    probed: "list[ProbingPoint]"


def _measure(screen: Screen, study: _Study) -> _Found:
    from veilight.reconstruct import attack_dictionary, measure_inputs, refuse_gains_above_bounds

    own, vectors = study.own, study.vectors
    counted, probed = _better_servers(study)
    attacks: list[DictionaryAttack] = []
    points: list[InputPoint] = []
    receivers = _equal_signal(own)
    with screen.progress("attacks", total=len(receivers) + len(study.rows)) as advance:
        for other in receivers:
            attacks.append(
                attack_dictionary(other, candidates=study.candidates, cosine=study.cosine)
            )
            advance(len(attacks))
        for count in study.rows:
            points += measure_inputs(
                own, vectors, rows=[count], trials=study.trials, seed=study.seed
            )
            advance(len(attacks) + len(points))
    refuse_gains_above_bounds(attacks=attacks, inputs=points, counting=counted, probing=probed)
    return _Found(attacks=attacks, points=points, counted=counted, probed=probed)


def _values(study: _Study, found: _Found) -> dict[str, object]:
    """What machines read."""
    return {
        "receiver": {"kind": study.own.kind, "setting": study.own.setting},
        "candidates": study.candidates,
        "cosine": study.cosine,
        "dictionary": [_attack_values(attack) for attack in found.attacks],
        "inputs": [asdict(point) for point in found.points],
        "counting": [asdict(point) for point in found.counted],
        "probing": [asdict(point) for point in found.probed],
        "within_bounds": True,
        "seed": study.seed,
    }


def _show(screen: Screen, study: _Study, found: _Found, title: str) -> None:
    show_dictionary(screen, found.attacks, study.candidates, study.cosine)
    show_inputs(screen, found.points, title)
    show_counting(screen, found.counted, title)
    if found.probed:
        limit = f"at most {study.probe_photons:g} photons per mode"
        show_probing(screen, found.probed, f"{title}, {limit}")


def _equal_signal(own: "Receiver") -> "list[Receiver]":
    """The receiver, and those of other kinds at the same signal-to-noise ratio."""
    from veilight.certificate_plots import receivers_of_equal_signal

    try:
        others = receivers_of_equal_signal(own.snr_factor, "real")
    except ConfigurationError:  # all the light tapped: no other kind is as good
        others = ()
    return [own, *(other for other in others if other.kind != own.kind)]


def _attack_values(attack: "DictionaryAttack") -> dict[str, object]:
    return {
        **asdict(attack),
        "receiver": {"kind": attack.receiver.kind, "setting": attack.receiver.setting},
    }


def _better_servers(study: _Study) -> "tuple[list[CountingPoint], list[ProbingPoint]]":
    """A server that counts photons, and one that probes P if the client lets it."""
    from veilight.reconstruct_counting import measure_counting
    from veilight.reconstruct_probing import measure_probing

    counted = measure_counting(
        study.own, study.vectors, rows=study.rows, trials=study.trials, seed=study.seed
    )
    if study.probe_photons == 0:
        return counted, []
    return counted, measure_probing(
        study.own,
        study.vectors,
        probe_photons_per_mode=study.probe_photons,
        rows=study.rows,
        trials=study.trials,
        seed=study.seed,
    )


def _draw(folder: Path, study: _Study, found: _Found) -> list[str]:
    from veilight.reconstruct import picture_series
    from veilight.reconstruct_counting import counting_pictures
    from veilight.reconstruct_plots import draw_inputs, draw_success, write_picture
    from veilight.reconstruct_probing import probing_pictures

    own, vectors, name = study.own, study.vectors, study.name
    series = picture_series(own, vectors, rows=study.rows, seed=study.seed)
    counted = counting_pictures(own, vectors, rows=study.rows, seed=study.seed)
    figures = {
        "inputs.png": draw_inputs(series, f"What the server sees, {name}"),
        "success.png": draw_success(found.attacks, "One input out of a dictionary"),
        "counting.png": draw_inputs(counted, f"What the server counts, {name}", "photons\ncounted"),
    }
    photons = study.probe_photons
    if photons > 0:
        probed = probing_pictures(
            own, vectors, probe_photons_per_mode=photons, rows=study.rows, seed=study.seed
        )
        title = f"What a probe in P sees, {name}, {photons:g} photons per mode"
        figures["probing.png"] = draw_inputs(probed, title, "likeliest\ndirection")
    for file, figure in figures.items():
        write_picture(figure, folder / file)
    return [str(folder / file) for file in figures]
