"""`python -m minicnn`: its output, and an error of one line for every mistake."""

import itertools
import re
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

import minicnn
from minicnn.engine import Plan
from minicnn.model import Sequential
from minicnn.tutorial import scaled, tutorial_network
from tests.idx_files import write_learnable_data

LAST_LINE = re.compile(r"test loss: \d+\.\d{4} - test accuracy: [01]\.\d{4}")
PICTURES = {"digits.png", "learning_curve.png", "filters_conv2d.png", "filters_conv2d_1.png"}
PICTURES |= {"confusion_matrix.png", "worst_mistakes.png"}
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
not_on_windows = pytest.mark.skipif(
    sys.platform == "win32", reason="signals and pipes are different there"
)


@pytest.fixture
def data(tmp_path):
    return write_learnable_data(tmp_path / "data")


def last_line(output):
    line = output.splitlines()[-1]
    assert LAST_LINE.fullmatch(line)
    return line


def assert_same_arrays(path, other):
    with np.load(path) as received, np.load(other) as expected:
        assert received.files == expected.files
        assert all(np.array_equal(received[key], expected[key]) for key in expected)


def test_train_prints_what_it_does_and_ends_with_the_result(run, data):
    status, out, err = run("train", "--data", data, "--epochs", 2, "--threads", 1, "--seed", 7)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == (
        f"Training on {data}: 64 images of 8 x 6 pixels, 10 classes (1 thread, seed 7)"
    )
    assert lines[1] == 'Model: "sequential"'
    assert "conv2d (Conv2D)              (None, 8, 6, 32)          832       " in lines
    assert "Epoch 2/2" in lines
    assert sum(line.startswith("2/2 - ") for line in lines) == 2  # 64 images in batches of 32
    last_line(out)


def test_same_seed_same_figures_for_any_number_of_threads(run, data):
    def figures(*more):
        return last_line(run("train", "--data", data, "--epochs", 2, *more)[1])

    once = figures("--seed", 3, "--threads", 1)
    assert figures("--seed", 3, "--threads", 2) == once
    assert figures("--seed", 4) != once


def test_steps_per_epoch_may_exceed_the_data(run, data):
    flags = "--epochs", 8, "--steps-per-epoch", 10, "--batch-size", 8
    _, out, err = run("train", "--data", data, *flags)
    assert err == ""  # no warning that the input ran out
    assert sum(line.startswith("10/10 - ") for line in out.splitlines()) == 8
    assert float(last_line(out).split()[-1]) > 0.9  # it learns


def test_learning_rate_reaches_the_optimizer(run, data, monkeypatch):
    rates = []
    monkeypatch.setattr(Sequential, "fit", lambda model, *_, **__: rates.append(model.optimizer))
    run("train", "--data", data, "--learning-rate", 0.25)
    run("train", "--data", data)
    assert [optimizer.learning_rate for optimizer in rates] == [0.25, 0.001]


def test_saved_weights_evaluate_to_the_same_figures(run, data, tmp_path):
    path = tmp_path / "weights.npz"
    path.write_text("an older file")
    status, out, _ = run("train", "--data", data, "--save", path)
    assert status == 0
    assert out.splitlines()[-2] == f"Weights saved in {path}"
    status, again, err = run("evaluate", path, "--data", data, "--batch-size", 7, "--threads", 1)
    assert (status, err) == (0, "")
    expected = f"Evaluating {path} on {data}: 40 test images (1 thread)"
    assert again.splitlines()[0] == expected
    assert last_line(again) == last_line(out)
    assert {p.name for p in tmp_path.iterdir()} == {"data", "weights.npz"}  # no temporary files


def test_figures_are_drawn_into_a_new_folder(run, data, tmp_path):
    folder = tmp_path / "new" / "figures"
    status, out, err = run("train", "--data", data, "--figures", folder)
    assert (status, err) == (0, "")
    assert out.splitlines()[-2].startswith(f"Pictures saved in {folder}: digits.png, ")
    last_line(out)
    assert {path.name for path in folder.iterdir()} == PICTURES
    for path in folder.iterdir():
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(content[16:20], "big") == 1350  # pixels across
        assert len(content) > 10_000


def test_more_than_ten_classes_get_an_output_each(run, tmp_path):
    data = write_learnable_data(tmp_path / "data", classes=12)
    status, out, _ = run("train", "--data", data)
    assert status == 0
    assert "12 classes" in out
    assert "dense_1 (Dense)              (None, 12)                780       " in out


