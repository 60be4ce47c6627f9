// Stands for a resolver that knows every name below localhost, as systemd-resolved and libnss-myhostname do; a plain glibc does not.
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'

const ask = dns.lookup

dns.lookup = (host, ...rest) => ask(host.endsWith('.localhost') ? '127.0.0.1' : host, ...rest)
syncBuiltinESMExports()
