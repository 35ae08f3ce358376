"""The command line: `empathy-mi study`, `empathy-mi pairs check`, `empathy-mi models`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from empathy_mi import __version__
from empathy_mi.errors import InputError, WorkerError

PRESET_NAMES = ("quick", "full", "paper")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when all went well, 1 when a process was killed, 2 for bad input, 130 when interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="empathy-mi",
        description="Detect, steer and explain empathy-in-action in language models.",
    )
    parser.add_argument("--version", action="version", version=f"empathy-mi {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    study = commands.add_parser("study", help="detect and steer, and write tables and a report")
    study.add_argument("--models", help="names or folders, separated by commas")
    study.add_argument("--layers", help="layers of the probes, as 8-24 or 8,12,16")
    study.add_argument("--alphas", help="steering strengths, as -10,-5,0,5,10")
    study.add_argument("--samples", type=int, help="answers per scenario and alpha")
    study.add_argument("--seed", type=int, help="seed of everything random (default: 0)")
    study.add_argument("--out", default="out", help="folder of the results (default: out)")
    study.add_argument(
        "--preset", default="quick", help=f"{', '.join(PRESET_NAMES)} (default: quick)"
    )
    study.set_defaults(run=_study)

    pairs = commands.add_parser("pairs", help="look at contrastive pairs")
    actions = pairs.add_subparsers(title="actions", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="what length, format and words give away")
    check.add_argument("file", nargs="?", help="a JSON Lines file (default: the built-in pairs)")
    check.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default: 0)")
    check.set_defaults(run=_pairs_check)

    models = commands.add_parser("models", help="list the models that are known by name")
    models.set_defaults(run=_models)
    return parser


def _study(options: argparse.Namespace) -> None:
    layers = None
    if options.layers is not None:
        from empathy_mi.hooks import parse_layers

        layers = parse_layers(options.layers)
    alphas = None if options.alphas is None else _numbers("--alphas", options.alphas)
    from empathy_mi.report import headline_text
    from empathy_mi.study import run_study

    result = run_study(
        options.models.split(",") if options.models else None,
        preset=options.preset,
        layers=layers,
        alphas=alphas,
        samples=options.samples,
        seed=options.seed,
        out=options.out,
    )
    print(headline_text(result))
    print(f"\nreport: {options.out}/report.html")


def _pairs_check(options: argparse.Namespace) -> None:
    from empathy_mi.pairs import load_pairs
    from empathy_mi.pairs_check import check_pairs

    print(check_pairs(load_pairs(options.file), seed=options.seed))


def _models(options: argparse.Namespace) -> None:
    from empathy_mi.models.folders import organisms
    from empathy_mi.models.registry import KNOWN_MODELS

    for name in organisms():
        print(f"{name}  (embedded)")
    for name in KNOWN_MODELS:
        print(name)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(
            f"cannot read {option} {text!r}: write numbers separated by commas, as -10,0,10."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
