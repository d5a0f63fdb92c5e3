"""The command `waybill`, also as `python -m waybill`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 it failed or could not start, 2 misuse or a failed check."""
    try:
        from .cli.app import run
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        sys.stderr.write("the command line needs typer and rich: pip install 'waybill[cli]'\n")
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
