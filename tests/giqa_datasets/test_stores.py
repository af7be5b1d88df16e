import hashlib
import io
import os
import pickle
import tarfile
import unicodedata
from collections.abc import Callable

import pytest

from giqa_datasets import image_stores
from giqa_datasets.image_stores import (
    FirstOf,
    Folder,
    ImageFile,
    ImageStore,
    OwnCopies,
    Tar,
    differences,
    images_under,
    read_manifest,
    safe_name,
    write_manifest,
)


FILES = {"spaq_koniq/00003.jpg": b"three", "livefb_liveitw_aigc/t1.bmp": b"one", "spaq_koniq/猫.png": b"cat"}
UNSAFE = ["../canary", "a/../../canary", "/etc/hostname", "", ".", "a\0b", "a\\..\\b", "C:/a", "\ud800.jpg", "a\nb"]


def put(root, files):
    for name, raw in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
    return root


def pack(path, *members):
    """A tar of (name or TarInfo, bytes)."""
    with tarfile.open(path, "w") as tar:
        for member, raw in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture(params=["folder", "tar", "tar-with-dots", "copies"])
def store(request, tmp_path):
    """The same files, kept in each way."""
    if request.param == "folder":
        return Folder(put(tmp_path, FILES))
    if request.param == "copies":
        own = put(tmp_path, {f"own/{number}": raw for number, raw in enumerate(FILES.values())})
        return OwnCopies({name: hashlib.sha256(raw).hexdigest() for name, raw in FILES.items()}, [own])
    dots = "./" if request.param == "tar-with-dots" else ""
    return Tar(pack(tmp_path / "images.tar", *((dots + name, raw) for name, raw in FILES.items())))


def test_every_store_gives_the_same_bytes(store):
    assert {name: store.read(name) for name in FILES} == FILES
    assert store.read("./spaq_koniq//00003.jpg") == b"three"


def test_every_store_says_what_it_lacks(store):
    for name in ("spaq_koniq/9.jpg", "spaq_koniq"):
        with pytest.raises(FileNotFoundError, match="spaq_koniq"):
            store.read(name)


@pytest.mark.parametrize("name", UNSAFE)
def test_no_store_takes_an_unsafe_name(store, name):
    with pytest.raises(ValueError, match="expected a relative path inside the store"):
        store.read(name)


def test_a_safe_name_stays_as_it_is():
    assert [safe_name(name) for name in FILES] == list(FILES)


NFC, NFD = "K\u00fcche [1].jpg", "Ku\u0308che [1].jpg"


@pytest.mark.parametrize("store", ["folder", "tar", "copies"])
def test_a_name_is_found_in_another_unicode_form_or_with_other_slashes(store, tmp_path):
    files = {f"a b/{NFD}": b"kitchen", "a b/plain.jpg": b"plain"}
    stores: dict[str, Callable[[], ImageStore]] = {
        "folder": lambda: Folder(put(tmp_path, files)),
        "tar": lambda: Tar(pack(tmp_path / "images.tar", *files.items())),
        "copies": lambda: OwnCopies(
            {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}, [put(tmp_path / "own", files)]
        ),
    }
    made = stores[store]()
    for name in (f"a b/{NFD}", f"a b/{NFC}", f"a b\\{NFC}", f".\\a b\\{NFD}"):
        assert made.read(name) == b"kitchen"
    assert made.read("a b\\plain.jpg") == b"plain"
    with pytest.raises(FileNotFoundError):
        made.read("a b/Kuche [1].jpg")


def test_of_two_files_that_fit_the_one_to_the_letter_is_read_and_else_none(tmp_path):
    folder = Folder(put(tmp_path, {NFC: b"composed", NFD: b"decomposed"}))
    assert (folder.read(NFC), folder.read(NFD)) == (b"composed", b"decomposed")
    half = unicodedata.normalize("NFD", "\u01d6.jpg")  # u, diaeresis, macron: three forms
    put(tmp_path, {half: b"3", unicodedata.normalize("NFC", half): b"1"})
    with pytest.raises(ValueError, match="expected one file that fits"):
        Folder(tmp_path).read("\u00fc\u0304.jpg")


def test_names_of_one_file_and_of_its_copies_are_told(tmp_path):
    folder = Folder(put(tmp_path, {"a": b"one", "b": b"two", "c": b"one", "d": b"three"}))
    (tmp_path / "e").symlink_to("b")
    names = list("abcde")
    assert folder.first_names(names) == dict(zip(names, "abadb", strict=True))


