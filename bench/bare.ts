import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { answer, drain } from './daemon.ts'
import type { Row } from './report.ts'
import { series, took } from './statistics.ts'

/** As long as the answer to a command that says nothing. */
const ANSWER_BYTES = 110
const ASKED = Buffer.alloc(60, 'x')
const SERVER = `require('node:http').createServer((asked, reply) =>
  asked.resume().on('end', () => reply.writeHead(200, { 'content-type': 'application/connect+json' }).end('x'.repeat(${ANSWER_BYTES})))
).listen(0, '127.0.0.1', function () { console.log(this.address().port) })`

/** What of a small request is the benchmark's own client, Node's HTTP and the machine: a server that answers as many bytes and does nothing for them. */
export async function bare(rounds: number): Promise<Row> {
  const server = spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] })
  const agent = new Agent({ keepAlive: true, noDelay: true })
  try {
    const [said] = (await once(server.stdout, 'data')) as [Buffer]
    const ask = async () => {
      const asked = request({ host: '127.0.0.1', port: Number(said.toString()), method: 'POST', path: '/process.Process/Start', agent })
      asked.end(ASKED)
      await drain(await answer(asked), ANSWER_BYTES)
    }
    return { what: 'a request to a bare Node server', unit: 'ms', measured: await series(rounds, 20, () => took(ask)) }
  } finally {
    agent.destroy()
    server.kill()
  }
}
