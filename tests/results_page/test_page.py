"""The page: complete in itself, accessible, with data behind every figure, and true to the results."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from results_page import fabricated
from results_page.parsed import Element, parse, skeleton
from torch import nn

from advss_zoo.data.folder.prepared import prepare
from advss_zoo.data.imageset import ImageSet
from advss_zoo.data.load import in_order, load_data
from advss_zoo.errors import UsageError
from advss_zoo.evaluation.runner import evaluate
from advss_zoo.models.model import Model
from advss_zoo.results_page.collect import collect
from advss_zoo.results_page.figure import Figure
from advss_zoo.results_page.page import Report, svg
from advss_zoo.texts import visible

KINDS = {
    "leaderboard": fabricated.clean,
    "tradeoff": fabricated.result,
    "attacks": fabricated.autoattack,
    "corruptions": fabricated.corruptions,
    "transfer": fabricated.transfer,
    "gallery": fabricated.saved,
    "training": fabricated.run,
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return Report(collect([fabricated.everything(tmp_path_factory.mktemp("results"))]))


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return report.html()


@pytest.fixture(scope="module")
def page(html: str) -> Element:
    return parse(html)


def names(folder: Path) -> list[str]:
    return [section.name for section in Report(collect([folder])).sections]


# --- what is there ----------------------------------------------------------------------------------------------------


def test_everything_has_its_section(page: Element, report: Report) -> None:
    expected = ["leaderboard", "tradeoff", "attacks", "strength", "unforeseen", "corruptions", "transfer", "gallery"]
    assert [section.name for section in report.sections] == [*expected, "training", "provenance"]
    assert [section["id"] for section in page.all("section")] == [*expected, "training", "provenance"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_is_there_only_with_data(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path)
    found = set(names(tmp_path))
    assert kind in found
    always = {"leaderboard", "provenance"} if kind != "training" else set()
    attacked = {"tradeoff"} if kind in ("tradeoff", "attacks", "gallery", "transfer") else set()
    assert found == {kind} | always | attacked


def test_curves_need_more_than_one_point(tmp_path: Path) -> None:
    fabricated.result(tmp_path, fabricated.pgd(levels=4))
    fabricated.unforeseen(tmp_path, "fog", 1)
    assert "strength" not in names(tmp_path)
    fabricated.result(tmp_path, fabricated.pgd(levels=8), n=20)  # on other images
    assert "strength" not in names(tmp_path)
    fabricated.result(tmp_path, fabricated.pgd(levels=8))
    assert [
        section.figures[0].name for section in Report(collect([tmp_path])).sections if section.name == "strength"
    ] == ["eps-linf"]


def test_all_strengths_of_a_calibrated_attack_make_its_uar(tmp_path: Path) -> None:
    for strength in range(1, 7):
        fabricated.unforeseen(tmp_path, "elastic", strength, ra=0.5)
        fabricated.unforeseen(tmp_path, "fog", strength, ra=0.5)
    found = {figure.name: figure for figure in Report(collect([tmp_path])).figures}
    # Six accuracies of 50 percent over the sum of those that Kang et al. give for nets trained for it.
    expected = 300 / (87.38 + 81.26 + 72.09 + 58.22 + 45.45 + 27.85)
    assert found["unforeseen-1-uar"].table.rows == (("elastic", pytest.approx(expected)),)
    assert [row[0] for row in found["unforeseen-1"].table.rows] == ["p1f4.mini"] * 2


def test_a_model_that_withstands_nothing_has_a_uar_of_0(tmp_path: Path) -> None:
    for strength in range(1, 7):
        fabricated.unforeseen(tmp_path, "elastic", strength, ra=0.0)
    found = {figure.name: figure for figure in Report(collect([tmp_path])).figures}
    assert found["unforeseen-1-uar"].table.rows == (("elastic", 0),)


def test_a_curve_is_of_one_seed_and_one_search(tmp_path: Path) -> None:
    def leave(levels: int, **more: Any) -> None:
        fabricated.result(tmp_path, fabricated.pgd(levels=levels) | more, seed=more.get("seed", 0))

    leave(4)
    leave(8, seed=1)
    leave(16, search="bf16")
    assert "strength" not in names(tmp_path)
    leave(8, search="fp32")
    leave(4, seed=1)
    (figure,) = [figure for figure in Report(collect([tmp_path])).figures if figure.name.startswith("eps-")]
    assert {row[0] for row in figure.table.rows} == {"p1f4.mini, seed 0", "p1f4.mini, seed 1"}
    leave(4, search="bf16")
    (figure,) = [figure for figure in Report(collect([tmp_path])).figures if figure.name.startswith("eps-")]
    assert "p1f4.mini, seed 0, search in bf16" in {row[0] for row in figure.table.rows}


def test_a_log_that_ends_with_epoch_0_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps({"step": 0, "epoch": 0, "loss": 2.3, "validation": {"ta": 0.1, "ra": 0.1}}) + "\n")
    assert [figure.name for figure in Report(collect([tmp_path])).figures] == ["training-1-accuracy", "training-1-loss"]


def test_models_that_met_an_attack_at_different_strengths_are_shown_strength_by_strength(tmp_path: Path) -> None:
    fabricated.unforeseen(tmp_path, "fog", 1, ra=0.5)
    fabricated.unforeseen(tmp_path, "fog", 2, ra=0.4, name="p1f3.mini")
    (figure,) = [figure for figure in Report(collect([tmp_path])).figures if "unforeseen" in figure.name]
    tips = {mark.tip for mark in figure.scene.marks}
    assert {"p1f4.mini, fog 1: 50.00", "p1f3.mini, fog 2: 40.00"} <= tips


def test_two_unforeseen_attacks_make_no_radar(tmp_path: Path) -> None:
    for attack in ("fog", "snow"):
        fabricated.unforeseen(tmp_path, attack, 2)
    assert [figure.name for figure in Report(collect([tmp_path])).figures if "unforeseen" in figure.name] == [
        "unforeseen-1"
    ]


# --- nothing from anywhere --------------------------------------------------------------------------------------------


def test_nothing_is_loaded(page: Element, html: str) -> None:
    for element in page.all():
        for attribute in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = element.get(attribute) or "#"
            assert value.startswith(("#", "data:")), (element.tag, value)
        assert not any(name.startswith("on") or name == "style" for name in element.attributes)
    assert {element.tag for element in page.all()}.isdisjoint({"iframe", "object", "embed", "base", "form", "audio"})
    assert not re.search(r"@import|url\(", page.all("style")[0].text)
    assert "://" not in re.sub(r"<(dd|td|th|a)\b.*?</\1>", "", html, flags=re.DOTALL)


def test_the_policy_allows_its_own_style_and_script_alone(page: Element) -> None:
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        (element,) = page.all(tag)
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_same_results_make_the_same_page(tmp_path: Path) -> None:
    fabricated.saved(tmp_path)
    assert Report(collect([tmp_path])).html() == Report(collect([tmp_path])).html()


# --- usable by everyone -----------------------------------------------------------------------------------------------


def test_every_id_is_there_once_and_every_reference_leads_somewhere(page: Element) -> None:
    ids = [element["id"] for element in page.all() if element.get("id")]
    assert len(ids) == len(set(ids))
    for element in page.all():
        for attribute in ("aria-labelledby", "aria-describedby", "for"):
            assert set((element.get(attribute) or "").split()) <= set(ids), element
        if (element.get("href") or "").startswith("#"):
            assert element["href"][1:] in ids


def test_headings_skip_no_level(page: Element) -> None:
    levels = [int(element.tag[1]) for element in page.all() if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_have_captions_and_scopes(page: Element) -> None:
    assert len(page.all("table")) > len(page.all("figure"))
    for table in page.all("table"):
        assert len(table.all("caption")) == 1
        assert all(cell["scope"] in ("col", "row") for cell in table.all("th"))
        widths = {len(row.all("th")) + len(row.all("td")) for row in table.all("tr")}
        assert len(widths) == 1


def test_drawings_and_pictures_are_described(page: Element) -> None:
    for drawing in page.all("svg"):
        if drawing.get("aria-hidden") != "true":
            assert drawing["role"] == "img"
            title, description = drawing["aria-labelledby"].split()
            assert [child.get("id") for child in drawing.children[:2]] == [title, description]
            assert all(child.text for child in drawing.children[:2])
    for picture in page.all("img"):
        assert picture["alt"]


def test_what_scrolls_can_be_reached_by_keyboard(page: Element) -> None:
    regions = page.all("div", role="region")
    assert len(regions) == len(page.all("table"))
    assert all(
        region["tabindex"] == "0" and (region.get("aria-label") or region.get("aria-labelledby")) for region in regions
    )


# --- the data behind figures ------------------------------------------------------------------------------------------


def data_of(element: Element) -> list[list[str]]:
    (link,) = [link for link in element.all("a") if link.get("download")]
    head, _, content = link["href"].partition(",")
    assert head == "data:text/csv;charset=utf-8"
    assert link["download"].endswith(".csv")
    return list(csv.reader(io.StringIO(unquote(content))))


def test_every_figure_has_its_data_as_a_table_and_behind_a_link(page: Element, report: Report) -> None:
    figures = page.all("figure")
    assert [figure["id"] for figure in figures] == [figure.name for figure in report.figures]
    for figure in figures:
        (details,) = figure.all("details")
        rows = data_of(details)
        assert len(rows) == len(details.all("tr")) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_the_leaderboard_says_what_the_results_say(page: Element) -> None:
    (board,) = page.all("table", **{"class": "board"})
    heading, *rows = board.all("tr")
    assert [cell.text.strip() for cell in heading.all("th")] == [
        *("model", "TA", "pgd20", "autoattack", "ensemble-worst", "corruptions")
    ]
    found = {
        row.all("th")[0].text: [cell.all("a")[0].text if cell.all("a") else "" for cell in row.all("td")]
        for row in rows
    }
    assert found["p1f4.mini40 images"][:4] == ["75.00", "40.00", "30.00", ""]
    assert found["selfie-p3f4.mini40 images"][:4] == ["75.00", "45.00", "30.00", ""]
    assert found["+".join(fabricated.MEMBERS) + "40 images"][3] == "40.00"
    assert rows[0].all("th")[0].text == "selfie-p3f4.mini40 images"  # sorted by RA


def test_every_number_of_the_leaderboard_leads_to_its_provenance(page: Element) -> None:
    places = {
        element["id"]: element.text for element in page.all("div") if (element.get("id") or "").startswith("result-")
    }
    (board,) = page.all("table", **{"class": "board"})
    for row in board.all("tr")[1:]:
        model = row.all("th")[0].text.removesuffix("40 images")
        for link in row.all("a"):
            assert f"advss eval {model} --attack" in places[link["href"][1:]]


def test_the_heat_map_has_the_accuracies_of_the_result(report: Report) -> None:
    found = next(figure for figure in report.figures if figure.name == "corruptions-1")
    rows = {row[0]: row[1:] for row in found.table.rows}
    assert len(rows) == 19
    assert rows["gaussian_noise"][:5] == (10 / 40, 7 / 40, 4 / 40, 1 / 40, 38 / 40)
    assert rows["gaussian_noise"][5] == pytest.approx(60 / 200)


def test_mce_is_against_the_named_model_on_the_same_images(tmp_path: Path) -> None:
    fabricated.corruptions(tmp_path)
    fabricated.corruptions(tmp_path, name="other")
    path = fabricated.corruptions(tmp_path, name="elsewhere")
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "data": {**document["data"], "indices": "others"}}))
    found = collect([tmp_path])

    def notes(baseline: str | None) -> dict[str, str | None]:
        figures = Report(found, baseline).figures
        return {figure.title: figure.note for figure in figures if re.fullmatch("corruptions-[0-9]", figure.name)}

    assert not any("mCE" in (note or "") for note in notes(None).values())
    said = {title.partition(",")[0]: note for title, note in notes("p1f4.mini").items()}
    assert {name for name, note in said.items() if "mCE against p1f4.mini: 100.00." in (note or "")} == {
        *("p1f4.mini", "other")
    }
    with pytest.raises(
        UsageError, match=r"Results of p1 under corruptions are missing\. Choose from elsewhere, other, p1f4\.mini"
    ):
        Report(found, "p1")


def test_a_baseline_goes_by_its_short_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with the real cards
    fabricated.corruptions(tmp_path)
    figures = Report(collect([tmp_path]), "p1f4").figures
    assert any("mCE against p1f4.mini: 100.00." in (figure.note or "") for figure in figures)


def test_of_one_model_on_one_data_set_the_result_on_most_images_is_drawn(tmp_path: Path) -> None:
    """Those of the package's thousand images are of CIFAR-10, too: one board, one scatter plot, one mark a model."""
    fabricated.result(tmp_path, ra=0.3, n=40)
    fabricated.result(tmp_path, ra=0.5, n=100, data="cifar10")
    fabricated.result(tmp_path, name="other", n=40)
    fabricated.result(tmp_path, name="elsewhere", data="mine")
    fabricated.corruptions(tmp_path)
    fabricated.corruptions(tmp_path, data="cifar10")
    fabricated.corruptions(tmp_path, name="other")
    report = Report(collect([tmp_path]))
    figures = {figure.title: figure for figure in report.figures}
    assert {"pgd20 on cifar10", "pgd20 on mine", "corruptions on cifar10: model by model"} <= figures.keys()
    rows = figures["pgd20 on cifar10"].table.rows
    assert [(row[0], row[4], row[8]) for row in rows if not str(row[0]).startswith("paper")] == [
        ("other", 0.4, 40),
        ("p1f4.mini", 0.5, 100),
    ]
    assert figures["pgd20 on cifar10"].note == "On 40 to 100 images of cifar10; the table says how many each."
    assert figures["pgd20 on mine"].note is None
    columns = figures["corruptions on cifar10: model by model"].table.columns
    assert [column.name for column in columns][1:] == ["other, cifar10-1k", "p1f4.mini, cifar10"]
    boards = parse(report.html()).all("table", **{"class": "board"})
    assert [board.all("caption")[0].text for board in boards] == ["cifar10, test images", "mine, test images"]


