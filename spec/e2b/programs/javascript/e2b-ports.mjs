import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { Sandbox } from 'e2b'
import { eventually, finish, step } from './steps.mjs'

/** A WebSocket server without any package: texts of up to 125 bytes, sent back. */
const WEBSOCKET_ECHO = `import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
createServer().on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  socket.write(['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Accept: ' + accept, '', ''].join('\\r\\n'))
  let kept = Buffer.alloc(0)
  socket.on('error', () => undefined).on('data', (bytes) => {
    kept = Buffer.concat([kept, bytes])
    while (kept.length >= 6 && kept.length >= 6 + (kept[1] & 127)) {
      const length = kept[1] & 127
      if ((kept[0] & 15) === 8) return socket.end()
      const mask = kept.subarray(2, 6)
      const text = Buffer.concat([Buffer.from('echo '), kept.subarray(6, 6 + length).map((byte, index) => byte ^ mask[index % 4])])
      kept = kept.subarray(6 + length)
      socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]))
    }
  })
}).listen(3002)`

const origin = process.env.E2B_SANDBOX_URL
const sandbox = await Sandbox.create({ timeoutMs: 120_000 })

/** A request to a port inside, named by headers: what works without any name resolution. */
function inside(port, path = '/', init = {}, { sandboxId } = sandbox) {
  return fetch(origin + path, { ...init, headers: { 'E2b-Sandbox-Id': sandboxId, 'E2b-Sandbox-Port': String(port), ...init.headers } })
}

/** What getHost gives, below a name that always is this machine. */
const localHost = (port) => `${port}-${sandbox.sandboxId}.localhost`

/** The same, named by the host. */
function byHost(host, { path = '/', headers = {} } = {}) {
  const { hostname, port } = new URL(origin)
  return new Promise((resolve, reject) => {
    const call = request({ hostname, port, path, headers: { ...headers, host } }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }))
    })
    call.on('error', reject).end()
  })
}

async function serve(path, source, port) {
  await sandbox.files.write(path, source)
  const server = await sandbox.commands.run(`node ${path}`, { background: true, timeoutMs: 0 })
  server.wait().catch(() => undefined)
  await eventually(`port ${port}`, async () => (await sandbox.commands.run(`ss -Htln "sport = :${port}"`)).stdout.trim() !== '')
  return server
}

await step('a server inside is reached by headers, and by host name', async () => {
  await sandbox.files.write('www/index.html', 'from inside')
  const server = await sandbox.commands.run('python3 -m http.server 8000 --directory www', { background: true, timeoutMs: 0 })
  server.wait().catch(() => undefined)
  const response = await eventually('the server', async () => {
    const answer = await inside(8000)
    return answer.status === 200 && answer
  })
  assert.equal(await response.text(), 'from inside')
  const named = await byHost(localHost(8000))
  assert.deepEqual([named.status, named.body], [200, 'from inside'])
  assert.equal(sandbox.getHost(8000), `${localHost(8000)}:${new URL(origin).port}`)
  assert.equal((await inside(8000, '/not-there')).status, 404)
})

await step('method, path, query, headers, body and status go through unchanged', async () => {
  await serve(
    'echo.mjs',
    `import { createServer } from 'node:http'
     createServer((request, response) => {
       const pieces = []
       request.on('data', (piece) => pieces.push(piece)).on('end', () => {
         response.writeHead(418, { 'content-type': 'application/json', 'x-own': 'yes', 'set-cookie': ['a=1', 'b=2'] })
         const { method, url, headers } = request
         response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(pieces).toString() }))
       })
     }).listen(3000)`,
    3000,
  )
  const response = await inside(3000, '/a%20b/c?x=1&y=%26', {
    method: 'PUT',
    body: 'payload',
    headers: { 'x-mine': 'here', cookie: 'k=v' },
  })
  assert.equal(response.status, 418)
  assert.equal(response.headers.get('x-own'), 'yes')
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
  const seen = await response.json()
  assert.deepEqual([seen.method, seen.url, seen.body], ['PUT', '/a%20b/c?x=1&y=%26', 'payload'])
  assert.deepEqual([seen.headers['x-mine'], seen.headers.cookie], ['here', 'k=v'])
  assert.equal(seen.headers['x-access-token'], undefined)
  const kept = await byHost(localHost(3000))
  assert.equal(JSON.parse(kept.body).headers.host, localHost(3000))
})

await step('paths that are Caisson’s own elsewhere belong to the server inside', async () => {
  for (const path of ['/sandboxes', '/v2/sandboxes', '/health', '/files', '/caisson/v1', '/metrics']) {
    assert.equal((await (await inside(3000, path)).json()).url, path)
  }
})

await step('an answer is streamed as it is made', async () => {
  await serve(
    'stream.mjs',
    `import { createServer } from 'node:http'
     createServer((request, response) => {
       response.write('first')
       request.on('data', (piece) => response.write(piece)).on('end', () => response.end('last'))
     }).listen(3001)`,
    3001,
  )
  const { hostname, port } = new URL(origin)
  const headers = { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '3001' }
  const seen = []
  const call = request({ hostname, port, method: 'POST', headers })
  call.flushHeaders()
  const response = await new Promise((resolve, reject) => call.on('response', resolve).on('error', reject))
  const ended = new Promise((resolve) =>
    response
      .setEncoding('utf8')
      .on('data', (text) => seen.push(text))
      .on('end', resolve),
  )
  await eventually('the first piece', () => seen.join('') === 'first')
  call.write('between')
  await eventually('the second piece', () => seen.join('') === 'firstbetween')
  call.end()
  await ended
  assert.equal(seen.join(''), 'firstbetweenlast')
})

