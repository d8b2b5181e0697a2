"""The paper's numbers, against some typed in by hand, and what our checkpoints are called."""

from __future__ import annotations

import pytest

from advss_zoo.errors import UsageError
from advss_zoo.reproduction import paper
from advss_zoo.training import recipe
from advss_zoo.zoo import names

BY_HAND = [
    ("table3", "P1F3", "any task", {"ta": 94.24, "ra": 0.0, "epochs": 92}),
    ("table3", "P1F4", "any task", {"ta": 84.72, "ra": 47.22, "epochs": 99}),
    ("table3", "P2F4", "Rotation", {"ta": 86.66, "ra": 50.95, "epochs": 45}),
    ("table3", "P3F1", "Jigsaw", {"ta": 80.47, "ra": 2.68, "epochs": 87}),
    ("table3", "P3F2", "Selfie", {"ta": 74.30, "ra": 37.65, "epochs": 64}),
    ("table3", "P3F4", "Jigsaw", {"ta": 84.50, "ra": 49.61, "epochs": 48}),
    ("table4", "Rotation", "from Selfie", {"asr": 38.92}),
    ("table4", "Selfie", "from Jigsaw", {"asr": 36.65}),
    ("table4", "Jigsaw", "from Jigsaw", {"asr": 51.17}),
    ("table5", "Jigsaw", "", {"ta": 83.74, "ra": 48.83, "epochs": 48}),
    ("table5", "AP+DPE", "", {"ta": 83.00, "ra": 52.22, "epochs": 56}),
    ("table6", "Rotation+Selfie", "", {"ta": 86.51, "ra": 53.83}),
    ("table6", "all three", "", {"ta": 86.04, "ra": 54.64}),
    ("table7", "P3F2", "CIFAR-150K", {"ta": 67.73, "ra": 30.24, "epochs": 95}),
    ("table7", "P3F4", "CIFAR-30K", {"ta": 85.29, "ra": 49.64, "epochs": 42}),
    ("table8", "F2", "Selfie", {"ta": 71.9, "ra": 30.57, "epochs": 61}),
    ("fig1", "Rotation", "", {"ta": 85.66, "ra": 50.04, "epochs": 46}),
    ("fig1", "ensemble fine-tuning", "", {"ta": 86.04, "ra": 54.64, "epochs": 144}),
    ("fig3", "least gain on an attack", "", {"gain": 1.03}),
    ("fig5", "only Jigsaw", "", {"share": 14.09}),
]


@pytest.mark.parametrize(("table", "row", "column", "values"), BY_HAND)
def test_the_numbers_are_those_of_the_paper(table, row, column, values):
    (found,) = [cell for cell in paper.load(table).cells if (cell.row, cell.column) == (row, column)]
    assert found.values == values


def test_where_the_paper_disagrees_with_itself_both_numbers_are_kept():
    elsewhere = {(name, cell.row): cell.elsewhere for name in paper.names() for cell in paper.load(name).cells}
    assert elsewhere["table3", "P3F4"] == {"Table 5": {"ta": 83.74, "ra": 48.83, "epochs": 48}}
    assert elsewhere["fig1", "Rotation"] == {"Tables 3, 5": {"ta": 85.66, "ra": 50.40, "epochs": 46}}
    assert elsewhere["fig1", "Jigsaw"] == {"Table 3": {"ta": 84.50, "ra": 49.61, "epochs": 48}}


def test_rows_and_columns_come_as_in_the_paper():
    assert paper.names() == [*(f"table{n}" for n in range(3, 9)), *(f"fig{n}" for n in (1, 3, 4, 5))]
    tasks = ["Selfie", "Rotation", "Jigsaw"]
    scenarios = ["P2F3", "P2F4", "P3F1", "P3F2", "P3F3", "P3F4"]
    assert [cell.label for cell in paper.load("table3").cells] == [
        "P1F3 any task",
        "P1F4 any task",
        *(f"{scenario} {task}" for scenario in scenarios for task in tasks),
    ]
    assert [cell.row for cell in paper.load("table5").cells] == [*tasks, "AP+SE", "AP+DPE"]


