// Builds what a clone does not carry: generated frames, bundles, native programs.
//   node build.mjs [ts|native|all]
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { declare } from './client/declarations.mjs'

const root = import.meta.dirname
const at = (...parts) => join(root, ...parts)

/** Runs a program with its output passed through; rejects when it does not end with 0. */
function run(command, args, { cwd = root, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', (cause) => reject(new Error(`${command} could not be started: ${cause.message}`, { cause })))
    child.on('close', (code, signal) => (code === 0 ? resolve() : reject(new Error(`${command} ${args[0]} ended with ${signal ?? code}`))))
  })
}

async function bytesOrNull(path) {
  try {
    return await readFile(path)
  } catch (error) {
    if (error.code === 'ENOENT') return null
    throw error
  }
}

async function filesIn(folder) {
  try {
    return await readdir(folder)
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}

/** Replaces `to` in one step, and only if it differs: a running keeper or zygote may have the old one open. */
async function place(from, to) {
  const [fresh, old] = await Promise.all([readFile(from), bytesOrNull(to)])
  if (old?.equals(fresh)) return
  await mkdir(dirname(to), { recursive: true })
  await copyFile(from, `${to}.new`)
  await rename(`${to}.new`, to)
}

/** Makes `to` hold exactly the files of `from`. The folder itself stays: live sandboxes have it bound. */
async function mirror(from, to) {
  const files = new Map()
  for (const folder of from)
    for (const name of await filesBelow(folder))
      if (!name.endsWith('.pyc') && !/[._]spec\.|(^|\/)test_/.test(name)) files.set(name, join(folder, name))
  await Promise.all([...files].map(([name, path]) => place(path, join(to, name))))
  await mkdir(to, { recursive: true })
  const stale = (await filesBelow(to)).filter((name) => !files.has(name))
  await Promise.all(stale.map((name) => rm(join(to, name), { force: true })))
}

async function filesBelow(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1))
}

/**
 * Classes of the Java runtime, in folders, made by the JDK of this machine where it has one: what is compiled at each start starts half as fast.
 * A JDK that comes later compiles at each start until the next build.
 */
async function javaClasses() {
  const source = at('host/runtimes/programs/java/Main.java')
  const name = createHash('sha256')
    .update(await readFile(source))
    .digest('hex')
    .slice(0, 16)
  const folder = at('dist/java', name)
  if ((await filesIn(folder)).length > 0) return [folder]
  await rm(at('dist/java'), { recursive: true, force: true })
  try {
    await run('javac', ['--release', '17', '-d', join(folder, 'classes'), source])
    return [folder]
  } catch (error) {
    console.log(`the Java runtime is not compiled: ${error.message}`)
    return []
  }
}

/** The frames of wire/agent.proto, as TypeScript. */
async function generate() {
  await run(at('node_modules/.bin/buf'), ['generate', '--template', 'buf.gen.yaml'], {
    cwd: at('wire'),
    env: { PATH: `${at('node_modules/.bin')}:${process.env.PATH}` },
  })
  await described(at('wire/gen/agent_pb.js'))
}

/** What describes the frames, decoded: to read it in its own encoding takes the description of descriptions, which is half of loading them. */
async function described(path) {
  const { file_agent: file } = await import(path)
  const decoded = `createFileRegistry(JSON.parse(${JSON.stringify(JSON.stringify(file.proto))}), () => undefined).getFile('${file.proto.name}')`
  const text = (await readFile(path, 'utf8'))
    .replace(/\bfileDesc\("[A-Za-z0-9+/=]+"\)/, () => decoded)
    .replace(/import \{([^}]*)\bfileDesc, /, 'import { createFileRegistry } from "@bufbuild/protobuf";\nimport {$1')
  if (text.includes('fileDesc')) throw new Error(`${path} does not describe itself as it used to`)
  await writeFile(path, text)
}

/** zod carries its messages in forty languages, a third of the bundle; Caisson's are English. What reads shapes from JSON Schema starts with a copy of all of zod. */
const englishOnly = {
  name: 'english-only',
  setup(build) {
    build.onLoad({ filter: /\/zod\/v4\/classic\/from-json-schema\.js$/ }, () => ({ contents: 'export const fromJSONSchema = undefined' }))
    build.onResolve({ filter: /\/locales\/index\.js$/ }, ({ importer }) =>
      importer.includes('/node_modules/zod/') ? { path: 'none', namespace: 'english-only' } : undefined,
    )
    build.onLoad({ filter: /.*/, namespace: 'english-only' }, () => ({ contents: 'export {}' }))
  },
}

