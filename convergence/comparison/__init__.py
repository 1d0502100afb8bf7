"""Two studies held against each other: the same bits, equivalent, or different – by how much."""
