"""Scoring: errors in words and characters, tables in sclite's shape, confidence intervals and comparisons."""
