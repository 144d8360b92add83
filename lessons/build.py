"""Build the lessons: from `source/NN_name.py` to two notebooks that are run and committed.

    python lessons/build.py            all lessons
    python lessons/build.py 02 03      these
    python lessons/build.py --check    write nothing; is what is committed what would be built?

`NN_name.ipynb` is the student's: in cells tagged "exercise" all that stands below a line
`# solution`, as far as it is indented like it, is cut. `solutions/NN_name.ipynb` is uncut. Both
are the same from build to build: cell ids count cells, pictures have fixed sizes, and nothing of
the machine or the clock is written. Cells tagged "fold" only draw: Jupyter hides their source. A
last cell leads to the lessons before and after. `README.md` gets the lesson's row of the table, and
`pictures/` the picture for it: the first of the notebook, or the one tagged "cover".
"""

import argparse
import base64
import copy
import importlib
import io
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

if __name__ != "__main__":  # started as a script, Python looks into this folder by itself
    sys.path.insert(0, str(Path(__file__).resolve().parent))
from checks.engine import TO_DO, exercises
from minicnn.callbacks import progress
from minicnn.gradcheck import check as gradcheck

LESSONS = Path(__file__).resolve().parent
MEGABYTE, SECONDS, MINUTES = 1 << 20, 60, 25  # what a built lesson may take
WORDS_A_MINUTE, SECONDS_A_LINE = 200, 4  # of prose, and of code that a student reads
EXERCISE_WIDTH = 80  # characters that Jupyter shows without scrolling

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Printed only in the first run on a machine, which compiles; so they are no part of a lesson.
ANNOUNCEMENTS = {progress.COMPILING, gradcheck.COMPILING}
# `forward` and `backward` in [minicnn/step.py](../minicnn/step.py)
NAMED_LINK = re.compile(r"((?:`[\w.]+`[,\s]+(?:and\s+)?)+)in\s+\[[^\]]*\]\(([^)]+\.py)\)")
HEADER = (
    f"{'lesson':52} minutes seconds    KB  pictures  exercises  pass  not yet"
    "  mistakes named  answers refused"
)
# In the first cell of a source, and for the reader too: **25 minutes.** Needs: ...
TITLE = re.compile(r"^# (?P<number>\d+) · (?P<question>.+)$", re.MULTILINE)
EFFORT = re.compile(r"^\*(?P<minutes>\d+) minutes · needs (?P<needs>.+?)\*$", re.MULTILINE)


class Lesson(NamedTuple):
    """A lesson's source, and what is built of it."""

    source: Path

    @property
    def number(self) -> str:
        return self.source.name[:2]

    @property
    def student(self) -> Path:
        return LESSONS / f"{self.source.stem}.ipynb"

    @property
    def solution(self) -> Path:
        return LESSONS / "solutions" / f"{self.source.stem}.ipynb"

    @property
    def picture(self) -> Path:
        return LESSONS / "pictures" / f"{self.source.stem}.png"


def lessons(numbers: list[str] | None = None) -> list[Lesson]:
    """All lessons that have a source, or those of these numbers."""
    found = [Lesson(path) for path in sorted((LESSONS / "source").glob("[0-9][0-9]_*.py"))]
    wanted = {f"{int(number):02d}" for number in numbers or []}
    missing = wanted - {lesson.number for lesson in found}
    if missing:
        raise SystemExit(f"there is no lesson {', '.join(sorted(missing))} in lessons/source")
    return [lesson for lesson in found if not wanted or lesson.number in wanted]


def notebooks(lesson: Lesson) -> dict[Path, nbformat.NotebookNode]:
    """The lesson's two notebooks, not yet run, by the path where each belongs."""
    solution = jupytext.read(lesson.source, fmt="py:percent")
    solution.metadata = copy.deepcopy(METADATA)
    solution.nbformat_minor = 5
    for number, cell in enumerate(solution.cells, start=1):
        cell.id = f"{lesson.number}-{number:03d}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if "fold" in tags:
            cell.metadata |= {"tags": [*tags, "hide-input"], "jupyter": {"source_hidden": True}}
    student = copy.deepcopy(solution)
    for cell in student.cells:
        if "exercise" in cell.metadata.get("tags", []):
            cell.source = cut(cell.source)
    for notebook, folder in ((student, "."), (solution, "..")):
        notebook.cells.append(_navigation(lesson, folder))
        _relocate_links(notebook, folder)
    return {lesson.student: student, lesson.solution: solution}


