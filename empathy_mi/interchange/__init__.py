"""Directions in the formats of other tools: llama.cpp, repeng, steering-vectors, the Hub.

All of them count layers as this package does: layer L is the output of block L.
"""

from empathy_mi.interchange.dictionaries import from_dict as from_dict
from empathy_mi.interchange.dictionaries import to_dict as to_dict
from empathy_mi.interchange.gguf_file import export_gguf as export_gguf
