"""The commands and their options; what they do is in a module each, imported when called."""

from pathlib import Path
from typing import Annotated

import typer

from veilight._version import __version__
from veilight.cli import _options as options
from veilight.cli._bench_app import bench_app
from veilight.cli._certify import certify_app
from veilight.cli._cost import cost
from veilight.cli._driver_app import driver_app
from veilight.cli._exit_codes import EXIT_CODES_TEXT
from veilight.cli._frontier import frontier_app
from veilight.cli._groups import grouped
from veilight.cli._infer_options import InferenceOrder, LightOptions, SessionOptions
from veilight.cli._reconstruct import reconstruct_app
from veilight.cli._renew import renew
from veilight.cli._screen import Screen

__all__ = ["app"]

app = typer.Typer(
    name="veilight",
    help="Deep-learning inference over light that keeps the server's weights and the client's "
    "data private, on a simulated link or a bench of instruments.",
    epilog=EXIT_CODES_TEXT,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
config_app = typer.Typer(help="The settings of a run.")
app.add_typer(config_app, name="config")
app.add_typer(bench_app, name="bench")
app.add_typer(driver_app, name="driver")
app.add_typer(certify_app, name="certify")
app.add_typer(reconstruct_app, name="reconstruct")
app.add_typer(frontier_app, name="frontier")


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(f"veilight {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the report (default: a new one).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Makes the demo repeat.")] = 1,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Train, infer over light, verify; then catch a client that keeps half of the light."""
    from veilight.cli._demo import run_demo

    return run_demo(Screen(as_json=as_json, quiet=quiet), out=out, seed=seed)


@app.command()
def train(
    save: Annotated[Path, typer.Option("--save", help="Where the model goes: NAME.safetensors.")],
    data: options.DataSpec = "digits",
    network: Annotated[str, typer.Option("--network", help="mlp, cnn or transformer.")] = "mlp",
    hidden: Annotated[
        str | None, typer.Option("--hidden", metavar="N,...", help="Widths of the hidden layers.")
    ] = None,
    bias: Annotated[bool, typer.Option("--bias/--no-bias", help="Layers with a bias.")] = True,
    standardise: Annotated[
        bool | None,
        typer.Option(
            "--standardise/--no-standardise",
            help="Scale each column of a table by itself (default: where their units differ).",
        ),
    ] = None,
    signal_to_noise: Annotated[
        str | None,
        typer.Option(
            "--signal-to-noise",
            metavar="F2,...|none",
            help="F^2 of each optical layer in training; none trains without noise.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Per step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The largest of the schedule.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="constant, cosine or one-cycle.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Makes the training repeat.")] = None,
    onnx: Annotated[Path | None, typer.Option("--onnx", help="Also as NAME.onnx.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    label_column: options.LabelColumn = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Train a network, with the noise of the light in the training if you like."""
    from veilight.cli._train import run_train

    configuration = options.configured(
        config,
        training__epochs=epochs,
        training__batch_size=batch_size,
        training__learning_rate=learning_rate,
        training__schedule=schedule,
        training__seed=seed,
        training__signal_to_noise=()
        if signal_to_noise == "none"
        else options.numbers("--signal-to-noise", signal_to_noise),
    )
    return run_train(
        Screen(as_json=as_json, quiet=quiet),
        configuration,
        data=data,
        label_column=label_column,
        network=network,
        hidden=None if hidden is None else options.whole_numbers("--hidden", hidden),
        bias=bias,
        standardise=standardise,
        save=save,
        onnx=onnx,
        overwrite=overwrite,
    )


