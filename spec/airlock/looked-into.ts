import { afterAll, beforeAll } from 'vitest'
import type { Bind, NetworkFile } from '../../wire/index.ts'
import { Hosted, inspecting } from './hosted.ts'
import { Authority, Web } from './web.ts'

/** What is shown may have to be installed first. */
const OPEN_MS = 600_000

interface LookedInto {
  readonly authority: Authority
  readonly hosted: Hosted
  readonly web: Web
  /** `good.example` and its port. */
  readonly here: string
}

type Rules = Omit<Extract<NetworkFile, { mode: 'allow' | 'open' }>, 'mode'>

/** A sandbox whose connections to one server, by TLS, are looked into; for all tests of a file. `rulesFor`: absent: all of that server. `shown`: besides what its template shows. */
export function lookedInto(
  options: Omit<Parameters<typeof Web.open>[0] & object, 'identity'> = {},
  rulesFor: (web: Web) => Rules = ({ port }) => ({ allow: [`good.example:${port}`] }),
  shown: () => Promise<Bind[]> = async () => [],
): () => LookedInto {
  let all: LookedInto | undefined
  beforeAll(async () => {
    const authority = await Authority.open()
    const web = await Web.open({ ...options, identity: await authority.identity(['good.example', 'other.example']) })
    const hosted = await Hosted.open(inspecting(rulesFor(web)), authority.path, { binds: await shown() })
    all = { authority, hosted, web, here: `good.example:${web.port}` }
  }, OPEN_MS)
  afterAll(async () => {
    await all?.hosted[Symbol.asyncDispose]()
    all?.web[Symbol.dispose]()
    await all?.authority[Symbol.asyncDispose]()
  })
  return () => {
    if (all === undefined) throw new Error('not open yet')
    return all
  }
}

/** For programs of Python's inside: a connection with TLS, and what comes back on it. */
export const TLS = `
import ssl
plainly = failure
def failure(error):
    return str(error) if isinstance(error, ssl.SSLError) else plainly(error)

def secured(host, port, sni=None, alpn=('http/1.1',), trust=None):
    context = ssl.create_default_context(cafile=trust)
    context.check_hostname = False
    context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(opened(host, port), server_hostname=sni or host)

def answer(stream):
    """Of a connection that is kept: its status, and its body."""
    status, length = int(stream.readline().split()[1]), 0
    while (line := stream.readline().strip()):
        if line.lower().startswith(b'content-length:'):
            length = int(line.split(b':')[1])
    return status, stream.read(length).decode('latin-1')

def said(one, text):
    one.sendall(text.encode('latin-1'))
    one.settimeout(5)
    heard = b''
    try:
        while part := one.recv(65536):
            heard += part
    except (OSError, TimeoutError) as error:
        if not heard:
            return failure(error)
    return heard.decode('latin-1')
`
