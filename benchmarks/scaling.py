"""What a step costs as batches, images, filters and threads grow; and on another machine.

    python benchmarks/scaling.py                 four tables, in minutes
    python benchmarks/scaling.py --predict       an 8-core laptop, calculated from measured parts

The tutorial's network, float32, with digits of MNIST (resized for smaller and larger images).
"""

import argparse
import functools
from collections.abc import Callable
from statistics import median
from typing import Any

from measure import (
    compiled_model,
    figure_form,
    heading,
    in_turns,
    made_with,
    spread,
    steps_of,
    write_json,
)
from prediction import Laptop, predict

from minicnn import get_num_threads, set_num_threads
from minicnn.engine import available_cores
from minicnn.plots import BLUE, GREY, ORANGE, SMALL, new_figure, save
from minicnn.plots.architecture import multiply_adds

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
IMAGE_SIZES = (14, 28, 56, 112)
FILTERS = (8, 16, 32, 64, 128)  # of the first convolution; the second has twice as many
USUAL_BATCH, THREADS_BATCH = 64, 256
WORK = ("training", "inference")
Row = dict[str, Any]


def main() -> None:
    """Print the tables or the prediction, and write the files that were asked for."""
    arguments = parsed_arguments()
    result: dict[str, Any] = made_with()
    print(heading(result), flush=True)
    if arguments.predict:
        laptop = Laptop(*(getattr(arguments, option) for option in Laptop._fields))
        result["prediction"] = predict(laptop, arguments.runs, arguments.sgemm_size)
    else:
        result["tables"] = tables(arguments.largest, arguments.runs)
        if arguments.figure:
            save(draw(result), arguments.figure)
    if arguments.json:
        write_json(arguments.json, result)


def parsed_arguments() -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--runs", type=int, default=7, help="of each step, in turns (default 7)")
    add("--largest", type=int, default=512, help="largest batch, image and number of filters")
    add("--json", metavar="FILE", help="write all figures there as well")
    add("--figure", metavar="FILE", help="draw a picture there")
    add("--predict", action="store_true", help="predict another machine instead:")
    for option, kind, what in (
        ("cores", int, "all alike"),
        ("core_gflops", float, "float32 sgemm of one core while all work, GFLOP/s"),
        ("bandwidth", float, "GB/s"),
        ("cache", float, "L2, MB per core"),
    ):
        default = Laptop._field_defaults[option]
        name = "--" + option.replace("_", "-")
        add(name, type=kind, default=default, help=f"{what} (default {default})")
    add("--sgemm-size", type=int, default=2048, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(title: str, note: str, models: dict[int, Any], runs: int) -> list[Row]:
    """Print and return a row for each of `models`, which are a model and a batch size.

    "mmac" are millions of multiply-adds in the forward pass of an image; times are microseconds per
    image.
    """
    steps = {
        (key, work): function
        for key, (model, batch_size) in models.items()
        for work, function in steps_of(model, batch_size).items()
    }
    times = in_turns(steps, runs)
    print(f"\n{title} ({note})")
    print(f"{'':12}{'training, us per image':>30}{'inference':>30}{'training / 10^6 mult.':>24}")
    rows = []
    for key, (model, batch_size) in models.items():
        row: Row = {"at": key, "mmac": sum(map(multiply_adds, model.layers)) / 1e6}
        row |= {work: [t / batch_size * 1e6 for t in times[key, work]] for work in WORK}
        cells = (f"{spread(row[work], figure_form(median(row[work]))):>30}" for work in WORK)
        each = median(row["training"]) / row["mmac"]
        print(f"{key:<12}" + "".join(cells) + f"{each:>24.1f}", flush=True)
        rows.append(row)
    return rows


def tables(largest: int, runs: int) -> dict[str, list[Row]]:
    """Print and return all tables, for sizes up to `largest`."""
    batches = f"batches of {USUAL_BATCH}"
    found = {}
    for title, note, sizes, model in (
        # Each step has fixed costs, which weigh more in small batches; large ones have more shards.
        ("batch size", f"{get_num_threads()} threads", BATCH_SIZES, lambda _: compiled_model()),
        # The last column is constant where the cost is proportional to the multiply-adds.
        ("image size", batches, IMAGE_SIZES, compiled_model),
        # The second convolution has most of the multiply-adds.
        ("filters", f"and twice as many; {batches}", FILTERS, lambda f: compiled_model(filters=f)),
    ):
        models = {
            size: (model(size), size if title == "batch size" else USUAL_BATCH)
            for size in sizes
            if size <= largest
        }
        found[title] = measured(title, note, models, runs)
    return found | {"threads": by_threads(min(THREADS_BATCH, largest), runs)}


def by_threads(batch_size: int, runs: int) -> list[Row]:
    """1, 2, 4, ... threads, in turns."""
    cores = available_cores()
    counts = sorted({1, cores, *(2**k for k in range(cores.bit_length()) if 2**k <= cores)})
    model = compiled_model()

    def with_threads(function: Callable[[], Any], threads: int) -> None:
        set_num_threads(threads)
        function()

    steps = {
        (n, work): functools.partial(with_threads, function, n)
        for n in counts
        for work, function in steps_of(model, batch_size).items()
    }
    times = in_turns(steps, runs)
    set_num_threads(cores)
    print(f"\nthreads, batches of {batch_size}")
    print(f"{'':12}{'training, us/image':>26}{'speed-up':>22}{'inference':>26}{'speed-up':>22}")
    rows: list[Row] = []
    for n in counts:
        row: Row = {"at": n}
        line = f"{n:<12}"
        for work in WORK:
            own, alone = times[n, work], times[1, work]
            row[work] = [t / batch_size * 1e6 for t in own]
            row[f"{work} growth"] = growth = [a / b for a, b in zip(alone, own, strict=True)]
            line += f"{spread(row[work], '{:.1f}'):>26}{spread(growth, '{:.2f}'):>22}"
        print(line)
        rows.append(row)
    return rows


def draw(result: dict[str, Any]) -> Any:
    """A panel for each table: lines for medians, shades from lowest to highest."""
    figure = new_figure(7, "Microseconds per image")
    for axes, (title, rows) in zip(
        figure.subplots(2, 2).flat, result["tables"].items(), strict=True
    ):
        at = [row["at"] for row in rows]
        for work, colour, marker in zip(WORK, (ORANGE, BLUE), "os", strict=True):
            middle = [median(row[work]) for row in rows]
            axes.plot(at, middle, color=colour, marker=marker, label=work)
            low, high = ([end(row[work]) for row in rows] for end in (min, max))
            axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        if title != "batch size":  # the cost if it were proportional to the work
            first = rows[0]
            unit = median(first["training"])
            ideal = [
                unit * row["mmac"] / first["mmac"] if "mmac" in row else unit / row["at"]
                for row in rows
            ]
            axes.plot(at, ideal, color=GREY, linestyle=":", label="training, in proportion")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(at, [str(value) for value in at])
        axes.minorticks_off()
        axes.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(title, fontsize=SMALL + 1)
        axes.tick_params(labelsize=SMALL)
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=SMALL - 1, frameon=False)
    figure.supxlabel(result["machine"], fontsize=SMALL)
    return figure


if __name__ == "__main__":
    main()
