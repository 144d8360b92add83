"""The parser of all commands, and the function that runs one of them."""

import argparse
import os
import sys
import warnings
from typing import Any

import minicnn
from minicnn.cli import exploring, recognising, resuming, training, verify, workers
from minicnn.cli.arguments import Parser
from minicnn.tutorial import tutorial_network

DESCRIPTION = "A convolutional network from scratch, equal to Keras and fast on a CPU."


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; wrong arguments raise SystemExit(2).

    Parameters
    ----------
    argv : list of str, optional
        The command and its arguments; by default those of the process.
    """
    if hasattr(sys.stdout, "reconfigure"):  # names of files may not fit the terminal's encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        usage = f"{args.parser.prog} --help"
        args.parser.error(f"unknown argument {unknown[0]}; known are those of {usage}")
    if args.run is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        with warnings.catch_warnings():
            # NumPy's warnings of overflow: `train` itself says when training has diverged.
            warnings.simplefilter("ignore", RuntimeWarning)
            status = args.run(args)
        if hasattr(sys.stdout, "flush"):
            sys.stdout.flush()
    except KeyboardInterrupt:
        path = getattr(args, "checkpoint", None) or getattr(args, "resume", None)
        hint = f"; to go on, pass --resume {path}" if path and path.exists() else ""
        print(f"{args.parser.name}: interrupted{hint}", file=sys.stderr)
        return 130
    except MemoryError:
        args.parser.error("not enough memory; a smaller --batch-size needs less")
    except BrokenPipeError:  # the reader of the output, `head` for instance, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status or 0


def summary(_args: argparse.Namespace) -> None:
    """Print the table of the network for MNIST."""
    tutorial_network().summary()


def _parser() -> Parser:
    parser = Parser(prog="python -m minicnn", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"minicnn {minicnn.__version__}")
    parser.set_defaults(parser=parser, run=None)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    train = _add_command(commands, training.train, "train the tutorial's network and test it")
    training.add_train_arguments(train)
    resuming.add_arguments(train)
    workers.add_arguments(train)
    evaluate = _add_command(commands, training.evaluate, "test weights that were saved")
    training.add_evaluate_arguments(evaluate)
    exploring.add_arguments(
        _add_command(commands, exploring.explore, "write a page that shows a network at work")
    )
    recognising.add_arguments(
        _add_command(commands, recognising.predict, "say which digits pictures show")
    )
    _add_command(commands, summary, "print the table of the network's layers and weights")
    verify.add_arguments(
        _add_command(commands, verify.verify, "compare with Keras, number by number")
    )
    return parser


def _add_command(commands: Any, run: Any, help_text: str) -> Parser:
    parser = commands.add_parser(
        run.__name__, help=help_text, description=run.__doc__, allow_abbrev=False
    )
    parser.set_defaults(run=run, parser=parser)
    return parser