/** A cell may declare a variable of any of these names, for all code of its process: the runtime holds on to what it needs. */
const HELD = `const { ${[
  ...[
    'AggregateError',
    'Array',
    'ArrayBuffer',
    'Atomics',
    'BigInt',
    'Boolean',
    'Buffer',
    'Date',
    'Error',
    'Function',
    'Int32Array',
    'JSON',
  ],
  ...[
    'Map',
    'Math',
    'Number',
    'Object',
    'Promise',
    'Proxy',
    'RangeError',
    'Reflect',
    'RegExp',
    'Set',
    'SharedArrayBuffer',
    'String',
    'Symbol',
  ],
  ...[
    'SyntaxError',
    'TypeError',
    'URL',
    'Uint16Array',
    'Uint32Array',
    'Uint8Array',
    'WeakMap',
    'WeakSet',
    'console',
    'parseFloat',
    'parseInt',
  ],
  ...['isFinite', 'isNaN', 'process', 'setImmediate', 'setTimeout', 'clearTimeout'],
].join(', ')} } = globalThis`

/** What not every run needs is a bundle of its own, so that the others do not read it: the daemon, and in it what sends traces or writes certificates. */
const apart = {
  name: 'apart',
  setup(build) {
    build.onResolve({ filter: /^@caisson\/host\/daemon$/ }, () => ({ path: './daemon.mjs', external: true }))
    build.onResolve({ filter: /\/(otlp|certificates)\.ts$/ }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path: `./${basename(path, '.ts')}.mjs`, external: true } : undefined,
    )
  },
}

/** Modules of Node's that take milliseconds to start and that most runs never call: started when something of them is asked for. */
const LATER = /=\s*require\("(node:(?:dgram|dns\/promises|http|http2|https|readline|tls|worker_threads|zlib))"\)/g
const later = 'const __later = (name) => new Proxy({}, { get: (_, key) => require(name)[key] })'

