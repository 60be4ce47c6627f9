import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

/** A checker that cannot fail is decoration: each wall and each habit gets one violation planted in a copy, and must turn red. */
const repository = resolve(import.meta.dirname, '../..')
const imports = (...from: string[]) => from.map((path) => `import '${path}'`).join('\n')

const WALL = 'lint/style/noRestrictedImports'
interface Planting {
  file: string
  source: string
  rule: string
}
const wall = (file: string, from: string): Planting => ({ file, source: imports(from), rule: WALL })

const VIOLATIONS: Planting[] = [
  wall('wire/planted.ts', '../host/settings.ts'),
  wall('wire/planted-client.ts', '../client/index.ts'),
  wall('wire/planted-protobuf.ts', '@bufbuild/protobuf'),
  wall('policy/planted.ts', '../host/settings.ts'),
  wall('policy/planted-io.ts', 'node:fs'),
  wall('policy/rules/planted.ts', 'node:net'),
  wall('policy/rules/planted-host.ts', '../../host/settings.ts'),
  wall('policy/dlp/planted.ts', 'node:zlib'),
  wall('policy/dlp/layer/planted.ts', '../../../host/settings.ts'),
  wall('policy/scan/planted.ts', 'node:fs'),
  wall('policy/scan/rules/planted.ts', '../../network.ts'),
  wall('host/scan/planted.ts', '../sandbox/plan.ts'),
  wall('policy/planted.spec.ts', '../host/settings.ts'),
  wall('client/planted.ts', '@caisson/host'),
  wall('client/planted-path.ts', '../host/main.ts'),
  wall('client/planted-zod.ts', 'zod'),
  wall('client/planted-commander.ts', 'commander'),
  wall('client/planted-agent.ts', '@caisson/wire/agent'),
  wall('client/cli/planted.ts', '@caisson/host'),
  wall('client/cli/run/planted.ts', '../../../host/main.ts'),
  wall('client/embedded.ts', 'zod'),
  wall('host/planted.ts', '../client/index.ts'),
  wall('host/planted-protobuf.ts', '@bufbuild/protobuf'),
  wall('host/agent/planted.ts', '../sandbox/plan.ts'),
  wall('host/agent/planted-zod.ts', 'zod'),
  wall('host/audit/planted.ts', '../sandbox/plan.ts'),
  wall('host/runtimes/planted.ts', '../agent/connection.ts'),
  wall('host/runtimes/programs/node/planted.ts', '@caisson/wire'),
  wall('host/runtimes/planted-parser.ts', 'acorn'),
  wall('host/templates/planted.ts', '../settings.ts'),
  wall('host/walls/planted.ts', '../sandbox/plan.ts'),
  wall('host/walls/gvisor/planted.ts', '../../sandbox/plan.ts'),
  wall('host/walls/planted-templates.ts', '../templates/template.ts'),
  wall('host/walls/planted-protobuf.ts', '@bufbuild/protobuf'),
  wall('host/sandbox/planted.ts', '../main.ts'),
  wall('host/sandbox/planted-client.ts', '../../client/index.ts'),
  wall('host/api/planted.ts', '../agent/connection.ts'),
  wall('host/api/planted-logger.ts', 'pino'),
  wall('host/api/ports/planted.ts', '../../agent/dial.ts'),
  wall('host/api/ports/planted-router.ts', 'find-my-way'),
  wall('host/api/tls/planted.ts', '../server.ts'),
  wall('host/authority/planted.ts', '../airlock/egress.ts'),
  wall('host/airlock/planted.ts', '../sandbox/plan.ts'),
  wall('host/airlock/inspect/planted.ts', '../../sandbox/plan.ts'),
  wall('host/airlock/search/planted.ts', '../dlp-body.ts'),
  wall('host/telemetry/planted.ts', '../sandbox/fleet.ts'),
  wall('host/telemetry/planted-router.ts', 'find-my-way'),
  wall('host/api/envd/planted.ts', '../server.ts'),
  wall('host/api/interpreter/planted-connect.ts', '@connectrpc/connect'),
  { file: 'host/walls/planted-type.ts', source: "import type { x } from '../sandbox/plan.ts'\nexport type Y = x", rule: WALL },
  { file: 'host/walls/planted-dynamic.ts', source: "export const x = await import('../sandbox/plan.ts')", rule: WALL },
  { file: 'host/walls/planted-again.ts', source: "export * from '../sandbox/plan.ts'", rule: WALL },
  { file: 'host/audit/planted.spec.ts', source: imports('../../client/index.ts'), rule: WALL },
  { file: 'client/planted.spec.ts', source: imports('@caisson/host'), rule: WALL },
  { file: 'host/planted-env.ts', source: 'export const x = process.env', rule: 'lint/style/noProcessEnv' },
  { file: 'host/planted-catch.ts', source: 'try { JSON.parse("") } catch {}', rule: 'lint/suspicious/noEmptyBlockStatements' },
  { file: 'host/planted-floating.ts', source: 'export function x() {\n  Promise.resolve(1)\n}', rule: 'lint/nursery/noFloatingPromises' },
  { file: 'host/planted-misused.ts', source: 'if (Promise.resolve(1)) console.log(1)', rule: 'lint/nursery/noMisusedPromises' },
  { file: 'host/planted-long.ts', source: 'console.log()\n'.repeat(301), rule: 'lint/style/noExcessiveLinesPerFile' },
  { file: 'host/plantedName.ts', source: 'console.log()', rule: 'lint/style/useFilenamingConvention' },
  { file: 'host/planted-any.ts', source: 'export const x: any = 1', rule: 'lint/suspicious/noExplicitAny' },
  {
    file: 'host/planted-cause.ts',
    source: "import { Fault } from '@caisson/wire'\ntry {\n  JSON.parse('')\n} catch (x) {\n  throw new Fault('INTERNAL', String(x))\n}",
    rule: 'plugin',
  },
  { file: 'host/planted-deadline.ts', source: 'export const x = AbortSignal.any([])', rule: 'plugin' },
  { file: 'host/planted-circle.ts', source: "import './planted-round.ts'\nexport const x = 1", rule: 'lint/suspicious/noImportCycles' },
]

