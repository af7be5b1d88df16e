"""docs/reinforce.md: its blocks run, with two short steps of GRPO on an untrained model."""

import pytest


@pytest.mark.slow
def test_the_page_runs(run_page):
    brief = "--max_steps 2 --per_device_train_batch_size 8 --max_completion_length 12"
    work = run_page("reinforce.md", {"--max_steps 2": brief})
    assert (work / "tiny-llava-grpo" / "model.safetensors").is_file()
