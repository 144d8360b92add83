"""The lessons: notebooks equal their sources, and checks tell right answers from wrong ones."""

import contextlib
import importlib
import inspect
import io
import itertools
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from minicnn import plots
from minicnn.engine import compiling
from minicnn.tutorial import tutorial_network

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lessons"))  # as in the notebooks, which import `checks`

from checks import own_functions  # noqa: E402
from checks.engine import NotYet, difference, exercise, exercises, returning  # noqa: E402

from lessons import build, hand_out, report  # noqa: E402

LESSONS = build.lessons()
# Lesson: the cell with which demonstrations of many seconds begin.
LONG = {"08": 20, "09": 18, "12": 11, "13": 17, "14": 11, "16": 23, "17": 8, "19": 18}
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.number)


def exercises_of(lesson):
    return exercises(importlib.import_module(f"checks.check_{lesson.number}"))


EXERCISES = {
    f"{lesson.number}-{name}": each
    for lesson in LESSONS
    for name, each in exercises_of(lesson).items()
}
each_exercise = pytest.mark.parametrize("task", EXERCISES.values(), ids=EXERCISES.keys())


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def is_exercise(cell):
    return "exercise" in cell.metadata.get("tags", [])


def is_check(cell):
    return cell.source.startswith("check.")


def run(cells, namespace):
    """Execute cells as a notebook would, without figures; return what they print."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for cell in cells:
            exec(compile(cell.source, cell.id, "exec"), namespace)
    return printed.getvalue()


@each_lesson
def test_committed_notebooks_equal_their_source(lesson):
    assert build.problems_of_files(lesson) == []


@each_lesson
def test_solutions_run_and_pass_and_empty_exercises_do_not(lesson, monkeypatch):
    """Quick: `test_every_lesson_builds_to_what_is_committed` runs every cell, with TensorFlow."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # lesson 18 goes on without it
    tasks, namespace, cells = exercises_of(lesson), {}, code_cells(lesson.solution)
    end = LONG.get(lesson.number, len(cells))
    later = (cell for cell in cells[end:] if is_exercise(cell) or is_check(cell))
    printed = run([*cells[:end], *later], namespace)
    assert re.findall(r"^✓ (\w+): right", printed, re.MULTILINE) == list(tasks)
    assert "not yet" not in printed

    run(filter(is_exercise, code_cells(lesson.student)), namespace)
    for name, task in tasks.items():
        verdict = task.verdict(namespace[name])
        assert not verdict.passed
        assert verdict.text.startswith("not yet: ")
        assert verdict.mistake is None


@each_lesson
def test_the_students_notebook_was_run_without_solutions(lesson):
    checks = filter(is_check, code_cells(lesson.student))
    texts = [output["text"] for cell in checks for output in cell.outputs]
    assert len(texts) == len(exercises_of(lesson))
    assert all(text.startswith("not yet: ") for text in texts)


@each_lesson
def test_there_are_two_to_five_exercises_each_followed_by_its_check(lesson):
    cells = code_cells(lesson.student)
    names = []
    for cell, following in itertools.pairwise(cells):
        if is_exercise(cell):
            (name,) = re.findall(r"^def (\w+)", cell.source, re.MULTILINE)
            assert following.source == f"check.{name}({name})"
            assert '"""' in cell.source
            assert cell.source.rstrip().endswith(build.TO_DO)
            names.append(name)
    assert names == list(exercises_of(lesson))
    assert 2 <= len(names) <= 5


@each_exercise
def test_each_named_mistake_is_recognised(task):
    for sentence, wrong in task.mistakes.items():
        verdict = task.verdict(wrong)
        assert not verdict.passed
        assert verdict.mistake == sentence
        assert verdict.text.startswith(f"not yet: {sentence}\n")


@each_exercise
def test_wrong_answers_are_refused(task):
    for wrong in task.refused_answers:
        assert not task.verdict(wrong).passed, inspect.getsource(wrong)


@each_exercise
def test_the_right_answer_passes_and_some_mistakes_are_named(task):
    assert task.verdict(task.reference).passed
    assert len(task.mistakes) >= 2


