"""The goals of the design, measured as ratios within one run."""