def test_diverged_training_is_a_clear_error(run, data):
    status, out, err = run("train", "--data", data, "--learning-rate", "1e30")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("minicnn train: error: fit: in step 2 of epoch 1, the loss of ")
    assert "training has diverged: a lower learning rate may help" in err
    assert "test loss" not in out


def test_summary_is_that_of_the_network_for_mnist(run):
    status, out, err = run("summary")
    assert (status, err) == (0, "")
    assert 'Model: "sequential"\n' in out
    assert "conv2d_1 (Conv2D)            (None, 14, 14, 64)        51264     \n" in out
    assert "Total params: 253,514\n" in out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "train, evaluate, summary, python -m minicnn [-h]"),
        ("train", "--data, --epochs, --batch-size, --steps-per-epoch, --learning-rate, --seed"),
        ("train", "--threads, --save, --figures, (default: mnist), (default: 1), (default: 32)"),
        ("train", "(default: 0.001), (default: 0)"),
        ("evaluate", "--data, --batch-size, --threads, FILE.npz"),
        ("summary", "python -m minicnn summary"),
    ],
)
def test_help(run, command, words):
    status, out, err = run(*command.split(), "--help")
    assert (status, err) == (0, "")
    assert "usage: python -m minicnn" in out
    assert "None" not in out  # no default without a meaning for the user
    text = re.sub(r"\s+", " ", out)
    assert [word for word in words.split(", ") if word not in text] == []


def test_version(run):
    assert run("--version") == (0, f"minicnn {minicnn.__version__}\n", "")


def test_without_a_command_the_help_is_printed(run):
    status, out, err = run()
    assert (status, out) == (2, "")
    assert "usage: python -m minicnn" in err
    assert "evaluate" in err


AT_LEAST_1 = "expected an integer of at least 1, received "
WRONG = [  # {tmp} is a folder with `data`, `text.npz` and `file`
    ("trian", "argument COMMAND: invalid choice: 'trian'"),
    ("--epochs 3", "argument COMMAND: invalid choice: '3'"),
    ("--quiet", "minicnn: error: unknown argument --quiet"),
    ("train --epoch 3", "unknown argument --epoch; known are those of"),  # no abbreviations
    ("train --momentum 0.9", "python -m minicnn train --help"),
    ("train mnist", "unknown argument mnist"),
    ("summary now", "minicnn summary: error: unknown argument now"),
    ("train --epochs", "argument --epochs: expected one argument"),
    ("train --epochs 0", "minicnn train: error: argument --epochs: " + AT_LEAST_1 + "'0'"),
    ("train --epochs -1", "argument --epochs: "),
    ("train --epochs two", "argument --epochs: " + AT_LEAST_1 + "'two'"),
    ("train --epochs 1.5", "argument --epochs: " + AT_LEAST_1 + "'1.5'"),
    ("train --batch-size 0", "argument --batch-size: " + AT_LEAST_1 + "'0'"),
    ("train --data {tmp}/data --batch-size 65", "expected at most 64, the number of training"),
    ("train --steps-per-epoch 0", "argument --steps-per-epoch: " + AT_LEAST_1 + "'0'"),
    (f"train --steps-per-epoch {10**30}", "expected an integer with fewer digits"),
    ("train --threads 0", "argument --threads: " + AT_LEAST_1 + "'0'"),
    ("train --threads all", "argument --threads: " + AT_LEAST_1 + "'all'"),
    ("train --seed=-1", "argument --seed: expected an integer of at least 0, received '-1'"),
    ("train --learning-rate 0", "--learning-rate: expected a number above 0, received '0'"),
    ("train --learning-rate nan", "expected a number above 0, received 'nan'"),
    ("train --learning-rate inf", "expected a number above 0, received 'inf'"),
    ("train --learning-rate fast", "expected a number above 0, received 'fast'"),
    ("train --data {tmp}/nowhere", "argument --data: expected a folder with IDX files"),
    ("train --data {tmp}/file", "argument --data: expected a folder with IDX files"),
    ("train --data {tmp}", "argument --data: expected a file train-images-idx3-ubyte"),
    ("train --data {tmp}/two_sizes", "expected training and test images of one size"),
    ("train --data {tmp}/tiny", "argument --data: MaxPooling2D"),
    ("train --data {tmp}/damaged", "is not a sound IDX file"),
    ("train --save {tmp}/weights.h5", "argument --save: expected the name of a file that ends in"),
    ("train --save {tmp}/nowhere/w.npz", "argument --save: expected a folder that exists"),
    ("train --save {tmp}/file/w.npz", "argument --save: expected a folder that exists"),
    ("train --save {tmp}/folder.npz", "argument --save: expected the name of a file, but"),
    ("train --save {tmp}/" + 260 * "w" + ".npz", "argument --save: "),  # no such long names
    ("train --figures {tmp}/file", "argument --figures: expected a folder"),
    ("train --figures {tmp}/file/figures", "argument --figures: "),
    ("train --figures=", "argument --figures: expected the name of a folder, received ''"),
    ("evaluate", "the following arguments are required: FILE.npz"),
    ("evaluate {tmp}/nowhere.npz", "expected a file of weights, but there is no"),
    ("evaluate {tmp}/file", "expected the name of a file that ends in .npz"),
    ("evaluate {tmp}/folder.npz", "argument FILE.npz: expected the name of a file, but"),
    ("evaluate {tmp}/text.npz --data {tmp}/data", "does not hold the weights of this model"),
    ("evaluate {tmp}/array.npz --data {tmp}/data", "does not hold the weights of this model"),
    ("evaluate {tmp}/other.npz --data {tmp}/data", "argument FILE.npz: "),
    ("evaluate {tmp}/other.npz --seed 1", "unknown argument --seed"),
    ("evaluate {tmp}/other.npz --batch-size 0", "--batch-size: " + AT_LEAST_1 + "'0'"),
]


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory):
    """Files and folders for wrong arguments."""
    tmp = tmp_path_factory.mktemp("wrong_files")
    write_learnable_data(tmp / "data")
    write_learnable_data(tmp / "two_sizes", test_size=(9, 6))
    write_learnable_data(tmp / "tiny", size=(3, 3))
    write_learnable_data(tmp / "damaged")
    (tmp / "damaged" / "t10k-labels-idx1-ubyte").write_bytes(b"not labels")
    (tmp / "file").write_text("text")
    (tmp / "text.npz").write_text("text")
    (tmp / "folder.npz").mkdir()
    with open(tmp / "array.npz", "wb") as file:
        np.save(file, np.zeros(3))  # one array, not an archive
    tutorial_network((8, 8, 1)).save_weights(tmp / "other.npz")
    return tmp


