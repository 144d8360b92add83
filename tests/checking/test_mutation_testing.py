"""Mutation testing: its mutants, and the table of those that change no result."""

import ast

import pytest

from minicnn.checking.planting import source_of
from tests.promises.mutants import MODULES, names, sample
from tests.promises.mutation_testing import (
    HARMLESS,
    RecordedTest,
    Verdict,
    nearest,
    outcome,
    stale,
)


def test_reasons_are_about_existing_mutants(monkeypatch):
    assert stale() == []
    monkeypatch.setitem(HARMLESS, ("losses.py", "get", "1", "2"), "none such")
    assert stale() == [("losses.py", "get", "1", "2")]


@pytest.mark.parametrize("module", MODULES[::5])
def test_a_mutant_is_another_valid_program(module):
    right = ast.unparse(ast.parse(source_of(module)))
    for mutant in sample([module], 0.01):
        assert mutant.module == module
        assert mutant.before != mutant.after
        assert ast.unparse(ast.parse(mutant.source)) != right


def test_mutants_have_names():
    known = names("shapes.py")
    assert {mutant.name for mutant in sample(["shapes.py"], 1)} == known
    assert len(known) > 30


def test_the_last_is_left_out_and_checks_and_arguments_are_changed():
    made = [str(mutant) for mutant in sample(["engine/blas.py", "batches.py", "data.py"], 1)]
    for words in (
        "range(0, len(images), size)  ->  range(0, len(images) - 1, size)",
        "  ->  zip(self.before, libraries(), strict=True)",
        "for library in [*libraries()][:-1]",
        "check.integer(buffer_size, 'buffer_size')  ->  buffer_size",
    ):
        assert any(words in each for each in made), words


def test_nearest_tests_run_the_function_and_are_quick():
    (mutant,) = sample(["shapes.py"], 0)
    own = f"shapes.py:{mutant.first_line}"
    tests = {
        "other": RecordedTest(0.01, frozenset({"data.py:1"})),
        "slow": RecordedTest(20.0, frozenset({own})),
        "broad": RecordedTest(0.01, frozenset({own, "data.py:1", "step.py:2"})),
        "near": RecordedTest(0.05, frozenset({own})),
    }
    assert nearest(tests, mutant)[:3] == ["near", "broad", "slow"]


def test_a_survivor_needs_a_reason():
    (mutant,) = sample(["shapes.py"], 0)
    name = next(iter(HARMLESS))
    harmless = mutant._replace(module=name[0], function=name[1], before=name[2], after=name[3])
    caught = [Verdict(mutant, "caught", ""), Verdict(mutant, "time-out", "")] * 10
    assert outcome([*caught, Verdict(harmless, "survived", "")]).kept
    assert not outcome([*caught, Verdict(mutant, "survived", "")]).kept
    assert not outcome([*caught[:1], Verdict(mutant, "survived", "")]).kept
