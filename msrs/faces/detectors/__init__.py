"""Detectors: frames in, faces with landmarks out. A detector is one file here and one name in the table.

A detector has `Config`; `prepare()`, called once, before any work and in the process that starts the workers (raises
DependencyError with the command that brings what is missing); `fingerprint(recording, speaker)`, a string that changes
where its landmarks would; and `detect(recording, speaker, frames)`, which yields for each frame the list of its faces,
each (68, 2) float32 in pixels. `frames` is a lazy stream: who does without looking leaves it alone. It is pickled after
`prepare()` and does its work in another process.
"""

from msrs.faces.detectors.mediapipe_tasks import MediaPipeDetector
from msrs.faces.detectors.precomputed import PrecomputedDetector
from msrs.registry import Registry

DETECTORS = Registry("face detector", MediaPipeDetector, PrecomputedDetector)
