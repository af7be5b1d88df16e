"""Default values, each with its source; this file imports nothing, so that `giqa --help` can show them."""

BOX_THRESHOLD = 0.35  # the least score of a detector's box, protocol section 3
TEXT_THRESHOLD = 0.25  # the least score of a word of a box, protocol section 3
MERGE_AREA = 0.256  # T_a of Box-Merge, share of the image, paper section 3.2
MERGE_COVERAGE = 0.95  # T_o of Box-Merge, paper section 3.2

OFFLINE = "offline"  # a model's name: the one that needs no server and no hub
COCO, REGIONS = "coco", "coco+regions"  # the offline detectors

BATCH_SIZE = 16  # images at once, or requests to a server at once
MAX_NEW_TOKENS = 512  # of a model's answer
RESAMPLES = 1000  # of a bootstrap
