"""The page in a real browser: it draws, clicks, goes backward, takes steps and follows links.

Every test also holds that the page writes no error into the console and requests nothing.
"""

import math
import re

import numpy as np
import pytest

import minicnn
from minicnn import explorer
from minicnn.datasets import mnist
from minicnn.tutorial import scaled, tutorial_network
from tests.explorer.browsing import MOVE, Visit
from tests.explorer.networks import random_network
from tests.tolerances import assert_close

FORWARD, BOTH = 30, 120  # milliseconds that the passes of the tutorial's network may take
STEPS = 150  # of training, enough to tell digits apart


@pytest.fixture(scope="module")
def model():
    """The tutorial's network after some steps of training."""
    minicnn.clear_session()  # layers are called conv2d, conv2d_1 and so on
    minicnn.set_random_seed(0)
    model = tutorial_network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    (x, y), _ = mnist.load_data()
    model.fit(scaled(x[: 32 * STEPS]), y[: 32 * STEPS], verbose=0)
    return model


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    _, (x, y) = mnist.load_data()
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    return explorer.write(model, path, scaled(x[:300]), y[:300])


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture(scope="module")
def opened(context, file):
    """The page, opened once for all tests."""
    return Visit(context, file)


@pytest.fixture
def visit(opened):
    """The open page, in its first state again."""
    opened.page.evaluate("page.group = 0; undoAll(); showImage(page.network.images.start)")
    opened.go("mode=forward&layer=conv2d")
    yield opened
    assert opened.problems == []


def test_the_whole_network_has_the_shapes_and_parameters_of_summary(visit, model):
    lines = []
    model.summary(lines.append)
    for layer in model.layers:
        (line,) = (line for line in lines if line.startswith(f"{layer.name} ("))
        figure = f'[data-layer="{layer.name}"]'
        shape = visit.page.get_attribute(f"{figure} [data-shape]", "data-shape")
        count = int(visit.page.get_attribute(f"{figure} [data-parameters]", "data-parameters"))
        assert f"(None, {', '.join(shape.split(','))})" in line
        assert line.split()[-1] == f"{count:,}".replace(",", "")
        box = visit.page.locator(figure).bounding_box()
        assert box["y"] + box["height"] < 900  # on one screen
    assert f"{model.count_params():,} parameters" in visit.text("#network-title")


def test_a_digit_is_recognised_while_it_is_drawn(visit):
    visit.stroke([(0.5, 0.15), (0.5, 0.85)])
    assert visit.text(".answer") == "1"
    probabilities = visit.numbers(".probabilities .number")
    assert math.isclose(sum(probabilities), 1, rel_tol=1e-4)
    assert probabilities.index(max(probabilities)) == 1
    visit.click("#clear")
    oval = [(0.5 + 0.22 * math.sin(t / 3), 0.5 - 0.33 * math.cos(t / 3)) for t in range(20)]
    visit.stroke(oval)
    assert visit.text(".answer") == "0"
    assert "image=" not in visit.page.evaluate("location.hash")
    visit.click("#clear")
    assert visit.page.evaluate("page.image.every((value) => value === 0)")


def test_images_can_be_picked(visit):
    for title in ("Worst mistakes", "Closest decisions", "Test images"):
        visit.click(f'.tabs button:has-text("{title}")')
        visit.click(".thumbs button:nth-child(2)")
        label = visit.page.get_attribute(".thumbs button:nth-child(2)", "title").split(": ")[1][0]
        assert f"label: {label}" in visit.text("#verdict")
        if title == "Worst mistakes":
            assert "a mistake" in visit.text("#verdict")