def _checkpoints(*tables):
    return {cell.checkpoint for table in tables for cell in paper.load(table).cells if cell.checkpoint}


def test_the_tables_need_34_fine_tuned_checkpoints_and_four_ensembles():
    tasks = ("selfie", "rotation", "jigsaw")
    fine_tuned = {
        *("p1f3", "p1f4", "apse-p3f4", "apdpe-p3f4"),
        *(f"{task}-p2{f}" for task in tasks for f in ("f3", "f4")),
        *(f"{task}-p3{f}" for task in tasks for f in ("f1", "f2", "f3", "f4")),
        *(f"{task}-rs{f}" for task in tasks for f in ("f2", "f4")),
        *(f"selfie-{size}-p3{f}" for size in ("30k", "50k", "150k") for f in ("f2", "f4")),
    }
    assert len(fine_tuned) == 34
    assert _checkpoints("table3", "table5", "table7", "table8") == fine_tuned
    assert _checkpoints("table6") == {
        "ensemble-rotation-jigsaw-p3f4",
        "ensemble-selfie-jigsaw-p3f4",
        "ensemble-selfie-rotation-p3f4",
        "ensemble-p3f4",
    }
    assert {name: len(members) for name, members in paper.ensembles().items()} == {
        "ensemble-rotation-jigsaw-p3f4": 2,
        "ensemble-selfie-jigsaw-p3f4": 2,
        "ensemble-selfie-rotation-p3f4": 2,
        "ensemble-p3f4": 3,
    }
    assert {member for members in paper.ensembles().values() for member in members} < fine_tuned
    assert _checkpoints("fig1") <= fine_tuned | {"ensemble-p3f4"}
    assert _checkpoints("fig3") == {"rotation-p3f4", "oneshot-f4"}


def test_who_fools_whom_is_about_the_members_of_an_ensemble():
    for name in ("table4", "fig5"):
        table = paper.load(name)
        told = [cell.transfer or (cell.shared[0], *cell.shared[1], *cell.shared[2]) for cell in table.cells]
        assert {model for models in told for model in models} == set(paper.ensembles()[table.ensemble])
    areas = [(set(cell.shared[1]), set(cell.shared[2])) for cell in paper.load("fig5").cells]
    assert all(fooled | spared == {"rotation-p3f4", "jigsaw-p3f4"} for fooled, spared in areas)
    assert [len(fooled) for fooled, _ in areas] == [2, 1, 1]


def test_every_checkpoint_is_called_by_a_name():
    for name in _checkpoints(*paper.names()):
        assert str(names.parse(name)) == name


def test_what_ships_recipes_agrees_on_the_names():
    """Every recipe of an ensemble of the paper has the members that the paper's table says."""
    for name, members in paper.ensembles().items():
        for tag in ("mini", "r50"):
            if f"{name}.{tag}" in recipe.names():
                found = recipe.load_any(f"{name}.{tag}")
                assert set(found.members) == {f"{member}.{tag}" for member in members}


def test_a_checkpoint_has_the_same_numbers_everywhere_but_where_the_paper_does_not():
    for table in paper.names():
        for cell in paper.load(table).cells:
            if cell.checkpoint not in (None, "jigsaw-p3f4"):
                theirs = cell.elsewhere.get("Tables 3, 5", cell.values)
                shared = cell.values.keys() & paper.values(cell.checkpoint).keys()
                assert {key: theirs[key] for key in shared} == {
                    key: paper.values(cell.checkpoint)[key] for key in shared
                }


@pytest.mark.parametrize(("name", "near"), [("tabel3", "table3"), ("Table 4", "table4"), ("figure1", "fig1")])
def test_an_unknown_table_is_answered_with_the_nearest(name, near):
    with pytest.raises(UsageError, match=f"Did you mean {near}"):
        paper.load(name)


def test_a_table_like_none_is_answered_with_all():
    with pytest.raises(UsageError, match=r"Choose from table3, .*fig5"):
        paper.load("xyz")