def cut(source: str) -> str:
    """An exercise's cell without its solutions.

    >>> print(cut("def f(x):\\n    # solution\\n    y = x\\n    return y\\n\\n\\nprint(1)"))
    def f(x):
        ...  # your code here
    <BLANKLINE>
    <BLANKLINE>
    print(1)
    """
    kept, depth = [], None
    for line in source.split("\n"):
        indent = len(line) - len(line.lstrip())
        if depth is not None and (not line.strip() or indent >= depth):
            continue
        if depth is not None:
            kept += ["", ""]  # before what comes after a function
            depth = None
        if line.strip() == "# solution":
            depth = indent
            line = " " * indent + TO_DO
        kept.append(line)
    return "\n".join(kept)


def _navigation(lesson: Lesson, folder: str) -> nbformat.NotebookNode:
    """The last cell: the lessons before and after, the course, and the other notebook."""
    all_lessons = lessons()
    place = all_lessons.index(lesson)
    before, after = all_lessons[:place][-1:], all_lessons[place + 1 :][:1]
    prefix = "" if folder == "." else "../"
    links = [f"[the lesson before]({other.student.name})" for other in before]
    links.append(f"[the course]({prefix}README.md)")
    links += [f"[the next lesson]({other.student.name})" for other in after]
    if folder == ".":
        links.append(f"[solutions](solutions/{lesson.solution.name})")
    else:
        links.append(f"[exercises](../{lesson.student.name})")
    text = f"{' · '.join(links)}\n\nBuilt from `source/{lesson.source.name}`, the file to edit."
    return nbformat.v4.new_markdown_cell(text, id=f"{lesson.number}-end")


