"""The notation: what is read, what is refused, what is drawn."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy.testing import Event, MarbleError, Timeline, diagram

NAN = float("nan")


def test_frames_are_counted_from_the_first_sign():
    assert diagram("a-(bc)-#").events == (
        Event(0, "item", "a"),
        Event(2, "item", "b"),
        Event(2, "item", "c"),
        Event(4, "error", MarbleError),
    )


def test_spaces_mean_nothing():
    assert diagram(" a - \n (b |) ") == diagram("a-(b|)")


def test_names_in_quotes_are_strings_of_python():
    assert diagram(r"""'ten'"it's"'\n'''""").events == (
        Event(0, "item", "ten"),
        Event(1, "item", "it's"),
        Event(2, "item", "\n"),
        Event(3, "item", ""),
    )


@pytest.mark.parametrize(
    ("text", "frame", "at"),
    [
        ("<20>|", 1, 20),
        ("<5s>|", 1, 5),
        ("<5s>|", 0.1, 50),
        ("<200ms>|", 0.1, 2),
        ("<1.5m>|", 30, 3),
        ("-<1h>|", 60, 61),
    ],
)
def test_a_time_is_a_number_of_frames(text, frame, at):
    assert diagram(text, frame=frame).events == (Event(at, "end"),)


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("a(b", 1, "this group is not closed"),
        ("ab)", 2, "no group is open that this could close"),
        ("(a(b))", 2, "a group stands in a group"),
        ("a ()", 2, "this group is empty"),
        ("(a-b)", 2, "no time passes in a group"),
        ("(a<5>b)", 2, "no time passes in a group"),
        ("a|b", 2, "nothing comes after the end or an error"),
        ("a#-", 2, "nothing comes after the end or an error"),
        ("(|a)", 2, "nothing comes after the end or an error"),
        ("-'ab", 1, '"\'" opens nothing that is closed'),
        ('-"ab', 1, "'\"' opens nothing that is closed"),
        ("-<5x>", 1, "'<' opens nothing that is closed"),
        ("5>", 1, "'>' opens nothing that is closed"),
        ("-<500ms>", 1, "that is no whole number of frames, but 0.5"),
        (r"-'\x'", 1, "this is no string of Python's"),
    ],
)
def test_what_is_no_diagram_is_refused_with_its_position(text, position, reason):
    message = f"diagram {text!r}, position {position}: {reason}"

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        diagram(text)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="frame must be longer than 0; got 0"):
        diagram("a", frame=0)
    with pytest.raises(TypeError, match="errors must be exceptions; 'x' is 1"):
        diagram("a", errors={"x": 1})
    with pytest.raises(
        TypeError, match=r"errors must be exceptions; 'x' is .*Keyboard"
    ):
        diagram("a", errors={"x": KeyboardInterrupt})


def test_events_are_equal_by_frame_kind_and_value():
    assert Event(1, "item", 2, "a") == Event(1, "item", 2, "b")
    assert Event(1, "item", NAN) == Event(1, "item", NAN)
    assert Event(1, "item", 2) != Event(2, "item", 2)
    assert Event(1, "item", 2) != Event(1, "item", 3)
    assert Event(1, "item", OSError) != Event(1, "error", OSError)
    assert Event(1, "end") != "|"


def test_errors_are_equal_as_objects_or_as_instances_of_a_class():
    one = OSError()

    assert Event(1, "error", one) == Event(1, "error", one)
    assert Event(1, "error", one) == Event(1, "error", OSError)
    assert Event(1, "error", Exception) == Event(1, "error", one)
    assert Event(1, "error", one) != Event(1, "error", OSError())
    assert Event(1, "error", one) != Event(1, "error", LookupError)


def test_equal_timelines_have_one_hash():
    assert hash(diagram("a-#", errors={"#": OSError()})) == hash(
        diagram("a-#", errors={"#": OSError})
    )
    assert diagram("a-b---") == diagram("a-b")
    assert diagram("a-b", frame=2) != diagram("a-b")


def test_a_long_silence_is_drawn_as_a_number():
    assert str(diagram("a" + 19 * "-" + "b")) == "a-------------------b"
    assert str(diagram("a" + 20 * "-" + "b")) == "a<20>b"
    assert str(diagram("a" + 30 * "-")) == "a<30>"


NAMES = st.one_of(
    st.sampled_from("abcxyz0123456789.,*§ä"),
    st.text(max_size=5),
    st.sampled_from("-|#^!()<>'\" "),
)


@st.composite
def diagrams(draw):
    """Give diagrams that are written as they are drawn."""
    parts = []
    for _ in range(draw(st.integers(0, 6))):
        gap = draw(st.sampled_from([0, 0, 1, 2, 19, 20, 3600]))
        parts.append(f"<{gap}>" if gap >= 20 else "-" * gap)
        group = draw(st.lists(NAMES.map(written), min_size=1, max_size=3))
        parts.append(group[0] if len(group) == 1 else f"({''.join(group)})")
    return "".join([*parts, draw(st.sampled_from(["", "|", "-|", "#", "---", "!"]))])


def written(name):
    """Return how the name of an item is written in a diagram."""
    plain = len(name) == 1 and name not in "-|#^!()<>'\"" and not name.isspace()
    return name if plain else repr(name)


@given(diagrams())
def test_what_is_read_is_drawn_as_it_was(text):
    assert str(diagram(text)) == text


@given(diagrams())
def test_what_is_drawn_is_read_as_it_was(text):
    once = diagram(text)
    again = diagram(str(once))

    assert again == once
    assert again.length == once.length


def test_a_timeline_of_nothing_is_an_empty_diagram():
    assert str(Timeline(())) == ""
