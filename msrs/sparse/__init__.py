"""Sparse methods: MSRS, its rivals and controls, attached to any model from outside."""

from msrs.registry import Registry
from msrs.sparse.base import NoSparsity
from msrs.sparse.continuous import ContinuousSparsification
from msrs.sparse.controls import MaskControl, ShrinkControl
from msrs.sparse.evolving import Rigl, Set
from msrs.sparse.msrs import Msrs
from msrs.sparse.pruning import GradualPruning, GraNet
from msrs.sparse.snip import Grasp, Snip
from msrs.sparse.static import StaticRandom
from msrs.sparse.two_four import TwoFour

SPARSE_METHODS = Registry(
    "sparse method",
    NoSparsity,
    Msrs,
    ContinuousSparsification,
    StaticRandom,
    Snip,
    Grasp,
    Set,
    Rigl,
    GradualPruning,
    GraNet,
    TwoFour,
    ShrinkControl,
    MaskControl,
)