const ALLOWED: Omit<Planting, 'rule'>[] = [
  { file: 'host/planted-round.ts', source: "import { x } from './planted-circle.ts'\nconsole.log(x)" },
  { file: 'wire/fine.ts', source: imports('zod', './errors.ts', 'node:path') },
  { file: 'policy/fine.ts', source: imports('zod', '@caisson/wire', './names.ts', './rules/shelf.ts') },
  { file: 'policy/rules/fine.ts', source: imports('zod', './kind.ts', '../names.ts') },
  { file: 'client/fine.ts', source: imports('@caisson/wire', './cli/main.ts', 'node:fs/promises') },
  { file: 'client/cli/fine.ts', source: imports('@caisson/wire', 'commander', '../index.ts') },
  { file: 'host/fine.ts', source: imports('@caisson/wire', 'zod', './agent/connection.ts', './sandbox/plan.ts') },
  { file: 'host/agent/fine.ts', source: imports('@caisson/wire/agent', '@bufbuild/protobuf', '../runtimes/runtime.ts', '../lifetimes.ts') },
  { file: 'host/walls/fine.ts', source: imports('@caisson/wire', 'zod', '../lifetimes.ts') },
  {
    file: 'host/api/fine.ts',
    source: imports('@caisson/wire', 'find-my-way', '../sandbox/fleet.ts', './ports/proxy.ts', '../telemetry/log.ts'),
  },
  { file: 'host/api/ports/fine.ts', source: imports('../call.ts', '../../sandbox/life.ts', '../../lifetimes.ts') },
  { file: 'host/api/tls/fine.ts', source: imports('../../authority/identity.ts', '../../lifetimes.ts') },
  { file: 'host/authority/fine.ts', source: imports('@peculiar/x509', 'reflect-metadata', '../lifetimes.ts') },
  { file: 'host/airlock/search/fine.ts', source: imports('@caisson/policy', '../../fair-turns.ts', '../../lifetimes.ts') },
  { file: 'host/airlock/inspect/fine.ts', source: imports('@caisson/policy', '../egress.ts', '../../authority/identity.ts') },
  { file: 'host/telemetry/fine.ts', source: imports('pino', 'prom-client', '@opentelemetry/api', '@caisson/wire') },
  {
    file: 'host/api/envd/fine.ts',
    source: imports('@caisson/wire/envd/process', '@connectrpc/connect', '../call.ts', '../../sandbox/fleet.ts'),
  },
  { file: 'host/sandbox/fine.ts', source: imports('../walls/wall.ts', '../agent/connection.ts', '../audit/log.ts', '../settings.ts') },
  {
    file: 'host/fine-cause.ts',
    source:
      "import { Fault } from '@caisson/wire'\ntry {\n  JSON.parse('')\n} catch (cause) {\n  throw new Fault('INTERNAL', 'x', { cause })\n}",
  },
]

let copy = ''
const red = new Map<string, Set<string>>()

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'caisson-walls-'))
  for (const part of ['biome.json', '.gitignore', 'package.json', 'tsconfig.json', 'spec/house/cause.grit', 'spec/house/deadline.grit']) {
    await cp(join(repository, part), join(copy, part), { recursive: true })
  }
  for (const { file, source } of [...VIOLATIONS, ...ALLOWED]) {
    await mkdir(dirname(join(copy, file)), { recursive: true })
    await writeFile(join(copy, file), `${source}\n`)
  }
  for (const [, file, rule] of (await lint()).matchAll(/^(\S+?\.ts)(?::\d+:\d+)? (lint\/\S+|plugin)/gm)) {
    red.set(file ?? '', (red.get(file ?? '') ?? new Set()).add(rule ?? ''))
  }
})
afterAll(() => rm(copy, { recursive: true, force: true }))

/** Biome ends with 1 when it finds something, which is what is wanted here. */
function lint(): Promise<string> {
  const biome = join(repository, 'node_modules/.bin/biome')
  const args = ['lint', '--max-diagnostics=none', '--colors=off', '.']
  return new Promise((done, fail) => {
    execFile(biome, args, { cwd: copy, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      error?.code === 1 ? done(stdout + stderr) : fail(new Error(`biome found nothing: ${stdout}${stderr}`)),
    )
  })
}

describe('what must be refused is', () => {
  test.each(VIOLATIONS)('$file: $rule', ({ file, rule }) => {
    expect([...(red.get(file) ?? [])]).toContain(rule)
  })
})

describe('what is allowed stays green', () => {
  test.each(ALLOWED)('$file', ({ file }) => {
    expect([...(red.get(file) ?? [])]).not.toContain(WALL)
    expect([...(red.get(file) ?? [])]).not.toContain('plugin')
  })
})
