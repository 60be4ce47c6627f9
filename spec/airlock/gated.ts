import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll } from 'vitest'
import type { Cell } from '../../host/walls/wall.ts'
import type { Plan } from '../../wire/index.ts'
import { Cells, Inside, keeperOf } from '../walls/cells.ts'
import { FakeAirlock } from './fake-airlock.ts'

/** A sandbox behind a gate, and the host that its gate asks. */
export class Gated implements AsyncDisposable {
  readonly airlock: FakeAirlock
  readonly cell: Cell
  readonly cells: Cells
  readonly id: string
  readonly #inside: Inside

  private constructor(cells: Cells, airlock: FakeAirlock, cell: Cell, id: string) {
    this.cells = cells
    this.airlock = airlock
    this.cell = cell
    this.id = id
    this.#inside = new Inside(cell)
  }

  static async open(network: Partial<Extract<Plan['network'], { mode: 'gate' }>> = {}, change: (plan: Plan) => Partial<Plan> = () => ({})) {
    const cells = await Cells.open()
    const airlock = await FakeAirlock.open(cells.home)
    cells.airlock = airlock.paths
    const plan = await cells.plan((made) => {
      if (made.network.mode !== 'gate') throw new Error('the plan has no gate')
      return { network: { ...made.network, ...network }, ...change(made) }
    })
    return new Gated(cells, airlock, await cells.launch(plan), plan.id)
  }

  /** What it prints, errors included. */
  async sh(command: string, user = 'user'): Promise<string> {
    return (await this.#inside.run(`exec 2>&1\n${command}`, user)).stdout
  }

  /** A program of Python's, with `facts`; what it prints. */
  python(code: string, facts: Record<string, unknown> = {}, user = 'user'): Promise<string> {
    return this.sh(pythonProgram(code, facts), user)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#inside[Symbol.dispose]()
    await this.cell[Symbol.asyncDispose]()
    await this.airlock[Symbol.asyncDispose]()
    await this.cells[Symbol.asyncDispose]()
  }
}

/** A command that runs it. */
export function pythonProgram(code: string, facts: Record<string, unknown>): string {
  const given = Buffer.from(JSON.stringify(facts)).toString('base64')
  const head = `import base64, errno, json, os, select, socket, struct, sys, threading, time\nfacts = json.loads(base64.b64decode('${given}'))\n`
  const program = Buffer.from(head + PYTHON + code).toString('base64')
  return `echo ${program} | base64 -d >/tmp/program.py && python3 /tmp/program.py`
}

/** What most programs of these specs do. */
const PYTHON = `
def failure(error):
    return errno.errorcode.get(error.errno, str(error)) if isinstance(error, OSError) else repr(error)

def opened(host, port, family=socket.AF_UNSPEC):
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    kind, _, _, _, address = found[0]
    one = socket.socket(kind, socket.SOCK_STREAM)
    one.settimeout(20)
    one.connect(address)
    return one

def exchange(one, said=b'hello'):
    one.sendall(said)
    try:
        one.shutdown(socket.SHUT_WR)
    except OSError as error:
        # A reset was faster; reading says so.
        if error.errno != errno.ENOTCONN:
            raise
    heard = b''
    while part := one.recv(65536):
        heard += part
    return heard

def question(name, kind=1):
    labels = b''.join(bytes([len(label)]) + label for label in name.split(b'.')) + b'\\0'
    return struct.pack('!6H', 7, 256, 1, 0, 0, 0) + labels + struct.pack('!2H', kind, 1)

def resolve(name, server='198.18.0.1'):
    """The code of the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(15)
        one.connect((server, 53))
        one.send(question(name))
        return one.recv(512)[3] & 15

def stuffed(ones):
    """How much they take until none of them takes more."""
    block, total, idle = b'x' * 262144, 0, 0
    while idle < 10:
        taken = 0
        for one in ones:
            try:
                taken += one.send(block)
            except BlockingIOError:
                pass
        total += taken
        idle = 0 if taken else idle + 1
        if not taken:
            time.sleep(0.1)
    return total

def attempt(label, do):
    try:
        print(label, do())
    except Exception as error:
        print(label, failure(error))
`

/** One for all tests of a file. */
export function shared(network: Parameters<typeof Gated.open>[0] = {}): () => Gated {
  let gated: Gated | undefined
  beforeAll(async () => {
    gated = await Gated.open(network)
  })
  afterAll(async () => {
    await gated?.[Symbol.asyncDispose]()
  })
  return () => {
    if (gated === undefined) throw new Error('not open yet')
    return gated
  }
}

export function python(strings: TemplateStringsArray): string {
  return strings.raw.join('')
}

/** The process, as the host numbers it; null: there is none. */
export async function gateOf(cell: Cell): Promise<number | null> {
  const keeper = await keeperOf(cell)
  const children = (await readFile(`/proc/${keeper}/task/${keeper}/children`, 'utf8')).trim().split(' ').map(Number)
  for (const child of children) {
    if ((await readFile(`/proc/${child}/comm`, 'utf8')).trim() === 'caisson-gate') return child
  }
  return null
}
