"""What keeps a recipe of `trl grpo` from learning: rewards that TRL cannot call, and lengths that cut answers off.

No reward is called but our own: another one is code of the recipe's folder.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from giqa_datasets.errors import InputError
from giqa_metrics import rewards
from giqa_metrics.recipe_check.training_sample import TrainingSample
from giqa_metrics.rewards import Reward


OURS = f"{rewards.__name__}."
TRLS = ("accuracy_reward", "get_soft_overlong_punishment", "reasoning_accuracy_reward", "think_format_reward")
ENOUGH = 0.5  # what a right answer must earn: its box format's own steps and the grid's are not one box


def own_rewards(script: Any, training: Any, findings: list[str]) -> dict[str, Reward]:
    """Return the rewards of ours that a recipe names; what keeps TRL from calling one is added to the findings."""
    found: dict[str, Reward] = {}
    names = script.reward_funcs or []
    if isinstance(names, str) or any(len(name) == 1 for name in names):  # TRL's parser takes a text for a list
        raise InputError(f"expected reward_funcs to be a list, such as [{OURS}grounding], got {''.join(names)!r}")
    for name in names:
        if name.startswith(OURS):
            try:
                found[name] = getattr(rewards, name.removeprefix(OURS))
            except (AttributeError, InputError) as error:
                findings.append(f"reward_funcs: {name} cannot be had: {error}")
        elif "." not in name and name not in TRLS:
            findings.append(f"reward_funcs: trl knows no reward {name!r}, and it is no dotted path")
    if found and training.remove_unused_columns:
        findings.append("remove_unused_columns takes the column answer from the rewards: set it to false")
    return found


def faults_of_reinforcement(
    row: Mapping[str, Any], sample: TrainingSample, training: Any, found: Mapping[str, Reward]
) -> Iterator[str]:
    """Say what of a row would keep a right completion of it from its reward."""
    tokens = sample.tokens
    longest = training.max_completion_length
    if longest is not None and tokens.answer > longest:
        yield f"its answer takes {tokens.answer} tokens, max_completion_length cuts it off at {longest}"
    room = training.vllm_max_model_length if training.use_vllm else None
    whole = tokens.image + tokens.text - tokens.answer + (longest or 0)
    if room is not None and whole > room:
        yield (
            f"prompt and completion take {whole} tokens, {tokens.image} of them the picture's, vllm_max_model_length "
            f"has room for {room}: limit the processor's pixels"
        )
    columns = {name: [value] for name, value in row.items() if name not in ("prompt", "completion", "image")}
    for name, reward in found.items():
        (earned,) = reward(completions=[row["completion"]], **columns)
        if earned is not None and (math.isnan(earned) or earned < ENOUGH):
            yield f"its right answer earns {earned:.2f} by {name}: that reads another box format than the data's"
