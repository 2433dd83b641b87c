"""Real servers on loopback for the tests, the demo and work by hand.

`stack.Stack` starts what is asked; `python3 -m servers up --dir DIR` does the
same from a shell. Debian's packages only, no fixed ports, everything under one
directory, nothing left running.
"""