RETURNED = [None, ..., "text", [[1], [2, 3]], np.array([object()]), np.nan, {"a": 1}]
RETURNED += [np.empty((0, 0, 0))]
ANSWERS = [None, 3, ..., dict, type, lambda: None, lambda *_: 1 / 0, lambda *_: iter("abc")]
ANSWERS += [lambda *_: sys.exit(), *(lambda *_, value=value: value for value in RETURNED)]


@each_exercise
def test_no_answer_makes_a_check_raise(task):
    for answer in ANSWERS:
        verdict = task.verdict(answer)
        assert not verdict.passed
        assert re.match("not yet: .", verdict.text)
        assert verdict.text.count("\n") == (verdict.mistake is not None)


def test_checks_need_no_tensorflow():
    for path in (ROOT / "lessons" / "checks").glob("*.py"):
        assert not re.search(r"import (tensorflow|keras|torch)", path.read_text(encoding="utf-8"))


@exercise(lambda: [(np.array([1.0, 2, 4]), 2), (np.array([[0.5]]), 3)], tolerance=1e-9)
def scaled(x, factor):
    return x * factor


@scaled.mistake("the factor is added")
def _(x, factor):
    return x + factor


def test_a_wrong_number_is_reported_with_its_position():
    def answer(x, factor):
        return np.where(x == 4, 9, x * factor)

    where = "not yet: for x=[1.0, 2.0, 4.0], factor=2 at [2] expected 8.0, got 9.0"
    assert scaled.verdict(answer).text == f"{where} (1 of 3 cells differ)"


def test_a_mistake_is_named_only_if_it_explains_every_case():
    assert scaled.verdict(lambda x, factor: factor + x).mistake == "the factor is added"
    verdict = scaled.verdict(lambda x, factor: factor + x if x.size > 1 else x)
    assert not verdict.passed
    assert verdict.mistake is None


def test_an_answer_may_not_change_its_argument():
    def answer(x, factor):
        x *= factor
        return x

    text = scaled.verdict(answer).text
    assert text == "not yet: scaled changed its argument x; work on a copy of it"


def test_nor_what_is_inside_of_its_argument():
    @exercise(lambda: [([np.ones(2), np.ones(2)],)])
    def total(arrays):
        return sum(array.sum() for array in arrays)

    def answer(arrays):
        first = arrays.pop()
        return first.sum() + arrays[0].sum()

    def other(arrays):
        arrays[0] += arrays[1]
        return arrays[0].sum()

    for wrong in (answer, other):
        changed = "not yet: total changed its argument arrays; work on a copy of it"
        assert total.verdict(wrong).text == changed


def test_nothing_may_be_the_right_answer():
    @exercise(lambda: [([1, 2],), ([],)])
    def largest(numbers):
        return max(numbers, default=None)

    text = largest.verdict(lambda numbers: None if numbers else 0).text
    assert text == "not yet: for numbers=[1, 2] expected 2, got None"
    text = largest.verdict(lambda numbers: None).text
    assert text.startswith("not yet: largest returns nothing; write its body")


def test_an_error_is_reported_with_its_line():
    def answer(x, factor):
        return x[17] * factor

    text = scaled.verdict(answer).text
    assert "it raised IndexError: index 17 is out of bounds" in text
    assert f"in line {answer.__code__.co_firstlineno + 1} of its cell" in text


def test_a_function_of_other_arguments_is_reported():
    text = scaled.verdict(lambda x: x).text
    assert text == "not yet: scaled has to take 2 arguments (x, factor), yours takes (x)"


def test_run_can_compare_what_a_generator_yields_and_refuse_it():
    def first_three(function, start):
        values = [value for value, _ in zip(function(start), range(3), strict=False)]
        if len(values) < 3:
            raise NotYet("it ends too early")
        return values

    @exercise(lambda: [(1,), (5,)], run=first_three)
    def count(start):
        while True:
            yield start
            start += 1

    assert count.verdict(count.reference).passed
    assert count.verdict(lambda start: iter([start])).text == "not yet: it ends too early"
    wrong = count.verdict(lambda start: iter([start] * 3))
    assert wrong.text == "not yet: for start=1 expected [1, 2, 3], got [1, 1, 1]"


