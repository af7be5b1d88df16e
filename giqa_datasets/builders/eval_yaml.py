"""The `eval.yaml` of a benchmark: the tasks whose results the Hub collects from model repos, one scalar each."""

from collections.abc import Collection

import yaml


BENCHMARKS = frozenset({"giqa-bench", "giqa-bench-mini"})
# The columns of the paper's Table 5 by config, under the keys that the metrics give them
SCORES = {
    "des": ("miou", "tag_recall", "bleu4", "llm_score"),
    "vqa": ("miou", "tag_recall", "accuracy_yes_no", "accuracy_open", "accuracy"),
}
_DESCRIPTION = (
    "Grounded image quality assessment: descriptions of an image's quality (des) and questions about it (vqa), the "
    "objects in both tied to boxes. The scores are those that giqa score gives with its defaults: mIoU, Tag-Recall "
    "and accuracies from 0 to 1, BLEU@4 and LLM-Score from 0 to 100. Task, text format and scores are those of "
    "arXiv 2411.17237; this set is not the authors' release."
)


def benchmark_eval_yaml(name: str, configs: Collection[str]) -> str:
    """Write the `eval.yaml` of a benchmark with a `test` split and those configs of `des` and `vqa`.

    It names no `evaluation_framework`: the Hub has a fixed list of them, and ours is not on it.

    Example:
        >>> print(benchmark_eval_yaml("giqa-bench", ["des"]).partition("tasks:")[2].splitlines()[1])
        - id: des_miou
    """
    tasks = [
        {"id": f"{config}_{score}", "config": config, "split": "test"}
        for config, scores in SCORES.items()
        if config in configs
        for score in scores
    ]
    content = {"name": name, "description": _DESCRIPTION, "tasks": tasks}
    written: str = yaml.safe_dump(content, sort_keys=False, width=119)
    return written
