"""What a person chooses between in a calibration; imports nothing, so that the command line may."""

from __future__ import annotations

from enum import StrEnum


class Criterion(StrEnum):
    """What the choice between forms looks at.

    LIKELIHOOD: the mean held-out negative log-likelihood. WEIGHTED_F1: of the forms that improve
    that, and no change at all, the one with the highest held-out weighted F1; equal ones by
    likelihood.
    """

    LIKELIHOOD = "likelihood"
    WEIGHTED_F1 = "weighted_f1"


class Policy(StrEnum):
    """What of the recommended policy is written into the manifest."""

    NONE = "none"
    THRESHOLDS = "thresholds"
    ABSTENTION = "abstention"
    BOTH = "both"
