"""Whole recognisers, put together from front-ends, encoders, fusion, decoder and CTC."""