def test_a_click_on_a_cell_shows_its_arithmetic(visit):
    visit.click_map('[data-layer="conv2d_1"] canvas', (0.4, 0.6))
    visit.click_map(".enlarged:last-child .pickable, .block:last-child .pickable", (0.5, 0.45))
    name = visit.text(".cell-name")
    assert re.match(r"y\[\d+, \d+, \d+\] =", name)
    window, kernel, products = (visit.numbers(f'[aria-label="{part}"] td') for part in GRIDS)
    assert_close(np.multiply(window, kernel), products, "explorer")
    assert_close(sum(products), visit.number("#products-sum"), "explorer")
    sums = visit.numbers(".signed-bars .number")
    assert len(sums) == 32
    z = sum(sums) + visit.number("#bias")
    assert_close(max(z, 0), visit.number("#cell-value"), "explorer")
    exact = visit.page.evaluate("page.pass.activations[3][flatIndex([14, 14, 64], page.cell)]")
    assert visit.number("#cell-value") == exact
    # What is written adds up, too, up to the rounding of each number to four decimals.
    texts = visit.page.eval_on_selector_all(
        '[aria-label="products"] td', "(all) => all.map((each) => each.textContent)"
    )
    written = [float(text.replace("\u2212", "-")) for text in texts]
    assert abs(sum(written) - visit.number("#products-sum")) < 0.0001 * len(written)


GRIDS = ("window", "kernel", "products")


def test_a_cell_of_the_first_convolution(visit):
    """One input map: no sums of several, but the same way to the number."""
    visit.go("layer=conv2d&cell=14,12,3")
    products = visit.numbers('[aria-label="products"] td')
    assert_close(sum(products), visit.number("#terms-sum"), "explorer")
    z = visit.number("#terms-sum") + visit.number("#bias")
    assert_close(max(z, 0), visit.number("#cell-value"), "explorer")


def test_pooling_shows_its_candidates_and_ties(visit):
    visit.click_map('[data-layer="max_pooling2d"] canvas', (0.3, 0.3))
    candidates = visit.numbers('[aria-label="candidates"] td')
    assert len(candidates) == 4
    assert visit.number("#winner") == max(candidates) == visit.number("#cell-value")
    ties = int(visit.page.get_attribute("#ties", "data-ties"))
    assert ties == candidates.count(max(candidates))
    visit.go("layer=max_pooling2d&cell=0,0,3")  # paper: the same number four times
    assert visit.page.get_attribute("#ties", "data-ties") == "4"
    assert "tie" in visit.text("#ties")
    marked = "(all) => all.map((each) => each.className)"
    cells = visit.page.eval_on_selector_all('[aria-label="candidates"] td', marked)
    assert cells == ["marked", "tied", "tied", "tied"]


def test_a_dense_unit_shows_its_largest_contributions(visit):
    visit.go("layer=dense&cell=7")
    contributions = visit.numbers(".signed-bars .number")
    assert len(contributions) == 16
    assert sorted(contributions, key=abs, reverse=True) == contributions
    z = visit.number("#largest-sum") + visit.number("#rest-sum") + visit.number("#bias")
    assert_close(sum(contributions), visit.number("#largest-sum"), "explorer")
    assert_close(max(z, 0), visit.number("#cell-value"), "explorer")
    assert "3120 others" in visit.text(".sum")


def test_the_backward_pass_adds_up_stamp_by_stamp(visit):
    visit.click('[data-mode="backward"]')
    visit.go("layer=conv2d_1&cell=3,4,7&mode=backward")
    assert visit.text(".cell-name") == "dx[3, 4, 7] ="
    value = visit.number("#cell-value")
    assert value != 0
    assert_close(visit.number("#messages-sum"), value, "explorer")
    total = 0
    for step in range(1, 26):
        visit.page.evaluate(MOVE, step)
        total += visit.number("#message")
        assert math.isclose(total, visit.number("#so-far"), rel_tol=1e-9, abs_tol=1e-12)
        stamp = visit.page.get_attribute('[aria-label="stamp"] .marked', "data-value")
        assert math.isclose(float(stamp), visit.number("#message"), rel_tol=1e-6, abs_tol=1e-12)
    assert_close(total, value, "explorer")
    assert "lets nothing through" in visit.text("#inspector")
    visit.page.click("#play")
    visit.until("Number(byId('slider').value) > 2 && Number(byId('slider').value) < 25")


