"""Whatever a server answers, in words and in headers: the real client writes into the cache alone, what fails says so.

200 cases, the same in every run; `pytest -m nightly tests/fuzz` tries 10,000 others.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import huggingface_hub.file_download
import pytest
from fuzz import cases
from fuzz.watch import harmless
from huggingface_hub import constants
from huggingface_hub.utils import _detect_agent, _http
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advss_zoo.errors import AdvssError
from advss_zoo.files import cache_folder
from advss_zoo.zoo import snapshot, sources

SECONDS = 20
COMMIT = "c" * 40
CONFIG = b"{}"
SIBLING = {"rfilename": "config.json", "size": len(CONFIG), "blobId": snapshot.digest(CONFIG, "0" * 40)}
INFO = {"id": "acme/net", "sha": COMMIT, "siblings": [SIBLING], "private": False, "gated": False, "tags": []}

VICTIM = "{victim}"  # a file beside the cache: in this test no path of the machine's own
PATHS = ("..", "../../../../victim", VICTIM, f"W/{VICTIM}", f"//{VICTIM}", "a/b", "http://[", "http://a:b/", "\\\\x")
DIGESTS = ("0" * 40, "0" * 64, COMMIT, snapshot.digest(CONFIG))
ODD = tuple(text for text in cases.ODD_TEXTS if not text.startswith("/"))
HEADER = st.sampled_from((*PATHS, *DIGESTS, *ODD)) | st.text(max_size=20).filter(lambda text: "/" not in text)
QUOTED = st.builds(str.replace, st.sampled_from(("TAG", '"TAG"', 'W/"TAG"', "W/TAG")), st.just("TAG"), HEADER)
# Without these two nothing is downloaded at all.
NEEDED = {"X-Repo-Commit": st.just(COMMIT) | st.just(COMMIT) | HEADER, "ETag": QUOTED}
OTHERS = {
    "X-Linked-ETag": QUOTED,
    "X-Linked-Size": HEADER | st.integers(-1, 10).map(str),
    "Location": HEADER,
    "X-Error-Code": st.sampled_from(("EntryNotFound", "RevisionNotFound", "RepoNotFound", "GatedRepo")),
    "X-Xet-Hash": HEADER,
    "X-Xet-Refresh-Route": HEADER,
    "Content-Range": HEADER,
}


@dataclass(frozen=True)
class Case:
    info: bytes
    status: int
    headers: dict[str, str]

    def answer(self, request: httpx2.Request, victim: Path) -> httpx2.Response:
        if request.url.path.startswith("/api/"):
            return httpx2.Response(200, content=self.info)
        said = {name: value.replace(VICTIM, str(victim)) for name, value in self.headers.items()}
        headers = {name.encode(): value.encode("utf-8", "replace") for name, value in said.items()}
        return httpx2.Response(self.status, headers=headers, content=CONFIG)


RIGHT = json.dumps(INFO).encode()
CASES = st.builds(
    Case,
    st.just(RIGHT) | st.just(RIGHT) | cases.documents(INFO),
    st.sampled_from((200, 200, 200, 200, 302, 307, 401, 404, 503)),
    st.fixed_dictionaries(NEEDED, optional=OTHERS),
)


@pytest.fixture
def served(tmp_path, monkeypatch) -> Callable[[Case], None]:
    victim = tmp_path / "around" / "victim"
    victim.parent.mkdir()
    victim.write_text("dear")
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "around" / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    # It finds out with a folder that it deletes by handles, of which the watch knows no paths.
    monkeypatch.setattr(huggingface_hub.file_download, "are_symlinks_supported", lambda folder=None: True)
    monkeypatch.setattr(_http.logger, "disabled", True)
    # Which the client would ask for, and keep in a folder of its own.
    monkeypatch.setattr(_detect_agent, "_registry", _detect_agent._EMPTY_REGISTRY)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http._GLOBAL_CLIENT_FACTORY)  # and after the test again
    case = Case(RIGHT, 200, {})
    transport = httpx2.MockTransport(lambda request: case.answer(request, victim))
    huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=transport, follow_redirects=True))

    def fetch(given: Case) -> None:
        nonlocal case
        case = given
        shutil.rmtree(cache_folder(), ignore_errors=True)
        with harmless(SECONDS, cache_folder()), suppress(AdvssError):
            sources.fetch(f"hf://acme/net@{COMMIT}")
        assert victim.read_text() == "dear"

    yield fetch
    huggingface_hub.close_session()


def test_what_is_right_is_fetched(served):
    """The others would pass if nothing ever arrived."""
    served(Case(RIGHT, 200, {"X-Repo-Commit": COMMIT, "ETag": '"else"'}))
    assert [path.read_bytes() for path in cache_folder().rglob("config.json")] == [CONFIG]


def test_a_redirect_to_what_is_no_address(served):
    """Found by the nightly target."""
    headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{DIGESTS[0]}"', "Location": "0\x1f"}
    served(Case(RIGHT, 302, headers))


def fuzz(served: Callable[[Case], None], count: int, *, new: bool) -> None:
    limits = settings(
        max_examples=count, deadline=None, database=None, derandomize=not new, suppress_health_check=list(HealthCheck)
    )
    limits(given(CASES)(served))()


def test_a_few_answers(served):
    fuzz(served, 200, new=False)


@pytest.mark.nightly
def test_many_answers(served):
    fuzz(served, 10_000, new=True)
