"""`python -m empathy_mi.organisms train organism-phi3 --out FOLDER`."""

from __future__ import annotations

import argparse
import sys

from empathy_mi.errors import InputError
from empathy_mi.organisms.specs import SPECS, get_spec


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m empathy_mi.organisms", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train an embedded model (about an hour)")
    train.add_argument("name", help=f"one of {', '.join(SPECS)}")
    train.add_argument("--out", help="folder for the model (default: cache/organisms/NAME)")
    train.add_argument("--threads", type=int, default=1, help="CPU threads; 1 repeats exactly")
    options = parser.parse_args(arguments)
    try:
        spec = get_spec(options.name)
        import torch

        from empathy_mi.organisms.training import train as run

        torch.set_num_threads(options.threads)
        out = options.out or f"cache/organisms/{spec.name}"
        print(run(spec, out, checkpoints=f"cache/training/{spec.name}"))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
