"""The tables "coming from": every name there has an answer, and every answer exists."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from functools import partial
from pathlib import Path

import pytest

import flowpy
import flowpy.testing
from flowpy import Channel, Flow, Job, SharedFlow, StateFlow
from flowpy.testing import Probe

PAGES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted(Path(__file__).parents[2].glob("docs/coming-from/*.md"))
}
CELL = re.compile(r"(?<!\\)\|")
CODE = re.compile(r"`([^`]+)`")
NONE = "\N{EN DASH}"


class Instance:
    """Something of a class."""

    def __init__(self, kind):
        self.kind = kind


OBJECTS = {
    "channel": Instance(Channel),
    "job": Instance(Job),
    "probe": Instance(Probe),
    "shared": Instance(SharedFlow),
    "state": Instance(StateFlow),
    "itertools": itertools,
    "flowpy": flowpy,
}
"""What the names of objects in the answers stand for."""

# kotlinx.coroutines 1.11, package kotlinx.coroutines.flow, with what of the package
# kotlinx.coroutines.channels belongs to it. Not those that are only deprecated.
KOTLIN = """
    AbstractFlow BufferOverflow Channel.BUFFERED Channel.CONFLATED Channel.RENDEZVOUS
    Channel.UNLIMITED DEFAULT_CONCURRENCY DEFAULT_CONCURRENCY_PROPERTY_NAME Flow
    FlowCollector MutableSharedFlow MutableSharedFlow.emit MutableStateFlow SharedFlow
    SharedFlow.asFlow SharingCommand SharingStarted SharingStarted.Eagerly
    SharingStarted.Lazily SharingStarted.WhileSubscribed StateFlow all any asFlow
    asSharedFlow asStateFlow associate associateBy associateByTo associateTo
    associateWith associateWithTo awaitClose buffer callbackFlow cancellable catch
    channelFlow chunked collect collectIndexed collectLatest combine combineTransform
    compareAndSet conflate consumeAsFlow count debounce distinctUntilChanged
    distinctUntilChangedBy drop dropWhile emit emitAll emptyFlow filter
    filterIsInstance filterNot filterNotNull first firstOrNull flatMapConcat
    flatMapLatest flatMapMerge flattenConcat flattenMerge flow flowOf flowOn fold
    getAndUpdate groupBy groupByTo last lastOrNull launchIn map mapLatest mapNotNull
    merge none onCompletion onEach onEmpty onStart onSubscription produceIn
    receiveAsFlow reduce replayCache resetReplayCache retry retryWhen runningFold
    runningReduce sample scan shareIn single singleOrNull stateIn subscriptionCount
    take takeWhile timeout toCollection toList toSet transform transformLatest
    transformWhile tryEmit update updateAndGet value withIndex zip
"""

# The operators of RxJS 7.8 that are not deprecated, its functions that make
# observables, and its subjects.
RXJS = """
    AsyncSubject BehaviorSubject EMPTY NEVER Observable ReplaySubject Subject
    TestScheduler animationFrames audit auditTime bindCallback bindNodeCallback buffer
    bufferCount bufferTime bufferToggle bufferWhen catchError combineLatest
    combineLatestAll combineLatestWith concat concatAll concatMap concatMapTo concatWith
    connect connectable count debounce debounceTime defaultIfEmpty defer delay delayWhen
    dematerialize distinct distinctUntilChanged distinctUntilKeyChanged elementAt
    endWith every exhaustAll exhaustMap expand filter finalize find findIndex first
    firstValueFrom forkJoin from fromEvent fromEventPattern generate groupBy
    ignoreElements iif interval isEmpty last lastValueFrom map mapTo materialize max
    merge mergeAll mergeMap mergeMapTo mergeScan mergeWith min observeOn of
    onErrorResumeNext onErrorResumeNextWith pairwise partition race raceWith range
    reduce repeat retry sample sampleTime scan scheduled sequenceEqual share
    shareReplay single skip skipLast skipUntil skipWhile startWith subscribeOn switchAll
    switchMap switchMapTo switchScan take takeLast takeUntil takeWhile tap throttle
    throttleTime throwError throwIfEmpty timeInterval timeout timer timestamp toArray
    using window windowCount windowTime windowToggle windowWhen withLatestFrom zip
    zipAll zipWith
