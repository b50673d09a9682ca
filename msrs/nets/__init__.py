"""Networks between front-end and text: encoders, decoder, CTC head."""

from msrs.nets.conformer import Conformer
from msrs.nets.recurrent import RecurrentEncoder
from msrs.registry import Registry

ENCODERS = Registry("encoder", Conformer, RecurrentEncoder)
