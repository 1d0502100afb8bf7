"""Where two runs part, exactly: the first differing step, what differs there, and why.

`scan` finds the narrowest interval that records allow; `search` replays it step by step and names
the step and the arrays; `cause` shows by controlled swaps which ingredient made the difference;
`sides` opens finished studies as runs, and `finding` puts all together.
"""
