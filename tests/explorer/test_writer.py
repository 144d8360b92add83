"""What `explorer.write` puts into its file, and what it refuses; `explore` and `predict`."""

import html.parser
import json
import re
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import Sequential, explorer
from minicnn.activations import Activation
from minicnn.explorer import writer
from minicnn.explorer.selection import select
from minicnn.layers import Conv2D, Dense, Flatten, Input, Layer, MaxPooling2D, ReLU
from minicnn.losses import Loss
from minicnn.tutorial import scaled, tutorial_network
from tests.explorer.networks import random_network
from tests.idx_files import write_learnable_data


class Elements(html.parser.HTMLParser):
    """The elements of a page, and the content of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.elements.append((f"/{tag}", {}))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] == "script":
            self.scripts.append(data)


@pytest.fixture
def small():
    model = Sequential(
        [Input((9, 7, 1)), Conv2D(2, 3), MaxPooling2D(), Flatten(), Dense(4, activation="softmax")]
    )
    rng = np.random.default_rng(0)
    return model, rng.random((6, 9, 7, 1)).astype(np.float32), np.arange(6) % 4


def test_the_file_needs_nothing_else(small, tmp_path):
    path = explorer.write(small[0], tmp_path / "page.html", *small[1:])
    text = path.read_text(encoding="utf-8")
    for tag, attributes in Elements(text).elements:
        assert not {"src", "srcset", "data", "action"} & set(attributes), (tag, attributes)
        assert attributes.get("href", "data:,") == "data:,"
    assert not re.search(r"https?://|@import|url\(|\bfetch\(|XMLHttpRequest|\bimport\b", text)
    assert "default-src 'none'" in text
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_embedded_cannot_end_the_script(small, tmp_path):
    model, *data = small
    model.name = "</script><script>alert('{{data}}')</script><!-- & \u2028"
    path = explorer.write(model, tmp_path / "page.html", *data)
    found = Elements(path.read_text(encoding="utf-8"))
    assert [tag for tag, _ in found.elements].count("script") == 2
    description = json.loads(found.scripts[0])
    assert description["name"] == model.name
    assert description["parameters"] == model.count_params()
    assert found.scripts[1].strip().startswith('"use strict";')


def test_the_description_has_the_summary_of_the_model(small):
    described = writer.describe(small[0], "test")
    lines = []
    small[0].summary(lines.append)
    for layer in described["layers"]:
        (line,) = (line for line in lines if line.startswith(f"{layer['name']} ("))
        assert str((None, *layer["outputShape"])) in line
        assert int(line.split()[-1].replace(",", "")) == layer["parameters"]


def test_a_model_with_regularizers_is_known_for_it(small):
    """The page says that it leaves their penalties out."""
    assert not writer.describe(small[0], "test")["regularized"]
    layer = Dense(4, kernel_regularizer=lambda weight: (weight**2).sum())
    model = Sequential([Input((9, 7, 1)), Flatten(), layer])
    assert writer.describe(model, "test")["regularized"]


def test_images_of_bytes_and_others_are_embedded_exactly():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
    for images, kind in (
        (scaled(levels[..., 0]), "uint8"),
        (rng.normal(size=(3, 4, 4, 1)), "float32"),
    ):
        encoded = writer.encoded_images(images)
        assert (encoded["type"], encoded["count"]) == (kind, 3)


def test_the_images_are_the_first_the_worst_and_the_closest():
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.5, 0.1, 0.4], [0.0, 0.3, 0.7]])
    chosen, start, groups = select(np.tile(probabilities, (20, 1)), np.tile([0, 0, 0, 0], 20))
    found = {group["title"]: chosen[group["images"]].tolist() for group in groups}
    assert found["Test images"] == list(range(30))
    assert found["Worst mistakes"] == list(
        range(3, 60, 4)
    )  # 0.7 for another class, 0 for the label
    assert found["Closest decisions"] == list(range(2, 60, 4))  # 0.5 and 0.4
    assert chosen[start] == 2  # right, and not sure


def dense(**options):
    return Sequential([Input((9, 7, 1)), Flatten(), Dense(4, **options)])


class Mine(Layer):
    """A layer of the user's own."""


class MyLoss(Loss):
    """A loss of the user's own."""


def compiled(model, loss):
    model.compile("sgd", loss)
    return model


def refused():
    own = Activation("relu", np.abs, lambda dy, y: dy)
    return {
        "expected a Sequential": "model",
        "layers Conv2D, MaxPooling2D": Sequential([Input((9, 7, 1)), Mine(), Flatten(), Dense(4)]),
        "one score a class": Sequential([Input((9, 7, 1)), Conv2D(2, 3)]),
        r"samples of shape \(63,\)": Sequential([Input((63,)), Dense(4)]),
        r"shape \(65, 7, 1\)": Sequential([Input((65, 7, 1)), Flatten(), Dense(4)]),
        "not 'relu'": dense(activation=own),
        "at most 4,000,000 weights": Sequential([Input((64, 64, 1)), Flatten(), Dense(1000)]),
        "the losses SparseCategoricalCrossentropy": compiled(dense(), MyLoss()),
        "no softmax at the end": compiled(dense(), "sparse_categorical_crossentropy"),
        "no layers yet": Sequential(),
    }


