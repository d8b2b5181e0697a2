"""Verdicts: their file, and the numbers they give."""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
import pytest

from advss_zoo.errors import AdvssError
from advss_zoo.evaluation.statistics import wilson_interval
from advss_zoo.evaluation.verdicts import Verdicts


def verdicts(attacked=(0, 1, 5, 3), **evidence):
    arrays = [(4, 5, 6, 7), (0, 1, 2, 3), (0, 1, 9, 3), attacked]
    found = {name: np.array(values, np.int8) for name, values in evidence.items()}
    return Verdicts(*(None if array is None else np.array(array, np.int32) for array in arrays), found)


def cut(whole, part):
    arrays = (None if array is None else array[part] for array in whole._all)
    return Verdicts(*arrays, {name: array[part] for name, array in whole.evidence.items()})


def test_an_image_that_only_the_attack_gets_right_is_not_robust():
    scores = verdicts(attacked=(0, 7, 2, 3)).scores()
    assert (scores["ta"], scores["ra"]) == (0.75, 0.5)
    assert scores["ra_ci95"] == wilson_interval(2 / 4, 4)


def test_without_an_attack_there_is_no_robust_accuracy():
    scores = verdicts(attacked=None).scores()
    assert scores["ta"] == 0.75
    assert scores["ra"] is scores["ra_ci95"] is None


def test_the_file_is_what_the_documentation_says(tmp_path):
    verdicts().write(tmp_path / "verdicts.npz")
    with np.load(tmp_path / "verdicts.npz") as file:
        assert file.files == ["index", "label", "clean_prediction", "attacked_prediction"]
        assert file["index"].tolist() == [4, 5, 6, 7]
    verdicts(broken_by=(-1, -1, 3, 0)).write(tmp_path / "evidence.npz")
    with np.load(tmp_path / "evidence.npz") as file:
        assert file.files == ["index", "label", "clean_prediction", "attacked_prediction", "broken_by"]
        assert file["broken_by"].dtype == np.int8
    verdicts(attacked=None).write(tmp_path / "clean.npz")
    with np.load(tmp_path / "clean.npz") as file:
        assert file.files == ["index", "label", "clean_prediction"]


@pytest.mark.parametrize("evidence", [{}, {"broken_by": (-1, -1, 3, 0), "unconfirmed": (0, 1, 0, 0)}])
@pytest.mark.parametrize("attacked", [(0, 1, 5, 3), None])
def test_read_back_and_joined(attacked, evidence, tmp_path):
    whole = verdicts(attacked, **evidence)
    Verdicts.joined([cut(whole, slice(1)), cut(whole, slice(1, None))]).write(tmp_path / "verdicts.npz")
    assert Verdicts.read(tmp_path / "verdicts.npz").sha256 == whole.sha256


def test_equal_verdicts_are_equal_bytes_at_any_time(monkeypatch):
    import time

    before = verdicts().to_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert verdicts().to_bytes() == before
    assert verdicts((0, 1, 5, 2)).sha256 != verdicts().sha256


def _npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


ONE = np.zeros(1, np.int32)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        verdicts().to_bytes()[:-30],
        _npz(index=ONE),
        _npz(index=ONE, label=np.zeros(2), clean_prediction=ONE),
        _npz(index=ONE, label=np.array(["x"]), clean_prediction=ONE),
        _npz(index=np.array([{}], dtype=object), label=ONE, clean_prediction=ONE),
        _npz(index=ONE, label=ONE, clean_prediction=ONE, broken_by=np.zeros(2, np.int8)),
        _npz(index=ONE[0], label=ONE[0], clean_prediction=ONE[0]),
        _npz(index=ONE[:0], label=ONE[:0], clean_prediction=ONE[:0]),
        _npz(index=ONE, label=np.array([2**40]), clean_prediction=ONE),
        _npz(index=ONE, label=np.array([np.nan]), clean_prediction=ONE),
        _npz(index=ONE, label=ONE, clean_prediction=ONE, broken_by=np.array([200])),
        _npz(index=ONE, label=ONE, clean_prediction=ONE, **{"\x1b[2J": ONE}),
        _npz(index=ONE, label=ONE, clean_prediction=ONE, **{f"part_{n}": ONE for n in range(200)}),
        verdicts().to_bytes().replace(b"index.npy", b"file.npy0"),
    ],
)
def test_a_damaged_file_is_a_sentence(content, tmp_path):
    path = tmp_path / "verdicts.npz"
    path.write_bytes(content)
    with pytest.raises(AdvssError, match=r"verdicts\.npz (holds arrays of different lengths|does not hold verdicts)"):
        Verdicts.read(path)


def test_a_small_file_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    path = tmp_path / "verdicts.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("index.npy", "w") as file:
        for _ in range(2**9):
            file.write(bytes(2**19))
        file.write(b"1")
    assert path.stat().st_size < 2**20
    with pytest.raises(AdvssError, match="exceed the limits of verdicts"):
        Verdicts.read(path)


def test_agreement_with_a_longer_record():
    recorded = verdicts()
    part = Verdicts(*(array[:3].copy() for array in recorded._all))
    assert part.agreement(recorded) == 3
    part.attacked_prediction[1] = 8
    assert part.agreement(recorded) == 2


def test_what_becomes_of_an_image_that_is_misclassified_clean_is_no_verdict():
    assert verdicts(attacked=(0, 1, 2, 3)).agreement(verdicts(attacked=(0, 1, 9, 3))) == 4


def test_agreement_is_about_the_evidence_that_both_have():
    recorded = verdicts(broken_by=(-1, -1, 3, 0))
    assert verdicts(broken_by=(-1, -1, 2, 0)).agreement(recorded) == 3
    assert verdicts(unconfirmed=(1, 1, 1, 1)).agreement(recorded) == verdicts().agreement(recorded) == 4


def test_the_sha256_is_that_of_the_file_whoever_wrote_it(tmp_path):
    """Python 3.11.2 and 3.11.7 write other zip files with numpy.savez: a card's verdicts must hold under both."""
    path, mine = tmp_path / "verdicts.npz", verdicts(broken_by=(-1, -1, 2, 0))
    mine.write(path)
    assert Verdicts.read(path).sha256 == mine.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    names = ("index", "label", "clean_prediction", "attacked_prediction")
    np.savez_compressed(path, **dict(zip(names, mine._all, strict=True)), **mine.evidence)
    assert Verdicts.read(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != mine.sha256
    assert Verdicts.read(path).agreement(mine) == len(mine)
