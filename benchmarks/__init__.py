"""What Rearview measures: one module a measurement; every table says the command and the machine that made it."""

import os

# Before any library is there: some give advice while they are imported. As `pipeline.compute.host.hush` does it.
for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
    os.environ.setdefault(name, "error")
