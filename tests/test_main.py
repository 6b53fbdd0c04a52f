"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import gzip
import io
import os
import runpy
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import flowpy
import flowpy.__main__
from flowpy.__main__ import main

BACKENDS = ["asyncio", "uvloop", "trio"]
COMMAND = [sys.executable, "-m", "flowpy"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(flowpy.__file__).parents[1])}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Work in a directory with two files of names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trees").write_text("ash\nbeech\n", "utf-8")
    (tmp_path / "birds").write_text("crow\r\ndove", "utf-8")


@pytest.fixture
def stdin(monkeypatch):
    """Make standard input of this process a pipe, and return what writes to it."""
    number, end = os.pipe()
    with open(number) as file, open(end, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", file)
        yield writer


@pytest.fixture
def start():
    """Start the command; end it with the test, whatever the test did."""
    interrupt = signal.getsignal(signal.SIGINT)
    # Where the tests themselves run in the background of a shell, SIGINT is ignored,
    # and the command would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    processes = []

    def start(*args, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        options = {"bufsize": 0, "env": ENVIRONMENT} | pipes | options
        process = subprocess.Popen([*COMMAND, *args], **options)
        processes.append(process)
        return process

    yield start
    signal.signal(signal.SIGINT, interrupt)
    for process in processes:
        process.kill()
        process.communicate()


def execute(*args, data=b"", **options):
    """Run the command to its end: exit status, standard output and error."""
    done = subprocess.run(
        [*COMMAND, *args],
        input=data,
        capture_output=True,
        timeout=10,
        env=ENVIRONMENT | options.pop("env", {}),
        check=False,
        **options,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def read_line(process):
    """Return the next line of output, which must come within seconds."""
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([process.stdout], [], [], 10)[0]
        byte = process.stdout.read(1)
        assert byte
        line += byte
    return line.decode()


# ------------------------------------------------------------------ what is printed


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_items_of_a_chain_over_a_pipe_are_printed_one_a_line(backend):
    expression = "lines.map(str.upper).chunked(2)"

    status, out, err = execute("--backend", backend, expression, data=b"a\nb\r\nc")

    assert (status, out, err) == (0, "['A', 'B']\n['C']\n", "")


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["trees"], "ash beech"),
        (["trees", "birds"], "ash beech crow dove"),
        (["birds", "-", "trees"], "crow dove from stdin ash beech"),
        (["-"], "from stdin"),
        ([], "from stdin"),
        (["-", "-"], "from stdin"),
    ],
)
def test_the_lines_of_all_files_are_read_one_file_after_another(
    files, stdin, capsys, paths, expected
):
    stdin.write(b"from\nstdin")
    stdin.close()
    status = main(["lines", *paths])

    assert (status, capsys.readouterr().out.split()) == (0, expected.split())


def test_blanks_around_the_expression_mean_nothing(capsys):
    assert main(["  Flow.of(1) "]) == 0
    assert capsys.readouterr().out == "1\n"


def test_options_may_stand_behind_the_expression(files, capsys):
    pytest.importorskip("trio")
    status = main(["lines.take(1)", "--backend", "trio", "trees", "--import", "re"])

    assert (status, capsys.readouterr().out) == (0, "ash\n")


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_line_of_an_open_pipe_is_answered_at_once(start, backend):
    process = start("--backend", backend, "lines.map(str.upper)")
    answers = []
    for data in (b"one\n", b"two\nth", b"ree\n"):
        process.stdin.write(data)
        answers.append(read_line(process))
    out, err = process.communicate(b"end", timeout=10)

    assert answers == ["ONE\n", "TWO\n", "THREE\n"]
    assert (process.returncode, out, err) == (0, b"END\n", b"")


def test_each_line_of_a_terminal_is_answered_at_once(start):
    keyboard, terminal = os.openpty()
    try:
        process = start("lines.map(str.upper)", stdin=terminal)
        os.write(keyboard, b"one\n")
        answer = read_line(process)
        os.write(keyboard, b"\x04")  # Ctrl-D
        out, err = process.communicate(timeout=10)
    finally:
        os.close(keyboard)
        os.close(terminal)

    assert answer == "ONE\n"
    assert (process.returncode, out, err) == (0, b"", b"")


