"""The branch test: a run continued with its rate lowered earlier, and lowered later."""
