"""Small real servers and clients for the tests: a TLS provider, git over https, counted listeners, a raw proxy client.

Nothing here knows keyswap: the servers record what reached them, the clients tell what they were answered.
"""
