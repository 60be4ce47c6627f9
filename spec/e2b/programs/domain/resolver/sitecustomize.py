"""Stands for a resolver that knows every name below localhost, as systemd-resolved and libnss-myhostname do; a plain glibc does not."""

import socket

_ask = socket.getaddrinfo


def getaddrinfo(host, *rest, **options):
    known = isinstance(host, str) and host.endswith(".localhost")
    return _ask("127.0.0.1" if known else host, *rest, **options)


socket.getaddrinfo = getaddrinfo
