import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Sandbox } from '../../client/index.ts'
import { ours, sharedDaemonLine } from './daemon-line.ts'
import { ROOT } from './invoke.ts'

const daemon = sharedDaemonLine()

describe('cp', () => {
  let held: Sandbox
  beforeAll(async () => {
    held = await daemon().sandbox()
    const folder = join(daemon().line.work, 'from')
    await mkdir(join(folder, 'sub/.git'), { recursive: true })
    await writeFile(join(folder, 'a.txt'), 'a')
    await writeFile(join(folder, 'big'), Buffer.alloc(8_000_000, 'xyz'))
    await writeFile(join(folder, 'sub/.git/config'), 'hidden')
    await writeFile(join(folder, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
    await symlink('/etc/shadow', join(folder, 'secret'))
    await symlink('/etc', join(folder, 'etc'))
  })

  test('a folder goes in as it is: links stay links, and lead nowhere on this machine', async () => {
    expect(await daemon().line.caisson(['cp', 'from', `${held.id}:`])).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    const { stdout } = await held.commands.run(
      'cd from; readlink secret etc; stat -c %a run.sh; cat a.txt sub/.git/config; md5sum < big; ls -A',
    )
    expect(stdout).toMatch(/^\/etc\/shadow\n\/etc\n755\nahidden/)
    expect(stdout).toMatch(/\na\.txt\nbig\netc\nrun\.sh\nsecret\nsub\n$/)
    const { stdout: sum } = await daemon().line.invoke('bash', ['-c', 'md5sum < from/big'])
    expect(stdout).toContain(sum)
  })

  test('a file goes where it is to go: by a name, into a folder, over another', async () => {
    await daemon().line.caisson(['cp', 'from/a.txt', `${held.id}:named`])
    await daemon().line.caisson(['cp', 'from/a.txt', `${held.id}:/tmp/new/folder/`])
    await daemon().line.caisson(['cp', 'from/a.txt', `${held.id}:/tmp`])
    await daemon().line.caisson(['cp', 'from/run.sh', `${held.id}:/tmp/a.txt`])
    expect((await held.commands.run('cat named /tmp/new/folder/a.txt /tmp/a.txt')).stdout).toBe('aa#!/bin/sh\n')
  })

  test('out come files and folders, nothing else, and what stays behind is named', async () => {
    await held.commands.run(
      'mkdir -p out/d; echo x > out/d/x; ln -s /etc/passwd out/l; mkfifo out/p; echo h > out/.hidden; echo r > out/.bashrc',
    )
    const ended = await daemon().line.caisson(['cp', `${held.id}:out`, 'got'])
    expect(ended.exitCode).toBe(1)
    expect(ours(ended).sort()).toEqual([
      'caisson: left behind: .bashrc (a hidden or impossible name)',
      'caisson: left behind: .hidden (a hidden or impossible name)',
      'caisson: left behind: l (not a regular file)',
      'caisson: left behind: p (not a regular file)',
    ])
    expect(await readdir(join(daemon().line.work, 'got'), { recursive: true })).toEqual(['d', 'd/x'])
    await daemon().line.caisson(['cp', `${held.id}:out/d`, 'got'])
    expect(await readdir(join(daemon().line.work, 'got/d'))).toEqual(['x'])
  })

  test('a file comes out by the name that the caller gives, or its own, never by a hidden one of its own', async () => {
    await held.files.write('f', 'content')
    await held.files.write('.hidden', 'h')
    expect((await daemon().line.caisson(['cp', `${held.id}:f`, '.'])).exitCode).toBe(0)
    expect((await daemon().line.caisson(['cp', `${held.id}:f`, '.mine'])).exitCode).toBe(0)
    const refused = await daemon().line.caisson(['cp', `${held.id}:.hidden`, '.'])
    expect(refused.stderr).toMatch(/^caisson: FILE_DENIED: [^\n]*\.hidden[^\n]*\n$/)
    expect(await readFile(join(daemon().line.work, '.mine'), 'utf8')).toBe('content')
    expect(await readFile(join(daemon().line.work, 'f'), 'utf8')).toBe('content')
    expect(await readdir(daemon().line.work)).not.toContain('.hidden')
  })

  test('a name that is not UTF-8 is said as such, in words by which it is found', async () => {
    const folder = join(daemon().line.work, 'latin')
    await mkdir(folder)
    await writeFile(Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.from([0xe9]), Buffer.from('.txt')]), 'x')
    const said = /^caisson: FILE_DENIED: \S*latin\/caf\\xe9\.txt: its name is not UTF-8, [^\n]*\n$/
    expect(await daemon().line.caisson(['cp', 'latin', `${held.id}:`])).toMatchObject({
      exitCode: 125,
      stderr: expect.stringMatching(said),
    })
    const named = await daemon().line.invoke('bash', ['-c', `${join(ROOT, 'caisson')} cp latin/caf$'\\xe9'.txt ${held.id}:`])
    expect(named).toMatchObject({ exitCode: 125, stderr: expect.stringMatching(said) })
    await held.commands.run([
      'bash',
      '-c',
      "mkdir -p latin2/d$'\\xe9'; echo x >latin2/x; echo x >latin2/f$'\\xe9'; echo y >latin2/d$'\\xe9'/y",
    ])
    const out = await daemon().line.caisson(['cp', `${held.id}:latin2`, 'latin2'])
    expect(ours(out).sort()).toEqual(['d', 'f'].map((name) => `caisson: left behind: ${name}\uFFFD (it cannot be read by that name)`))
    expect(await readdir(join(daemon().line.work, 'latin2'))).toEqual(['x'])
  })

  test('a link in the place where a file is to land is replaced, not followed', async () => {
    await writeFile(join(daemon().line.work, 'precious'), 'precious')
    await symlink('precious', join(daemon().line.work, 'trap'))
    await daemon().line.caisson(['cp', `${held.id}:f`, 'trap'])
    expect(await readFile(join(daemon().line.work, 'precious'), 'utf8')).toBe('precious')
    expect((await lstat(join(daemon().line.work, 'trap'))).isFile()).toBe(true)
  })

  test('one that is ended half-way leaves no half of a file', async () => {
    // As large as a copy may be, and on the disk of the sandbox nothing: it cannot be over before it is ended.
    await held.commands.run('truncate -s 3G endless')
    const copied = `${join(ROOT, 'caisson')} cp ${held.id}:endless . & pid=$!`
    const begun = 'until compgen -G ".caisson-*.part" >/dev/null; do kill -0 $pid || exit 1; sleep 0.05; done'
    const ended = await daemon().line.invoke('bash', ['-c', `${copied}; ${begun}; kill -TERM $pid; wait $pid`])
    expect(ended).toEqual({ exitCode: 143, stdout: '', stderr: '' })
    expect((await readdir(daemon().line.work)).filter((name) => name.startsWith('.caisson') || name === 'endless')).toEqual([])
  })

  test.each([
    ['missing', 'x:', /^caisson: FILE_MISSING: missing does not exist/],
    ['x:missing', '.', /^caisson: FILE_MISSING: [^\n]*missing/],
    ['x:/dev/null', '.', /^caisson: FILE_KIND: /],
    ['from/a.txt', 'x:/usr/x', /^caisson: FILE_DENIED: /],
  ])('%s to %s is one line', async (from, to, message) => {
    const ended = await daemon().line.caisson(['cp', from.replace(/^x:/, `${held.id}:`), to.replace(/^x:/, `${held.id}:`)])
    expect(ended.exitCode).toBe(125)
    expect(ended.stderr).toMatch(message)
    expect(ended.stderr.split('\n')).toHaveLength(2)
  })
})
