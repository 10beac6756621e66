"""Drawing: the numbers drawn are the numbers of the data, and text is escaped."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from plotly.colors import sample_colorscale

from ftstab.frontier import frontier_rows, start_row
from ftstab.outcome import Profile
from ftstab.report.categories import category_figure
from ftstab.report.draw import (
    GAIN_SCALE,
    HARM_SCALE,
    NAMES,
    draw_categories,
    draw_frontier,
    draw_heat,
    grid,
    wrapped,
)
from ftstab.report.draw_runs import draw_averages, draw_stability, draw_steps, log_ticks
from ftstab.report.escape import prose, script_json
from ftstab.report.figures import Axis, Measured, Named, frontier_figure, ranks
from ftstab.report.heat import Cell, HeatFigure, HeatPanel, heat_figures
from ftstab.report.runs import average_figure, stability_figure, step_figure
from tests.report.synthetic import CATEGORIES, UNSEEN, make_outcomes, make_signals, make_start, make_study

STUDY = make_study()
START = start_row(make_start(), STUDY)


@pytest.fixture(scope="module")
def rows():
    return frontier_rows(make_outcomes(), make_start(), STUDY)


def plain(figure):
    return json.loads(figure.to_json())


def test_the_frontier_is_drawn_in_points_and_percent_with_its_intervals(rows):
    data = frontier_figure(rows, START)
    traces = {t["name"]: t for t in plain(draw_frontier(data))["data"]}
    drawn = traces["on the frontier by point values, numbered by gain"]
    members = [p for p in data.points if p.group == "frontier"]
    assert drawn["x"] == pytest.approx([100 * p.gain.value for p in members])
    assert drawn["y"] == pytest.approx([100 * p.rate.value for p in members])
    tops = [y + up for y, up in zip(drawn["y"], drawn["error_y"]["array"], strict=True)]
    assert tops == pytest.approx([100 * p.rate.high for p in members])
    ends = [x - down for x, down in zip(drawn["x"], drawn["error_x"]["arrayminus"], strict=True)]
    assert ends == pytest.approx([100 * p.gain.low for p in members])
    assert traces["start model"]["x"] == [0.0]
    assert traces["frontier line"]["x"] == pytest.approx([100 * x for x, _ in data.line])


def test_what_the_report_names_is_ringed(rows):
    member = next(r for r in rows if r.on_frontier)
    data = frontier_figure(rows, START, named=Named(member.key, "<b>picked</b>"))
    *_, ring = (t for t in plain(draw_frontier(data))["data"])
    assert ring["name"] == "&lt;b&gt;picked&lt;/b&gt;"
    assert (ring["x"], ring["y"]) == ([100 * member.gain.value], [100 * member.rate.value])
    # A setting that has no numbers isn't drawn, so nothing is ringed.
    assert frontier_figure(rows, START, named=Named("no such key", "picked")).named is None


def test_the_frontier_keeps_its_intervals_where_others_lose_theirs(rows):
    data = replace(frontier_figure(rows, START), all_intervals=False)
    traces = {t["name"]: t for t in plain(draw_frontier(data))["data"]}
    assert "error_y" not in traces["beaten by point values, but not surely"]
    assert "error_y" in traces["on the frontier by point values, numbered by gain"]
    assert "error_y" in traces["start model"]


def test_members_that_measured_the_same_share_a_mark_with_all_their_numbers_beside_it(rows):
    data = frontier_figure(rows, START)
    first, _, third, *_ = (p for p in data.points if p.rank is not None)
    alone = replace(third, rank=2)
    same = [replace(p, group=g, rank=n) for p, g, n in ((first, "sure", 1), (first, "frontier", 3))]
    assert (alone.gain, alone.rate) != (first.gain, first.rate)
    drawn = {t["name"]: t for t in plain(draw_frontier(replace(data, points=(*same, alone))))["data"]}
    sure, front = (drawn[NAMES[group]] for group in ("sure", "frontier"))
    assert sure["text"] == ["1, 3"]
    assert sure["textposition"] == ["top right"]
    assert sure["textfont"]["color"] != ["white"]
    assert front["text"] == ["", "2"]
    assert front["textposition"][1] == "middle center"
    assert front["textfont"]["color"][1] == "white"


def test_the_limit_of_pick_is_a_labelled_line_inside_the_plot(rows):
    drawn = plain(draw_frontier(frontier_figure(rows, START, limit=0.9999)))
    (line,) = [shape for shape in drawn["layout"]["shapes"] if shape["y0"] == shape["y1"]]
    assert line["y0"] == pytest.approx(99.99)
    assert drawn["layout"]["yaxis"]["range"][1] > 99.99
    words = [note["text"] for note in drawn["layout"]["annotations"]]
    assert "limit on non-refusal 100.0 %" in words
    names = {t["name"] for t in drawn["data"]}
    assert "settings that break a constraint other than the limit" in names
    without = plain(draw_frontier(frontier_figure(rows, START)))
    assert "settings that break a constraint" in {t["name"] for t in without["data"]}
    assert not [s for s in without["layout"]["shapes"] if s["y0"] == s["y1"]]


def test_every_figure_shows_the_start(rows):
    figures = [
        draw_frontier(frontier_figure(rows, START)),
        draw_categories(category_figure(rows, START, UNSEEN)),
        draw_steps(step_figure(rows, START)),
        draw_averages(average_figure(rows, START)),
    ]
    for figure in figures:
        assert "start" in json.dumps(plain(figure))
    distance = [
        t for t in plain(draw_stability(stability_figure(rows, make_signals())))["data"] if t["x"][0] == 0
    ]
    assert distance, "distances begin at the start model, update 0"


def test_heat_maps_share_one_scale_and_say_every_number(rows):
    for data in heat_figures(rows, START):
        figure = plain(draw_heat(data))
        squares = [t for t in figure["data"] if t["type"] == "heatmap"]
        words = [t for t in figure["data"] if t["type"] == "scatter"]
        assert {t["coloraxis"] for t in squares} == {"coloraxis"}
        assert len(squares) == len(words) == 6
        texts = [text for t in words for text in t["text"]]
        assert len(texts) == 36
        assert texts.count("diverged") == 6
        assert texts.count("not run") == 6
    axis = figure["layout"]["coloraxis"]
    assert axis["cmin"] == -axis["cmax"], "a gain of 0 stands in the middle of the scale"


def test_words_on_heat_maps_stand_out_from_their_cells():
    def bright(color):
        return sum(
            weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
            for weight, part in zip((0.2126, 0.7152, 0.0722), color, strict=True)
        )

    for scale, low in ((HARM_SCALE, 0.0), (GAIN_SCALE, -1.0)):
        values = [low + (1 - low) * i / 200 for i in range(201)]
        cells = [Cell("measured", Measured(v, v, v), ()) for v in values]
        axis, panel = Axis("Rate (%)", 100.0), HeatPanel("", (tuple(cells),))
        quantity = "rate" if low == 0 else "gain"
        data = HeatFigure(quantity, axis, ("1",) * 201, ("4",), ((panel,),), 0.0, 0)
        (words,) = (t for t in draw_heat(data).data if t.type == "scatter")
        shares = [(v - low) / (1 - low) for v in values]
        for color, cell in zip(
            words.textfont.color, sample_colorscale(scale, shares, colortype="tuple"), strict=True
        ):
            lights = sorted((bright(cell), {"black": 0.0, "white": 1.0}[color]))
            assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5


def test_a_sparse_heat_map_leaves_empty_what_was_never_asked(rows):
    first = rows[0].parameters
    few = [r for r in rows if r.parameters["learning_rate"] == first["learning_rate"]]
    few += [r for r in rows if r.parameters["batch_size"] == first["batch_size"] and r not in few][:1]
    for data in heat_figures(few, START):
        texts = [text for t in plain(draw_heat(data))["data"] if t["type"] == "scatter" for text in t["text"]]
        assert data.sparse == (texts.count("") > len(texts) / 2)
        assert "not run" not in texts or not data.sparse
    assert not heat_figures(rows, START)[0].sparse


def averaged(decays):
    """Figure data of averages with these decays, in a study that interpolates too."""
    last = [o for o in make_outcomes() if o.profile.kind == "last" and o.status == "scored"]
    found = [*last, last[0].model_copy(update={"key": "half", "interpolation": 0.5})]
    for decay in decays:
        new = {"profile": Profile(kind="exponential", value=decay), "diagnostics": {"retained_weight": decay}}
        found += [o.model_copy(update=new | {"key": f"{o.key}{decay}"}) for o in last]
    study = make_study(axes=STUDY.axes.model_copy(update={"interpolation": [0.5, 1.0]}))
    rows = frontier_rows(found, make_start(), study)
    return rows, average_figure(rows, START)


def test_as_many_averages_as_there_are_look_different():
    rows, data = averaged([n / 20 for n in range(1, 20)])
    for figure in (draw_averages(data), draw_steps(step_figure(rows, START))):
        looks = {t.name: (t.marker.color, t.marker.symbol) for t in figure.data if t.showlegend}
        assert {f"ema {n / 20:g}" for n in range(1, 20)} < set(looks)
        assert len(set(looks.values())) == len(looks)


def test_an_average_has_one_colour_throughout_a_report():
    rows, data = averaged([0.5, 0.9])
    last = {t.name: t for t in draw_averages(data).data if t.showlegend}
    steps = {t.name: t for t in draw_steps(step_figure(rows, START)).data if t.showlegend}
    for name, there in (("last weights", "last"), ("ema 0.5", "ema 0.5"), ("ema 0.9", "ema 0.9")):
        mine, other = last[name].marker, steps[there].marker
        assert (mine.color, mine.symbol) == (other.color, other.symbol)
    # What only interpolates it differs by the symbol.
    half = steps["last · interpolation 0.5"].marker
    assert half.color == steps["last"].marker.color
    assert half.symbol != steps["last"].marker.symbol


def test_weights_kept_on_the_start_stand_beside_few_averages_only():
    _, few = averaged([0.2, 0.5])
    notes = [a["text"] for a in plain(draw_averages(few))["layout"]["annotations"]]
    assert notes.count("20 % · 50 %") == len(few.pairs)
    _, many = averaged([0.1, 0.2, 0.3, 0.4, 0.5])
    drawn = plain(draw_averages(many))["layout"]
    assert {a["text"] for a in drawn["annotations"]} == {"★ start"}
    assert drawn["margin"]["r"] == 20


def test_the_average_itself_is_not_called_interpolated():
    _, data = averaged([0.5])
    assert "learning rate 3e-5 · batch size 4 · step 5" in [pair.title for pair in data.pairs]
    assert not [pair.title for pair in data.pairs if "interpolation" in pair.title]


def test_hover_text_is_never_a_template(rows):
    figures = [
        draw_frontier(frontier_figure(rows, START)),
        *(draw_heat(d) for d in heat_figures(rows, START)),
        draw_categories(category_figure(rows, START, UNSEEN)),
        draw_steps(step_figure(rows, START)),
        draw_averages(average_figure(rows, START)),
        draw_stability(stability_figure(rows, make_signals())),
    ]
    for figure in figures:
        assert not any("hovertemplate" in t or "texttemplate" in t for t in plain(figure)["data"])


def test_unseen_categories_carry_a_dagger(rows):
    layout = plain(draw_categories(category_figure(rows, START, {"privacy"})))["layout"]
    assert layout["yaxis"]["ticktext"][-1] == "privacy †"


def test_categories_with_and_without_demonstrations_are_drawn_pooled_above_a_line(rows):
    drawn = plain(draw_categories(category_figure(rows, START, UNSEEN)))
    assert drawn["layout"]["yaxis"]["ticktext"][:3] == [
        "<b>with demonstrations</b>",
        "<b>without them †</b>",
        "disinformation",
    ]
    assert {shape["y0"] for shape in drawn["layout"]["shapes"]} == {1.5}
    (start,) = [t for t in drawn["data"] if t["name"] == "start model" and t["showlegend"]]
    hits = [
        sum(START.rate.by_category[c].hits for c in CATEGORIES if (c in UNSEEN) == w) for w in (False, True)
    ]
    assert start["x"][:2] == pytest.approx([100 * hits[0] / 90, 100 * hits[1] / 30])
    assert [y > 1.5 for y in start["y"]].count(False) == 2
    assert len(start["y"]) == 2 + len(CATEGORIES)


def test_one_frontier_member_and_none_can_be_drawn(rows):
    alone = [r for r in rows if r.on_frontier][:1]
    assert plain(draw_categories(category_figure(alone, START, ())))["data"]
    assert plain(draw_categories(category_figure([], START, ())))["data"]
    assert plain(draw_frontier(frontier_figure([], START)))["data"]


@pytest.mark.parametrize(
    ("panels", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (1, 5)), (6, (2, 3)), (7, (2, 4)), (12, (3, 4))]
)
def test_panels_fill_an_even_grid(panels, shape):
    assert grid(panels) == shape


def test_titles_break_at_their_dots_and_are_escaped():
    assert (
        wrapped("learning rate 2e-4 · batch size 4 · ema 0.9", 24)
        == "learning rate 2e-4<br>batch size 4 · ema 0.9"
    )
    assert wrapped("<b>x", 24) == "&lt;b&gt;x"


def test_sentences_are_escaped_and_what_is_in_backticks_is_code():
    assert prose("`run --x` and `a<b>`") == "<code>run --x</code> and <code>a&lt;b&gt;</code>"
    assert prose("a lone ` and ``") == "a lone ` and ``"
    assert prose("`</code><script>`") == "<code>&lt;/code&gt;&lt;script&gt;</code>"


def test_json_cannot_end_the_script_that_holds_it():
    text = script_json({"</script><!--": ["<b>&amp;", "\u2028"]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script><!--": ["<b>&amp;", "\u2028"]}
    with pytest.raises(ValueError, match="Out of range"):
        script_json(float("nan"))


def test_log_ticks_cover_the_values():
    assert log_ticks(4e-5, 4e-4) == [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3]
    assert log_ticks(1e-6, 1e-1) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert log_ticks(0.0, 0.0) == []
    assert log_ticks(0.3, 0.3) == [0.3]


def test_what_is_sure_has_marks_of_its_own(rows):
    able = [r for r in rows if r.feasible]
    front, beaten = next(r for r in able if r.on_frontier), next(r for r in able if not r.on_frontier)
    sure = {front.key: "surely on", beaten.key: "surely not"}
    classed = [replace(r, frontier_class=sure.get(r.key), frontier_share=0.25) for r in rows]
    data = frontier_figure(classed, START)
    traces = {t["name"]: t for t in plain(draw_frontier(data))["data"]}
    (ringed,), (crossed,) = (
        traces["surely on the frontier"]["text"],
        traces["surely not on the frontier"]["x"],
    )
    assert ringed == str(ranks(rows)[front.key])
    assert crossed == pytest.approx(100 * beaten.gain.value)
    assert traces["surely not on the frontier"]["marker"]["symbol"] == "x-thin"
    assert (
        "surely on the frontier; on it in 25 % of the resamples"
        in traces["surely on the frontier"]["hovertext"][0]
    )