@app.command()
@grouped
def infer(
    order: InferenceOrder,
    light: LightOptions,
    session: SessionOptions,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Run a model over the simulated link or a bench: verdict, accuracy, who learned what."""
    from veilight.cli._infer import run_infer

    order.refuse_idle(light)
    configuration = light.configured(config, **session.changes())
    return run_infer(Screen(as_json=as_json, quiet=quiet), configuration, order)


app.command()(cost)


@app.command()
@grouped
def leakage(
    light: LightOptions,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="M,...", help="Weight rows per layer.")
    ] = None,
    modes: Annotated[
        str | None, typer.Option("--modes", metavar="N,...", help="Optical modes per row.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Take the layers from a model file.")
    ] = None,
    queries: Annotated[
        int, typer.Option("--queries", min=1, help="Queries, all clients together.")
    ] = 1,
    tested_symbols: Annotated[
        int,
        typer.Option(
            "--tested-symbols", min=0, help="Symbols per layer that the test saw; 0: asymptotic."
        ),
    ] = 0,
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="Of the finite-test figures.")
    ] = None,
    probe_photons: Annotated[
        float | None, typer.Option("--probe-photons", help="The client's limit on light in P.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="BITS", help="Bits that a weight may leak.")
    ] = None,
    against_memory: options.AgainstMemory = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """What a setting leaks, to whom, and how many queries a budget allows."""
    from veilight.cli._leakage import run_leakage

    configuration = light.configured(
        config,
        ledger__budget_bits_per_weight=budget,
        ledger__against_memory=against_memory,
        leakage__confidence=confidence,
        leakage__probe_photons_per_mode=probe_photons,
    )
    return run_leakage(
        Screen(as_json=as_json, quiet=quiet),
        configuration,
        model=model,
        rows=None if rows is None else options.whole_numbers("--rows", rows),
        modes=None if modes is None else options.whole_numbers("--modes", modes),
        queries=queries,
        tested_symbols=tested_symbols,
    )


app.command("renew")(renew)


@app.command()
def calibrate(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="all|ROUTINE|show",
            help="all, or routines to run with what they need; show what is stored, all or some.",
        ),
    ] = None,
    bench: options.Benches = None,
    store: options.CalibrationStore = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for one picture per result.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Measure anew what is still valid.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be measured, and measure nothing.")
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of random choices.")] = None,
    emit_light: options.EmitLight = False,
    operator: options.Operator = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Measure what a run has to trust, in order and only what is stale; show what is stored."""
    from veilight.cli._calibrate import CalibrateOrder, run_calibrate, run_calibrate_show

    screen = Screen(as_json=as_json, quiet=quiet)
    benches = tuple(bench or ())
    if what and what[0] == "show":
        path = options.store_path(store, benches)
        return run_calibrate_show(screen, path, routines=tuple(what[1:]), plots=plots)
    return run_calibrate(
        screen,
        CalibrateOrder(
            routines=tuple(what or ("all",)),
            benches=benches,
            store=store,
            plots=plots,
            force=force,
            dry_run=dry_run,
            seed=seed,
            emit_light=emit_light,
            operator=operator,
        ),
    )


@app.command()
def attack(
    name: Annotated[
        str, typer.Argument(metavar="[NAME|all|list]", help="Which; list shows what there is.")
    ] = "list",
    trials: Annotated[
        int, typer.Option("--trials", min=500, help="Repetitions per point of a curve.")
    ] = 20_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Makes the draws repeat.")] = 0,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for one operating curve per case.")
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Play an attack on simulated light: what it gains, what catches it, after how many symbols."""
    from veilight.cli._attack import run_attack_list, run_attacks

    screen = Screen(as_json=as_json, quiet=quiet)
    if name == "list":
        return run_attack_list(screen)
    return run_attacks(screen, name, trials=trials, seed=seed, plots=plots)


@config_app.command("show")
def config_show(config: options.ConfigFile = None, as_json: options.Json = False) -> int:
    """Every setting with its value, unit and explanation, as TOML that can be read back."""
    from veilight.config import configuration_to_toml

    configuration = options.configured(config)
    if as_json:
        Screen(as_json=True).result(configuration.model_dump())
    else:
        typer.echo(configuration_to_toml(configuration), nl=False)
    return 0


@app.command()
def twin(
    files: options.BenchFiles,
    speed: Annotated[
        float,
        typer.Option("--speed", min=1e-3, max=1e4, help="Simulated seconds per second."),
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the bench files (default: beside the originals)."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the scene (default: as in the files).")
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Emulate a bench of real instruments on local addresses, all on one scene, until stopped."""
    from veilight.cli._twin import run_twin

    screen = Screen(as_json=as_json, quiet=quiet)
    return run_twin(screen, files, speed=speed, out=out, seed=seed)
