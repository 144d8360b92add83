"""The flags `--workers` and `--worker` of `train`: see `minicnn.scale_out`."""

import argparse

from minicnn import keras_reference
from minicnn.cli.arguments import Parser, integer_from


def add_arguments(parser: Parser) -> None:
    """The two flags."""
    parser.add_argument(
        "--workers",
        type=addresses,
        metavar="HOST:PORT,...",
        help="share the work of each batch with other machines, through TensorFlow; run the same "
        "command on each, except for --worker (default: train here, without TensorFlow)",
    )
    parser.add_argument(
        "--worker",
        type=integer_from(0),
        metavar="K",
        help="which of the --workers this process is, from 0; worker 0 tests, saves and draws",
    )


def addresses(text: str) -> list[str]:
    """The type of a list of workers: HOST:PORT,HOST:PORT."""
    found = text.split(",")
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise argparse.ArgumentTypeError(
                f"expected HOST:PORT,HOST:PORT with ports from 1 to 65535, received {text!r}"
            )
    if len(found) < 2 or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(
            f"expected the addresses of two or more workers, all different, received {text!r}"
        )
    return found


def check_arguments(args: argparse.Namespace) -> None:
    """End with an error if the flags do not fit together, or if TensorFlow is missing."""
    if args.workers is None and args.worker is not None:
        args.parser.error("argument --worker: expected --workers beside it")
    if args.workers is None:
        return
    if args.worker is None:
        args.parser.error("argument --workers: expected --worker beside it")
    if args.worker >= len(args.workers):
        args.parser.error(
            f"argument --worker: expected a number below {len(args.workers)}, as there are "
            f"{len(args.workers)} workers, received '{args.worker}'"
        )
    with args.parser.blaming("--workers"):
        keras_reference.require_keras()
