"""ftstab: which fine-tuning settings keep an aligned language model safe and useful, and how sure are we?

Importing it sets one environment variable of torch, unless it is set: see below.
"""

import os

__version__ = "0.1.0"

# torch reads it at its first allocation.  Large tensors then lie in huge pages where Linux gives them on request (its
# usual setting), and their memory costs a tenth of the page faults; no number changes.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