@pytest.mark.parametrize("message", refused())
def test_what_cannot_be_shown_is_refused(tmp_path, message):
    model = refused()[message]
    with pytest.raises((TypeError, ValueError), match=message):
        explorer.write(model, tmp_path / "page.html", np.ones((2, 9, 7, 1)), [0, 1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.ones((2, 9, 8, 1)), [0, 1], r"\(2, 9, 8, 1\)"),
        (np.ones((2, 9, 7, 1)), [0, 4], "from 0 to 3"),
        (np.ones((2, 9, 7, 1)), [0], "2 labels"),
        (np.ones((0, 9, 7, 1)), [], "at least one image"),
    ],
)
def test_images_and_labels_have_to_fit(small, tmp_path, images, labels, message):
    with pytest.raises(ValueError, match=message):
        explorer.write(small[0], tmp_path / "page.html", images, labels)


def test_a_folder_that_is_missing_is_an_error_and_leaves_nothing(small, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        explorer.write(small[0], tmp_path / "nowhere" / "page.html", *small[1:])
    assert not list(tmp_path.iterdir())


def scripts():
    folder = Path(explorer.__file__).parent / "page"
    files = [folder / "numbers" / f"{name}.js" for name in writer.NUMBERS]
    files += [folder / "drawing" / f"{name}.js" for name in writer.DRAWING]
    assert sorted(files) == sorted(folder.rglob("*.js"))
    return files


def test_the_scripts_are_short():
    for file in scripts():
        lines = file.read_text(encoding="utf-8").splitlines()
        assert lines[0] == '"use strict";'
        assert len(lines) <= 300
        assert max(map(len, lines)) <= 100, file


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_each_script_is_correct_javascript():
    parse = "process.argv.slice(1).map((f) => new vm.Script(fs.readFileSync(f, 'utf8')))"
    done = subprocess.run(["node", "-e", parse, *scripts()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The commands.


def test_explore_writes_the_page_of_a_saved_model(run, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    data = write_learnable_data(tmp_path / "data")
    model = tutorial_network((8, 6, 1))
    model.save(tmp_path / "model.npz")
    model.save_weights(tmp_path / "weights.npz")
    for name in ("model.npz", "weights.npz"):
        output = tmp_path / "page.html"
        command = ("explore", tmp_path / name, "--data", data, "--output", output)
        status, out, err = run(*command)
        assert (status, err) == (0, "")
        assert out.startswith(f"Explorer written to {output} (")
        assert opened.pop() == output.as_uri()
        (text,) = re.findall(r'json" id="description">(.*?)</script>', output.read_text("utf-8"))
        weights = json.loads(text)["layers"][0]["params"]["kernel"]["data"]
        assert weights == writer.describe(model, "test")["layers"][0]["params"]["kernel"]["data"]
        assert "Open it" in run(*command, "--no-open").out
        assert not opened


def test_explore_without_a_model_trains_one(run, tmp_path):
    data = write_learnable_data(tmp_path / "data")
    output = tmp_path / "page.html"
    status, out, err = run("explore", "--data", data, "--output", output, "--no-open")
    assert (status, err) == (0, "")
    first, *_ = out.splitlines()
    assert "for one epoch first" in first
    assert "accuracy" in out
    assert output.stat().st_size > 100_000


@pytest.mark.parametrize("command", ["explore", "predict"])
def test_a_file_that_is_no_model_gets_one_line(run, tmp_path, command):
    path = tmp_path / "foreign.npz"
    path.write_text("not a model")
    status, out, err = run(command, path, *(["x.png"] if command == "predict" else ["--no-open"]))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"minicnn {command}: error: argument MODEL.npz: {path}")


def test_a_model_of_other_images_gets_one_line(run, tmp_path):
    random_network(0)[0].save(tmp_path / "model.npz")
    for command in (["explore", "--no-open"], ["predict", tmp_path / "x.png"]):
        status, _, err = run(command[0], tmp_path / "model.npz", *command[1:])
        assert (status, err.count("\n")) == (2, 1)
        assert "images" in err
    assert not (tmp_path / "explorer.html").exists()


@pytest.mark.parametrize("activation", [None, "softmax"])  # scores, or probabilities
def test_predict_prints_the_three_likeliest_digits(run, tmp_path, activation):
    from PIL import Image

    model = Sequential([Input((28, 28, 1)), ReLU(), Flatten(), Dense(10, activation)])
    bias = np.zeros(10)
    bias[[4, 7, 2]] = 3, 2, 1
    model.set_weights([np.zeros((784, 10)), bias])
    model.save(tmp_path / "model.npz")
    stroke = np.full((60, 50), 255, np.uint8)
    stroke[10:50, 22:28] = 0
    Image.fromarray(stroke).save(tmp_path / "stroke.png")
    command = (
        "predict",
        tmp_path / "model.npz",
        tmp_path / "stroke.png",
        "--figures",
        tmp_path / "new" / "f",
    )
    status, out, err = run(*command)
    assert (status, err) == (0, "")
    of_classes = 100 * np.exp(bias) / np.exp(bias).sum()
    best = ", ".join(f"{n} ({of_classes[n]:.1f} %)" for n in (4, 7, 2))
    assert out.splitlines()[0] == f"{tmp_path / 'stroke.png'}: {best}"
    assert (tmp_path / "new" / "f" / "1_stroke.png").stat().st_size > 5000
    (tmp_path / "text.png").write_text("no picture")
    status, out, err = run("predict", tmp_path / "model.npz", tmp_path / "text.png")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "text.png is not a picture" in err


def test_importing_the_explorer_loads_no_library_for_pictures():
    libraries = {"PIL", "matplotlib", "scipy.ndimage"}
    program = f"import sys, minicnn.explorer; print({libraries} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert minicnn.explorer.write is explorer.write
    assert done.stdout == "set()\n", done.stderr
