"""What people hand over by mistake: one message that names the place, exit code 2, no traceback."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.cli.runs import assignment, brokers, entry, measured, run, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.runs import Inputs

GOOD = entry()
ID = "an integer from 0 to 2147483647"
LIST = "replicas must be a list of broker ids from 0 to 2147483647"
SIZE = "must be a whole number of bytes from 0 to 9223372036854775807"


def lines(*entries: str) -> str:
    return '{"version":1,"partitions":[\n' + ",\n".join(entries) + "\n]}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ('{"version":1,\n"partitions":[{"topic":"t"', ":2: not JSON: Expecting ',' delimiter at"),
        ('{"version":1,\n"partitions":[{"top', "(the file ends too early)"),
        ("hello", ":1: not JSON: Expecting value at column 1"),
        ("[" * 200_000, ": not JSON that can be read: nested too deeply\n"),
        (
            f'{{"version":\n{"1" * 5000}}}',
            ":2: not JSON that can be read: a number has more than 4300 digits\n",
        ),
        ("[]", ":1: the document must be an object"),
        ('\n{"version":\n2}', ":3: version must be 1, not 2"),
        ('{"version":1}', ":1: partitions must be a list"),
        (lines("7"), ":2: partitions[0] must be an object"),
        (b'{"version":1,\n"x":"\xff"}', ":2: not UTF-8 text: invalid start byte"),
        ("{}".encode("utf-16"), ":1: looks like UTF-16; save it as UTF-8"),
        ("{}".encode("utf-16-le"), ":1: looks like UTF-16; save it as UTF-8"),
        ("{}".encode("utf-16-be"), ":1: looks like UTF-16; save it as UTF-8"),
        (assignment(entry(topic="")), 'partitions[0]: topic must be a name, not ""'),
        (assignment(GOOD | {"topic": 3}), "partitions[0]: topic must be a name, not 3"),
        (assignment(entry(partition=-1)), f"partition must be {ID}, not -1"),
        (assignment(GOOD | {"partition": True}), f"partition must be {ID}, not true"),
        (assignment(GOOD | {"partition": "0"}), f'partition must be {ID}, not "0"'),
        (assignment(GOOD | {"partition": 1.0}), f"partition must be {ID}, not 1.0"),
        (assignment(GOOD | {"partition": float("nan")}), f"partition must be {ID}, not NaN"),
        (
            assignment(GOOD, entry(partition=2**31)),
            f"partitions[1] (t): partition must be {ID}, not 2147483648",
        ),
        (assignment(entry(replicas=[])), f"{LIST}, not []"),
        (assignment(entry(replicas="1,2")), f'{LIST}, not "1,2"'),
        (assignment(entry(replicas=[1, -2])), f"{LIST}, but holds -2"),
        (assignment(entry(replicas=[1, True])), f"{LIST}, but holds true"),
        (assignment(entry(replicas=[1, None])), f"{LIST}, but holds null"),
        (assignment(entry(replicas=[1, 3.0])), f"{LIST}, but holds 3.0"),
        (assignment(entry(replicas=[1, [2]])), f"{LIST}, but holds a list"),
        (assignment(entry(replicas=[1, 2**31])), f"{LIST}, but holds 2147483648"),
        (lines('{"topic":"t","partition":0,"replicas":[1,\n-2]}'), ":3: partitions[0] (t-0): repl"),
        (assignment(entry(replicas=[1, 1])), "replicas names a broker twice: 1"),
        (
            (
                '{"version":1,"partitions":[\n{"topic":"t","partition":0,"replicas":[1]}],'
                '\n"partitions":[]}'
            ),
            ':3: key "partitions" appears twice',
        ),
        (
            lines(
                '{"topic":"partition:","partition":0,"replicas":[1]}',
                '{"topic":"t","p\\u0061rtition":0,\n"partition":1,"replicas":[1]}',
                '{"topic":"u","partition":1,"replicas":[1]}',
            ),
            ':4: key "partition" appears twice',
        ),
        (
            lines(
                '{"topic":"t","partition":0,"replicas":[1]}',
                '{"topic":"t","partition":1,"replicas":[1]}',
                '{"topic":"t","partition":0,"replicas":[2]}',
            ),
            ":4: partitions[2] (t-0): named twice",
        ),
        (
            lines('{"topic":"t","partition":0,"replicas":[1]}', '{"topic":"t","partition":1}'),
            ":3: partitions[1] (t-1): replicas must be a list",
        ),
        (
            lines(
                '{"topic":"t","partition":0,"replicas":[1]}',
                '{"topic":"t","partition":1,\n"replicas":[2,77]}',
            ),
            (
                ":4: partitions[1] (t-1): replicas names broker 77, which {brokers} does not list; "
                'add {"id": 77} to it, with "live": false if the broker is dead'
            ),
        ),
        (
            assignment(entry(replicas=[7, 8, 9])),
            "replicas names broker 7, which {brokers} does not list (2 more brokers are missing",
        ),
        (
            assignment(entry(replicas=[1, 8, 9])),
            "replicas names broker 8, which {brokers} does not list (1 more broker is missing",
        ),
    ],
)
def test_an_assignment_that_is_none(inputs: Inputs, content: Any, message: str) -> None:
    write(inputs.assignment, content)
    result = inputs.plan("--out", inputs.out)
    assert result.exit_code == 2
    wanted = message.replace("{brokers}", str(inputs.brokers))
    assert wanted in result.stderr
    assert result.stderr.startswith(f"Error: {inputs.assignment}")
    assert not result.stdout
    assert not inputs.out.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{", ":1: not JSON"),
        ({"id": 1}, ":1: the document must be a list such as"),
        ("[\n7]", ":2: [0] must be an object"),
        ("[{}]", "[0].id must be an integer from 0 to 2147483647, not null"),
        ([{"id": -1}], "[0].id must be an integer from 0 to 2147483647, not -1"),
        ([{"id": True}], "[0].id must be an integer from 0 to 2147483647, not true"),
        ([{"id": "1"}], '[0].id must be an integer from 0 to 2147483647, not "1"'),
        ([{"id": 2**31}], "[0].id must be an integer from 0 to 2147483647, not 2147483648"),
        ([{"id": 1, "rack": 3}], "[0].rack (broker 1) must be a string or null, not 3"),
        ([{"id": 1, "rack": ["a"]}], "[0].rack (broker 1) must be a string or null, not a list"),
        ([{"id": 1, "live": "yes"}], '[0].live (broker 1) must be true or false, not "yes"'),
        ([{"id": 1, "live": None}], "[0].live (broker 1) must be true or false, not null"),
        ('[{"id":1},\n{"id":2},\n{"id":1}]', ":3: [2].id: broker 1 is listed twice"),
        ('[{"id":1,\n"id":2}]', ':2: key "id" appears twice'),
        ('[{"id":1,\n"id":2},\n{"id":3}]', ':2: key "id" appears twice'),
        ([{"id": "x" * 90}], f'not "{"x" * 59}...'),
    ],
)
def test_brokers_that_are_none(inputs: Inputs, content: Any, message: str) -> None:
    write(inputs.brokers, content)
    result = inputs.plan()
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {inputs.brokers}")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], ":1: the document must be an object such as"),
        ('{\n"t": 7}', ':2: "t" must be an object of partition to bytes, not 7'),
        ({"t": {"x": 7}}, '"t": "x" is not a partition number'),
        ({"t": {"-1": 7}}, '"t": "-1" is not a partition number'),
        ({"t": {"01": 7}}, '"t": "01" is not a partition number'),
        ({"t": {"1" * 5000: 7}}, "is not a partition number"),
        ({"t": {"\u0661": 7}}, "is not a partition number"),
        (
            '{"t": {"0": 1,\n"1": -7}}',
            f':2: "t": size of partition 1 {SIZE}, not -7',
        ),
        ({"t": {"0": 1.5}}, f"size of partition 0 {SIZE}, not 1.5"),
        ({"t": {"0": True}}, "size of partition 0 must be a whole number of bytes"),
        ({"t": {"0": None}}, "size of partition 0 must be a whole number of bytes"),
        ({"t": {"0": {}}}, f"{SIZE}, not {{}}"),
        ({"t": {"0": {"a": 1}}}, f"{SIZE}, not an object"),
        ({"t": {"0": 2**63}}, f"{SIZE}, not 9223372036854775808"),
        ({"t": {"0": int("9" * 400)}}, f"{SIZE}, not {'9' * 60}..."),
        ('{"t": {"0": 1},\n"t": {"0": 2}}', ':2: key "t" appears twice'),
        ('{"t": {"0": 1},\n"t": {"0": 2},\n"u": {"t": 1}}', ':2: key "t" appears twice'),
    ],
)
def test_sizes_that_are_none(inputs: Inputs, content: Any, message: str) -> None:
    path = write(inputs.folder / "s.json", content)
    result = inputs.plan("--sizes", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {path}")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], ":1: the document must be an object such as"),
        ('{"1": 1,\n"9": 1}', ':2: "9": no broker of the cluster has this id'),
        ({"one": 1}, '"one": no broker of the cluster has this id'),
        ({"1": 0}, '"1": a weight must be a number above 0'),
        ({"1": -2}, "not -2"),
        ('{"1": NaN}', "not NaN"),
        ('{"1": Infinity}', "not Infinity"),
        ('{"1": 1e999}', "not Infinity"),
        ({"1": True}, "not true"),
        ({"1": "2"}, 'not "2"'),
        ({"1": None}, "not null"),
    ],
)
def test_weights_that_are_none(inputs: Inputs, content: Any, message: str) -> None:
    path = write(inputs.folder / "w.json", content)
    result = inputs.plan("--weights", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {path}")
    assert message in result.stderr


@pytest.mark.parametrize("option", ["--assignment", "--brokers", "--sizes", "--weights"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".", "cannot be read: Is a directory"),
        ("missing.json", "cannot be read: No such file or directory"),
        ("a.json/b", "cannot be read: Not a directory"),
        ("nul\0", "cannot be read: embedded null byte"),
    ],
)
def test_files_that_cannot_be_read(inputs: Inputs, option: str, path: str, message: str) -> None:
    files = {"--assignment": inputs.assignment, "--brokers": inputs.brokers}
    files[option] = f"{inputs.folder}/{path}"  # type: ignore[assignment]
    result = run("plan", *(word for pair in files.items() for word in pair))
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give one of --assignment, --zookeeper and --bootstrap"),
        (("--assignment", "A"), "--assignment goes with --brokers"),
        (("--brokers", "B"), "give one of --assignment"),
        (("--assignment", "A", "--brokers", "B", "--bootstrap", "h:1"), "exclude each other"),
        (("--assignment", "A", "--brokers", "B", "--zookeeper", "h:1"), "exclude each other"),
        (("--zookeeper", "h:1/k", "--bootstrap", "h:1"), "exclude each other"),
        (("--brokers", "B", "--bootstrap", "h:1"), "--brokers goes with --assignment"),
        (("--assignment", "-", "--brokers", "-"), "only one of the files can be standard input"),
        (("--bootstrap", "h"), "'h' is not of the form host:port"),
        (("--bootstrap", "h:1/k"), "is not of the form host:port"),
        (("--bootstrap", ""), "is not of the form host:port"),
        (("--zookeeper", "h:1,/k"), "is not of the form host:port[,host:port...][/chroot]"),
        (("--frobnicate",), "No such option"),
    ],
)
def test_flags_that_do_not_go_together(options: tuple[str, ...], message: str) -> None:
    result = run("plan", *options)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--remove", "3", "--exclude", "3,4"), "broker 3 is both removed and excluded"),
        (("--remove", ""), "'' is no broker id; write them as 3,4"),
        (("--remove", "3,,4"), "'' is no broker id"),
        (("--remove", "-3"), "'-3' is no broker id"),
        (("--exclude", "1.5"), "'1.5' is no broker id"),
        (("--exclude", "\u0663"), "is no broker id"),
        (("--replication-factor", "t"), "'t' is not of the form topic=3"),
        (("--replication-factor", "=3"), "'=3' is not of the form topic=3"),
        (("--replication-factor", "t=x"), "'t=x' is not of the form topic=3"),
        (("--replication-factor", "t=-1"), "'t=-1' is not of the form topic=3"),
        (("--replication-factor", "t=0"), "a replication factor is from 1 to 32767, not 0"),
        (("--replication-factor", "t=32768"), "a replication factor is from 1 to 32767"),
        (
            ("--replication-factor", "t=2", "--replication-factor", "t=3"),
            "topic t cannot have both 2 and 3",
        ),
        (("--replication-factor", "t=2", "--pin", "t"), "topic t is pinned and is to get another"),
        (("--throttle", "fast"), "'fast' is not a quantity"),
        (("--throttle", "9223372036854775808"), "is more than 9223372036854775807 bytes"),
        (("--throttle", "9" * 5000), "... is too long for a number of bytes"),
        (("--max-bytes-per-broker", "9e99"), "is more than 9223372036854775807 bytes"),
        (("--out", ""), "--out needs the name of a folder"),
        (("--out", " "), "--out needs the name of a folder"),
        (("--throttle", "50MB"), "'50MB' is not a quantity"),
        (("--throttle", "-1"), "'-1' is negative"),
        (("--throttle", "50m"), "'50m' is no whole number of bytes: m are thousandths"),
        (("--max-moves-per-broker", "0"), "0 is not in the range x>=1"),
        (("--max-moves-per-broker", "many"), "'many' is not a valid integer"),
        (("--max-bytes-per-broker", "x"), "'x' is not a quantity"),
        (("--format", "xml"), "'xml' is not one of"),
    ],
)
def test_values_that_make_no_sense(inputs: Inputs, options: tuple[str, ...], message: str) -> None:
    result = inputs.plan(*options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_names_that_would_upset_a_terminal_are_escaped(inputs: Inputs) -> None:
    write(inputs.assignment, assignment(entry(topic="\x1b[2J\ud800", replicas=[99])))
    result = inputs.plan()
    assert result.exit_code == 2
    assert r"(\x1b[2J\ud800-0)" in result.stderr


def test_a_byte_order_mark_does_no_harm(inputs: Inputs) -> None:
    write(inputs.brokers, b"\xef\xbb\xbf" + inputs.brokers.read_bytes())
    assert inputs.plan().exit_code == 0


@pytest.mark.parametrize("option", ["--assignment", "--brokers"])
def test_either_file_can_come_through_standard_input(inputs: Inputs, option: str) -> None:
    files = {"--assignment": inputs.assignment, "--brokers": inputs.brokers}
    text = files.pop(option).read_text()
    ((other, path),) = files.items()
    assert run("plan", option, "-", other, path, text=text).exit_code == 0
    result = run("plan", option, "-", other, path, text=text[:-2])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: standard input:1: not JSON")


def test_an_out_folder_that_cannot_be(inputs: Inputs) -> None:
    for path, reason in (
        (inputs.assignment, "File exists"),
        (inputs.assignment / "x", "Not a directory"),
        ("/proc/nothing", "No such file or directory"),
        ("nul\0", "embedded null byte"),
    ):
        result = inputs.plan("--out", path)
        assert result.exit_code == 2
        assert reason in result.stderr
        assert not result.stdout


def test_standard_input_that_is_closed(inputs: Inputs) -> None:
    command = f"{sys.executable} -m broker_operator plan --assignment - --brokers b.json <&-"
    done = subprocess.run(
        ["bash", "-c", command], cwd=inputs.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "Error: standard input: cannot be read: it is closed\n"


def test_an_input_is_not_overwritten(inputs: Inputs) -> None:
    assert inputs.plan("--out", inputs.out).exit_code == 0
    before = {path: path.read_bytes() for path in inputs.folder.rglob("*.json")}
    for name in ("target.json", "batches/0001.json"):
        read = inputs.out / name
        result = run("plan", "--assignment", read, "--brokers", inputs.brokers, "--out", inputs.out)
        assert result.exit_code == 2
        assert f"{read} is read, and would be replaced" in result.stderr
    assert {path: path.read_bytes() for path in inputs.folder.rglob("*.json")} == before


@pytest.mark.parametrize("report", [None, "[]", "7", "{", {"name": "mine"}])
@pytest.mark.parametrize("name", ["plan.json", "undo.json", "target.json", "batches"])
def test_files_of_somebody_else_are_left_alone(inputs: Inputs, name: str, report: Any) -> None:
    inputs.out.mkdir()
    if name == "batches":
        (inputs.out / name).mkdir()
    else:
        write(inputs.out / name, "mine")
    if report is not None:
        write(inputs.out / "report.json", report)
    for options in ((), ("--remove", "9")):
        result = inputs.plan("--out", inputs.out, *options)
        assert result.exit_code == 2
        assert f"holds {name} beside no report.json of a plan; move it away" in result.stderr
    assert name == "batches" or (inputs.out / name).read_text() == "mine"


def test_a_report_of_somebody_else_is_left_alone(inputs: Inputs) -> None:
    inputs.out.mkdir()
    write(inputs.out / "report.json", {"tests": 7})
    result = inputs.plan("--out", inputs.out)
    assert result.exit_code == 2
    assert "holds report.json of somebody else" in result.stderr


def test_a_batches_folder_of_somebody_else_is_left_alone(inputs: Inputs) -> None:
    (inputs.out / "batches").mkdir(parents=True)
    mine = write(inputs.out / "batches" / "notes.txt", "keep")
    result = inputs.plan("--out", inputs.out)
    assert result.exit_code == 2
    assert "batches holds notes.txt, which no plan has written" in result.stderr
    assert mine.read_text() == "keep"
    assert [path.name for path in inputs.out.iterdir()] == ["batches"]


def test_batches_that_are_no_folder_are_left_alone(inputs: Inputs) -> None:
    inputs.out.mkdir()
    write(inputs.out / "batches", "mine")
    result = inputs.plan("--out", inputs.out)
    assert result.exit_code == 2
    assert "batches is no folder" in result.stderr


def test_a_link_is_not_followed(inputs: Inputs) -> None:
    other = inputs.folder / "other"
    other.mkdir()
    write(other / "0001.json", "mine")
    inputs.out.mkdir()
    (inputs.out / "batches").symlink_to(other)
    result = inputs.plan("--out", inputs.out)
    assert result.exit_code == 2
    assert "is a link" in result.stderr
    assert (other / "0001.json").read_text() == "mine"


def test_100_megabytes_cut_short(tmp_path: Path) -> None:
    """One clear message in a process that never holds two gigabytes."""
    one = '{"topic":"some-topic-name","partition":%d,"replicas":[1,2,3],"log_dirs":["any"]},\n'
    path = tmp_path / "huge.json"
    with path.open("w") as file:
        file.write('{"version":1,"partitions":[\n')
        number = 0
        while file.tell() < 100_000_000:
            file.writelines(one % n for n in range(number, number + 10_000))
            number += 10_000
    known = write(tmp_path / "b.json", brokers(1, 2, 3))
    found = measured("plan", "--assignment", path, "--brokers", known)
    assert found.code == 2
    assert "huge.json:" in found.stderr
    assert "(the file ends too early)" in found.stderr
    assert found.megabytes < 2000
    with path.open("a") as file:
        file.write('{"topic":"t","partition":0,"replicas":[1,2,9]}]}')
    found = measured("plan", "--assignment", path, "--brokers", known)
    assert found.code == 2
    assert f":{number + 2}: partitions[{number}] (t-0): replicas names broker 9" in found.stderr
    assert found.megabytes < 2000
