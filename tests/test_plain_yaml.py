"""YAML of strangers: what a recipe needs, and no bomb."""

from __future__ import annotations

import pytest

from advss_zoo import plain_yaml


def test_what_recipes_need():
    text = "a: [1, 2.5, 1e-3, yes, null, 8/255]\nb: {<<: {c: x}, d: y}\ndate: 2026-01-31\n"
    # 1e-3 without a point is text in YAML 1.1, and a date stays text.
    assert plain_yaml.read(text) == {
        "a": [1, 2.5, "1e-3", True, None, "8/255"],
        "b": {"c": "x", "d": "y"},
        "date": "2026-01-31",
    }


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(
            (LAUGHS, "aliases are not allowed"),
            (MERGES, "aliases are not allowed"),
            ("&a [*a]", "aliases are not allowed"),
        ),
        *(
            ("[" * 10_000, "nested more than"),
            ("a:\n" + "".join(" " * n + "- \n" for n in range(99)), "nested|parsing"),
        ),
        *(
            (":".join(["59"] * 9_000), "more than 10,000 characters"),
            ("9" * 5_000, "digits|64 bits"),
            ("0x" + "f" * 99, "digits|64 bits"),
        ),
        *(("!!python/object/apply:os.system [ls]", "could not determine a constructor"), ("!!set {a}", "plain data")),
        *(("!!binary aGk=", "bytes is not plain"), ("1: 2", "key is not text"), ("a: .nan", "nan"), ("-.inf", "inf")),
        *(("? [a]\n: b", "unhashable key"), ("a: [", "expected the node content"), ("\0", "special characters")),
    ],
)
def test_what_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        plain_yaml.read(text)


def test_more_than_fits():
    with pytest.raises(ValueError, match="exceed the limit"):
        plain_yaml.read(" " * (plain_yaml.MOST_BYTES + 1))
