"""The benchmarks run, check the results of what they time, and write their files."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.engine import threads
from minicnn.shapes import window_geometry

FOLDER = Path(__file__).parents[2] / "benchmarks"
ROOFLINE = ["--sgemm-size", "64"]


@pytest.fixture
def script(monkeypatch):
    """Imports a script as if its folder were the working directory."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def run_script(script, monkeypatch, capsys):
    """Runs a script's `main` in this process; returns what it printed."""

    def run_script(name, *argv):
        monkeypatch.setattr(sys, "argv", [name, *map(str, argv)])
        script(name).main()
        return capsys.readouterr().out

    return run_script


@pytest.mark.parametrize("name", ["compare", "kernels", "scaling", "one_run"])
def test_help_lists_the_options(run_script, capsys, name):
    with pytest.raises(SystemExit, match="0"):
        run_script(name, "--help")
    printed = capsys.readouterr().out
    assert "--images" in printed or "--runs" in printed


def test_every_script_is_in_the_readme():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.glob("*.py"):
        assert path.name in text


def test_compare_with_minicnn_alone(run_script, tmp_path):
    out, picture = tmp_path / "compare.json", tmp_path / "compare.png"
    sizes = ["--images", 20, "--test-images", 12, "--batch-sizes", 4, 8]
    turns = ["--runs", 1, "--threads", 1, "--peers", "minicnn", "--networks", "tutorial"]
    printed = run_script("compare", *sizes, *turns, "--json", out, "--figure", picture)
    result = json.loads(out.read_text())
    assert set(result) == {"machine", "versions", "threads", "images", "missing", "networks"}
    part = result["networks"]["tutorial"]
    assert set(part) == {"runs", "failed", "summary"}
    measures = ["training, batch 4", "training, batch 8", "inference, batch 64", "one image"]
    (figures,) = part["runs"]["minicnn"]
    assert list(figures) == [*measures, "accuracy", "memory"]
    assert all(value > 0 for key, value in figures.items() if key != "accuracy")
    middle, low, high = part["summary"]["one image"]["minicnn"]["figures"]
    assert middle == low == high == figures["one image"]
    assert part["summary"]["one image"]["minicnn"]["ratios"] == [1, 1, 1]
    assert all(measure in printed for measure in measures)
    assert picture.stat().st_size > 0


def test_compare_lists_what_is_missing_and_what_fails(script, run_script, monkeypatch, tmp_path):
    compare, peers = script("compare"), script("peers")
    absent = peers.Peer("Absent", "", peers.Library, {}, ("no_such_module",))
    # In this process only, so that its runs fail.
    monkeypatch.setitem(compare.PEERS, "absent", absent)
    printed = run_script("compare", "--runs", 1, "--peers", "absent", "--networks", "tutorial")
    assert "missing: Absent (not installed: no_such_module)" in printed
    monkeypatch.setitem(compare.PEERS, "absent", absent._replace(needs=()))
    printed = run_script("compare", "--runs", 1, "--peers", "absent", "--networks", "tutorial")
    assert "Absent failed: " in printed


def test_verdicts_of_compare(script):
    verdict = script("compare").verdict
    ours = {"figures": [10, 9, 12], "ratios": [1, 1, 1]}
    slower = {"figures": [20, 18, 24], "ratios": [2, 1.8, 2.2]}
    faster = {"figures": [5, 4, 6], "ratios": [0.5, 0.4, 0.6]}
    close = {"figures": [11, 9, 13], "ratios": [1.1, 0.9, 1.2]}
    assert verdict({"minicnn": ours, "keras": slower}).startswith("minicnn wins")
    assert "minicnn needs 2.00 times" in verdict({"minicnn": ours, "keras": slower, "jax": faster})
    assert verdict({"minicnn": ours}) == "nothing to compare"
    assert "draw" in verdict({"minicnn": ours, "keras": close, "jax": slower})


@pytest.mark.parametrize("name", ["tutorial", "3x3"])
def test_weights_are_rearranged_for_other_libraries(script, name):
    networks = script("networks")
    network = networks.NETWORKS[name]
    model = networks.sequential(minicnn, network)
    weights = model.get_weights()
    turned = networks.channels_first(network, weights)
    assert networks.features(network) == model.layers[-len(network.units)].input_shape[0]
    kernels = list(zip(weights[::2], turned[::2], strict=True))
    for ours, theirs in kernels[: len(network.filters)]:
        assert np.array_equal(theirs.transpose(2, 3, 1, 0), ours)
    # The first dense layer sees the same image, flattened in the other order.
    ours, theirs = kernels[len(network.filters)]
    last_pooling = model.layers[2 * len(network.filters) - 1]
    h, w, c = last_pooling.output_shape(last_pooling.input_shape)
    image = np.random.default_rng(0).normal(size=(h, w, c))
    expected = image.reshape(-1) @ ours
    np.testing.assert_allclose(theirs @ image.transpose(2, 0, 1).reshape(-1), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["tutorial", "3x3"])
