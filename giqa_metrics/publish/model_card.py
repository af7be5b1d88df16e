"""A model repo's README.md with results: `model-index` in its front matter, and a table between two comments.

Someone else's file is edited as text, so that all other bytes of it stay: order, quotes, comments.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from giqa_datasets import __version__
from giqa_datasets.errors import InputError
from giqa_datasets.package_files import shipped, templates
from giqa_datasets.private_interfaces import card_front_matter, is_repo_id


_DEEPEST = 50  # of a card's YAML; each level makes PyYAML slower
Group = dict[str, Any]  # of a model-index: a task on a data set, and its metrics


def marks(section: str) -> tuple[str, str]:
    """Return the comments before and after a section.

    Example:
        >>> marks("org/giqa-bench des")[0]
        '<!-- giqa results: org/giqa-bench des -->'
    """
    return f"<!-- giqa results: {section} -->", f"<!-- end of giqa results: {section} -->"


def new_card(repo: str, sections: Sequence[str], *, known: Mapping[str, Any], box_format: str) -> bytes:
    """Write the card of a model that has none, the sections still empty.

    The fields known of the front matter are base_model, datasets and license.
    """
    environment = templates(shipped("cards") / "models")
    text = environment.get_template("model.md").render(
        repo=repo,
        name=repo.rpartition("/")[2],
        known=known,
        box_format=box_format,
        marks="\n\n".join("\n".join(marks(section)) for section in sections),
        version=__version__,
    )
    return text.encode()


def known_of(model: str) -> dict[str, Any]:
    """Read the origin of a model from the card that a trainer wrote into its folder; only ids on the Hub count."""
    from huggingface_hub import metadata_load

    card = Path(model) / "README.md"
    try:
        about = (metadata_load(card) if card.is_file() else None) or {}
    except (ValueError, yaml.YAMLError):
        return {}
    base, licence, datasets = (about.get(key) for key in ("base_model", "license", "datasets"))
    listed = [name for name in (datasets if isinstance(datasets, list) else [datasets]) if is_hub_id(name)]
    known = {"base_model": base if is_hub_id(base) else None, "datasets": listed}
    known["license"] = licence if isinstance(licence, str) and re.fullmatch(r"[a-z0-9.-]+", licence) else None
    return {key: value for key, value in known.items() if value}


def edit_card(raw: bytes, name: str, groups: Sequence[Group], sections: Mapping[str, str], *, where: str) -> bytes:
    """Put results into a README.md, in the place of older ones.

    A section, see `marks`, is Markdown, and goes to the end if it is new; `name` is for a card without a model-index.

    Raises:
        ValueError: If the file is no UTF-8, its front matter or model-index cannot be read, or a mark is not there
            exactly once.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is no UTF-8 ({error.reason} at byte {error.start})") from error
    newline = next((end for end in ("\r\n", "\n", "\r") if end in text), "\n")
    mark = text[: text.startswith("\ufeff")]  # of the byte order
    text = text.removeprefix(mark)
    block = card_front_matter().search(text)
    start, head, end = block.groups()[:3] if block else (f"---{newline}", "", f"{newline}---{newline}")
    body = text[block.end() :] if block else text
    head = _with_model_index(head, name, groups, newline, where)
    for section, content in sections.items():
        body = _with_section(body, *marks(section), content, newline, where)
    return f"{mark}{start}{head}{end}{body}".encode()


def _with_model_index(head: str, name: str, groups: Sequence[Group], newline: str, where: str) -> str:
    """The front matter with the groups in its model-index, every other line as it was."""
    about = _front_matter(head, where)
    index = about.get("model-index")
    merged = _merged(index, name, groups, where)
    if merged == index:
        return head
    written = _dump({"model-index": merged}, newline)
    start, end = _span(head, "model-index")
    before = head[:start] + (newline if start == end and head and not head.endswith(newline) else "")
    edited = before + written + head[end:]
    # No edit is trusted: the outcome must have the old fields and the new results
    with suppress(ValueError):
        if repr(_front_matter(edited, where)) == repr(about | {"model-index": merged}):
            return edited
    raise InputError(f"the front matter of {where} is written in a way in which model-index cannot be put there")


