import itertools
import re
import struct
import threading
import types
from xml.etree import ElementTree

import pytest

from assistant.evaluation.metrics.leaderboard import summarise
from assistant.evaluation.reports import leaderboard_plots, plots
from assistant.evaluation.studies import plots as study_plots
from assistant.prompting.tasks import load_task
from tests.evaluation.toy_runs import label_outcomes

NASTY = '<script>$x$ & "y"</script>'


def rows_of(task_name="sentiment"):
    task = load_task(task_name)
    made = [
        *label_outcomes(task, strategy="fixed", skill=1.0),
        *label_outcomes(task, strategy="nearest", skill=3.0),
        *label_outcomes(task, strategy=NASTY, skill=2.0),
        *label_outcomes(task, strategy="knn-vote", reading="none", skill=2.0),
    ]
    return summarise(made, task, draws=200)


ROWS, MANY = rows_of(), rows_of("question-type")
CURVE = [(0, 0.70, 0.65, 0.75), (2, 0.75, 0.70, 0.80), (4, 0.78, 0.73, 0.83)]
PLOTS = {
    "forest": leaderboard_plots.forest(ROWS, baseline="fixed (labels)"),
    "forest of one": leaderboard_plots.forest(ROWS[:1]),
    "forest of F1": leaderboard_plots.forest(ROWS, measure="macro_f1"),
    "confusion": leaderboard_plots.confusion(ROWS[2]["confusion"], NASTY),
    "confusion of six": leaderboard_plots.confusion(MANY[0]["confusion"], "fixed"),
    "roc": leaderboard_plots.roc(ROWS[2]),
    "roc of six": leaderboard_plots.roc(MANY[0]),
    "calibration": leaderboard_plots.calibration(ROWS[2]),
    "pareto of tokens": leaderboard_plots.pareto(ROWS),
    "pareto of seconds": leaderboard_plots.pareto(ROWS, cost="seconds"),
    "sweep": study_plots.sweep({"nearest": CURVE, NASTY: CURVE[:2]}, baseline=0.7),
    "ceilings": study_plots.ceilings([(1.0, 0.9, 0.85, 0.95), (0.95, 0.8, 0.75, 0.85)], name=NASTY),
    "orders": study_plots.orders([0.7, 0.7, 0.75, 0.8], 0.75, 62.5, name=NASTY, ensemble=0.8),
    "orders all alike": study_plots.orders([0.7, 0.7], 0.7, 50, name="fixed"),
}


def texts(svg):
    return " ".join(
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if "text" in element.tag
    )


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_one_svg_element_that_needs_nothing_from_elsewhere(name):
    svg = PLOTS[name].svg()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert root.get("aria-label") == PLOTS[name].words
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not kinds & {"script", "foreignObject", "image"}
    own = {element.get("id") for element in root.iter()} - {None}
    pointed = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    assert pointed <= own
    assert own <= pointed


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_the_same_bytes_each_time(name):
    assert PLOTS[name].svg() == PLOTS[name].svg()
    assert "date" not in PLOTS[name].svg().lower()


def test_no_two_plots_share_an_id():
    ids = [set(re.findall(r' id="([^"]+)"', plot.svg())) for plot in PLOTS.values()]
    assert all(ids)
    assert sum(map(len, ids)) == len(set().union(*ids))


@pytest.mark.parametrize("name", ["forest", "orders"])
def test_a_plot_is_also_a_png_image(name):
    image = PLOTS[name].png()
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", image[16:24])
    assert (width, height) == (880, int(PLOTS[name].height * 200))
    assert image == PLOTS[name].png()


@pytest.mark.parametrize("name", PLOTS)
def test_names_from_outside_are_text_and_never_markup_or_formulas(name):
    svg = PLOTS[name].svg()
    assert "<script" not in svg
    if NASTY in PLOTS[name].words:
        assert "$x$ &" in texts(svg)


def test_a_forest_shows_each_name_and_figure_best_first():
    shown = texts(PLOTS["forest"].svg())
    best = max(ROWS, key=lambda row: row["accuracy"])
    for row in ROWS:
        assert f"{100 * row['accuracy']:.1f} %" in shown
    assert best["name"] == "nearest (labels)"
    assert PLOTS["forest"].words.index("nearest") < PLOTS["forest"].words.index("fixed")


def test_a_confusion_matrix_shows_every_count_and_the_unreadable():
    matrix = {"labels": ["no", "yes"], "columns": ["no", "yes", "unreadable"], "counts": [[41, 7, 3], [0, 1234, 9]]}
    shown = texts(leaderboard_plots.confusion(matrix).svg()).split()
    assert {"41", "7", "3", "0", "1,234", "9", "unreadable", "meant", "answered"} <= set(shown)


def test_labels_in_any_script_are_drawn_without_a_murmur():
    matrix = {"labels": ["消极", "积极"], "columns": ["消极", "积极", "unreadable"], "counts": [[1, 2, 3], [4, 5, 6]]}
    plot = leaderboard_plots.confusion(matrix, "零样本 🙂")
    assert "积极" in texts(plot.svg())
    assert plot.png() == plot.png()


def test_many_labels_have_a_curve_each():
    shown = texts(PLOTS["roc of six"].svg())
    assert all(label in shown for label in load_task("question-type").labels)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_beats_the_front_in_both(seed):
    import random

    draw = random.Random(seed)
    costs = [draw.choice([0, 1, 2, 5, 9]) for _ in range(12)]
    measures = [draw.choice([0.5, 0.6, 0.7, 0.8]) for _ in range(12)]
    front = leaderboard_plots.pareto_front(costs, measures)
    kept = {(costs[place], measures[place]) for place in front}

    def beaten(one):
        return any(
            costs[other] <= costs[one]
            and measures[other] >= measures[one]
            and (costs[other], measures[other]) != (costs[one], measures[one])
            for other in range(12)
        )

    assert kept == {(costs[one], measures[one]) for one in range(12) if not beaten(one)}
    assert [costs[place] for place in front] == sorted(costs[place] for place in front)


def test_the_cost_of_an_answer_counts_seeds():
    row = {"prompt_tokens": 900, "new_tokens": 100, "seconds": 5.0, "n": 10, "seeds": [0, 1], "answers": 20}
    assert leaderboard_plots.cost_per_answer(row, "tokens") == 50
    assert leaderboard_plots.cost_per_answer(row | {"answers": None}, "seconds") == 0.25


def test_labels_of_near_points_stand_apart():
    same = types.SimpleNamespace(transform=lambda points: points)
    both = type("Both", (), {"__add__": lambda self, other: same})()
    axes = types.SimpleNamespace(transScale=both, transLimits=both)
    points = [(0.5, 0.5), (0.5, 0.5), (0.52, 0.5), (0.5, 0.53), (0.99, 0.99)]
    spots = plots.free_spots(axes, points, size=(250, 190))
    at = [(250 * x + spot.x, 190 * y + spot.y) for (x, y), spot in zip(points, spots, strict=True)]
    assert all((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 > 10**2 for a, b in itertools.combinations(at, 2))
    assert all(0 <= x <= 250 and 0 <= y <= 190 for x, y in at)


def style(settings):
    return {name: settings[name] for name in ("font.size", "svg.hashsalt", "text.parse_math", "axes.spines.top")}


def test_plots_drawn_at_the_same_time_do_not_disturb_each_other():
    from matplotlib import rcParams

    expected, before, found = PLOTS["orders"].svg(), style(rcParams), []
    threads = [threading.Thread(target=lambda: found.append(PLOTS["orders"].svg())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
    assert style(rcParams) == before
