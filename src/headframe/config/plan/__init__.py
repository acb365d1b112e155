"""The schema of a plan, one file per part: every key that `conf/` may hold, its type, its range and its meaning."""