def test_what_can_not_be_decoded_or_printed_stops_nothing():
    ascii_only = {"PYTHONIOENCODING": "ascii"}

    decoded = execute("lines", data=b"a\xff\xc3\xa9\n\xe2\x82", env={"PYTHONUTF8": "1"})
    printed = execute("lines", data="é\nb\n".encode(), env=ascii_only)

    assert decoded == (0, "a\ufffdé\n\ufffd\n", "")
    assert printed == (0, "?\nb\n", "")


def test_a_chain_may_go_over_several_lines(files, capsys):
    chain = """
        lines
        .filter(lambda line: "e" in line)  # no ash
        .map(len)
    """

    assert main([chain, "trees", "birds"]) == 0
    assert capsys.readouterr().out == "5\n4\n"


def test_the_expression_knows_flow_and_skip(files, monkeypatch, capsys):
    Path("operators_of_a_user.py").write_text(
        "async def double(source):\n    async for x in source:\n        yield 2 * x\n"
    )
    monkeypatch.syspath_prepend("")
    chain = (
        "Flow(['1', 'x']).map(int, on_error=lambda *_: SKIP)"
        ".pipe(flow(operators_of_a_user.double))"
    )

    assert main(["--import", "operators_of_a_user", chain]) == 0
    assert capsys.readouterr().out == "2\n"