def test_runs_of_all_sizes_use_the_same_test_images(script, name):
    data = script("networks").data
    few, many = data(name, 0, 3)[1], data(name, 5, 3)[1]
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=True))


def test_a_wrong_version_is_not_timed(script):
    kernels = script("kernels")
    geometry = window_geometry((4, 4), (3, 3), (1, 1), "same")
    arguments = type("Arguments", (), {"images": 1, "channels": 1, "filters": 1})
    inputs = kernels.arrays(geometry, arguments)
    good = kernels.implementations(cores=1)[1]
    kernels.check(good, inputs, geometry)
    without_bias = good._replace(forward=lambda x, k, bias, g: good.forward(x, k, 0 * bias, g))
    with pytest.raises(ValueError, match="y is not the formula's"):
        kernels.check(without_bias, inputs, geometry)


def test_all_versions_are_printed_and_written(run_script, tmp_path):
    out = tmp_path / "kernels.json"
    geometry = ["--size", 5, "--channels", 2, "--filters", 3, "--kernel-size", 3, "--images", 2]
    printed = run_script("kernels", *geometry, "--runs", 1, *ROOFLINE, "--json", out)
    result = json.loads(out.read_text())
    assert {"machine", "versions", "sgemm_gflops", "multiply_adds", "ladder"} <= set(result)
    assert result["multiply_adds"] == 5 * 5 * 3 * 3 * 2 * 3
    for rows in result["ladder"].values():
        assert len(rows) == 6
        for title, row in rows.items():
            assert title in printed
            assert row["us"][0] > 0


def test_the_profile_has_every_layer(run_script, tmp_path):
    out = tmp_path / "layers.json"
    run_script("kernels", "--layers", "--images", 8, "--runs", 1, *ROOFLINE, "--json", out)
    result = json.loads(out.read_text())
    work = {(row["part"], row["pass"]): row["multiply_adds"] for row in result["layers"]}
    first, second = "PooledConvolution conv2d", "PooledConvolution conv2d_1"
    assert work[first, "forward"] == work[first, "backward"] == 627_200
    assert work[second, "backward"] == 2 * 10_035_200
    assert ("Adam", "update") in work
    assert result["step"]["1"][0] > 0


def test_scaling_prints_its_tables(script, run_script, monkeypatch, tmp_path):
    out, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    monkeypatch.setattr(script("scaling"), "USUAL_BATCH", 4)
    run_script("scaling", "--runs", 1, "--largest", 14, "--json", out, "--figure", picture)
    tables = json.loads(out.read_text())["tables"]
    assert list(tables) == ["batch size", "image size", "filters", "threads"]
    assert [row["at"] for row in tables["batch size"]] == [1, 2, 4, 8]
    assert tables["threads"][0]["training growth"] == [1]
    assert picture.stat().st_size > 0


def test_parts_of_a_step_go_to_the_first_free_core(script):
    prediction = script("prediction")
    assert prediction.time_of_last([3, 1, 1, 1], cores=2) == 3
    assert prediction.time_of_last([1, 1, 1, 3], cores=2) == 4
    assert prediction.Pieces(1.0, [[3, 1], [2]]).on(2) == (3, 5)
    minicnn.set_num_threads(1)
    found = prediction.pieces(lambda: threads.run(lambda part: sum(range(part)), [10**3, 10**6]))
    ((short, long),) = found.calls
    assert 0 < short < long
    assert found.serial >= 0


def test_a_prediction_is_the_sum_of_its_parts(script, run_script, monkeypatch, tmp_path):
    out = tmp_path / "prediction.json"
    monkeypatch.setattr(script("prediction"), "BATCH_SIZES", (16,))
    printed = run_script("scaling", "--predict", "--runs", 1, *ROOFLINE, "--json", out)
    training, inference = json.loads(out.read_text())["prediction"]
    assert "assumed" in printed
    assert (training["work"], inference["work"]) == ("training", "inference")
    for row in (training, inference):
        assert row["laptop"] == pytest.approx(sum(row["laptop, parts"].values()))
        assert row["limit"] in row["laptop, parts"]