def test_a_folder_that_is_sent_leaves_its_names_behind(tmp_path):
    folder = Folder(put(tmp_path, {NFC: b"kitchen"}))
    assert folder.read(NFD) == b"kitchen"
    sent = pickle.dumps(folder)
    assert len(sent) < 500
    assert pickle.loads(sent).read(NFD) == b"kitchen"


def test_a_folder_does_not_follow_a_link_that_leads_out(tmp_path):
    (tmp_path / "canary").write_bytes(b"secret")
    root = put(tmp_path / "root", {"a.jpg": b"a"})
    (root / "link").symlink_to(tmp_path / "canary")
    (root / "up").symlink_to(tmp_path)
    (root / "inside.jpg").symlink_to(root / "a.jpg")
    for name in ("link", "up/canary"):
        with pytest.raises(ValueError, match="leads out of"):
            Folder(root).read(name)
    assert Folder(root).read("inside.jpg") == b"a"


def test_what_a_folder_cannot_read_is_refused(tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("circle", "a" * 5000, "a/" * 5000 + "b"):
        with pytest.raises(ValueError, match="cannot be read"):
            Folder(tmp_path).read(name)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path).read("pipe")


def test_a_hostile_tar_gives_only_its_regular_files(tmp_path):
    (tmp_path / "canary").write_bytes(b"secret")
    path = pack(
        tmp_path / "hostile.tar",
        ("good.jpg", b"good"),
        ("../canary", b"escaped"),
        ("/absolute.jpg", b"absolute"),
        (special("folder", tarfile.DIRTYPE), b""),
        (special("soft", tarfile.SYMTYPE, str(tmp_path / "canary")), b""),
        (special("hard", tarfile.LNKTYPE, "good.jpg"), b""),
        (special("device", tarfile.CHRTYPE), b""),
        (special("block", tarfile.BLKTYPE), b""),
        (special("pipe", tarfile.FIFOTYPE), b""),
        ("soft/inner.jpg", b"behind a link"),
    )
    before = sorted(tmp_path.iterdir())
    tar = Tar(path)
    assert tar.refused == ["'../canary'", "'/absolute.jpg'", *map(repr, ("soft", "hard", "device", "block", "pipe"))]
    assert tar.read("good.jpg") == b"good"
    assert tar.read("soft/inner.jpg") == b"behind a link"  # the tar's own bytes; nothing is followed
    for name in ("soft", "hard", "device", "block", "pipe", "folder", "canary", "absolute.jpg"):
        with pytest.raises(FileNotFoundError):
            tar.read(name)
    assert sorted(tmp_path.iterdir()) == before


def test_the_later_of_two_members_counts_as_after_unpacking(tmp_path):
    assert Tar(pack(tmp_path / "a.tar", ("a", b"old"), ("./a", b"new"))).read("a") == b"new"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_stores, "MAX_BYTES", 4)
    put(tmp_path, {"root/a": b"12345", "root/b": b"1234"})
    tar = pack(tmp_path / "a.tar", ("a", b"12345"), ("b", b"1234"))
    for store in (Folder(tmp_path / "root"), Tar(tar)):
        assert store.read("b") == b"1234"
        with pytest.raises(ValueError, match="expected at most 4 bytes"):
            store.read("a")


def test_a_member_that_claims_more_than_the_tar_holds_is_refused(tmp_path):
    path = pack(tmp_path / "a.tar", ("a", b"a" * 2000))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"ends inside 'a'|expected an uncompressed tar"):
        Tar(path).read("a")


def with_size(raw, field):
    """A tar whose first member's size field is another, with its checksum mended."""
    header = bytearray(raw[:512])
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + raw[512:]


@pytest.mark.parametrize("size", [-512, -1024, -1])
def test_a_member_of_negative_size_ends_the_reading(tmp_path, size):
    path = pack(tmp_path / "a.tar", ("a", b"a"), ("b", b"b"))
    path.write_bytes(with_size(path.read_bytes(), size.to_bytes(12, "big", signed=True)))
    with pytest.raises(ValueError, match="expected an uncompressed tar"):
        Tar(path)


