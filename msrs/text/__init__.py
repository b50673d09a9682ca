"""Text: what counts as the same text, the lists of transcripts on disk, and the units that a model writes."""