/** As CommonJS, which V8 can be given in its compiled form (client/cli/start.ts). */
async function commandLine(node) {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    ...node,
    entryPoints: [at('client/cli/main.ts')],
    outfile: at('dist/verbs.cjs'),
    format: 'cjs',
    // Half of it is read. Lines stay short enough to be shown with an error.
    minifyWhitespace: true,
    lineLimit: 160,
    define: { 'import.meta.url': '__url' },
    banner: { js: `const __url = require('node:url').pathToFileURL(__filename).href\n${later}` },
  })
  // What is compiled already cannot import by itself: the start does it.
  const body = outputFiles[0].text.replaceAll(/\bimport\("/g, '__import("').replaceAll(LATER, '=__later("$1")')
  // As one function, so that the start need not put it together.
  const text = `(function (exports, require, module, __filename, __import) {${body}\n})`
  const name = createHash('sha256').update(text).digest('hex').slice(0, 16)
  const start = await build({
    ...node,
    entryPoints: [at('client/cli/start.ts')],
    outfile: at('dist/caisson.cjs'),
    format: 'cjs',
    define: { BUNDLE: JSON.stringify(name) },
  })
  for (const old of await filesIn(at('dist/compiled'))) if (!old.startsWith(name)) await rm(at('dist/compiled', old), { force: true })
  return { outputFiles: [{ path: outputFiles[0].path, contents: Buffer.from(text) }, ...start.outputFiles] }
}

async function bundle() {
  const { build } = await import('esbuild')
  const node = {
    bundle: true,
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    legalComments: 'none',
    write: false,
    conditions: ['source'],
    plugins: [englishOnly, apart],
    // Its native part lies beside it.
    external: ['libsql'],
  }
  // CommonJS parts of dependencies ask for `require`, which an ES module does not have.
  const banner = { js: "import { createRequire as __createRequire } from 'node:module'\nconst require = __createRequire(import.meta.url)" }
  const outputs = await Promise.all([
    commandLine(node),
    build({ ...node, entryPoints: [at('client/index.ts')], outfile: at('dist/sdk.mjs'), format: 'esm', banner }),
    build({ ...node, entryPoints: [at('host/daemon.ts')], outfile: at('dist/daemon.mjs'), format: 'esm', banner }),
    build({ ...node, entryPoints: [at('host/telemetry/otlp.ts')], outfile: at('dist/otlp.mjs'), format: 'esm', banner }),
    build({ ...node, entryPoints: [at('host/authority/certificates.ts')], outfile: at('dist/certificates.mjs'), format: 'esm', banner }),
    build({ ...node, entryPoints: [at('host/scan/scanning.ts')], outfile: at('dist/scanning.mjs'), format: 'esm', banner }),
    build({ ...node, entryPoints: [at('host/airlock/search/searcher.ts')], outfile: at('dist/searcher.mjs'), format: 'esm', banner }),
    build({ ...node, entryPoints: [at('bench/main.ts')], outfile: at('dist/bench.mjs'), format: 'esm', banner }),
    build({ ...node, entryPoints: [at('host/templates/setup.ts')], outfile: at('dist/setup.mjs'), format: 'esm', banner }),
    build({
      ...node,
      entryPoints: [at('host/runtimes/programs/node/main.ts')],
      outfile: at('dist/runtimes/node/main.cjs'),
      format: 'cjs',
      banner: { js: HELD },
    }),
  ])
  for (const { outputFiles } of outputs) {
    for (const { path, contents } of outputFiles) {
      if ((await bytesOrNull(path))?.equals(contents)) continue
      await mkdir(dirname(path), { recursive: true })
      await writeFile(`${path}.new`, contents)
      await rename(`${path}.new`, path)
    }
  }
  for (const [language, ...made] of [['python'], ['bash'], ['start'], ['r'], ['java', ...(await javaClasses())]])
    await mirror([at('host/runtimes/programs', language), ...made], at('dist/runtimes', language))
  await Promise.all([shownLibrary(), declare(root, run)])
}

/** Keeper and agent, static; the libraries with a dynamic C library, since programs of the template, and Node, load them. */
async function native() {
  const cwd = at('native')
  await run('cargo', ['build', '--release', '--locked', '-p', 'caisson-keeper', '-p', 'caisson-agent'], { cwd })
  for (const name of ['zygote', 'preload', 'readonly', 'twins', 'recorder', 'chance']) {
    const library = ['-p', `caisson-${name}`, '--lib', '--crate-type', 'cdylib']
    await run('cargo', ['rustc', '--release', '--locked', ...library], { cwd, env: { RUSTFLAGS: '-C target-feature=-crt-static' } })
  }
  const files = ['caisson-keeper', 'caisson-agent', ...['zygote', 'preload', 'readonly', 'twins'].map((name) => `libcaisson_${name}.so`)]
  for (const file of files) await place(await built(file), at('native/bin', file))
  await place(await built('libcaisson_recorder.so'), at('native/bin/caisson-recorder.node'))
  await place(await built('libcaisson_chance.so'), at('native/bin/caisson-chance.node'))
  await shownLibrary()
}

/** What Node loads inside lies among the programs of the runtimes, whichever of the two is built later. */
async function shownLibrary() {
  const library = at('native/bin/caisson-chance.node')
  if ((await bytesOrNull(library)) !== null) await place(library, at('dist/runtimes/node/chance.node'))
}

/** cargo puts its output under the name of the machine's target, which only it knows. */
async function built(file) {
  for (const entry of await readdir(at('native/target'), { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const path = at('native/target', entry.name, 'release', file)
    if ((await bytesOrNull(path)) !== null) return path
  }
  throw new Error(`cargo did not make ${file}`)
}

const parts = { ts: [generate, bundle], native: [native], all: [generate, bundle, native] }
const part = process.argv[2] ?? 'all'
if (!Object.hasOwn(parts, part)) {
  console.error(`build.mjs: no part ${JSON.stringify(part)}; there are: ${Object.keys(parts).join(', ')}`)
  process.exit(2)
}
try {
  for (const step of parts[part]) await step()
} catch (error) {
  console.error(`build.mjs: ${error.message}`)
  process.exit(1)
}