def test_what_is_no_plain_tar_is_named(tmp_path):
    with tarfile.open(tmp_path / "z.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    (tmp_path / "text.tar").write_text("no tar at all")
    for name in ("z.tar", "text.tar"):
        with pytest.raises(ValueError, match=f"expected an uncompressed tar in .*{name}"):
            Tar(tmp_path / name)


def test_the_extracted_folders_come_before_the_tars(tmp_path):
    put(tmp_path, {"a.jpg": b"extracted"})
    pack(tmp_path / "x.tar", ("a.jpg", b"packed"), ("b.jpg", b"packed"))
    (tmp_path / "folder.tar").mkdir()
    images = images_under(tmp_path)
    assert (images.read("a.jpg"), images.read("b.jpg")) == (b"extracted", b"packed")
    with pytest.raises(FileNotFoundError, match=r"c\.jpg"):
        images.read("c.jpg")


def test_own_copies_are_found_under_any_name_and_place(tmp_path):
    put(tmp_path / "upstream", FILES)
    hashed = (ImageFile(name, hashlib.sha256(raw).hexdigest()) for name, raw in FILES.items())
    write_manifest(tmp_path / "manifest.jsonl", hashed)
    put(tmp_path / "spaq", {"deep/down/photo.JPG": b"three", "more": b"noise"})
    put(tmp_path / "live", {"1.bmp": b"one"})
    (tmp_path / "live" / "link").symlink_to(tmp_path / "upstream")
    manifest = read_manifest(tmp_path / "manifest.jsonl")
    copies = OwnCopies(manifest, [tmp_path / "spaq", tmp_path / "live"])
    assert copies.read("spaq_koniq/00003.jpg") == b"three"
    assert copies.read("livefb_liveitw_aigc/t1.bmp") == b"one"
    (missing,) = differences(copies, manifest)
    assert "expected a copy of 'spaq_koniq/猫.png'" in missing


def test_a_copy_with_other_bytes_is_told_from_a_missing_one(tmp_path):
    manifest = {name: hashlib.sha256(raw).hexdigest() for name, raw in FILES.items()}
    copies = OwnCopies(manifest, [put(tmp_path / "own", {"00003.jpg": b"resized", "one": b"one"})])
    resized, missing = differences(copies, manifest)
    assert "of 'spaq_koniq/00003.jpg', got another in" in resized
    assert "found none" in missing
    with pytest.raises(ValueError, match="got another in"):
        FirstOf(copies, Folder(tmp_path)).read("spaq_koniq/00003.jpg")


def test_a_copy_that_changed_after_it_was_hashed_is_refused(tmp_path):
    copies = OwnCopies({"a": hashlib.sha256(b"a").hexdigest()}, [put(tmp_path / "own", {"x": b"a"})])
    (tmp_path / "own" / "x").write_bytes(b"b")
    with pytest.raises(ValueError, match="has changed since"):
        copies.read("a")


def test_differences_are_none_where_all_is_there(store):
    manifest = {name: hashlib.sha256(raw).hexdigest() for name, raw in FILES.items()}
    assert differences(store, manifest) == []


def test_differences_name_what_differs_and_what_is_missing(tmp_path):
    manifest = {name: hashlib.sha256(raw).hexdigest() for name, raw in FILES.items()}
    put(tmp_path, {"spaq_koniq/00003.jpg": b"other"})
    assert [sentence.split(", ")[-1][:5] for sentence in differences(Folder(tmp_path), manifest)] == [
        "got " + hashlib.sha256(b"other").hexdigest()[0],
        "found",
        "found",
    ]


def test_a_folder_of_own_copies_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of photographs in"):
        OwnCopies({}, [tmp_path / "lost"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"file": "b.jpg"}', "line 2: sha256: field required"),
        ('{"file": "b.jpg", "sha256": "XYZ"}', "line 2: sha256: string should match pattern"),
        ('{"file": "../b.jpg", "sha256": "' + "0" * 64 + '"}', "line 2: expected a relative path"),
        ('{"file": "a.jpg", "sha256": "' + "1" * 64 + '"}', "line 2: expected one sha256 of 'a.jpg', got a second"),
        ("no json", "line 2: invalid JSON"),
    ],
)
def test_a_wrong_line_of_a_manifest_is_named(tmp_path, line, says):
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"file": "a.jpg", "sha256": "' + "0" * 64 + f'"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        read_manifest(path)
