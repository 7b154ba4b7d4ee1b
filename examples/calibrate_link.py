"""Measure a lossy simulated link with known frames and compare with what its optics claim."""

from calibration.link import calibrate_link
from drivers.receivers import Amplifier
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink


def main() -> None:
    link = SymbolLink(
        LinkSettings(
            receiver=Amplifier(gain=2.0),
            forward_transmittance=0.9,
            return_transmittance=0.9,
            server=DetectorSettings(efficiency=0.85, electronic_noise_snu=0.05),
            seed=1,
        )
    )
    found = calibrate_link(link.server, link.client)
    for name, value in (
        ("client's signal gain", found.signal_gain),
        ("client's outcome variance [SNU]", found.outcome_variance_snu),
        ("round-trip gain", found.return_gain),
    ):
        print(
            f"{name:34s} {value.value:.4f} +- {value.uncertainty:.4f} (claimed {value.claimed:.4f})"
        )


if __name__ == "__main__":
    main()
