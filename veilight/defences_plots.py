"""Picture of what defences buy: what an attacker got of the weights against the queries it kept."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from veilight.defences_measured import DefencePoint

__all__ = ["draw_defences"]

# Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def draw_defences(points: Sequence[DefencePoint], title: str) -> Figure:
    """Bits per weight against queries: measured solid, naively dotted, stated black."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(point.defence for point in points))
    # Of the first settings: photon numbers that are drawn make others a little larger or smaller.
    stated = sorted(
        (p.queries, p.bits_holevo, p.bits_homodyne) for p in points if p.defence == names[0]
    )
    queries = [entry[0] for entry in stated]
    axes.plot(queries, [entry[1] for entry in stated], color="black", label="bound, χ(K f μ)")
    axes.plot(
        queries,
        [entry[2] for entry in stated],
        color="black",
        linestyle="--",
        label="bound for homodyne detection",
    )
    for name, colour in zip(names, _COLOURS * (len(names) // len(_COLOURS) + 1), strict=False):
        own = [point for point in points if point.defence == name]
        counts = [point.queries for point in own]
        axes.errorbar(
            counts,
            [point.aligned.bits for point in own],
            yerr=[point.aligned.bits_error for point in own],
            color=colour,
            marker="o",
            label=name,
        )
        axes.plot(counts, [point.naive.bits for point in own], color=colour, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("queries whose light was kept")
    axes.set_ylabel("bits per weight (dotted: averaged without matching)")
    axes.set_title(title, fontsize="medium")
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    axes.grid(alpha=0.3)
    return figure
