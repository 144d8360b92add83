"""How far each student has come: run all checks on a folder of solved notebooks.

    python -m lessons.report FOLDER
    python -m lessons.report FOLDER --jobs 4 --csv results.csv

A notebook belongs to the student in whose folder it lies, FOLDER/ada/..., or, directly in FOLDER,
to the student after whom the file is named. Which lesson it is says the line `from checks import
check_03 as check` in it. It is run from top to bottom in a process of its own, with `lessons/` as
its folder. Then its functions are judged again, in a last cell that the student has not seen, and
each of them has a limited time. Cells that fail, or do not end, do not stop the others.

    student    02    03    05
    ada        ✓✓·   ✓✗✓         ✓ right, ✗ wrong, · not tried

Students' code runs with your rights: use an account or a container that has nothing to lose.
"""

import argparse
import csv
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from lessons.checks.engine import TO_DO, Verdict

LESSONS = Path(__file__).resolve().parent
CELL_SECONDS, EXERCISE_SECONDS = 120, 20
RIGHT, WRONG, NOT_TRIED = "✓", "✗", "·"

LAST_CELL = """
import json as _json, signal as _signal
from checks import {module} as _module
from checks.engine import Verdict as _Verdict, exercises as _exercises

class _TooLong(BaseException):
    pass

def _stop(*_):
    raise _TooLong

def _judged(exercise, function):
    if not hasattr(_signal, "SIGALRM"):  # Windows
        return exercise.verdict(function)
    _signal.signal(_signal.SIGALRM, _stop)
    _signal.alarm({seconds})
    try:
        return exercise.verdict(function)
    except _TooLong:
        return _Verdict(False, "not yet: it was still running after {seconds} seconds")
    finally:
        _signal.alarm(0)

print("\\n{mark}" + _json.dumps(
    {{name: _judged(each, globals().get(name)) for name, each in _exercises(_module).items()}}
))
"""
MARK = "verdicts:"
# check.same_pads.reference, or a notebook of the solutions
ASKING = re.compile(r"\.(reference|mistakes|refused_answers)\b|solutions/")


class Row(NamedTuple):
    """What is known of one notebook; `problem` says what its teacher should look at."""

    path: Path
    student: str
    lesson: str = ""
    verdicts: dict[str, Verdict] = {}  # noqa: RUF012 -- never changed
    tried: frozenset[str] = frozenset()
    problem: str = ""

    def symbol(self, exercise: str) -> str:
        """✓, ✗ or ·."""
        if self.verdicts[exercise].passed:
            return RIGHT
        return WRONG if exercise in self.tried else NOT_TRIED


def judge(path: Path, student: str) -> Row:
    """Run one notebook and all checks of its lesson."""
    row = Row(path, student)
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # whatever has been handed in under that name
        return row._replace(problem=f"cannot be read as a notebook ({type(error).__name__})")
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    code = "\n".join(cells)
    imported = re.search(r"from checks import (check_(\d\d))", code)
    if not imported:
        return row._replace(problem="imports no checks")
    module, lesson = imported.groups()
    tried = frozenset(
        name
        for cell in cells
        for name in re.findall(r"^def (\w+)", cell, re.MULTILINE)
        if TO_DO not in cell
    )
    row = row._replace(lesson=lesson, tried=tried)
    if ASKING.search(code):
        row = row._replace(problem="asks the checks for their answers")
    source = LAST_CELL.format(module=module, mark=MARK, seconds=EXERCISE_SECONDS)
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        interrupt_on_timeout=True,  # a cell that does not end costs itself alone
        allow_errors=True,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(LESSONS)}},
    )
    try:
        client.execute()
    except DeadKernelError:
        return row._replace(problem="its Python process ended")
    printed = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    _, found, answer = printed.partition(MARK)
    if not found:
        return row._replace(problem="its functions could not be judged")
    verdicts = {name: Verdict(*verdict) for name, verdict in json.loads(answer).items()}
    return row._replace(verdicts=verdicts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lessons.report", description="Run all checks on a folder of notebooks."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time (default 1)")
    parser.add_argument("--csv", type=Path, help="write the verdicts, one a line, to this file too")
    options = parser.parse_args(arguments)
    paths = sorted(
        path for path in options.folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    if not paths:
        print(f"there is no notebook in {options.folder}")
        return 1
    with ThreadPoolExecutor(max(options.jobs, 1)) as pool:  # each has a process of its own
        rows = list(pool.map(judge, paths, [_student(path, options.folder) for path in paths]))
    print(_table(rows))
    for row in rows:
        name = row.path.relative_to(options.folder).as_posix()
        if row.problem:
            print(f"{name}: {row.problem}")
        for exercise, verdict in row.verdicts.items():
            if row.symbol(exercise) == WRONG:
                print(f"{name}: {exercise}: {_in_short(verdict)}")
    if options.csv:
        _write_csv(options.csv, options.folder, rows)
    return 0


def _student(path: Path, folder: Path) -> str:
    inside = path.relative_to(folder)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def _table(rows: list[Row]) -> str:
    """A row for each student, a column for each lesson, a symbol for each exercise."""
    lessons = sorted({row.lesson for row in rows if row.lesson})
    students = sorted({row.student for row in rows})
    width = max(map(len, [*students, "student"])) + 2
    lines = ["student".ljust(width) + "".join(f"{lesson:<8}" for lesson in lessons)]
    for student in students:
        cells = []
        for lesson in lessons:
            own = [row for row in rows if (row.student, row.lesson) == (student, lesson)]
            cells.append(" ".join("".join(map(row.symbol, row.verdicts)) or "?" for row in own))
        lines.append(student.ljust(width) + "".join(f"{cell:<8}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _in_short(verdict: Verdict) -> str:
    return verdict.mistake or " ".join(verdict.text.removeprefix("not yet: ").split())


def _write_csv(path: Path, folder: Path, rows: list[Row]) -> None:
    words = {RIGHT: "right", WRONG: "wrong", NOT_TRIED: "not tried"}
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", "notebook", "lesson", "exercise", "result", "says"])
        for row in rows:
            start = [row.student, row.path.relative_to(folder).as_posix(), row.lesson]
            if row.problem:
                table.writerow([*start, "", "", row.problem])
            for exercise, verdict in row.verdicts.items():
                symbol = row.symbol(exercise)
                says = _in_short(verdict) if symbol == WRONG else ""
                table.writerow([*start, exercise, words[symbol], says])


if __name__ == "__main__":
    sys.exit(main())
