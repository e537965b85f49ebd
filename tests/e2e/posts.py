"""Posts that the end-to-end tests send; all made up."""

from __future__ import annotations

POST = (
    "I keep waking up at four and lie there until the alarm. At work I read the same mail three "
    "times and still do not know what it says. My sister asks me to come over on Sundays, and I "
    "say that I am busy, which is not true. I just sit at the window."
)

QUOTED = (
    '🙂🙂 My boss says "try harder" every day and I have not slept for three nights. I keep crying '
    "in the car before work and nobody at home asks how I am."
)
"""Leads the models to quote it; characters outside the BMP stand before all of it."""

LONG = "I am so tired of it all, day by day. " * 2222
"""20,000 words: more tokens than any model's context here, fewer characters than the bound."""