await step('WebSocket: both ways, by headers and by host name', async () => {
  await serve('socket.mjs', WEBSOCKET_ECHO, 3002)
  for (const headers of [{ 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '3002' }, { host: localHost(3002) }]) {
    const socket = await upgrade(headers)
    for (const text of ['hello', 'żółć', 'x'.repeat(115)]) {
      socket.send(text)
      assert.equal(await socket.receive(), `echo ${text}`)
    }
    socket.close()
  }
})

await step('a port that is not open: which sandbox, which port; a page for a browser', async () => {
  const response = await inside(3999)
  assert.equal(response.status, 502)
  const { sandboxId, ...rest } = await response.json()
  assert.ok(sandbox.sandboxId.startsWith(sandboxId))
  assert.deepEqual(rest, { message: 'The sandbox is running but port is not open', port: 3999, code: 502 })
  const browser = {
    'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36',
    accept: 'text/html',
  }
  const page = await inside(3999, '/', { headers: browser })
  assert.equal(page.status, 502)
  assert.match(await page.text(), /<title>Closed Port Error<\/title>/)
})

await step('what is no port and no sandbox', async () => {
  for (const port of ['0', '65536', 'http', '']) assert.equal((await inside(port)).status, 400, `port "${port}"`)
  const response = await inside(3000, '/', {}, { sandboxId: 'inobody00000000' })
  assert.equal(response.status, 502)
  assert.deepEqual(await response.json(), { sandboxId: 'inobody00000000', message: 'The sandbox was not found', code: 502 })
})

await step('closed to the public: 403 without the token, open with it', async () => {
  const closed = await Sandbox.create({ timeoutMs: 60_000, network: { allowPublicTraffic: false } })
  assert.ok(closed.trafficAccessToken)
  const server = await closed.commands.run('python3 -m http.server 8080', { background: true, timeoutMs: 0 })
  server.wait().catch(() => undefined)
  assert.equal((await inside(8080, '/', {}, closed)).status, 403)
  assert.equal((await inside(8080, '/', { headers: { 'e2b-traffic-access-token': 'wrong' } }, closed)).status, 403)
  const key = { headers: { 'e2b-traffic-access-token': closed.trafficAccessToken } }
  await eventually('the server', async () => (await inside(8080, '/', key, closed)).status === 200)
  assert.equal((await closed.commands.run('echo still works')).stdout, 'still works\n')
  await closed.kill()
})

await step('the host name can be masked', async () => {
  const masked = await Sandbox.create({ timeoutMs: 60_000, network: { maskRequestHost: ['custom.example.com:$', '{PORT}'].join('') } })
  await masked.files.write(
    'host.mjs',
    `import { createServer } from 'node:http'; createServer((q, s) => s.end(q.headers.host)).listen(8080)`,
  )
  const server = await masked.commands.run('node host.mjs', { background: true, timeoutMs: 0 })
  server.wait().catch(() => undefined)
  const response = await eventually('the server', async () => {
    const answer = await inside(8080, '/', {}, masked)
    return answer.status === 200 && answer
  })
  assert.equal(await response.text(), 'custom.example.com:8080')
  await masked.kill()
})

await step('when the sandbox is gone, every port of it is 502', async () => {
  await sandbox.kill()
  const response = await inside(8000)
  assert.equal(response.status, 502)
  const { sandboxId, message, code } = await response.json()
  assert.ok(sandbox.sandboxId.startsWith(sandboxId))
  assert.deepEqual([message, code], ['The sandbox was not found', 502])
})

finish()

/** One connection, upgraded; texts of up to 125 bytes. */
async function upgrade(headers) {
  const { hostname, port } = new URL(origin)
  const key = randomBytes(16).toString('base64')
  const call = request({
    hostname,
    port,
    path: '/socket',
    headers: { ...headers, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': key },
  })
  const [response, socket, head] = await new Promise((resolve, reject) => {
    call.on('upgrade', (...all) => resolve(all)).on('error', reject)
    call.on('response', (answer) => reject(new Error(`no upgrade, but ${answer.statusCode}`)))
    call.end()
  })
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  assert.equal(response.headers['sec-websocket-accept'], accept)
  let kept = head
  socket.on('data', (bytes) => (kept = Buffer.concat([kept, bytes])))
  return {
    send(text) {
      const bytes = Buffer.from(text)
      const mask = randomBytes(4)
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | bytes.length]), mask, bytes.map((byte, index) => byte ^ mask[index % 4])]))
    },
    async receive() {
      await eventually('a frame', () => kept.length >= 2 && kept.length >= 2 + kept[1])
      const text = kept.subarray(2, 2 + kept[1]).toString()
      kept = kept.subarray(2 + kept[1])
      return text
    },
    close: () => socket.destroy(),
  }
}