def _relocate_links(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Sources write links as seen from `lessons/`; the solutions lie one folder deeper."""
    if folder == ".":
        return
    for cell in notebook.cells[:-1]:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((?!https?:|#)", f"]({folder}/", cell.source)


def run(notebook: nbformat.NotebookNode, folder: Path) -> float:
    """Execute a notebook in place, as Jupyter would in that folder; gives the seconds it took.

    Raises
    ------
    RuntimeError
        If a cell does; its text shows the cell and the error.
    """
    started = time.perf_counter()
    client = NotebookClient(
        notebook,
        timeout=2 * SECONDS,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # it warns of how it talks to this process
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        colours = re.compile(r"\x1b\[[\d;]*m")
        raise RuntimeError(colours.sub("", str(error))) from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _without_announcements(_joined_streams(cell.outputs))
    notebook.metadata = copy.deepcopy(METADATA)  # the kernel adds versions to it
    return time.perf_counter() - started


def _joined_streams(outputs: list) -> list:
    """Text that came in several portions, as chance would have it, as one."""
    joined = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output.output_type == "stream" and before.get("name") == output.get("name"):
            before["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def _without_announcements(outputs: list) -> list:
    """The outputs without the lines that say that kernels are being compiled."""
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            lines = output["text"].splitlines(keepends=True)
            output["text"] = "".join(
                line for line in lines if line.removesuffix("\n") not in ANNOUNCEMENTS
            )
        if output.get("text") != "":
            kept.append(output)
    return _joined_streams(kept)


def build(lesson: Lesson) -> str:
    """Run and write a lesson's notebooks, its picture and its row; gives a line that says so."""
    took = 0.0
    for path, notebook in notebooks(lesson).items():
        took = max(took, run(notebook, path.parent))
        path.write_text(text_of(notebook), encoding="utf-8", newline="\n")
    lesson.picture.write_bytes(cover(notebook))
    _write_row(lesson)
    return f"{lesson.source.stem:52} {took:7.1f} {_kilobytes(lesson):5.0f}"


def text_of(notebook: nbformat.NotebookNode) -> str:
    """A notebook as the text of its file."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def pictures(notebook: nbformat.NotebookNode) -> list[tuple[list[str], str]]:
    """The pictures among the outputs: the tags of the cell, and the PNG in base 64."""
    return [
        (cell.metadata.get("tags", []), output["data"]["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def cover(notebook: nbformat.NotebookNode) -> bytes:
    """The notebook's picture for the map of the course, small, as a PNG."""
    from PIL import Image  # comes with matplotlib

    found = pictures(notebook)
    chosen = next((png for tags, png in found if "cover" in tags), found[0][1])
    image = Image.open(io.BytesIO(base64.b64decode(chosen))).convert("RGB")
    image.thumbnail((480, 480), Image.Resampling.LANCZOS)
    small = io.BytesIO()
    image.quantize(64).save(small, "PNG", optimize=True)
    return small.getvalue()


def row(lesson: Lesson) -> str:
    """The lesson's row in the map of the course, from the first cell of its source."""
    first = jupytext.read(lesson.source, fmt="py:percent").cells[0].source
    title, effort = TITLE.search(first), EFFORT.search(first)
    if not (title and effort):
        raise ValueError(
            f"{lesson.source.name}: its first cell needs `# {int(lesson.number)} · question` "
            "and `*20 minutes · needs lesson 2*`"
        )
    question = f"[{title['question']}]({lesson.student.name})"
    image = f'<img src="pictures/{lesson.picture.name}" width="240" alt="">'
    number, minutes, needs = int(lesson.number), effort["minutes"], effort["needs"]
    return f"| {number} | {question} | {image} | {minutes}&nbsp;min | {needs} |"


def _write_row(lesson: Lesson) -> None:
    readme = LESSONS / "README.md"
    text = readme.read_text(encoding="utf-8")
    line = re.compile(rf"^\| {int(lesson.number)} \|.*$", re.MULTILINE)
    readme.write_text(line.sub(lambda _: row(lesson), text), encoding="utf-8", newline="\n")


def problems_of_files(lesson: Lesson) -> list[str]:
    """What is wrong with the committed files, as far as can be seen without running them."""
    problems, both = [], notebooks(lesson)
    for path, built in both.items():
        name = path.relative_to(LESSONS).as_posix()
        if not path.exists():
            problems.append(f"{name}: missing")
            continue
        committed = nbformat.read(path, as_version=4)
        if _cells(committed) != _cells(built) or committed.metadata != METADATA:
            problems.append(f"{name}: differs from its source")
        if not pictures(committed):
            problems.append(f"{name}: no picture")
        for cell in committed.cells:
            if cell.cell_type == "code" and cell.execution_count is None:
                problems.append(f"{name}: cell {cell.id} has not been run")
            if any(
                o.output_type == "error" or o.get("name") == "stderr"
                for o in cell.get("outputs", [])
            ):
                problems.append(f"{name}: cell {cell.id} shows an error or a warning")
        problems += [f"{name}: {problem}" for problem in _bad_text(committed, path.parent)]
        if path.stat().st_size > MEGABYTE:
            problems.append(f"{name}: {path.stat().st_size / MEGABYTE:.1f} MB, more than 1")
    problems += hard_to_read(both[lesson.student])
    if not lesson.picture.exists():
        problems.append(f"{lesson.picture.relative_to(LESSONS).as_posix()}: missing")
    if row(lesson) not in (LESSONS / "README.md").read_text(encoding="utf-8").split("\n"):
        problems.append("README.md: the lesson's row is out of date")
    return problems


def minutes(student: nbformat.NotebookNode) -> float:
    """How long reading takes: words of prose, and lines of code that are not folded or cut."""
    words = lines = 0
    for cell in student.cells[:-1]:
        if cell.cell_type == "markdown":
            prose = re.sub(r"\]\([^)]*\)|<[^>]*>", " ", cell.source)
            words += len(re.findall(r"[^\W\d_]+(?:['-]\w+)*", prose))
        elif "fold" not in cell.metadata.get("tags", []):
            lines += sum(bool(line.strip()) for line in cell.source.split("\n"))
    return words / WORDS_A_MINUTE + lines * SECONDS_A_LINE / 60


def hard_to_read(student: nbformat.NotebookNode) -> list[str]:
    """What is too long in a student's notebook, or not as long as its first cell says."""
    problems, took = [], minutes(student)
    stated = int(EFFORT.search(student.cells[0].source)["minutes"])
    if took > MINUTES + 0.5:
        problems.append(f"takes {took:.0f} minutes to read, more than {MINUTES}")
    if not stated - 5 < round(took) <= stated:
        problems.append(f"takes {took:.0f} minutes to read, and says {stated}")
    for cell in student.cells:
        if "exercise" in cell.metadata.get("tags", []):
            longest = max(cell.source.split("\n"), key=len)
            if len(longest) > EXERCISE_WIDTH:
                problems.append(f"an exercise has a line of {len(longest)} characters: {longest}")
    return problems


def check(lesson: Lesson) -> tuple[Counter, list[str]]:
    """Figures on the lesson, and all that is wrong with it; runs both of its notebooks."""
    problems, figures = problems_of_files(lesson), Counter(_count_mistakes(lesson))
    both = notebooks(lesson)
    figures["minutes"] = round(minutes(both[lesson.student]))
    for path, notebook in both.items():
        name = path.relative_to(LESSONS).as_posix()
        try:
            took = run(notebook, path.parent)
            if took > SECONDS:  # the machine may have been busy: once more
                took = min(took, run(notebooks(lesson)[path], path.parent))
        except RuntimeError as error:
            problems.append(f"{name}: {error}")
            continue
        figures["seconds"] = max(figures["seconds"], took)
        if took > SECONDS:
            problems.append(f"{name}: took {took:.0f} s twice, more than {SECONDS}")
        if path.exists() and _printed(notebook) != _printed(nbformat.read(path, as_version=4)):
            problems.append(f"{name}: prints other things now than when it was built")
        which, mark = ("pass", "✓") if path == lesson.solution else ("not yet", "not yet: ")
        figures[which] = sum(text.startswith(mark) for text in _verdicts(notebook))
        figures["pictures"] = len(pictures(notebook))
    for which in ("pass", "not yet"):
        if figures[which] != figures["exercises"]:
            problems.append(f"{figures[which]} checks say {which!r}, of {figures['exercises']}")
    if figures["refused"] != figures["wrong answers"]:
        problems.append(f"{figures['wrong answers'] - figures['refused']} wrong answers pass")
    if figures["named"] != figures["mistakes"]:
        problems.append(f"{figures['mistakes'] - figures['named']} mistakes are not recognised")
    figures["KB"] = _kilobytes(lesson)
    return figures, problems


def _count_mistakes(lesson: Lesson) -> dict[str, int]:
    """How many exercises the lesson has, how many known mistakes, and how many are recognised."""
    tasks = exercises(importlib.import_module(f"checks.check_{lesson.number}")).values()
    mistakes = [(task, *pair) for task in tasks for pair in task.mistakes.items()]
    named = sum(task.verdict(wrong).mistake == sentence for task, sentence, wrong in mistakes)
    wrong_answers = [(task, wrong) for task, _, wrong in mistakes]
    wrong_answers += [(task, wrong) for task in tasks for wrong in task.refused_answers]
    refused = sum(not task.verdict(wrong).passed for task, wrong in wrong_answers)
    return {
        "exercises": len(tasks),
        "mistakes": len(mistakes),
        "named": named,
        "wrong answers": len(wrong_answers),
        "refused": refused,
    }


def _verdicts(notebook: nbformat.NotebookNode) -> list[str]:
    """What the cells print that are a check and nothing else."""
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code" and re.fullmatch(r"check\.(\w+)\(\1\)", cell.source)
    ]


