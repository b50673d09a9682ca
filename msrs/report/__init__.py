"""Reports: the page of results and the curves of a training."""
