import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cell } from '../../host/walls/wall.ts'
import type { Plan } from '../../wire/index.ts'
import { Cells, Inside, keeperOf, run } from './cells.ts'
import { check, readImage } from './images.ts'
import { Traces } from './traces.ts'

// What a sandbox has written outlives it when somebody asks for it, and belongs to the same users wherever it comes up again.

const signal = new AbortController().signal
const isRoot = process.getuid?.() === 0

let cells: Cells
beforeAll(async () => {
  cells = await Cells.open()
})
afterAll(() => cells[Symbol.asyncDispose]())

const kept = (name: string) => join(cells.home, 'disks', `${name}.img`)
const end = async (cell: Cell, keepDisk?: string) => {
  const keep = keepDisk === undefined ? {} : { keepDisk }
  await cell.ask({ op: 'kill', reason: keepDisk === undefined ? 'kill' : 'pause', detail: '', ...keep }, signal)
  return cell.death
}
const from = (image: string, take: boolean) => (plan: Plan) => ({ disk: { ...plan.disk, image, take } as Plan['disk'] })

const MAKE = [
  'umask 022',
  'echo one > ~/one; chmod 640 ~/one; mkdir -m 2775 ~/folder; ln -s one ~/link; ln ~/one ~/hard',
  "python3 -c \"import os; os.setxattr(os.path.expanduser('~/one'), 'user.colour', b'blue')\"",
  'chmod 700 ~; echo t > /tmp/t',
].join('; ')
const LOOK = [
  'cd /home/user && stat -c "%n %U %G %a %h %F" . one folder link hard roots /tmp/t /root/secret /tmp /root',
  "python3 -c \"import os; print(os.getxattr('/home/user/one', 'user.colour'))\"",
  'cat one /root/secret',
].join('; ')

/** At every moment there is a last number, and whatever has a sum has the contents. */
const WRITE = `cd; i=0; while :; do
  i=$((i+1)); mkdir -p d/$i; head -c 20000 /dev/zero | tr '\\0' x > d/$i/f
  sha256sum ~/d/$i/f > d/$i/new; mv d/$i/new d/$i/sum
  echo $i > new; mv new last
  [ $i -gt 200 ] && rm -r d/$((i-200))
done`

