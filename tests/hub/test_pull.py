"""Pulling: what comes from the Hub is what was published, is asked for once, or is refused and not kept."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub.constants
import huggingface_hub.file_download
import pytest
import torch
from hub.conftest import contents
from hub.server import Hub, Repository
from huggingface_hub.utils._http import default_client_factory
from safetensors.torch import load, save

from advss_zoo import load_model, load_trunk, network, resources
from advss_zoo.errors import AdvssError, CheckpointError, UsageError
from advss_zoo.files import read_json, sha256_of
from advss_zoo.workflows.publish import collecting, sending
from advss_zoo.zoo import checkpoint, index, snapshot, sources
from advss_zoo.zoo import hub as client
from advss_zoo.zoo.load import check
from advss_zoo.zoo.snapshot import parse_repository

ADDRESS = "hf://acme/tiny"
WEIGHTS = "model.safetensors"
KEY = "trunk.layer1.0.conv1.weight"


def kept() -> set[bytes]:
    """Whatever lies in the cache now, or around it, by content."""
    around = client.folder().parents[1]
    return {path.read_bytes() for path in around.rglob("*") if path.is_file() and ".locks" not in path.parts}


# --- what was published arrives, once ---------------------------------------------------------------------------------


def test_a_second_user_gets_the_same_logits_and_then_asks_no_more(hub, checkout, monkeypatch):
    x = torch.rand(8, 3, 32, 32)
    published = load_model("p1f4.mini")(x)
    sending.to_hub(collecting.collect("p1f4.mini"), parse_repository("hf://acme/p1f4.mini"))
    monkeypatch.setattr(sources, "SOURCES", {})
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    first = sources.fetch("p1f4.mini")
    assert (first.source, first.sha256) == ("hub", index.find("p1f4.mini").sha256)
    assert torch.equal(load_model("p1f4")(x), published)
    hub.requests.clear()
    assert sources.fetch("p1f4.mini") == first
    assert torch.equal(load_model("p1f4")(x), published)
    assert hub.requests == []


def test_all_of_a_zoo_checkpoint_comes_from_the_commit_of_the_index(hub, in_zoo):
    commit = in_zoo.head
    in_zoo.commit({"config.json": b"{}"})
    folder = sources.fetch("p1f4").path
    assert contents(folder) == in_zoo.commits[commit] == contents(resources.PACKAGE / "bundled" / "p1f4.mini")
    assert all(commit in request.path for request in hub.requests)


def test_what_is_on_this_machine_is_not_asked_for(hub, in_zoo, monkeypatch):
    monkeypatch.setattr(sources, "SOURCES", {"here": lambda entry: resources.PACKAGE / "bundled" / entry.full_name})
    assert sources.fetch("p1f4").source == "here"
    assert hub.requests == []


def test_any_repository_of_our_layout_by_branch_tag_and_commit(hub, on_hub, tiny):
    first = on_hub.tags["v1"] = on_hub.head
    on_hub.commit(contents(tiny) | {"README.md": b"---\n{}\n---\nnews\n"})
    x = torch.rand(2, 3, 32, 32)
    model, _ = checkpoint.load(tiny)
    for revision, commit in [("", on_hub.head), ("@main", on_hub.head), ("@v1", first), (f"@{first}", first)]:
        loaded = load_model(ADDRESS + revision)
        assert loaded.name == f"{ADDRESS}@{commit}"
        assert torch.equal(loaded(x), model(x))
    assert torch.equal(load_trunk(ADDRESS)(x), model.features(x))
    together = load_model(f"{ADDRESS}@v1+{ADDRESS}")(x)
    assert torch.allclose(together, model(x).log_softmax(1), atol=1e-6)


def test_a_commit_is_asked_for_once_and_a_branch_each_time(hub, on_hub):
    for address in (ADDRESS, f"{ADDRESS}@{on_hub.head}"):
        sources.fetch(address)
    hub.requests.clear()
    assert sources.fetch(f"{ADDRESS}@{on_hub.head}").sha256
    assert hub.requests == []
    sources.fetch(ADDRESS)
    assert [request.path for request in hub.requests] == ["/api/models/acme/tiny"]


@pytest.mark.parametrize("away", ["gone", "offline", "500"])
def test_what_was_pulled_stays_when_the_hub_is_away(hub, on_hub, in_zoo, away, monkeypatch):
    before = sources.fetch(ADDRESS), sources.fetch("p1f4")
    if away == "gone":
        hub.close()
    elif away == "offline":
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:
        hub.fail("", 500, times=None)
    assert (sources.fetch(ADDRESS), sources.fetch("p1f4")) == before


def test_only_files_of_our_layout_are_asked_for(hub, on_hub, tiny):
    hostile = [
        "model.bin",
        "../../escape",
        "results/../../x/result.json",
        "results/.hidden/result.json",
        "a.py",
    ]
    on_hub.commit(contents(tiny) | dict.fromkeys(hostile, b"evil") | {".eval_results/x.yaml": b"[]"})
    folder = sources.fetch(ADDRESS).path
    assert sorted(contents(folder)) == ["config.json", WEIGHTS]
    assert not hub.asked("evil|bin|escape|hidden|result|py$")


# --- what cannot be had ---------------------------------------------------------------------------------------------


def private(hub: Hub) -> None:
    hub.repositories["acme/tiny"].private = True


def gated(hub: Hub) -> None:
    hub.repositories["acme/tiny"].gated = True


REFUSALS: list[tuple[str, Callable[[Hub], object], str, str, str]] = [
    (
        "missing",
        lambda hub: None,
        "hf://acme/other",
        "acme/other on http://127.0.0.1.* does not exist or is private",
        "Check the name",
    ),
    ("private", private, ADDRESS, "does not exist or is private", "log in with `hf auth login`, or set HF_TOKEN"),
    ("gated", gated, ADDRESS, "is gated: its owners decide who may download it", "Ask for access on http://127.0.0.1"),
    ("no such tag", lambda hub: None, f"{ADDRESS}@v9", "Revision v9 of acme/tiny on .* does not exist", ""),
    ("no such commit", lambda hub: None, f"{ADDRESS}@{'ab' * 20}", "Revision abab.* does not exist", ""),
    ("500", lambda hub: hub.fail("/api/", 500, None), ADDRESS, r"returned a server error \(500\)", "Try again later"),
    ("503", lambda hub: hub.fail("/api/", 503, None), ADDRESS, r"returned a server error \(503\)", "Try again later"),
    ("429", lambda hub: hub.fail("/api/", 429, None), ADDRESS, "too many requests", "Try again later"),
    ("403", lambda hub: hub.fail("/api/", 403, None), ADDRESS, "denied access", "log in"),
    ("418", lambda hub: hub.fail("/api/", 418, None), ADDRESS, r"refused the request for acme/tiny \(status 418\)", ""),
    ("gone", Hub.close, ADDRESS, "http://127.0.0.1:\\d+ cannot be reached", "Check the network"),
    (
        "no Hub",
        lambda hub: hub.fault("", lambda h: h.json(["a"]) or True, None),
        ADDRESS,
        "not answer like the Hub",
        "",
    ),
    (
        "no JSON",
        lambda hub: hub.fault("", lambda h: h.send(b"<") or True, None),
        ADDRESS,
        "not answer like the Hub",
        "",
    ),
]


@pytest.mark.parametrize(
    ("act", "address", "says", "hint"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS]
)
def test_a_sentence_for_each_refusal(hub, on_hub, act, address, says, hint, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    act(hub)
    with pytest.raises(CheckpointError, match=says) as refused:
        sources.fetch(address)
    assert hint in (refused.value.hint or "")
    assert "hf_reader" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_token_that_has_expired(hub, on_hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(CheckpointError, match="rejected the request: the token is missing or invalid") as refused:
        sources.fetch(ADDRESS)
    assert "hf_expired" not in str(refused.value)


def test_who_may_see_it_gets_it(hub, on_hub, monkeypatch):
    gated(hub)
    private(hub)
    assert sources.fetch(ADDRESS).sha256


def test_offline_says_so(hub, on_hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="is not in the cache, and HF_HUB_OFFLINE is set"):
        sources.fetch(ADDRESS)
    assert hub.requests == []


def test_the_commit_of_the_index_is_gone(hub, in_zoo):
    in_zoo.commits.clear()
    with pytest.raises(CheckpointError, match=r"Revision [0-9a-f]{40} of acme/p1f4\.mini on .* does not exist"):
        sources.fetch("p1f4")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk(hub, on_hub, code, monkeypatch):
    def write(*_: object, **__: object) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(client, "http_get", write)
    with pytest.raises(AdvssError, match=r"Cannot write .*cache/hub: (No space|Read-only)") as refused:
        sources.fetch(ADDRESS)
    assert refused.value.hint
    monkeypatch.undo()


def test_a_repository_that_is_no_checkpoint(hub, on_hub, tiny):
    on_hub.commit({"README.md": b"---\n{}\n---\n"})
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: config\.json is missing"):
        sources.fetch(ADDRESS)
    on_hub.commit({"config.json": (tiny / "config.json").read_bytes()})
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: model\.safetensors is missing"):
        sources.fetch(ADDRESS)


def test_what_no_checkpoint_needs_is_not_downloaded(hub, on_hub, monkeypatch):
    monkeypatch.setattr(client, "LARGEST", 1000)
    with pytest.raises(CheckpointError, match="exceeds the limit of"):
        sources.fetch(ADDRESS)
    monkeypatch.setattr(client, "LARGEST", 2**30)
    monkeypatch.setattr(client, "LARGEST_DOCUMENT", 100)
    with pytest.raises(CheckpointError, match=r"config\.json of hf://acme/tiny has .* bytes; the limit is 100"):
        sources.fetch(ADDRESS)
    assert not hub.asked("/resolve/")


def test_more_files_than_a_checkpoint_has_are_not_downloaded(hub, on_hub, monkeypatch):
    monkeypatch.setattr(snapshot, "MOST_FILES", 1)
    with pytest.raises(CheckpointError, match="files; the limit is"):
        sources.fetch(ADDRESS)
    assert not hub.asked("/resolve/")


@pytest.mark.parametrize(
    "address",
    [
        *("hf://", "hf://a/b/c", "hf://../x", "hf://a/..", "hf://a/b@..", "hf://a/b@../x", "hf://a/b@x/../y"),
        *("hf://a/b c", "hf://a/b@", "hf:///b", "hf://a/b\n", "hf://a/" + "b" * 300, "hf://a\\b/c"),
        "hf://datasets/a/b",
    ],
)
def test_addresses_that_are_none(hub, address):
    with pytest.raises(UsageError):
        sources.fetch(address)
    assert hub.requests == []


def test_an_owner_alone_is_no_repository():
    with pytest.raises(UsageError, match="names an owner, not a repository"):
        sources.fetch("hf://acme")


# --- the way there ----------------------------------------------------------------------------------------------------


def test_a_broken_connection_goes_on_where_it_broke(hub, in_zoo, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 2**16)  # whole chunks are kept: of 10 MB
    hub.cut(WEIGHTS, after=500_000)
    assert sources.fetch("p1f4").sha256 == index.find("p1f4").sha256
    ranges = [request.headers.get("range") for request in hub.asked(f"^GET .*{WEIGHTS}")]
    assert ranges[0] is None
    assert ranges[1].startswith("bytes=")
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 500_000


def test_a_slow_hub_is_waited_for(hub, on_hub):
    hub.delay("^GET .*/resolve/", 0.3)
    assert sources.fetch(ADDRESS).sha256


def test_a_hub_that_does_not_answer_is_given_up(hub, on_hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    hub.delay("/api/", 1)
    with pytest.raises(CheckpointError, match="cannot be reached"):
        sources.fetch(ADDRESS)


def test_a_file_that_fails_once_is_asked_for_again(hub, on_hub):
    hub.fail("^GET .*/resolve/", 429)
    assert sources.fetch(ADDRESS).sha256


def test_what_lies_elsewhere_is_fetched_from_there_without_the_token(hub, on_hub, tiny):
    with Hub() as storage:
        content = (tiny / WEIGHTS).read_bytes()
        storage.objects[hashlib.sha256(content).hexdigest()] = content
        hub.storage = storage.url
        assert sources.fetch(ADDRESS).sha256 == sha256_of(tiny / WEIGHTS)
        assert [request.token for request in storage.requests] == [None]
        assert {request.token for request in hub.requests} == {"hf_owner"}


def test_a_mirror(hub, on_hub, monkeypatch):
    """HF_ENDPOINT counts as it is when something is asked, also in a process that had another before."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://huggingface.invalid")
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    assert sources.fetch(ADDRESS).sha256