def test_imported_modules_are_known_by_the_name_that_import_binds(capsys):
    expression = "Flow.of(os.path.basename('a/b'), json.dumps(None))"

    assert main(["--import", "os.path", "--import", "json", expression]) == 0
    assert capsys.readouterr().out == "b\nnull\n"


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Work in a directory with a module, which a console script could not import."""
    (tmp_path / "module_of_a_user.py").write_text("NAME = 'own'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "module_of_a_user", raising=False)


def test_modules_of_the_current_directory_can_be_imported(own_module, capsys):
    args = ["--import", "module_of_a_user", "Flow.of(module_of_a_user.NAME)"]

    assert main(args) == 0
    assert capsys.readouterr().out == "own\n"


def test_modules_of_the_current_directory_can_not_be_imported_on_a_safe_path(
    own_module,
):
    args = ["--import", "module_of_a_user", "lines"]

    status, out, err = execute(*args, env={"PYTHONSAFEPATH": "1"})

    assert (status, out) == (2, "")
    assert err.startswith("flowpy: cannot import 'module_of_a_user': ModuleNotFound")


def test_what_the_expression_prints_itself_comes_too():
    chain = "Flow.of('printed').on_each(print).filter(lambda _: False)"

    assert execute(chain) == (0, "printed\n", "")


def test_output_that_is_no_file_will_do(monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)

    assert main(["Flow.of(1, None)"]) == 0
    assert output.getvalue() == "1\nNone\n"


def test_the_module_runs_as_a_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["flowpy", "Flow.of(1)"])

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(flowpy.__main__.__file__, run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out) == (0, "1\n")


# --------------------------------------------------------- compressed and followed files


def test_the_lines_of_gz_files_are_unzipped(files, capsys):
    Path("old.gz").write_bytes(gzip.compress(b"fir\r\n") + gzip.compress("é".encode()))

    assert main(["lines.map(str.upper)", "old.gz", "trees"]) == 0
    assert capsys.readouterr().out == "FIR\nÉ\nASH\nBEECH\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"fir\n", "BadGzipFile: old.gz: Not a gzipped file"),
        (gzip.compress(b"fir\n")[:-4], "BadGzipFile: old.gz: Compressed file ended"),
        (gzip.compress(b"fir\n")[:10] + b"\xff" * 9, "BadGzipFile: old.gz: Error -3"),
    ],
    ids=["not zipped", "cut off", "broken"],
)
def test_a_broken_gz_file_is_an_error_that_names_it(files, capsys, data, message):
    Path("old.gz").write_bytes(data)
    status = main(["lines", "trees", "old.gz"])
    printed = capsys.readouterr()

    assert status == 1
    assert printed.out.startswith("ash\nbeech\n")
    assert printed.err.startswith(f"flowpy: {message}")
    assert printed.err.count("\n") == 1


def test_the_lines_before_the_break_of_a_gz_file_are_given(files, capsys):
    numbers = [str(n * n) for n in range(30_000)]
    Path("old.gz").write_bytes(gzip.compress("\n".join(numbers).encode())[:-4])
    status = main(["lines", "old.gz"])
    printed = capsys.readouterr()

    assert status == 1
    assert printed.out.split() == numbers[:-1]  # the last one has no end
    assert printed.err.startswith("flowpy: BadGzipFile: old.gz: Compressed file ended")


def test_a_named_pipe_is_never_unzipped(files, capsys):
    os.mkfifo("pipe.gz")
    end = os.open("pipe.gz", os.O_RDWR)
    os.write(end, b"plain\n")
    try:
        status = main(["lines.take(1)", "pipe.gz"])
    finally:
        os.close(end)

    assert (status, capsys.readouterr().out) == (0, "plain\n")


@pytest.mark.parametrize("backend", BACKENDS)
def test_followed_files_are_answered_as_they_grow_and_are_rotated(
    files, start, backend
):
    process = start(
        *("--backend", backend, "--follow", "--from-start"),
        *("lines.map(str.upper)", "trees", "missing"),
    )
    answers = [read_line(process), read_line(process)]
    with open("trees", "a") as file:
        file.write("elm\n")
    answers.append(read_line(process))
    os.rename("trees", "trees.1")
    Path("trees").write_text("fir\n")
    answers.append(read_line(process))
    Path("missing").write_text("oak\n")
    answers.append(read_line(process))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)

    assert answers == ["ASH\n", "BEECH\n", "ELM\n", "FIR\n", "OAK\n"]
    assert (process.returncode, err) == (130, b"")


def test_a_file_is_followed_from_its_end(files, start):
    process = start("--follow", "lines.take(1)", "trees")
    while not select.select([process.stdout], [], [], 0.02)[0]:
        with open("trees", "a") as file:
            file.write("new\n")
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out, err) == (0, b"new\n", b"")


def test_standard_input_and_named_pipes_are_followed_as_they_are(files, stdin, capsys):
    os.mkfifo("pipe")
    end = os.open("pipe", os.O_RDWR)
    os.write(end, b"from pipe\n")
    stdin.write(b"from stdin\n")
    try:
        status = main(["--follow", "lines.take(2)", "-", "pipe"])
    finally:
        os.close(end)

    assert status == 0
    assert sorted(capsys.readouterr().out.splitlines()) == ["from pipe", "from stdin"]


# ---------------------------------------------------------------------------- JSON


def test_lines_of_json_are_values_and_items_are_printed_as_json(files, capsys):
    Path("birds.json").write_text('\ufeff{"name": "crow", "n": 1}\n\n \n[null, "é"]')
    chain = "lines.map(lambda value: (value, True))"

    assert main(["--json", chain, "birds.json"]) == 0
    assert capsys.readouterr().out == (
        '[{"name": "crow", "n": 1}, true]\n[[null, "é"], true]\n'
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("crow", "Expecting value at column 1"),
        ('{"a": 1,}', "Illegal trailing comma before end of object at column 8")
        if sys.version_info >= (3, 13)
        else (
            '{"a": 1,}',
            "Expecting property name enclosed in double quotes at column 9",
        ),
        ("NaN", "NaN stands for no value"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_a_line_that_is_no_json_is_an_error_with_its_number(
    files, capsys, line, reason
):
    Path("birds.json").write_text(f"1\n\n{line}\n4\n")
    status = main(["--json", "lines", "birds.json"])
    printed = capsys.readouterr()

    assert (status, printed.out) == (1, "1\n")
    assert printed.err.startswith(
        f"flowpy: ValueError: line 3 of birds.json is not JSON: {reason}"
    )
    assert printed.err.count("\n") == 1


def test_lines_of_json_are_counted_wherever_they_come_from(files, stdin, capsys):
    Path("birds.json").write_text("crow\n")
    stdin.write(b"1\ndove\n")
    stdin.close()
    statuses = [
        main(["--json", "--follow", "--from-start", "lines", "birds.json"]),
        main(["--json", "lines"]),
    ]
    errors = capsys.readouterr().err

    assert statuses == [1, 1]
    assert "line 1 that has come in birds.json is not JSON" in errors
    assert "line 2 of standard input is not JSON" in errors


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("Flow.of(1, {2})", "TypeError: Object of type set is not JSON serializable"),
        ("Flow.of(1, float('nan'))", "ValueError: Out of range float values are not"),
    ],
)
def test_an_item_that_json_can_not_say_is_an_error(capsys, chain, message):
    status = main(["--json", chain])
    printed = capsys.readouterr()

    assert (status, printed.out) == (1, "1\n")
    assert printed.err.startswith(f"flowpy: {message}")


# ------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["lines.map("], "cannot evaluate EXPR: SyntaxError: '(' was never closed"),
        (["names"], "cannot evaluate EXPR: NameError: name 'names' is not defined"),
        (["re.compile('')"], "name 're' is not defined (try --import re)"),
        (["lines.take(-1)"], "cannot evaluate EXPR: ValueError: n must be >= 0"),
        (["exit(3)"], "cannot evaluate EXPR: SystemExit: 3"),
        (["lines.count().map(str)"], "AttributeError: 'coroutine' object has no"),
        (["lines.to_list()"], "got an awaitable, to_list: leave that ending out"),
        (["[lines.to_list()]"], "EXPR must give a Flow; got list: [<coroutine ob"),
        (["[1, 2]"], "EXPR must give a Flow; got list: [1, 2]"),
        (["Flow"], "EXPR must give a Flow; got type: <class 'flowpy.Flow'>"),
        (["'a\\nb'\n"], "EXPR must give a Flow; got str: 'a\\nb'"),
        (["lines", "trees", "missing"], "cannot read missing: No such file or directo"),
        (["print() or lines", ".", "trees"], "cannot read .: Is a directory"),
        (["lines", "trees/"], "cannot read trees/: Not a directory"),
        (
            ["--import", "no.such", "lines"],
            "cannot import 'no.such': ModuleNotFoundErr",
        ),
        (["--follow", "lines", "."], "cannot read .: Is a directory"),
        (["--follow", "lines", "a.gz"], "cannot follow a.gz: it is compressed"),
        (["--import", "", "lines"], "cannot import '': ValueError: Empty module name"),
        (["--import", "exits", "lines"], "cannot import 'exits': SystemExit: 1"),
        (["--backend", "curio", "lines"], "backend must be one of 'asyncio', 'uvloop'"),
    ],
)
def test_what_can_not_start_is_refused_in_one_line(files, capsys, args, message):
    Path("exits.py").write_text("raise SystemExit(1)")
    status = main(args)
    printed = capsys.readouterr()

    assert (status, printed.out) == (2, "")
    assert printed.err.startswith("flowpy: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_a_file_that_may_not_be_read_is_refused(files, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    assert main(["lines", "trees"]) == 2
    assert capsys.readouterr().err == "flowpy: cannot read trees: Permission denied\n"


def test_a_backend_that_is_not_installed_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "trio" else name
    )

    assert main(["--backend", "trio", "lines"]) == 2
    assert capsys.readouterr().err.startswith(
        "flowpy: backend 'trio' is not installed: pip install"
    )


def test_a_refusal_says_one_line_and_leaves_no_warning_behind():
    status, out, err = execute("lines.take(1).to_list()")

    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("flowpy: EXPR must give a Flow; got an awaitable, to_list:")


@pytest.mark.parametrize(
    "args", [[], ["--backend"], ["--what", "lines"], ["--from-start", "lines"]]
)
def test_wrong_usage_ends_with_status_2(capsys, args):
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: flowpy [--backend B]")


def test_help_and_version_are_printed(capsys):
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as ended:
            main([option])
        assert ended.value.code == 0
    out = capsys.readouterr().out

    assert "examples:" in out
    assert out.endswith(f"\nflowpy {flowpy.__version__}\n")


# --------------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    ("expression", "out", "err"),
    [
        ("Flow.of('1', 'x').map(int)", "1\n", "ValueError: invalid literal for int()"),
        ("Flow.fail(OSError())", "", "OSError\n"),
        ("Flow.fail(OSError('two\\nlines'))", "", "OSError: two lines\n"),
        ("Flow.of(1).map(lambda n: re.sub(n))", "", "NameError: name 're' is not def"),
        ("Flow.fail(BrokenPipeError('of its own'))", "", "BrokenPipeError: of its own"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_while_it_runs_ends_it_with_status_1_and_one_line(
    capsys, expression, out, err, backend
):
    status = main([expression, "--backend", backend])
    printed = capsys.readouterr()

    assert (status, printed.out) == (1, out)
    assert printed.err.startswith(f"flowpy: {err}")
    assert printed.err.count("\n") == 1


def test_the_expression_may_set_the_exit_status():
    assert execute("Flow.of(7).map(exit)") == (7, "", "")
    with pytest.raises(SystemExit, match="8"):
        main(["--import=sys", "Flow.of(8).map(sys.exit)"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_ends_it_quietly_while_it_waits_for_input(start, backend):
    chain = "lines.on_start(lambda: print('ready', flush=True))"
    process = start("--backend", backend, chain)
    assert read_line(process) == "ready\n"
    process.send_signal(signal.SIGINT)
    process.wait(10)

    assert process.communicate() == (b"", b"")
    assert process.returncode == 130


@pytest.mark.parametrize(
    "chain",
    [
        "Flow.interval(0.01)",
        "Flow(itertools.count()).filter(lambda n: n == 0)",
        "lines.filter(lambda line: False).start_with('0')",
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_ends_it_quietly_while_it_is_busy(start, backend, chain):
    with open("/dev/zero", "rb") as zeros:
        process = start("--import=itertools", "--backend", backend, chain, stdin=zeros)
        assert read_line(process) == "0\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)

    assert (process.returncode, err) == (130, b"")


@pytest.mark.parametrize(
    "error", ["KeyboardInterrupt()", "BaseExceptionGroup('', [KeyboardInterrupt()])"]
)
def test_ctrl_c_ends_it_quietly_also_from_within_a_task_group(capsys, error):
    assert main([f"Flow.of(1).concat(Flow.fail({error}))"]) == 130
    assert capsys.readouterr() == ("1\n", "")


def test_a_group_of_other_errors_is_an_error(capsys):
    assert main(["Flow.fail(ExceptionGroup('some', [OSError()]))"]) == 1
    assert capsys.readouterr().err.startswith("flowpy: ExceptionGroup: some (1 sub-")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_it_ends_quietly_when_the_reader_of_its_output_is_gone(
    start, backend, unbuffered
):
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    chain = "Flow(itertools.count())"
    process = start("--import=itertools", "--backend", backend, chain, env=environment)
    assert read_line(process) == "0\n"
    process.stdout.close()
    _, err = process.communicate(timeout=10)

    assert (process.returncode, err) == (141, b"")


def test_it_ends_quietly_when_what_the_expression_prints_has_no_reader(start):
    chain = "Flow(range(10**5)).on_each(print).filter(lambda n: False)"
    process = start(chain)
    process.stdout.close()
    _, err = process.communicate(timeout=10)

    assert (process.returncode, err) == (141, b"")


@pytest.fixture
def end_without_a_reader():
    """Give the writing end of a pipe that nobody reads."""
    number, end = os.pipe()
    os.close(number)
    with open(end, "w") as output:
        yield output


def test_a_flow_that_waits_ends_when_its_reader_is_gone(
    monkeypatch, end_without_a_reader
):
    monkeypatch.setattr(sys, "stdout", end_without_a_reader)

    assert main(["Flow.of(1).concat(Flow.never())"]) == 141


def test_output_without_a_reader_is_not_tried_again(monkeypatch, end_without_a_reader):
    monkeypatch.setattr(sys, "stdout", end_without_a_reader)
    status = main(["Flow.of(1)"])
    end_without_a_reader.flush()  # as Python does when it exits; it must not fail

    assert status == 141


def test_a_pipe_that_broke_is_the_output_where_the_system_can_not_tell(
    monkeypatch, end_without_a_reader
):
    monkeypatch.setattr(sys, "stdout", end_without_a_reader)
    monkeypatch.delattr(select, "poll")

    assert main(["Flow.of(1)"]) == 141


def test_a_pipe_of_the_flow_that_broke_is_an_error():
    assert execute("Flow.fail(BrokenPipeError('of its own'))") == (
        1,
        "",
        "flowpy: BrokenPipeError: of its own\n",
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has /dev/full")
def test_a_full_disk_is_an_error_in_one_line():
    with open("/dev/full", "wb") as full:
        process = subprocess.run(
            [*COMMAND, "Flow.of(1)"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            timeout=10,
            check=False,
        )

    assert process.returncode == 1
    assert process.stderr == b"flowpy: OSError: [Errno 28] No space left on device\n"


def test_an_output_that_the_expression_closed_is_an_error_in_one_line(
    monkeypatch, capfd
):
    with open(os.devnull, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        status = main(
            ["--import=sys", "Flow.of(1).on_each(lambda _: sys.stdout.close())"]
        )

    assert status == 1
    assert capfd.readouterr().err == (
        "flowpy: ValueError: I/O operation on closed file.\n"
    )


def test_it_runs_without_standard_streams():
    command = f'"{sys.executable}" -m flowpy "Flow.of(1)" <&- >&-'

    assert (
        subprocess.run(
            ["sh", "-c", command], env=ENVIRONMENT, timeout=10, check=False
        ).returncode
        == 0
    )
