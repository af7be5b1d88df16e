"""What is taken where nobody says otherwise, and where it is from; so light that `giqa --help` can show it."""

BOX_THRESHOLD = 0.35  # score from which a detector's box is kept, protocol section 3
TEXT_THRESHOLD = 0.25  # score from which a word belongs to a box, protocol section 3
MERGE_AREA = 0.256  # T_a of Box-Merge, share of the image, paper section 3.2
MERGE_COVERAGE = 0.95  # T_o of Box-Merge, paper section 3.2

BATCH_SIZE = 16  # images at once, or requests to a server at once
MAX_NEW_TOKENS = 512  # of a model's answer
RESAMPLES = 1000  # of a bootstrap
