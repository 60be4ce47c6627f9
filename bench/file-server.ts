import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** As short as such a server can be, and in a process of its own, as the daemon is. */
const PROGRAM = `
import { createReadStream, createWriteStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { pipeline } from 'node:stream/promises'
const folder = process.argv[1]
createServer(async (request, reply) => {
  const path = folder + request.url
  if (request.method === 'POST') {
    await pipeline(request, createWriteStream(path))
    reply.end()
  } else {
    reply.writeHead(200, { 'content-length': statSync(path).size })
    await pipeline(createReadStream(path), reply)
  }
}).listen(0, '127.0.0.1', function () {
  console.log(this.address().port)
})`

/** Writes and reads files, and nothing else: what a transfer costs without a wall. */
export class FileServer implements AsyncDisposable {
  readonly url: string
  readonly #process: ChildProcess
  readonly #folder: string

  private constructor(process: ChildProcess, folder: string, port: number) {
    this.#process = process
    this.#folder = folder
    this.url = `http://127.0.0.1:${port}`
  }

  static async open(): Promise<FileServer> {
    const folder = await mkdtemp(join(tmpdir(), 'caisson-bench-files-'))
    const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = (await once(child.stdout, 'data')) as [Buffer]
    return new FileServer(child, folder, Number(said.toString()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const over = once(this.#process, 'exit')
    this.#process.kill()
    await over
    await rm(this.#folder, { recursive: true, force: true })
  }
}
