"""Which remedy comes next for a failure, and the ledger of what was done. No Dagster here.

`plan` is arithmetic on declared rules; `ledger` keeps the steps in the lake; `problem` tells what they add up to.
"""
