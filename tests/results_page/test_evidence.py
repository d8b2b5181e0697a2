"""What the report believes of a file, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results_page import fabricated

from advss_zoo.errors import AdvssError
from advss_zoo.results_page.evidence import cleaned, read


def changed(path: Path, *keys: str, to: Any) -> Path:
    """The result with another value somewhere, and no verdicts beside it that could contradict."""
    document = json.loads(path.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(document))
    path.with_name("verdicts.npz").unlink(missing_ok=True)
    return path


def test_a_result_is_derived_again_from_its_verdicts(tmp_path: Path) -> None:
    path = fabricated.result(tmp_path)
    assert read(path).checked
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"ra": 0.99}))
    with pytest.raises(AdvssError, match="its verdicts give"):
        read(path)
    path.with_name("verdicts.npz").unlink()
    assert (read(path).checked, read(path).ra) == (False, 0.99)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("ta",), 1.5),
        (("ta",), float("nan")),
        (("ta",), "<b>"),
        (("ra",), -0.1),
        (("n",), 0),
        (("n",), "many"),
        (("ta_ci95",), 5),
        (("ta_ci95",), [0.1]),
        (("ra_ci95",), [0, 2]),
        (("model",), []),
        (("model", "name"), 7),
        (("protocol",), "pgd20"),
        (("protocol", "label"), None),
        (("protocol", "eps"), 1e300),
        (("protocol", "steps"), -1),
        (("versions",), ["torch"]),
        (("verdicts",), 3),
        (("details",), 3),
        (("details",), {"attacks": [{}]}),
        (("details",), {"black_box_beats_white_box": True}),
        (("details",), {"corruptions": {"fog": []}}),
        (("details",), {"corruptions": {"fog": [0.1, 0.2], "snow": [0.1]}}),
        (
            ("details",),
            {"transfer": {"sources": ["a"], "targets": ["a"], "asr": [[0.1, 0.2]], "asr_of_right": [[0.1]]}},
        ),
        (("details",), {"venn": {"a": [{"targets": ["b", "c"], "both": -1, "only": [0, 0]}]}}),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(keys: tuple[str, ...], value: Any, tmp_path: Path) -> None:
    path = changed(fabricated.result(tmp_path), *keys, to=value)
    with pytest.raises(AdvssError, match=r"result\.json"):
        read(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "model",
    "data",
    "protocol",
    "n",
    "ta",
    "ra",
    "ta_ci95",
    "ra_ci95",
    "details",
    "versions",
    "verdicts",
    "schema",
)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(FIELDS), value=JSON)
def test_whatever_stands_in_a_file_is_read_or_refused(
    name: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any" / "result.json"
    if not path.exists():
        fabricated.result(path.parent).rename(path)
    original = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(original) | {name: value}))
        read(path)
    except AdvssError:
        pass
    finally:
        path.write_text(original)


def test_newer_details_are_left_aside(tmp_path: Path) -> None:
    path = changed(fabricated.result(tmp_path), "details", to={"something_new": 1})
    details = read(path).details
    assert details.to_dict() == {"something_new": 1}
    assert (details.attacks, details.ra_8bit) == ((), None)


def test_warnings_are_those_of_the_details(tmp_path: Path) -> None:
    assert any("Square" in warning for warning in read(fabricated.autoattack(tmp_path)).warnings)


def test_keys_are_cleaned_too() -> None:
    assert cleaned({"a\x00": ["\u202e", 1, None]}) == {"a�": ["�", 1, None]}
