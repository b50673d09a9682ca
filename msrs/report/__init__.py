"""Reports: the page of results, the curves of a training, pictures of several trainings side by side."""
