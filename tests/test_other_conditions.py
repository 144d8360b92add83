"""The suite under other conditions: kernels as plain Python, with every index checked, on one
thread, on three, and without TensorFlow.

    python -m pytest -m full tests/test_other_conditions.py
"""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Everything that runs kernels, on small arrays.
SMALL = """engine/kernels engine/test_fusion.py engine/test_prefetch.py test_contract.py
test_data.py test_epochs.py test_gradients.py test_layers_against_keras.py
test_losses_and_metrics.py test_model.py test_optimizers.py test_training.py
validation/test_accepted_input.py"""
CONDITIONS = {  # environment, flags
    "kernels as plain Python": ({"NUMBA_DISABLE_JIT": "1"}, []),
    "every index checked": ({"NUMBA_BOUNDSCHECK": "1"}, []),
    "one thread": ({}, ["--threads", "1"]),
    "three threads": ({}, ["--threads", "3"]),
}
pytestmark = pytest.mark.full


def run_suite(python, *arguments, **environment):
    """Run pytest in a new process; return what it prints, and how many tests passed."""
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=7200,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout, int(re.search(r"(\d+) passed", done.stdout)[1])


@pytest.mark.parametrize(("environment", "flags"), CONDITIONS.values(), ids=CONDITIONS)
def test_the_suite_passes(environment, flags, tmp_path):
    if environment:  # code compiled for it must not be cached for others
        environment = environment | {"NUMBA_CACHE_DIR": str(tmp_path)}
    files = [Path("tests", name) for name in SMALL.split()]
    _, passed = run_suite(sys.executable, *files, *flags, **environment)
    assert passed > 800


def python_without_tensorflow(folder):
    """An environment with all that is installed here, except TensorFlow and Keras."""
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for path in map(Path, sys.path):
        for entry in path.iterdir() if path.name == "site-packages" else ():
            ours = entry.name.lower().startswith(("tensorflow", "keras", "__editable__"))
            if not ours and entry.suffix != ".pth" and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
    if not (packages / "minicnn").exists():
        (packages / "minicnn").symlink_to(ROOT / "minicnn")
    return folder / "bin" / "python"


@pytest.mark.skipif(os.name != "posix", reason="makes symbolic links")
def test_without_tensorflow_comparisons_with_keras_are_skipped(tmp_path):
    python = python_without_tensorflow(tmp_path)
    missing = subprocess.run([python, "-c", "import tensorflow"], capture_output=True, text=True)
    assert "No module named 'tensorflow'" in missing.stderr
    # Not the lessons' notebooks and the README's commands: they are for a complete environment.
    output, passed = run_suite(python, "--ignore=tests/lessons", "--ignore=tests/test_readme.py")
    assert passed > 1000
    assert re.search(r"\d+ tests were skipped: TensorFlow is not installed", output)
