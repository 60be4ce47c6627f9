import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { SpecDaemon } from './daemon.ts'
import { textOf } from './door.ts'

// What operators see of a real daemon: numbers, traces, its log; and TLS, as `caisson up --domain sbx.localhost --tls` starts it.

const run = promisify(execFile)

interface SentSpan {
  name: string
  traceId: string
  spanId: string
  parentSpanId?: string
  status?: { code?: number; message?: string }
  attributes: { key: string; value: Record<string, unknown> }[]
}

/** A collector that keeps what it is sent. */
async function collector() {
  const spans: SentSpan[] = []
  const server = createServer((request, reply) => {
    textOf(request)
      .then((text) => {
        const { resourceSpans } = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: SentSpan[] }[] }[] }
        if (request.url === '/v1/traces')
          spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)))
        reply.end('{}')
      })
      .catch(() => reply.destroy())
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return { spans, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() }
}

test('numbers and traces of a create, and of what fails', async () => {
  const { spans, url, close } = await collector()
  await using daemon = await SpecDaemon.open({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: url } })
  const traceId = '0123456789abcdef0123456789abcdef'
  const headers = { traceparent: `00-${traceId}-0123456789abcdef-01`, 'content-type': 'application/json' }
  const create = (templateID: string) =>
    daemon.fetch('/v2/sandboxes', { method: 'POST', headers, body: JSON.stringify({ templateID, envVars: { SECRET: 'secret-value' } }) })
  const made = await create('base')
  const { sandboxID } = (await made.json()) as { sandboxID: string }
  expect(made.status).toBe(201)
  expect((await create('nowhere')).status).toBe(404)
  expect((await fetch(`${daemon.url}/s/${sandboxID}/49983/health`)).status).toBe(204)
  expect((await daemon.fetch(`/sandboxes/${sandboxID}`, { method: 'DELETE' })).status).toBe(204)

  const page = await (await daemon.fetch('/metrics')).text()
  expect(page).toMatch(/^caisson_creates_total\{path="(zygote|cold)"\} 1$/m)
  expect(page).toMatch(/^caisson_create_seconds_count\{path="(zygote|cold)"\} 1$/m)
  expect(page).toMatch(/^caisson_requests_total\{method="POST",route="\/v2\/sandboxes",status="201"\} 1$/m)
  expect(page).toMatch(/^caisson_failures_total\{code="TEMPLATE_UNKNOWN"\} 1$/m)
  expect(page).toMatch(/^caisson_sandboxes\{state="running"\} 0$/m)
  expect(page).toMatch(/^caisson_endings_total\{reason="kill"\} 1$/m)
  expect(page).toMatch(/^caisson_process_open_fds \d+$/m)

  // The rest is sent when it stops.
  await daemon.stop()
  close()
  const of = (name: string) => spans.filter((span) => span.name === name && span.traceId === traceId)
  const [request, refused] = of('POST /v2/sandboxes')
  const [created] = of('create')
  expect(request?.parentSpanId).toBe('0123456789abcdef')
  expect(created?.parentSpanId).toBe(request?.spanId)
  expect([...of('plan'), ...of('launch')].map(({ parentSpanId }) => parentSpanId)).toEqual([created?.spanId, created?.spanId])
  expect(of('ready').map(({ parentSpanId }) => parentSpanId)).toEqual([request?.spanId])
  expect(created?.attributes).toContainEqual({ key: 'caisson.sandbox', value: { stringValue: sandboxID } })
  expect(refused?.status).toMatchObject({ code: 2, message: 'TEMPLATE_UNKNOWN' })
  expect(spans.map(({ name }) => name)).toContain('envd')
  expect(JSON.stringify(spans) + daemon.log).not.toMatch(/secret-value|e2b_[0-9a-f]{16}/)
})

test('a collector that is not there costs nothing but its traces', async () => {
  await using daemon = await SpecDaemon.open({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' } })
  expect((await daemon.fetch('/health')).status).toBe(200)
  await expect(SpecDaemon.open({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'nonsense' } })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

test('one that comes out of the pool is counted as such', async () => {
  await using daemon = await SpecDaemon.open({ env: { CAISSON_POOL: '1' } })
  const waiting = async () => /^caisson_pool\{what="waiting"\} (\d+)$/m.exec(await (await daemon.fetch('/metrics')).text())?.[1]
  while ((await waiting()) !== '2') await pause(50)
  const body = JSON.stringify({ templateID: 'base' })
  const made = await daemon.fetch('/v2/sandboxes', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  expect(made.status).toBe(201)
  expect(await (await daemon.fetch('/metrics')).text()).toMatch(/^caisson_creates_total\{path="pool"\} 1$/m)
})

test('a daemon with a domain and TLS', async () => {
  await using daemon = await SpecDaemon.open({ domain: 'sbx.localhost', tls: true })
  const { port } = new URL(daemon.url)
  expect([daemon.domain, daemon.caPath]).toEqual([`sbx.localhost:${port}`, `${daemon.home}/ca/ca.pem`])
  const ask = (host: string, path: string, ...more: string[]) =>
    run('curl', [
      '--silent',
      '--cacert',
      daemon.caPath ?? '',
      '--header',
      `X-API-Key: ${daemon.key}`,
      ...more,
      `https://${host}:${port}${path}`,
    ])
  const body = ['--json', JSON.stringify({ templateID: 'base' })]
  const { sandboxID } = JSON.parse((await ask('api.sbx.localhost', '/v2/sandboxes', ...body)).stdout) as { sandboxID: string }
  const { stdout } = await ask(`49983-${sandboxID}.sbx.localhost`, '/health', '--write-out', '%{http_code}')
  expect(stdout).toBe('204')
  const closed = JSON.parse((await ask(`3000-${sandboxID}.sbx.localhost`, '/')).stdout)
  expect(closed).toEqual({ sandboxId: sandboxID, message: 'The sandbox is running but port is not open', port: 3000, code: 502 })
  await ask('api.sbx.localhost', `/sandboxes/${sandboxID}`, '--request', 'DELETE')
  await daemon.stop()
})