def test_a_function_that_returns_several_things_is_told_their_names():
    @exercise(lambda: [(6,)], run=returning("half", "double"))
    def half_and_double(x):
        return x / 2, x * 2

    assert half_and_double.verdict(half_and_double.reference).passed
    text = half_and_double.verdict(lambda x: x / 2).text
    assert text == "not yet: 2 things are expected: return half, double"
    text = half_and_double.verdict(lambda x: (x / 2, x)).text
    assert text.endswith("got {'half': 3.0, 'double': 6}")


def test_lesson_10_runs_what_the_student_wrote_and_minicnns_for_the_rest(tmp_path, capsys):
    solutions = own_functions.load(build.LESSONS / "solutions")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[2:] for line in printed] == [[n, "yours"] for n in own_functions.LESSONS]
    assert solutions.conv_valid.__code__.co_filename.startswith("<02_")
    own_functions.load(build.LESSONS)
    assert capsys.readouterr().out.count("minicnn's: yours is not solved yet") == len(printed)
    own_functions.load(tmp_path)  # no notebook at all
    assert capsys.readouterr().out.count("minicnn's: yours is not solved yet") == len(printed)


@each_lesson
def test_no_notebook_handed_out_asks_the_checks_for_their_answers(lesson):
    assert not any(report.ASKING.search(cell.source) for cell in code_cells(lesson.student))


def test_reading_minutes_are_measured_and_compared_with_what_the_lesson_says():
    cells = [
        nbformat.v4.new_markdown_cell("# 3 · Why?\n*20 minutes · needs lesson 2*"),
        nbformat.v4.new_markdown_cell("word " * 10 * build.WORDS_A_MINUTE),
        nbformat.v4.new_code_cell("x = 1\n" * 30),
        nbformat.v4.new_code_cell("x = 1\n" * 100, metadata={"tags": ["fold"]}),
        nbformat.v4.new_markdown_cell("the links at the end do not count"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    code = 30 * build.SECONDS_A_LINE / 60
    assert build.minutes(notebook) == pytest.approx(10 + code, abs=0.1)
    stated, wide = f"takes {10 + code:.0f} minutes to read, and says ", "x = 1" + " " * 90
    for says, problems in [(20, [stated + "20"]), (5 * np.ceil(2 + code / 5), [])]:
        cells[0].source = f"# 3 · Why?\n*{says:.0f} minutes · needs lesson 2*"
        assert build.hard_to_read(notebook) == problems
    cells[2] = nbformat.v4.new_code_cell(wide + "#", metadata={"tags": ["exercise"]})
    assert any("a line of 96 characters" in each for each in build.hard_to_read(notebook))
    cells[1].source *= 3
    assert any("more than 25" in problem for problem in build.hard_to_read(notebook))


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ((0, 1), [0, 1]),
        ((0, 1), (np.int64(0), np.int32(1))),
        ((0, 1), np.array([0, 1])),
        (2.0, 2),
        (np.array([np.nan, 1]), np.array([np.nan, 1 + 1e-12])),
        (np.array([np.inf, 1]), np.array([np.inf, 1 + 1e-12])),
        ({"a": (1, 2.0)}, {"a": [1, 2]}),
        (True, np.bool_(True)),
        ("same", "same"),
    ],
)
def test_what_counts_as_equal(expected, got):
    assert difference(expected, got, 1e-9) is None


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        ((0, 1), (0, 2), "expected (0, 1), got (0, 2)"),
        ((0, 1), (0.0, 1.0), "expected (0, 1), got (0.0, 1.0): integers are expected"),
        ((0, 1), (0, 1, 0), "expected (0, 1), got (0, 1, 0)"),
        (3, 3.5, "expected 3, got 3.5"),
        (1.0, np.nan, "expected 1.0, got nan"),
        (np.array([np.inf, 1]), np.array([np.inf, 2.0]), "at [1] expected 1.0, got 2.0"),
        (np.array([0.5]), np.array([0]), "your array can hold integers only"),
        (np.array([2, 3]), np.array([2.0, 3.0]), "an array of integers is expected"),
        (4 / 3, 4 / 3 + 1e-8, "expected 1.3333333333333333, got 1.33333334"),
        (np.zeros((2, 2)), np.zeros(2), "an array of shape (2, 2), got one of shape (2,)"),
        ({"a": 1}, {"a": 2}, "expected {'a': 1}, got {'a': 2}"),
        (True, 1, "expected True, got 1"),
        ("same", "valid", "expected 'same', got 'valid'"),
    ],
)
def test_what_counts_as_different(expected, got, words):
    assert words in difference(expected, got, 1e-9)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([[1.0, 3.0, 2.0]]), "for value=[[1.0, 3.0, 2.0]] "),
        (np.zeros((2, 5)), "for value of shape (2, 5) "),
        ([np.zeros((2, 2)), np.zeros(3)], "for value of shapes (2, 2), (3,) "),
        ({"padded": np.zeros((4, 4)), "a": np.zeros(2)}, "for value with padded, a "),
        (np.random.default_rng(0), "for value with a seed "),
    ],
)
def test_how_a_case_is_shown(value, words):
    @exercise(lambda: [(value,)])
    def one(value):
        return 1

    assert one.verdict(lambda value: 2).text.startswith(f"not yet: {words}expected 1")


