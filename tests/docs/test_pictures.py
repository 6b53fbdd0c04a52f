"""Marble pictures show what the operators do now; each timed operator has one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from flowpy import Flow, _flow
from flowpy._operator import Operator
from flowpy._operators import (
    buffer,
    combine,
    group,
    hot,
    latest,
    recover,
    share,
    time,
)
from flowpy.testing import Event, diagram
from tests.docs import pictures
from tests.docs.drawing import COLOURS, OverlapError, Picture, Row, colour, drawn
from tests.docs.marbles import CASES, SECTIONS

pytestmark = pytest.mark.anyio

README = pictures.ROOT / "README.md"
TITLE = re.compile(r"    # -{8,} (.+)")
METHOD = re.compile(r"    def (\w+)\(")
SVG = "{http://www.w3.org/2000/svg}"
OUTDATED = (
    "{} is not what it should be now. Where that is meant, write it anew, and see "
    f"whether it is right: {pictures.COMMAND}"
)
EACH = {case.name: case for case in CASES}
each_case = pytest.mark.parametrize("case", EACH.values(), ids=EACH)


# ------------------------------------------------------------------------- the cases


@each_case
async def test_the_chain_does_what_the_table_says(case):
    await pictures.check(case)


@each_case
async def test_the_picture_shows_what_happens_which_is_what_the_table_says(case):
    picture = await pictures.played(case)
    path = pictures.FOLDER / f"{case.name}.svg"

    for row, who in zip(
        picture.outputs, pictures.listeners(case).values(), strict=True
    ):
        text = diagram(who.expected, values=case.values, errors=case.errors)
        wanted = [Event(e.frame + who.at, e.kind, e.value) for e in text.events]
        assert [e for e in wanted if e.kind != "stop"] == row.events[1:]
    assert path.read_text(encoding="utf-8") == drawn(picture), OUTDATED.format(path)


async def test_a_picture_is_drawn_from_a_run_not_from_what_is_expected():
    case = EACH["debounce"]
    right = drawn(await pictures.played(case))

    assert drawn(await pictures.played(replace(case, expected="x-|"))) == right
    other = replace(case, call="source.debounce(2.0 + 1)")
    assert "gives, in seconds: c at 6, e at 10, ends at 10." in drawn(
        await pictures.played(other)
    )


# ------------------------------------------------------------------------- the files


def test_the_gallery_shows_all_pictures_and_there_are_no_others():
    wanted = pictures.gallery()
    files = {path.name for path in pictures.FOLDER.iterdir()}

    assert pictures.GALLERY.read_text(encoding="utf-8") == wanted, OUTDATED.format(
        pictures.GALLERY
    )
    assert files == {f"{name}.svg" for name in EACH}


def test_readme_shows_some_pictures_under_the_names_of_their_calls():
    shown = re.findall(r"!\[.*\]\(docs/marbles/.*\)", README.read_text("utf-8"))

    assert 4 <= len(shown) <= 6
    assert set(shown) <= {pictures.shown(case, "docs/marbles") for case in CASES}


@pytest.mark.parametrize(
    "module", [buffer, combine, group, hot, latest, recover, share, time]
)
def test_every_operator_whose_meaning_lies_in_time_has_a_picture(module):
    names = {name for name, it in vars(module).items() if isinstance(it, Operator)}
    public = names & set(dir(Flow))

    assert public
    assert public <= {case.operator for case in CASES}


def test_pictures_stand_in_the_sections_of_their_operators():
    title, sections = "", {}
    for line in Path(_flow.__file__).read_text(encoding="utf-8").splitlines():
        if mark := TITLE.match(line):
            title = mark[1].capitalize()
        elif method := METHOD.match(line):
            sections[method[1]] = title

    for section, cases in SECTIONS.items():
        names = {case.operator for case in cases}
        assert {sections.get(name, "Hot flows") for name in names} == {section}


# ----------------------------------------------------------------------- the drawing


def picture_of(*events, call="a.b()", label="a", **row):
    return Picture("it", call, [], [Row(label, list(events), **row)])


def parsed(*events, **told):
    return ET.fromstring(drawn(picture_of(*events, **told)))


def with_class(root, name):
    return [each for each in root.iter() if each.get("class") == name]


START = Event(0, "start")
END = Event(9, "end")


def test_text_is_escaped():
    item = Event(1, "item", "<&>")
    root = parsed(START, item, END, call='a.filter(lambda n: n < "&")', label="<a>")

    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert texts[-3:] == ['a.filter(lambda n: n < "&")', "<a>", "<&>"]


def test_a_picture_tells_in_words_what_it_shows():
    items = [Event(1, "item", ["a", ("b", 1)]), Event(9, "error", ValueError())]
    root = parsed(Event(1, "start"), *items, call="a.b()")

    assert root.findtext(f"{SVG}title") == "a.b()"
    assert root.findtext(f"{SVG}desc") == (
        "a.b() gives, in seconds: a: starts at 1, [a, (b, 1)] at 1, fails at 9."
    )
    assert root.get("aria-labelledby") == "it-title it-desc"


def test_what_lies_one_over_the_other_is_refused():
    with pytest.raises(OverlapError, match=r"a\.b\(\): item 'a+' in frame 1"):
        parsed(START, Event(1, "item", "a" * 20), Event(2, "item", "b"), END)


def test_items_of_the_same_instant_stand_one_below_the_other():
    items = [Event(1, "item", "a"), Event(1, "item", "b")]
    root = parsed(START, *items, END, label="row")
    texts = {each.text: each for each in root.iter(f"{SVG}text")}

    assert texts["a"].get("x") == texts["b"].get("x")
    assert float(texts["a"].get("y")) < float(texts["b"].get("y"))


def test_end_error_early_close_and_going_on_look_different():
    ended, failed, closed = (
        parsed(START, Event(9, kind)) for kind in ("end", "error", "stop")
    )
    going_on = parsed(START, Event(9, "item", "a"))

    marks = ("end", "error", "cut", "arrow")
    assert [
        [len(with_class(root, mark)) for mark in marks]
        for root in (ended, failed, closed, going_on)
    ] == [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts
    ]
    return sum(x * weight for x, weight in zip(linear, LUMINANCE, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", COLOURS)
def test_marbles_are_legible_and_stand_out_from_both_grounds(colours):
    light, on_light, dark, on_dark = colours

    # What WCAG 2 asks of text, and of what is not text.
    assert contrast(light, on_light) >= 4.5
    assert contrast(dark, on_dark) >= 4.5
    assert contrast(light, "#ffffff") >= 3
    assert contrast(dark, "#0d1117") >= 3


def test_a_value_has_the_same_colour_everywhere_and_neighbours_have_others():
    assert colour("a") == colour("A") == colour("a1")
    assert colour(1) == colour("1")
    assert len({colour(sign) for sign in "abcd1234"}) == 8