def test_the_gradient_begins_with_probabilities_less_onehot(visit):
    visit.click_map("[data-layer='dense_1'] [data-class='4'] .track")
    visit.click('[data-mode="backward"]')
    visit.page.select_option("#label", "4")
    visit.frame()
    p = visit.page.evaluate("Array.from(page.pass.probabilities)")
    assert math.isclose(visit.number("#loss"), -math.log(p[4]), rel_tol=1e-4)
    found = visit.numbers("[data-layer='dense_1'] .number")
    assert_close(found, np.array(p) - np.eye(10)[4], "explorer")
    visit.page.select_option("#label", "2")
    visit.frame()
    assert math.isclose(visit.number("#loss"), -math.log(p[2]), rel_tol=1e-4)


def test_pooling_sends_its_gradient_to_the_winner(visit):
    visit.go("layer=max_pooling2d&mode=backward")
    assert "so all of it comes here" in visit.text(".messages")
    assert visit.number("#messages-sum") == visit.number("#cell-value") != 0
    row, column, channel = map(int, visit.page.evaluate("page.cell"))
    visit.go(
        f"layer=max_pooling2d&mode=backward&cell={row ^ 1},{column},{channel}"
    )  # the other row
    assert "nothing comes here" in visit.text(".messages")
    assert visit.number("#messages-sum") == visit.number("#cell-value") == 0


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_step_lowers_the_loss_and_is_undone(visit, name):
    weights = (
        "page.network.layers.flatMap((layer) => Object.values(layer.params).map((w) => [...w]))"
    )
    checksum = f"JSON.stringify({weights}).length + ':' + {weights}.flat().reduce((a, b) => a + b)"
    before = visit.page.evaluate(checksum)
    visit.click('[data-mode="train"]')
    visit.page.select_option("#optimizer", name)
    visit.frame()
    visit.click("#step")
    assert visit.number("#loss-after") < visit.number("#loss-before")
    assert visit.number("#loss-after") == visit.number("#loss")
    assert visit.page.evaluate(checksum) != before
    assert visit.page.locator(".changes tbody tr").count() == 8
    visit.click("#step")
    visit.click("#undo")
    visit.click("#undo")
    assert visit.page.evaluate(checksum) == before
    assert visit.page.is_disabled("#undo")


def test_twenty_steps_draw_a_curve(context, tmp_path):
    model, rng = random_network(4)
    images = rng.random((16, *model.input_shape)).astype(np.float32)
    labels = np.arange(16) % 4
    visit = Visit(
        context, explorer.write(model, tmp_path / "page.html", images, labels), "#mode=train"
    )
    visit.click("#many")
    visit.page.wait_for_selector("#loss-after")
    assert visit.number("#loss-after") < visit.number("#loss-before")
    curve = visit.page.get_attribute(".curve", "aria-label")
    assert curve.count(",") == 19
    visit.click("#undo")
    assert visit.page.locator(".curve").count() == 0
    assert visit.problems == []
    visit.page.close()


def test_a_deep_link_shows_its_place(context, file, visit):
    other = Visit(context, file, "#layer=conv2d_1&cell=3,4,7&mode=backward")
    assert other.text(".cell-name") == "dx[3, 4, 7] ="
    assert other.page.evaluate("location.hash").startswith(
        "#layer=conv2d_1&cell=3,4,7&mode=backward&channel="
    )
    assert other.problems == []
    other.page.close()
    visit.go("layer=conv2d&cell=10,12,5&image=3&label=8&mode=forward")
    assert visit.text(".cell-name") == "y[10, 12, 5] ="
    assert visit.page.evaluate("[page.imageNumber, page.label]") == [3, 8]
    assert visit.page.is_hidden("#notice")


@pytest.mark.parametrize(
    "link", ["layer=conv2d_9", "layer=conv2d&cell=99,0,0", "cell=a", "mode=sideways", "image=-1"]
)
def test_a_link_to_nowhere_gets_a_sentence(visit, link):
    visit.go(link)
    assert "The link asks for something else" in visit.text("#notice")
    assert visit.page.is_visible("#inspector")