@pytest.mark.parametrize("losses", [[3.0, 1.0], [3, 1], ["b", "a"]])
def test_a_list_that_is_sorted_in_place_is_noticed(losses):
    @exercise(lambda: [(losses,)])
    def smallest(losses):
        return min(losses)

    @exercise(lambda: [([np.nan, 1.0],)])
    def last(numbers):
        return numbers[-1]

    text = smallest.verdict(lambda losses: losses.sort() or losses[0]).text
    assert text == "not yet: smallest changed its argument losses; work on a copy of it"
    assert last.verdict(lambda numbers: numbers[-1]).passed  # NaN is not equal to itself


def test_lines_that_announce_compilation_are_no_part_of_a_notebook(capsys):
    """They are printed only if there are no compiled kernels on disk yet."""
    compiling._usual.tell()
    line = capsys.readouterr().err
    outputs = [("stdout", "before\n"), ("stderr", line), ("stdout", f"{line}after\n")]
    outputs.append(("stderr", f"a warning\n{line}"))
    streams = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in outputs]
    kept = build._without_announcements([*streams, nbformat.v4.new_output("display_data")])
    texts = [(output.get("name"), output.get("text")) for output in kept]
    assert texts == [("stdout", "before\nafter\n"), ("stderr", "a warning\n"), (None, None)]


def test_removing_a_solution_keeps_the_code_around_it():
    cell = 'def f(x):\n    """Doc."""\n    # solution\n    y = x\n\n    return y\n\n\nz = 3'
    assert build.cut(cell) == f'def f(x):\n    """Doc."""\n    {build.TO_DO}\n\n\nz = 3'


def test_missing_names_dead_links_and_local_paths_are_noticed():
    link = "../minicnn/engine/kernels/direct.py"
    text = f"- `forward` and `moved_away` in [direct.py]({link}), and [gone](gone.py)"
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("")]
    cells[1].metadata["tags"] = ["varies"]
    cells[1].outputs = [nbformat.v4.new_output("stream", text="/home/ada/lessons")]
    problems = build._bad_text(nbformat.v4.new_notebook(cells=cells), build.LESSONS)
    assert problems == [
        "names a place on a machine: /home/",
        "dead link: gone.py",
        f"there is no moved_away in {link}",
    ]


def test_an_expected_number_of_images_may_be_any_float():
    task = EXERCISES["12-distinct_images"]
    assert task.verdict(lambda *case: float(task.reference(*case))).passed


def test_the_map_names_every_lesson_and_its_links_resolve():
    text = (ROOT / "lessons" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 20))
    linked = {f"{int(number):02d}" for number, question in rows if question.startswith("[")}
    assert linked == {lesson.number for lesson in LESSONS}
    for link in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text):
        assert (ROOT / "lessons" / "".join(link)).exists(), link


