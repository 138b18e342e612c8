"""``algorithm.sgrpo.layout=packed``: the actor computes what the rows of a serial group share once.

verl still stores, scores, balances and reports ordinary rows. They are packed only inside the actor's forward pass,
and each token's log-prob is then copied back into every row that contains the token.
"""
