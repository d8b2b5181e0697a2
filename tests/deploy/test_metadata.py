"""What ONNX files of ours say of themselves comes back, and what others made up is refused."""

from __future__ import annotations

import pytest
from deploy.onnx_files import PROPS
from hypothesis import given
from hypothesis import strategies as st

from advss_zoo.deploy.metadata import Metadata
from advss_zoo.errors import CheckpointError

TURNING = (
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # Bidi_Control in Unicode's PropList
)
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=TURNING), min_size=1, max_size=20)


@given(
    name=NAMES,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    classes=st.lists(NAMES, min_size=1, max_size=20).map(tuple),
    image_size=st.integers(1, 4096),
    threat=st.one_of(
        st.just((None, None)), st.tuples(st.sampled_from(["linf", "l2"]), st.floats(1e-6, 100, allow_nan=False))
    ),
)
def test_it_comes_back(
    name: str, sha256: str, classes: tuple[str, ...], image_size: int, threat: tuple[str, float] | tuple[None, None]
) -> None:
    metadata = Metadata(name, sha256, classes, image_size, "0.1.0", *threat)
    props = metadata.to_props()
    assert all(isinstance(text, str) for text in props.values())
    assert Metadata.from_props(props) == metadata


def test_what_a_person_reads_in_it() -> None:
    props = Metadata("p1f4.mini", "0" * 64, ("cat", "Hündin"), 32, "0.1.0", "linf", 8 / 255).to_props()
    assert (props["classes"], props["image_size"], float(props["eps"])) == ('["cat", "Hündin"]', "32", 8 / 255)


@pytest.mark.parametrize(
    "label", ["chat\u00a0noir", "三毛\u3000猫", "\N{WOMAN}\u200d\N{ROCKET}", "\u0645\u06cc\u200c\u062e", "\ue000"]
)
def test_classes_are_called_what_people_call_them(label: str) -> None:
    metadata = Metadata("mine.mini", "0" * 64, ("other", label), 32, "0.1.0")
    assert Metadata.from_props(metadata.to_props()).classes == ("other", label)


def test_the_range_of_values_comes_back() -> None:
    metadata = Metadata("mine.mini", "0" * 64, ("a", "b"), 32, "0.1.0", value_range=(-1024.0, 3071.0))
    assert Metadata.from_props(metadata.to_props()) == metadata


@pytest.mark.parametrize(
    "text", ["[0]", "[0, 0]", "[2, 1]", '["0", 1]', "[true, 2]", "[0, NaN]", "[0, Infinity]", f"[0, 1{'0' * 400}]", "7"]
)
def test_ranges_that_cannot_be(text: str) -> None:
    with pytest.raises(CheckpointError, match="value_range must be two"):
        Metadata.from_props(PROPS | {"value_range": text})


@pytest.mark.parametrize("character", [*"\0\n\t\x1b\x7f\x9b\ud800", *TURNING])
def test_what_steers_a_terminal_or_turns_text_is_no_name(character: str) -> None:
    with pytest.raises(CheckpointError, match="is not a valid name"):
        Metadata.from_props(Metadata("mine.mini", "0" * 64, (f"cat{character}",), 32, "0.1.0").to_props())


@pytest.mark.parametrize("key", PROPS)
def test_nothing_may_be_missing(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"key '{key}' is missing"):
        Metadata.from_props({name: text for name, text in PROPS.items() if name != key})


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("name", ""),
        ("name", "\x1b[2Jcleared"),
        ("name", "a\nb"),
        ("name", "x" * 2_000),
        ("sha256", "0" * 63),
        ("sha256", "../" + "0" * 61),
        ("classes", "red, green"),
        ("classes", "[]"),
        ("classes", '{"0": "red"}'),
        ("classes", "[1, 2, 3]"),
        ("classes", '["red", "\\u001b[31mgreen"]'),
        ("classes", "[" * 100_000),
        ("image_size", "0"),
        ("image_size", "-8"),
        ("image_size", "8.0"),
        ("image_size", "99999"),
        ("image_size", "²"),
        ("image_size", "9" * 5_000),
        ("eps", "nan"),
        ("eps", "inf"),
        ("eps", "0"),
        ("eps", "much"),
        ("norm", "linfinity"),
    ],
)
def test_what_cannot_be_is_refused_in_a_short_sentence(key: str, text: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        Metadata.from_props(PROPS | {"norm": "linf", "eps": "0.1"} | {key: text})
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 300