def test_a_figure_shows_itself_in_a_notebook_always_with_the_same_pixels():
    first, second = (plots.new_figure(2, "title") for _ in range(2))
    png, size = first._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert size == {"width": 900}
    assert second._repr_png_()[0] == png


def test_number_grid_writes_every_number_and_leaves_missing_ones_empty():
    axes = plots.new_figure(2).subplots()
    plots.number_grid(axes, [[1, 0.5], [np.nan, -2]], "title", {(0, 1): plots.SKY})
    assert [text.get_text() for text in axes.texts] == ["1", "0.5", "", "-2"]
    assert axes.get_title() == "title"
    white = [patch.get_facecolor() == (1, 1, 1, 1) for patch in axes.patches]
    assert white == [True, False, True, True]


def test_shape_ribbon_names_every_shape_and_share():
    figure = plots.shape_ribbon(tutorial_network())
    figure.canvas.draw()
    ribbon, bars = figure.axes
    shapes = [text.get_text() for text in ribbon.texts[::2]]
    assert shapes[:2] + shapes[-2:] == ["28 x 28 x 1", "28 x 28 x 32", "64", "10"]
    shares = [text.get_text() for text in bars.texts if text.get_text()]
    assert shares == ["0.3", "20.2", "79.2", "0.3", "5.8", "92.4", "1.8", "0.0"]


def test_the_report_has_a_row_for_each_student(tmp_path, python):
    def write(path, *cells):
        path.parent.mkdir(exist_ok=True)
        cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

    write(
        tmp_path / "ada" / "third lesson.ipynb",
        "from checks import check_03 as check",
        "def same_pads(n, k, s):\n    return k // 2, k // 2",
        "def output_size(n, k, s, padding):\n"
        "    return -(-n // s) if padding == 'same' else (n - k) // s + 1",
        f"def cells_on_zeros(n, k, s):\n    {build.TO_DO}",
        "1 / 0",
    )
    endless = "def conv_valid(x, kernel, bias):\n    while True:\n        pass"
    merged = "merged = check.merged.reference"
    write(tmp_path / "eve.ipynb", "from checks import check_02 as check", endless, merged)
    write(tmp_path / "ida.ipynb", "print('nothing')")
    (tmp_path / "bob.ipynb").write_text("no notebook", encoding="utf-8")
    script = "import sys; from lessons import report; report.EXERCISE_SECONDS = 1; report.main()"
    done = python("-c", script, tmp_path, "--jobs", 2, "--csv", tmp_path / "all.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "student  02      03",
        "ada              ✗✓··",
        "bob",
        "eve      ✗·✓·",
        "ida",
        "ada/third lesson.ipynb: same_pads: this is PyTorch's symmetric rule",
        "bob.ipynb: cannot be read as a notebook (NotJSONError)",
        "eve.ipynb: asks the checks for their answers",
        "eve.ipynb: conv_valid: it was still running after 1 seconds",
        "ida.ipynb: imports no checks",
    ]
    written = (tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()
    assert len(written) == 1 + 4 + 1 + (1 + 4) + 1
    assert written[3] == "ada,ada/third lesson.ipynb,03,cells_on_zeros,not tried,"


def test_what_is_handed_out_has_no_solutions_and_no_dead_links(tmp_path):
    target = tmp_path / "course"
    hand_out.hand_out(target)
    assert not list(target.rglob("source/*.py"))
    assert not list(target.rglob("solutions"))
    assert not (target / "tests" / "lessons").exists()
    pages = [target / "README.md", target / "lessons" / "README.md"]
    pages += (target / "lessons").glob("*.ipynb")
    assert len(pages) == 2 + len(LESSONS)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if page.suffix == ".ipynb":
            cells = nbformat.reads(text, as_version=4).cells
            text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if not link.startswith(("https://", "#")):
                assert (page.parent / link.split("#")[0]).exists(), (page.name, link)
    with pytest.raises(SystemExit, match="exists"):
        hand_out.hand_out(target)


@pytest.mark.full
def test_every_lesson_builds_to_what_is_committed(python):
    done = python("lessons/build.py", "--check", timeout=None)
    assert done.returncode == 0, done.stdout + done.stderr
