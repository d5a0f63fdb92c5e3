"""The command `waybill-conformance`: a new driver's package, and what is made from reports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .badge import as_endpoint, as_svg, badge_of
from .kept import ReportError, read_report, write_kept
from .new import NewError, new, scheme_of
from .table import MarkerError, matrix_of, table_of, write_between_markers

_HELP = """Write a Waybill driver, and show what it has proven.

Reports come from the suite: pytest --pyargs waybill_conformance --driver SCHEME --report FILE

Exit codes: 0 done, 1 it could not be done, 2 misuse.
"""
_Misuse: type[Exception] = typer.BadParameter.__base__  # type: ignore[assignment]

app = typer.Typer(name="waybill-conformance", help=_HELP, add_completion=False, pretty_exceptions_enable=False)
Report = Annotated[Path, typer.Argument(help="a report of the suite, as --report writes it", show_default=False)]
Reports = Annotated[list[Path], typer.Argument(help="reports; several are compared", show_default=False)]


@app.command("new")
def new_package(
    name: Annotated[str, typer.Argument(help="what it is for, such as 'kafka'", show_default=False)],
    into: Annotated[Path, typer.Option("--into", help="where to make its folder")] = Path(),
) -> None:
    """Make the package of a new driver: it runs, it is proven, and it claims next to nothing."""
    folder = new(name, into)
    scheme = scheme_of(folder.name.removeprefix("waybill-"))
    typer.echo(f"{folder} is made. Next:")
    typer.echo(f"  pip install -e '{folder}[test]'")
    typer.echo(f"  pytest --pyargs waybill_conformance --driver {scheme}")


@app.command()
def table(
    reports: Reports,
    write: Annotated[Path | None, typer.Option("--write", help="document with the markers, to put it in")] = None,
) -> None:
    """Print the claims as a markdown table; of several reports, named by their files, a comparison."""
    read = {path.stem: read_report(path) for path in reports}
    if len(read) < len(reports):
        raise ReportError("two reports have the same file name, which is to be the column's. Rename one.")
    made = table_of(next(iter(read.values()))) if len(read) == 1 else matrix_of(read)
    if write is None:
        typer.echo(made)
    else:
        write_between_markers(write, made)


@app.command()
def badge(
    report: Report,
    output: Annotated[Path, typer.Option("--output", help="file to write", show_default=False)],
    *,
    json: Annotated[bool, typer.Option("--json", help="for a badge service, in place of an SVG")] = False,
) -> None:
    """Write a badge: how many claims are proven, or that one is refuted."""
    made = badge_of(read_report(report))
    output.write_text(as_endpoint(made) if json else as_svg(made), encoding="utf-8")


@app.command()
def keep(
    report: Report,
    output: Annotated[Path | None, typer.Option("--output", help="file to write (the report's own)")] = None,
) -> None:
    """Strip a report of what differs from run to run, so that a repository can keep it."""
    write_kept(read_report(report), output or report)


def run(arguments: Sequence[str]) -> int:
    """Run one command; how the process should exit. What goes wrong is told in one line on stderr."""
    try:
        code = app(arguments, prog_name="waybill-conformance", standalone_mode=False)
    except (NewError, MarkerError, ReportError) as error:
        return _told(str(error), 2 if isinstance(error, NewError) else 1)
    except OSError as error:
        return _told(str(error), 1)
    except typer.Abort:
        return 130
    except _Misuse as error:
        return _told(f"{error.format_message()} (see `waybill-conformance --help`)", 2)  # type: ignore[attr-defined]
    return code if isinstance(code, int) else 0


def _told(text: str, code: int) -> int:
    sys.stderr.write(f"error: {' '.join(text.split())}\n")
    return code


def main() -> None:
    """The entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
