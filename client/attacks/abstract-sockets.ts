import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { python } from './attack.ts'
import { type Stage, unheard } from './stage.ts'

/** The host's unix sockets, in the abstract namespace and in the file system. */
export function abstractSockets(): Stage {
  const token = randomBytes(12).toString('hex')
  const names = [`\0caisson-${token}`, `/tmp/canary-${token}.sock`, `/run/canary-${token}.sock`]
  const servers: Server[] = []
  let heard = 0
  return {
    attacks: [
      {
        name: 'sockets of the host’s programs',

        why: 'the display, the message bus and the container engine listen there, and believe whoever comes',
        place: 'here',
        facts: (walled) => {
          if (walled) heard = 0
          return { names, token }
        },
        stoppedBy: /^(ECONNREFUSED|ENOENT|not there)/,
        untouched: () => unheard(heard),
        code: python`
def connect(name):
    def run():
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(name)
            assert one.recv(100).decode() == facts['token']
        return facts['token']
    return run

@way('an abstract socket')
def abstract():
    name = facts['names'][0]
    # Some versions of Node fill the name up with NULs.
    try:
        return connect(name)()
    except ConnectionRefusedError:
        return connect(name.ljust(108, '\0'))()

way('a socket in /tmp')(connect(facts['names'][1]))
way('a socket in /run')(connect(facts['names'][2]))

@way('listing them')
def listing():
    with open('/proc/net/unix') as file:
        if facts['token'] not in file.read():
            raise Contained('not there')
    return 'listed'

def sender():
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect('/dev/log' if os.path.exists('/dev/log') else facts['names'][1])

@way('the system log')
def log():
    try:
        sender()
    except OSError as error:
        # A stream socket that was found says EPROTOTYPE.
        if error.errno != errno.EPROTOTYPE:
            raise
    return 'found'
`,
      },
    ],
    async open() {
      for (const name of names) {
        const server = createServer((peer) => {
          heard += 1
          peer.end(token)
        }).listen(name)
        await once(server, 'listening')
        servers.push(server)
      }
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers) server.close()
      await Promise.all(names.slice(1).map((name) => rm(name, { force: true })))
    },
  }
}
