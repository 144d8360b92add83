"""Small defects for all of the package: every place where one can be made, found through `ast`.

A mutant is a module with one expression or statement replaced: `<` by `<=`, `+` by `-`, a number by
the next one, a slice by one that is a cell shorter, a loop by one that leaves out the last, a
condition by its opposite, a statement by nothing, two arguments by each other, a checked value by
the unchecked one.
"""

import ast
import contextlib
import operator
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

from minicnn.checking.planting import ROOT, source_of

# Not mutated, and why.
NOT_MUTATED = {
    "__main__.py": "calls the command line, and nothing else",
    "checking/golden.py": "writes the file of recorded results, by hand",
    "checking/kill_matrix.py": "plants bugs itself, in new processes",
    "checking/planted_bugs.py": "a table of source text",
    "checking/planting.py": "plants the mutants",
    "engine/compiling.py": "a defect would leave wrong machine code in the user's cache",
    "keras/left_out.py": "a table of names and sentences",
}
MODULES = sorted(
    module
    for module in (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
    if module not in NOT_MUTATED and "/page/" not in module
)
SWAPPED = "Lt LtE, Gt GtE, Eq NotEq, Is IsNot, In NotIn, Add Sub, LShift RShift, And Or"
# `&` becomes `|`, but not the other way round: `int | None` is a type.
REPLACED = "Mult Add, Div Mult, FloorDiv Mult, Mod Mult, Pow Mult, BitAnd BitOr"
OPERATORS = {
    getattr(ast, old): getattr(ast, new)
    for pairs, order in ((SWAPPED, 1), (SWAPPED, -1), (REPLACED, 1))
    for old, new in (pair.split()[::order] for pair in pairs.split(", "))
}
# Not mutated: types, options of decorators, and messages of errors. Defaults of arguments are
# treated separately below.
PASSED_OVER = {"annotation", "returns", "decorator_list", "exc", "cause", "defaults", "kw_defaults"}

CHECK = re.compile(r"(self\.)?_?check\.|Check\(.*\)\.|plain$")  # what returns a checked value

SYMMETRIC = {"max", "min", "np.maximum"}  # swapping two arguments changes nothing


class Mutant(NamedTuple):
    """One defect: `after` instead of `before`, and the source of the module with it."""

    module: str  # named by its file: "engine/kernels/pooling.py"
    function: str  # qualified name, or "" for code that runs on import
    first_line: int  # of the function, as its code object has it; 0 on import
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What it is, apart from its line."""
        return self.module, self.function, self.before, self.after

    def __str__(self) -> str:
        where = f"{self.module}:{self.line} {self.function or 'on import'}"
        return f"{where}: {self.before}  ->  {self.after}"


class _Place(NamedTuple):
    holder: ast.AST
    field: str
    index: int | None
    old: ast.AST
    new: ast.AST
    function: str
    first_line: int

    @property
    def line(self) -> int:
        return getattr(self.old, "lineno", None) or self.holder.lineno


def sample(modules: list[str], share: float, seed: int = 0) -> list[Mutant]:
    """A share of all mutants of each module, drawn at random: at least one of each."""
    chosen = []
    for module in modules:
        tree = ast.parse(source_of(module))
        places = list(_places(tree, "", 0))
        count = min(len(places), max(1, round(share * len(places))))
        numbers = sorted(random.Random(f"{seed} {module}").sample(range(len(places)), count))
        chosen += [_mutant(module, tree, places[number]) for number in numbers]
    return chosen


def names(module: str) -> set[tuple[str, str, str, str]]:
    """The names of all mutants of a module."""
    found = set()
    for place in _places(ast.parse(source_of(module)), "", 0):
        before = _line(place, place.old)
        with _replaced(place):
            found.add((module, place.function, before, _line(place, place.new)))
    return found


def _mutant(module: str, tree: ast.Module, place: _Place) -> Mutant:
    before = _line(place, place.old)
    with _replaced(place):
        after = _line(place, place.new)
        source = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return Mutant(module, place.function, place.first_line, place.line, before, after, source)


@contextlib.contextmanager
def _replaced(place: _Place) -> Iterator[None]:
    """The tree with the new node in its place."""
    container = place.holder if place.index is None else getattr(place.holder, place.field)
    put = setattr if place.index is None else operator.setitem
    where = place.field if place.index is None else place.index
    put(container, where, place.new)
    yield
    put(container, where, place.old)


def _line(place: _Place, node: ast.AST) -> str:
    """Of an `if`, the condition; of a number, the expression that it is part of."""
    if isinstance(node, ast.If | ast.While):
        node = node.test
    elif isinstance(place.old, ast.Constant | ast.Slice) and isinstance(place.holder, ast.expr):
        node = place.holder
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]


def _places(node: ast.AST, function: str, first_line: int) -> Iterator[_Place]:
    """All places, depth first, in the order of the source."""
    for field, value in ast.iter_fields(node):
        if field in PASSED_OVER or isinstance(node, ast.JoinedStr):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_warning(child):
                continue
            for new in _replacements(child):
                yield _Place(node, field, index, child, new, function, first_line)
            inside = function, first_line
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{function}.{child.name}".strip(".")
                line = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                inside = name, line if isinstance(child, ast.FunctionDef) else 0
            if isinstance(child, ast.FunctionDef):
                # Defaults of arguments are evaluated by the code around the function.
                for defaults in ("defaults", "kw_defaults"):
                    for number, default in enumerate(getattr(child.args, defaults)):
                        for new in _replacements(default):
                            yield _Place(child.args, defaults, number, default, new, function, 0)
            yield from _places(child, *inside)


def _is_warning(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("warnings.warn(")


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """All replacements of `node`."""
    match node:
        case ast.Compare():
            for index, sign in enumerate(node.ops):
                new = OPERATORS[type(sign)]()
                yield _with(node, ops=[*node.ops[:index], new, *node.ops[index + 1 :]])
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign() if type(node.op) in OPERATORS:
            yield _with(node, op=OPERATORS[type(node.op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield _with(node, value=not node.value)
        case ast.Constant(value=int() | float()):
            yield _with(node, value=node.value + 1)
        case ast.Slice():
            yield _with(node, lower=_moved(node.lower, 1))
            yield _with(node, upper=_moved(node.upper, -1))
        case ast.If() | ast.While() | ast.IfExp():
            yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension() if node.ifs:
            yield _with(node, ifs=[ast.UnaryOp(ast.Not(), node.ifs[0]), *node.ifs[1:]])
        case ast.Call():
            yield from _other_calls(node)
        case ast.For() | ast.comprehension() if not _is_range(node.iter):
            elements = ast.unparse(node.iter)
            if "count(" not in elements:  # without end
                without_last = f"[*({elements})][:-1]"
                yield _with(node, iter=ast.parse(without_last, mode="eval").body)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield _with(node, value=None)
    if _can_be_dropped(node):
        yield ast.Pass()


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    """Two arguments exchanged; the last number of a range left out; a check left out."""
    args, function = node.args, ast.unparse(node.func)
    if not any(isinstance(each, ast.Starred) for each in args) and function not in SYMMETRIC:
        for i in range(len(args) - 1):
            yield _with(node, args=[*args[:i], args[i + 1], args[i], *args[i + 2 :]])
    if _is_range(node):
        place = min(len(args) - 1, 1)
        yield _with(node, args=[*args[:place], _moved(args[place], -1), *args[place + 1 :]])
    if CHECK.match(function) and args and not isinstance(args[0], ast.Starred):
        yield args[0]


def _is_range(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("range", "numba.prange")


def _can_be_dropped(node: ast.AST) -> bool:
    match node:
        case ast.Expr():
            return not isinstance(node.value, ast.Constant)  # a docstring
        case ast.Assign():
            return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return isinstance(node, ast.AugAssign | ast.Raise | ast.Break | ast.Continue)


def _with(node: ast.AST, **fields) -> ast.AST:
    return type(node)(**vars(node) | fields)


def _moved(bound: ast.expr | None, step: int) -> ast.expr:
    """A bound of a slice, one cell later or earlier."""
    if bound is None:
        return ast.Constant(step)
    return ast.BinOp(bound, ast.Add() if step > 0 else ast.Sub(), ast.Constant(1))
