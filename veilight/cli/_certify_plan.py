"""`veilight certify plan`: what a session will be certified at, by share of X and dither of P."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options
from veilight.cli._screen import Screen
from veilight.cli._tables import bits

if TYPE_CHECKING:
    from veilight.certificate_plan import CertificatePlan, PlannedCertificate
    from veilight.config import Configuration

__all__ = ["certify_plan"]


def certify_plan(
    photons: Annotated[
        float, typer.Option("--photons", metavar="MU", help="Photons per mode, of the weights.")
    ],
    modes: Annotated[int, typer.Option("--modes", min=1, help="Optical modes per row.")] = 784,
    symbols: Annotated[
        float, typer.Option("--symbols", min=2, help="That are tested, X and P together.")
    ] = 1e9,
    copies: Annotated[
        int, typer.Option("--copies", min=1, help="Transmissions of the same weights.")
    ] = 1,
    dithers: Annotated[
        str, typer.Option("--dither", metavar="SNU,...", help="Mean squares to compare.")
    ] = "0",
    x_share: Annotated[
        float | None, typer.Option("--x-share", help="Share of X to compare with the best.")
    ] = None,
    receiver: options.ReceiverName = None,
    setting: options.ReceiverSetting = None,
    encoding: options.Encoding = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="Of the certificate (default: 1 - 1e-6).")
    ] = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """What a session will be certified at, and which share of X is best; no light is sent."""
    screen = Screen(as_json=as_json, quiet=quiet)
    configuration = options.configured(
        config,
        receiver=receiver,
        setting=setting,
        protocol__encoding=encoding,
        protocol__x_share=x_share,
        leakage__confidence=confidence,
    )
    values = options.numbers("--dither", dithers)
    assert values is not None
    plan = _plan(configuration, photons, modes, copies, round(symbols))
    rows = _planned(screen, plan, values)
    screen.result({"certificates": [{"kind": kind, **_plain(found)} for kind, found in rows]})
    link = plan.link
    screen.table(
        f"Certified bits per weight, {link.receiver.kind} at {link.receiver.setting:g}, "
        f"{photons:g} photons, {round(symbols):,} symbols, confidence 1 - {plan.failure:.2g}",
        (
            *("dither [SNU]", "share of X", "", "certified", "asymptotic", "ratio"),
            *(["with memory"] if copies > 1 else []),
            "untested",
        ),
        [
            (
                f"{found.plan.dither_snu:g}",
                f"{found.plan.x_share:.3f}",
                kind,
                bits(found.bits),
                bits(found.asymptotic_bits),
                f"{found.ratio:.2f}" if found.asymptotic_bits > 0 else "",
                *([bits(found.bits_with_memory)] if copies > 1 else []),
                bits(found.untested_bits),
            )
            for kind, found in rows
        ],
        numbers=(0, 1, *range(3, 8 if copies > 1 else 7)),
    )
    if copies > 1:
        screen.say(
            "Certified for a channel without memory from copy to copy; with memory: certified "
            "against one memory that meets all copies."
        )
    if any(values) and not link.receiver.preserves_p:
        screen.tell(
            "With this receiver displacements of P tell of the data: `veilight leakage "
            "--probe-photons` has the price, a quarter of the dither being its photons."
        )
    return 0


def _plan(
    configuration: "Configuration", photons: float, modes: int, copies: int, symbols: int
) -> "CertificatePlan":
    from veilight.certificate_plan import CertificatePlan

    if not photons > 0:
        raise ConfigurationError(f"--photons is {photons}, it must be above 0")
    return CertificatePlan(
        link=configuration.link.settings(),
        encoding=configuration.protocol.encoding,
        photons_per_symbol=photons,
        modes=modes,
        copies=copies,
        symbols=symbols,
        failure=1 - configuration.leakage.confidence,
        x_share=configuration.protocol.x_share,
    )


def _planned(
    screen: Screen, plan: "CertificatePlan", dithers: tuple[float, ...]
) -> "list[tuple[str, PlannedCertificate]]":
    from veilight.certificate_plan import best_x_share, planned_certificate

    rows = []
    with screen.progress("certificates", total=float(len(dithers))) as advance:
        for done, dither in enumerate(dithers, start=1):
            one = replace(plan, dither_snu=dither)
            rows += [("as asked", planned_certificate(one)), ("best", best_x_share(one))]
            advance(float(done))
    return rows


def _plain(found: "PlannedCertificate") -> dict[str, Any]:
    return {
        "dither_snu": found.plan.dither_snu,
        "x_share": found.plan.x_share,
        "bits_per_weight": found.bits,
        "bits_per_weight_with_memory": found.bits_with_memory,
        "asymptotic_bits_per_weight": found.asymptotic_bits,
        "untested_bits_per_weight": found.untested_bits,
    }
