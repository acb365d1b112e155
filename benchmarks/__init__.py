"""The promises of the design, measured as ratios within one run."""
