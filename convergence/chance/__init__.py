"""How much of a result is luck, and whose: arms that ask it, and what their trials tell."""