def load_plain(raw: bytes | str, where: str) -> Any:
    """Read a stranger's YAML without aliases, with which a few lines can stand for gigabytes.

    Raises:
        ValueError: If it is no UTF-8 or no YAML, has aliases, or is nested more than `_DEEPEST` times.
    """
    depth = 0
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise InputError("it has aliases")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise InputError(f"it is nested more than {_DEEPEST} times")
        return yaml.safe_load(text)
    except Exception as error:  # a stranger's file: PyYAML lets a KeyError or an AttributeError of its own through
        fault = str(error.problem) if isinstance(error, yaml.MarkedYAMLError) else " ".join(str(error).split())
        raise InputError(f"{where} cannot be read: {fault or type(error).__name__}") from error


def _front_matter(head: str, where: str) -> dict[str, Any]:
    about = load_plain(head, f"the front matter of {where}")
    if about is None:
        return {}
    if not isinstance(about, dict):
        raise InputError(f"expected a mapping in the front matter of {where}, got a {type(about).__name__}")
    return about


def _dump(about: dict[str, Any], newline: str) -> str:
    width = float("inf")
    written: str = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, line_break=newline, width=width)
    return written.rstrip()


def _span(head: str, key: str) -> tuple[int, int]:
    """The place of a key and its value in a front matter, without the white space after; the end twice if absent."""
    root = yaml.compose(head, Loader=yaml.SafeLoader)
    for name, value in root.value if root else ():
        if name.value == key:
            start: int = name.start_mark.index
            return start, start + len(head[start : max(name.end_mark.index, _end(value))].rstrip())
    return len(head), len(head)


def _end(node: yaml.Node) -> int:
    """The end of a node; a block's own mark stands behind the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return int(node.end_mark.index)
    children = [child for item in node.value for child in (item if isinstance(item, tuple) else (item,))]
    return max(map(_end, children))


def _merged(index: Any, name: str, groups: Sequence[Group], where: str) -> list[dict[str, Any]]:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    if not index:
        return [{"name": name, "results": list(groups)}]
    try:
        model_index_to_eval_results(index)
        models = [model | {"results": list(model["results"])} for model in index]
        for group in groups:
            _put(group, models)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the model-index of {where} cannot be read: {type(error).__name__} {error}") from error
    return models


def _put(group: Group, models: list[dict[str, Any]]) -> None:
    """Put a group in the place of the first that has one of its metrics; the others lose those metrics, or go."""
    ours = {metric["type"] for metric in group["metrics"]}
    is_put = False
    for model in models:
        results = []
        for result in model["results"]:
            left = [metric for metric in result["metrics"] if metric["type"] not in ours]
            if _on(result) != _on(group) or len(left) == len(result["metrics"]):
                results.append(result)
                continue
            if not is_put:
                results.append(group)
                is_put = True
            if left:
                results.append(result | {"metrics": left})
        model["results"] = results
    if not is_put:
        models[0]["results"].append(group)


def _on(group: Group) -> tuple[Any, ...]:
    """The task and data set of a group, without the revision."""
    return group["task"]["type"], *(group["dataset"].get(key) for key in ("type", "config", "split"))


def _with_section(body: str, first: str, last: str, content: str, newline: str, where: str) -> str:
    """The text with a section between its marks, at the end if they are absent."""
    section = newline.join([first, *content.splitlines(), last])
    if not body.count(first) and not body.count(last):
        gap = "" if not body else newline if body.endswith(newline) else newline * 2
        return f"{body}{gap}{section}{newline}"
    start, end = body.find(first), body.find(last)
    if body.count(first) != 1 or body.count(last) != 1 or end < start:
        counts = body.count(first), body.count(last)
        got = "the second before the first" if counts == (1, 1) else f"them {counts[0]} and {counts[1]} times"
        raise InputError(f"expected {first} and then {last} once each in {where}, got {got}")
    return body[:start] + section + body[end + len(last) :]


def is_hub_id(name: Any) -> bool:
    """Tell whether a name can be a repo on the Hub, `org/name`, and is no folder here."""
    return isinstance(name, str) and name.count("/") == 1 and not Path(name).exists() and is_repo_id(name)
