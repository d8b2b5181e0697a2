"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advss_zoo import files
from advss_zoo.errors import AdvssError
from advss_zoo.zoo.snapshot import belongs


def test_a_new_file_is_whole_and_as_readable_as_any(tmp_path):
    files.write_json(tmp_path / "deep" / "a.json", {"é": [1, 2]})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"é": [1, 2]}
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("deep/a.json", "plain")}
    assert len(modes) == 1


def test_bytes_of_a_path_that_are_no_text_cost_no_file(tmp_path):
    files.write_json(tmp_path / "a.json", {"command": os.fsdecode(b"advss --out bad\xff")})
    assert files.read_json(tmp_path / "a.json") == {"command": "advss --out bad?"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, 1)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AdvssError, match="No space left") as caught:
        files.write_json(path, 2)
    assert "Free some space" in caught.value.hint
    assert files.read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "a", interrupted)
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_kill_are_swept(tmp_path):
    foreign = {".film.mkv.part", ".state", "state.part", "sub/.state.abc.part"}
    (tmp_path / "sub").mkdir()
    for name in [".state.abc.part", ".log[1].x.part", *foreign]:
        (tmp_path / name).touch()
    files.remove_leftovers(tmp_path, "state", "log[1]")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == foreign


@pytest.mark.parametrize("named", [files.slug, files.file_name])
def test_names_that_are_too_long_are_cut_and_still_differ(named, tmp_path):
    longest = files.LONGEST_NAME
    assert named("a" * longest) == "a" * longest
    long = [named("a" * 300 + end) for end in ("b", "c")]
    assert {len(name) for name in long} == {longest}
    assert len({*long, named("a" * longest)}) == 3
    assert long[0] == named("a" * 300 + "b")
    files.write_json(tmp_path / f"{long[0]}.json", 1)  # by way of a file with a longer name


@given(st.text(st.characters(), max_size=20), st.integers(1, 20))
@example("", 1)
@example(".hidden", 1)
@example("\udcff", 1)
def test_a_slug_is_a_folder_that_may_be_published(label, times):
    name = files.slug(label * times)
    assert name == files.slug(label * times)
    for kind in (f"results/{name}/verdicts.npz", f".eval_results/{name}.yaml"):
        assert belongs(kind)


def test_what_a_slug_cannot_spell_still_tells_names_apart():
    labels = ["pgd20", "кошки-pgd20", "собаки-pgd20", "猫-pgd20", "???", "!!!", ""]
    assert len({files.slug(label) for label in labels}) == len(labels)
    assert files.slug("pgd20 (l2, eps 0.5)") == "pgd20-l2-eps-0.5"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_a_sentence(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(AdvssError, match="not valid JSON"):
        files.read_json(path)


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path))
    assert files.cache_folder() == tmp_path
    monkeypatch.delenv("ADVSS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "advss-zoo"
