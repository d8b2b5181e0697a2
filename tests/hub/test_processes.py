"""What only processes of their own show: a second user, one cache for two, and what a person reads when it fails."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub.conftest import contents
from hub.server import Handler

from advss_zoo import resources
from advss_zoo.workflows.publish import collecting, sending
from advss_zoo.zoo import index
from advss_zoo.zoo.snapshot import parse_repository

NAME = "p1f4.mini"
WEIGHTS = "model.safetensors"
BUNDLED = resources.PACKAGE / "bundled" / NAME


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_second_user_pulls_once_and_then_needs_no_network(hub, checkout, installed, start):
    sending.to_hub(collecting.collect(NAME), parse_repository(f"hf://acme/{NAME}"))
    package = installed()
    assert not (package / "advss_zoo" / "bundled").exists()
    hub.requests.clear()

    def pull(**variables: str) -> dict[str, str]:
        stdout, stderr = start("pull", "p1f4", "--json", package=package, token="hf_reader", **variables).communicate()
        assert stderr == ""
        return json.loads(stdout)

    first = pull()
    assert (first["name"], first["source"], first["sha256"]) == (NAME, "hub", index.find(NAME).sha256)
    assert hub.asked(f"^GET .*{WEIGHTS}")
    hub.requests.clear()
    assert pull() == pull(HF_HUB_OFFLINE="1") == first
    assert hub.requests == []


def test_two_at_once_and_one_of_them_killed(hub, in_zoo, installed, start):
    package, go_on = installed(), threading.Event()
    hub.cut(WEIGHTS, after=100_000, then=go_on)
    first = start("pull", "p1f4", package=package, HF_HUB_DOWNLOAD_TIMEOUT="600")
    wait_until(lambda: hub.asked(f"^GET .*{WEIGHTS}"))
    second = start("pull", "p1f4", package=package)
    wait_until(lambda: len(hub.asked("^GET /api/models/")) == 2)
    first.kill()
    stdout, stderr = second.communicate()
    go_on.set()
    assert (second.returncode, first.wait()) == (0, -9), stderr
    third = start("pull", "p1f4", package=package, HF_HUB_OFFLINE="1")
    assert third.communicate() == (stdout, "")
    assert contents(Path(stdout.strip())) == contents(BUNDLED)


def test_two_caches_at_once_and_one_of_them_killed(hub, in_zoo, installed, start, tmp_path):
    package, go_on = installed(), threading.Event()
    caches = [str(tmp_path / name) for name in ("first", "second")]
    hub.cut(WEIGHTS, after=100_000, then=go_on)
    first = start("pull", "p1f4", package=package, ADVSS_CACHE=caches[0], HF_HUB_DOWNLOAD_TIMEOUT="600")
    wait_until(lambda: hub.asked(f"^GET .*{WEIGHTS}"))
    second = start("pull", "p1f4", package=package, ADVSS_CACHE=caches[1])
    stdout, stderr = second.communicate()
    first.kill()
    go_on.set()
    assert (second.returncode, first.wait()) == (0, -9), stderr
    assert contents(Path(stdout.strip())) == contents(BUNDLED)
    offline = start("pull", "p1f4", package=package, ADVSS_CACHE=caches[0], HF_HUB_OFFLINE="1")
    assert offline.communicate()[0] == ""
    assert offline.returncode == 1
    stdout, stderr = start("pull", "p1f4", package=package, ADVSS_CACHE=caches[0]).communicate()
    assert stderr == ""
    assert contents(Path(stdout.strip())) == contents(BUNDLED)


def test_two_at_once_and_both_arrive(hub, in_zoo, installed, start):
    package = installed()
    hub.delay("^GET .*/resolve/", 0.2, times=4)
    both = [start("pull", "p1f4", package=package) for _ in range(2)]
    outputs = {process.communicate() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(outputs) == 1
    assert len(hub.asked(f"^GET .*{WEIGHTS}")) == 1  # the second waited for the first


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("hf://acme/nothing", 1, "Error: acme/nothing on http://127.0.0.1:"),
        ("hf://acme/tiny@v9", 1, "Revision v9 of acme/tiny on http://127.0.0.1:"),
        ("hf://acme/a/b", 2, "is not a Hub repository."),
    ],
)
def test_a_sentence_and_no_traceback_and_no_token(hub, on_hub, start, address, status, says):
    process = start("pull", address, token="hf_reader")
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (status, "")
    assert says in stderr.splitlines()[0]
    assert len(stderr.splitlines()) <= 2
    assert "hf_reader" not in stderr


def test_a_password_of_a_mirror_is_sent_and_never_shown(hub, on_hub, start):
    """The client writes each address that it asks again for to stderr."""
    hub.fail("^GET .*/resolve/", 429, times=2)
    mirror = hub.url.replace("http://", "http://me:secret%21@")
    stdout, stderr = start("pull", "hf://acme/tiny", HF_ENDPOINT=mirror).communicate()
    assert stdout.endswith(f"{on_hub.head}\n"), stderr
    assert f"HTTP Error 429 thrown while requesting GET {hub.url}" in stderr
    assert "secret" not in stderr
    assert {request.headers["authorization"] for request in hub.requests} == {"Basic bWU6c2VjcmV0IQ=="}  # me:secret!


def hang_up(handler: Handler) -> bool:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def test_a_hub_that_is_away_is_tried_once(hub, in_zoo, installed, start):
    """The client alone would try again for 23 seconds."""
    hub.fault("", hang_up, times=None)
    process = start("pull", "p1f4", package=installed())
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert stderr.startswith(f"Error: {hub.url} cannot be reached.\nCheck the network")
    assert len(hub.requests) == 1
