"""The audit: what was asked, what was decided, what was released; one chained line an event.

`record` gives a record its one form, `chain` ties it to the one before, `writer` puts it on disk, `verify` says whether
anybody changed it since, `show` reads it for people. Keys stay in the state directory (`signer`).
"""
