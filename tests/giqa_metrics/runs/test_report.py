"""The report as a reader sees it: in headless Chromium, from a file, with nothing else to load."""

import json

import pytest
import yaml

from giqa_datasets import parse
from giqa_metrics.runs.paper import COMPOSITION, NOTE, SOURCE, table5
from giqa_metrics.runs.report import render_report
from giqa_metrics.runs.table import NOT_COMPARABLE, paper_tables, tables


pytestmark = pytest.mark.slow


HOSTILE = "<img src=x onerror=alert(1)> </script><script>alert(2)</script> {{ 7 * 7 }} &amp;"
CHANGED = {
    "astronaut-des": f"The [head](<6, 151>) is fine. {HOSTILE} [<b onclick=alert(3)>cap</b>](<200, 305>)",
    "penguins-des": "The [large words](<63, 277>) and the [car](<301, 999>), the [line](<24",
}
MODEL = "<script>alert(4)</script>_a_model_with_a_name_that_is_far_too_long_for_any_telephone_to_show_in_one_line"


@pytest.fixture(scope="module")
def page_file(workspace, tmp_path_factory):
    """A run over the mini benchmark: three rows wrong, one unanswered, the rest right. Its report and predictions."""
    from datasets import load_dataset

    from giqa_metrics.runs.score import Options, score_run

    folder = tmp_path_factory.mktemp("report")
    data = str(workspace / "giqa-bench-mini")
    rows = list(load_dataset(data, split="test").remove_columns("image"))
    answers = {row["id"]: row["answer"] for row in rows} | CHANGED
    closed = [row["id"] for row in rows if row["question_type"] == "yes_no"]
    answers |= {closed[0]: "Perhaps.", closed[1]: None}
    lines = [json.dumps({"id": identifier, "prediction": text}) + "\n" for identifier, text in answers.items()]
    (folder / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
    config = {"model": MODEL, "data": data, "config": None, "split": "test", "limit": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    score_run(folder, options=Options(similarity="exact", resamples=50))
    return folder / "report.html", {row["id"]: row for row in rows}, answers


@pytest.fixture(scope="module")
def opened(browser, page_file):
    """The report in a window, with what it asked for, said and complained about from the start."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    heard = {"requests": [], "dialogs": [], "errors": []}
    page.on("request", lambda request: heard["requests"].append(request.url))
    page.on("dialog", lambda dialog: (heard["dialogs"].append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: heard["errors"].append(str(error)))
    page.on("console", lambda message: message.type == "error" and heard["errors"].append(message.text))
    page.goto(page_file[0].as_uri())
    yield page, heard
    page.close()


@pytest.fixture
def page(opened):
    page, _ = opened
    page.mouse.move(0, 0)
    yield page
    page.evaluate("document.activeElement.blur()")


def article(page, identifier: str):
    found = page.locator("article").filter(has=page.locator(f"b:text-is('{identifier}')"))
    assert found.count() == 1
    found.scroll_into_view_if_needed()
    return found


def lit(article) -> set[tuple[str, str]]:
    """Kind and link of everything that is lit."""
    parts = article.locator(".on").all()
    return {(part.evaluate("part => part.tagName"), part.get_attribute("data-link")) for part in parts}


def cells_of(table, row: int) -> dict[str, str]:
    """Texts of a table's row by column; the first column has no name."""
    columns = table.locator("thead th").all_inner_texts()
    cells = table.locator("tbody tr").nth(row).locator("th, td").all_inner_texts()
    return dict(zip(columns, cells, strict=True))


def test_the_score_tables_are_shown(page, page_file):
    summary = json.loads(page_file[0].with_name("summary.json").read_text(encoding="utf-8"))
    tables = page.locator("table").all()
    assert len(tables) == 2
    assert all(table.is_visible() for table in tables)
    for table, task in zip(tables, ("des", "vqa"), strict=True):
        names = table.locator("tbody th").all_inner_texts()
        assert names == [MODEL, *(f"blind: {name}" for name in summary[task]["baselines"])]
        boxes = summary[task]["giqa_grounding"]
        value, interval = cells_of(table, 0)["mIoU"].split()
        low, high = boxes["intervals"]["miou"]
        assert (value, interval) == (f"{boxes['miou']:.4f}", f"{low:.3f}\u2013{high:.3f}")
        blind = summary[task]["baselines"]["whole image"]["giqa_grounding"]["miou"]
        assert cells_of(table, names.index("blind: whole image"))["mIoU"] == f"{blind:.4f}"


def test_a_percentage_has_fewer_digits_and_so_has_its_interval(page, page_file):
    words = json.loads(page_file[0].with_name("summary.json").read_text(encoding="utf-8"))["des"]["giqa_description"]
    low, high = words["intervals"]["bleu4"]
    value, interval = cells_of(page.locator("table").nth(0), 0)["BLEU@4"].split()
    assert (value, interval) == (f"{words['bleu4']:.2f}", f"{low:.1f}\u2013{high:.1f}")


def test_a_score_that_does_not_exist_is_a_dash(page):
    assert cells_of(page.locator("table").nth(0), 0)["LLM-Score"] == "-"
    assert cells_of(page.locator("table").nth(1), 0)["Acc (W)"] == "-"


def test_the_report_says_what_the_small_figures_are(page):
    page.locator("summary").first.click()
    text = " ".join(page.locator("details p").inner_text().split())
    page.locator("summary").first.click()
    assert "Small figures are 95 % confidence intervals (jackknife over images, t on the logit scale)." in text


def test_without_a_judge_there_is_no_note_and_no_table_by_question_type(page):
    assert page.locator("p.note").count() == 0
    assert "by question type" not in page.locator("main").inner_text()


def test_the_papers_table_is_not_beside_other_samples(page):
    assert page.locator("main > details").count() == 1
    assert "arXiv 2411.17237" not in page.content()


def test_every_signature_can_be_read(page, page_file):
    text = page_file[0].with_name("summary.json").read_text(encoding="utf-8")
    page.locator("summary").first.click()
    shown = page.locator("main > details code").all_inner_texts()
    assert all(f'"{signature}"' in text for signature in shown)
    assert {signature.split("|")[0] for signature in shown} == {"giqa_grounding", "giqa_description", "giqa_vqa"}
    assert page.locator("main > details code").first.is_visible()


def test_there_is_one_article_for_each_sample_and_the_worst_come_first(page, page_file):
    lines = page_file[0].with_name("scores.jsonl").read_text(encoding="utf-8").splitlines()
    scores = {row["id"]: row for row in map(json.loads, lines)}

    def goodness(row: dict) -> float:
        """Accuracy where there is one, else strict mIoU; what has no score comes last."""
        places = (("giqa_vqa", "accuracy"), ("giqa_grounding", "miou_strict"))
        known = [row[metric][name] for metric, name in places if row.get(metric, {}).get(name) is not None]
        return known[0] if known else 2.0

    shown = page.locator("article .head b").all_text_contents()
    assert sorted(shown) == sorted(scores)
    order = [goodness(scores[identifier]) for identifier in shown]
    assert order == sorted(order)
    assert order[0] == 0.0
    assert order[-1] == 2.0


def test_every_article_shows_its_picture(page):
    assert page.locator("article svg use").count() == page.locator("article").count()
    broken = page.evaluate(
        """async () => {
            const uris = [...document.querySelectorAll("symbol image")].map((image) => image.href.baseVal);
            const sizes = await Promise.all(uris.map(async (uri) => {
                const image = new Image();
                image.src = uri;
                await image.decode();
                return [image.naturalWidth, image.naturalHeight];
            }));
            const boxes = [...document.querySelectorAll("symbol")].map((symbol) => symbol.viewBox.baseVal);
            return sizes.filter((size, k) => size[0] !== boxes[k].width || size[1] !== boxes[k].height).length;
        }"""
    )
    assert broken == 0


@pytest.mark.parametrize("identifier", ["astronaut-des", "penguins-des"])
def test_boxes_of_both_colours_stand_where_the_text_says(page, page_file, identifier):
    _, rows, answers = page_file
    shown = article(page, identifier)
    places = shown.evaluate(
        """article => {
            const frame = article.querySelector("svg use").getBoundingClientRect();
            return [...article.querySelectorAll("rect")].map((rect) => {
                const to = rect.getScreenCTM(), {x, y, width, height} = rect.getBBox();
                const corner = (x, y) => new DOMPoint(x, y).matrixTransform(to);
                const low = corner(x, y), high = corner(x + width, y + height);
                const share = (point) => [(point.x - frame.x) / frame.width, (point.y - frame.y) / frame.height];
                return {role: rect.getAttribute("class"), colour: getComputedStyle(rect).stroke,
                        phrase: rect.querySelector("title").textContent, box: [...share(low), ...share(high)]};
            });
        }"""
    )
    for role, text in (("predicted", answers[identifier]), ("reference", rows[identifier]["answer"])):
        expected = [(region.phrase, box) for region in parse(text).regions for box in region.boxes.tolist()]
        found = [place for place in places if place["role"] == role]
        assert [place["phrase"] for place in found] == [f"{phrase} ({role})" for phrase, _ in expected]
        for place, (_, box) in zip(found, expected, strict=True):
            assert place["box"] == pytest.approx(box, abs=0.005)
    colours = {
        role: {place["colour"] for place in places if place["role"] == role} for role in ("predicted", "reference")
    }
    assert all(len(found) == 1 for found in colours.values())
    assert colours["predicted"] != colours["reference"]


def test_hovering_a_phrase_lights_its_box(page):
    shown = article(page, "astronaut-des")
    shown.locator("mark.reference").nth(1).hover()
    assert lit(shown) == {("MARK", "reference-1"), ("rect", "reference-1")}
    page.mouse.move(0, 0)
    assert lit(shown) == set()


def test_hovering_a_box_lights_its_phrase(page):
    shown = article(page, "penguins-des")
    box = shown.locator("rect[data-link='reference-2']")
    box.hover()
    assert ("MARK", "reference-2") in lit(shown)
    assert ("rect", "reference-2") in lit(shown)
    assert "car" in shown.locator("mark.on").all_inner_texts()
    page.mouse.move(0, 0)
    assert lit(shown) == set()


def test_only_what_is_lit_stands_out(page):
    shown = article(page, "astronaut-des")
    shown.locator("mark.reference").nth(0).hover()
    opacity = "rect => getComputedStyle(rect).opacity"
    assert shown.locator("rect[data-link='reference-0']").evaluate(opacity) == "1"
    assert float(shown.locator("rect[data-link='reference-1']").evaluate(opacity)) < 0.5


def test_the_keyboard_lights_boxes_too(page):
    shown = article(page, "astronaut-des")
    marks = shown.locator("mark")
    marks.nth(0).focus()
    first = marks.nth(0).get_attribute("data-link")
    assert lit(shown) == {("MARK", first), ("rect", first)}
    page.keyboard.press("Tab")
    second = marks.nth(1).get_attribute("data-link")
    assert first != second
    assert lit(shown) == {("MARK", second), ("rect", second)}


def test_the_filter_shows_one_task_and_counts_it(page, page_file):
    tasks = [row["task"] for row in page_file[1].values()]
    for task in ("des", "vqa"):
        page.locator("#task").select_option(task)
        visible = [found for found in page.locator("article").all() if found.is_visible()]
        assert {found.get_attribute("data-task") for found in visible} == {task}
        assert len(visible) == tasks.count(task)
        assert page.locator("#shown").inner_text() == str(tasks.count(task))
    page.locator("#task").select_option("")
    assert page.locator("#shown").inner_text() == str(len(tasks))
    assert all(found.is_visible() for found in page.locator("article").all())


@pytest.mark.parametrize("role", ["predicted", "reference", "question"])
def test_a_checkbox_hides_the_boxes_of_its_role(page, role):
    box = page.locator(f"input[data-role='{role}']")
    display = "rects => new Set(rects.map((rect) => getComputedStyle(rect).display)).size === 1 && " + (
        "getComputedStyle(rects[0]).display"
    )
    rects = {name: page.locator(f"rect.{name}") for name in ("predicted", "reference", "question")}
    assert all(found.count() > 0 for found in rects.values())
    box.uncheck()
    hidden = {name: found.evaluate_all(display) == "none" for name, found in rects.items()}
    box.check()
    assert hidden == {name: name == role for name in rects}
    assert rects[role].evaluate_all(display) != "none"


def test_no_request_leaves_the_machine_and_nothing_goes_wrong(opened):
    page, heard = opened
    page.wait_for_load_state("networkidle")
    assert heard["requests"][0].startswith("file:")
    assert [url for url in heard["requests"] if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in heard["requests"] if url.startswith("file:")]) == 1
    assert heard["errors"] == []


def test_hostile_text_is_shown_as_text_and_runs_nothing(opened):
    page, heard = opened
    shown = article(page, "astronaut-des")
    assert f"The head is fine. {HOSTILE} <b onclick=alert(3)>cap</b>" in shown.inner_text()
    shown.locator("mark", has_text="cap").click()
    assert page.locator("h1").inner_text() == MODEL
    assert page.locator("article img, article script, article b[onclick], main script").count() == 0
    assert heard["dialogs"] == []


def test_malformed_boxes_are_listed_with_what_is_wrong(page):
    text = " ".join(article(page, "penguins-des").locator("dd").last.inner_text().split())
    assert text == "<301, 999> out_of_range; [line](<24 unclosed"
    assert page.locator("dt.warn").count() == 1


def test_no_answer_is_said_to_be_none(page, page_file):
    (identifier,) = (identifier for identifier, text in page_file[2].items() if text is None)
    assert "no answer" in article(page, identifier).inner_text()


def sideways(browser, file, width: int, before: str) -> list[int]:
    """Width of the content and of the window, after running a line of script."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(file.as_uri())
    # content-visibility skips what is off the screen, so go through it all
    page.evaluate("document.querySelectorAll('article').forEach((part) => part.style.contentVisibility = 'visible')")
    page.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
    page.evaluate(before)
    sizes = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    page.close()
    return sizes


@pytest.mark.parametrize("width", [360, 390, 768])
def test_a_narrow_window_has_nothing_to_scroll_sideways(browser, page_file, width):
    short = "document.querySelector('h1').textContent = document.querySelector('.lead').textContent = 'short'"
    content, window = sideways(browser, page_file[0], width, short)
    assert content <= window


def test_a_long_name_of_a_model_does_not_widen_a_telephones_page(browser, page_file):
    content, window = sideways(browser, page_file[0], 390, "0")
    assert content <= window


@pytest.fixture(scope="module")
def bench_file(page_file, workspace, tmp_path_factory):
    """The report of a judged run whose samples are as many of each type as GIQA-Bench has. Its summary too."""
    from giqa_metrics.runs.score import Options, compute

    class Judge:
        name = "m@12345678,not-comparable"

        def judge(self, batch):
            return [None if verdict.answer == "Noise." else 3 for verdict in batch]

    folder = tmp_path_factory.mktemp("bench")
    data = str(workspace / "giqa-bench-mini")
    options = Options(similarity="exact", resamples=20)
    kept: list[dict] = []
    path = page_file[0].with_name("predictions.jsonl")
    scored = compute(path, data, options=options, judge=Judge(), keep=lambda some, _: kept.extend(some))
    rows = []
    for kind, count in COMPOSITION.items():
        alike = [row for row in kept if row["question_type"] == kind]
        rows += [alike[k % len(alike)] | {"id": f"{kind}-{k}"} for k in range(count)]
    page = render_report(scored.summary, rows, scored.dataset, box_format="giqa")
    (folder / "report.html").write_text(page, encoding="utf-8")
    return folder / "report.html", scored.summary


@pytest.fixture(scope="module")
def bench_page(browser, bench_file):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(bench_file[0].as_uri())
    yield page
    page.close()


def test_the_papers_table_is_beside_samples_of_giqa_benchs_composition(bench_page):
    details = bench_page.locator("main > details").filter(has=bench_page.locator("table"))
    assert details.count() == 1
    assert not details.locator("table").first.is_visible()
    details.locator("summary").first.click()
    for table, task in zip(details.locator("table").all(), ("des", "vqa"), strict=True):
        assert table.is_visible()
        assert table.locator("tbody th").all_inner_texts() == [row.method for row in table5()]
        last = cells_of(table, len(table5()) - 1)
        assert last["mIoU"] == f"{getattr(table5()[-1], task)['miou']:.4f}"
        assert cells_of(table, 0)["mIoU"] == "-"
    assert details.locator("h2").all_inner_texts() == [f"{SOURCE}, GIQA-DES", f"{SOURCE}, GIQA-VQA"]
    assert NOTE in details.inner_text()
    details.locator("summary").first.click()


def test_the_run_alone_stands_out_in_bold_and_no_row_of_the_papers(bench_page):
    weights = "rows => rows.map((row) => Number(getComputedStyle(row.querySelector('th')).fontWeight))"
    ours = bench_page.locator("main > .scroll table").first.locator("tbody tr").evaluate_all(weights)
    assert ours[0] > max(ours[1:])
    papers = bench_page.locator("details table").first.locator("tbody tr").evaluate_all(weights)
    assert len(set(papers)) == 1


def test_open_answers_are_shown_by_their_question_type(bench_page, bench_file):
    answers = bench_file[1]["vqa"]["giqa_vqa"]
    section = bench_page.locator("h2", has_text="Acc (W) by question type")
    table = section.locator("xpath=following-sibling::div[1]//table")
    cells = cells_of(table, 0)
    assert list(cells)[1:] == ["What", "Why", "How"]
    assert {kind: cell.split()[0] for kind, cell in list(cells.items())[1:]} == {
        kind.capitalize(): f"{answers[f'accuracy_{kind}']:.4f}" for kind in ("what", "why", "how")
    }


def test_a_judge_that_does_not_compare_or_gave_no_score_is_noted_under_its_table(bench_page, bench_file):
    failures = bench_file[1]["vqa"]["giqa_vqa"]["n_judge_failures"]
    assert failures > 0
    notes = bench_page.locator("main > p.note").all_inner_texts()
    assert notes == [NOT_COMPARABLE, f"{NOT_COMPARABLE} {_left_out(failures)}"]


def _left_out(failures: int) -> str:
    whose = "1 answer; it is" if failures == 1 else f"{failures} answers; they are"
    return f"The judge gave no score for {whose} left out."


def test_one_failure_of_a_judge_is_one_answer(bench_file):
    summary = json.loads(json.dumps(bench_file[1]))
    summary["vqa"]["giqa_vqa"]["n_judge_failures"] = 1
    notes = " ".join(table.note for table in tables(summary))
    assert "1 answers" not in notes
    assert "1 answer" in notes


@pytest.mark.parametrize("width", [360, 390, 768])
def test_a_narrow_window_shows_every_table_without_scrolling_the_page(browser, bench_file, width):
    content, window = sideways(browser, bench_file[0], width, "0")
    assert content <= window


def test_the_papers_tables_are_for_giqa_benchs_composition_alone(bench_rows):
    bench = [kind for kind, count in COMPOSITION.items() for _ in range(count)]
    assert [table.columns for table in paper_tables(bench)] == [
        ["mIoU", "Tag-Recall", "BLEU@4", "LLM-Score"],
        ["mIoU", "Tag-Recall", "Acc (Y)", "Acc (W)", "Acc (Total)"],
    ]
    assert all(len(table.rows) == 16 and table.note == NOTE for table in paper_tables(bench))
    best = dict(paper_tables(bench)[1].rows)["Grounding-IQA (mPLUG-Owl2-7B)"]
    assert [cell.value for cell in best] == ["0.6031", "0.7372", "0.8444", "0.5875", "0.7417"]
    assert paper_tables(bench[1:]) == []
    assert paper_tables([*bench, "what"]) == []
    assert paper_tables([row["question_type"] for row in bench_rows]) == []
    assert paper_tables([]) == []


def test_the_report_is_one_file_that_is_written_whole(page_file):
    names = {path.name for path in page_file[0].parent.iterdir()}
    assert names == {"config.yaml", "predictions.jsonl", "report.html", "scores.jsonl", "summary.json"}
