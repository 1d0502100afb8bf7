"""The experiment on randomness, from options to the closing text; `chance` is what it measures."""
