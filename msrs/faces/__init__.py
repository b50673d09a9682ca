"""Faces: from a recording to an aligned patch around the mouth, and the evidence that the patch is right."""
