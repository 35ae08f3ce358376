"""Does one model's probe mean the same in another? Probes carried over by alignments.

An alignment is fitted on the train texts, which both models read; the carried probe is evaluated
on the other model's test texts. There are two fits:

- **all**: on the texts as they are. It names no label, but the side is most of what the texts
  share, so that the alignment learns which axis tells the sides apart.
- **within**: each side's mean is taken off first. The alignment then knows only what texts of the
  same side have in common in both models; that it carries a probe of the sides is evidence that
  the models share the direction and not only that each has one.

Each control answers a question:

- **Pairs**: the second model's pairs change places within their scenario and keep their sides.
  Does it take the very same texts? Where the fit is "all", what this null leaves, scenario and
  side, makes the alignment a probe trained on the second model; a transfer that is no better owes
  nothing to the texts. It is the null of "within": there it has little power with a few dozen
  pairs, since one strong axis in each model may meet the other's by chance.
- **Sides** ("all" only): the sides of the second model's pairs are swapped at random, in train
  and test alike. Do the models share the side, beyond pair and topic? Without the swap in test
  the question would be lost: where both models have one strong axis, a refit on swapped pairs
  finds it again, with a sign at random, and would be right half of the time.
- **Random directions** of the first model, carried by the true alignment. Would any direction do?
"""

from empathy_mi.alignment.inputs import ModelActivations as ModelActivations
from empathy_mi.alignment.maps import METHODS as METHODS
from empathy_mi.alignment.maps import SpaceMap as SpaceMap
from empathy_mi.alignment.maps import cca as cca
from empathy_mi.alignment.maps import procrustes as procrustes
from empathy_mi.alignment.results import Alignment as Alignment
from empathy_mi.alignment.results import Transfer as Transfer
from empathy_mi.alignment.results import alignment_frame as alignment_frame
from empathy_mi.alignment.similarity import Similarity as Similarity
from empathy_mi.alignment.similarity import cka as cka
from empathy_mi.alignment.similarity import cka_among_shuffles as cka_among_shuffles
from empathy_mi.alignment.transfers import align as align
from empathy_mi.alignment.transfers import transfer as transfer