@pytest.mark.parametrize(("command", "message"), WRONG, ids=[wrong[0][:60] for wrong in WRONG])
def test_a_wrong_use_is_an_error_of_one_line_before_training(
    run, wrong_files, monkeypatch, command, message
):
    monkeypatch.setattr(Sequential, "fit", lambda *_, **__: pytest.fail("training has started"))
    run(*command.format(tmp=wrong_files).split()).assert_one_line_error(message)


@pytest.mark.parametrize("flag", ["--save", "--figures"])
def test_a_folder_that_cannot_be_written_is_found_before_training(
    run, data, tmp_path, monkeypatch, flag
):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system", "a temporary name")

    monkeypatch.setattr(Sequential, "fit", lambda *_, **__: pytest.fail("training has started"))
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    path = tmp_path / ("w.npz" if flag == "--save" else "figures")
    result = run("train", "--data", data, flag, path)
    result.assert_one_line_error(f"argument {flag}: {path}", "Read-only file system")
    assert "a temporary name" not in result.err


@pytest.mark.parametrize("more", [[], ["--steps-per-epoch", 3]])
def test_resumed_training_ends_like_uninterrupted_training(run, data, tmp_path, more):
    command = ["train", "--data", data, "--batch-size", 24, *more]
    file, whole, resumed = (tmp_path / f"{name}.npz" for name in ("file", "whole", "resumed"))
    end = run(*command, "--epochs", 3, "--save", whole).out
    assert run(*command, "--epochs", 1, "--checkpoint", file).status == 0
    figures = [] if more else ["--figures", tmp_path / "figures"]
    for flags in ([], figures):  # the second time no epoch is left, and no curve to draw
        resume = [*command, "--epochs", 3, "--resume", file, "--save", resumed, *flags]
        status, out, _ = run(*resume)
        assert status == 0
        assert f"Going on from {file}: " in out
        assert last_line(out) == last_line(end)
        assert_same_arrays(resumed, whole)


