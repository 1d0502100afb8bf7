"""The experiment on schedules and optimisers: each tuned alike, then compared on fresh seeds."""
