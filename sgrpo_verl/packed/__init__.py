"""``algorithm.sgrpo.layout=packed``: the actor computes what the rows of a serial group share once.

Rows stay rows wherever verl stores, scores, weighs or reports them. Only inside the actor's forward pass are they put
together, and every token's log-prob is then read back into each row that has the token.
"""
