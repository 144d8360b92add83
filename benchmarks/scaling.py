"""What a step costs as batches, images, filters and threads grow; and on another machine.

    python benchmarks/scaling.py                 four tables, in minutes
    python benchmarks/scaling.py --predict       an 8-core laptop, calculated from measured parts

The tutorial's network, float32, with digits of MNIST (resized for smaller and larger images).
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

from measure import (
    compiled_model,
    figure_form,
    heading,
    in_turns,
    made_with,
    multiply_adds,
    spread,
    steps_of,
    write_json,
)
from prediction import Laptop, predict

from minicnn import Sequential, get_num_threads, set_num_threads
from minicnn.engine import available_cores
from minicnn.plots import BLUE, GREY, ORANGE, SMALL, new_figure, save

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
        limit = arguments.largest
        tables = {
            "batch size": by_batch_size([n for n in BATCH_SIZES if n <= limit], arguments.runs),
            "image size": by_image_size([s for s in IMAGE_SIZES if s <= limit], arguments.runs),
            "filters": by_filters([f for f in FILTERS if f <= limit], arguments.runs),
            "threads": by_threads(min(THREADS_BATCH, limit), arguments.runs),
        }
        result["tables"] = tables
        if arguments.figure:
            save(draw(result), arguments.figure)
    if arguments.json:
        write_json(arguments.json, result)


def parsed_arguments() -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="of each step, in turns (default 7)")
    parser.add_argument(
        "--largest", type=int, default=512, help="largest batch, image and number of filters"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures there as well")
    parser.add_argument("--figure", metavar="FILE", help="draw a picture there")
    parser.add_argument("--predict", action="store_true", help="predict another machine instead:")
    for option, kind, what in (
        ("cores", int, "all alike"),
        ("core_gflops", float, "float32 sgemm of one core while all work, GFLOP/s"),
        ("bandwidth", float, "GB/s"),
        ("cache", float, "L2, MB per core"),
    ):
        default = Laptop._field_defaults[option]
        name = "--" + option.replace("_", "-")
        parser.add_argument(name, type=kind, default=default, help=f"{what} (default {default})")
    parser.add_argument("--sgemm-size", type=int, default=2048, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(
    title: str, note: str, models: dict[int, tuple[Sequential, int]], runs: int
) -> list[Row]:
    """Print and return a row for each model and batch size.

    "mmac" are millions of multiply-adds in the forward pass of an image; times are microseconds per
    image.
    """
    steps = {
        (key, work): function
        for key, (model, batch_size) in models.items()
        for work, function in steps_of(model, batch_size).items()
    }
    times = in_turns(steps, runs)
    rows = []
    for key, (model, batch_size) in models.items():
        row: Row = {"at": key, "mmac": sum(map(multiply_adds, model.layers)) / 1e6}
        row |= {work: [t / batch_size * 1e6 for t in times[key, work]] for work in WORK}
        rows.append(row)
    print_table(title, note, rows)
    return rows


def by_batch_size(sizes: list[int], runs: int) -> list[Row]:
    """Each step has fixed costs, which weigh more in small batches; large ones have more shards."""
    models = {size: (compiled_model(), size) for size in sizes}
    return measured("batch size", f"{get_num_threads()} threads", models, runs)


def by_image_size(sizes: list[int], runs: int) -> list[Row]:
    """The last column is constant where the cost is proportional to the multiply-adds."""
    models = {size: (compiled_model(size), USUAL_BATCH) for size in sizes}
    return measured("image size", f"batches of {USUAL_BATCH}", models, runs)


def by_filters(filters: list[int], runs: int) -> list[Row]:
    """The second convolution has twice as many filters, and most of the multiply-adds."""
    models = {f: (compiled_model(filters=f), USUAL_BATCH) for f in filters}
    return measured("filters", f"and twice as many; batches of {USUAL_BATCH}", models, runs)


def by_threads(batch_size: int, runs: int) -> list[Row]:
    """1, 2, 4, ... threads, in turns."""
    cores = available_cores()
    counts = sorted({1, cores, *(2**k for k in range(cores.bit_length()) if 2**k <= cores)})
    model = compiled_model()

    def with_threads(threads: int, function: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            set_num_threads(threads)
            function()

        return run

    steps = {
        (n, work): with_threads(n, function)
        for n in counts
        for work, function in steps_of(model, batch_size).items()
    }
    times = in_turns(steps, runs)
    set_num_threads(cores)
    rows: list[Row] = []
    for n in counts:
        row: Row = {"at": n}
        for work in WORK:
            row[work] = [t / batch_size * 1e6 for t in times[n, work]]
            row[f"{work} growth"] = [
                alone / own for alone, own in zip(times[1, work], times[n, work], strict=True)
            ]
        rows.append(row)
    print(f"\nthreads, batches of {batch_size}")
    print(f"{'':12}{'training, us/image':>26}{'speed-up':>22}{'inference':>26}{'speed-up':>22}")
    for row in rows:
        cells = (
            f"{spread(row[work], '{:.1f}'):>26}{spread(row[f'{work} growth'], '{:.2f}'):>22}"
            for work in WORK
        )
        print(f"{row['at']:<12}" + "".join(cells))
    return rows


def print_table(title: str, note: str, rows: list[Row]) -> None:
    """Microseconds per image; in training also per million multiply-adds of the forward pass."""
    print(f"\n{title} ({note})")
    print(f"{'':12}{'training, us per image':>30}{'inference':>30}{'training / 10^6 mult.':>24}")
    for row in rows:
        cells = (f"{spread(row[work], figure_form(median(row[work]))):>30}" for work in WORK)
        each = median(row["training"]) / row["mmac"]
        print(f"{row['at']:<12}" + "".join(cells) + f"{each:>24.1f}", flush=True)


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