def test_what_an_attack_has_not_changed_is_no_adversarial_image(tmp_path: Path) -> None:
    path = fabricated.saved(tmp_path).with_name("adversarial.safetensors")
    tensors = safetensors.numpy.load_file(path)
    standing = int(0.4 * fabricated.N)  # the first of them
    clean = load_data("cifar10-1k", "test").images[:standing].astype(np.float32) / np.float32(255)
    tensors["x_adv"][:standing] = clean
    safetensors.numpy.save_file(tensors, path)
    (room,) = parse(Report(collect([tmp_path])).html()).all("ul", **{"class": "wall"})
    said = ["no adversarial image found" in exhibit.text for exhibit in room.all("li")]
    assert said == 6 * [False] + 2 * [True]


def test_every_figure_leads_to_the_results_that_it_is_made_of(page: Element, report: Report) -> None:
    made_of = {figure.name: figure.origins for figure in report.figures if not figure.name.startswith("training")}
    for figure in page.all("figure"):
        links = [link["href"].removeprefix("#") for link in figure.all("a") if link["href"].startswith("#result-")]
        assert links == list(made_of.get(figure["id"], ()))
    assert all(made_of.values())


def test_a_transfer_says_what_ensemble_data_and_eps_it_is_of(report: Report) -> None:
    found = [figure for figure in report.figures if figure.name.startswith("transfer")]
    assert {"transfer-1", "transfer-1-right", "transfer-1-venn-1"} <= {figure.name for figure in found}
    measured = f"{'+'.join(fabricated.MEMBERS)}; linf, eps 8/255; 40 images of cifar10-1k."
    assert all(figure.note is not None and figure.note.endswith(measured) for figure in found)


