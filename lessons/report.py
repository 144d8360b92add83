"""How far each student has come: run all checks on a folder of solved notebooks.

    python -m lessons.report FOLDER
    python -m lessons.report FOLDER --csv results.csv

One row for each notebook below FOLDER, whatever it is called: which lesson it is says the line
`from checks import check_03 as check` in it. A notebook is run from top to bottom, in a process of
its own and with `lessons/` as its folder; then its functions are judged again, in a last cell that
the student has not seen. Cells that fail do not stop the others.

Students' code runs with your rights: use an account or a container that has nothing to lose.
"""

import argparse
import csv
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from lessons.checks.engine import Verdict

LESSONS = Path(__file__).resolve().parent
SECONDS = 120  # for one cell

LAST_CELL = """
import json as _json
from checks import {module} as _module
from checks.engine import exercises as _exercises
print("\\n{mark}" + _json.dumps(
    {{name: each.verdict(globals().get(name)) for name, each in _exercises(_module).items()}}
))
"""
MARK = "verdicts:"


class Row(NamedTuple):
    """What is known of one notebook; if there are no verdicts, `problem` says why."""

    path: Path
    lesson: str
    verdicts: dict[str, Verdict]
    problem: str = ""

    @property
    def passed(self) -> int:
        return sum(verdict.passed for verdict in self.verdicts.values())


def judge(path: Path) -> Row:
    """Run one notebook and all checks of its lesson."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # whatever has been handed in under that name
        return Row(path, "", {}, f"cannot be read as a notebook ({type(error).__name__})")
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    imported = re.search(r"from checks import (check_\d\d)", code)
    if not imported:
        return Row(path, "", {}, "imports no checks")
    module = imported[1]
    lesson = module.removeprefix("check_")
    source = LAST_CELL.format(module=module, mark=MARK)
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        allow_errors=True,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(LESSONS)}},
    )
    try:
        client.execute()
    except CellTimeoutError:
        return Row(path, lesson, {}, f"a cell took more than {SECONDS} seconds")
    except DeadKernelError:
        return Row(path, lesson, {}, "its Python process ended")
    printed = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    _, found, answer = printed.partition(MARK)
    if not found:
        return Row(path, lesson, {}, "its functions could not be judged")
    verdicts = {name: Verdict(*verdict) for name, verdict in json.loads(answer).items()}
    return Row(path, lesson, verdicts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lessons.report", description="Run all checks on a folder of notebooks."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--csv", type=Path, help="write the verdicts, one a line, to this file too")
    options = parser.parse_args(arguments)
    paths = sorted(
        path for path in options.folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    if not paths:
        print(f"there is no notebook in {options.folder}")
        return 1
    rows = []
    width = max(len(path.relative_to(options.folder).as_posix()) for path in paths)
    for path in paths:
        row = judge(path)
        rows.append(row)
        print(f"{path.relative_to(options.folder).as_posix():{width}}  {_summary(row)}", flush=True)
    if options.csv:
        _write_csv(options.csv, options.folder, rows)
    return 0


def _summary(row: Row) -> str:
    if row.problem:
        return row.problem
    marks = [
        f"{'✓' if verdict.passed else '✗'} {name}"
        + (f" ({verdict.mistake})" if verdict.mistake else "")
        for name, verdict in row.verdicts.items()
    ]
    return f"lesson {row.lesson}: {row.passed} of {len(row.verdicts)}  " + "  ".join(marks)


def _write_csv(path: Path, folder: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["notebook", "lesson", "exercise", "passed", "says"])
        for row in rows:
            name = row.path.relative_to(folder).as_posix()
            if row.problem:
                table.writerow([name, row.lesson, "", "", row.problem])
            for exercise, verdict in row.verdicts.items():
                table.writerow([name, row.lesson, exercise, int(verdict.passed), verdict.text])


if __name__ == "__main__":
    sys.exit(main())
