"""The certificate authority that lets the proxy read TLS, and what makes a client trust it."""
