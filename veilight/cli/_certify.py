"""`veilight certify`: signed statements of what a finished run can have leaked."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from drivers.errors import ConfigurationError, DataError, VerificationError
from veilight.cli import _options as options
from veilight.cli._certify_plan import certify_plan
from veilight.cli._certify_show import show_statement
from veilight.cli._outputs import prepare_folder, write_text
from veilight.cli._screen import Screen
from veilight.cli._tables import counted

if TYPE_CHECKING:
    from protocol.certificates import RunFacts, SessionRecord, Statement

__all__ = ["certify_app"]

RESULT = "result.json"
_DEFAULT = "run"


class _RunByDefault(TyperGroup):
    """A group in which `certify FOLDER` means `certify run FOLDER`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command in front of what is no command."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


certify_app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    help="Signed statements of what a finished run can have leaked: certify RUN_FOLDER.",
)


@certify_app.command(_DEFAULT)
def certify_run(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, with its result.json.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="Private key; without it nothing is signed.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", help="Joint, such as 0.999999 (default: the run's)."),
    ] = None,
    run: Annotated[
        int | None, typer.Option("--run", min=1, help="Which run, where a file holds several.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for leakage against tested symbols.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace certificates that exist.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Write and show the statements of both sides of a run (the default command)."""
    from protocol.certificates import client_statement, read_private_key, server_statement, sign

    screen = Screen(as_json=as_json, quiet=quiet)
    signer = None if key is None else read_private_key(key)
    facts, record, result = _read_run(folder, run)
    which = "" if run is None else f"-{run}"
    names = {side: f"certificate{which}.{side}.json" for side in ("server", "client")}
    prepare_folder(folder, tuple(names.values()), overwrite=overwrite)
    statements = {
        "server": server_statement(facts, record, confidence),
        "client": client_statement(facts, record, result["data_leaked"]),
    }
    certificates = {side: sign(statement, signer) for side, statement in statements.items()}
    for side, certificate in certificates.items():
        write_text(folder / names[side], _text(certificate))
    files = {side: str(folder / name) for side, name in names.items()}
    if plots is not None:
        files["plots"] = ", ".join(_plots(screen, record, statements["server"], plots))
    screen.result({**certificates, "files": files})
    for statement in statements.values():
        show_statement(screen, statement)
    screen.tell("Signed." if signer is not None else "UNSIGNED: give --key to sign.")
    screen.say("Written: " + ", ".join(files.values()))
    return 0


certify_app.command("plan")(certify_plan)


@certify_app.command("verify")
def certify_verify(
    file: Annotated[Path, typer.Argument(help="A certificate.")],
    public_key: Annotated[
        str | None,
        typer.Option("--public-key", help="Of who must have signed: 64 digits, or a .pub file."),
    ] = None,
    result: Annotated[
        Path | None,
        typer.Option("--result", help="The run's result.json (default: the one beside it)."),
    ] = None,
    real_light: Annotated[
        bool, typer.Option("--real-light", help="Refuse a certificate of simulated light.")
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            "--ledger", help="The ledger itself: its chain must hold head and thresholds."
        ),
    ] = None,
    as_json: options.Json = False,
) -> int:
    """Check signature, ledger head and thresholds of a certificate; say what does not match."""
    from protocol.certificates import (
        earlier_format,
        ledger_mismatches,
        parse_json,
        pool_mismatches,
        require_real_light,
        verify_certificate,
    )
    from protocol.ledger import read_history, read_tests

    screen = Screen(as_json=as_json)
    certificate = parse_json(_bytes(file), str(file))
    beside = result or file.with_name(RESULT)
    expected: dict[str, Any] = {}
    record: SessionRecord | None = None
    if result is not None or beside.is_file():
        expected, record = _expected(beside, certificate)
    found = verify_certificate(certificate, public_key=_public_key(public_key), **expected)
    if ledger is not None:
        against = ledger_mismatches(certificate, read_history(ledger))
        server = certificate["statement"].get("side") == "server"
        if server and not against and record is not None and record.ledger is not None:
            against = pool_mismatches(record, read_tests(ledger, record.ledger.entries))
        found += against
    statement, signature = certificate["statement"], certificate.get("signature") or {}
    earlier = earlier_format(statement)
    screen.result(
        {
            "file": str(file),
            "matches": not found,
            "mismatches": [{"what": entry.what, "reason": entry.reason} for entry in found],
            "light": statement.get("light"),
            "public_key": signature.get("public_key"),
            "compared_with_result": bool(expected),
            "compared_with_ledger": ledger is not None,
            "earlier_format": earlier,
        }
    )
    if found:
        raise VerificationError(
            f"{file}: does not match: "
            + "; ".join(f"{entry.what}: {entry.reason}" for entry in found)
        )
    if real_light:
        require_real_light(certificate)
    signer = "by the key asked for" if public_key else "by the key that it names itself"
    screen.tell(f"{file}: the signature holds, {signer}: {signature.get('public_key')}")
    compared = "no result.json compared"
    if expected:
        compared = "ledger head, thresholds, result and numbers match"
    screen.tell(f"{compared}; light: {statement.get('light')}")
    if earlier is not None:
        screen.tell(f"Its format is {earlier}")
    if ledger is not None:
        screen.tell(f"{ledger}: its chain holds the head that is named, and what was fixed before")
    return 0


@certify_app.command("keys")
def certify_keys(
    file: Annotated[Path, typer.Argument(help="New file for the private key.")],
    as_json: options.Json = False,
) -> int:
    """Make a private key (mode 0600) and FILE.pub, which the other side is given."""
    from protocol.certificates import generate_key, public_key_text, write_key

    screen = Screen(as_json=as_json)
    public = file.with_name(f"{file.name}.pub")
    prepare_folder(file.parent, (file.name, public.name), overwrite=False)
    key = generate_key()
    write_key(file, key)
    write_text(public, public_key_text(key) + "\n")
    screen.result({"private": str(file), "public": str(public), "key": public_key_text(key)})
    screen.tell(f"Private key: {file} (keep it; nobody else may read it)")
    screen.tell(f"Public key: {public}: {public_key_text(key)}")
    return 0


def _read_run(folder: Path, run: int | None) -> "tuple[RunFacts, SessionRecord, dict[str, Any]]":
    """What `result.json` says of one run."""
    path = folder / RESULT
    runs, digest = _read_runs(path)
    if run is None and len(runs) > 1:
        raise ConfigurationError(f"{path}: it holds {len(runs)} runs; say which with --run")
    if (run or 1) > len(runs):
        raise ConfigurationError(f"{path}: it holds {counted(len(runs), 'run')}, not {run}")
    result = runs[(run or 1) - 1]
    return *_facts_and_record(path, result, digest), result


def _read_runs(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The runs of a `result.json`, and its fingerprint."""
    import hashlib

    from protocol.certificates import parse_json

    content = _bytes(path)
    runs = parse_json(content, str(path)).get("runs")
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise DataError(f"{path}: it holds no runs; give the folder of veilight infer")
    return runs, hashlib.sha256(content).hexdigest()


def _facts_and_record(
    path: Path, result: dict[str, Any], digest: str
) -> "tuple[RunFacts, SessionRecord]":
    from protocol.certificates import RunFacts, session_record_from

    if "certificate" not in result:
        raise DataError(
            f"{path}: it holds no record for certificates; it was written by an older veilight. "
            "Sufficient statistics cannot be made up afterwards: run the session again."
        )
    try:
        facts = RunFacts(
            simulated=result["simulated"] is not False,
            title=str(result["title"]),
            started=str(result["started"]),
            accepted=bool(result["accepted"]),
            backend=str(result["backend"]),
            taints=tuple(str(taint) for taint in result["taints"]),
            result_sha256=digest,
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: a run without {error}; it is damaged") from error
    return facts, session_record_from(result["certificate"])


def _expected(path: Path, certificate: dict[str, Any]) -> "tuple[dict[str, Any], SessionRecord]":
    """What the run's record says that a certificate must repeat, and the record."""
    from protocol.certificates import client_statement, server_statement

    runs, digest = _read_runs(path)
    statement = certificate.get("statement") or {}
    named = tuple(statement.get(name) for name in ("title", "started", "accepted"))
    found = [run for run in runs if tuple(map(run.get, ("title", "started", "accepted"))) == named]
    if len(found) != 1:
        raise DataError(
            f"{path}: it does not hold the run of the certificate, {named[0]!r} of {named[1]}; "
            "name the run's own file with --result"
        )
    facts, record = _facts_and_record(path, found[0], digest)
    server = statement.get("side") == "server"
    ledger = record.ledger if server else record.data_ledger
    expected = {
        "result_sha256": digest,
        "thresholds_sha256": record.thresholds.sha256,
        "ledger_head": None if ledger is None else (ledger.entries, ledger.hash),
    }
    if record.thresholds.sha256 != record.thresholds_sha256:
        return expected, record  # no statement can be made from it
    rebuilt = (
        server_statement(facts, record, statement.get("confidence"))
        if server
        else client_statement(facts, record, found[0]["data_leaked"])
    )
    return {**expected, "rebuilt": rebuilt}, record


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _public_key(text: str | None) -> str | None:
    if text is None or len(text) == 64:
        return text
    return _bytes(Path(text)).decode("ascii", errors="replace").strip()


def _text(certificate: dict[str, Any]) -> str:
    import json

    return json.dumps(certificate, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _plots(
    screen: Screen, record: "SessionRecord", statement: "Statement", folder: Path
) -> list[str]:
    """One picture per layer: the three receivers at the signal-to-noise factor of the run's."""
    from drivers.receivers import receiver as receiver_of
    from veilight.certificate_plots import (
        leakage_curve,
        receivers_of_equal_signal,
        write_leakage_plot,
    )

    thresholds = record.thresholds
    own = receiver_of(thresholds.receiver, thresholds.receiver_setting)
    tested = {
        layer.layer: sum(sums.symbols for sums in (layer.tested_x, layer.tested_p) if sums)
        for layer in record.layers
    }
    prepare_folder(folder, overwrite=True)
    paths = []
    points = 0
    with screen.progress("plots") as advance:

        def moved() -> None:
            nonlocal points
            points += 1
            advance(points)

        for layer in thresholds.layers:
            curves = [
                leakage_curve(
                    receiver,
                    modes=layer.modes,
                    photons_per_symbol=layer.photons_per_symbol,
                    encoding=layer.encoding,
                    copies=layer.copies,
                    x_share=thresholds.x_share,
                    dither_snu=layer.dither_p_snu,
                    confidence=statement.confidence or thresholds.confidence,
                    on_point=moved,
                )
                for receiver in receivers_of_equal_signal(own.snr_factor, layer.encoding)
            ]
            path = folder / f"leakage-layer-{layer.layer}.png"
            mu, copies = layer.photons_per_symbol, counted(layer.copies, "copy")
            title = f"{layer.name}, {mu:.3g} photons, {copies}"
            write_leakage_plot(curves, title, path, tested[layer.layer])
            paths.append(str(path))
    return paths
