"""The experiment on initial weights: what a run starts from, and what that does to the descent."""
