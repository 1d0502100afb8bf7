"""The engine: a pure train step, a trial as a loop over it, and a population as one program."""
