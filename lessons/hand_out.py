"""The course for students: a copy of the project without the solutions.

    python -m lessons.hand_out FOLDER

FOLDER must not exist yet. What is missing in it are `lessons/source` and `lessons/solutions`, the
tests of the lessons, which need both, and the links to them. The other tests run as before.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

import nbformat

PROJECT = Path(__file__).resolve().parents[1]
KEPT = ["minicnn", "lessons", "tests", "benchmarks"]
KEPT += [".ci", "pyproject.toml", "README.md", "LICENSE", ".gitignore"]
LEFT_OUT = {"lessons": {"source", "solutions"}, "tests": {"lessons"}}
# [solutions](solutions/02_...) and the dot before it; in prose the words stay.
LINK = re.compile(r"( · )?\[([^\]]*)\]\((?:\.\./)*(?:lessons/)?(?:source|solutions)[^)]*\)")
BUILT_FROM = re.compile(r"\n*^Built from `source/.*$", re.MULTILINE)


def hand_out(folder: Path) -> None:
    """Write the copy.

    Raises
    ------
    SystemExit
        If the folder exists, or lies inside the project.
    """
    if folder.exists():
        raise SystemExit(f"{folder} exists; choose a folder that does not")
    if PROJECT in folder.resolve().parents:
        raise SystemExit(f"{folder} lies inside the project; choose a folder outside of it")
    folder.mkdir(parents=True)
    for name in KEPT:
        source, target = PROJECT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=_ignored)
        elif source.exists():
            shutil.copy2(source, target)
    for page in (folder / "README.md", folder / "lessons" / "README.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(_without_links(text), encoding="utf-8", newline="\n")
    for path in (folder / "lessons").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _without_links(cell.source)
        text = nbformat.writes(notebook) + "\n"
        path.write_text(text, encoding="utf-8", newline="\n")


def _ignored(folder: str, names: list[str]) -> set[str]:
    generated = {name for name in names if name.endswith(("__pycache__", ".egg-info", "_cache"))}
    place = Path(folder).relative_to(PROJECT).as_posix()
    return generated | LEFT_OUT.get(place, set())


def _without_links(text: str) -> str:
    return LINK.sub(lambda link: "" if link[1] else link[2], BUILT_FROM.sub("", text))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lessons.hand_out", description="Write a copy without the solutions."
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    hand_out(folder)
    print(f"{folder}: the project without lessons/source, lessons/solutions and their tests")
    return 0


if __name__ == "__main__":
    sys.exit(main())
