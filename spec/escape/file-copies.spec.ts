import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Canaries } from '../../client/attacks/canaries.ts'
import { carryIn } from '../../client/cli/run/carry-in.ts'
import { carryOut } from '../../client/cli/run/carry-out.ts'
import { Landing } from '../../client/cli/run/landing.ts'
import { shared } from './attack.ts'

const wall = shared()
const canaries = new Canaries(['/home', '/tmp'])
const signal = new AbortController().signal
let host = ''

beforeAll(async () => {
  await canaries.plant()
  host = await mkdtemp(join(tmpdir(), 'caisson-copies-'))
})
afterAll(async () => {
  await rm(host, { recursive: true })
  await canaries[Symbol.asyncDispose]()
})

describe('what comes out of a sandbox', () => {
  const PLANT = `rm -rf ~/out; mkdir -p ~/out/folder ~/out/real; cd ~/out
    ln -s ${canaries.path} file-link; ln -s ${dirname(canaries.path)} folder-link; echo x > folder/kept; ln -s ../folder real/up
    mkfifo pipe; ln -s /dev/zero endless; echo x > .hidden; mkdir .git; echo x > .git/config; printf x > "$(printf 'new\\nline')"; printf x > 'back\\slash'`

  test('without the wall, a careless copy brings the link’s target, or writes to it', async () => {
    const out = join(host, 'careless')
    await mkdir(out)
    await symlink(canaries.path, join(out, 'file-link'))
    expect(await readFile(join(out, 'file-link'), 'utf8')).toBe(canaries.token)
    await writeFile(join(out, 'file-link'), 'changed')
    await expect(canaries.check()).rejects.toThrow('was changed')
    await canaries.plant()
  })

  test('links, pipes and hidden names stay behind; files and folders come', async () => {
    await wall.sandbox.commands.run(PLANT)
    await using landing = await Landing.open(join(host, 'fresh'))
    const { saved, left } = await carryOut(wall.sandbox, '/home/user/out', landing, signal)
    expect(saved.sort()).toEqual(['back_slash', 'folder/kept', 'new_line'])
    expect(left.map((line) => line.split(' (')[0]).sort()).toEqual([
      '.git',
      '.hidden',
      'endless',
      'file-link',
      'folder-link',
      'pipe',
      'real/up',
    ])
    const names = (await readdir(join(host, 'fresh'), { recursive: true })).sort()
    expect(names.filter((name) => name !== 'real')).toEqual(['back_slash', 'folder', 'folder/kept', 'new_line'])
    await canaries.check()
  })

  test('a link that waits on this machine, under the name of what comes, is not followed', async () => {
    const out = join(host, 'prepared')
    await mkdir(out)
    await symlink(dirname(canaries.path), join(out, 'folder'))
    await symlink(canaries.path, join(out, 'result'))
    await wall.sandbox.commands.run(
      `rm -rf ~/out; mkdir -p ~/out/folder; cd ~/out; echo changed > folder/${basename(canaries.path)}; echo changed > result`,
    )
    await using landing = await Landing.open(out)
    await expect(carryOut(wall.sandbox, '/home/user/out', landing, signal)).rejects.toMatchObject({ code: 'FILE_EXISTS' })
    await canaries.check()
    await wall.sandbox.commands.run('rm -rf ~/out/folder')
    expect((await carryOut(wall.sandbox, '/home/user/out', landing, signal)).saved).toEqual(['result'])
    // The link was replaced; what it pointed to was not.
    expect(await readFile(join(out, 'result'), 'utf8')).toBe('changed\n')
    await canaries.check()
  })
})

describe('what goes into a sandbox', () => {
  test('a link in a folder goes in as a link: what it points to stays here', async () => {
    const folder = join(host, 'project')
    await mkdir(folder)
    await symlink(canaries.path, join(folder, 'key'))
    await symlink(dirname(canaries.path), join(folder, 'keys'))
    await writeFile(join(folder, 'main.py'), 'print(1)')
    await carryIn(wall.sandbox, folder, '/home/user/project', signal)
    const { stdout } = await wall.sandbox.commands.run('cd ~/project; ls; readlink key keys; cat key keys/* 2>&1')
    expect(stdout).toContain('main.py')
    expect(stdout).toContain(`\n${canaries.path}\n`)
    expect(stdout.split('\n')).not.toContain(canaries.token)
  })

  test('a link inside, under the name of what goes in, leads nowhere outside', async () => {
    await wall.sandbox.commands.run(`rm -rf ~/in; ln -s ${canaries.path} ~/in`)
    await writeFile(join(host, 'in'), 'changed')
    // It goes through the link to where that points inside, where it may not be written, or is written inside.
    await carryIn(wall.sandbox, join(host, 'in'), '/home/user/in', signal).catch((error: { code?: string }) =>
      expect(error.code).toMatch(/^FILE_/),
    )
    await canaries.check()
  })
})
