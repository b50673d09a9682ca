"""msrs: lip reading and audio-visual speech recognition trained from scratch."""

__version__ = "0.1.0"
