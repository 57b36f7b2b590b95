"""Figures: the same bytes twice, one display, nothing half-written, bad input refused."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from devinterp_core.companion import figures, output
from devinterp_core.companion.dynamics import essential_dynamics

TABLE = pd.DataFrame({"n": [1, 2, 3], "loss": [0.5, 0.25, 0.125]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUTPUT", str(tmp_path))
    return tmp_path


def draw():
    figures.use_style()
    figure, axes = plt.subplots(figsize=figures.size("single"))
    axes.plot(TABLE["n"], TABLE["loss"], clip_path=None)
    axes.scatter(TABLE["n"], TABLE["loss"])
    axes.set_xlabel("$n$")
    return figure


def test_saves_the_picture_and_its_numbers_and_closes_it(folder):
    figure = draw()
    assert figures.save(figure, "fig-loss", data=TABLE) is figure
    assert sorted(p.name for p in folder.iterdir()) == ["fig-loss.csv", "fig-loss.pdf", "fig-loss.svg"]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "fig-loss.csv"), TABLE)
    assert plt.get_fignums() == []


def test_files_are_the_same_bytes_twice(folder):
    contents = []
    for _ in range(2):
        figures.save(draw(), "fig-loss", data=TABLE)
        contents.append([(folder / f"fig-loss.{kind}").read_bytes() for kind in ("svg", "pdf")])
    assert contents[0] == contents[1]


def test_several_panels_give_one_table_with_their_names(folder):
    figures.save(draw(), "fig-loss", data={"left": TABLE, "right": TABLE.assign(extra=1)})
    table = pd.read_csv(folder / "fig-loss.csv")
    assert list(table.columns) == ["panel", "n", "loss", "extra"]
    assert list(table.panel) == ["left"] * 3 + ["right"] * 3


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("Fig Loss", TABLE, ValueError),
        ("../fig", TABLE, ValueError),
        ("fig-loss", TABLE.iloc[:0], ValueError),
        ("fig-loss", {}, ValueError),
        ("fig-loss", {"left": [1]}, TypeError),
        ("fig-loss", [1, 2], TypeError),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(folder, name, data, error):
    figure = draw()
    with pytest.raises(error):
        figures.save(figure, name, data=data)
    plt.close(figure)
    assert list(folder.iterdir()) == []


def test_without_a_runner_the_output_goes_under_the_repository(monkeypatch, folder):
    monkeypatch.delenv("COMPANION_OUTPUT")
    monkeypatch.setattr(output, "REPOSITORY", folder)
    assert output.output_folder("01_x") == folder / "_output" / "01_x"
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/02_y.ipynb")
    assert output.output_folder() == folder / "_output" / "02_y"


def test_two_processes_without_a_name_never_write_into_one_folder(monkeypatch, folder):
    for name in ("COMPANION_OUTPUT", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(output, "REPOSITORY", folder)
    own = output.output_folder()
    assert own.is_dir() and own.parent == folder / "_output" and output.output_folder() == own
    monkeypatch.setattr(output.os, "getpid", lambda: -1)
    assert output.output_folder() not in (own, folder / "_output") and len(list((folder / "_output").iterdir())) == 2


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_neighbours_in_the_cycle_differ_in_line_style_and_colour():
    assert len(set(figures.CYCLE)) == len(set(map(str, figures.DASHES))) == len(figures.CYCLE)
    assert all(1.05 / (luminance(c) + 0.05) > 2 for c in figures.CYCLE)


def test_sizes():
    assert figures.size("double", 0.5) == (7.5, 3.75)
    with pytest.raises(ValueError, match="single, double"):
        figures.size("huge")
    with pytest.raises(ValueError, match="positive"):
        figures.size("single", 0)


def test_essential_dynamics_of_a_circle():
    """On a circle every osculating circle is the circle itself and the evolute its centre."""
    angle = np.linspace(0, 3, 60)
    curve = np.stack([np.cos(angle), np.sin(angle), np.zeros(60)], axis=1)
    path = pd.DataFrame(curve, columns=["pc_1", "pc_2", "pc_3"]).assign(step=np.arange(60), form=np.arange(60) == 30)
    figure = essential_dynamics(path)
    names = [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes]
    assert names == [("PC 1", "PC 2"), ("PC 1", "PC 3"), ("PC 2", "PC 3")]
    patches = figure.axes[0].patches
    assert len(patches) > 10
    for patch in patches:
        assert tuple(patch.center) == pytest.approx((0, 0), abs=2e-3)  # central differences
        assert patch.radius == pytest.approx(1, abs=2e-3)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [tuple(line.get_xydata()[0]) for line in crosses] == [tuple(curve[30, :2])]
    plt.close(figure)


def test_show_draws_saves_and_glues_the_tables_it_was_given(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUTPUT", str(tmp_path))
    glued = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, figure: glued.update({name: figure}))

    def drawing(points, ends):
        fig, ax = plt.subplots()
        ax.plot(points["x"], points["y"])
        return fig

    points = pd.DataFrame({"x": [1, 2], "y": [3.0, 4.0]})
    figures.show("fig-points", drawing, points=points, ends=points[:0])
    assert list(glued) == ["fig-points"] and (tmp_path / "fig-points.svg").exists()
    saved = pd.read_csv(tmp_path / "fig-points.csv")
    assert saved["panel"].tolist() == ["points", "points"] and saved[["x", "y"]].equals(points)
    with pytest.raises(TypeError, match="Figure was expected"):
        figures.show("fig-points", lambda points: None, points=points)
    with pytest.raises(ValueError, match="without the numbers"):
        figures.show("fig-points", drawing, points=points[:0], ends=points[:0])


def test_kept_tables_are_files_of_the_run(folder):
    output.keep(llc=TABLE)
    assert pd.read_csv(folder / "llc.csv").equals(TABLE)
    with pytest.raises(ValueError, match="empty"):
        output.keep(llc=TABLE[:0])
