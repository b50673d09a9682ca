"""The embedded corpus: synthetic talking heads that say digits, made on the spot from two portraits and espeak-ng."""