def test_the_venn_diagram_counts_images(report: Report) -> None:
    found = next(figure for figure in report.figures if "venn" in figure.name)
    counts = [row[1] for row in found.table.rows]
    assert found.description.startswith("Venn diagram: of 40 images made to fool selfie-p3f4.mini")
    assert sum(row[2] for row in found.table.rows) == pytest.approx(1)
    assert [row[3] for row in found.table.rows] == [count / fabricated.N for count in counts]


def test_eps_0_is_ta(report: Report) -> None:
    found = next(figure for figure in report.figures if figure.name == "eps-linf")
    rows = [row for row in found.table.rows if row[0] == "p1f4.mini"]
    assert [row[1] for row in rows] == ["0 (TA)", "2/255", "4/255", "8/255", "16/255"]
    assert [row[2] for row in rows] == [0.75, 0.675, 0.6, 0.4, 0.1]  # of 40 images


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_the_gallery_shows_the_images_that_were_attacked(page: Element, report: Report) -> None:
    (gallery,) = [section for section in page.all("section") if section["id"] == "gallery"]
    exhibits = gallery.all("ul", **{"class": "wall"})[0].all("li")
    assert len(exhibits) == 8
    for exhibit in exhibits:
        clean, adversarial, difference = (pixels(picture["src"]) for picture in exhibit.all("img"))
        assert clean.shape == (32, 32, 3)
        assert 0 < abs(adversarial.astype(int) - clean).max() <= 8
        assert abs(difference.astype(int) - 127.5).max() <= 0.4 * 255 + 4
        before, after, _ = (caption.text for caption in exhibit.all("span") if "said" in (caption.get("class") or ""))
        broken = "wrong" in exhibit.all("span")[3]["class"]
        assert broken == (before != after)
    assert [exhibit.all("span")[3]["class"] for exhibit in exhibits] == ["said wrong"] * 6 + ["said right"] * 2


