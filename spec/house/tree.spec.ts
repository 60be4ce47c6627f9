import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const repository = resolve(import.meta.dirname, '../..')
const tracked = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: repository, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(repository, file)))
const text = (file: string) => readFileSync(join(repository, file), 'utf8')
const texts = tracked.filter((file) => lstatSync(join(repository, file)).isFile() && !/\.(png|jpg|csv|ico)$/.test(file))

describe('files', () => {
  test('are named after the domain', () => {
    const drawers = /^(utils?|helpers?|common|shared|misc|types|services?|managers?|handlers?|lib)$/
    const code = tracked.filter((file) => /\.(ts|mjs|py|sh)$/.test(file))
    const found = code.filter((file) =>
      file
        .replace(/\..*$/, '')
        .split('/')
        .some((part) => drawers.test(part)),
    )
    expect(found).toEqual([])
  })

  test('hold one idea: none is longer than 300 lines, tests in Rust apart, unless it says why', () => {
    const long = tracked
      .filter((file) => /\.(ts|mjs|cjs|py|sh|rs)$/.test(file) && !/^native\/.*\/tests\//.test(file))
      .map((file) => [file, (text(file).split('#[cfg(test)]')[0] ?? '').split('\n').length] as const)
      .filter(
        ([file, lines]) =>
          lines > 301 &&
          !/biome-ignore-all lint\/style\/noExcessiveLinesPerFile: \w|Longer than files are here as a rule: \w/.test(text(file)),
      )
    expect(long).toEqual([])
  })

  test('know no place outside the repository, and no package registry', () => {
    // Put together here, so that this file keeps its own rule.
    const registries = [
      'npmjs.org',
      'npmjs.com',
      'yarnpkg.com',
      'pypi.org',
      'pythonhosted.org',
      'crates.io',
      'deb.debian.org',
      'proxy.golang.org',
    ]
    const hosts = registries.map((host) => host.replace('.', '\\.')).join('|')
    const itself = 'spec/house/tree.spec.ts'
    // cargo itself writes the name of its index into the lock file.
    const found = texts
      .filter((file) => file !== itself && file !== 'native/Cargo.lock')
      .filter((file) => new RegExp(hosts).test(text(file)) || text(file).includes(`${repository}/`))
    expect(found).toEqual([])
  })

  test('the lock file has the packages of every platform, so that `npm ci` accepts it everywhere', () => {
    interface Locked {
      optionalDependencies?: Record<string, string>
    }
    const { packages } = JSON.parse(text('package-lock.json')) as { packages: Record<string, Locked> }
    const wanted = Object.entries(packages).flatMap(([at, { optionalDependencies }]) =>
      Object.keys(optionalDependencies ?? {}).map((name) => [`node_modules/${name}`, `${at}/node_modules/${name}`]),
    )
    expect(wanted.filter((places) => !places.some((place) => Object.hasOwn(packages, place)))).toEqual([])
  })

  test('the lock file leaves the choice of registry to npm', () => {
    expect(text('package-lock.json')).not.toMatch(/"resolved": "http/)
  })
})

describe('documents', () => {
  test('decisions have a number each, once', () => {
    const names = tracked.filter((file) => file.startsWith('docs/decisions/')).map((file) => basename(file))
    expect(names.filter((name) => !/^\d{4}-[a-z0-9-]+\.md$/.test(name))).toEqual([])
    const numbers = names.map((name) => name.slice(0, 4))
    expect(numbers.filter((number, index) => numbers.indexOf(number) !== index)).toEqual([])
    expect(numbers.length).toBeGreaterThan(0)
  })

  test.each(tracked.filter((file) => file.endsWith('.md')))('%s: links lead somewhere', (file) => {
    const links = [...text(file).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link]) => link ?? '')
    const dead = links.filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(repository, dirname(file), link)))
    expect(dead).toEqual([])
  })

  test('README: its commands exist', () => {
    const commands = [...text('README.md').matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) => (block ?? '').trim().split('\n'))
    expect(commands.length).toBeGreaterThan(2)
    const scripts = (JSON.parse(text('package.json')) as { scripts: Record<string, string> }).scripts
    const verbs = [...text('client/cli/shelf.ts').matchAll(/^ {2}(\w+): \{/gm)].map(([, verb]) => verb)
    for (const command of commands.map((line) => line.replace(/\s+#.*$/, ''))) {
      const [, verb, argument] = /^(?:[A-Z_]+=\S+ )*(?:eval "\$\()?\.\/caisson (\w+)(?: (\S+))?/.exec(command) ?? []
      const [, script] = /^npm (?:run )?(\w+)$/.exec(command) ?? []
      if (script !== undefined) expect(Object.keys(scripts), command).toContain(script)
      else if (verb !== undefined) expect([...verbs, 'setup'], command).toContain(verb)
      else expect(command).toMatch(/^(git clone|cd|node|chmod|useradd|su) /)
      if (argument?.includes('/')) expect(existsSync(join(repository, argument)), command).toBe(true)
    }
  })

  test('every benchmark there is can be asked for', () => {
    const there = [...text('bench/shelf.ts').matchAll(/export \{ (\w+) \}/g)].map(([, name]) => name)
    const [, named = ''] = /BENCHMARKS = \[([^\]]+)\]/.exec(text('client/cli/bench.ts')) ?? []
    expect([...named.matchAll(/'(\w+)'/g)].map(([, name]) => name).sort()).toEqual(there.sort())
  })

  test('README: its options exist', () => {
    const options = new Set(text('README.md').match(/(?<=[\s`])--[a-z][a-z-]+/g))
    const bundle = join(repository, 'dist/caisson.cjs')
    const help = ['run', 'up'].map((verb) => execFileSync(process.execPath, [bundle, verb, '--help'], { encoding: 'utf8' })).join('')
    expect([...options].filter((option) => !help.includes(option))).toEqual([])
  })
})