@pytest.mark.parametrize("epoch", [0, 1])
def test_ctrl_c_in_an_epoch_repeats_it_when_resumed(run, data, tmp_path, monkeypatch, epoch):
    command = ["train", "--data", data, "--batch-size", 24, "--epochs", 2]
    file, whole, resumed = (tmp_path / f"{name}.npz" for name in ("file", "whole", "resumed"))
    assert run(*command, "--save", whole).status == 0
    steps, train = itertools.count(), Plan.train

    def interrupted(*arguments):
        if next(steps) == 3 * epoch + 2:  # of 3 steps an epoch
            raise KeyboardInterrupt
        return train(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "train", interrupted)
        status, _, err = run(*command, "--checkpoint", file)
    assert status == 130
    assert err == f"minicnn train: interrupted; to go on, pass --resume {file}\n"
    out = run(*command, "--resume", file, "--save", resumed).out
    assert f"Going on from {file}: {epoch} epochs are done\n" in out
    assert_same_arrays(resumed, whole)


def test_a_checkpoint_of_another_training_is_refused(run, data, tmp_path):
    file, other = tmp_path / "file.npz", tmp_path / "other.npz"
    command = ["train", "--data", data, "--epochs", 2]
    assert run(*command, "--checkpoint", file, "--save", other).status == 0
    before = file.read_bytes()
    second = write_learnable_data(tmp_path / "second", train=65)
    for flags, message in [
        (["--batch-size", 8], "was trained with --batch-size 32, expected the same, received"),
        (["--seed", 1], "--seed"),
        (["--learning-rate", 0.1], "--learning-rate 0.1"),
        (["--steps-per-epoch", 2], "was trained without --steps-per-epoch"),
        (["--epochs", 1], "is after 2 epochs, more than --epochs 1"),
        (["--data", second], "was trained on other images"),
        (["--resume", other], "does not hold a model: it has no model.json"),
        (["--checkpoint", other], "leave out --checkpoint"),
        (["--resume", tmp_path / "none.npz"], "there is no "),
    ]:
        result = run(*command, "--resume", file, *flags)
        assert (result.status, result.err.count("\n")) == (2, 1)
        assert result.err.startswith("minicnn train: error: argument --resume: ")
        assert message in result.err
    workers = ["--workers", "localhost:1,localhost:2", "--worker", "0"]
    result = run(*command, "--checkpoint", file, *workers)
    result.assert_one_line_error("argument --checkpoint: not together with --workers")
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt, 130, "minicnn train: interrupted\n"),
        (MemoryError, 2, "minicnn train: error: not enough memory; a smaller --batch-size "),
    ],
)
def test_ctrl_c_and_too_little_memory_are_errors_of_one_line(
    run, data, monkeypatch, error, status, line
):
    def fit(*_, **__):
        raise error

    monkeypatch.setattr(Sequential, "fit", fit)
    result, _, err = run("train", "--data", data)
    assert result == status
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_a_process_prints_plain_text_and_loads_no_framework(python):
    program = (
        "import sys, minicnn.scale_out; from minicnn.cli.main import main; "
        "status = main(['train', '--steps-per-epoch', '3', '--batch-size', '16']); "
        "unwanted = {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules); "
        "print(unwanted or 'none', file=sys.stderr); sys.exit(status)"
    )
    result = python("-c", program)
    assert (result.returncode, result.stderr) == (0, "none\n")
    first = result.stdout.splitlines()[0]
    assert first.startswith("Training on mnist: 60,000 images of 28 x 28 pixels, 10 classes (")
    assert first.endswith(", seed 0)")
    last_line(result.stdout)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.stdout)  # no control codes but \n


def test_errors_of_a_process_end_it_with_status_2(python):
    done = python("-m", "minicnn", "train", "--epochs", 0)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--epochs" in done.stderr


@not_on_windows
def test_ctrl_c_in_a_process(data):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("Ctrl-C is ignored: the tests run as a background job")
    command = [sys.executable, "-m", "minicnn", "train", "--data", str(data), "--epochs", "100000"]
    with subprocess.Popen(command, **PIPES) as process:
        try:
            assert process.stdout.readline().startswith("Training on")
            while not process.stdout.readline().startswith("2/2"):
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "minicnn train: interrupted\n")


@not_on_windows
def test_a_closed_pipe_gives_no_traceback():
    command = [sys.executable, "-m", "minicnn", "summary"]
    with subprocess.Popen(command, **PIPES) as process:
        process.stdout.close()  # before the program has anything to write
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_tutorial_network_and_its_images():
    network = tutorial_network()
    assert network.output_shape == (10,)
    assert tutorial_network((12, 9, 3), classes=4).output_shape == (4,)
    images = scaled(np.array([[[0, 51], [102, 255]]], np.uint8))
    assert images.shape == (1, 2, 2, 1)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images.ravel(), np.float32([0, 0.2, 0.4, 1]))