def pixels(link: str):
    head, _, content = link.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_adversarial_images_of_other_images_are_left_out(tmp_path: Path) -> None:
    path = fabricated.saved(tmp_path)
    tensors = path.with_name("adversarial.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:5000])
    report = Report(collect([tmp_path]))
    assert "gallery" not in {section.name for section in report.sections}
    assert "adversarial.safetensors does not hold adversarial images" in report.left_out[0]


def test_clean_images_are_looked_for_once_and_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advss_zoo.results_page.sections import gallery

    loaded: list[str] = []
    monkeypatch.setattr(gallery, "load_data", lambda name, split: loaded.append(name) or load_data(name, split))
    monkeypatch.setattr(ImageSet, "take", lambda *_: pytest.fail("images were copied"))
    for place in range(3):
        fabricated.saved(tmp_path / str(place), name=f"model {place}")
    (section,) = [section for section in Report(collect([tmp_path])).sections if section.name == "gallery"]
    assert all(room.exhibits[0].clean for room in section.context)
    assert (len(section.context), loaded) == (3, ["cifar10-1k"])


def test_a_result_does_not_choose_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advss_zoo.results_page.sections import gallery

    monkeypatch.setattr(gallery, "load_data", lambda *_: pytest.fail("a path in a result was followed"))
    fabricated.saved(tmp_path, data=str(tmp_path))
    (section,) = [section for section in Report(collect([tmp_path])).sections if section.name == "gallery"]
    assert section.context[0].exhibits[0].clean is None


@pytest.mark.parametrize("order", [("cat", "dog"), ("dog", "cat")], ids=["folder's", "model's"])
def test_the_gallery_shows_images_of_ones_own_folder(
    order: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the cache, where the evaluation left them, with labels in the order that the checkpoint knows."""
    monkeypatch.setenv("ADVSS_CACHE", str(tmp_path / "cache"))
    noise = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "pets" / ("cat" if number < 6 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    for side in (16, 32):
        images = in_order(prepare(tmp_path / "pets", side, whole=True).load("test"), order)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    out = tmp_path / "results" / "one"
    evaluate(Model(model, "mine", "0" * 64), images, "pgd2", out=out, save_adversarial=True)
    fabricated.config(out, "0" * 64, order)
    report = Report(collect([tmp_path / "results"]))
    assert not report.left_out
    (room,) = next(section for section in report.sections if section.name == "gallery").context
    for exhibit in room.exhibits:
        assert exhibit.label == order[images.labels[exhibit.position]]
        assert (pixels(exhibit.clean) == images.images[exhibit.position].transpose(1, 2, 0)).all()
        assert exhibit.difference is not None
    assert room.exhibits
    shutil.rmtree(tmp_path / "cache")
    (section,) = [section for section in Report(collect([tmp_path / "results"])).sections if section.name == "gallery"]
    assert section.context[0].exhibits[0].clean is None


def test_the_gallery_is_written_like_a_figure(tmp_path: Path) -> None:
    saved = fabricated.saved(tmp_path / "results")
    x_adv = safetensors.numpy.load_file(saved.with_name("adversarial.safetensors"))["x_adv"]
    report = Report(collect([tmp_path / "results"]))
    report.write_figures(tmp_path / "figures")
    (figure,) = (figure for figure in report.drawings if figure.name == "gallery-1")
    assert figure not in report.figures
    drawing = ElementTree.parse(tmp_path / "figures" / "gallery-1.svg").getroot()
    links = [element.attrib["href"] for element in drawing.iter("{http://www.w3.org/2000/svg}image")]
    assert len(links) == 3 * 8
    with Image.open(tmp_path / "figures" / "gallery-1.png") as picture:
        shown = np.asarray(picture.convert("RGB").crop((372, 0, 708, 336)).resize((32, 32), Image.Resampling.BOX))
    first = round(0.4 * fabricated.N)  # the first that is broken
    expected = np.round(255 * x_adv[first]).transpose(1, 2, 0)
    assert np.abs(shown - expected).mean() < 3


def test_figures_are_written_as_svg_and_png(tmp_path: Path) -> None:
    fabricated.result(tmp_path / "results")
    fabricated.corruptions(tmp_path / "results")
    report = Report(collect([tmp_path / "results"]))
    report.write_figures(tmp_path / "figures")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        *("corruptions-1.png", "corruptions-1.svg", "tradeoff-1.png", "tradeoff-1.svg")
    ]
    for figure in report.figures:
        with Image.open(tmp_path / "figures" / f"{figure.name}.png") as picture:
            assert picture.size == (round(3 * figure.scene.width), round(3 * figure.scene.height))
            assert len(picture.getcolors(1 << 24)) > 20
        drawing = ElementTree.parse(tmp_path / "figures" / f"{figure.name}.svg").getroot()
        assert "var(" not in ElementTree.tostring(drawing, encoding="unicode")
        assert drawing.attrib["viewBox"].split()[2] == "360"


# --- hostile texts ----------------------------------------------------------------------------------------------------

LINE_ATTRIBUTES = {
    *("x", "y", "dy", "fill", "font-size", "font-weight", "text-anchor"),
    *("stroke", "stroke-width", "stroke-linejoin", "paint-order"),
}
HOSTILE = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)


@settings(max_examples=12, deadline=None)
@example(text="</script><script>alert(1)</script>")
@example(text='"><img src=x onerror=alert(1)>')
@example(text="' onload='alert(1)")
@example(text="{{ 7 * 7 }}{% raw %}<!--")
@example(text="\x00\x1b[31m\u202e]]>")
@example(text="=cmd|' /C calc'!A0")
@example(text="$\\frac{$")
@given(text=HOSTILE)
def test_a_text_stays_a_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    def page_with(text: str) -> tuple[Element, Report]:
        folder = tmp_path_factory.mktemp("hostile")
        label = {**fabricated.pgd(), "label": text}
        facts = {"name": text, "command": text, "device": text, "date": text, "versions": {text: text}, "data": text}
        fabricated.result(folder, label, **facts)
        path = fabricated.transfer(folder, data=text)
        document = json.loads(path.read_text())
        members = [text, "rotation-p3f4.mini"]
        document["details"]["transfer"] |= {"sources": members, "targets": members}
        for key in ("asr", "asr_of_right"):
            document["details"]["transfer"][key] = [[0.5, 0.25], [0.25, 0.5]]
        thirds = {"of_union": [0.5, 0.25, 0.25], "of_all": [0.2, 0.1, 0.1]}
        document["details"]["venn"] = {text: [{"targets": [text, text], "both": 2, "only": [1, 1], **thirds}]}
        path.write_text(json.dumps(document))
        path.with_name("verdicts.npz").unlink()
        report = Report(collect([folder]))
        return parse(report.html()), report

    page, report = page_with(text)
    benign, _ = page_with("benign")
    assert skeleton(page) == skeleton(benign)
    for line in page.all("text"):
        assert line.attributes.keys() <= LINE_ATTRIBUTES
    assert visible(text) in page.all("section")[-1].text
    for figure in report.figures:
        ElementTree.fromstring(svg(figure))
    for link in page.all("a"):
        if link.get("download"):
            cells = csv.reader(io.StringIO(unquote(link["href"].partition(",")[2])))
            assert not any(cell.startswith(("=", "+", "-", "@")) for row in cells for cell in row)


def leaves(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """The places of all that is neither a list nor a dictionary."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield path
    else:
        for key, item in inner:
            yield from leaves(item, *path, key)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["corruptions", "transfer", "attacks", "tradeoff"]),
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers() | st.floats() | st.none() | st.sampled_from([10**400, -1, 0, 1, 1e308, 5e-324, "", [], {}]),
)
def test_whatever_is_believed_can_be_shown(
    kind: str, place: float, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"believed-{kind}"
    if not folder.exists():
        path = KINDS[kind](folder)
        path.rename(folder / "original.json")
        path.with_name("verdicts.npz").unlink()
        fabricated.result(folder, fabricated.pgd(levels=4))
    document = json.loads((folder / "original.json").read_text())
    *path_to, last = list(leaves(document))[int(place * len(list(leaves(document))))]
    target = document
    for key in path_to:
        target = target[key]
    target[last] = value
    (folder / "result.json").write_text(json.dumps(document))
    report = Report(collect([folder]))
    parse(report.html())
    for figure in report.figures:
        assert not re.search("nan|inf(?!o)", " ".join(figure_numbers(figure)))


def figure_numbers(figure: Figure) -> list[str]:
    drawing = ElementTree.fromstring(svg(figure))
    return [value for element in drawing.iter() for name, value in element.attrib.items() if name != "aria-labelledby"]


def test_figures_with_hostile_names_are_written(tmp_path: Path) -> None:
    fabricated.result(tmp_path / "results", name="$\\frac{$<>&\"'", data="../../etc")
    report = Report(collect([tmp_path / "results"]))
    report.write_figures(tmp_path / "figures")
    assert len(list((tmp_path / "figures").iterdir())) == 2


def test_reasons_are_escaped_too(tmp_path: Path) -> None:
    fabricated.clean(tmp_path)
    bad = tmp_path / "<img src=x>"
    bad.mkdir()
    (bad / "result.json").write_text("{")
    page = parse(Report(collect([tmp_path])).html())
    assert not page.all("img")
    assert "<img src=x>" in page.all("section")[-1].text