def test_keys_move_through_the_network(visit):
    visit.go("layer=conv2d&cell=10,12,5&mode=forward")
    for key, cell in [("ArrowRight", "10, 13, 5"), ("ArrowDown", "11, 13, 5"), ("]", "11, 13, 6")]:
        visit.page.keyboard.press(key)
        visit.frame()
        assert visit.text(".cell-name") == f"y[{cell}] ="
    visit.page.focus("[aria-label='next map']")
    visit.page.keyboard.press("Enter")  # the button is drawn anew, and keeps the focus
    visit.frame()
    visit.page.keyboard.press("Enter")
    visit.frame()
    assert visit.text(".cell-name") == "y[11, 13, 8] ="
    visit.page.keyboard.press(".")
    visit.frame()
    assert visit.page.evaluate("page.network.layers[page.layer].name") == "max_pooling2d"
    visit.page.keyboard.press("b")
    visit.frame()
    assert visit.text(".cell-name").startswith("dx[")


def test_it_is_fast_enough(visit, capsys):
    """The fastest of many passes: what the page takes on a machine that does nothing else."""
    times = """() => {
      const found = { forward: [], both: [] };
      for (let n = 0; n < 30; n++) {
        const image = page.images[n % page.images.length];
        const start = performance.now();
        const pass = forwardPass(page.network, image);
        found.forward.push(performance.now() - start);
        backwardPass(page.network, pass, 3);
        found.both.push(performance.now() - start);
      }
      return found;
    }"""
    found = {name: np.array(values) for name, values in visit.page.evaluate(times).items()}
    with capsys.disabled():
        for name, values in found.items():
            print(f"\n{name}: {values.min():.1f} ms, median {np.median(values):.1f} ms", end="")
    assert found["forward"].min() < FORWARD
    assert found["both"].min() < BOTH


@pytest.mark.parametrize("number", [1, 3, 5, 8, 11])
def test_every_layer_of_other_networks(context, tmp_path, number):
    """Odd sizes, several channels, strides, no bias, logits: all layers in all modes."""
    model, rng = random_network(number)
    images = rng.random((3, *model.input_shape)).astype(np.float32)
    visit = Visit(context, explorer.write(model, tmp_path / "page.html", images, [0, 1, 2]))
    for mode in ("forward", "backward", "train"):
        for name in ["input"] + [layer.name for layer in model.layers]:
            visit.go(f"layer={name}&mode={mode}")
            if mode == "backward" and visit.page.locator("#messages-sum").count():
                assert_close(visit.number("#messages-sum"), visit.number("#cell-value"), "explorer")
    visit.click("#step")
    assert visit.page.is_visible("#loss-after")
    assert visit.problems == []
    visit.page.close()


def test_without_javascript_there_is_a_sentence(browser, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert "JavaScript" in page.inner_text("noscript .notice")
    assert page.is_hidden("#app")
    context.close()


def test_a_damaged_file_says_so(context, file, tmp_path):
    path = tmp_path / "cut.html"
    text = file.read_text(encoding="utf-8")
    path.write_text(re.sub(r'"layers":\[', '"layers":{[', text, count=1), encoding="utf-8")
    page = context.new_page()
    page.goto(path.as_uri())
    assert "This page cannot show its network" in page.inner_text("#notice")
    assert page.is_hidden("#app")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_small_window_in_both_colour_schemes(browser, file, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    visit = Visit(context, file, "#layer=conv2d_1&mode=backward")
    for mode in ("backward", "forward", "train"):
        visit.click(f'[data-mode="{mode}"]')
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    visit.stroke([(0.5, 0.15), (0.5, 0.85)])
    assert visit.text(".answer") == "1"
    background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    level = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
    assert (level > 128) == (scheme == "light")
    visit.click("#theme")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    assert visit.problems == []
    context.close()
