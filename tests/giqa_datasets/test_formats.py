import numpy as np
import pytest

from giqa_datasets import Region
from giqa_datasets.formats import FORMATS, box_format


PLAIN = "The tower and the dogs are sharp."
# On two decimals and on cell centres at once, so that both forms give them back exactly
TOWER = np.array([[0.125, 0.375, 0.475, 0.775]])
DOGS = np.array([[0.025, 0.025, 0.075, 0.075], [0.525, 0.025, 0.975, 0.975]])
REGIONS = [Region("tower", (4, 9), TOWER), Region("dogs", (18, 22), DOGS)]
WRITTEN = {
    "giqa": "The [tower](<142, 309>) and the [dogs](<0, 21>, <10, 399>) are sharp.",
    "giqa_decimal": "The [tower](<0.12, 0.38, 0.48, 0.78>) and the [dogs](<0.02, 0.02, 0.08, 0.08>, "
    "<0.52, 0.02, 0.98, 0.98>) are sharp.",
}


def test_the_contracts_formats_are_there():
    assert {"giqa", "giqa_decimal"} <= set(FORMATS)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_format_writes_its_form(name):
    assert box_format(name).write(PLAIN, REGIONS) == WRITTEN[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_format_reads_what_it_writes(name):
    read = box_format(name).read(box_format(name).write(PLAIN, REGIONS))
    assert read.plain == PLAIN
    assert read.malformed == ()
    assert [(found.phrase, found.span) for found in read.regions] == [(known.phrase, known.span) for known in REGIONS]
    for found, known in zip(read.regions, REGIONS, strict=True):
        np.testing.assert_allclose(found.boxes, known.boxes, atol=0.005 + 1e-9 if name == "giqa_decimal" else 1e-9)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_format_reads_it_writes_again(name):
    read = box_format(name).read(WRITTEN[name])
    assert box_format(name).write(read.plain, read.regions) == WRITTEN[name]


@pytest.mark.parametrize(("name", "other"), [("giqa", "giqa_decimal"), ("giqa_decimal", "giqa")])
def test_boxes_in_the_other_form_are_malformed_and_leave_no_region(name, other):
    read = box_format(other).read(WRITTEN[name])
    assert read.regions == ()
    assert [bad.kind for bad in read.malformed] == ["not_a_box"] * 3
    assert read.plain == PLAIN


@pytest.mark.parametrize("name", WRITTEN)
def test_reading_never_raises(name):
    for text in ("", "\n", "[", "[a](<", "[a](<1, 2", "<1>", "[a](<x>)"):
        assert box_format(name).read(text).text == text


@pytest.mark.parametrize("name", ["", "coco", "GIQA", "giqa "])
def test_an_unknown_format_is_refused_in_one_sentence(name):
    with pytest.raises(
        ValueError, match=rf"^expected a box format out of \['giqa', 'giqa_decimal'.*\], got '{name}'$"
    ):
        box_format(name)