def _row_of(name: str, figures: Counter) -> str:
    """A row below HEADER."""
    return (
        f"{name:52} {figures['minutes']:7} "
        f"{figures['seconds']:7.1f} {figures['KB']:5.0f} {figures['pictures']:9} "
        f"{figures['exercises']:10} {figures['pass']:5} {figures['not yet']:8} "
        f"{figures['named']:8} of {figures['mistakes']:3}"
        f"{figures['refused']:10} of {figures['wrong answers']}"
    )


def _cells(notebook: nbformat.NotebookNode) -> list[tuple]:
    return [(cell.id, cell.cell_type, cell.source, dict(cell.metadata)) for cell in notebook.cells]


def _printed(notebook: nbformat.NotebookNode, varying: bool = False) -> list[tuple]:
    """The outputs, but for pictures, which differ between Matplotlib's versions, and cells tagged
    "varies", unless these are asked for."""
    return [
        (cell.id, output.get("text") or output.get("data", {}).get("text/plain"))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" not in output.get("data", {})
        and (varying or "varies" not in cell.metadata.get("tags", []))
    ]


def _bad_text(notebook: nbformat.NotebookNode, folder: Path) -> list[str]:
    printed = [f"{text}" for _, text in _printed(notebook, varying=True)]
    text = "\n".join([cell.source for cell in notebook.cells] + printed)
    places = [str(LESSONS.parent), str(Path.home()), "/home/", "/Users/", "/tmp/", "C:\\"]
    machine = [place for place in places if place in text]
    problems = [f"names a place on a machine: {place}" for place in machine]
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith(("https://", "#")) and not (folder / link.split("#")[0]).exists():
            problems.append(f"dead link: {link}")
    for names, link in NAMED_LINK.findall(text):
        code = (folder / link).read_text(encoding="utf-8") if (folder / link).exists() else ""
        for name in re.findall(r"[\w.]+", re.sub(r"\band\b", "", names)):
            defined = rf"^\s*(def|class) {name.split('.')[-1]}\b|^{name}\b.* ="
            if not re.search(defined, code, re.MULTILINE):
                problems.append(f"there is no {name} in {link}")
    return problems


def _kilobytes(lesson: Lesson) -> float:
    paths = (lesson.student, lesson.solution)
    return max(path.stat().st_size if path.exists() else 0 for path in paths) / 1024


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the lessons, or check them.")
    parser.add_argument(
        "lesson", nargs="*", help="numbers of lessons, 02 for instance; default: all"
    )
    parser.add_argument("--check", action="store_true", help="write nothing, report what is wrong")
    options = parser.parse_args(arguments)
    chosen, total, wrong = lessons(options.lesson), Counter(), 0
    if options.check:
        print(HEADER)
    for lesson in chosen:
        if options.check:
            figures, problems = check(lesson)
            total += figures
            line = _row_of(lesson.source.stem, figures)
        else:
            line, problems = build(lesson), problems_of_files(lesson)
        print(line, "" if problems else " ok", flush=True)
        for problem in problems:
            print(f"    {problem}", flush=True)
        wrong += len(problems)
    if options.check:
        print(_row_of(f"{len(chosen)} lessons", total))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
