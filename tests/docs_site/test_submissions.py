"""What a submission to the leaderboard must be."""

from __future__ import annotations

import shutil
from pathlib import Path

import leaderboard
import pytest
import submissions
from hub import conftest as hub_of_the_tests
from hub.server import Hub, Repository

from advss_zoo import resources
from advss_zoo.errors import AdvssError

client, hub = hub_of_the_tests.client, hub_of_the_tests.hub  # fixtures: no other Hub is known here
OURS = resources.PACKAGE / "bundled" / "p1f4.mini"


@pytest.fixture
def submission(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """p1f4.mini as a stranger would submit it."""
    repository = hub.repositories["ME/mine"] = Repository()
    commit = repository.commit(hub_of_the_tests.contents(OURS))
    monkeypatch.setattr(submissions, "FOLDER", tmp_path / "submissions")
    folder = tmp_path / "submissions" / "mine"
    for name in ("cifar10-clean", "cifar10-pgd20", "cifar10-1k-autoattack"):
        shutil.copytree(OURS / "results" / name, folder / "results" / name)
    (folder / "model.txt").write_text(f"hf://ME/mine@{commit}\n")
    return folder


def test_a_complete_one_is_accepted_and_listed(submission: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = submissions.check(submission)
    assert model == (submission / "model.txt").read_text().strip()
    monkeypatch.setattr(resources, "CHECKOUT", submission.parents[1])
    monkeypatch.setattr(leaderboard.index, "entries", tuple)
    page = leaderboard.page("report.html")
    assert "## Submitted by others" in page
    assert f"`{model}`" in page
    assert "submissions/mine/results/cifar10-pgd20/verdicts.npz" in page


def test_the_page_on_submitting_names_what_is_needed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "submit.md").read_text()
    assert all(f"-{name}/" in page for name in submissions.NEEDED)
    assert submissions.MODEL in page


@pytest.mark.parametrize("text", ["hf://ME/mine", "hf://ME/mine@main", "mymodel:build", "", "p1f4.mini", "../x"])
def test_a_model_that_is_not_a_commit_on_the_hub(text: str, submission: Path) -> None:
    (submission / "model.txt").write_text(text)
    with pytest.raises(AdvssError, match="must have the form hf://ORG/NAME@COMMIT"):
        submissions.check(submission)


def test_one_without_a_model(submission: Path) -> None:
    (submission / "model.txt").unlink()
    with pytest.raises(AdvssError, match=r"mine has no model\.txt"):
        submissions.check(submission)


def test_a_result_that_is_missing(submission: Path) -> None:
    shutil.rmtree(submission / "results" / "cifar10-1k-autoattack")
    with pytest.raises(AdvssError, match="missing for autoattack"):
        submissions.check(submission)


def test_results_of_other_weights(submission: Path) -> None:
    other = resources.PACKAGE / "bundled" / "selfie-p3f4.mini" / "results" / "cifar10-pgd20"
    shutil.copytree(other, submission / "results" / "cifar10-pgd20", dirs_exist_ok=True)
    with pytest.raises(AdvssError, match="pgd20 was measured on other weights"):
        submissions.check(submission)


def test_a_result_that_the_repository_does_not_hold(submission: Path) -> None:
    result = submission / "results" / "cifar10-clean" / "result.json"
    text = result.read_text()
    result.write_text(text.replace('"seed": 0', '"seed": 1'))
    assert result.read_text() != text
    with pytest.raises(AdvssError, match="clean on cifar10 differs from what hf://ME/mine@"):
        submissions.check(submission)


def test_a_name_that_is_a_path(submission: Path) -> None:
    with pytest.raises(AdvssError, match="lowercase letters"):
        submissions.check(submission.rename(submission.parent / "Mine_!"))
