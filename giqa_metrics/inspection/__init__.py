"""Photographs against a policy: regions with verdicts, masks, and PASS, REVIEW or FAIL."""
