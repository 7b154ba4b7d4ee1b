"""`veilight bench`: its commands and their options; what they do is in a module each."""

from typing import Annotated

import typer

from veilight.cli import _options as options
from veilight.cli._screen import Screen

__all__ = ["bench_app"]

bench_app = typer.Typer(help="Benches: the instruments of a party, from its bench file.")


@bench_app.command("show")
def bench_show(files: options.BenchFiles, as_json: options.Json = False) -> int:
    """Every instrument by role, its limits, and what is missing; opens nothing."""
    from veilight.cli._bench import run_bench_show

    return run_bench_show(Screen(as_json=as_json), files)


@bench_app.command("check")
def bench_check(files: options.BenchFiles, as_json: options.Json = False) -> int:
    """Open every instrument, look whether it is well, and say what to do; emits no light."""
    from veilight.cli._bench import run_bench_check

    return run_bench_check(Screen(as_json=as_json), files)


@bench_app.command("safe")
def bench_safe(files: options.BenchFiles, as_json: options.Json = False) -> int:
    """Drive every instrument to its safe state and read it back."""
    from veilight.cli._bench import run_bench_safe

    return run_bench_safe(Screen(as_json=as_json), files)


@bench_app.command("watch")
def bench_watch(
    files: options.BenchFiles,
    interval: Annotated[
        float, typer.Option("--interval", min=0.05, max=3600, help="Seconds between two looks.")
    ] = 1.0,
    looks: Annotated[
        int | None, typer.Option("--looks", min=1, help="Stop after so many (default: Ctrl-C).")
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """What every instrument reads, live, with trip limits; opens benches in their safe state."""
    from veilight.cli._watch import run_watch

    screen = Screen(as_json=as_json, quiet=quiet)
    return run_watch(screen, files, interval_s=interval, looks=looks)


@bench_app.command("discover")
def bench_discover(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ADDRESS]...", help="Ask only here: VISA names, serial ports."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="Host on the network, with :PORT if it is known; repeatable."),
    ] = None,
    library: Annotated[
        str, typer.Option("--library", help="VISA library: @py, @ivi or a path (default: @py).")
    ] = "",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.01, max=60, help="Seconds for each question.")
    ] = 0.5,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """What is connected by VISA and serial lines, who answers, and which drivers fit."""
    from veilight.cli._discover import run_discover

    return run_discover(
        Screen(as_json=as_json, quiet=quiet),
        hosts=tuple(host or ()),
        addresses=tuple(addresses or ()),
        library=library,
        timeout_s=timeout,
    )
