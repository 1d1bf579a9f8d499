"""What Rearview measures: one module a measurement; every table says the command and the machine that made it."""
