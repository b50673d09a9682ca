"""Materials: Kaldi data directories, archives, recordings, and the batches made of them."""