"""


def rows(page):
    """Give the cells of each row of a page's tables, and the line it stands on."""
    for line in PAGES[page].splitlines():
        cells = [cell.strip() for cell in CELL.split(line)[1:-1]]
        head = cells[1:2] == ["flowpy"]
        if len(cells) == 3 and not head and not cells[0].startswith("--"):
            yield cells


ROWS = [
    pytest.param(*cells, id=f"{page}: {cells[0]}")
    for page in PAGES
    for cells in rows(page)
]


def names(page):
    """Return the names that have a row."""
    return [name for cells in rows(page) for name in CODE.findall(cells[0])]


# ------------------------------------------------------------------- what is answered


@pytest.mark.parametrize(("theirs", "answer", "note"), ROWS)
def test_every_name_has_an_answer_that_exists_or_a_reason(theirs, answer, note):
    assert theirs
    assert CODE.search(answer) or (answer == NONE and note)
    for code in CODE.findall(answer):
        resolved(code)


def resolved(code):
    """Check that the names in an answer are flowpy's, and that its arguments fit."""
    text = code.removeprefix("@").replace(r"\|", "|")
    return _resolve(ast.parse(text, mode="eval").body)


def _resolve(node):
    if isinstance(node, ast.Name):
        if node.id in flowpy.__all__:
            return getattr(flowpy, node.id)
        return OBJECTS.get(node.id) or _attribute(Instance(Flow), node.id)
    if isinstance(node, ast.Attribute):
        return _attribute(_resolve(node.value), node.attr)
    assert isinstance(node, ast.Call)
    called = _resolve(node.func)
    given = {keyword.arg: None for keyword in node.keywords}
    inspect.signature(called).bind(*node.args, **given)
    return Instance(called if isinstance(called, type) else Flow)


def _attribute(owner, name):
    kind = owner.kind if isinstance(owner, Instance) else owner
    found = inspect.getattr_static(kind, name)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(owner, Instance) and callable(found):
        return partial(found, None)
    return found


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("debounced(2)", AttributeError),
        ("map(fn).maps(fn)", AttributeError),
        ("debounce(2, 3)", TypeError),
        ("debounce(second=2)", TypeError),
        ("Flow.merge()", TypeError),
        ("async for x in flow", SyntaxError),
    ],
)
def test_what_does_not_exist_is_found(code, error):
    with pytest.raises(error):
        resolved(code)


# ------------------------------------------------------------ what there is to answer


def operators_of_aiostream(stream):
    own = {name for name in dir(stream) if not name.startswith("_")}
    return {name for name in own if not inspect.ismodule(getattr(stream, name))}


def names_of_itertools(module):
    return {name for name in dir(module) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("page", "library"),
    [("kotlin-flow", KOTLIN), ("rxjs", RXJS)],
    ids=["Kotlin", "RxJS"],
)
def test_every_name_of_another_language_has_its_row(page, library):
    assert set(library.split()) - set(names(page)) == set()


@pytest.mark.parametrize(
    ("page", "module", "public"),
    [
        ("aiostream", "aiostream.stream", operators_of_aiostream),
        ("itertools-asyncstdlib", "asyncstdlib", lambda library: set(library.__all__)),
        ("itertools-asyncstdlib", "itertools", names_of_itertools),
    ],
)
def test_every_name_of_another_library_has_its_row(page, module, public):
    reason = f"{module} is not there: pip install -e '.[bench]'"
    library = pytest.importorskip(module, reason=reason)

    assert public(library) - set(names(page)) == set()


def test_each_page_shows_differences_that_are_executed():
    for page, text in PAGES.items():
        assert len(re.findall(r"```python\n", text)) >= 3, page