describe.runIf(isRoot)('a disk', () => {
  test('that is kept comes up again under other ids of the host, with owners, modes and attributes as they were', async () => {
    const first = await cells.launch(await cells.plan())
    await run(first, MAKE)
    await run(first, 'echo mine > /home/user/roots; chmod 600 /home/user/roots; echo hush > /root/secret; chmod 600 /root/secret', 'root')
    const before = await run(first, LOOK, 'root')
    expect(before.stdout).toContain('one user user 640 2 regular file')
    expect(before.stdout).toContain('roots root root 600')
    expect(await end(first, kept('one'))).toMatchObject({ reason: 'pause' })
    expect(await check(kept('one'))).not.toMatch(/error|wrong|differ|fix/i)
    const plan = await cells.plan(from(kept('one'), true))
    const second = await cells.launch(plan)
    expect(second.ready.uidBase).not.toBe(first.ready.uidBase)
    expect(existsSync(kept('one'))).toBe(false)
    expect(await run(second, LOOK, 'root')).toEqual(before)
    expect(await run(second, 'echo more >> ~/one; cat ~/one; cat /root/secret ~/roots 2>&1')).toMatchObject({
      stdout: expect.stringMatching(/^one\nmore\n.*secret: Permission denied\n.*roots: Permission denied\n$/),
    })
    await end(second)
    expect(existsSync(plan.dir)).toBe(false)
  })

  test('is copied while it is written to: the copy is whole, and is a moment', async () => {
    const plan = await cells.plan()
    const cell = await cells.launch(plan)
    using inside = new Inside(cell)
    const writing = await inside.start(WRITE)
    while ((await inside.run('[ -e ~/last ]')).exitCode !== 0) await pause(10)
    for (const name of ['a', 'b', 'c']) await cell.ask({ op: 'copyDisk', to: kept(name) }, signal)
    expect(await cell.ask({ op: 'hello' }, signal)).toMatchObject({ frozen: false })
    const [before, after] = [(await inside.run('cat ~/last')).stdout, (await inside.run('sleep 0.3; cat ~/last')).stdout]
    expect(Number(after)).toBeGreaterThan(Number(before))
    await inside.run(`kill ${writing.pid}`)
    for (const name of ['a', 'b', 'c']) {
      expect((await stat(kept(name))).blocks * 512).toBeLessThan(64 << 20)
      const copy = await cells.launch(await cells.plan(from(kept(name), false)))
      const { stdout } = await run(copy, 'cat ~/d/*/sum | sha256sum -c --quiet 2>&1; n=$(cat ~/last); [ -s ~/d/$n/f ] && echo whole')
      expect(stdout).toBe('whole\n')
      await end(copy)
    }
    // Nothing but the three that were asked for, and what they are made of.
    expect((await readdir(join(cells.home, 'disks'))).filter((name) => /partial/.test(name))).toEqual([])
    await expect(cell.ask({ op: 'copyDisk', to: kept('a') }, signal)).rejects.toMatchObject({ message: expect.stringContaining('already') })
    await end(cell)
  })

  test('of a frozen sandbox is copied, and it stays frozen', async () => {
    const cell = await cells.launch(await cells.plan())
    await run(cell, 'echo here > ~/here')
    await cell.ask({ op: 'freeze' }, signal)
    await cell.ask({ op: 'copyDisk', to: kept('frozen') }, signal)
    expect(await cell.ask({ op: 'hello' }, signal)).toMatchObject({ frozen: true })
    expect(await readImage(kept('frozen'), 'cat w0/here')).toBe('here\n')
    expect(await end(cell, kept('frozen-end'))).toMatchObject({ reason: 'pause' })
    expect(await readImage(kept('frozen-end'), 'cat w0/here')).toBe('here\n')
  })

  test('whose copy is under way does not hold up the end', async () => {
    const plan = await cells.plan()
    const cell = await cells.launch(plan)
    const traces = new Traces(cells.home, plan.id)
    await run(cell, 'head -c 50000000 /dev/urandom > ~/big')
    await traces.find()
    const copying = cell.ask({ op: 'copyDisk', to: kept('never') }, signal)
    copying.catch(() => undefined)
    expect(await end(cell)).toMatchObject({ reason: 'kill' })
    expect(await traces.find()).toEqual(new Map())
    expect((await readdir(join(cells.home, 'disks'))).filter((name) => name.includes('partial'))).toEqual([])
  })

  test('that was taken for a sandbox which does not come to stand is where it was', async () => {
    await end(await cells.launch(await cells.plan()), kept('taken'))
    const before = (await stat(kept('taken'))).ino
    const failing = [
      (plan: Plan) => ({ ...from(kept('taken'), true)(plan), capabilities: ['NO_SUCH_THING'] }),
      (plan: Plan) => ({ ...from(kept('taken'), true)(plan), agent: '/usr/bin/false' }),
      (plan: Plan) => ({ ...from(kept('taken'), true)(plan), zygote: { socket: '/nowhere', forks: 1 } }),
    ]
    for (const change of failing) {
      await expect(cells.launch(await cells.plan(change))).rejects.toThrow()
      expect((await stat(kept('taken'))).ino).toBe(before)
    }
    await end(await cells.launch(await cells.plan(from(kept('taken'), true))))
    expect(await readdir(join(cells.home, 'sandboxes'))).toEqual([])
  })

  test('that was taken goes back even if everything is killed on the way', async () => {
    await end(await cells.launch(await cells.plan()), kept('half'))
    const dir = join(cells.home, 'sandboxes', 'ihalfway')
    await mkdir(dir)
    await writeFile(join(dir, 'taken'), kept('half'))
    await rename(kept('half'), join(dir, 'disk.img'))
    const hourAgo = new Date(Date.now() - 3_600_000)
    await utimes(dir, hourAgo, hourAgo)
    await cells.wall.sweepOrphans(signal)
    expect([existsSync(dir), existsSync(kept('half'))]).toEqual([false, true])
  })

  test('is not kept where it could not go: nothing has ended then', async () => {
    const cell = await cells.launch(await cells.plan())
    await writeFile(kept('there'), '')
    for (const [to, why] of [
      [kept('there'), 'already'],
      ['/dev/shm/elsewhere.img', 'file system'],
      [join(cells.home, 'nowhere', 'x.img'), 'No such file'],
    ] as const) {
      await expect(cell.ask({ op: 'kill', reason: 'pause', detail: '', keepDisk: to }, signal)).rejects.toMatchObject({
        message: expect.stringContaining(why),
      })
    }
    expect(await run(cell, 'echo alive')).toMatchObject({ stdout: 'alive\n' })
    await end(cell)
  })

  test('that is damaged is said to be, and nothing runs', async () => {
    await rm(kept('damaged'), { force: true })
    await end(await cells.launch(await cells.plan()), kept('damaged'))
    await truncate(kept('damaged'), 0)
    await truncate(kept('damaged'), 64 << 20)
    await expect(cells.launch(await cells.plan(from(kept('damaged'), false)))).rejects.toMatchObject({
      code: 'LAUNCH_FAILED',
      message: expect.stringContaining('damaged.img cannot be mounted'),
    })
    await truncate(kept('damaged'), 1 << 20)
    await expect(cells.launch(await cells.plan(from(kept('damaged'), true)))).rejects.toMatchObject({
      code: 'LAUNCH_FAILED',
      message: expect.stringContaining('bytes'),
    })
    expect((await stat(kept('damaged'))).size).toBe(1 << 20)
    expect(await readdir(join(cells.home, 'sandboxes'))).toEqual([])
  })

  test('of a frozen sandbox is found again when its keeper is gone, and its marker keeps others away', async () => {
    const plan = await cells.plan()
    const cell = await cells.launch(plan)
    await run(cell, 'echo kept > ~/kept')
    await cell.ask({ op: 'freeze' }, signal)
    cell.release()
    await writeFile(join(plan.dir, 'paused'), '')
    process.kill(await keeperOf(cell), 'SIGKILL')
    const hourAgo = new Date(Date.now() - 3_600_000)
    await utimes(plan.dir, hourAgo, hourAgo)
    await cells.wall.sweepOrphans(signal)
    expect(existsSync(join(plan.dir, 'disk.img'))).toBe(true)
    await cells.wall.salvageDisk(plan, kept('salvaged'), signal)
    expect(await cells.wall.bury(plan, signal)).toMatchObject({ id: plan.id, reason: 'crash' })
    expect(existsSync(plan.dir)).toBe(false)
    const again = await cells.launch(await cells.plan(from(kept('salvaged'), true)))
    expect(await run(again, 'cat ~/kept')).toMatchObject({ stdout: 'kept\n' })
    await end(again)
    const left = await new Traces(cells.home, plan.id).find()
    expect(left).toEqual(new Map())
    await rm(kept('salvaged'), { force: true })
    expect(await readFile(join(cells.home, 'audit', 'audit.jsonl'), 'utf8')).not.toBe('')
  })
})
