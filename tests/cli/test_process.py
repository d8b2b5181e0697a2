"""What only a real process shows: how fast it answers, and how it ends when it is interrupted or nobody listens."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Advss = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]

ROOT = Path(__file__).parents[2]
SLOW = ("torch", "torchvision", "numpy", "pydantic", "rich", "scipy", "matplotlib", "huggingface_hub")


def _modules_after(*arguments: str) -> set[str]:
    code = f"""
import sys
from advss_zoo.cli import main
sys.argv[1:] = {arguments!r}
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("eval", "--help"), ("list",)], ids=" ".join)
def test_what_must_be_quick_imports_nothing_slow(arguments: tuple[str, ...]) -> None:
    assert _modules_after(*arguments).isdisjoint(SLOW)


@pytest.mark.parametrize(("arguments", "limit"), [(("--help",), 0.3), (("list",), 0.5)])
def test_what_must_be_quick_is(arguments: tuple[str, ...], limit: float, advss_process: Advss) -> None:
    def seconds() -> float:
        """Of processor time: what else the machine is busy with does not count."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert advss_process(*arguments).status == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < limit


def _wait_for(process: subprocess.Popen[str], text: str, times: int = 1) -> None:
    """Until `text` has come up on stderr so many times."""
    assert process.stderr is not None
    while times:
        line = process.stderr.readline()
        assert line, "the process ended first"
        times -= text in line


@pytest.mark.parametrize("imported", [1, 300])
def test_ctrl_c_while_torch_is_imported(imported: int, start: Start) -> None:
    process = start("eval", "some:thing", PYTHONPROFILEIMPORTTIME="1")  # a line on stderr for every import
    _wait_for(process, " torch.", times=imported)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    assert "\nInterrupted. Run the same command again to continue.\n" in stderr
    assert (process.returncode, stdout) == (130, "")


def test_ctrl_c_while_a_command_works(start: Start, tmp_path: Path) -> None:
    model = tmp_path / "slow_model.py"
    model.write_text("import time\ndef build():\n    print('building', flush=True)\n    time.sleep(60)\n")
    process = start("eval", "slow_model:build", PYTHONPATH=f"{ROOT}:{tmp_path}")
    _wait_for(process, "building")
    for _ in range(5):  # an impatient person
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    stdout, stderr = process.communicate(timeout=60)
    assert stderr == "\nInterrupted. Run the same command again to continue.\n"
    assert (process.returncode, stdout) == (130, "")


def test_a_reader_that_has_gone_is_no_failure_to_speak_of(tmp_path: Path) -> None:
    command = f"{sys.executable} -m advss_zoo list --json | head -c 1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_a_closed_pipe_is_silent(start: Start) -> None:
    process = start("--help")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


def test_a_terminal_without_utf8_gets_no_traceback(advss_process: Advss) -> None:
    outcome = advss_process("eval", "Bärenklau", PYTHONIOENCODING="ascii")
    assert outcome.status == 2
    assert "Traceback" not in outcome.stderr


def _in_shell(command: str, tmp_path: Path, **environment: str) -> Any:
    command = command.replace("advss", f"{sys.executable} -m advss_zoo")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )


@pytest.mark.parametrize(
    ("command", "status", "stdout", "stderr"),
    [
        ("advss list >&-", 0, r"", r""),
        ("advss list --json <&- >&- 2>&-", 0, r"", r""),
        ("advss list 2>&-", 0, r"name\t.*", r""),
        ("advss show nonsense 2>&-", 2, r"", r""),
        ("advss show nonsense 2>/dev/full", 2, r"", r""),
        ("advss show nonsense >&-", 2, r"", r"Error: Unknown checkpoint 'nonsense'.*"),
        ("advss list >/dev/full", 1, r"", r"Error: Cannot write to stdout: No space left on device\.\n"),
        ("advss list --json >/dev/full", 1, r"", r"Error: Cannot write to stdout: No space left on device\.\n"),
        (
            "mkdir gone; cd gone; rmdir ../gone; advss eval p1f4",
            1,
            r"",
            r"Error: The current folder no longer exists\..*",
        ),
        ("mkdir gone; cd gone; rmdir ../gone; advss list", 0, r"name\t.*", r""),
    ],
)
def test_streams_that_are_closed_or_full(command: str, status: int, stdout: str, stderr: str, tmp_path: Path) -> None:
    done = _in_shell(command, tmp_path)
    assert done.returncode == status
    assert re.fullmatch(stdout, done.stdout, re.DOTALL)
    assert re.fullmatch(stderr, done.stderr, re.DOTALL)


def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """What libraries print into stdout by its number must not land in a file of ours."""
    (tmp_path / "opens.py").write_text(
        "import os\nfrom advss_zoo.cli.streams import open_closed\nopen_closed()\n"
        "kept = open('kept', 'w')\nos.write(1, b'noise')\nos.write(2, b'noise')\nprint('noise', flush=True)\n"
    )
    _in_shell(f"{sys.executable} opens.py >&- 2>&-", tmp_path)
    assert (tmp_path / "kept").read_text() == ""


def test_work_goes_on_when_nobody_reads_stderr(start: Start, tmp_path: Path) -> None:
    model = tmp_path / "talkative.py"
    model.write_text(
        "import sys\nfrom advss_zoo.cli.output import out\ndef build():\n"
        "    [out.hint(f'{number}' * 100) for number in range(1000)]\n    open('alive', 'w')\n    sys.exit(7)\n"
    )
    process = start("eval", "talkative:build", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert process.stderr is not None
    process.stderr.close()
    process.wait(timeout=60)
    assert (tmp_path / "alive").exists()


@pytest.mark.parametrize(("name", "value"), [("HF_ENDPOINT", "http://["), ("HF_HUB_ETAG_TIMEOUT", "soon")])
def test_a_variable_that_the_client_of_the_hub_cannot_read(advss_process: Advss, name: str, value: str) -> None:
    outcome = advss_process("pull", "hf://acme/tiny", **{name: value})
    assert outcome.status == 1
    assert "Error: huggingface_hub cannot be imported: " in outcome.stderr
    assert "HF_*" in outcome.stderr
