"""`veilight reconstruct`: what curious parties get, measured, beside what is stated."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options
from veilight.cli._outputs import prepare_folder
from veilight.cli._reconstruct_defences import reconstruct_defences
from veilight.cli._screen import Screen
from veilight.cli._tables import bits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivers.receivers import Receiver
    from veilight.reconstruct import DictionaryAttack, InputPoint
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
    with screen.progress("attacks", total=len(receivers) + len(counts)) as advance:
        for other in receivers:
            attacks.append(attack_dictionary(other, candidates=candidates, cosine=cosine))
            advance(len(attacks))
        for count in counts:
            found = measure_inputs(own, vectors, rows=[count], trials=trials, seed=seed)
            points.extend(found)
            advance(len(receivers) + len(points))
    refuse_gains_above_bounds(attacks=attacks, inputs=points)
    files = [] if plots is None else _draw_inputs(plots, own, attacks, vectors, counts, seed)
    screen.result(
        {
            "receiver": {"kind": own.kind, "setting": own.setting},
            "candidates": candidates,
            "cosine": cosine,
            "dictionary": [_attack_values(attack) for attack in attacks],
            "data": data,
            "images": images,
            "inputs": [asdict(point) for point in points],
            "within_bounds": True,
            "seed": seed,
            "plots": files,
        }
    )
    _show_dictionary(screen, attacks, candidates, cosine)
    _show_inputs(screen, points, f"{own.kind} at {own.setting:g}, {images} inputs of {data}")
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
    from veilight.reconstruct_weights import measure_weights

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
    files = [] if plots is None else _draw_weights(plots, points, title)
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
    _show_weights(screen, points, f"{title}, fraction {fraction:g} kept")
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


def _draw_weights(folder: Path, points: "list[WeightPoint]", title: str) -> list[str]:
    from veilight.reconstruct_plots import draw_weights, write_picture

    path = folder / "weights.png"
    write_picture(draw_weights(points, title), path)
    return [str(path)]


def _show_dictionary(
    screen: Screen, attacks: "list[DictionaryAttack]", candidates: int, cosine: float
) -> None:
    screen.table(
        f"Rows to single out one input in {candidates:,}, cosine {cosine:g}",
        ("receiver", "noise [SNU]", "50 %", "99 %", "stated least", "50 % impossible below"),
        [
            (
                f"{attack.receiver.kind} at {attack.receiver.setting:.4g}",
                f"{attack.excess_noise_snu:.4g}",
                _rows(attack.rows_half),
                _rows(attack.rows_sure),
                _rows(attack.stated_rows),
                _rows(attack.fano_rows_half),
            )
            for attack in attacks
        ],
        numbers=(1, 2, 3, 4, 5),
    )
    if not attacks[0].curve:
        return
    screen.table(
        f"Success against rows, {attacks[0].receiver.kind}",
        ("rows", "success", "at least", "at most", "gain [bit]", "stated [bit]"),
        [
            (
                str(point.rows),
                f"{point.success:.1%}",
                f"{point.at_least:.1%}",
                f"{point.bound:.1%}",
                bits(point.bits),
                bits(point.bits_bound),
            )
            for point in attacks[0].curve
        ],
        numbers=(0, 1, 2, 3, 4, 5),
    )


def _show_inputs(screen: Screen, points: "list[InputPoint]", title: str) -> None:
    columns = (
        "rows",
        "found",
        "at most",
        "overlap² X",
        "P",
        "theory",
        "gain [bit/value]",
        "stated, at most",
        "estimate",
    )
    screen.table(
        f"Played: {title}",
        columns,
        [
            (
                str(point.rows),
                f"{point.found:.0%}",
                f"{point.found_bound:.0%}",
                f"{point.overlap_x:.3f}",
                f"{point.overlap_p:.3f}",
                f"{point.overlap_theory:.3f}",
                bits(point.bits),
                bits(point.bits_cap),
                bits(point.bits_estimate),
            )
            for point in points
        ],
        numbers=tuple(range(len(columns))),
    )


def _show_weights(screen: Screen, points: "list[WeightPoint]", title: str) -> None:
    screen.table(
        f"Weights: {title}",
        ("way", "copies", "SNR", "stated", "gain [bit]", "stated [bit]", "any measurement"),
        [
            (
                point.way,
                str(point.copies),
                bits(point.gain.signal_to_noise),
                bits(point.snr_stated),
                f"{bits(point.gain.bits)} ± {point.gain.bits_error:.1g}",
                bits(point.bits_bound),
                bits(point.bits_holevo),
            )
            for point in points
        ],
        numbers=(1, 2, 3, 4, 5, 6),
    )


def _rows(value: float) -> str:
    return "never" if value == float("inf") else f"{value:,.0f}"