def test_a_password_in_the_address_of_a_mirror_is_not_shown(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://me:secret@127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"^http://127\.0\.0\.1:9 cannot be reached") as refused:
        sources.fetch(ADDRESS)
    assert "secret" not in str(refused.value)


# --- what the environment says -----------------------------------------------------------------------------------


@pytest.fixture
def new_client(monkeypatch):
    """A client that reads the environment as the test has set it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", *network.CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


ODD_VARIABLES = [
    ("ALL_PROXY", "socks://me:secret@127.0.0.1:9", r"^ALL_PROXY names a proxy of the scheme socks://, which is not"),
    ("http_proxy", "quic://127.0.0.1:9", r"^http_proxy names a proxy of the scheme quic://"),
    ("HTTPS_PROXY", "127.0.0.1:9:9", r"^HTTPS_PROXY is not a valid address"),
    ("all_proxy", "http://host:secret", r"^all_proxy is not a valid address"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem", r"^Certificates cannot be read from SSL_CERT_FILE=/nowhere/ca.pem: No such"),
    ("SSL_CERT_FILE", "/", r"^Certificates cannot be read from SSL_CERT_FILE=/: Is a dir"),
    ("SSL_CERT_FILE", __file__, r"^Certificates cannot be read from SSL_CERT_FILE=/.*: \[X509: NO_CERT"),
    ("HF_TOKEN", "hf_sécret", r"^The token for http://127.* has characters beyond ASCII"),
    ("HF_TOKEN", "secret…", r"^The token for http://127.* has characters beyond ASCII"),
]


@pytest.mark.parametrize(("name", "value", "says"), ODD_VARIABLES)
def test_a_variable_that_cannot_be_followed_is_named_and_what_is_cached_needs_none(
    hub, on_hub, new_client, monkeypatch, name, value, says
):
    kept = sources.fetch(ADDRESS).path
    on_hub.commit(on_hub.commits[on_hub.head] | {"recipe.yaml": b"{}"})
    huggingface_hub.close_session()
    monkeypatch.setenv(name, value)
    assert sources.fetch(ADDRESS).path == kept
    with pytest.raises(client.UnreachableError, match=says) as refused:
        sources.fetch(f"{ADDRESS}@{on_hub.head}")
    assert refused.value.hint
    assert not re.search("s.cret", str(refused.value))


@pytest.mark.parametrize("value", ["socks5h://127.0.0.1:9", "socks5://me:secret@127.0.0.1:9"])
def test_a_socks_proxy_needs_a_package(hub, new_client, monkeypatch, value):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(client.UnreachableError, match=r"^ALL_PROXY names a SOCKS proxy, .* the package socksio"):
        sources.fetch(ADDRESS)


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [("127.0.0.1:80", "127.0.0.1:80"), ("huggingface.co", "huggingface.co"), ("ftp://me:secret@host", "host")],
)
def test_an_endpoint_that_is_not_an_address_of_the_web(monkeypatch, endpoint, shown):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(UsageError, match=rf"^HF_ENDPOINT must begin with https:// .*, got '{shown}'") as refused:
        sources.fetch(ADDRESS)
    assert "secret" not in str(refused.value)


def test_an_empty_endpoint_is_the_usual_one(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "")  # as it is where the variable is empty
    monkeypatch.setenv("HF_ENDPOINT", "")
    assert client.api().endpoint == "https://huggingface.co"


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({}, "Set SSL_CERT_FILE to a file"),
        (
            {"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"},
            "REQUESTS_CA_BUNDLE=/nowhere/ca.pem is not read; set SSL_CERT_FILE",
        ),
        ({"SSL_CERT_FILE": "mine.pem"}, "SSL_CERT_FILE=mine.pem; add"),
        ({"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR=/nowhere, which is not a folder"),
    ],
)
def test_a_certificate_that_is_not_trusted(new_client, monkeypatch, variables, hint):
    huggingface_hub.get_session()  # for which the variables would have to be right
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    error = ssl.SSLCertVerificationError()
    error.verify_message = "self-signed certificate"
    says = r"^The certificate of http://127.* is not trusted: self-signed"
    with pytest.raises(client.UnreachableError, match=says) as refused, client.explained(snapshot.parse(ADDRESS)):
        raise httpx2.ConnectError("[SSL]") from error
    assert hint in (refused.value.hint or "")


# --- answers without end -----------------------------------------------------------------------------------------


def endless(status: int, **headers: str) -> Callable[[Any], bool]:
    """An answer of blanks until nobody reads them any more."""

    def act(handler: Any) -> bool:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.close_connection = True
        while True:
            handler.wfile.write(b" " * 2**16)

    return act


@pytest.mark.parametrize("asked", ["^GET /api/", "^GET .*/resolve/.*config.json"])
@pytest.mark.parametrize(
    ("status", "headers"), [(200, {}), (404, {}), (302, {"Location": "/x"}), (200, {"Content_Encoding": "deflate"})]
)
def test_an_answer_without_end_is_not_read_to_its_end(hub, on_hub, monkeypatch, asked, status, headers):
    monkeypatch.setattr(client, "LARGEST_ANSWER", 2**20)
    monkeypatch.setattr(client, "LARGEST_DOCUMENT", 2**20)
    hub.fault(asked, endless(status, **headers), times=None)
    with pytest.raises(CheckpointError, match=r" sent (more than 1,048,576 bytes|compressed content) for "):
        sources.fetch(ADDRESS)
    assert not list(client.folder().rglob("*.part"))


def test_weights_without_end_fill_no_disk(hub, on_hub, monkeypatch):
    monkeypatch.setattr(client, "LARGEST", 2**20)
    hub.fault(f"^GET .*/resolve/.*{WEIGHTS}", endless(200), times=None)
    with pytest.raises(CheckpointError, match=rf" sent more than 1,048,576 bytes for {WEIGHTS} of hf://acme/tiny@"):
        sources.fetch(ADDRESS)


# --- what is not what it should be --------------------------------------------------------------------------------


def flipped(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


@pytest.mark.parametrize("name", [WEIGHTS, "results/cifar10-pgd20/result.json", "config.json"])
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
        lambda content: content[: len(content) // 2],
        lambda content: content[::-1],
        lambda content: b"",
    ],
    ids=["a flipped bit", "half of it", "other bytes", "nothing"],
)
def test_wrong_bytes_of_a_zoo_checkpoint_are_refused_and_not_kept(hub, in_zoo, name, change):
    wrong = hub.served["acme/p1f4.mini", name] = change(in_zoo.commits[in_zoo.head][name])
    with pytest.raises(CheckpointError, match=f"^Download of {name} of hf://acme/p1f4.mini@{in_zoo.head} is damaged"):
        sources.fetch("p1f4")
    assert wrong not in kept()
    hub.served.clear()
    assert sources.fetch("p1f4").sha256 == index.find("p1f4").sha256


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_wrong_bytes_of_any_repository_are_refused_and_not_kept(hub, on_hub, name):
    wrong = hub.served["acme/tiny", name] = on_hub.commits[on_hub.head][name].replace(b"a", b"b")
    with pytest.raises(CheckpointError, match=f"^Download of {name} of hf://acme/tiny@{on_hub.head} is damaged"):
        sources.fetch(ADDRESS)
    assert wrong not in kept()
    hub.served.clear()
    assert sources.fetch(ADDRESS).sha256


def test_a_file_that_ends_early_each_time(hub, on_hub, monkeypatch):
    """The length that the Hub announces is that of the file, what comes is less and ends without an error."""
    content = on_hub.commits[on_hub.head][WEIGHTS]

    def act(handler):
        handler.send(content[:100], ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=on_hub.head)
        return True

    hub.fault(f"^GET .*{WEIGHTS}", act, times=None)
    with pytest.raises(CheckpointError, match=f"^Download of {WEIGHTS} of hf://acme/tiny@.* is damaged"):
        sources.fetch(ADDRESS)
    assert content[:100] not in kept()


def test_a_swapped_file_of_the_zoo_is_refused_before_it_is_downloaded(hub, in_zoo, tiny):
    """As if somebody could write to the repository and have the commit keep its name."""
    in_zoo.commits[in_zoo.head][WEIGHTS] = (tiny / WEIGHTS).read_bytes()
    with pytest.raises(CheckpointError, match=f"^{WEIGHTS} of hf://acme/p1f4.mini@.* has changed"):
        sources.fetch("p1f4")
    assert not hub.asked("/resolve/")
    del in_zoo.commits[in_zoo.head][WEIGHTS]
    with pytest.raises(CheckpointError, match=f"{WEIGHTS} has been removed"):
        sources.fetch("p1f4")


def test_a_swapped_configuration_of_the_zoo_is_refused(hub, in_zoo):
    """Classes in another order fit the same weights; only the digest in the index tells."""
    files = in_zoo.commits[in_zoo.head]
    config = json.loads(files["config.json"])
    files["config.json"] = json.dumps(config | {"classes": config["classes"][::-1]}).encode()
    with pytest.raises(CheckpointError, match=r"^Download of config\.json of hf://acme/p1f4\.mini@.* is damaged"):
        sources.fetch("p1f4")
    assert files["config.json"] not in kept()


def renamed(tensors: dict[str, torch.Tensor]) -> None:
    tensors[KEY + "s"] = tensors.pop(KEY)


def shrunk(tensors: dict[str, torch.Tensor]) -> None:
    tensors[KEY] = tensors[KEY][:2].clone()


@pytest.mark.parametrize(
    ("change", "says"),
    [(renamed, rf"missing: {KEY}; unexpected: {KEY}s"), (shrunk, rf"misshapen: {KEY} \(2, 4, 3, 3\) instead of")],
)
def test_weights_that_do_not_fit_are_refused_by_name_each_time(hub, on_hub, change, says):
    """The whole repository agrees with itself, and still it is no checkpoint."""
    files = dict(on_hub.commits[on_hub.head])
    tensors = load(files[WEIGHTS])
    change(tensors)
    files[WEIGHTS] = save(tensors)
    config = json.loads(files["config.json"]) | {"sha256": hashlib.sha256(files[WEIGHTS]).hexdigest()}
    on_hub.commit(files | {"config.json": json.dumps(config).encode()})
    for _ in range(2):
        with pytest.raises(CheckpointError, match=says):
            load_model(ADDRESS)
    with pytest.raises(CheckpointError, match=says):
        check(sources.fetch(ADDRESS).path)


def test_what_one_mirror_said_is_not_believed_of_another(hub, on_hub, tiny, monkeypatch):
    address, evil = f"{ADDRESS}@{on_hub.head}", flipped((tiny / WEIGHTS).read_bytes())
    with Hub() as mirror:
        files = contents(tiny) | {WEIGHTS: evil}
        mirror.repositories["acme/tiny"] = Repository(commits={on_hub.head: files}, refs={"main": on_hub.head})
        monkeypatch.setenv("HF_ENDPOINT", mirror.url)
        assert (sources.fetch(address).path / WEIGHTS).read_bytes() == evil
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert contents(sources.fetch(address).path) == contents(tiny)
    assert evil not in kept()


def test_weights_of_another_configuration_are_refused(hub, on_hub):
    files = dict(on_hub.commits[on_hub.head])
    on_hub.commit(files | {"config.json": files["config.json"].replace(b'"sha256": "', b'"sha256": "0')})
    with pytest.raises(CheckpointError, match=r"has been changed or damaged: its sha256 is"):
        load_model(ADDRESS)


def test_what_the_hub_said_of_a_commit_before_is_not_in_the_folder_later(hub, in_zoo):
    """Asked for by its address, a commit may be anything; the index knows which files it has."""
    files = in_zoo.commits[in_zoo.head]
    files["members/a.mini/config.json"] = b"{}"
    folder = sources.fetch("hf://acme/p1f4.mini").path
    assert (folder / "members" / "a.mini" / "config.json").exists()
    assert sources.fetch("p1f4").path == folder
    assert not (folder / "members" / "a.mini" / "config.json").exists()


def test_a_revision_may_be_longer_than_the_name_of_a_file(hub, on_hub):
    long = on_hub.refs["/".join(["x"] * 85)] = on_hub.head
    address = f"{ADDRESS}@{'/'.join(['x'] * 85)}"
    assert sources.fetch(address).full_name == f"{ADDRESS}@{long}"
    hub.close()
    assert sources.fetch(address).full_name == f"{ADDRESS}@{long}"


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_what_has_been_damaged_in_the_cache_is_fetched_again(hub, on_hub, name):
    address = f"{ADDRESS}@{on_hub.head}"
    path = sources.fetch(address).path / name
    path.resolve().write_bytes(flipped(path.read_bytes()) if name == WEIGHTS else b"{}")
    hub.requests.clear()
    assert sources.fetch(address).sha256
    assert path.read_bytes() == on_hub.commits[on_hub.head][name]
    assert len(hub.asked("^GET .*/resolve/")) == 1


def test_what_another_commit_left_damaged_is_fetched_again(hub, on_hub, tiny):
    """Commits share files in the cache: a bad one may be there under the right name before anything is downloaded."""
    path = sources.fetch(ADDRESS).path / WEIGHTS
    path.resolve().write_bytes(flipped(path.read_bytes()))
    on_hub.commit(contents(tiny) | {"recipe.yaml": b"{}"})
    assert sources.fetch(ADDRESS).sha256 == sha256_of(tiny / WEIGHTS)


def test_a_hub_that_answers_with_another_commit_is_refused(hub, on_hub):
    wanted = "ab" * 20
    on_hub.tags[wanted] = on_hub.head
    with pytest.raises(CheckpointError, match=f"returned commit {on_hub.head} instead of"):
        sources.fetch(f"{ADDRESS}@{wanted}")


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("header", ["ETag", "X_Linked_ETag", "X_Repo_Commit", "Content_Disposition"])
@pytest.mark.parametrize("value", ['"{victim}"', 'W/"{victim}"', '"../../../../victim"', "../../../../victim"])
def test_what_a_server_says_in_headers_is_no_path(hub, on_hub, tiny, tmp_path, value, header, exists):
    victim = tmp_path / "victim"
    if exists:
        victim.write_bytes(b"dear")
    hub.headers = {header: value.format(victim=victim)}
    for address in (ADDRESS, f"{ADDRESS}@{on_hub.head}"):
        assert contents(sources.fetch(address).path) == contents(tiny)
    assert (victim.read_bytes() if exists else b"dear") == b"dear"
    assert victim.exists() == exists


def test_a_file_that_is_gone_is_a_sentence(hub, on_hub):
    hub.fault("^GET .*/resolve/", lambda handler: handler.error(404, "EntryNotFound"), times=None)
    with pytest.raises(CheckpointError, match=r" of hf://acme/tiny.* does not exist on"):
        sources.fetch(ADDRESS)


def test_an_application_keeps_its_client(hub, on_hub):
    """And it is used."""
    made, theirs = [], huggingface_hub.get_session()

    def own() -> httpx2.Client:
        made.append(httpx2.Client(follow_redirects=True))
        return made[-1]

    assert sources.fetch(ADDRESS)
    assert huggingface_hub.get_session() is theirs
    huggingface_hub.set_client_factory(own)
    try:
        on_hub.commit(on_hub.commits[on_hub.head] | {"recipe.yaml": b"{}"})
        assert sources.fetch(ADDRESS)
        assert huggingface_hub.get_session() is made[-1]
        assert made[-1].event_hooks["response"] == []
    finally:
        huggingface_hub.set_client_factory(default_client_factory)


def test_what_a_link_in_the_cache_leads_to_elsewhere_is_left_alone(hub, on_hub, tiny, tmp_path):
    path, victim = sources.fetch(ADDRESS).path / WEIGHTS, tmp_path / "victim"
    victim.write_bytes(b"dear")
    path.unlink()
    path.symlink_to(victim)
    assert contents(sources.fetch(ADDRESS).path) == contents(tiny)
    assert victim.read_bytes() == b"dear"


def test_what_another_process_has_put_right_is_left_alone(hub, on_hub, monkeypatch):
    address = f"{ADDRESS}@{on_hub.head}"
    path = sources.fetch(address).path / WEIGHTS
    right = path.read_bytes()
    path.resolve().write_bytes(flipped(right))

    def then_another_process(content: Path, like: str) -> str:
        found = snapshot.digest(content, like)
        if content == path:
            path.resolve().write_bytes(right)
        return found

    monkeypatch.setattr(client, "digest", then_another_process)
    hub.requests.clear()
    assert sources.fetch(address).path == path.parent
    assert hub.requests == []
    assert path.read_bytes() == right


def test_a_damaged_note_is_asked_for_anew(hub, on_hub):
    address = f"{ADDRESS}@{on_hub.head}"
    sources.fetch(address)
    for note in client.records().rglob("*.json"):
        assert read_json(note)["commit"] == on_hub.head
        note.write_text('{"files": {"../x": ""}}')
    assert sources.fetch(address).sha256


def test_a_name_with_a_plus_is_pulled_part_by_part(hub):
    with pytest.raises(UsageError, match="Give its members one by one"):
        sources.fetch(f"{ADDRESS}+p1f4")


def test_where_the_cache_is(tmp_path: Path):
    assert client.folder().is_relative_to(tmp_path)
