"""The plan of a flow as a diagram and as HTML; as text it is tested in test_chain.py."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from textwrap import dedent

import pytest

from flowpy import Flow, channel_flow, flow
from flowpy._fusion import ENABLED
from tests.laws.probes import Source

pytestmark = pytest.mark.skipif(not ENABLED, reason="tells how a chain is fused")


@flow
async def joined(label, first, *, second):
    async for x in first.concat(second):
        yield label, x


@channel_flow(capacity=3)
async def presses(channel):
    await channel.send(1)


def hostile(n):
    return n


hostile.__qualname__ = '<script>alert("x")</script>\n%%{init: {}}%% `#end` \ud800'

LINEAR = Flow.of(1, 2).map(str).take(9)
SEAMS = Flow.of(1, 2).map(str).buffer(9).map(int).retry(3)
TREE = (
    Flow([1])
    .merge(Flow([2]).map(str).conflate(), [3])
    .zip(Flow.of("a").merge([4]))
    .timeout(3, fallback=Flow.of(9))
    .concat([5])
)


def assert_diagram(made, text):
    assert made.explain("mermaid") == dedent(text).strip()


# ----------------------------------------------------------------------------- Mermaid


def test_a_linear_chain_is_one_box():
    assert_diagram(
        LINEAR,
        """
        flowchart TD
            s0["0 Flow.of(1, 2)<br/>1 map(str)<br/>2 take(9)"]
        """,
    )


def test_each_function_is_a_box_and_each_task_a_frame():
    assert_diagram(
        SEAMS,
        """
        flowchart TD
            subgraph st0["in a task of its own"]
                s0["0 Flow.of(1, 2)<br/>1 map(str)"]
            end
            subgraph st1["in the collecting task"]
                s2["2 buffer(9)<br/>a seam: runs upstream in a task of its own"]
                s3["3 map(int)"]
                s4["4 retry(3)<br/>a seam: collects everything above it again"]
            end
            s0 -->|"at most 9 items wait"| s2
            s2 --> s3
            s3 --> s4
        """,
    )


def test_the_other_flows_of_a_stage_are_frames_that_lead_to_it():
    assert_diagram(
        TREE,
        """
        flowchart TD
            subgraph st0["in a task of its own"]
                s0["0 Flow(list)"]
            end
            subgraph st1["in a task of its own"]
                s1["1 merge(Flow(list).map(str).conflate(), Flow(list))<br/>a seam: runs each flow in a task of its own"]
            end
            subgraph st2["in a task of its own"]
                s2["2 zip(Flow.of('a').merge(Flow(list)))<br/>a seam: pulls its flows together, each in a task of its own"]
            end
            subgraph st3["in the collecting task"]
                s3["3 timeout(3, fallback=Flow.of(9))<br/>a seam: runs upstream in a task of its own"]
                s4["4 concat(Flow(list))"]
            end
            subgraph s1f0["merge: flow 1"]
                subgraph s1f0st0["in a task of its own"]
                    s1f0s0["0 Flow(list)<br/>1 map(str)"]
                end
                s1f0s2["2 conflate()<br/>a seam: runs upstream in a task of its own"]
                s1f0s0 -->|"at most 1 item waits"| s1f0s2
            end
            subgraph s1f1["merge: flow 2"]
                s1f1s0["0 Flow(list)"]
            end
            subgraph s2f0["zip: flow 1"]
                subgraph s2f0st0["in a task of its own"]
                    s2f0s0["0 Flow.of('a')"]
                end
                s2f0s1["1 merge(Flow(list))<br/>a seam: runs each flow in a task of its own"]
                subgraph s2f0s1f0["merge: flow 1"]
                    s2f0s1f0s0["0 Flow(list)"]
                end
                s2f0s0 -->|"at most 16 items of each wait"| s2f0s1
                s2f0s1f0s0 --> s2f0s1
            end
            subgraph s3f0["timeout: fallback"]
                s3f0s0["0 Flow.of(9)"]
            end
            subgraph s4f0["concat: flow 1"]
                s4f0s0["0 Flow(list)"]
            end
            s0 -->|"at most 16 items of each wait"| s1
            s1 -->|"at most 1 item of each waits"| s2
            s2 -->|"no item waits"| s3
            s3 --> s4
            s1f0s2 --> s1
            s1f1s0 --> s1
            s2f0s1 --> s2
            s3f0s0 --> s3
            s4f0s0 --> s4
        """,
    )


def test_the_flows_that_a_users_function_gets_are_frames_too():
    assert_diagram(
        joined("a", Flow.of(1), second=Flow.of(2)).map(str),
        """
        flowchart TD
            s0["0 joined('a', Flow.of(1), second=Flow.of(2))"]
            s1["1 map(str)"]
            subgraph s0f0["joined: flow 1"]
                s0f0s0["0 Flow.of(1)"]
            end
            subgraph s0f1["joined: second"]
                s0f1s0["0 Flow.of(2)"]
            end
            s0 --> s1
            s0f0s0 --> s0
            s0f1s0 --> s0
        """,
    )


def test_a_source_with_a_task_says_what_waits_in_its_own_box():
    assert_diagram(
        presses(),
        """
        flowchart TD
            subgraph st0["in a task of its own"]
                s0["0 presses()<br/>a seam: runs its function in a task of its own; at most 3 items wait"]
            end
        """.replace(";", "#59;"),
    )


def test_flows_that_are_items_are_no_part_of_the_plan():
    assert_diagram(
        Flow.of(LINEAR, LINEAR).flatten(),
        """
        flowchart TD
            s0["0 Flow.of(Flow.of(1, 2).map(str).take(9), Flow.of(1, 2).map(str).take(9))<br/>1 flatten()"]
        """,
    )


def test_no_name_can_end_a_box_or_say_anything_to_mermaid():
    made = Flow.of('"]\n<b>').map(hostile)

    assert_diagram(
        made,
        """
        flowchart TD
            s0["0 Flow.of('#34;#93;#92;n#60;b#62;')<br/>1 map(#60;script#62;alert(#34;x#34;)#60;/script#62;#92;n#37;#37;#123;init: #123;#125;#125;#37;#37; #96;#35;end#96; #92;ud800)"]
        """,
    )


# -------------------------------------------------------------------------------- HTML


def bare(made):
    """Return the HTML of a flow without the style of its parts."""
    return re.sub(r' style="[^"<>]*"', "", made._repr_html_())


def test_a_linear_chain_is_one_list():
    assert bare(LINEAR) == (
        "<div><div><div>in the collecting task</div><div>"
        "<div><code>0 Flow.of(1, 2)</code></div>"
        "<div><code>1 map(str)</code></div>"
        "<div><code>2 take(9)</code></div>"
        "</div></div></div>"
    )


def test_each_function_is_a_list_and_each_task_a_block():
    assert bare(SEAMS) == (
        "<div><div><div>in a task of its own</div><div>"
        "<div><code>0 Flow.of(1, 2)</code></div>"
        "<div><code>1 map(str)</code></div>"
        "</div></div><div><div>in the collecting task</div><div>"
        "<div><code>2 buffer(9)</code> <span>a seam: runs upstream in a task of its own; "
        "at most 9 items wait</span></div>"
        "</div><div>"
        "<div><code>3 map(int)</code></div>"
        "</div><div>"
        "<div><code>4 retry(3)</code> <span>a seam: collects everything above it again"
        "</span></div>"
        "</div></div></div>"
    )


def test_the_other_flows_of_a_stage_stand_under_it():
    made = Flow([1]).concat(Flow.of(2).conflate(), [3])

    assert bare(made) == (
        "<div><div><div>in the collecting task</div><div>"
        "<div><code>0 Flow(list)</code></div>"
        "<div><code>1 concat(Flow.of(2).conflate(), Flow(list))</code>"
        "<div><div>concat: flow 1</div>"
        "<div><div>in a task of its own</div><div>"
        "<div><code>0 Flow.of(2)</code></div></div></div>"
        "<div><div><code>1 conflate()</code> <span>a seam: runs upstream in a task of its "
        "own; at most 1 item waits</span></div></div></div>"
        "<div><div>concat: flow 2</div><div>"
        "<div><code>0 Flow(list)</code></div></div></div>"
        "</div></div></div></div>"
    )


def test_no_name_is_markup():
    made = Flow.of("<b>\"&'\n").map(hostile)

    assert bare(made) == (
        "<div><div><div>in the collecting task</div><div>"
        "<div><code>0 Flow.of(&#x27;&lt;b&gt;&quot;&amp;\\&#x27;\\n&#x27;)</code></div>"
        "<div><code>1 map(&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;\\n"
        "%%{init: {}}%% `#end` \\ud800)</code></div>"
        "</div></div></div>"
    )


@pytest.mark.parametrize("made", [LINEAR, SEAMS, TREE], ids=["linear", "seams", "tree"])
def test_the_html_is_whole_and_leaves_the_colours_to_the_notebook(made):
    opened = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)
            for _, value in attrs:
                assert not re.search(r"(^|;)\s*(background|color)\s*:", value)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(made._repr_html_())

    assert opened == []


# -------------------------------------------------------------------------------- both


def test_nothing_is_run():
    source = Source(1, 2)
    made = Flow(source.generator).merge(Flow(source.generator)).map(str).buffer()

    made.explain("mermaid")
    made._repr_html_()

    assert source.opened == 0


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of 'text', 'mermaid'; got"):
        LINEAR.explain("html")
