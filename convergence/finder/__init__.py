"""The experiment that looks for a learning rate to start from."""
