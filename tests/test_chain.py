"""How a chain reads: `repr` and `explain`."""

from __future__ import annotations

import pytest

from flowpy import Flow

NAMES = {"Flow": Flow}

SAME = [
    "Flow.of(1).log()",
    "Flow.of(1).log('app')",
    "Flow.of(1).retry(3, on=(OSError, KeyError))",
]


@pytest.mark.parametrize("chain", SAME)
def test_repr_reads_like_the_chain(chain):
    assert repr(eval(chain, NAMES)) == chain
