"""`veilight reconstruct`: what curious parties get, measured, beside what is stated."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options
from veilight.cli._outputs import prepare_folder
from veilight.cli._reconstruct_defences import reconstruct_defences
from veilight.cli._reconstruct_model import reconstruct_model
from veilight.cli._reconstruct_show import (
    show_counting,
    show_dictionary,
    show_inputs,
    show_probing,
    show_weights,
)
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivers.receivers import Receiver
    from veilight.reconstruct import DictionaryAttack
    from veilight.reconstruct_counting import CountingPoint
    from veilight.reconstruct_probing import ProbingPoint
    from veilight.reconstruct_weights import WeightPoint

__all__ = ["reconstruct_app"]

Setting = Annotated[
    float, typer.Option("--setting", help="Gain of the amplifier or tapped fraction of a tap.")
]
Kind = Annotated[
    str, typer.Option("--receiver", help="amplifier, feed-forward-tap or passive-tap.")
]
Plots = Annotated[Path | None, typer.Option("--plots", help="Folder for the pictures.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Makes the draws repeat.")]

reconstruct_app = typer.Typer(
    no_args_is_help=True,
    help="What curious parties get from simulated light, measured beside the stated bounds.",
)
reconstruct_app.command("defences")(reconstruct_defences)
reconstruct_app.command("model")(reconstruct_model)


@reconstruct_app.command("inputs")
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
    from veilight.reconstruct import (
        attack_dictionary,
        measure_inputs,
        refuse_gains_above_bounds,
        unit_vectors,
    )

    screen = Screen(as_json=as_json, quiet=quiet)
    own = receiver_of(receiver, setting)
    counts = options.whole_numbers("--rows", rows)
    if plots is not None:
        prepare_folder(plots, overwrite=True)
    vectors = unit_vectors(load(data, label_column=label_column).test.inputs, images, seed)
    attacks, points = [], []
    receivers = _equal_signal(own)
    counted, probed = _better_servers(own, vectors, counts, trials, seed, probe_photons)
    with screen.progress("attacks", total=len(receivers) + len(counts)) as advance:
        for other in receivers:
            attacks.append(attack_dictionary(other, candidates=candidates, cosine=cosine))
            advance(len(attacks))
        for count in counts:
            found = measure_inputs(own, vectors, rows=[count], trials=trials, seed=seed)
            points.extend(found)
            advance(len(receivers) + len(points))
    refuse_gains_above_bounds(attacks=attacks, inputs=points, counting=counted, probing=probed)
    files = [] if plots is None else _draw_inputs(plots, own, attacks, vectors, counts, seed)
    if plots is not None:
        files += _draw_better(plots, own, vectors, counts, seed, probe_photons)
    screen.result(
        {
            "receiver": {"kind": own.kind, "setting": own.setting},
            "candidates": candidates,
            "cosine": cosine,
            "dictionary": [_attack_values(attack) for attack in attacks],
            "data": data,
            "images": images,
            "inputs": [asdict(point) for point in points],
            "counting": [asdict(point) for point in counted],
            "probing": [asdict(point) for point in probed],
            "within_bounds": True,
            "seed": seed,
            "plots": files,
        }
    )
    show_dictionary(screen, attacks, candidates, cosine)
    name = f"{own.kind} at {own.setting:g}, {images} inputs of {data}"
    show_inputs(screen, points, name)
    show_counting(screen, counted, name)
    if probed:
        show_probing(screen, probed, f"{name}, at most {probe_photons:g} photons per mode")
    screen.tell("Every gain is within what is stated.")
    if files:
        screen.say("Written: " + ", ".join(files))
    return 0


@reconstruct_app.command("weights")
def reconstruct_weights(
    photons: Annotated[
        float, typer.Option("--photons", metavar="MU", help="Photons per mode at launch.")
    ] = 0.1,
    modes: Annotated[int, typer.Option("--modes", min=1, help="Weights per row.")] = 64,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows to measure with.")] = 500,
    queries: Annotated[
        str, typer.Option("--queries", metavar="K,...", help="Queries, or copies tapped.")
    ] = "1,16,64,640,6400",
    fraction: Annotated[
        float, typer.Option("--fraction", help="Of the light of every copy, kept.")
    ] = 0.1,
    receiver: Kind = "amplifier",
    setting: Setting = 2.0,
    seed: Seed = 0,
    plots: Plots = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """A client asks for the weights, or keeps light: signal-to-noise and bits per weight."""
    from drivers.receivers import receiver as receiver_of
    from veilight.reconstruct import refuse_gains_above_bounds
    from veilight.reconstruct_weights import measure_weights, picture_row

    screen = Screen(as_json=as_json, quiet=quiet)
    own = receiver_of(receiver, setting)
    counts = options.whole_numbers("--queries", queries)
    if plots is not None:
        prepare_folder(plots, overwrite=True)
    points = measure_weights(
        own,
        photons_per_symbol=photons,
        modes=modes,
        rows=rows,
        copies=counts,
        fraction=fraction,
        seed=seed,
    )
    refuse_gains_above_bounds(weights=points)
    title = f"{own.kind} at {own.setting:g}, {photons:g} photons, {modes} modes"
    files = []
    if plots is not None:
        truth = _some_rows(modes, seed)
        lines = picture_row(
            own, truth, photons_per_symbol=photons, copies=counts, fraction=fraction, seed=seed
        )
        files = _draw_weights(plots, points, title, lines, truth[0])
    screen.result(
        {
            "receiver": {"kind": own.kind, "setting": own.setting},
            "photons_per_symbol": photons,
            "modes": modes,
            "fraction": fraction,
            "weights": [asdict(point) for point in points],
            "within_bounds": True,
            "seed": seed,
            "plots": files,
        }
    )
    show_weights(screen, points, f"{title}, fraction {fraction:g} kept")
    screen.tell("Every gain is within what is stated.")
    if files:
        screen.say("Written: " + ", ".join(files))
    return 0


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


def _draw_inputs(
    folder: Path,
    own: "Receiver",
    attacks: "list[DictionaryAttack]",
    vectors: "NDArray[np.float64]",
    counts: tuple[int, ...],
    seed: int,
) -> list[str]:
    from veilight.reconstruct import picture_series
    from veilight.reconstruct_plots import draw_inputs, draw_success, write_picture

    series = picture_series(own, vectors, rows=counts, seed=seed)
    name = f"{own.kind} at {own.setting:g}"
    pictures, success = folder / "inputs.png", folder / "success.png"
    write_picture(draw_inputs(series, f"What the server sees, {name}"), pictures)
    write_picture(draw_success(attacks, "One input out of a dictionary"), success)
    return [str(pictures), str(success)]


def _better_servers(
    own: "Receiver",
    vectors: "NDArray[np.float64]",
    counts: tuple[int, ...],
    trials: int,
    seed: int,
    probe_photons: float,
) -> "tuple[list[CountingPoint], list[ProbingPoint]]":
    """A server that counts photons, and one that probes P if the client lets it."""
    from veilight.reconstruct_counting import measure_counting
    from veilight.reconstruct_probing import measure_probing

    counted = measure_counting(own, vectors, rows=counts, trials=trials, seed=seed)
    if probe_photons == 0:
        return counted, []
    return counted, measure_probing(
        own,
        vectors,
        probe_photons_per_mode=probe_photons,
        rows=counts,
        trials=trials,
        seed=seed,
    )


def _draw_better(
    folder: Path,
    own: "Receiver",
    vectors: "NDArray[np.float64]",
    counts: tuple[int, ...],
    seed: int,
    probe_photons: float,
) -> list[str]:
    from veilight.reconstruct_counting import counting_pictures
    from veilight.reconstruct_plots import draw_inputs, write_picture
    from veilight.reconstruct_probing import probing_pictures

    name = f"{own.kind} at {own.setting:g}"
    series = counting_pictures(own, vectors, rows=counts, seed=seed)
    files = [folder / "counting.png"]
    title = f"What the server counts, {name}"
    write_picture(draw_inputs(series, title, "photons\ncounted"), files[0])
    if probe_photons > 0:
        series = probing_pictures(
            own, vectors, probe_photons_per_mode=probe_photons, rows=counts, seed=seed
        )
        files.append(folder / "probing.png")
        title = f"What a probe in P sees, {name}, {probe_photons:g} photons per mode"
        write_picture(draw_inputs(series, title, "likeliest\ndirection"), files[1])
    return [str(path) for path in files]


def _draw_weights(
    folder: Path,
    points: "list[WeightPoint]",
    title: str,
    lines: "list[tuple[str, list[tuple[int, NDArray[np.float64]]]]]",
    truth: "NDArray[np.float64]",
) -> list[str]:
    from veilight.reconstruct_plots import draw_rows, draw_weights, write_picture

    files = [folder / "weights.png", folder / "weight-rows.png"]
    write_picture(draw_weights(points, title), files[0])
    named = [(way, [(f"{count} copies", row) for count, row in rows]) for way, rows in lines]
    write_picture(draw_rows(truth, named, f"One row of weights, {title}"), files[1])
    return [str(path) for path in files]


def _some_rows(modes: int, seed: int) -> "NDArray[np.float64]":
    """Rows whose picture one can tell: digits less their mean where they fit, else noise."""
    import numpy as np

    from veilight.datasets import load

    inputs = load("digits").train.inputs
    flat = inputs.reshape(len(inputs), -1).astype(np.float64)
    if flat.shape[1] != modes:
        return np.random.default_rng(seed).standard_normal((1, modes))
    return np.asarray(flat[:10] - flat.mean(axis=0))
